# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of the driver the tests reach on real Xen, by gcov."""

import argparse
import base64
import binascii
import csv
import gzip
import io
import json
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from campaigns import arguments, debug, outcome, records, suite
from lab import build, cpio, host, hypervisor, kernel, ktap, machine, programs, versions
from lab import image as images
from lab.arch import AMD64
from lab.failure import Failure, Status

CONFIG = host.DATA / "gcov.config"
# Why no test reaches a line.
REASONS = host.DATA / "coverage.toml"
TABLE = host.REPO / "Documentation/coverage.csv"

# What is measured, below the sources.
DRIVER = "drivers/xen"
# What is to be reached, in percent.
GOAL = 95

MEMORY = 1536
DATA = "gcov"
# What the kernel has counted, as text: the port to the host takes lines. Its files there
# have no size, so tar would find them empty.
SEND = """
cd /sys/kernel/debug/gcov || exit 1
for file in $(find . -path '*/drivers/xen/*.gcda'); do
	mkdir -p "/tmp/gcov/${file%/*}" && cat "$file" >"/tmp/gcov/$file" || exit 1
done
tar -C /tmp/gcov -cf - . | gzip | base64
"""

# By file, and by number: whether it was reached.
Lines = dict[str, dict[int, bool]]


@dataclass(frozen=True)
class Reason:
    """Why lines of a file, by their text, are not reached."""

    file: str
    why: str
    lines: Sequence[str]


@dataclass
class Report:
    """What is known of each line, and what is wrong with the list of reasons."""

    table: list[tuple[str, int, int]]
    wrong: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Returns how much of all is reached."""
        lines = sum(row[1] for row in self.table)
        return 100 * sum(row[2] for row in self.table) / lines if lines else 0


def merge(total: Lines, more: Lines) -> None:
    """Adds what was reached elsewhere."""
    for name, lines in more.items():
        there = total.setdefault(name, {})
        for number, reached in lines.items():
            there[number] = there.get(number, False) or reached


def read(text: str, root: Path) -> Lines:
    """Reads what gcov says of one object, in JSON; what is no driver's is left out."""
    said = json.loads(text)
    found: Lines = {}
    for item in said["files"]:
        path = (Path(said["current_working_directory"]) / item["file"]).resolve()
        if not path.is_relative_to(root / DRIVER):
            continue
        name = str(path.relative_to(root / DRIVER))
        # A line may be there once for each function that it is in.
        for line in item["lines"]:
            merge(found, {name: {line["line_number"]: line["count"] > 0}})
    return found


def _reason(where: str, record: Any) -> Reason:
    """Reads one record."""
    record = records.keys(where, record, ("file", "why", "lines"))
    for line in record["lines"]:
        if not isinstance(line, str):
            raise Failure(Status.USAGE, f"{where}: lines has {line!r}, which is no string")
    return Reason(**record)


def reasons(path: Path = REASONS) -> list[Reason]:
    """Reads the list of reasons."""
    table = records.load(str(path), path.read_bytes(), ("reason",))
    return [
        _reason(f"{path}: reason {number}", record)
        for number, record in enumerate(table["reason"], start=1)
    ]


def gone() -> list[str]:
    """Returns what reasons are given for and the driver does not have."""
    lines = []
    for reason in reasons():
        text = (host.REPO / DRIVER / reason.file).read_text(encoding="utf-8")
        there = {line.strip() for line in text.splitlines()}
        lines += [
            f"{REASONS.name}: {reason.file} has no line: {line}"
            for line in reason.lines
            if line not in there
        ]
    return lines


def report(found: Lines, sources: Mapping[str, str], why: Sequence[Reason]) -> Report:
    """Makes the table, and compares what is not reached with the list of reasons."""
    result = Report([])
    listed = Counter((item.file, line.strip()) for item in why for line in item.lines)
    for name in sorted(found):
        text = sources[name].splitlines()
        lines = found[name]
        result.table.append((name, len(lines), sum(lines.values())))
        missed = Counter(
            (name, text[number - 1].strip()) for number, hit in lines.items() if not hit
        )
        for key in sorted(missed - listed):
            result.wrong.append(f"{name}: no reason is given for: {key[1]}")
        listed -= missed
    for name, line in sorted(listed):
        result.wrong.append(f"{name}: is reached, or not there: {line}")
    return result


def write(result: Report, path: Path) -> None:
    """Writes the table, whose last line is the total."""
    rows = [*result.table]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "lines", "reached", "%"))
        for name, lines, hit in rows:
            writer.writerow((name, lines, hit, f"{100 * hit / lines:.1f}"))


