# SPDX-License-Identifier: GPL-2.0-only
"""The selftests on every kernel and every Xen that the driver is for."""

import argparse
import contextlib
import datetime
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from campaigns import arguments, matrix_page, outcome, suite
from lab import build, git, host, ktap, machine, ran, versions
from lab.arch import ALL, SINGLE_THREAD
from lab.failure import Failure, Status

RESULTS = host.BUILD / "matrix.json"
MODULES = host.BUILD / "matrix"


@dataclass(frozen=True)
class Row:
    """A combination."""

    arch: str
    linux: str
    xen: str
    pvh: bool = False
    cpu: str = ""
    pages: str = ""

    def __str__(self) -> str:
        dom0 = "pvh" if self.pvh else ""
        parts = (self.arch, self.linux, self.xen, dom0, self.cpu, self.pages)
        return "-".join(part for part in parts if part)

    def place(self) -> dict[str, str]:
        """Returns what the manual's table says of it."""
        more = ", ".join(part for part in (self.cpu, self.pages) if part)
        dom0 = "" if self.arch == "arm64" else "PVH" if self.pvh else "PV"
        return dict(
            zip(
                matrix_page.PLACE,
                (str(self), self.arch, dom0, self.linux, self.xen, more),
                strict=True,
            )
        )

    def options(self, common: machine.Options) -> machine.Options:
        """Returns the row's own options."""
        return replace(
            common,
            arch=ALL[self.arch],
            accel=SINGLE_THREAD if self.arch == "arm64" else common.accel,
            linux=self.linux,
            xen=self.xen,
            pvh=self.pvh,
            cpu=self.cpu,
            pages=self.pages,
        )


ROWS = (
    Row("amd64", "6.1", "4.14"),
    Row("amd64", "6.1", "4.17"),
    Row("amd64", "6.1", "4.17", pvh=True),
    Row("amd64", "6.1", "4.20"),
    Row("amd64", "6.12", "4.17"),
    Row("amd64", "6.12", "4.20"),
    Row("amd64", "6.12", "4.20", pvh=True),
    Row("amd64", "6.12", "4.20", pvh=True, cpu="smap"),
    Row("amd64", "7.2", "4.17"),
    Row("amd64", "7.2", "4.20"),
    Row("amd64", "7.2", "4.20", pvh=True),
    Row("arm64", "6.12", "4.17"),
    Row("arm64", "6.12", "4.20-debian"),
    Row("arm64", "6.12", "4.20"),
    Row("arm64", "6.12", "4.20", cpu="pan"),
    Row("arm64", "6.12", "4.20", pages="16k"),
    Row("arm64", "7.2", "4.17"),
    Row("arm64", "7.2", "4.20-debian"),
    Row("arm64", "7.2", "4.20"),
)


@dataclass(frozen=True)
class Result:
    """What became of a row."""

    row: str
    passed: int
    failed: int
    skipped: int
    seconds: int
    # How many machines it took; none if it could not be run.
    tries: int


def choose(wanted: Sequence[str]) -> list[Row]:
    """Returns the wanted rows, or all of them."""
    by_name = {str(row): row for row in ROWS}
    for name in wanted:
        if name not in by_name:
            raise Failure(
                Status.USAGE, f"there is no row {name}; there are: {' '.join(by_name)}"
            )
    return [by_name[name] for name in wanted or by_name]


def table(results: Sequence[Result]) -> list[str]:
    """Returns the lines that show the results."""
    width = max(len(str(row)) for row in ROWS)
    lines = [f"{'':{width}} passed failed skipped seconds tries"]
    for result in results:
        lines.append(
            f"{result.row:{width}} {result.passed:6} {result.failed:6} "
            f"{result.skipped:7} {result.seconds:7} {result.tries:5}"
        )
    return lines


