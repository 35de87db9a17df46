# SPDX-License-Identifier: GPL-2.0-only
"""Puts the driver into kernel sources and builds it there in every way it can be.

And the kernel's own driver with the new command, in one way.
"""

import argparse
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns import outcome, overlay, upstream
from lab import edit, fetch, host, kernel, ktap
from lab.arch import ALL
from lab.failure import Failure, Status

CONFIG = host.DATA / "overlay.config"
SCRATCH = host.BUILD / "overlay"

# By kernel version: the Debian release that has its source; None is the host's.
VERSIONS = {"6.1": None, "6.12": None, "7.2": "sid"}
# The one whose API the driver is written to.
NEWEST = "7.2"

# As the kernel calls them, with what the names of their compilers begin with.
ARCHITECTURES = {
    "x86_64": "",
    "arm64": "aarch64-linux-gnu-",
    "arm": "arm-linux-gnueabihf-",
}
# The one for which all files are compiled.
COMPLETE = "x86_64"
# Those with Xen's libraries, by the lab's names.
TESTED = {"x86_64": "amd64", "arm64": "arm64"}

# XEN_PRIVCMD, XEN_DM_OP: the one selects the other, and is selected by XENFS.
COMBINATIONS = ("mm", "my", "yy", "nn", "nm", "ny")
MODULES = "mm"

# As lint has it, where it is said why.
CHECKPATCH = "--strict --no-summary --terse --show-types --quiet"
CHECKPATCH_IGNORE = "ENOSYS,MACRO_ARG_REUSE"
# The smallest patch leaves MAINTAINERS alone: drivers/xen/ and include/xen/ are there.
SMALLEST_IGNORE = f"{CHECKPATCH_IGNORE},FILE_PATH_CHANGES"
# Linux 7.2 wants a newer one than Debian 12's; this runs with its own libraries.
SPARSE = fetch.Spec("sparse", ("sparse",), lambda tree: None)

# In which a module may find what it does not have itself.
EXPORTING = (
    *("arch/arm", "arch/arm64", "arch/x86"),
    *("drivers/acpi", "drivers/base", "drivers/char", "drivers/xen"),
    *("fs", "kernel", "lib", "mm", "security"),
)
# What modpost adds, and what is exported by a macro of another name.
KNOWN_SYMBOLS = frozenset({"__this_module", "param_ops_uint", "param_ops_ulong"})
OBJECTS = ("drivers/xen/xen-dm-op.o", "drivers/xen/privcmd/xen-privcmd.o")
# A kernel that lacks what these take has no such choice.
EVENTFD_CHOICE = "config XEN_PRIVCMD_EVENTFD\n"
EVENTFD_FILES = ("irqfd.c", "ioeventfd.c", "reader.c", "ioreq.c")

AUTHOR = ("xenlab", "xenlab@localhost")


@dataclass(frozen=True)
class Result:
    """One thing that was checked, and what was wrong with it."""

    name: str
    problems: Sequence[str]


def _run(argv: Sequence[str], cwd: Path) -> tuple[int, list[str]]:
    """Runs a command; returns its status and what it said."""
    # What an outer make hands on is meant for that one.
    done = subprocess.run(
        ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "MFLAGS", "LC_ALL=C", *argv],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, [line for line in done.stdout.splitlines() if line]


def _silent(argv: Sequence[str], cwd: Path) -> list[str]:
    """Runs a command that has nothing to say when all is well."""
    status, lines = _run(argv, cwd)
    return lines or (["failed without a word"] if status else [])


def _git(source: Path, *arguments: str) -> None:
    who = ("-c", f"user.name={AUTHOR[0]}", "-c", f"user.email={AUTHOR[1]}")
    host.command(f"git {arguments[0]}", [host.tool("git"), *who, *arguments], cwd=source)


