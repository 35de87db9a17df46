# SPDX-License-Identifier: GPL-2.0-only
"""The versions of Linux and Xen that can be chosen, and where Debian has them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lab import fetch, hypervisor, kernel as kernels, machine
from lab.arch import Architecture
from lab.failure import Failure, Status


@dataclass(frozen=True)
class Release:
    """Where Debian has a version."""

    name: str
    # Added to the release's name.
    more: str = ""
    # Its tools, which build modules, do not run on this host.
    needs_root: bool = False
    # It has kernels with larger pages, too.
    large_pages: bool = True


KERNELS: Mapping[str, Release] = {
    "6.1": Release("bookworm", large_pages=False),
    "6.12": Release("bookworm", more="-backports"),
    "7.2": Release("sid", needs_root=True),
    kernels.BALLOONED: Release("bookworm", more="-backports", large_pages=False),
}
XENS: Mapping[str, Release] = {
    "4.14": Release("bullseye"),
    "4.17": Release("bookworm"),
    "4.20": Release("trixie"),
    # On arm64 the one above is built here, with device models.
    "4.20-debian": Release("trixie"),
    hypervisor.SILENT: Release("trixie"),
}

# What building modules takes in a root directory, beside the compiler that comes
# with the kernel's headers.
ROOT = (
    "base-files",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "make",
    "mawk",
    "sed",
)


def kernel(version: str, arch: Architecture, pages: str = "") -> fetch.Spec:
    """Returns what a version of the kernel is in."""
    release = KERNELS[version]
    spec = fetch.linux(arch, pages)
    more = ROOT if release.needs_root else ()
    return replace(spec, packages=(*spec.packages, *more), suite=release.more)


def check(version: str, found: str, release: Release) -> None:
    """Fails when a release has gone on to another version."""
    if not found.startswith(f"{version}."):
        raise Failure(
            Status.BUILD,
            f"Debian {release.name}{release.more} now has {found} where {version} was "
            "expected: see which release has that",
        )


def _linux(version: str, arch: Architecture, pages: str) -> Path:
    if not version:
        return fetch.tree(fetch.linux(arch, pages))
    if version == kernels.BALLOONED:
        return kernels.tree(kernels.ballooned(arch))
    release = KERNELS[version]
    tree = fetch.tree(kernel(version, arch, pages), release.name)
    check(version, fetch.kernel_version(tree), release)
    return tree


def check_pages(options: machine.Options) -> None:
    """Fails where there is no kernel with pages of the size that was chosen."""
    arch, pages, version = options.arch, options.pages, options.linux
    if pages and pages not in arch.pages:
        raise Failure(
            Status.USAGE,
            f"--pages {pages} does not go with --arch {arch.name}, where pages have one "
            "size: leave it out",
        )
    if pages and version and not KERNELS[version].large_pages:
        having = " or ".join(name for name, item in KERNELS.items() if item.large_pages)
        raise Failure(
            Status.USAGE,
            f"--pages {pages} does not go with --kernel {version}, of which Debian has no "
            f"such kernel: choose {having}",
        )


def xen_release(version: str) -> str | None:
    """Returns the release that has a version of Xen; no version: the host's."""
    return XENS[version].name if version else None


def trees(options: machine.Options, built: Path | None = None) -> fetch.Trees:
    """Returns what a machine is made of; no version stands for the host's release.

    A kernel that was built here takes the place of Debian's.
    Where Debian's newest Xen has no device models, the one that is run is built here.
    """
    check_pages(options)
    arch, version, xen = options.arch, options.linux, options.xen
    if options.silent and arch.xen_config:
        raise Failure(
            Status.USAGE,
            f"--xen {xen} does not go with --arch {arch.name}, which has no PV domains: "
            "choose another one",
        )
    linux = built or _linux(version, arch, options.pages)
    found = fetch.Trees(
        arch,
        linux,
        fetch.tree(fetch.xen(arch), xen_release(xen)),
    )
    if not options.silent and (xen != hypervisor.VERSION or not arch.xen_config):
        return found
    built_xen = hypervisor.tree(XENS[xen].name, arch, options.silent)
    return replace(found, hypervisor=built_xen)
