# SPDX-License-Identifier: GPL-2.0-only
"""Tests of programs."""

import unittest

from lab import programs


class ProgramsTest(unittest.TestCase):
    """Telling programs' outputs apart."""

    def test_sections(self) -> None:
        done: list[str] = []
        sections = programs.Sections(lambda section: done.append(section.name))
        sections(b"noise\n\n==xenlab== begin a_test\none\ntw")
        sections(b"o\n\n==xenlab== end 3\n==xenlab== begin b_test\nthree")
        sections.finish()
        self.assertEqual(done, ["a_test", "b_test"])
        first, second = sections.all
        self.assertEqual((first.lines, first.status), (["one", "two", ""], 3))
        self.assertEqual((second.lines, second.status), (["three"], None))

    def test_begin_is_not_closed(self) -> None:
        sections = programs.Sections()
        sections(b"==xenlab== begin a\n==xenlab== begin b\n==xenlab== end 0\n")
        self.assertEqual([item.status for item in sections.all], [None, 0])


    def test_run_with_options(self) -> None:
        self.assertEqual(
            programs.run("a --seed 1;reboot", 5),
            f"timeout -s KILL 5 {programs.DIRECTORY}/a --seed '1;reboot' 2>&1",
        )

    def test_remarks(self) -> None:
        section = programs.Section("a --seed 1", ["# a: one", "# RUN b", "a: two"])
        self.assertEqual(section.remarks(), ["# a: one"])
