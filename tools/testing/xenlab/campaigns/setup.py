# SPDX-License-Identifier: GPL-2.0-only
"""The Debian packages that this host lacks: installed."""

import argparse

from lab import packages
from lab.failure import Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "group",
        nargs="*",
        help=f"what they are for: {' '.join(packages.GROUPS)}, or {packages.ALL}; says "
        "first how large they are, and asks if there is a terminal and YES is not 1; "
        "removes nothing, and takes no root where nothing is missing",
    )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    packages.setup(args.group)
    return Status.GOOD
