# SPDX-License-Identifier: GPL-2.0-only
"""A shell in dom0 on this terminal."""

import argparse

from campaigns import arguments, run
from lab import host, image as images, machine, stock, versions
from lab.failure import Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock", stock.EVENTFDS), 3600)
    arguments.add_files(parser)


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look([arguments.options(args)])
    arguments.look_at_files(args)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = arguments.options(args)
    trees = versions.trees(options)
    load = run.load(args, trees)
    image = images.make(trees)
    host.say("to leave, say 'exit' in dom0's shell, or press Ctrl-A x at any time")
    log = machine.shell(options, image, load)
    host.say(f"the machine has ended (console log: {log})")
    return Status.GOOD
