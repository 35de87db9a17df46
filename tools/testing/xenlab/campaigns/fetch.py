# SPDX-License-Identifier: GPL-2.0-only
"""The directories that Debian's packages are unpacked into."""

import argparse

from campaigns import arguments
from lab import arch, fetch
from lab.failure import Failure, Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_arch(parser)
    parser.add_argument(
        "tree", nargs="*", help="linux, xen or source (default: all of them)"
    )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    chosen = arch.ALL[args.arch]
    specs = (fetch.linux(chosen), fetch.xen(chosen), fetch.SOURCE)
    by_name = {spec.name: spec for spec in specs}
    for name in args.tree:
        if name not in by_name:
            raise Failure(Status.USAGE, f"{name}: not one of {', '.join(by_name)}")
    for name in args.tree or by_name:
        print(f"{name} {fetch.tree(by_name[name])}", flush=True)
    return Status.GOOD
