# SPDX-License-Identifier: GPL-2.0-only
"""The selftests on every kernel and every Xen that the driver is for."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import build
import host
import ktap
import machine
import suite
import versions
from arch import ALL
from failure import Failure, Status

RESULTS = host.BUILD / "matrix.json"
MODULES = host.BUILD / "matrix"


@dataclass(frozen=True)
class Row:
    """A combination."""

    arch: str
    linux: str
    xen: str

    def __str__(self) -> str:
        return f"{self.arch}-{self.linux}-{self.xen}"


ROWS = (
    Row("amd64", "6.1", "4.14"),
    Row("amd64", "6.1", "4.17"),
    Row("amd64", "6.1", "4.20"),
    Row("amd64", "6.12", "4.17"),
    Row("amd64", "6.12", "4.20"),
    Row("amd64", "7.2", "4.17"),
    Row("amd64", "7.2", "4.20"),
    Row("arm64", "6.12", "4.17"),
    Row("arm64", "6.12", "4.20"),
    Row("arm64", "7.2", "4.17"),
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
    lines = [f"{'':{width}} passed failed skipped seconds"]
    for result in results:
        lines.append(
            f"{result.row:{width}} {result.passed:6} {result.failed:6} "
            f"{result.skipped:7} {result.seconds:7}"
        )
    return lines


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


def run(
    options: machine.Options, wanted: Sequence[str]
) -> tuple[ktap.Counts, list[Failure]]:
    """Tests the wanted rows, or all of them; one that cannot be run has failed."""
    total = ktap.Counts()
    failures = []
    results = []
    built: dict[tuple[str, str], build.Built] = {}
    for row in choose(wanted):
        start = time.monotonic()
        counts = ktap.Counts()
        failure: Failure | None = None
        chosen = replace(options, arch=ALL[row.arch], linux=row.linux, xen=row.xen)
        kernel = (row.arch, row.linux)
        print(f"{row}:", flush=True)
        try:
            if kernel not in built:
                built[kernel] = _modules(chosen)
            counts, failure = suite.run_driver(chosen, (), built[kernel])
        except Failure as error:
            counts = ktap.Counts(failed=1)
            failure = error
        if failure is not None:
            message = f"{row}: {failure}"
            failures.append(Failure(failure.status, message, failure.evidence))
        total += counts
        seconds = round(time.monotonic() - start)
        results.append(
            Result(str(row), counts.passed, counts.failed, counts.skipped, seconds)
        )
    _write(results)
    for line in table(results):
        print(line, flush=True)
    return total, failures
