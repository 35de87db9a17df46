# SPDX-License-Identifier: GPL-2.0-only
"""Tests of coverage."""

import json
import tempfile
import unittest
from pathlib import Path

from campaigns import coverage
from lab import host


class CoverageTest(unittest.TestCase):
    """Lines are counted once, whoever reached them."""

    def _said(self, *counts: tuple[int, int]) -> str:
        lines = [{"line_number": number, "count": count} for number, count in counts]
        files = [
            {"file": "/b/drivers/xen/dm-op.c", "lines": lines},
            {"file": "include/linux/slab.h", "lines": lines},
        ]
        return json.dumps({"current_working_directory": "/kernel", "files": files})

    def test_a_line_is_reached_on_any_platform(self) -> None:
        found: coverage.Lines = {}
        for said in (self._said((1, 0), (2, 7)), self._said((1, 3), (2, 0), (4, 0))):
            coverage.merge(found, coverage.read(said, Path("/b")))
        self.assertEqual(found, {"dm-op.c": {1: True, 2: True, 4: False}})

    def test_each_line_that_is_not_reached_has_a_reason(self) -> None:
        source = {"a.c": "one;\n\ttwo;\nthree;\ntwo;\n"}
        found = {"a.c": {1: True, 2: False, 3: False, 4: False}}
        why = [coverage.Reason("a.c", "no such Xen", ["two;", "one;"])]
        result = coverage.report(found, source, why)
        self.assertEqual(result.table, [("a.c", 4, 1)])
        self.assertEqual(
            result.wrong,
            [
                "a.c: no reason is given for: three;",
                "a.c: no reason is given for: two;",
                "a.c: is reached, or not there: one;",
            ],
        )

    def test_the_table_ends_with_all(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "table.csv"
            coverage.write(coverage.Report([("a.c", 4, 3), ("b.c", 6, 6)]), path)
            lines = path.read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[1:], ["a.c,4,3,75.0", "b.c,6,6,100.0", "all,10,9,90.0"])

    def test_the_list_of_reasons_can_be_read(self) -> None:
        for item in coverage.reasons(coverage.REASONS.read_text(encoding="utf-8")):
            self.assertTrue((host.REPO / coverage.DRIVER / item.file).is_file(), item)
            self.assertTrue(item.why and item.lines, item)
