# SPDX-License-Identifier: GPL-2.0-only
"""Tests of matrix_page."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

from campaigns import matrix, matrix_page
from lab import build, host, ran


class MatrixPageTest(unittest.TestCase):
    """What a whole run leaves in the repository."""

    def setUp(self) -> None:
        self.top = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.table = self.top / "matrix.csv"
        self.picture = self.top / "matrix.svg"
        self.readme = self.top / "README.md"
        for module, name, value in (
            (host, "REPO", self.top),
            (matrix_page, "TABLE", self.table),
            (matrix_page, "PICTURE", self.picture),
            (matrix_page, "README", self.readme),
            (ran, "FILE", self.top / "ran.json"),
        ):
            self.enterContext(mock.patch.object(module, name, value))
        self.readme.write_text(f"a\n{matrix_page.BEGIN}\nold\n{matrix_page.END}\nb\n")
        self.rows = [
            matrix.Row("amd64", "6.1", "4.14"),
            matrix.Row("amd64", "6.12", "4.20"),
            matrix.Row("arm64", "6.12", "4.20", pages="16k"),
        ]

    def record(self) -> None:
        tests = [
            ["p", "dm_nr_vcpus_test", "a", "passed", ""],
            ["p", "dm_nr_vcpus_test", "b", "passed", ""],
            ["p", "mmap_test", "a", "skipped", "why"],
        ]
        ran.FILE.write_text(json.dumps({f"matrix {row}": tests for row in self.rows}))
        matrix_page.record([row.place() for row in self.rows], "0123", "2026-01-02")

    def test_record(self) -> None:
        self.record()
        rows = matrix_page.read(self.table.read_text(encoding="utf-8"))
        self.assertEqual([row["combination"] for row in rows], [str(row) for row in self.rows])
        self.assertEqual(rows[2]["more"], "16k")
        self.assertEqual(rows[0]["DM_NR_VCPUS"], "2")
        self.assertEqual(rows[0]["MMAP"], matrix_page.NONE)
        self.assertEqual((rows[0]["passed"], rows[0]["skipped"]), ("2", "1"))
        text = self.readme.read_text(encoding="utf-8")
        self.assertIn("\n| amd64 PV | 6.1, 6.12 | 4.14, 4.20 | 2 | 4 | 0 | 2 |\n", text)
        self.assertIn("\n| arm64 16k | 6.12 | 4.20 | 1 | 2 | 0 | 1 |\n", text)
        self.assertTrue(text.startswith("a\n") and text.endswith("\nb\n"))
        self.assertNotIn("old", text)
        ElementTree.fromstring(self.picture.read_text(encoding="utf-8"))
        self.assertEqual(matrix_page.stale(), [])

    def test_what_differs_is_found(self) -> None:
        self.assertEqual(matrix_page.stale(), [])
        self.record()
        for path in (self.readme, self.picture):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("2", "3"), encoding="utf-8")
            (line,) = matrix_page.stale()
            self.assertIn(f"{path.name} is not as matrix.csv has it", line)
            path.write_text(text, encoding="utf-8")
        self.readme.write_text("a\n", encoding="utf-8")
        self.assertEqual(matrix_page.stale(), [f"README.md lacks a line: {matrix_page.BEGIN}"])

    def test_nothing_is_written_where_a_row_is_missing(self) -> None:
        ran.FILE.write_text("{}")
        with self.assertRaises(KeyError):
            matrix_page.record([row.place() for row in self.rows], "0123", "2026-01-02")
        self.assertFalse(self.table.exists() or self.picture.exists())
        self.assertIn("old", self.readme.read_text(encoding="utf-8"))

    def test_features_name_programs(self) -> None:
        known = [path.stem for path in build.SELFTESTS.glob("*_test.c")]
        for programs in matrix_page.FEATURES.values():
            self.assertLessEqual(set(programs), set(known))
