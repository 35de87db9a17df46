# SPDX-License-Identifier: GPL-2.0-only
"""Tests of matrix."""

import argparse
import contextlib
import io
import unittest
from collections.abc import Sequence
from unittest import mock

from campaigns import check, matrix, matrix_page, suite
from lab import git, ktap, machine, ran
from lab.failure import Failure, Status


class MatrixTest(unittest.TestCase):
    """The rows, and what becomes of one that cannot be run."""

    def test_choose(self) -> None:
        self.assertEqual(matrix.choose([]), list(matrix.ROWS))
        self.assertEqual(
            matrix.choose(["arm64-7.2-4.20"]), [matrix.Row("arm64", "7.2", "4.20")]
        )
        self.assertEqual(len(matrix.choose(["arm64-7.2-4.20", "arm64-7.2-4.20"])), 1)
        self.assertEqual(
            matrix.choose(["amd64-6.12-4.20-pvh-smap", "arm64-6.12-4.20-16k"]),
            [
                matrix.Row("amd64", "6.12", "4.20", pvh=True, cpu="smap"),
                matrix.Row("arm64", "6.12", "4.20", pages="16k"),
            ],
        )
        self.assertEqual(len({str(row) for row in matrix.ROWS}), len(matrix.ROWS))
        with self.assertRaises(Failure) as caught:
            matrix.choose(["amd64-6.12"])
        for row in matrix.ROWS:
            self.assertIn(str(row), str(caught.exception))

    def run_row(self, outcome: object) -> tuple[ktap.Counts, list[Failure]]:
        """Runs a row whose tests end in this way."""
        with (
            mock.patch.object(matrix, "_modules"),
            mock.patch.object(ran, "collected", return_value=contextlib.nullcontext()),
            mock.patch.object(suite, "run_driver", side_effect=[outcome]),
        ):
            return matrix.run_row(matrix.ROWS[0], machine.Options())

    def test_a_row_that_cannot_be_run_has_failed(self) -> None:
        counts, failures = self.run_row(Failure(Status.BUILD, "no mirror", ["evidence"]))
        self.assertEqual(counts, ktap.Counts(failed=1))
        self.assertEqual(failures[0].evidence, ("evidence",))
        counts, failures = self.run_row(OSError(28, "No space left on device"))
        self.assertEqual(counts, ktap.Counts(failed=1))
        self.assertIn("No space left", str(failures[0]))

    def test_a_machine_that_failed_is_told(self) -> None:
        died = Failure(Status.XEN, "Xen crashed")
        tested = suite.Tested(ktap.Counts(passed=5), died, 1)
        self.assertEqual(self.run_row(tested), (ktap.Counts(passed=5), [died]))
        tested = suite.Tested(ktap.Counts(passed=5), None, 1)
        self.assertEqual(self.run_row(tested), (ktap.Counts(passed=5), []))

    def test_each_row_is_a_command_of_its_own(self) -> None:
        rows = matrix.ROWS[:2]
        shown = io.StringIO()

        def run_all(checks: Sequence[check.Check], lanes: int) -> list[check.Result]:
            self.assertEqual([item.name for item in checks], [str(row) for row in rows])
            for item in checks:
                self.assertEqual(item.words, ("matrix", "--timeout", "90", item.name))
            texts = ("all is well", f"a triple fault{machine.ONCE_MORE}")
            return [
                check.Result(item, ktap.Counts(passed=5, failed=number), 1.0, texts[number])
                for number, item in enumerate(checks)
            ]

        with (
            mock.patch.object(matrix, "_fetched_ahead", return_value=contextlib.nullcontext()),
            mock.patch.object(check, "run_all", side_effect=run_all),
            contextlib.redirect_stdout(shown),
        ):
            counts = matrix.run(machine.Options(), rows, 2, 90)
        self.assertEqual(counts, ktap.Counts(passed=10, failed=1))
        self.assertEqual(shown.getvalue(), f"{rows[1]}: once more 1 times\n")

    def test_only_the_whole_is_recorded(self) -> None:
        for words, good, recorded in (
            (("--record",), True, True),
            (("--record",), False, False),
            ((), True, False),
        ):
            counts = ktap.Counts(passed=1, failed=int(not good))
            with (
                self.subTest(words=words, good=good),
                mock.patch.object(matrix, "run", return_value=counts),
                mock.patch.object(git, "commit", return_value="0123"),
                mock.patch.object(matrix_page, "record") as record,
                contextlib.redirect_stdout(io.StringIO()),
            ):
                matrix.main(self.parsed(words))
                self.assertEqual(record.called, recorded)
        with self.assertRaisesRegex(Failure, "--record takes no rows"):
            matrix.look(self.parsed(("--record", "amd64-6.1-4.17")))

    def parsed(self, words: Sequence[str]) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        matrix.add_arguments(parser)
        return parser.parse_args(words)
