# SPDX-License-Identifier: GPL-2.0-only
"""The demo of samples/xen in dom0."""

import argparse
import re

from campaigns import arguments, run, suite
from lab import build, cpio, host, image as images, machine, programs, versions
from lab.arch import AMD64
from lab.failure import Failure, Status

README = host.REPO / "README.md"
SECTION = "## See it"
OMITTED = "..."


def _same(line: str) -> str:
    """Returns a line without what is another number each time."""
    return re.sub(r"\d+ accesses +", "accesses ", line.rstrip())


def shown(readme: str) -> list[str]:
    """Returns what README shows of the demo's output: the last block of its section."""
    section = readme.partition(f"\n{SECTION}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.M)
    lines = [line[4:] for line in blocks[-1].splitlines()] if blocks else []
    return [line for line in lines if line != OMITTED]


def untrue(readme: str, output: str) -> str:
    """Returns the first line that README shows and the demo did not print there, if any."""
    printed = iter([_same(line) for line in output.splitlines()])
    return next((line for line in shown(readme) if _same(line) not in printed), "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock"), 600)


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look([arguments.options(args)])


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = arguments.options(args)
    trees = versions.trees(options)
    modules = build.modules(trees).modules() if args.driver == "ours" else []
    files = cpio.Archive()
    suite.put_programs(files, build.demo(trees))
    output = bytearray()

    def sink(data: bytes) -> None:
        run.sink(data)
        output.extend(data)

    verdict = machine.boot(
        options,
        images.make(trees),
        machine.Load(modules, files),
        f"{programs.DIRECTORY}/demo",
        sink,
        "demo",
    )
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    line = untrue(README.read_text(encoding="utf-8"), output.decode(errors="replace"))
    if line and options.arch is AMD64:
        raise Failure(Status.COMMAND, f"README.md shows what the demo does not print: {line}")
    return Status.GOOD
