# SPDX-License-Identifier: GPL-2.0-only
"""Tests of mutants."""

import unittest

from campaigns import mutants, records
from lab import programs
from lab.failure import Failure, Status


class MutantsTest(unittest.TestCase):
    """What runs for mutants, and what a boot says about them."""

    def test_all_name_tests(self) -> None:
        for mutant in records.read().values():
            mutants.check(mutant)

    def test_names_of_no_test(self) -> None:
        for program, test in (
            ("none_test", "a.b"),
            ("restrict_test", "a.b"),
            ("dm_nr_vcpus_test", "answer.is_the_hypervisors"),
        ):
            mutant = records.Mutant("a-b", "", [(program, test)], [])
            message = f"^mutant a-b: {program} has no test {test}$"
            with self.assertRaisesRegex(Failure, message) as caught:
                mutants.check(mutant)
            self.assertEqual(caught.exception.status, Status.USAGE)

    def test_commands(self) -> None:
        tests = [("b_test", "x.y"), ("a_test", "x.z"), ("a_test", "x.y"), ("b_test", "x.y")]
        self.assertEqual(mutants.commands(tests, True), ["a_test", "b_test"])
        self.assertEqual(
            mutants.commands(tests, False), ["a_test x.y", "a_test x.z", "b_test x.y"]
        )

    def test_only_the_named_tests_run(self) -> None:
        for whole, command in ((True, "a_test"), (False, "a_test x.y")):
            item = mutants.Build("m", mutants.commands([("a_test", "x.y")], whole), [])
            lines = mutants.script([item]).splitlines()
            self.assertIn(programs.begin(f"m {command}"), lines)
            self.assertIn(programs.run(command, mutants.LIMIT), lines)
            self.assertIn("end_all a_test emulator", lines)

    def test_outcomes(self) -> None:
        ran = programs.Section("m a_test", "1..2\nok 1 x.y\nnot ok 2 x.z\n".split("\n"), 1)
        tests = [("a_test", "x.y"), ("a_test", "x.z"), ("a_test", "x.n"), ("b_test", "x.y")]
        self.assertEqual(
            list(mutants.outcomes("m", tests, {"m a_test": ran}).values()),
            ["passed", "failed", "did not run", "did not run"],
        )

    def test_outcomes_of_single_tests(self) -> None:
        tests = [("a_test", "x.y"), ("a_test", "x.z"), ("a_test", "x.n")]
        # The second ran into its time limit; nothing is said of the third.
        sections = {
            name: programs.Section(name, lines, status)
            for name, lines, status in (
                ("m a_test x.y", ["1..1", "not ok 1 x.y"], 1),
                ("m a_test x.z", ["1..1", "#  RUN           x.z ..."], 137),
                ("m a_test x.n", ["a_test: there is no test x.n"], 1),
            )
        }
        self.assertEqual(
            list(mutants.outcomes("m", tests, sections).values()),
            ["failed", "did not run", "did not run"],
        )
