# SPDX-License-Identifier: GPL-2.0-only
"""The selftests on every kernel and every Xen that the driver is for."""

import argparse
import contextlib
import datetime
import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from campaigns import arguments, check, matrix_page, outcome, suite
from lab import build, git, host, ktap, machine, ran, versions
from lab.arch import ALL, SINGLE_THREAD
from lab.failure import Failure, Status

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


def choose(wanted: Sequence[str]) -> list[Row]:
    """Returns the wanted rows, each once, or all of them."""
    by_name = {str(row): row for row in ROWS}
    for name in wanted:
        if name not in by_name:
            raise Failure(
                Status.USAGE, f"there is no row {name}; there are: {' '.join(by_name)}"
            )
    return [by_name[name] for name in dict.fromkeys(wanted or by_name)]


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


def _modules(row: Row, options: machine.Options) -> build.Built:
    """Builds the modules from the start: what is not compiled gives no warning."""
    output = MODULES / str(row)
    shutil.rmtree(output, ignore_errors=True)
    return build.modules(versions.trees(options), output=output, strict=True)


def run_row(row: Row, options: machine.Options) -> tuple[ktap.Counts, list[Failure]]:
    """Tests a row; one that cannot be run has failed."""
    with ran.collected(f"matrix {row}"):
        try:
            tested = suite.run_driver(options, (), _modules(row, options))
        except Failure as failure:
            return ktap.Counts(failed=1), [failure]
        except OSError as error:
            return ktap.Counts(failed=1), [Failure(Status.BUILD, str(error))]
    return tested.counts, [] if tested.failure is None else [tested.failure]


def _again(results: Sequence[check.Result]) -> list[str]:
    """Says which rows took more than one machine."""
    return [
        f"{result.check.name}: once more {times} times"
        for result in results
        if (times := result.text.count(machine.ONCE_MORE))
    ]


def run(
    options: machine.Options, rows: Sequence[Row], lanes: int, timeout: float
) -> ktap.Counts:
    """Tests rows, each by a command of its own; says what went wrong, and prints a table."""
    limit = ("--timeout", f"{timeout:.0f}")
    checks = [check.Check(str(row), ("matrix", *limit, str(row))) for row in rows]
    with _fetched_ahead(options, rows):
        results = check.run_all(checks, lanes)
    for line in _again(results):
        print(line, flush=True)
    return sum((result.counts for result in results), ktap.Counts())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=3600,
        metavar="SECONDS",
        help="time limit of each machine from power-on (3600)",
    )
    check.add_lanes(parser)
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


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments, and with what the record goes into."""
    choose(args.row)
    if args.record:
        if args.row:
            raise Failure(Status.USAGE, "--record takes no rows: what is recorded is the whole")
        git.commit()
        matrix_page.readme(matrix_page.README.read_text(encoding="utf-8"), [])


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = machine.Options(timeout=args.timeout)
    commit = git.commit() if args.record else ""
    rows = choose(args.row)
    if len(rows) == 1:
        return outcome.close(*run_row(rows[0], rows[0].options(options)))
    counts = run(options, rows, args.lanes or check.default_lanes(), args.timeout)
    if args.record and not counts.failed:
        today = datetime.date.today().isoformat()
        matrix_page.record([row.place() for row in ROWS], commit, today)
    return outcome.close(counts, [])
