# SPDX-License-Identifier: GPL-2.0-only
"""One shell command in dom0."""

import argparse
import shlex
import sys

from campaigns import arguments, suite
from lab import build, cpio, fetch, host, image as images, machine, stock, versions
from lab.failure import Failure, Status


def load(args: argparse.Namespace, trees: fetch.Trees) -> machine.Load:
    """Returns what the options and the driver add to dom0."""
    files = cpio.Archive()
    for name in args.add:
        path = host.path(name)
        files.copy(f"opt/{path.name}", path)
    if args.selftests:
        directory = build.selftests(trees)
        built = build.modules(trees)
        suite.put(files, directory, built)
        return machine.Load(suite.modules(args.driver, trees, built), files)
    if args.driver == "ours":
        return machine.Load(build.modules(trees).modules(), files)
    return machine.Load(stock.modules(args.driver, trees), files)


def sink(data: bytes) -> None:
    """Prints what comes out of dom0 at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock", stock.EVENTFDS), 600)
    arguments.add_files(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="[--] COMMAND...",
        help="one word is a shell command line, several are one command",
    )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look([arguments.options(args)])
    arguments.look_at_files(args)
    if not _line(args).strip():
        raise Failure(Status.USAGE, "no command given: xenlab.py run -- COMMAND...")


def _line(args: argparse.Namespace) -> str:
    """Returns the command line for dom0's shell."""
    words: list[str] = args.command[args.command[:1] == ["--"] :]
    return words[0] if len(words) == 1 else shlex.join(words)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    line = _line(args)
    options = arguments.options(args)
    trees = versions.trees(options)
    files = load(args, trees)
    verdict = machine.boot(options, images.make(trees), files, line, sink)
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    return Status.GOOD
