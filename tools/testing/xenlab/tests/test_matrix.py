# SPDX-License-Identifier: GPL-2.0-only
"""Tests of matrix."""

import argparse
import contextlib
import io
import json
import re
import tempfile
import unittest
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from campaigns import matrix, matrix_page, suite
from lab import git, ktap, machine
from lab.failure import Failure, Status


class MatrixTest(unittest.TestCase):
    """The rows, and what becomes of one that cannot be run."""

    def test_choose(self) -> None:
        self.assertEqual(matrix.choose([]), list(matrix.ROWS))
        self.assertEqual(
            matrix.choose(["arm64-7.2-4.20"]), [matrix.Row("arm64", "7.2", "4.20")]
        )
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

    def run_rows(self, scratch: str, *outcomes: object) -> tuple[ktap.Counts, list[Failure], str]:
        """Runs two rows whose tests end in this way; returns what was printed too."""
        self.shown = io.StringIO()
        (Path(scratch) / "matrix.json").write_text("of another run")
        with (
            mock.patch.object(matrix, "RESULTS", Path(scratch) / "matrix.json"),
            mock.patch.object(matrix, "_modules"),
            mock.patch.object(matrix, "_fetched_ahead", return_value=contextlib.nullcontext()),
            mock.patch.object(suite, "run_driver", side_effect=outcomes),
            contextlib.redirect_stdout(self.shown),
        ):
            counts, failures = matrix.run(
                machine.Options(), ["amd64-7.2-4.17", "amd64-7.2-4.20"]
            )
        return counts, failures, self.shown.getvalue()

    def test_a_row_that_cannot_be_run_fails_and_the_next_one_runs(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            counts, failures, shown = self.run_rows(
                scratch,
                Failure(Status.BUILD, "no mirror", ["evidence"]),
                suite.Tested(ktap.Counts(passed=5, skipped=1), None, 2),
            )
            written = json.loads((Path(scratch) / "matrix.json").read_text())
        self.assertEqual(counts, ktap.Counts(5, 1, 1))
        self.assertEqual(failures[0].evidence, ("evidence",))
        self.assertEqual(str(failures[0]), "amd64-7.2-4.17: no mirror")
        self.assertRegex(shown, r"amd64-7.2-4.17 +0 +1 +0 +0 +0\n")
        self.assertRegex(shown, r"amd64-7.2-4.20 +5 +0 +1 +0 +2\n")
        self.assertEqual(
            [
                (row["row"], row["passed"], row["failed"], row["tries"])
                for row in written
            ],
            [("amd64-7.2-4.17", 0, 1, 0), ("amd64-7.2-4.20", 5, 0, 2)],
        )


    def test_an_error_of_the_host_is_a_row_that_failed(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            counts, failures, _ = self.run_rows(
                scratch,
                OSError(28, "No space left on device"),
                suite.Tested(ktap.Counts(passed=5), None, 1),
            )
        self.assertEqual(counts, ktap.Counts(5, 1, 0))
        self.assertIn("amd64-7.2-4.17: [Errno 28] No space left", str(failures[0]))

    def test_an_interrupted_run_leaves_what_it_has_done(self) -> None:
        good = suite.Tested(ktap.Counts(passed=5), None, 1)
        nothing: list[suite.Tested] = []
        for done, rows in ((nothing, []), ([good], ["amd64-7.2-4.17"])):
            with tempfile.TemporaryDirectory() as scratch:
                with self.assertRaises(KeyboardInterrupt):
                    self.run_rows(scratch, *done, KeyboardInterrupt())
                path = Path(scratch) / "matrix.json"
                written = json.loads(path.read_text()) if path.exists() else []
            self.assertEqual([row["row"] for row in written], rows)
            self.assertEqual(re.findall(r"(?m)^(amd64\S+) +\d", self.shown.getvalue()), rows)

    def test_only_the_whole_is_recorded(self) -> None:
        for words, good, recorded in (
            (("--record",), True, True),
            (("--record",), False, False),
            ((), True, False),
        ):
            counts = ktap.Counts(passed=1, failed=int(not good))
            with (
                self.subTest(words=words, good=good),
                mock.patch.object(matrix, "run", return_value=(counts, [])),
                mock.patch.object(git, "commit", return_value="0123"),
                mock.patch.object(matrix_page, "record") as record,
                contextlib.redirect_stdout(io.StringIO()),
            ):
                matrix.main(self.parsed(words))
                self.assertEqual(record.called, recorded)
        with self.assertRaisesRegex(Failure, "--record takes no rows"):
            matrix.main(self.parsed(("--record", "amd64-6.1-4.17")))

    def parsed(self, words: Sequence[str]) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        matrix.add_arguments(parser)
        return parser.parse_args(words)
