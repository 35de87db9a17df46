# SPDX-License-Identifier: GPL-2.0-only
"""Tests of git."""

import os
import subprocess
import tempfile
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

from campaigns import everything, lint, overlay
from lab import git, host
from lab.failure import Failure, Status


class GitTest(unittest.TestCase):
    """What there is to say where git says nothing of this clone."""

    def setUp(self) -> None:
        self.top = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        self.enterContext(mock.patch.object(host, "REPO", self.top))
        # No clone around it, and what the user has configured does not count.
        alone = {
            "GIT_CEILING_DIRECTORIES": str(self.top.parent),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.enterContext(mock.patch.dict(os.environ, alone))

    def refused(self, status: Status, message: str) -> None:
        """Expects this of whoever asks git."""
        rows = {target: [target, "0123456789ab"] for target in everything.COVERS}
        asking: Mapping[str, Callable[[], object]] = {
            "ask": lambda: git.ask("rev-parse", "HEAD"),
            "commit": git.commit,
            "overlay": overlay.files,
            "everything --old": lambda: everything.age(rows),
        }
        for what, ask in asking.items():
            with self.subTest(what=what), self.assertRaisesRegex(Failure, message) as caught:
                ask()
            self.assertEqual(caught.exception.status, status)

    def test_no_git(self) -> None:
        with mock.patch.dict(os.environ, {"PATH": "/nonexistent"}):
            self.refused(Status.TOOL, r"^git is missing \(Debian package git\)")

    def test_no_clone(self) -> None:
        self.refused(Status.USAGE, f"^{self.top} is no git clone: clone the repository$")

    def test_lint_says_so_too(self) -> None:
        lines = lint.missing(lint.Places(self.top, self.top, self.top))
        self.assertEqual(lines[-1], f"{self.top} is no git clone: clone the repository")

    def test_clone_of_another_user(self) -> None:
        subprocess.run([host.tool("git"), "init", "-q", str(self.top)], check=True)
        # For git's own tests.
        with mock.patch.dict(os.environ, {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}):
            self.refused(
                Status.USAGE,
                "^git refuses this clone, which is another user's: "
                f"git config --global --add safe.directory {self.top}$",
            )

    def test_clone_of_something_else(self) -> None:
        subprocess.run([host.tool("git"), "init", "-q", str(self.top)], check=True)
        with self.assertRaisesRegex(Failure, "is no git clone: clone the repository$"):
            overlay.files()

    def test_what_git_does_not_like_is_told(self) -> None:
        subprocess.run([host.tool("git"), "init", "-q", str(self.top)], check=True)
        with self.assertRaisesRegex(Failure, "^git rev-parse failed$") as caught:
            git.ask("rev-parse", "--verify", "none")
        self.assertEqual(caught.exception.status, Status.BUILD)
        self.assertEqual(caught.exception.evidence, ("fatal: Needed a single revision",))
