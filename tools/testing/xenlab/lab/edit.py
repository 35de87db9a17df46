# SPDX-License-Identifier: GPL-2.0-only
"""Changes to a source tree that is never written to: they become a patch."""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import host
from lab.failure import Failure, Status

NO_KERNEL = "is no kernel source tree"


# How git writes patches here.
FORMAT = ("format-patch", "-q", "--no-renames", "--no-signature")


@dataclass(frozen=True)
class Patch:
    """One of a series: what it says, and what it changes after those before it."""

    message: str
    change: Callable[["Tree"], None]
    # What is for its readers and not for the history.
    notes: str = ""

    def subject(self) -> str:
        """Returns the first line of the message."""
        return self.message.partition("\n")[0]


class Tree:
    """A source tree of others, and what is to be different in it."""

    def __init__(self, path: Path, marks: Mapping[str, str]) -> None:
        """marks says what a tree of the kind is without, by a file of it."""
        self.path = path
        self._changed: dict[str, str | None] = {}
        for name, what in marks.items():
            self.need(name, what)

    def need(self, name: str, what: str) -> None:
        """Refuses a tree without such a file, and says what it is without."""
        if not (self.path / name).is_file():
            raise Failure(Status.USAGE, f"{self.path} {what}: there is no {name} in it")

    def has(self, name: str) -> bool:
        """Says whether the tree has such a file or directory itself."""
        return (self.path / name).exists()

    def names(self) -> list[str]:
        """Returns the files that differ."""
        return sorted(self._changed)

    def digest(self, parts: tuple[str, ...]) -> bytes:
        """Returns what differs in parts of the tree, in short."""
        changes = [item for item in self._changed.items() if item[0].startswith(parts)]
        return hashlib.sha256(repr(sorted(changes)).encode()).digest()

    def read(self, name: str) -> str:
        """Returns a file as it is to be."""
        text = self._changed.get(name)
        if text is not None:
            return text
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(Status.USAGE, f"{self.path / name}: {error}") from error

    def put(self, name: str, text: str) -> None:
        """Adds a file, or replaces it."""
        self._changed[name] = text

    def remove(self, name: str) -> None:
        """Removes a file."""
        self._changed[name] = None

    def sub(self, name: str, pattern: str, new: str, count: int = 1) -> None:
        """Replaces what matches a pattern of whole lines; it must be there."""
        text, found = re.subn(pattern, new, self.read(name), count, re.M)
        if not found:
            raise Failure(
                Status.USAGE,
                f"{self.path / name} has no '{pattern}': this version is not known, "
                "see where it has what belongs there",
            )
        self.put(name, text)

    def before(self, name: str, pattern: str, new: str) -> None:
        """Inserts text before the first line that matches a pattern."""
        self.sub(name, f"^(?={pattern})", new.replace("\\", r"\\"))

    def _write(self, directory: Path, new: bool) -> None:
        for name, text in self._changed.items():
            path = directory / name
            if not new and self.has(name):
                host.directory(path.parent)
                path.write_bytes((self.path / name).read_bytes())
            elif new and text is None:
                path.unlink(missing_ok=True)
            elif new:
                host.directory(path.parent)
                path.write_text(text or "", encoding="utf-8")

    def apply(self, directory: Path) -> None:
        """Writes the files that differ, as they are to be, into a directory."""
        self._write(directory, False)
        self._write(directory, True)

    def patch(
        self, message: str, output: Path, author: tuple[str, str] | None = None
    ) -> None:
        """Writes the patch, for git am; its author is who runs this or who is named."""
        author = author or _author()
        with tempfile.TemporaryDirectory(dir=host.directory(host.BUILD)) as scratch:
            top = Path(scratch)
            _git(top, author, "init", "-q")
            for new, what in ((False, "what there is"), (True, message)):
                self._write(top, new)
                _commit(top, author, what)
            _git(top, author, *FORMAT, "-1", "-o", ".git")
            (made,) = (top / ".git").glob("0001-*.patch")
            host.directory(output.parent)
            partial = output.with_name(f".xenlab.{os.getpid()}")
            try:
                partial.write_bytes(made.read_bytes())
                os.rename(partial, output)
            except OSError as error:
                raise Failure(
                    Status.USAGE, f"cannot write {output}: {error.strerror}"
                ) from error
            finally:
                partial.unlink(missing_ok=True)

    def branch(
        self, patches: Sequence[Patch], top: Path, author: tuple[str, str] | None = None
    ) -> None:
        """Makes a git repository: a commit for each patch, on the files as they are.

        Only files that differ are in it. A patch that does not fit is named.
        """
        author = author or _author()
        states = []
        for patch in patches:
            try:
                patch.change(self)
            except Failure as failure:
                raise Failure(
                    failure.status, f"the patch '{patch.subject()}' does not fit: {failure}"
                ) from failure
            states.append(dict(self._changed))
        _git(top, author, "init", "-q", "-b", "series")
        self._write(top, False)
        _commit(top, author, "what there is")
        _git(top, author, "tag", "base")
        for patch, state in zip(patches, states):
            self._changed = state
            self._write(top, True)
            _commit(top, author, patch.message)
            if patch.notes:
                _git(top, author, "notes", "add", "-m", patch.notes)


