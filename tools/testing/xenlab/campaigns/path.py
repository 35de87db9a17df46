# SPDX-License-Identifier: GPL-2.0-only
"""The name of such a directory, for others to use."""

import argparse
from pathlib import Path

from campaigns import arguments
from lab import arch, fetch
from lab.failure import Status

KDIR, SOURCE, SYSROOT = "kdir", "source", "sysroot"


def find(what: str, machine: arch.Architecture = arch.HOST) -> Path:
    """Returns such a directory, fetched first if need be."""
    if what == KDIR:
        return fetch.kernel_headers(fetch.tree(fetch.linux(machine)))
    if what == SOURCE:
        return fetch.kernel_source(fetch.tree(fetch.SOURCE))
    return fetch.tree(fetch.xen(machine))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_arch(parser)
    parser.add_argument(
        "what",
        choices=(KDIR, SOURCE, SYSROOT),
        help="kernel headers for KDIR=, kernel source parts, C headers and libraries",
    )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    print(find(args.what, arch.ALL[args.arch]))
    return Status.GOOD
