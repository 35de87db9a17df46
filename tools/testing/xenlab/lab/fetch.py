# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages, unpacked into the cache without root and never installed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import host
from lab.arch import HOST, Architecture
from lab.failure import Failure, Status

# What the tests, lint and the documentation use of a kernel source tree; the
# rest of it would take 1.3 GB.
SOURCE_PARTS = (
    "Documentation/conf.py",
    "Documentation/sphinx",
    "scripts/Kbuild.include",
    "scripts/Makefile.compiler",
    "scripts/checkpatch.pl",
    "scripts/const_structs.checkpatch",
    "scripts/kernel-doc",
    "scripts/spelling.txt",
    "scripts/subarch.include",
    "tools/arch/x86/include",
    "tools/build",
    "tools/include",
    "tools/scripts",
    "tools/testing/selftests",
)

# A part of the package apt, not on the PATH.
APT_HELPER = "/usr/lib/apt/apt-helper"


@dataclass(frozen=True)
class Spec:
    """A set of packages that is unpacked into one directory."""

    name: str
    packages: Sequence[str]
    finish: Callable[[Path], None]
    architecture: str = HOST.name
    # What else it needs, such as tools, is for the host.
    for_host: bool = False
    # Added to the Debian release's name: where the newest of its packages are.
    suite: str = ""
    # Raise it when finish changes, so that trees made before are made anew.
    recipe: int = 1


def only(directory: Path, pattern: str) -> Path:
    """Returns the one path that matches."""
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "nothing"
        raise Failure(
            Status.BUILD,
            f"the fetched packages hold {names} where one {pattern} was expected: "
            "the mirror may be in the middle of an update, try again later",
        )
    return found[0]


def _finish_linux(tree: Path) -> None:
    """Makes the headers usable where they lie, and checks that they fit."""
    # Since Linux 7 a maintainer script would copy it from there.
    for path in tree.glob("usr/lib/modules/*/vmlinuz"):
        os.rename(path, tree / "boot" / f"vmlinuz-{path.parent.name}")
    image = only(tree, "boot/vmlinuz-*").name.removeprefix("vmlinuz-")
    headers = kernel_headers(tree)
    if headers.name.removeprefix("linux-headers-") != image:
        raise Failure(
            Status.BUILD,
            f"kernel image {image} and {headers.name} are of different versions: "
            "the mirror may be in the middle of an update, try again later",
        )
    makefile = headers / "Makefile"
    text = makefile.read_text(encoding="utf-8")
    here = "$(dir $(realpath $(lastword $(MAKEFILE_LIST))))../"
    makefile.write_text(text.replace("/usr/src/", here), encoding="utf-8")
    if is_root(tree):
        # What maintainer scripts and the kernel would make.
        (tree / "usr/bin/awk").symlink_to("mawk")
        for name in ("dev", "proc"):
            (tree / name).mkdir(exist_ok=True)
    else:
        # The headers package depends on a compiler; the host's is used.
        shutil.rmtree(tree / "usr/lib/gcc", ignore_errors=True)


def finish_xen(tree: Path) -> None:
    """Checks what Xen's own build needs, and makes the links of a merged /usr.

    libc's linker script names its libraries below /lib.  Debian 11 has links to
    libraries that begin with a slash, and so would lead out of the tree.
    """
    for link in [*tree.glob("lib64/*.so.*"), *tree.glob("usr/lib/*/*.so")]:
        if link.is_symlink() and os.readlink(link).startswith("/"):
            target = tree / os.readlink(link).lstrip("/")
            link.unlink()
            link.symlink_to(os.path.relpath(target, link.parent))
    for name in ("lib", "lib64"):
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    only(tree, "usr/lib/*/libxenctrl.so.*.*.*")


def _finish_source(tree: Path) -> None:
    archive = only(tree, "usr/src/linux-source-*.tar.xz")
    name = archive.name.removesuffix(".tar.xz")
    host.command(
        "unpacking the kernel source",
        [
            host.tool("tar"),
            "-xJf",
            str(archive),
            "-C",
            str(tree),
            *(f"{name}/{part}" for part in SOURCE_PARTS),
        ],
    )
    shutil.rmtree(tree / "usr")


