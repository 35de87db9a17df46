# SPDX-License-Identifier: GPL-2.0-only
"""Series of small patches, as a maintainer reads them.

A repairs the kernel's own driver, one defect in each patch. B adds the command. They do
not depend on each other. What A consists of stands in fixes.toml, whose records are
like this one:

	[[fix]]
	name = "mmap-owner"
	message = '''
	xen/privcmd: let MMAP map into privcmd's own areas only

	Why, and what happens without it.
	'''
	fixes = '123456789abc ("its subject")'
	red = ["mmap_test run.into_other_memory_is_refused"]
	needs = "alloc_ioreq("
	dom0 = "pvh"
	source = "drivers/xen/privcmd.c"
	old = '	if (!vma)'
	new = '	if (!vma || vma->vm_ops != &privcmd_vm_ops)'

fixes names the commit that introduced the defect, if its hash was looked up; otherwise
introduced says which it is. red names the tests that fail without the patch and pass with it; a fix that the lab does
not show has none, and says in unshown why. A kernel whose source lacks what needs has is
older than the defect. dom0 is that on which the tests run. Several changes stand in a
list of [[fix.change]].
"""

import argparse
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaigns import arguments, records, upstream, upstream_qemu
from lab import edit, host
from lab.failure import Failure, Status

FIXES = host.DATA / "fixes.toml"
OUTPUT = host.BUILD / "series"
MAINTAINERS = "scripts/get_maintainer.pl"

FIX_KEYS = ("name", "message")
CHANGE_KEYS = ("source", "old", "new")
# Of each pair a fix has one.
PAIRS = (("red", "unshown"), ("fixes", "introduced"))
FIX_MORE = ("red", "unshown", "fixes", "introduced", "needs", "dom0", *CHANGE_KEYS, "change")

SUBJECTS = {
    "a": "xen/privcmd: repair what a request can do to the kernel",
    "b": "xen/privcmd: add IOCTL_PRIVCMD_DM_NR_VCPUS",
}
BLURBS = {
    "a": """\
Each patch repairs one defect of the privcmd driver, or of what it calls,
and says what a request does without it.

A process whose file is restricted to one domain, which runs a device
emulator that a guest may have taken over, can make most of these requests.
""",
    "b": """\
A device emulator has to know how many vCPUs its domain has. Today it asks
through IOCTL_PRIVCMD_DM_OP, which has the operation in user memory, so that
a seccomp filter or an SELinux policy that allows this one allows all of
them. The series gives the question a command of its own. Its documentation
says what else was considered.
""",
}
RECIPIENTS = {
    "a": "Recipients when the security lists have agreed to a date",
    "b": "Recipients",
}
DISCLOSURE = """\
Series A repairs what a restricted process can misuse. Do not send it to a public list:
  1. Write to security@kernel.org and security@xenproject.org, in plain text, with the
     patches attached, what a request does without each, and on which versions you saw it.
  2. Wait until both have agreed to a date. Until then nothing of it is published.
  3. Only then send the series to the people and lists in its file 'recipients'.
SECURITY.md says more. Nothing has been sent."""


@dataclass(frozen=True)
class Fix:
    """A defect of the kernel's own driver, and its repair."""

    name: str
    message: str
    # Program and test.
    red: Sequence[tuple[str, str]]
    changes: Sequence[records.Change]
    fixes: str = ""
    introduced: str = ""
    # Why no test shows it, if none does.
    unshown: str = ""
    needs: str = ""
    dom0: str = "pv"

    def fits(self, tree: edit.Tree) -> bool:
        """Says whether a kernel source is new enough to have the defect."""
        return all(self.needs in tree.read(change.source) for change in self.changes)

    def apply(self, tree: edit.Tree) -> None:
        """Repairs a kernel source."""
        for change in self.changes:
            tree.put(change.source, change.apply(tree.read(change.source)))

    def patch(self) -> edit.Patch:
        """Returns it as one of a series."""
        message = f"{self.message}\nFixes: {self.fixes}\n" if self.fixes else self.message
        notes = f"Introduced by: {self.introduced}\n" if self.introduced else ""
        if self.red:
            notes += "Fails before and passes after:\n"
            notes += "".join(f"  {program} {test}\n" for program, test in self.red)
        return edit.Patch(message, self.apply, notes)


def _fix(where: str, record: Any) -> Fix:
    """Reads one record."""
    where = records.named(where, "fix", record)
    record = records.keys(where, record, FIX_KEYS, FIX_MORE)
    for one, other in PAIRS:
        if (one in record) == (other in record):
            raise Failure(Status.USAGE, f"{where} needs either {one} or {other}")
    return Fix(
        record["name"],
        record["message"].lstrip("\n"),
        [records.red(where, test) for test in record.get("red", [])],
        records.changes(where, record, CHANGE_KEYS),
        record.get("fixes", ""),
        record.get("introduced", ""),
        record.get("unshown", ""),
        record.get("needs", ""),
        records.one_of(where, "dom0", record.get("dom0", "pv"), ("pv", "pvh")),
    )


