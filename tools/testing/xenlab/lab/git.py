# SPDX-License-Identifier: GPL-2.0-only
"""What git says of this clone."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import host
from lab.failure import Failure, Status

NO_CLONE = "is no git clone: clone the repository"


def ask(*words: str) -> str:
    """Returns what a command of git prints; refuses what is no clone, or another user's.

    Where git fails for another reason, the status is that of a failed build.
    """
    done = subprocess.run(
        [host.tool("git"), *words],
        cwd=host.REPO,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    if "not a git repository" in done.stderr:
        raise Failure(Status.USAGE, f"{host.REPO} {NO_CLONE}")
    advice = re.search("git config --global --add safe.directory .*", done.stderr)
    if advice is not None:
        raise Failure(
            Status.USAGE, f"git refuses this clone, which is another user's: {advice[0]}"
        )
    raise Failure(Status.BUILD, f"git {words[0]} failed", done.stderr.splitlines())


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
