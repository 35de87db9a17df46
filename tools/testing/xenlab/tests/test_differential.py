# SPDX-License-Identifier: GPL-2.0-only
"""Tests of differential."""

import unittest

from campaigns import differential
from lab.failure import Failure


class DifferentialTest(unittest.TestCase):
    def test_a_continued_request_is_named_after_the_first(self) -> None:
        record = differential.parse("map\t0\n... shows\t01\nmap it\tEINVAL\nnoise\n")
        self.assertEqual(
            record, {"map": "0", "map ... shows": "01", "map it": "EINVAL"}
        )

    def test_names_are_unique(self) -> None:
        with self.assertRaises(Failure):
            differential.parse("map\t0\nmap\t0\n")

    def test_an_unlisted_difference_fails(self) -> None:
        counts, wrong = differential.compare({"a": "0", "b": "0"}, {"a": "1", "b": "0"}, {})
        self.assertEqual((counts.passed, counts.failed), (1, 1))
        self.assertEqual(wrong, ["a: stock 0, ours 1"])

    def test_a_listed_difference_passes_only_as_listed(self) -> None:
        listed = {"a": ("0", "1")}
        for ours, failed in (("1", 0), ("2", 1), ("0", 1)):
            counts, _ = differential.compare({"a": "0"}, {"a": ours}, listed)
            self.assertEqual(counts.failed, failed, ours)

    def test_a_request_that_only_one_made_fails(self) -> None:
        counts, _ = differential.compare({"a": "0"}, {"b": "0"}, {})
        self.assertEqual((counts.passed, counts.failed), (0, 2))

    def test_an_entry_for_no_request_fails(self) -> None:
        counts, wrong = differential.compare({}, {}, {"a": ("0", "1")})
        self.assertEqual(counts.failed, 1)
        self.assertEqual(wrong, ["a: listed, but no such request"])

    def test_the_list_wants_four_columns_and_no_second_entry(self) -> None:
        for text in ("a\t0\t1\n", "a\t0\t1\t \n", "a\t0\t1\twhy\na\t0\t1\twhy\n"):
            with self.assertRaises(differential.ListError):
                differential.read_expected(text)
