# SPDX-License-Identifier: GPL-2.0-only
"""Xen built from Debian's source, with another configuration than Debian's."""

import hashlib
import os
import re
import shutil
from pathlib import Path

from lab import build, fetch, host
from lab.arch import Architecture
from lab.failure import Failure, Status

VERSION = "4.20"

# Of Debian 13.7, for a mirror that lists a newer one and does not hold it; an older
# one's name cannot be found out.
SPARE = fetch.Archive(
    "pool/main/x/xen/xen_4.20.3+127-gc42374a105.orig.tar.xz",
    "df0831854a55a8f31cb3cb85036f2edc928e2ef098d77f815f5714bfafac68f3",
)

# The same, but like 4.13.2, 4.14.0 and 4.14.1 it says of device-model operations on a PV
# domain that all went well, and does nothing. On amd64, where there are such domains.
SILENT = f"{VERSION}-silent"
# Where it looks whether the domain may have a device model, and what it would say.
_REFUSAL = re.compile(r"rc = -EINVAL;(?=\s+if \( !is_hvm_domain\(d\) \)\s+goto out;)")

# Raise it when the build changes, so that what was built before is built anew.
RECIPE = 1


def _silence(source: Path) -> None:
    """Has Xen's source say that all went well where it refuses a PV domain."""
    path = source / "xen/arch/x86/hvm/dm.c"
    text, found = _REFUSAL.subn("rc = 0;", path.read_text(encoding="utf-8"))
    if found != 1:
        raise Failure(
            Status.BUILD, f"Xen's source refuses PV domains {found} times: see {path.name}"
        )
    path.write_text(text, encoding="utf-8")


def image(arch: Architecture) -> str:
    """Returns what Xen's build calls its image: xen, or xen.gz where it packs it."""
    return f"xen{Path(arch.xen).suffix}"


def _build(release: str, arch: Architecture, target: Path, silent: bool) -> None:
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
        f"XEN_TARGET_ARCH={arch.xen_arch}",
        f"CROSS_COMPILE={arch.cross}",
    )
    build.make(
        "configuring Xen",
        arch.cross,
        *arguments,
        f"KCONFIG_ALLCONFIG={config}",
        "alldefconfig",
    )
    if silent:
        _silence(source)
    build.make("building Xen", arch.cross, *arguments)
    host.directory(target / "boot")
    os.rename(source / "xen" / image(arch), target / arch.xen.replace("*", VERSION))
    shutil.rmtree(source)
    archive.unlink()


def tree(release: str, arch: Architecture, silent: bool = False) -> Path:
    """Returns the tree of Xen built here, and builds it first if the cache lacks it."""
    changed = f" {_REFUSAL.pattern}" if silent else ""
    recipe = f"{RECIPE} {release} {arch.name} {arch.xen_config}{changed}"
    key = hashlib.sha256(recipe.encode())
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
        _build(release, arch, partial, silent)
        os.rename(partial, final)
    return final