def _source(version: str) -> Path:
    """Returns a kernel source as its package has it."""
    packed = fetch.tree(kernel.source(version), VERSIONS[version])
    source = SCRATCH / packed.name
    if not source.is_dir():
        partial = SCRATCH / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        archive = fetch.only(packed, "linux-source-*.tar.xz")
        host.directory(partial)
        host.command(
            f"unpacking {archive.name}",
            [
                *(host.tool("tar"), "-xJf", str(archive), "-C", str(partial)),
                "--strip-components=1",
            ],
        )
        _git(partial, "init", "-q")
        _git(partial, "commit", "-q", "--allow-empty", "-m", "nothing")
        _git(partial, "tag", "stock")
        partial.rename(source)
    _git(source, "checkout", "-q", "-f", "stock")
    # Only what the patches change: all of it would take a minute.
    names = {*overlay.make(source).names(), *upstream.kernel(source).names()}
    changed = sorted(name for name in names if (source / name).exists())
    _git(source, "add", "-f", *changed)
    _git(source, "commit", "-q", "--allow-empty", "-m", "what there is")
    _git(source, "tag", "-f", "stock")
    return source


def sparse() -> str:
    """Returns the checker's command line."""
    tree = fetch.tree(SPARSE, "sid")
    return (
        f"{fetch.only(tree, 'usr/lib64/ld-linux*.so.*')} --library-path "
        f"{fetch.only(tree, 'usr/lib/*-linux-gnu')} {tree / 'usr/bin/sparse'}"
    )


