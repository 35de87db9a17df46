# SPDX-License-Identifier: GPL-2.0-only
"""The same requests to both drivers: every difference is a defect or is listed."""

import argparse
from dataclasses import replace

from campaigns import arguments, outcome, suite
from lab import arch, build, cpio, host, image as images, ktap, machine, versions
from lab.failure import Failure, Status

PROGRAM = "/opt/xen-selftests/differential"
EXPECTED = host.DATA / "differences"

# What a driver made of each request, in the order they were made.
Record = dict[str, str]


class ListError(ValueError):
    """A line of the list of expected differences that makes no sense."""


def parse(text: str) -> Record:
    """Reads what the program printed: "request TAB result" lines.

    A request whose name begins with "..." goes on where the one before it left.
    """
    record: Record = {}
    whole = ""
    for line in text.splitlines():
        name, tab, result = line.partition("\t")
        if not tab:
            continue
        if name.startswith("..."):
            name = f"{whole} {name}"
        else:
            whole = name
        if name in record:
            raise Failure(Status.BUILD, f"two requests have the name: {name}")
        record[name] = result
    return record


def read_expected(text: str) -> dict[str, tuple[str, str]]:
    """Reads the expected differences: request, stock's result, ours, reason.

    These are separated by tabs. A line that begins with # is a comment.
    """
    expected: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split("\t")
        if len(parts) != 4 or not all(part.strip() for part in parts):
            raise ListError(
                f"line {number}: want request, stock's result, ours and a reason, "
                "separated by tabs"
            )
        if parts[0] in expected:
            raise ListError(f"line {number}: a second entry for {parts[0]}")
        expected[parts[0]] = (parts[1], parts[2])
    return expected


def compare(
    stock: Record, ours: Record, expected: dict[str, tuple[str, str]]
) -> tuple[ktap.Counts, list[str]]:
    """Returns how many requests came out as they should, and what did not."""
    wrong: list[str] = []
    for name in [*stock, *(name for name in ours if name not in stock)]:
        results = (stock.get(name, "not made"), ours.get(name, "not made"))
        if name in expected:
            if results[0] == results[1]:
                wrong.append(f"{name}: listed, but no longer differs: {results[0]}")
            elif results != expected[name]:
                wrong.append(
                    f"{name}: stock {results[0]}, ours {results[1]}; listed as "
                    f"stock {expected[name][0]}, ours {expected[name][1]}"
                )
        elif results[0] != results[1]:
            wrong.append(f"{name}: stock {results[0]}, ours {results[1]}")
    wrong += [
        f"{name}: listed, but no such request"
        for name in expected
        if name not in stock and name not in ours
    ]
    total = len(stock.keys() | ours.keys() | expected.keys())
    return ktap.Counts(passed=total - len(wrong), failed=len(wrong)), wrong


def _record(options: machine.Options) -> Record:
    """Makes the requests with one driver; the record is kept below build/."""
    trees = versions.trees(options)
    built = build.modules(trees)
    files = cpio.Archive()
    suite.put(files, build.selftests(trees), built)
    output = bytearray()
    verdict = machine.boot(
        options,
        images.make(trees),
        machine.Load(suite.modules(options.driver, trees, built), files),
        PROGRAM,
        output.extend,
        "differential",
    )
    text = output.decode("utf-8", errors="replace")
    directory = host.directory(host.BUILD / "differential" / options.arch.name)
    kept = directory / options.driver
    kept.write_text(text, encoding="utf-8")
    host.say(f"{options.driver} on {options.arch.name}: record in {kept}")
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    return parse(text)


def run(options: machine.Options) -> ktap.Counts:
    """Runs the program on both drivers and compares the records."""
    path = EXPECTED / options.arch.name
    try:
        expected = read_expected(path.read_text(encoding="utf-8"))
    except ListError as error:
        raise Failure(Status.USAGE, f"{path}, {error}") from error
    stock, ours = (
        _record(replace(options, driver=driver)) for driver in ("stock", "ours")
    )
    counts, wrong = compare(stock, ours, expected)
    for line in wrong:
        print(f"  FAIL {line}", flush=True)
    print(f"{options.arch.name}: {len(stock)} requests, {len(expected)} expected differences", flush=True)
    return counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, (), 900, arguments.BOTH)
    # Each request is made by one process.
    parser.set_defaults(accel=arch.SINGLE_THREAD)


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look(arguments.each_arch(args))


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    total = ktap.Counts()
    for options in arguments.each_arch(args):
        total += run(options)
    return outcome.close(total, [])
