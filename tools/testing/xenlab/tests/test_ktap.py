# SPDX-License-Identifier: GPL-2.0-only
"""Tests of ktap."""

import unittest

from lab import ktap, skips

NEW_COMMAND = "ENOTTY: this driver has no such command"


HARNESS_61 = """\
TAP version 13
1..4
# Starting 4 tests from 2 test cases.
#  RUN           query.answers ...
#            OK  query.answers
ok 1 query.answers
#  RUN           query.hvm.answers ...
# query_test.c:12:answers:Expected 3 (3) == arg.vcpus (4)
# answers: Test terminated by assertion
#          FAIL  query.hvm.answers
not ok 2 query.hvm.answers
#  RUN           query.new_command ...
#      SKIP      ENOTTY: this driver has no such command
#            OK  query.new_command
ok 3 # SKIP ENOTTY: this driver has no such command
#  RUN           query.last ...
#            OK  query.last
ok 4 query.last
# FAILED: 3 / 4 tests passed.
# Totals: pass:2 fail:1 xfail:0 xpass:0 skip:1 error:0
"""


HARNESS_NEW = """\
TAP version 13
1..2
# Starting 2 tests from 1 test cases.
#  RUN           global.one ...
#            OK  global.one
ok 1 global.one
#  RUN           global.two ...
#      SKIP      no reason
#            OK  global.two
ok 2 global.two # SKIP no reason
# PASSED: 2 / 2 tests passed.
"""


class KtapTest(unittest.TestCase):
    """Reading and judging what test programs print."""

    def test_linux_61(self) -> None:
        report = ktap.parse("query_test", HARNESS_61.splitlines(), 1)
        self.assertEqual(
            [(result.name, result.outcome.value) for result in report.results],
            [
                ("query.answers", "passed"),
                ("query.hvm.answers", "failed"),
                ("query.new_command", "skipped"),
                ("query.last", "passed"),
            ],
        )
        self.assertIn("Expected 3", report.results[1].output[0])
        self.assertIn("ENOTTY", report.results[2].reason)
        self.assertEqual(report.problems, [])

    def test_newer_linux(self) -> None:
        report = ktap.parse("a_test", HARNESS_NEW.splitlines(), 0)
        self.assertEqual(report.problems, [])
        self.assertEqual(report.results[1].name, "global.two")
        self.assertEqual(report.results[1].outcome, ktap.Outcome.SKIP)
        self.assertEqual(report.results[1].reason, "no reason")

    def test_no_run_lines(self) -> None:
        text = "TAP version 13\n1..2\nok 1 - first\nnot ok 2 second # TODO later\n"
        report = ktap.parse("a_test", text.splitlines(), 1)
        self.assertEqual([result.name for result in report.results], ["first", "second"])
        self.assertEqual(report.results[1].outcome, ktap.Outcome.FAIL)

    def problems(self, text: str, status: int | None) -> str:
        """Returns the problems of a program as one text."""
        return "\n".join(ktap.parse("a_test", text.splitlines(), status).problems)

    def test_dying_programs(self) -> None:
        good = "1..1\nok 1 a.b\n"
        self.assertEqual(self.problems(good, 0), "")
        self.assertIn("signal 11", self.problems(good, 139))
        self.assertIn("time limit", self.problems(good, 143))
        self.assertIn("did not come to an end", self.problems(good, None))
        self.assertIn("exit status 1", self.problems(good, 1))
        self.assertIn("exit status says skipped", self.problems(good, 4))

    def test_missing_tests(self) -> None:
        self.assertIn("2 tests planned, 1", self.problems("1..2\nok 1 a.b\n", 0))
        self.assertIn("no test ran", self.problems("", 0))
        self.assertIn("no test ran", self.problems("1..0\n", 0))
        self.assertIn("planned no tests", self.problems("ok 1 a.b\n", 0))
        cut = "\n".join(HARNESS_61.splitlines()[:8])
        self.assertIn("query.hvm.answers has no result", self.problems(cut, 139))
        self.assertIn("result 2 where 1", self.problems("1..1\nok 2 a.b\n", 0))
        twice = "1..2\nok 1 a.b\nok 2 a.b\n"
        self.assertIn("two tests are named a.b", self.problems(twice, 0))

    def judge(self, text: str, status: int, test: str) -> tuple[str, str]:
        """Returns the counts and the failures as text; a test has to be skipped."""
        report = ktap.parse("query_test", text.splitlines(), status)
        name, _, pattern = test.partition(" ")
        rule = skips.Rule(NEW_COMMAND, [{}], [(name, pattern)])
        counts, lines = ktap.judge(report, skips.Skips([rule]))
        return str(counts), "\n".join(lines)

    def test_skip_that_is_due(self) -> None:
        counts, lines = self.judge(HARNESS_61, 1, "query_test query.new_*")
        self.assertEqual(counts, "2 passed, 1 failed, 1 skipped")
        self.assertIn("query.hvm.answers failed\n    # query_test.c:12", lines)

    def test_skip_that_is_not_due(self) -> None:
        counts, lines = self.judge(HARNESS_61, 1, "other_test *")
        self.assertEqual(counts, "2 passed, 2 failed, 0 skipped")
        self.assertIn(f"query.new_command skipped, which no rule has: {NEW_COMMAND}", lines)

    def test_skip_for_another_reason(self) -> None:
        counts, lines = self.judge("1..1\nok 1 a.b # SKIP why\n", 4, "query_test a.b")
        self.assertEqual(counts, "0 passed, 1 failed, 0 skipped")
        self.assertIn(f"a.b skipped: why; the rule has: {NEW_COMMAND}", lines)

    def test_two_tests_whose_outcomes_are_swapped(self) -> None:
        skipped = f"# SKIP {NEW_COMMAND}"
        right = f"1..2\nok 1 a.b {skipped}\nok 2 a.c\n"
        swapped = f"1..2\nok 1 a.b\nok 2 a.c {skipped}\n"
        good, _ = self.judge(right, 0, "query_test a.b")
        self.assertEqual(good, "1 passed, 0 failed, 1 skipped")
        bad, lines = self.judge(swapped, 0, "query_test a.b")
        self.assertEqual(bad, "0 passed, 2 failed, 0 skipped")
        self.assertIn(f"a.b passed, but has to be skipped: {NEW_COMMAND}", lines)
        self.assertIn("a.c skipped, which no rule has", lines)
