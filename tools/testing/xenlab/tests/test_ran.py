# SPDX-License-Identifier: GPL-2.0-only
"""Tests of ran."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from campaigns import suite
from lab import arch, fetch, host, ktap, machine, ran
from lab.failure import Failure, Status


class RanTest(unittest.TestCase):
    """What is written of the tests that ran."""

    def test_of_a_repeated_test_the_last_outcome(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "ran"
            with mock.patch.dict(os.environ, {ran.VARIABLE: str(path)}):
                for word in ("not ok 1 a.b", "ok 1 a.b"):
                    ran.note("amd64", ktap.parse("a_test", ["1..1", word], 0))
            self.assertEqual(ran.read(path), [["amd64", "a_test", "a.b", "passed", ""]])
            self.assertEqual(ran.read(Path(scratch) / "none"), [])

    def test_nobody_collects(self) -> None:
        with mock.patch.dict(os.environ, {ran.VARIABLE: ""}):
            ran.note("amd64", ktap.parse("a_test", ["1..1", "ok 1 a.b"], 0))

    def test_what_runs_meanwhile_is_collected(self) -> None:
        report = ktap.parse("a_test", ["1..1", "ok 1 a.b"], 0)
        with (
            tempfile.TemporaryDirectory() as scratch,
            mock.patch.object(host, "BUILD", Path(scratch)),
            mock.patch.object(ran, "FILE", Path(scratch) / "ran.json"),
            mock.patch.dict(os.environ),
        ):
            with self.assertRaises(Failure), ran.collected("matrix"):
                raise Failure(Status.USAGE, "nothing ran")
            self.assertFalse(ran.FILE.exists())
            with self.assertRaises(KeyboardInterrupt), ran.collected("matrix"):
                ran.note("amd64", report)
                raise KeyboardInterrupt
            self.assertNotIn(ran.VARIABLE, os.environ)
            found = json.loads(ran.FILE.read_text(encoding="utf-8"))
        self.assertEqual(found, {"matrix": [["amd64", "a_test", "a.b", "passed", ""]]})

    def test_platform(self) -> None:
        tree = Path("/nowhere")
        with (
            mock.patch.object(fetch, "hypervisor", return_value=Path("xen-4.17-amd64.gz")),
            mock.patch.object(fetch, "kernel_version", return_value="6.1.0-9-amd64"),
        ):
            trees = fetch.Trees(arch.AMD64, tree, tree)
            found = suite.platform(machine.Options(pvh=True, driver="stock"), trees)
        self.assertEqual(found, "amd64-6.1-4.17-pvh-stock")
