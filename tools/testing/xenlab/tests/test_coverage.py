# SPDX-License-Identifier: GPL-2.0-only
"""Tests of coverage."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from campaigns import coverage
from lab import host, ktap, machine
from lab.failure import Failure, Status


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
        for item in coverage.reasons():
            self.assertTrue((host.REPO / coverage.DRIVER / item.file).is_file(), item)
            self.assertTrue(item.why and item.lines, item)

    def test_what_is_gone_has_no_reason(self) -> None:
        there = coverage.Reason("dm-domain.c", "why", ["#include <linux/err.h>"])
        gone = coverage.Reason("dm-domain.c", "why", ["no such line;"])
        for reason, lines in (
            (there, []),
            (gone, ["coverage.toml: dm-domain.c has no line: no such line;"]),
        ):
            with mock.patch.object(coverage, "reasons", return_value=[reason]):
                self.assertEqual(coverage.gone(), lines)

    def test_bad_reasons(self) -> None:
        record = '[[reason]]\nfile = "a.c"\nwhy = "b"\nlines = ["c"]\n'
        for old, new, message in (
            (record, "", "coverage.toml has no reason"),
            ("[[reason]]", "[[reasons]]", "coverage.toml has a key reasons; there are: reason"),
            ("[[reason]]", "[[reason", "coverage.toml: .*line 1"),
            (record, "reason = ['a']", "coverage.toml: reason 1 is no table"),
            (record, f"{record}{record}more = 1\n", "reason 2 has a key more; there are: file "),
            ('why = "b"\n', "", "coverage.toml: reason 1 has no why"),
            ('"a.c"', "1", "reason 1: file has to be a string"),
            ('["c"]', '"c"', "reason 1: lines has to be a list"),
            ('"c"', "3", "reason 1: lines has 3, which is no string"),
        ):
            with self.subTest(new=new), tempfile.TemporaryDirectory() as name:
                self.assertIn(old, record)
                path = Path(name) / "coverage.toml"
                path.write_text(record.replace(old, new), encoding="utf-8")
                with self.assertRaisesRegex(Failure, message) as caught:
                    coverage.reasons(path)
                self.assertEqual(caught.exception.status, Status.USAGE)
                self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_bad_reasons_boot_no_machine(self) -> None:
        bad = Failure(Status.USAGE, "bad")
        with (
            mock.patch.object(host, "tool"),
            mock.patch.object(coverage, "reasons", side_effect=bad),
            mock.patch.object(coverage, "_boot", return_value=({}, ktap.Counts(), None)) as boot,
            self.assertRaisesRegex(Failure, "^bad$"),
        ):
            coverage.run(machine.Options(), [], False)
        boot.assert_not_called()