def fixes(path: Path = FIXES) -> list[Fix]:
    """Returns what series A consists of."""
    table = records.load(str(path), path.read_bytes(), ("fix",))
    return [_fix(str(path), record) for record in table["fix"]]


def chosen(tree: edit.Tree) -> tuple[list[Fix], list[str]]:
    """Returns the fixes that a kernel source can take, and why it does without others."""
    here, lines = [], []
    for fix in fixes():
        if fix.fits(tree):
            here.append(fix)
        else:
            lines.append(
                f"left out: {fix.patch().subject()}: {tree.path} is older than the defect, "
                f"it has no '{fix.needs}'"
            )
    return here, lines


def recipients(tree: Path, patches: Sequence[Path]) -> list[str]:
    """Returns to whom a source tree's own script sends patches; none without one."""
    if not (tree / MAINTAINERS).is_file():
        return []
    done = subprocess.run(
        [
            *(host.tool("perl"), MAINTAINERS, "--no-git", "--no-git-fallback"),
            *("--norolestats", *map(str, patches)),
        ],
        cwd=tree,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        host.say(f"{tree / MAINTAINERS} failed ({last}): see MAINTAINERS for whom to send to")
        return []
    return done.stdout.splitlines()


def _note_recipients(tree: Path, output: Path) -> None:
    """Leaves beside patches to whom they go."""
    lines = recipients(tree, sorted(output.glob("*.patch")))
    text = "\n".join(lines)
    (output / "recipients").write_text(f"{text}\n" if text else "", encoding="utf-8")
    cover = output / "0000-cover-letter.patch"
    if lines and cover.is_file():
        # Where git puts what is not for the history.
        before, mark, after = cover.read_text(encoding="utf-8").partition("\n\n\n")
        note = "\n".join(f"  {line}" for line in lines)
        cover.write_text(
            f"{before}\n\n{RECIPIENTS[output.name]}, by {MAINTAINERS}:\n{note}{mark}{after}",
            encoding="utf-8",
        )


def patches(name: str, tree: edit.Tree) -> tuple[Sequence[edit.Patch], list[str]]:
    """Returns a series for a kernel source, and why it does without some patches."""
    if name == "b":
        return upstream.patches(tree), []
    here, lines = chosen(tree)
    return [fix.patch() for fix in here], lines


def branch(name: str, source: Path, top: Path) -> list[str]:
    """Makes a repository with the commits of a series; returns what was left out."""
    tree = edit.kernel(source)
    commits, lines = patches(name, tree)
    tree.branch(commits, host.directory(top))
    return lines


def _write(
    source: Path, xen: Path | None, qemu: Path | None, scratch: Path
) -> Iterator[str]:
    """Writes all that was asked for; yields what there is to say of it."""
    for name, subject in SUBJECTS.items():
        top = scratch / f"{name}-tree"
        yield from branch(name, source, top)
        edit.cover_letter(top, scratch / name, subject, BLURBS[name])
        _note_recipients(source, scratch / name)
    for name, path, make, message in (
        ("xen", xen, upstream.xen, upstream.XEN_MESSAGE),
        ("qemu", qemu, upstream_qemu.make, upstream_qemu.MESSAGE),
    ):
        if path is not None:
            subject = re.sub(r"\W+", "-", message.partition("\n")[0]).strip("-")
            make(path).patch(message, scratch / name / f"0001-{subject[:52]}.patch")
            _note_recipients(path, scratch / name)


def make(source: Path, xen: Path | None = None, qemu: Path | None = None) -> list[str]:
    """Makes the series for source trees; returns what there is to say of them.

    If anything goes wrong, what was made before stays.
    """
    if OUTPUT.exists() and not OUTPUT.is_dir():
        raise Failure(Status.USAGE, f"{OUTPUT} is no directory")
    with tempfile.TemporaryDirectory(dir=host.directory(host.BUILD)) as directory:
        scratch = Path(directory) / "series"
        scratch.mkdir()
        lines = list(_write(source, xen, qemu, scratch))
        if OUTPUT.exists():
            os.rename(OUTPUT, Path(directory) / "old")
        os.rename(scratch, OUTPUT)
    for path in sorted(OUTPUT.glob("*/0*.patch")):
        lines.append(str(path.relative_to(host.REPO)))
    lines.append(f"as branches: {OUTPUT / 'a-tree'}, {OUTPUT / 'b-tree'}")
    return [*lines, *DISCLOSURE.splitlines()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--kernel", metavar="DIRECTORY", required=True, help="a kernel source"
    )
    parser.add_argument("--xen", metavar="DIRECTORY", help="a Xen source, too")
    parser.add_argument("--qemu", metavar="DIRECTORY", help="a QEMU source, too")


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look_at_sources((args.xen, args.qemu))
    edit.kernel(host.path(args.kernel))


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    given = [None if name is None else host.path(name) for name in (args.xen, args.qemu)]
    for line in make(host.path(args.kernel), *given):
        print(line, flush=True)
    return Status.GOOD
