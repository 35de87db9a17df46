# SPDX-License-Identifier: GPL-2.0-only
"""Tests of everything."""

import argparse
import contextlib
import io
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import xenlab
from campaigns import check, everything
from lab import host, ktap
from lab.failure import Failure


class EverythingTest(unittest.TestCase):
    """What is recorded of a target, and when that is old."""

    def setUp(self) -> None:
        self.top = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.top / "everything.csv"
        self.covers = everything.COVERS
        covers = {"one": ("a",), "two": ("b",), "three": ("a", "b")}
        for name, value in (("FILE", self.file), ("COVERS", covers)):
            self.enterContext(mock.patch.object(everything, name, value))
        self.enterContext(mock.patch.object(host, "REPO", self.top))
        self.enterContext(mock.patch.object(check, "LOGS", self.top / ".git/logs"))
        self.file.write_text(everything.write({}), encoding="utf-8")
        self.git("init", "-q", ".")
        for name in ("a", "b"):
            (self.top / name).touch()
        self.commit()

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return host.command("git", ["git", *who, *words], cwd=self.top)

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "-q", "-m", "more")

    def run_targets(self, *targets: str) -> ktap.Counts:
        """Runs targets, of which each counts two."""

        class Lanes:
            def __init__(self, checks: list[check.Check], lanes: int) -> None:
                self.checks = checks

            def run(self) -> list[check.Result]:
                return [
                    check.Result(item, ktap.Counts(1, 0, 1), 90.0, "") for item in self.checks
                ]

        shown = contextlib.redirect_stdout(io.StringIO())
        with mock.patch.object(check, "Lanes", Lanes), shown:
            return everything.run(targets)

    def test_each_target_is_one(self) -> None:
        makefile = Path(xenlab.__file__).parents[3] / "Makefile"
        targets = re.findall(
            r"^\.PHONY: ([a-z0-9-]+)$", makefile.read_text(encoding="utf-8"), re.M
        )
        checks = [name for name in targets if name.startswith("check")]
        others = ["lint", "docs", "demo", "matrix", "bench", "coverage"]
        self.assertEqual(sorted(self.covers), sorted([*checks, *others]))

    def test_rows(self) -> None:
        rows = {"two": ["two", "abc", "2026-01-02", "3", "0", "1", "7"]}
        text = everything.write(rows)
        self.assertEqual(
            text.splitlines()[1:], ["one,,,,,,", "two,abc,2026-01-02,3,0,1,7", "three,,,,,,"]
        )
        self.assertEqual(everything.read(text)["two"], rows["two"])

    def test_what_ran_is_recorded(self) -> None:
        self.assertEqual(self.run_targets("two"), ktap.Counts(1, 0, 1))
        commit = self.git("rev-parse", "--short=12", "HEAD").strip()
        self.assertRegex(
            self.file.read_text(encoding="utf-8"),
            f"one,,,,,,\ntwo,{commit},20..-..-..,1,0,1,2\nthree,,,,,,\n",
        )
        # It goes on: the table is not what was tested.
        self.assertEqual(self.run_targets(), ktap.Counts(3, 0, 3))

    def test_only_is_not_for_the_targets(self) -> None:
        with mock.patch.object(check, "Lanes", side_effect=InterruptedError) as lanes:
            with self.assertRaises(InterruptedError):
                everything.run(["two"])
        ((one,), _), _ = lanes.call_args
        self.assertEqual(one.argv(), ["make", "--no-print-directory", "ONLY=", "two"])

    def test_what_has_no_commit_is_refused(self) -> None:
        before = self.file.read_text(encoding="utf-8")
        with self.assertRaisesRegex(Failure, "there is no target four; there are: one two"):
            everything.look(argparse.Namespace(target=["four"]))
        (self.top / "a").write_text("more", encoding="utf-8")
        with self.assertRaisesRegex(Failure, "commit what has changed"):
            self.run_targets("one")
        self.assertEqual(self.file.read_text(encoding="utf-8"), before)

    def test_age(self) -> None:
        self.run_targets()
        self.commit()
        rows = everything.read(self.file.read_text(encoding="utf-8"))
        self.assertEqual(everything.age(rows), {})
        (self.top / "b").write_text("more", encoding="utf-8")
        self.commit()
        del rows["one"]
        rows["three"][1] = "0123456789ab"
        old = everything.age(rows)
        self.assertEqual(old["one"], "was never run")
        self.assertEqual(old["three"], "was run on 0123456789ab, which is not in this clone")
        self.assertRegex(old["two"], "^what it covers is newer than [0-9a-f]{12}$")
        self.assertEqual(list(old), ["one", "two", "three"])
