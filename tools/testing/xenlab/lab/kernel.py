# SPDX-License-Identifier: GPL-2.0-only
"""A dom0 kernel of our own, built from Debian's source with another configuration."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import build, fetch, host
from lab.arch import Architecture
from lab.failure import Failure, Status

# Raise it when the build changes, so that kernels made before are made anew.
RECIPE = 1

# What building modules takes of a kernel's tree.
KEPT = (
    ".config",
    "Makefile",
    "Module.symvers",
    "arch/{arch}/Makefile",
    "arch/{arch}/include",
    "include",
    "scripts",
)


def _archive(tree: Path) -> Path:
    return fetch.only(tree, "linux-source-*.tar.xz")


def _finish(tree: Path) -> None:
    archive = _archive(tree / "usr/src")
    os.rename(archive, tree / archive.name)
    for path in tree.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def source(version: str) -> fetch.Spec:
    """Returns what the source of a kernel is in, whole and packed."""
    return fetch.Spec("kernel-source", (f"linux-source-{version}",), _finish)


# The kernel that Debian has both for this release and for the next one.
VERSION = "6.12"
SOURCE = source(VERSION)

# That one, built here without CONFIG_XEN_UNPOPULATED_ALLOC.
BALLOONED = f"{VERSION}-ballooned"


@dataclass(frozen=True)
class Change:
    """A change to the source before it is built; another one has another key."""

    key: bytes
    make: Callable[[Path], None]


NONE = Change(b"", lambda source: None)


def dom0_fragments(arch: Architecture) -> list[str]:
    """Returns the settings that a dom0 takes: all kernels', then an architecture's."""
    names = ("dom0.config", f"dom0-{arch.name}.config")
    return [(host.DATA / name).read_text(encoding="utf-8") for name in names]


@dataclass(frozen=True)
class Wanted:
    """A kernel to build."""

    name: str
    # The settings that are not to be off.
    config: str
    arch: Architecture
    change: Change = NONE

    @property
    def label(self) -> str:
        """Returns what the kernel is called where a person reads it."""
        return f"{self.name} {self.arch.name}"


def ballooned(arch: Architecture) -> Wanted:
    """Returns the kernel that has no address space for foreign frames but its memory."""
    config = "\n".join(dom0_fragments(arch))
    return Wanted("ballooned", config.replace("CONFIG_XEN_UNPOPULATED_ALLOC=y\n", ""), arch)


def missing(wanted: str, config: str) -> list[str]:
    """Returns the settings of a fragment that a configuration lacks."""
    there = set(config.splitlines())
    return [
        line
        for line in wanted.splitlines()
        if line.startswith("CONFIG_") and line not in there
    ]


def _configure(source: Path, wanted: Wanted) -> None:
    fragment = source / "wanted.config"
    fragment.write_text(wanted.config, encoding="utf-8")
    build.make(
        "configuring the kernel",
        wanted.arch.cross,
        *("-C", str(source)),
        f"KCONFIG_ALLCONFIG={fragment}",
        "allnoconfig",
    )
    lacking = missing(wanted.config, (source / ".config").read_text(encoding="utf-8"))
    if lacking:
        raise Failure(
            Status.BUILD,
            f"the {wanted.label} kernel does not take {', '.join(lacking)}: "
            "see what these depend on",
        )


def _name_compiler(makefile: Path, arch: Architecture) -> None:
    """Has a kernel's makefile build for an architecture without being told."""
    text = makefile.read_text(encoding="utf-8")
    first = f"export ARCH := {arch.linux}\nexport CROSS_COMPILE := {arch.cross}\n"
    makefile.write_text(first + text, encoding="utf-8")


def _build(archive: Path, wanted: Wanted, target: Path) -> None:
    """Makes a tree like that of Debian's kernel packages."""
    arch = wanted.arch
    source = target / "source"
    source.mkdir(parents=True)
    host.command(
        "unpacking the kernel source",
        [
            host.tool("tar"),
            *("-xJf", str(archive)),
            *("-C", str(source)),
            "--strip-components=1",
        ],
    )
    wanted.change.make(source)
    _name_compiler(source / "Makefile", arch)
    _configure(source, wanted)
    build.make(
        f"building the {wanted.label} kernel",
        arch.cross,
        *("-C", str(source)),
        arch.image,
        "modules",
    )
    build.make(
        "installing the kernel's modules",
        arch.cross,
        *("-C", str(source)),
        f"INSTALL_MOD_PATH={target}",
        "modules_install",
    )
    release = (source / "include/config/kernel.release").read_text(encoding="utf-8")
    version = release.strip()
    for name in ("build", "source"):
        (target / "lib/modules" / version / name).unlink(missing_ok=True)
    host.directory(target / "boot")
    image = source / f"arch/{arch.linux}/boot" / arch.image
    os.rename(image, target / f"boot/vmlinuz-{version}")
    headers = target / f"usr/src/linux-headers-{version}"
    for pattern in (*KEPT, *arch.tools):
        path = pattern.format(arch=arch.linux)
        host.directory((headers / path).parent)
        os.rename(source / path, headers / path)
    shutil.rmtree(source)


def tree(wanted: Wanted) -> Path:
    """Returns a kernel's tree, and builds it first if the cache lacks it."""
    source = fetch.tree(SOURCE)
    arch = wanted.arch
    key = hashlib.sha256(f"{RECIPE} {KEPT} {source.name} {arch.name} ".encode())
    key.update(wanted.config.encode() + wanted.change.key)
    name = f"kernel-{wanted.name}-{arch.name}"
    final = host.CACHE / f"{name}-{key.hexdigest()[:12]}"
    if final.is_dir():
        return final
    with host.locked("kernel"):
        if final.is_dir():
            return final
        partial = host.CACHE / "partial-kernel"
        for old in [partial, *host.CACHE.glob(f"{name}-*")]:
            shutil.rmtree(old, ignore_errors=True)
        host.say(f"building the {wanted.label} kernel, once: this takes a while")
        _build(_archive(source), wanted, partial)
        os.rename(partial, final)
    return final