@dataclass(frozen=True)
class Checked:
    """A kernel source with the driver in it, built for one architecture."""

    source: Path
    arch: str
    # Our files in it that a compiler reads.
    names: Sequence[str]

    def make(self, *arguments: str) -> tuple[int, list[str]]:
        """Runs make quietly, out of the source."""
        output = host.directory(SCRATCH / f"{self.source.name}-{self.arch}")
        argv = [
            *(host.tool("make"), "-s", f"-j{len(os.sched_getaffinity(0))}"),
            *("-C", str(self.source), f"O={output}", f"ARCH={self.arch}"),
            *(f"CROSS_COMPILE={ARCHITECTURES[self.arch]}", *arguments),
        ]
        return _run(argv, output)

    def configure(self, combination: str) -> list[str]:
        """Chooses m, y or n for XEN_PRIVCMD and XEN_DM_OP; returns what went wrong."""
        wanted = dict(zip(("XEN_PRIVCMD", "XEN_DM_OP"), combination))
        wanted["XENFS"] = wanted["XEN_PRIVCMD"]
        output = SCRATCH / f"{self.source.name}-{self.arch}"
        fragment = host.directory(output) / "fragment"
        lines = [f"CONFIG_{symbol}={value}\n" for symbol, value in wanted.items()]
        text = CONFIG.read_text(encoding="utf-8") + "".join(lines)
        fragment.write_text(text, encoding="utf-8")
        status, said = self.make(f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig")
        if status:
            return said
        config = (output / ".config").read_text(encoding="utf-8")
        return [
            f"CONFIG_{symbol} is not {value}"
            for symbol, value in wanted.items()
            if (value != "n") != (f"CONFIG_{symbol}={value}\n" in config)
            or (value == "n") != (f"# CONFIG_{symbol} is not set\n" in config)
        ]

    def build(self, combination: str, checked: bool = True) -> list[str]:
        """Builds drivers/xen/; returns what went wrong."""
        wrong = self.configure(combination)
        if wrong:
            return wrong
        check = ("C=1", f"CHECK={sparse()}") if checked else ()
        status, lines = self.make("W=1", *check, "drivers/xen/")
        if any("sparse" in line and "not available" in line for line in lines):
            return ["sparse did not run"]
        # A kernel's own files have warnings too.
        said = [line for line in lines if any(f"{name}:" in line for name in self.names)]
        return said or ([f"status {status}", *lines[-20:]] if status else [])

    def complete(self) -> list[str]:
        """Returns which files of a driver just built were left out.

        One architecture has them all.
        """
        output = SCRATCH / f"{self.source.name}-{self.arch}"
        kconfig = (self.source / "drivers/xen/Kconfig").read_text(encoding="utf-8")
        lacking = () if EVENTFD_CHOICE in kconfig else EVENTFD_FILES
        return [
            f"{name} was not compiled"
            for name in self.names
            if name.endswith(".c") and Path(name).name not in lacking
            if not (output / name).with_suffix(".o").exists()
        ]

    def unresolved(self, exported: frozenset[str]) -> list[str]:
        """Returns what a driver just built takes and no kernel exports."""
        output = SCRATCH / f"{self.source.name}-{self.arch}"
        nm = host.tool(f"{ARCHITECTURES[self.arch]}nm")
        status, lines = _run([nm, "-u", *OBJECTS], output)
        if status:
            return lines
        # A static call's trampoline is exported under the call's name.
        taken = {
            line.split()[1].removeprefix("__SCT__")
            for line in lines
            if line.split()[0] == "U"
        }
        return sorted(f"nobody exports {name}" for name in taken - exported - KNOWN_SYMBOLS)

    def headers(self) -> list[str]:
        """Installs the headers for user space; returns what went wrong."""
        output = SCRATCH / f"{self.source.name}-{self.arch}"
        target = output / "installed"
        status, lines = self.make(f"INSTALL_HDR_PATH={target}", "headers_install")
        if status:
            return lines[-20:]
        text = (target / "include/xen/privcmd.h").read_text(encoding="utf-8")
        return [] if "#define IOCTL_PRIVCMD_DM_NR_VCPUS " in text else ["not in privcmd.h"]

    def selftests(self) -> list[str]:
        """Builds the selftests as a kernel tree does; returns what went wrong."""
        arch = ALL[TESTED[self.arch]]
        output = SCRATCH / f"{self.source.name}-{self.arch}"
        shutil.rmtree(output / "kselftest", ignore_errors=True)
        status, lines = self.make("headers")
        if status:
            return lines[-20:]
        argv = [
            *(host.tool("make"), "-s", f"-j{len(os.sched_getaffinity(0))}"),
            *("-C", str(self.source / "tools/testing/selftests"), "TARGETS=xen"),
            *(f"O={output}", f"ARCH={self.arch}", f"CROSS_COMPILE={arch.cross}"),
            *(f"SYSROOT={fetch.tree(fetch.xen(arch))}", "FORCE_TARGETS=1"),
        ]
        if arch.cc32:
            argv.append(f"CC32={host.tool(arch.cc32)}")
        status, lines = _run(argv, self.source)
        if status or not (output / "kselftest/xen/dm_nr_vcpus_test").exists():
            return [f"status {status}", *lines[-20:]]
        return []


def _maintained(source: Path, names: Sequence[str]) -> list[str]:
    """Returns the directories of ours that MAINTAINERS does not cover."""
    script = ("perl", "scripts/get_maintainer.pl", "--nogit", "--nogit-fallback")
    first = {str(Path(name).parent): name for name in names}
    return [
        f"nobody maintains {directory}"
        for directory, name in sorted(first.items())
        if "XEN HYPERVISOR INTERFACE" not in " ".join(_run([*script, "-f", name], source)[1])
    ]


def _exported(source: Path) -> frozenset[str]:
    """Returns the symbols that a kernel source exports to modules."""
    _, lines = _run(
        [
            *("grep", "-rhoE", r"EXPORT_[A-Z_]*\(_*\w+"),
            *("--include=*.[chS]", *EXPORTING),
        ],
        source,
    )
    return frozenset(re.sub(r".*\(", "", line) for line in lines)


def checkpatch(source: Path, patch: Path, ignore: str, tree: str = "") -> list[str]:
    """Returns what a kernel source's checkpatch has to say about a patch."""
    argv = [
        *("perl", str(source / "scripts/checkpatch.pl"), tree or f"--root={source}"),
        *(*CHECKPATCH.split(), "--ignore", ignore, str(patch)),
    ]
    # Elsewhere it would have git tell it more.
    return _silent(argv, host.directory(SCRATCH))


def _apply(
    source: Path, make: Callable[[Path], edit.Tree], message: str
) -> tuple[edit.Tree, Path]:
    """Applies a patch to a kernel source as its package has it."""
    _git(source, "checkout", "-q", "-f", "stock")
    tree = make(source)
    patch = source.with_suffix(".patch")
    tree.patch(message, patch, AUTHOR)
    _git(source, "am", "-q", str(patch))
    return tree, patch


def _compiled(tree: edit.Tree) -> list[str]:
    """Returns the files of an applied patch that a compiler reads."""
    return [
        name
        for name in tree.names()
        if name.startswith(("drivers/", "include/")) and name.endswith((".c", ".h"))
        if tree.has(name)
    ]


def _check(version: str, combinations: Sequence[str]) -> Iterator[Result]:
    """Checks one kernel source in every way."""
    source = _source(version)
    tree, patch = _apply(source, upstream.kernel, upstream.KERNEL_MESSAGE)
    yield Result("checkpatch, smallest", checkpatch(source, patch, SMALLEST_IGNORE))
    for arch in ARCHITECTURES:
        checked = Checked(source, arch, _compiled(tree))
        name = f"{arch}: the kernel's own driver with the new command"
        # sparse has much to say of that driver as it is.
        yield Result(name, checked.build("mm", checked=False))
    tree, patch = _apply(source, overlay.make, overlay.MESSAGE)
    compiled = _compiled(tree)
    headers = [name for name in tree.names() if name.startswith(overlay.COMPAT_HEADERS)]
    wrong = headers if version == NEWEST else [] if headers else ["there is none"]
    yield Result("compat headers", wrong)
    yield Result("checkpatch", checkpatch(source, patch, CHECKPATCH_IGNORE))
    yield Result("MAINTAINERS", _maintained(source, list(overlay.files())))
    kernel_doc = [str(source / "scripts/kernel-doc"), "-none", "-Werror", *compiled]
    yield Result("kernel-doc", _silent(kernel_doc, source))
    exported = _exported(source)
    for arch in ARCHITECTURES:
        checked = Checked(source, arch, compiled)
        for combination in combinations:
            name = f"{arch}: XEN_PRIVCMD and XEN_DM_OP {combination}"
            yield Result(name, checked.build(combination))
            if combination == MODULES:
                yield Result(f"{arch}: symbols", checked.unresolved(exported))
                if arch == COMPLETE:
                    yield Result(f"{arch}: all files", checked.complete())
        yield Result(f"{arch}: headers_install", checked.headers())
        if arch in TESTED:
            yield Result(f"{arch}: selftests", checked.selftests())


def run(versions: Sequence[str], combinations: Sequence[str]) -> ktap.Counts:
    """Checks kernel sources; a line for each, and for each of its failures."""
    total = ktap.Counts()
    for version in versions or VERSIONS:
        start = time.monotonic()
        counts = ktap.Counts()
        for result in _check(version, combinations or COMBINATIONS):
            good = not result.problems
            counts += ktap.Counts(passed=int(good), failed=int(not good))
            for line in result.problems[:30]:
                print(f"  FAIL Linux {version}: {result.name}: {line}", flush=True)
        print(f"Linux {version}: {counts} ({time.monotonic() - start:.0f} s)", flush=True)
        total += counts
    return total


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--combination",
        action="append",
        default=[],
        metavar="XX",
        help="XEN_PRIVCMD and XEN_DM_OP, such as my (default: all; may be repeated)",
    )
    parser.add_argument("version", nargs="*", help="kernel versions (default: all)")


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    for given, known in (
        (args.version, tuple(VERSIONS)),
        (args.combination, COMBINATIONS),
    ):
        for word in set(given) - set(known):
            raise Failure(Status.USAGE, f"{word}: not one of {', '.join(known)}")
    return outcome.close(run(args.version, args.combination), [])