# Versions come from meta-packages, a -dev package's dependency and a pattern:
# point releases vanish from mirrors. The kernel image and its headers must be
# of one version, and so must Xen, its libraries and their headers: each of
# these is one tree.
def linux(arch: Architecture, pages: str = "") -> Spec:
    """Returns what the kernel is in, with what builds modules for it here.

    pages is the size of its pages, where that is not the architecture's usual one.
    """
    name = f"{arch.name}-{pages}" if pages else arch.name
    if arch is not HOST:
        name += f":{arch.name}"
    return Spec(
        "linux",
        (f"linux-image-{name}", f"linux-headers-{name}"),
        _finish_linux,
        architecture=arch.name,
        for_host=True,
        suite=arch.kernel_suite,
    )


def xen(arch: Architecture) -> Spec:
    """Returns what Xen and dom0's programs and libraries are in."""
    return Spec(
        "xen",
        (
            f"xen-hypervisor-4*-{arch.name}",
            "busybox",
            "libc6-dev",
            "libseccomp-dev",
            "libxen-dev",
        ),
        finish_xen,
        architecture=arch.name,
    )


SOURCE = Spec("source", ("linux-source",), _finish_source)


@dataclass(frozen=True)
class Trees:
    """What a machine is made of: a LINUX and a XEN tree."""

    arch: Architecture
    linux: Path
    xen: Path
    # A tree with a hypervisor that is not Debian's.
    hypervisor: Path | None = None


def hypervisor(trees: Trees) -> Path:
    """Returns the hypervisor's file."""
    return only(trees.hypervisor or trees.xen, trees.arch.xen)


def is_root(linux_tree: Path) -> bool:
    """Says whether modules are built with the tools in a LINUX tree itself."""
    return (linux_tree / "usr/bin/make").exists()


def kernel_version(tree: Path) -> str:
    """Returns the version of the kernel in a LINUX tree."""
    return only(tree, "boot/vmlinuz-*").name.removeprefix("vmlinuz-")


def kernel_headers(tree: Path) -> Path:
    """Returns the directory in a LINUX tree to build modules against."""
    found = [
        path
        for path in sorted(tree.glob("usr/src/linux-headers-*"))
        if not path.name.endswith("-common")
    ]
    if len(found) != 1:
        raise Failure(Status.BUILD, f"{tree} does not hold one set of kernel headers")
    return found[0]


def kernel_source(tree: Path) -> Path:
    """Returns the kernel source directory in a SOURCE tree."""
    return only(tree, "linux-source-*")


def sources(
    targets: str, running: str, wanted: str, more: str = "", types: str = "deb"
) -> str:
    """Derives APT sources for a suite from the running system's own.

    more is added to the suite's name for one that comes on top of it, and
    targets has a line "codename URI" for each package index that APT knows.
    """
    uris: dict[str, str] = {}
    for line in targets.splitlines():
        codename, _, uri = line.partition(" ")
        if re.match(r"(https?|file|copy|mirror[+a-z]*):", uri):
            uris.setdefault(codename, uri)
    if running not in uris:
        raise Failure(
            Status.TOOL,
            f"APT knows no Debian {running} package lists here: run 'apt-get update' "
            "as root first, and see that its sources name the release",
        )
    # sid has no other pockets, and a mirror need not hold other pockets' sources.
    pockets = [""] if wanted == "sid" or types == "deb-src" else ["", "-updates", "-security"]
    found = [
        (uris[running + pocket], pocket)
        for pocket in pockets
        if running + pocket in uris
    ]
    if more:
        found.append((uris[running], more))
    return "\n".join(
        f"Types: {types}\nURIs: {uri}\nSuites: {wanted}{pocket}\nComponents: main\n"
        for uri, pocket in found
    )


