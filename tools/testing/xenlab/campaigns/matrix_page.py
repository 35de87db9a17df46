# SPDX-License-Identifier: GPL-2.0-only
"""What a whole run of the matrix leaves in the repository: table, picture, README's lines."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import host, ktap, ran
from lab.failure import Failure, Status

TABLE = host.REPO / "Documentation/matrix.csv"
PICTURE = host.REPO / "Documentation/matrix.svg"
README = host.REPO / "README.md"

# By feature: the programs that test it.
FEATURES: Mapping[str, Sequence[str]] = {
    "DM_NR_VCPUS": ("dm_nr_vcpus_test",),
    "xen_dm_nr_vcpus()": ("dm_op_kernel_test",),
    "DM_OP": ("dm_op_test",),
    "RESTRICT": ("restrict_test", "boundary_test", "xlate_boundary_test"),
    "LIMIT": ("limit_test",),
    "end of the domain": ("lifetime_test",),
    "MMAP": ("mmap_test",),
    "MMAPBATCH": ("mmapbatch_test",),
    "MMAP_RESOURCE": ("resource_test",),
    "IRQFD, IOEVENTFD": ("eventfd_test", "doorbell_test"),
    "emulator": ("emulator_test", "emulator_sandbox_test"),
}
PLACE = ("combination", "architecture", "dom0", "Linux", "Xen", "more")
SUMS = ("passed", "skipped", "commit", "date")
# Where no test of a feature could run, or none of its tests applies.
NONE = "-"

BEGIN = "<!-- Written by make matrix RECORD=1: not to be changed by hand. -->"
END = "<!-- The end of what make matrix writes. -->"

Cells = dict[str, str]


def cells(place: Mapping[str, str], tests: Sequence[ran.Row], commit: str, date: str) -> Cells:
    """Returns the row of one combination."""
    passed = [row[1] for row in tests if row[3] == ktap.Outcome.PASS.value]
    skipped = sum(row[3] == ktap.Outcome.SKIP.value for row in tests)
    counts = {
        feature: str(sum(passed.count(program) for program in programs) or NONE)
        for feature, programs in FEATURES.items()
    }
    sums = {"passed": str(len(passed)), "skipped": str(skipped)}
    return {**place, **counts, **sums, "commit": commit, "date": date}


def table(rows: Sequence[Cells]) -> str:
    """Returns the text of the table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*PLACE, *FEATURES, *SUMS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(text: str) -> list[Cells]:
    """Reads a table."""
    return list(csv.DictReader(text.splitlines()))


def _versions(found: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(found))


def lines(rows: Sequence[Cells]) -> list[str]:
    """Returns README's lines: one for each kind of dom0."""
    kinds: dict[str, list[Cells]] = {}
    for row in rows:
        more = ", ".join(part for part in (row["dom0"], row["more"]) if part)
        kinds.setdefault(f"{row['architecture']} {more}".strip(), []).append(row)
    shown = [
        "| dom0 | Linux | Xen | combinations | passed | failed | skipped |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, found in kinds.items():
        sums = [sum(int(row[name]) for row in found) for name in ("passed", "skipped")]
        shown.append(
            f"| {kind} | {_versions([row['Linux'] for row in found])} "
            f"| {_versions([row['Xen'] for row in found])} | {len(found)} "
            f"| {sums[0]:,} | 0 | {sums[1]:,} |"
        )
    return shown


def readme(text: str, rows: Sequence[Cells]) -> str:
    """Returns README with the lines between its marks."""
    before, found, rest = text.partition(f"{BEGIN}\n")
    old, ended, after = rest.partition(END)
    if not found or not ended:
        raise Failure(Status.USAGE, f"README.md lacks a line: {END if found else BEGIN}")
    return "".join([before, found, *(f"{line}\n" for line in ["", *lines(rows), ""]), END, after])


def picture(rows: Sequence[Cells]) -> str:
    """Returns a picture of the table: what passed is filled."""
    left, top, width, height = 210, 130, 62, 22
    size = (left + width * len(FEATURES) + 60, top + height * len(rows) + 10)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}"',
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for column, feature in enumerate(FEATURES):
        x = left + width * column + width // 2
        parts.append(
            f'<text transform="translate({x},{top - 8}) rotate(-45)">{feature}</text>'
        )
    for number, row in enumerate(rows):
        y = top + height * number
        parts.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{row["combination"]}</text>'
        )
        for column, feature in enumerate(FEATURES):
            x, count = left + width * column, row[feature]
            colour = "#eeeeee" if count == NONE else "#9bd49b"
            parts += [
                f'<rect x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{height - 2}"'
                f' fill="{colour}"/>',
                f'<text x="{x + width // 2}" y="{y + 15}" text-anchor="middle">{count}</text>',
            ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def record(places: Sequence[Mapping[str, str]], commit: str, date: str) -> None:
    """Writes what a whole and green run found, all of it or nothing."""
    found = json.loads(ran.FILE.read_text(encoding="utf-8"))
    rows = [
        cells(place, found[f"matrix {place['combination']}"], commit, date) for place in places
    ]
    text = readme(README.read_text(encoding="utf-8"), rows)
    for path, content in ((TABLE, table(rows)), (PICTURE, picture(rows)), (README, text)):
        path.write_text(content, encoding="utf-8")


def stale() -> list[str]:
    """Returns what is not as the table has it."""
    if not TABLE.exists():
        return []
    rows = read(TABLE.read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    try:
        wanted: dict[Path, str] = {README: readme(text, rows), PICTURE: picture(rows)}
    except Failure as error:
        return [str(error)]
    return [
        f"{path.relative_to(host.REPO)} is not as {TABLE.name} has it: make matrix writes both"
        for path, content in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]
