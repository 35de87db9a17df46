# SPDX-License-Identifier: GPL-2.0-only
"""What this repository builds for dom0: the modules and the test programs.

make decides what has to be built again; built as it is called, nothing changes.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import fetch, host, kmod
from lab.failure import Failure, Status

# In the order in which they load; the last one is the tests' own.
MODULES = ("xen-dm-op", "xen-privcmd")
TEST_MODULE = "test_xen_dm_op"
SELFTESTS = host.REPO / "tools/testing/selftests/xen"
EMULATOR = "samples/xen/emulator"


@dataclass(frozen=True)
class Built:
    """The modules of one build."""

    directory: Path

    def file(self, name: str) -> Path:
        """Returns the path of a module."""
        return self.directory / f"{name}.ko"

    def modules(self) -> list[kmod.Module]:
        """Returns the modules at their place in dom0, before the kernel's own."""
        return [kmod.read(self.file(name), f"updates/{name}.ko") for name in MODULES]


# Unset for a make of its own: what an outer one hands on is meant for that one.
NO_OUTER_MAKE = {name: "" for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

# What kbuild itself says when its tools are not quite those of who built the kernel.
KBUILD_CHATTER = re.compile(
    r"warning: (?:the compiler|pahole version) differs from the one used to build the kernel"
)

# Makes this repository visible in another root directory, and runs a command there.
IN_ROOT = """\
set -e
root=$1
repo=$2
shift 2
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mkdir -p "$root$repo"
mount --rbind "$repo" "$root$repo"
exec chroot "$root" "$@"
"""


def in_root(root: Path) -> list[str]:
    """Returns what runs a command in another root directory, without being root."""
    unshare = [host.tool("unshare"), "--map-root-user", "--mount"]
    return [*unshare, "sh", "-c", IN_ROOT, "sh", str(root), str(host.REPO)]


def make(what: str, cross: str, *arguments: str, root: Path | None = None) -> str:
    """Runs make with a compiler at hand, the host's or that of a root directory."""
    if root is None:
        host.tool(f"{cross}gcc")
        words = [host.tool("make")]
    else:
        words = [*in_root(root), "make"]
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    return host.command(what, [*words, jobs, *arguments], env=NO_OUTER_MAKE)


def external(
    what: str, trees: fetch.Trees, directory: Path, *arguments: str
) -> str:
    """Builds the modules of a directory; returns what make said.

    The kernel's xenfs must load with them.
    """
    headers = fetch.kernel_headers(trees.linux)
    said = make(
        what,
        trees.arch.cross,
        *("-C", str(headers), f"M={directory}", *arguments),
        *("CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"),
    )
    host.command(
        "comparing checksums",
        [
            *("sh", str(host.REPO / "compat/check-symvers")),
            *(str(headers), str(directory / "Module.symvers")),
        ],
    )
    return said


def warnings(said: str) -> list[str]:
    """Returns the warnings of a build, but for those about its tools."""
    return [
        line
        for line in said.splitlines()
        if "warning:" in line.lower() and not KBUILD_CHATTER.match(line)
    ]


def modules(
    trees: fetch.Trees,
    source: Path = host.REPO,
    output: Path | None = None,
    strict: bool = False,
    more: Sequence[str] = (),
) -> Built:
    """Builds the modules for the kernel; strictly, no warning is let pass.

    more is what kbuild is told beside that.
    """
    output = output or host.directory(host.BUILD / "modules") / trees.linux.name
    kdir = fetch.kernel_headers(trees.linux)
    root = trees.linux if fetch.is_root(trees.linux) else None
    if root is not None:
        kdir = Path("/") / kdir.relative_to(root)
    with host.locked("modules"):
        said = make(
            "building the modules",
            # The headers name the compiler themselves.
            trees.arch.cross,
            *("-C", str(source)),
            "modules",
            f"KDIR={kdir}",
            f"BUILD={output}",
            # It would take pahole, and nobody debugs these: a hundred drivers with
            # debug information do not fit into dom0's memory.
            "CONFIG_DEBUG_INFO=",
            "CONFIG_DEBUG_INFO_BTF_MODULES=",
            *(("W=1", "KCFLAGS=-Werror") if strict else ()),
            *more,
            root=root,
        )
    # Those of modpost are no errors.
    found = warnings(said) if strict else []
    if found:
        raise Failure(Status.BUILD, "building the modules gave a warning", found)
    built = Built(output)
    for name in (*MODULES, TEST_MODULE):
        if not built.file(name).is_file():
            raise Failure(Status.BUILD, f"'make modules' did not make {name}.ko")
    return built


def _programs(output: Path, trees: fetch.Trees) -> list[str]:
    arguments = ["-C", str(SELFTESTS), f"OUTPUT={output}", f"SYSROOT={trees.xen}"]
    arguments.append(f"CROSS_COMPILE={trees.arch.cross}")
    if trees.arch.cc32:
        arguments.append(f"CC32={host.tool(trees.arch.cc32)}")
    return arguments


def selftests(trees: fetch.Trees) -> Path:
    """Builds all test programs; returns the directory they are in."""
    output = host.directory(host.BUILD / "selftests" / trees.xen.name)
    source = fetch.kernel_source(fetch.tree(fetch.SOURCE))
    with host.locked("selftests"):
        make(
            "building the selftests",
            trees.arch.cross,
            *_programs(output, trees),
            f"SELFTESTS={source / 'tools/testing/selftests'}",
        )
    # What is not there would not run, and nothing would tell.
    for path in sorted(SELFTESTS.glob("*_test.c")):
        if not os.access(output / path.stem, os.X_OK):
            raise Failure(Status.BUILD, f"building the selftests did not make {path.stem}")
    return output


def emulator(trees: fetch.Trees, source: Path, output: Path) -> Path:
    """Builds the emulator of the samples from a copy of the sources."""
    make(
        "building the emulator",
        trees.arch.cross,
        *("-C", str(source / EMULATOR), f"OUTPUT={output}"),
        *(f"SYSROOT={trees.xen}", f"CC={trees.arch.cross}gcc"),
    )
    return output / "emulator"


def demo(trees: fetch.Trees) -> Path:
    """Builds the demo alone, which needs no kernel source; returns its directory."""
    output = host.directory(host.BUILD / "demo" / trees.xen.name)
    with host.locked("demo"):
        make("building the demo", trees.arch.cross, *_programs(output, trees), "demo")
    return output