def _author() -> tuple[str, str]:
    """Returns who signs off: a name and an address."""
    shown = subprocess.run(
        [host.tool("git"), "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"],
        cwd=host.REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    found = re.match(r"(.*) <(.*)> ", shown.stdout)
    if found is None:
        raise Failure(
            Status.USAGE,
            "a patch is signed off by its author: 'git config user.name NAME' and "
            "'git config user.email ADDRESS' first",
        )
    return found[1], found[2]


def cover_letter(top: Path, output: Path, subject: str, blurb: str) -> None:
    """Writes the patches of a branch that was made here, with a cover letter."""
    author = _author()
    _git(
        top,
        author,
        *(*FORMAT, "--cover-letter", "--notes", "-o", str(output), "base..series"),
    )
    cover = output / "0000-cover-letter.patch"
    text = cover.read_text(encoding="utf-8")
    text = text.replace("*** SUBJECT HERE ***", subject)
    cover.write_text(text.replace("*** BLURB HERE ***", blurb), encoding="utf-8")


def _commit(directory: Path, author: tuple[str, str], message: str) -> None:
    _git(directory, author, "add", "-A", "-f")
    _git(directory, author, "commit", "-q", "-s", "--allow-empty", "-m", message)


def _git(directory: Path, author: tuple[str, str], *arguments: str) -> None:
    """Runs git as if nobody had configured it."""
    name, address = author
    host.command(
        f"git {arguments[0]}",
        [host.tool("git"), *arguments],
        cwd=directory,
        env={
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(directory / ".git"),
            "GIT_WORK_TREE": str(directory),
            "GIT_INDEX_FILE": str(directory / ".git/index"),
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": address,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": address,
        },
    )


def version(tree: Tree) -> str:
    """Returns a kernel source tree's version."""
    text = tree.read("Makefile")
    found = [
        re.search(rf"^{name} = *(\d+)$", text, re.M)
        for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    ]
    return ".".join(part[1] for part in found if part)


def kernel(path: Path) -> Tree:
    """Opens a kernel source tree with a privcmd driver."""
    tree = Tree(
        path,
        {
            "Kbuild": NO_KERNEL,
            "MAINTAINERS": NO_KERNEL,
            "drivers/xen/Kconfig": NO_KERNEL,
            "drivers/xen/xenfs/super.c": NO_KERNEL,
        },
    )
    for name, what in (
        ("drivers/xen/privcmd", "has this driver already"),
        ("drivers/xen/dm-op.c", "has the command already"),
    ):
        if tree.has(name):
            raise Failure(Status.USAGE, f"{path} {what}: see its {name}")
    for name in ("drivers/xen/privcmd.c", "include/uapi/xen/privcmd.h"):
        tree.need(name, "has no privcmd driver")
    return tree