def _unpack(lines: Sequence[str], target: Path) -> list[Path]:
    """Puts counts where the objects were built, as that names them; returns them."""
    try:
        data = gzip.decompress(base64.b64decode("".join(lines), validate=True))
    except (binascii.Error, gzip.BadGzipFile, EOFError) as error:
        raise Failure(Status.COMMAND, f"the counts did not arrive whole: {error}") from error
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = Path("/") / member.name.removeprefix("./")
            content = archive.extractfile(member)
            if content is None or not path.is_relative_to(target / DRIVER):
                continue
            path.write_bytes(content.read())
            found.append(path)
    return found


def _gcov(counts: Path, root: Path) -> Lines:
    words = [host.tool("gcov"), "--json-format", "--stdout", str(counts)]
    return read(host.command("reading counts", words), root)


def _boot(
    options: machine.Options, wanted: Sequence[str]
) -> tuple[Lines, ktap.Counts, Failure | None]:
    """Runs the tests on one kind of dom0; returns what they reached."""
    config = "\n".join(
        [*kernel.dom0_fragments(options.arch), CONFIG.read_text(encoding="utf-8")]
    )
    tree = kernel.tree(kernel.Wanted("gcov", config, options.arch))
    trees = versions.trees(options, tree)
    output = host.directory(host.BUILD / "modules") / tree.name
    built = build.modules(trees, output=output, more=("GCOV_PROFILE=y",))
    for old in output.rglob("*.gcda"):
        old.unlink()
    directory = build.selftests(trees)
    names = [*suite.names(directory), debug.FAIL_NTH]
    for name in set(wanted) - set(names):
        raise Failure(Status.USAGE, f"{name}: not one of {' '.join(names)}")
    chosen = [name for name in names if not wanted or name in wanted]
    expected = suite.expected_skips(options, trees)
    where = suite.platform(options, trees)
    files = cpio.Archive()
    suite.put(files, directory, built)
    script = "\n".join(
        [programs.script(chosen), programs.begin(DATA), SEND, programs.end()]
    )
    load = machine.Load(built.modules(), files)
    print(f"coverage on {where}:", flush=True)
    received: list[str] = []

    def once() -> tuple[ktap.Counts, machine.Verdict]:
        total = ktap.Counts()

        def done(section: programs.Section) -> None:
            nonlocal total
            if section.name == DATA:
                received[:] = section.lines
            elif section.name == debug.FAIL_NTH:
                # How many faults there are is known of the debug kernels only.
                print(f"  {section.name}: {section.seconds:.1f} s", flush=True)
            else:
                total += suite.show(section, expected, where)

        sections = programs.Sections(done)
        verdict = machine.boot(
            suite.poisoned(options), images.make(trees), load, script, sections, "coverage"
        )
        sections.finish()
        if verdict.status is not Status.GOOD:
            total += ktap.Counts(failed=1)
        return total, verdict

    total, verdict, _ = suite.repeat(once)
    if verdict.status is not Status.GOOD:
        return {}, total, verdict.failure()
    found: Lines = {}
    for path in _unpack(received, output):
        merge(found, _gcov(path, output))
    return found, total, None


def run(
    options: machine.Options, wanted: Sequence[str], document: bool
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the tests on a PV and a PVH dom0; prints and judges what both reached.

    Only a whole run is judged, or written into the manual.
    """
    host.tool("gcov")
    # Is it in order? Not to be found out when all has run.
    why = reasons()
    total = ktap.Counts()
    failures = []
    found: Lines = {}
    base = replace(
        options,
        arch=AMD64,
        xen=hypervisor.VERSION,
        memory=MEMORY,
        append=debug.KERNEL_OPTIONS[AMD64.name],
    )
    for pvh in (False, True):
        lines, counts, failure = _boot(replace(base, pvh=pvh), wanted)
        merge(found, lines)
        total += counts
        if failure is not None:
            failures.append(failure)
    sources = {
        name: (host.REPO / DRIVER / name).read_text(encoding="utf-8") for name in found
    }
    result = report(found, sources, why)
    for name, count, hit in result.table:
        print(f"  {name:28} {hit:5} of {count:5}", flush=True)
    print(f"  {result.percent:.1f} % of the driver's lines are reached", flush=True)
    if wanted:
        return total, failures
    for line in result.wrong:
        print(f"  FAIL {line}", flush=True)
    good = not result.wrong and result.percent >= GOAL and not failures
    if document and good:
        write(result, TABLE)
    return total + ktap.Counts(passed=int(good), failed=int(not good)), failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_timeout(parser, 3600)
    parser.add_argument(
        "--document",
        action="store_true",
        help="put the table into Documentation, after a whole run",
    )
    parser.add_argument(
        "program", nargs="*", help="test programs, fail_nth (default: all)"
    )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    suite.refuse_unknown(args.program, ("fail_nth",))


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = machine.Options(timeout=args.timeout)
    return outcome.close(*run(options, args.program, args.document))
