# SPDX-License-Identifier: GPL-2.0-only
"""What git says of this clone."""

from collections.abc import Sequence
from pathlib import Path

from lab import host
from lab.failure import Failure, Status


def ask(*words: str) -> str:
    """Returns what a command of git prints."""
    return host.command("asking git", ["git", *words], cwd=host.REPO)


def commit(written: Sequence[Path] = ()) -> str:
    """Returns the commit that a record names; refuses a tree that is another one.

    written is what records themselves write.
    """
    but = [f":!{path.relative_to(host.REPO)}" for path in written]
    if ask("status", "--porcelain", "--", ".", *but):
        raise Failure(
            Status.USAGE, "the table names commits: commit what has changed, or remove it"
        )
    return ask("rev-parse", "--short=12", "HEAD").strip()