def _fetch(options: machine.Options, rows: Sequence[Row]) -> None:
    host.die_with_parent()
    # Who interrupts xenlab ends this process with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for row in rows:
        # The row will meet it again, and report it.
        with contextlib.suppress(Failure, OSError):
            versions.trees(row.options(options))


@contextlib.contextmanager
def _fetched_ahead(options: machine.Options, rows: Sequence[Row]) -> Iterator[None]:
    """Has all fetched that the rows need, while the first ones run."""
    ahead = multiprocessing.Process(target=_fetch, args=(options, rows))
    ahead.start()
    try:
        yield
    finally:
        ahead.terminate()
        ahead.join()


def _modules(options: machine.Options) -> build.Built:
    """Builds the modules from the start: what is not compiled gives no warning."""
    trees = versions.trees(options)
    output = MODULES / trees.linux.name
    shutil.rmtree(output, ignore_errors=True)
    return build.modules(trees, output=output, strict=True)


def _write(results: Sequence[Result]) -> None:
    partial = RESULTS.with_suffix(".partial")
    text = json.dumps([asdict(result) for result in results], indent=1)
    partial.write_text(text + "\n", encoding="utf-8")
    os.rename(partial, RESULTS)


def _test(
    row: Row, options: machine.Options, built: dict[tuple[str, str, str], build.Built]
) -> suite.Tested:
    """Tests a row; built has the modules of the kernels so far."""
    kernel = (row.arch, row.linux, row.pages)
    try:
        if kernel not in built:
            built[kernel] = _modules(options)
        return suite.run_driver(options, (), built[kernel])
    except Failure as failure:
        return suite.Tested(ktap.Counts(failed=1), failure, 0)
    except OSError as error:
        return suite.Tested(ktap.Counts(failed=1), Failure(Status.BUILD, str(error)), 0)


def run(
    options: machine.Options, wanted: Sequence[str]
) -> tuple[ktap.Counts, list[Failure]]:
    """Tests the wanted rows, or all of them; one that cannot be run has failed.

    However it ends, the table and the file have the rows that came to an end, and no
    others.
    """
    rows = choose(wanted)
    RESULTS.unlink(missing_ok=True)
    total = ktap.Counts()
    failures = []
    results: list[Result] = []
    built: dict[tuple[str, str, str], build.Built] = {}
    try:
        with _fetched_ahead(options, rows):
            for row in rows:
                print(f"{row}:", flush=True)
                start = time.monotonic()
                with ran.collected(f"matrix {row}"):
                    counts, failure, tries = _test(row, row.options(options), built)
                seconds = round(time.monotonic() - start)
                if failure is not None:
                    message = f"{row}: {failure}"
                    failures.append(Failure(failure.status, message, failure.evidence))
                total += counts
                results.append(
                    Result(
                        str(row),
                        counts.passed,
                        counts.failed,
                        counts.skipped,
                        seconds,
                        tries,
                    )
                )
                _write(results)
    finally:
        for line in table(results):
            print(line, flush=True)
    return total, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=3600,
        metavar="SECONDS",
        help="time limit of each machine from power-on (3600)",
    )
    parser.add_argument(
        "row",
        nargs="*",
        help="ARCHITECTURE-LINUX-XEN, such as amd64-6.12-4.20; -pvh, a processor and "
        "the pages' size may follow",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="put the result into README.md and Documentation, if all rows are run and pass",
    )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = machine.Options(timeout=args.timeout)
    commit = ""
    if args.record:
        if args.row:
            raise Failure(Status.USAGE, "--record takes no rows: what is recorded is the whole")
        commit = git.commit()
        # Has it the place? Not to be found out when all has run.
        matrix_page.readme(matrix_page.README.read_text(encoding="utf-8"), [])
    counts, failures = run(options, args.row)
    if args.record and not failures and not counts.failed:
        today = datetime.date.today().isoformat()
        matrix_page.record([row.place() for row in ROWS], commit, today)
    return outcome.close(counts, failures)
