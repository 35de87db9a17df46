# SPDX-License-Identifier: GPL-2.0-only
"""QEMU 10 for Arm's guests, which libxl does not tell how many vCPUs there are.

Debian has none for Xen on arm64: it is built without the patch, and with it.
"""

import argparse
from dataclasses import replace

from campaigns import arguments, outcome, qemu, toolstack, upstream_check
from campaigns.toolstack import Check
from lab import (
    build,
    cpio,
    fetch,
    host,
    hypervisor,
    image as images,
    kmod,
    ktap,
    machine,
    versions,
)
from lab.arch import ARM64
from lab.failure import Failure

SCRIPT = host.DATA / "qemu-arm64-checks"

QEMU = qemu.Recipe(
    release=versions.XENS[hypervisor.VERSION].name,
    arch=ARM64,
    guest="aarch64",
    more=(f"--cross-prefix={ARM64.cross}",),
    plain=True,
    devices="CONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_RNG=y\n",
)
TOOLS = fetch.Spec(
    "toolstack",
    ("busybox", "coreutils", "xen-utils-4*", "xenstore-utils"),
    lambda tree: None,
    architecture=ARM64.name,
)
# What QEMU takes beside Xen's libraries and those of dom0's other programs.
LIBRARIES = (
    "libfdt.so.1",
    "libglib-2.0.so.0",
    "libatomic.so.1",
    "libpcre2-8.so.0",
    "libz.so.1",
)
GUEST_MODULES = ("virtio_mmio", "virtio-rng")
MEMORY = 1024

BOOT = 1800
CHECKS = (
    *toolstack.START,
    Check("plain_starts", script=SCRIPT),
    Check("plain_boots", BOOT, script=SCRIPT),
    Check("plain_serves_the_first_vcpu", script=SCRIPT),
    Check("plain_leaves_the_second_vcpu_waiting", script=SCRIPT),
    Check("plain_is_destroyed", script=SCRIPT),
    Check("asks_in_its_sandbox", script=SCRIPT),
    Check("asking_starts_and_warns", script=SCRIPT),
    Check("asking_is_sandboxed", script=SCRIPT),
    Check("asking_is_limited", script=SCRIPT),
    Check("asking_boots", BOOT, script=SCRIPT),
    Check("asking_serves_each_vcpu", BOOT, script=SCRIPT),
    Check("asking_moves_data_for_each_vcpu", BOOT, script=SCRIPT),
    Check("asking_is_destroyed", script=SCRIPT),
    *toolstack.END,
    toolstack.LOGS,
)


def _files(trees: fetch.Trees, image: images.Image) -> cpio.Archive:
    """Returns what dom0 gets: the toolstack, both QEMUs, the guest and the checks."""
    here = toolstack.DIRECTORY
    files = toolstack.installed(fetch.tree(TOOLS, QEMU.release))
    qemu.put_qemu(files, QEMU, f"{here}/asking-qemu")
    plain = qemu.binary(QEMU)
    files.copy(f"{here}/plain-qemu", plain.with_name(f"{plain.name}{qemu.WITHOUT_PATCH}"))
    built_for = fetch.tree(QEMU.packages, QEMU.release)
    libs = qemu.library_place(built_for)
    for name in LIBRARIES:
        library = next(built_for.glob(f"**/{name}"))
        files.data(f"{libs}/{name}", library.read_bytes(), 0o755)
    upstream_check.put_strace(files, ARM64, QEMU.release)
    tree = trees.linux / "lib/modules" / image.version
    modules = kmod.installed(tree, GUEST_MODULES)
    selftests = build.selftests(trees)
    guest = toolstack.plain_guest(trees, image, [selftests / "read-device"], modules)
    files.data(f"{here}/hvm.cpio.gz", guest)
    files.copy(f"{here}/vmlinuz", image.kernel)
    for name in ("copy-files", "limits"):
        files.copy(f"{here}/{name}", selftests / name)
    for script in (toolstack.SCRIPT, qemu.SCRIPT, SCRIPT):
        files.copy(f"{here}/{script.name}", script)
    return files


def run(options: machine.Options) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the checks on one driver, in one boot."""
    options = replace(options, arch=ARM64, xen=hypervisor.VERSION, memory=MEMORY)
    trees = versions.trees(options)
    image = images.make(trees)
    modules = build.modules(trees).modules() if options.driver == "ours" else []
    load = machine.Load(modules, _files(trees, image))
    return toolstack.run_loaded(options, CHECKS, trees, image, load)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--driver", choices=("ours", "stock"), default="ours", help="the privcmd module"
    )
    arguments.add_timeout(parser, 7200)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(machine.Options(driver=args.driver, timeout=args.timeout)))
