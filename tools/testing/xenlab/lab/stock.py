# SPDX-License-Identifier: GPL-2.0-only
"""The driver of Debian's kernel, built with the option that Debian leaves off."""

import os
from pathlib import Path

from lab import build, fetch, host, kernel, kmod
from lab.failure import Failure, Status

# What --driver takes beside ours: the driver as Debian builds it, and with the option.
DEBIANS = "stock"
EVENTFDS = "stock-eventfds"
# The kernel that has the option and whose modules this host's tools build.
VERSION = "6.12"

# Raise it when the build changes, so that what was built before is built anew.
RECIPE = 1

KBUILD = """\
ccflags-y := -DCONFIG_XEN_PRIVCMD_EVENTFD=1
obj-m := xen-privcmd.o
xen-privcmd-y := drivers/xen/privcmd.o drivers/xen/privcmd-buf.o
"""


def _eventfds(trees: fetch.Trees) -> Path:
    """Returns the driver with the option on, built first if need be."""
    version = fetch.kernel_version(trees.linux)
    if not version.startswith(f"{VERSION}."):
        raise Failure(
            Status.USAGE,
            f"--driver {EVENTFDS} is for Linux {VERSION}, not for {version}: add "
            f"--kernel {VERSION}",
        )
    source = fetch.tree(kernel.source(VERSION))
    final = host.BUILD / EVENTFDS / f"{trees.linux.name}-{source.name}-{RECIPE}"
    with host.locked(EVENTFDS):
        if not final.is_dir():
            archive = fetch.only(source, "linux-source-*.tar.xz")
            partial = final.with_name("partial")
            host.unpack(archive, ("drivers/xen/privcmd*.[ch]",), partial)
            (partial / "Kbuild").write_text(KBUILD, encoding="utf-8")
            build.external("building the kernel's driver with eventfds", trees, partial)
            os.rename(partial, final)
    return final / "xen-privcmd.ko"


def modules(driver: str, trees: fetch.Trees) -> list[kmod.Module]:
    """Returns what takes the place of the kernel's own driver."""
    if driver == DEBIANS:
        return []
    return [kmod.read(_eventfds(trees), "updates/xen-privcmd.ko")]
