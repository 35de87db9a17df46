# SPDX-License-Identifier: GPL-2.0-only
"""The demo of samples/xen in dom0."""

import argparse

from campaigns import arguments, run, suite
from lab import build, cpio, image as images, machine, programs, versions
from lab.failure import Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock"), 600)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = arguments.options(args)
    trees = versions.trees(options)
    modules = build.modules(trees).modules() if args.driver == "ours" else []
    files = cpio.Archive()
    suite.put_programs(files, build.demo(trees))
    verdict = machine.boot(
        options,
        images.make(trees),
        machine.Load(modules, files),
        f"{programs.DIRECTORY}/demo",
        run.sink,
        "demo",
    )
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    return Status.GOOD
