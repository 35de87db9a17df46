# SPDX-License-Identifier: GPL-2.0-only
"""Xen built from Debian's source, with another configuration than Debian's."""

import hashlib
import os
import shutil
from pathlib import Path

from lab import build, fetch, host
from lab.arch import Architecture

VERSION = "4.20"

# Of Debian 13.7, for a mirror that lists a newer one and does not hold it; an older
# one's name cannot be found out.
SPARE = fetch.Archive(
    "pool/main/x/xen/xen_4.20.3+127-gc42374a105.orig.tar.xz",
    "df0831854a55a8f31cb3cb85036f2edc928e2ef098d77f815f5714bfafac68f3",
)

# Raise it when the build changes, so that what was built before is built anew.
RECIPE = 1


def _build(release: str, arch: Architecture, target: Path) -> None:
    """Builds Xen into a directory like that of Debian's package."""
    archive = fetch.source("xen", release, target, SPARE)
    source = target / "source"
    source.mkdir()
    host.command(
        "unpacking Xen's source",
        [
            host.tool("tar"),
            *("-xf", str(archive)),
            *("-C", str(source)),
            "--strip-components=1",
        ],
    )
    config = target / "config"
    config.write_text(arch.xen_config, encoding="ascii")
    arguments = (
        *("-C", str(source / "xen")),
        f"XEN_TARGET_ARCH={arch.name}",
        f"CROSS_COMPILE={arch.cross}",
    )
    build.make(
        "configuring Xen",
        arch.cross,
        *arguments,
        f"KCONFIG_ALLCONFIG={config}",
        "alldefconfig",
    )
    build.make("building Xen", arch.cross, *arguments)
    host.directory(target / "boot")
    os.rename(source / "xen/xen", target / f"boot/xen-{VERSION}-{arch.name}")
    shutil.rmtree(source)
    archive.unlink()


def tree(release: str, arch: Architecture) -> Path:
    """Returns the tree of Xen built here, and builds it first if the cache lacks it."""
    key = hashlib.sha256(f"{RECIPE} {release} {arch.name} {arch.xen_config}".encode())
    final = host.CACHE / f"hypervisor-{release}-{arch.name}-{key.hexdigest()[:12]}"
    if final.is_dir():
        return final
    with host.locked("hypervisor"):
        if final.is_dir():
            return final
        partial = host.directory(host.CACHE) / "partial-hypervisor"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        host.say(f"building Xen {VERSION} for {arch.name}, once")
        _build(release, arch, partial)
        os.rename(partial, final)
    return final
