# SPDX-License-Identifier: GPL-2.0-only
"""The patches with the new command alone: one for each source."""

import argparse

from campaigns import arguments, upstream, upstream_qemu
from lab import edit, host


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--kernel", metavar="DIRECTORY", help="a kernel source")
    group.add_argument("--xen", metavar="DIRECTORY", help="a Xen source")
    group.add_argument("--qemu", metavar="DIRECTORY", help="a QEMU source")
    arguments.add_output(parser)


def look(args: argparse.Namespace) -> None:
    """Refuses what is no source, and a file that cannot be written."""
    arguments.look_at_output(args.output)
    if args.kernel is not None:
        edit.kernel(host.path(args.kernel))
    arguments.look_at_sources((args.xen, args.qemu))


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if args.qemu is not None:
        tree = upstream_qemu.make(host.path(args.qemu))
        name = f"upstream-qemu-{tree.read('VERSION').strip()}"
        return arguments.write_patch(tree, upstream_qemu.MESSAGE, name, args.output)
    if args.xen is not None:
        tree, name = upstream.xen(host.path(args.xen)), "upstream-xen"
        return arguments.write_patch(tree, upstream.XEN_MESSAGE, name, args.output)
    tree = upstream.kernel(host.path(args.kernel))
    name = f"upstream-{edit.version(tree)}"
    return arguments.write_patch(tree, upstream.KERNEL_MESSAGE, name, args.output)
