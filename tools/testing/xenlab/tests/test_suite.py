# SPDX-License-Identifier: GPL-2.0-only
"""Tests of suite."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from campaigns import suite
from lab import arch, fetch, host, kernel, ktap, machine
from lab.failure import Failure, Status


class SuiteTest(unittest.TestCase):
    """Which test programs run."""

    def test_tests(self) -> None:
        source = """\
FIXTURE_VARIANT_ADD(varied, one) {
FIXTURE_VARIANT_ADD(varied, two) {
TEST(alone)
TEST_F(varied, a)
TEST_F_TIMEOUT(plain, b, 60)
 * TEST_F(plain, c)
"""
        self.assertEqual(
            suite.tests(source),
            {"global.alone", "varied.one.a", "varied.two.a", "plain.b"},
        )

    def test_choose(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            for name in ("b_test", "a_test", "helper", "old_test"):
                (directory / name).touch(0o755)
            (directory / "old_test").chmod(0o644)
            self.assertEqual(suite.choose(directory, []), ["a_test", "b_test"])
            self.assertEqual(suite.choose(directory, ["b_test"]), ["b_test"])
            with self.assertRaises(Failure):
                suite.choose(directory, ["c_test"])

    def test_the_emulated_processors_failure_is_known(self) -> None:
        log = "  9.48 (XEN) d26v1 {} - invoking HVM shutdown action 1\n"
        self.assertTrue(suite.emulator_failed(log.format("Triple fault")))
        self.assertFalse(suite.emulator_failed(log.format("Domain 26 crashed")))

    def test_it_is_no_reason_to_fail(self) -> None:
        bad, good = ktap.Counts(failed=1), ktap.Counts(passed=1)
        triple = "(XEN) d0v1 Triple fault"
        twice = "[ 42.1] BUG: ENTRY_TRAMPOLINE stack guard page was hit at (____ptrval____)"
        for fault, guests, outcomes, runs in (
            ("", "", [bad, good], 1),
            (triple, "", [bad, good], 2),
            (triple, "", [good], 1),
            (triple, "", [bad] * (suite.TRIES + 1), suite.TRIES),
            ("", twice, [bad, good], 2),
            ("", twice, [good], 1),
            ("", "[ 42.1] BUG: unable to handle page fault", [bad, good], 1),
            # dom0's and ours are no guests.
            (twice, "", [bad, good], 1),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                log = Path(scratch) / "log"
                log.write_text(fault, encoding="utf-8")
                if guests:
                    suite.guests_log(log).write_text(guests, encoding="utf-8")
                verdict = machine.Verdict(Status.GOOD, "", log)
                once = mock.Mock(side_effect=[(counts, verdict) for counts in outcomes])
                with mock.patch.object(host, "say"):
                    counts, _, tries = suite.repeat(once)
            self.assertEqual(tries, runs)
            self.assertEqual(once.call_count, runs)
            self.assertEqual(counts, outcomes[runs - 1])

    def test_tests_run_once_more_where_qemu_itself_ended(self) -> None:
        bad = ktap.Counts(failed=1)
        with tempfile.TemporaryDirectory() as scratch:
            log = Path(scratch) / "log"
            log.touch()
            for killed_by, runs in ((11, 2), (0, 1)):
                verdict = machine.Verdict(Status.SILENT, "", log, killed_by=killed_by)
                good = machine.Verdict(Status.GOOD, "", log)
                once = mock.Mock(side_effect=[(bad, verdict), (ktap.Counts(passed=1), good)])
                with mock.patch.object(host, "say"):
                    self.assertEqual(suite.repeat(once)[2], runs)

    def test_what_decides_on_skips(self) -> None:
        for chosen, pvh, built, dom0, device_models in (
            (arch.AMD64, False, False, "pv", True),
            (arch.AMD64, True, False, "auto-translated", True),
            (arch.ARM64, False, False, "auto-translated", False),
            (arch.ARM64, False, True, "auto-translated", True),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                tree = Path(scratch)
                (tree / "boot").mkdir()
                (tree / "boot/vmlinuz-6.1.0-56-some").touch()
                (tree / chosen.xen.replace("*", "4.20-some")).touch()
                options = machine.Options(arch=chosen, pvh=pvh)
                trees = fetch.Trees(chosen, tree, tree, tree if built else None)
                self.assertEqual(
                    suite.facts(options, trees),
                    {
                        "driver": "ours",
                        "arch": chosen.name,
                        "linux": "6.1",
                        "xen": "4.20",
                        "dom0": dom0,
                        "device_models": device_models,
                        "silent": False,
                        "takes_memory": False,
                    },
                )

    def test_where_foreign_frames_take_memory(self) -> None:
        for options, takes in (
            (machine.Options(linux=kernel.BALLOONED), False),
            (machine.Options(linux=kernel.BALLOONED, pvh=True), True),
            (machine.Options(linux=kernel.VERSION, pvh=True), False),
            (machine.Options(linux=kernel.BALLOONED, arch=arch.ARM64), True),
            (machine.Options(xen_append=f"loglvl=all {machine.NO_REGIONS}"), False),
            (machine.Options(xen_append=machine.NO_REGIONS, arch=arch.ARM64), True),
        ):
            self.assertEqual(options.takes_memory, takes)
