# SPDX-License-Identifier: GPL-2.0-only
"""The driver as a patch for a kernel source tree, in place of the tree's own."""

import argparse
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from campaigns import arguments
from lab import build, edit, git, host
from lab.failure import Failure, Status

# What goes into a kernel tree, but for the files that are merged into its own.
PARTS = (
    "Documentation/driver-api/xen",
    "Documentation/userspace-api/xen",
    "drivers/xen",
    "include",
    "samples/xen",
    "tools/testing/selftests/xen",
)
KBUILD = "drivers/xen/Makefile"
DM_OP = "include/xen/interface/hvm/dm_op.h"
MERGED = (KBUILD, DM_OP)
REPLACED = ("drivers/xen/privcmd.c", "drivers/xen/privcmd-buf.c")

COMPAT = host.REPO / "compat"
# Where they go in a kernel that is not the newest.
COMPAT_HEADERS = "drivers/xen/privcmd/compat"
COMPAT_KBUILD = "drivers/xen/privcmd/Makefile"

# Of a kernel source, which stands unquoted in compat.mk.
PLAIN_PATH = re.compile(r"[\w/.,:@%+=~^-]+")

MESSAGE = """\
xen/privcmd: check in one place what a file may do

Replace the driver by one in which every command is a row of a table, and
what a file may do is checked there before a handler runs. Add
IOCTL_PRIVCMD_DM_NR_VCPUS, which tells a sandboxed device emulator how
many vCPUs its domain has, and the same for code in the kernel, tests,
samples and documentation.
"""


def files() -> dict[str, str]:
    """Returns our files by their names in a kernel tree."""
    names = [name for name in git.ask("ls-files", "-z", "--", *PARTS).split("\0") if name]
    # A tarball's files may lie in the clone of something else.
    if not names:
        raise Failure(Status.USAGE, f"{host.REPO} {git.NO_CLONE}")
    return {name: ours(name) for name in names if name not in MERGED}


def pages() -> list[str]:
    """Returns the names of the pages for user space, in the order in which they are read."""
    return re.findall(r"^   userspace-api/xen/(\S+)$", ours("Documentation/index.rst"), re.M)


def ours(name: str) -> str:
    """Returns one of our files."""
    return (host.REPO / name).read_text(encoding="utf-8")


def part(name: str, pattern: str) -> str:
    """Returns the part of one of our files that matches a pattern."""
    found = re.search(pattern, ours(name), re.M | re.S)
    if found is None:
        raise Failure(Status.BUILD, f"{name} has no '{pattern}'")
    return found[0]


def kconfig_entries(text: str) -> dict[str, str]:
    """Returns the entries of a Kconfig file by their symbols."""
    return {
        found[1]: found[0]
        for found in re.finditer(r"^config (\w+)\n(?:[\t ].*\n|\n(?=[\t ]))*", text, re.M)
    }


