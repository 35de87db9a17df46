# SPDX-License-Identifier: GPL-2.0-only
"""Tests of mutants."""

import argparse
import contextlib
import io
import unittest
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from campaigns import mutants, records
from lab import ktap, machine, programs
from lab.failure import Failure, Status


class MutantsTest(unittest.TestCase):
    """What runs for mutants, and what a boot says about them."""

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

    def test_a_mutant_named_twice_is_tried_once(self) -> None:
        name = next(iter(records.read()))
        self.assertEqual([item.name for item in records.choose([name, name])], [name])

    def test_mutants_of_another_architecture(self) -> None:
        chosen = [
            records.Mutant(name, "", [], [], arch) for name, arch in (("a", "arm64"), ("b", "amd64"))
        ]
        with mock.patch.object(records, "choose", return_value=chosen):
            message = "^mutant b is for --arch amd64: leave --arch out$"
            with self.assertRaisesRegex(Failure, message) as caught:
                self.main("--arch", "arm64", "a", "b")
            self.assertEqual(caught.exception.status, Status.USAGE)
            # Without names they are all of an architecture's.
            self.assertEqual(self.main("--arch", "arm64"), ["arm64"])
            self.assertEqual(self.main("a", "b"), ["amd64", "arm64"])

    def main(self, *words: str) -> list[str]:
        """Returns on which architectures the command tries mutants."""
        parser = argparse.ArgumentParser()
        mutants.add_arguments(parser)
        with (
            mock.patch.object(mutants, "run", return_value=(ktap.Counts(passed=1), [])) as run,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            args = parser.parse_args(words)
            with mock.patch.object(mutants, "check"):
                mutants.look(args)
            mutants.main(args)
        return [call.args[0].arch.name for call in run.call_args_list]

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

    def test_what_nobody_noticed_runs_again(self) -> None:
        for name, tries in (("m", mutants.TRIES), (mutants.INTACT, 1)):
            lines = mutants.script([mutants.Build(name, ["a_test x.y"], [])]).splitlines()
            self.assertIn(f"for try in $(seq {tries}); do", lines)

    def test_the_last_time_counts(self) -> None:
        ran = "TAP version 13\n1..1\nok 1 x.y\nTAP version 13\n1..1\nnot ok 1 x.y"
        sections = {"m a_test x.y": programs.Section("m", ran.split("\n"), 1)}
        found = mutants.outcomes("m", [("a_test", "x.y")], sections)
        self.assertEqual(list(found.values()), ["failed"])

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

    def tried(self, boots: Sequence[Sequence[str]]) -> tuple[ktap.Counts, list[list[str]]]:
        """Tries two mutants; each boot loads some and notices these but for its last one.

        Only the last boot ends well, and notices all. Returns what was tried in each.
        """
        chosen = [records.Mutant(name, "", [("a_test", "x.y")], []) for name in ("a", "b")]
        builds = [mutants.Build(name, ["a_test x.y"], []) for name in ("a", "b")]
        asked: list[list[str]] = []

        def boot(
            _options: object, _trees: object, _directory: object, pending: Sequence[mutants.Build]
        ) -> tuple[dict[str, programs.Section], machine.Verdict]:
            asked.append([item.name for item in pending])
            loaded = boots[len(asked) - 1]
            good = len(asked) == len(boots)
            sections = {}
            for name in loaded:
                sections[f"{name} load"] = programs.Section(f"{name} load", [], 0)
                if good or name != loaded[-1]:
                    lines = ["1..1", "not ok 1 x.y"]
                    sections[f"{name} a_test x.y"] = programs.Section(name, lines, 1)
            status = Status.GOOD if good else Status.SPLAT
            verdict = machine.Verdict(status, "splat", Path(), (), 0 if good else None)
            return sections, verdict

        with (
            mock.patch("lab.versions.trees"),
            mock.patch("lab.build.selftests"),
            mock.patch.object(mutants, "_build_all", return_value=(builds, ktap.Counts())),
            mock.patch.object(mutants, "boot", boot),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            counts, failures = mutants._try(machine.Options(), chosen, False)
        self.assertEqual(failures, [])
        return counts, asked

    def test_a_machine_that_dies_is_tried_once_more(self) -> None:
        counts, asked = self.tried([["a"], ["a", "b"]])
        self.assertEqual(counts, ktap.Counts(passed=2))
        self.assertEqual(asked, [["a", "b"], ["a", "b"]])

    def test_a_machine_that_dies_twice_is_a_failure(self) -> None:
        counts, asked = self.tried([["a"], ["a"], ["b"]])
        self.assertEqual(counts, ktap.Counts(passed=1, failed=1))
        self.assertEqual(asked, [["a", "b"], ["a", "b"], ["b"]])
