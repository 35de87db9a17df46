# SPDX-License-Identifier: GPL-2.0-only
"""The selftests on a kernel that has the driver built in."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from campaigns import arguments, debug, outcome, overlay, suite
from lab import build, cpio, fetch, host, hypervisor, kernel, ktap, machine, versions
from lab.arch import ARM64, SINGLE_THREAD
from lab.failure import Failure

SCRATCH = host.BUILD / "overlay"
# What the patch needs of a kernel's source.
KERNEL_PARTS = (
    "Documentation/*/index.rst",
    "Kbuild",
    "MAINTAINERS",
    "drivers/xen",
    "include/linux",
    "include/uapi/xen",
    "include/xen",
    "tools/testing/selftests/Makefile",
)
# What of the patch is built.
BUILT_PARTS = ("drivers/", "include/")
# Has a guest and dom0 wait for each other.
WAITING = "doorbell_test"
TEST_MODULES = "tools/testing/selftests/xen/test_modules"

BUILTIN = """\
CONFIG_LOCALVERSION="-builtin"
CONFIG_XENFS=y
CONFIG_XEN_DM_OP=y
CONFIG_XEN_PRIVCMD=y
"""


def fragment(texts: Sequence[str]) -> str:
    """Returns the debug kernel's configuration without what finds defects."""
    plain = [text.partition("\n\n# What finds defects")[0] for text in texts]
    named = {line.partition("=")[0] for line in BUILTIN.splitlines()}
    lines = "\n".join(plain).splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in named]
    return "\n".join(kept) + "\n" + BUILTIN


def _change() -> kernel.Change:
    """Returns what the driver's patch changes; other tests make no other kernel."""
    archive = fetch.only(fetch.tree(kernel.SOURCE), "linux-source-*.tar.xz")
    tree = overlay.make(host.unpack(archive, KERNEL_PARTS, SCRATCH / "parts"))
    return kernel.Change(tree.digest(BUILT_PARTS), tree.apply)


def _test_module(trees: fetch.Trees) -> build.Built:
    """Builds the tests' own module; the kernel has the others built in."""
    output = SCRATCH / "test_modules"
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(host.REPO / TEST_MODULES, output)
    build.make(
        "building the test module",
        trees.arch.cross,
        *("-C", str(fetch.kernel_headers(trees.linux)), f"M={output}", "modules"),
    )
    return build.Built(output)


def run(
    options: machine.Options, wanted: Sequence[str]
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the tests, or some of them."""
    config = fragment(debug.fragments(ARM64))
    built = kernel.tree(kernel.Wanted("builtin", config, ARM64, _change()))
    options = replace(
        options,
        arch=ARM64,
        driver="ours",
        xen=hypervisor.VERSION,
    )
    trees = versions.trees(options, built)
    directory = build.selftests(trees)
    files = cpio.Archive()
    suite.put(files, directory, _test_module(trees))
    chosen = suite.choose(directory, wanted)
    waiting = [name for name in chosen if name == WAITING]
    others = [name for name in chosen if name != WAITING]
    expected = suite.expected_skips(options, trees, "builtin")
    total = ktap.Counts()
    failures = []
    for accel, names in ((options.accel, others), (SINGLE_THREAD, waiting)):
        if not names:
            continue
        counts, failure, _ = suite.run_programs(
            replace(options, accel=accel),
            trees,
            machine.Load((), files),
            names,
            expected,
        )
        total += counts
        failures += [failure] if failure else []
    return total, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_timeout(parser, 3600)
    parser.add_argument("program", nargs="*", help="test programs (default: all)")


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    suite.refuse_unknown(args.program)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(machine.Options(timeout=args.timeout), args.program))