def kbuild_lines(text: str) -> str:
    """Returns the assignments of a Makefile, in the columns of drivers/xen/Makefile."""
    lines = []
    for line in text.splitlines():
        found = re.match(r"(\S+) (\+=|:=) (.*)", line)
        if found:
            tabs = "\t" * max(1, (40 - len(found[1]) + 7) // 8)
            lines.append(f"{found[1]}{tabs}{found[2]} {found[3]}\n")
    return "".join(lines)


def _compat_words(kernel: Path, variable: str) -> list[str]:
    """Returns what compat.mk finds out about a kernel."""
    if not PLAIN_PATH.fullmatch(str(kernel)):
        raise Failure(
            Status.USAGE,
            f"{str(kernel)!r}: make takes no path with spaces or special characters: give the "
            "source another one",
        )
    done = subprocess.run(
        [
            host.tool("make"),
            *("-s", "--no-print-directory"),
            f"--eval=srctree := {kernel}",
            "--eval=include compat.mk",
            f"--eval=$(info $({variable}))",
            "--eval=done:;",
            "done",
        ],
        cwd=COMPAT,
        env={**os.environ, **build.NO_OUTER_MAKE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failure(
            Status.BUILD, "compat.mk cannot be read", done.stderr.splitlines()
        )
    return done.stdout.split()


def compat_flags(kernel: Path) -> list[str]:
    """Returns what compat.mk defines for a kernel: what that one lacks."""
    return [word.removeprefix("-D") for word in _compat_words(kernel, "compat-flags")]


def _flags_of(text: str) -> set[str]:
    """Returns what a header may have to make up for."""
    return set(re.findall(r"\bCOMPAT_NO_\w+", text))


def compat_headers(flags: Sequence[str]) -> dict[str, str]:
    """Returns the headers that have what a kernel lacks, by their names in its tree."""
    headers = {}
    for path in sorted((COMPAT / "include").rglob("*.h")):
        text = path.read_text(encoding="utf-8")
        # Checksums of a kernel's own xenfs are for modules outside its tree.
        if "__GENKSYMS__" not in text and not _flags_of(text).isdisjoint(flags):
            headers[f"{COMPAT_HEADERS}/{path.relative_to(COMPAT / 'include')}"] = text
    return headers


def _compat(tree: edit.Tree) -> None:
    """Adds what the kernel lacks, before its own headers of the same name."""
    flags = compat_flags(tree.path)
    headers = compat_headers(flags)
    used = {flag for text in headers.values() for flag in _flags_of(text)}
    defined = [f"ccflags-y += -D{flag}\n" for flag in flags if flag in used or "=" in flag]
    if not defined:
        return
    for name, text in headers.items():
        tree.put(name, text)
    lines = (
        "\n# What the driver uses of the newest kernel's API and this kernel lacks.\n",
        f"LINUXINCLUDE := -I$(srctree)/{COMPAT_HEADERS} $(LINUXINCLUDE)\n",
        *defined,
    )
    tree.put(COMPAT_KBUILD, tree.read(COMPAT_KBUILD) + "".join(lines))


def _kconfig(tree: edit.Tree) -> None:
    name = "drivers/xen/Kconfig"
    entries = kconfig_entries(ours("Kconfig"))
    if not _compat_words(tree.path, "compat-has-eventfds"):
        del entries["XEN_PRIVCMD_EVENTFD"]
    theirs = kconfig_entries(tree.read(name))
    for symbol in entries:
        if symbol in theirs and symbol != "XEN_PRIVCMD":
            tree.sub(name, re.escape(theirs[symbol]) + r"\n?", "")
    tree.sub(name, r"^config XEN_PRIVCMD\n(?:[\t ].*\n|\n(?=[\t ]))*", "@\n")
    tree.sub(name, r"^@\n", "\n".join(entries.values()).replace("\\", r"\\"))


def _kbuild(tree: edit.Tree) -> None:
    tree.sub(KBUILD, r"^xen-privcmd-\S+\s*[:+]=.*\n", "", 0)
    tree.sub(
        KBUILD,
        r"^obj-\$\(CONFIG_XEN_PRIVCMD\)\s*\+= xen-privcmd\.o\n",
        kbuild_lines(ours(KBUILD)),
    )


def add_operations(tree: edit.Tree, start: str) -> None:
    """Adds our dm_op.h from a pattern on to the tree's own, which names its authors."""
    tree.before(
        DM_OP,
        r"#endif /\* __XEN_PUBLIC_HVM_DM_OP_H__ \*/",
        part(DM_OP, rf"^{start}.*?^(?=#endif)"),
    )


def add_maintained(text: str, names: list[str]) -> str:
    """Adds files to MAINTAINERS' entry for Xen, in its order."""

    def add(found: re.Match[str]) -> str:
        lines = {*found[2].splitlines(True), *(f"F:\t{name}\n" for name in names)}
        return found[1] + "".join(sorted(lines))

    section = r"^(XEN HYPERVISOR INTERFACE\n(?:[A-EG-Z]:.*\n)+)((?:F:.*\n)+)"
    text, count = re.subn(section, add, text, flags=re.M)
    if not count:
        raise Failure(Status.USAGE, "MAINTAINERS has no entry XEN HYPERVISOR INTERFACE")
    return text


def make(kernel: Path) -> edit.Tree:
    """Returns a kernel source tree with the driver in it."""
    tree = edit.kernel(kernel)
    # Where there is no header, everything in it would count as lacking.
    tree.need("include/linux/slab.h", edit.NO_KERNEL)
    for name in REPLACED:
        tree.need(name, "has another privcmd driver than the patch replaces")
        tree.remove(name)
    for name, text in files().items():
        tree.put(name, text)
    add_operations(tree, r"/\* XEN_DMOP_track_dirty_vram")
    _compat(tree)
    _kconfig(tree)
    _kbuild(tree)
    tree.before("tools/testing/selftests/Makefile", r"TARGETS \+= zram$", "TARGETS += xen\n")
    tree.sub(
        "Documentation/userspace-api/index.rst",
        r"^(   vduse\n)",
        r"\1" + "".join(f"   xen/{name}\n" for name in pages()),
    )
    tree.before("Documentation/driver-api/index.rst", r"   xilinx/index$", "   xen/dm-op\n")
    covered = [f"{part}/" for part in PARTS if part not in ("drivers/xen", "include")]
    tree.put("MAINTAINERS", add_maintained(tree.read("MAINTAINERS"), covered))
    return tree


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("source", metavar="DIRECTORY", help="the kernel source")
    arguments.add_output(parser)


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look_at_output(args.output)
    edit.kernel(host.path(args.source))


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    tree = make(host.path(args.source))
    name = f"overlay-{edit.version(tree)}"
    return arguments.write_patch(tree, MESSAGE, name, args.output)
