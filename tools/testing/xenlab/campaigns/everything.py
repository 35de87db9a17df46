# SPDX-License-Identifier: GPL-2.0-only
"""All of make's targets that check something, and the table of how each ended last."""

import argparse
import csv
import datetime
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaigns import check, outcome
from lab import git, host, ktap
from lab.failure import Failure, Status

FILE = host.REPO / "Documentation/everything.csv"
HEADER = ("target", "commit", "date", "passed", "failed", "skipped", "minutes")

# Rather too much than too little.
MOST = (
    *("Kbuild", "Makefile", "compat", "drivers", "include", "samples"),
    *("tools/testing/selftests/xen", "tools/testing/xenlab"),
)
MANUAL = ("Documentation", f":!{FILE.relative_to(host.REPO)}")
# What each target covers: it is old when that has changed since.
COVERS: Mapping[str, Sequence[str]] = {
    "lint": (".", f":!{FILE.relative_to(host.REPO)}"),
    "docs": (*MANUAL, "include"),
    "demo": MOST,
    "check": (*MOST, *MANUAL),
    "check-emulators": MOST,
    "check-eventfds": MOST,
    "check-habits": MOST,
    "check-toolstack": MOST,
    "check-qemu": MOST,
    "check-qemu-arm64": MOST,
    "check-selinux": (*MOST, *MANUAL),
    "check-upstream": (*MOST, *MANUAL),
    "check-series": (*MOST, *MANUAL),
    "check-overlay": (*MOST, *MANUAL, "Kconfig"),
    "check-deb": (*MOST, *MANUAL, "debian"),
    "check-debug": MOST,
    "coverage": MOST,
    "matrix": MOST,
    "bench": MOST,
}


@dataclass(frozen=True)
class Row:
    """How a target ended, and of which commit."""

    target: str
    commit: str
    date: str
    counts: ktap.Counts
    minutes: int

    def cells(self) -> list[str]:
        """Returns the row of the table."""
        numbers = (self.counts.passed, self.counts.failed, self.counts.skipped)
        return [
            self.target,
            self.commit,
            self.date,
            *(str(number) for number in (*numbers, self.minutes)),
        ]


def read(text: str) -> dict[str, list[str]]:
    """Returns the rows of a table, by target."""
    return {cells[0]: cells for cells in csv.reader(text.splitlines()[1:])}


def write(rows: Mapping[str, Sequence[str]]) -> str:
    """Returns the text of a table; a target that never ran has an empty row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for target in COVERS:
        writer.writerow(rows.get(target, [target, *[""] * (len(HEADER) - 1)]))
    return text.getvalue()


def _known(commit: str) -> bool:
    try:
        git.ask("cat-file", "-e", f"{commit}^{{commit}}")
    except Failure as failure:
        if failure.status is not Status.BUILD:
            raise
        return False
    return True


def age(rows: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns the targets that are to be run again, and why."""
    old = {}
    for target, paths in COVERS.items():
        commit = rows[target][1] if target in rows else ""
        if not commit:
            old[target] = "was never run"
        elif not _known(commit):
            old[target] = f"was run on {commit}, which is not in this clone"
        elif git.ask("diff", "--name-only", commit, "HEAD", "--", *paths):
            old[target] = f"what it covers is newer than {commit}"
    return old


def show() -> None:
    """Prints which targets are to be run again."""
    for target, why in age(read(FILE.read_text(encoding="utf-8"))).items():
        print(f"{target}: {why}")


def run(targets: Sequence[str]) -> ktap.Counts:
    """Runs targets one after the other; records each as soon as it has ended."""
    commit = git.commit((FILE,))
    host.directory(check.LOGS)
    total = ktap.Counts()
    results = []
    for target in targets or COVERS:
        # What this one was told is not for them.
        words = ("--no-print-directory", "ONLY=", target)
        one = check.Check(target, words, "make")
        result = check.Lanes([one], 1).run()[0]
        today = datetime.date.today().isoformat()
        row = Row(target, commit, today, result.counts, round(result.seconds / 60))
        rows = read(FILE.read_text(encoding="utf-8"))
        rows[target] = row.cells()
        FILE.write_text(write(rows), encoding="utf-8")
        results.append(result)
        total += result.counts
    print("\n" + "\n".join(check.table(results)))
    return total


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--old",
        action="store_true",
        help="only say which of them are older than what they cover",
    )
    parser.add_argument("target", nargs="*", help="make's targets (default: all)")


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    for target in args.target:
        if target not in COVERS:
            raise Failure(
                Status.USAGE, f"there is no target {target}; there are: {' '.join(COVERS)}"
            )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if args.old:
        show()
        return Status.GOOD
    return outcome.close(run(args.target), [])