def system_sources(suite: str, more: str = "", types: str = "deb") -> str:
    """Returns APT sources for a suite, as sources() derives them."""
    shown = subprocess.run(
        [
            host.tool("apt-get"),
            "indextargets",
            "--format",
            "$(CODENAME) $(REPO_URI)",
            "Created-By: Packages",
            "Origin: Debian",
            "Component: main",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return sources(shown.stdout, host.suite(), suite, more, types)


def directory(spec: Spec, suite: str) -> Path:
    """Returns where a tree is, or will be when it has been fetched."""
    suite += spec.suite
    architecture = spec.architecture
    key = json.dumps(
        [spec.name, list(spec.packages), suite, architecture, spec.recipe, SOURCE_PARTS]
        if spec is SOURCE
        else [spec.name, list(spec.packages), suite, architecture, spec.recipe]
    )
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return host.CACHE / f"{spec.name}-{suite}-{architecture}-{digest}"


def _extract(spec: Spec, suite: str, target: Path) -> None:
    sources_file = target.with_suffix(".sources")
    sources_file.write_text(system_sources(suite, spec.suite), encoding="utf-8")
    architectures = [HOST.name] if spec.for_host else []
    if spec.architecture not in architectures:
        architectures.append(spec.architecture)
    try:
        host.command(
            f"fetching {' '.join(spec.packages)}",
            [
                host.tool("mmdebstrap"),
                "--variant=extract",
                "--mode=chrootless",
                "--format=directory",
                "--skip=check/empty",
                f"--architectures={','.join(architectures)}",
                f'--aptopt=APT::Default-Release "{suite}{spec.suite}"',
                # A frozen mirror is as good as a live one.
                '--aptopt=Acquire::Check-Valid-Until "false"',
                f"--include={','.join(spec.packages)}",
                suite,
                str(target),
                str(sources_file),
            ],
        )
    finally:
        sources_file.unlink()


def tree(spec: Spec, suite: str | None = None) -> Path:
    """Returns a tree's directory, and fetches it first if the cache lacks it."""
    suite = suite or host.suite()
    final = directory(spec, suite)
    if final.is_dir():
        return final
    host.directory(host.CACHE)
    with host.locked("fetch"):
        if final.is_dir():
            return final
        # The lock is ours, so these are of fetches that were killed. Processes
        # of theirs may still write there: the name is never used again.
        for old in host.CACHE.glob(f"partial-{spec.name}-*"):
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink(missing_ok=True)
        partial = host.CACHE / f"partial-{spec.name}-{os.getpid()}"
        host.say(
            f"fetching Debian {suite}{spec.suite}'s {spec.architecture} {spec.name} "
            "packages, once"
        )
        try:
            _extract(spec, suite, partial)
            spec.finish(partial)
            os.rename(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


@dataclass(frozen=True)
class Archive:
    """One version of an upstream source, as a mirror's pool holds it."""

    path: str
    sha256: str


def private_apt(state: Path, sources_file: Path | None = None) -> list[str]:
    """Returns the options that have APT keep its lists in a directory, without root."""
    for name in ("lists/partial", "archives/partial"):
        host.directory(state / name)
    options = {
        "Dir::State": state,
        "Dir::Cache": state,
        # Who may not write where this user does.
        "APT::Sandbox::User": "",
        "Acquire::Check-Valid-Until": "false",
    }
    if sources_file is not None:
        options["Dir::Etc::SourceList"] = sources_file
        options["Dir::Etc::SourceParts"] = "/dev/null"
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _source_apt(suite: str, state: Path) -> tuple[list[str], str]:
    """Lists a suite's source packages; returns the options for it, and the sources."""
    sources_file = host.directory(state) / "source.sources"
    text = system_sources(suite, "", "deb-src")
    sources_file.write_text(text, encoding="utf-8")
    settings = private_apt(state, sources_file)
    host.command(
        f"listing {suite}'s sources", [host.tool("apt-get"), "-q", *settings, "update"]
    )
    return settings, text


def source(
    package: str, suite: str, target: Path, spare: Archive | None = None
) -> Path:
    """Downloads the upstream source of a Debian source package into a directory.

    A mirror's index can be ahead of its pool: then spare is taken, if given.
    """
    apt = target / "apt"
    settings, text = _source_apt(suite, apt)
    try:
        host.command(
            f"fetching the source of {package}",
            [
                *(host.tool("apt-get"), "-q", *settings),
                *("source", "--download-only", "--tar-only", package),
            ],
            cwd=target,
        )
    except Failure as failure:
        if spare is None:
            raise
        name = Path(spare.path).name
        host.say(f"{failure}: taking {name} instead")
        uri = text.partition("URIs: ")[2].partition("\n")[0].rstrip("/")
        checksum = f"SHA256:{spare.sha256}"
        host.command(
            f"fetching {name}",
            [APT_HELPER, *settings, "download-file", f"{uri}/{spare.path}", name, checksum],
            cwd=target,
        )
    shutil.rmtree(apt)
    return only(target, "*.orig.tar.*")


def patched_source(package: str, suite: str, target: Path) -> Path:
    """Unpacks a Debian source package, with Debian's patches, into a directory."""
    host.tool("dpkg-source")
    apt = target / "apt"
    settings, _ = _source_apt(suite, apt)
    host.command(
        f"fetching and unpacking the source of {package}",
        [host.tool("apt-get"), "-q", *settings, "source", package],
        cwd=target,
    )
    shutil.rmtree(apt)
    return only(target, f"{package}-*")


def trees(arch: Architecture) -> Trees:
    """Returns what a machine is made of, fetched first if need be."""
    return Trees(arch, tree(linux(arch)), tree(xen(arch)))
