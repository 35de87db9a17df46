# SPDX-License-Identifier: GPL-2.0-only
"""Which tests ran, where, and how each ended: build/ran.json."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab import host, ktap

FILE = host.BUILD / "ran.json"
# Names the file that a command adds its tests to, for the one that started it.
VARIABLE = "XENLAB_RAN"

# Platform, program, test, outcome, why it was skipped.
Row = list[str]


def note(platform: str, report: ktap.Report) -> None:
    """Adds the tests of a program, if somebody collects them."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    with open(name, "a", encoding="utf-8") as file:
        for result in report.results:
            row = [platform, report.program, result.name, result.outcome.value, result.reason]
            file.write(json.dumps(row) + "\n")


def read(path: Path) -> list[Row]:
    """Returns what was noted; of a test that was repeated, the last outcome."""
    last: dict[tuple[str, ...], Row] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row: Row = json.loads(line)
            last[tuple(row[:3])] = row
    return sorted(last.values())


def write(checks: Mapping[str, Sequence[Row]]) -> None:
    """Writes what ran; what other checks wrote before stays."""
    with host.locked("ran"):
        try:
            found = json.loads(FILE.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        found.update(checks)
        lines = [
            f"{json.dumps(name)}: [\n"
            + ",\n".join(json.dumps(row) for row in rows)
            + "\n]"
            for name, rows in sorted(found.items())
        ]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


@contextlib.contextmanager
def collected(name: str) -> Iterator[None]:
    """Writes the tests that run meanwhile, if any do, however that ends."""
    path = host.directory(host.BUILD / "logs") / f"{name}.ran"
    path.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(path)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if path.exists():
            write({name: read(path)})
