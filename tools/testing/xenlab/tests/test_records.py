# SPDX-License-Identifier: GPL-2.0-only
"""Tests of records."""

import tempfile
import unittest
from pathlib import Path

from campaigns import records
from lab import host
from lab.failure import Failure, Status

RECORD = """\
source = "drivers/a.c"
[[mutant]]
name = "a-b"
breaks = "A bad pointer is not noticed."
red = ["dm_nr_vcpus_test arg.bad_pointer", "restrict_test file.other"]
old = '	one();'
new = '''
	two();
	three();
'''
"""


class RecordsTest(unittest.TestCase):
    """The records of mutants, and what they make of a source."""

    def refuse(self, text: str, message: str) -> None:
        """Expects one line that says what is wrong with a file of records."""
        with self.assertRaisesRegex(Failure, message) as caught:
            list(records.parse("a.toml", text.encode()))
        self.assertEqual(caught.exception.status, Status.USAGE)
        self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_parse(self) -> None:
        (mutant,) = records.parse("a.toml", RECORD.encode())
        self.assertEqual(mutant.name, "a-b")
        self.assertEqual(mutant.breaks, "A bad pointer is not noticed.")
        self.assertEqual(
            mutant.red,
            [("dm_nr_vcpus_test", "arg.bad_pointer"), ("restrict_test", "file.other")],
        )
        self.assertEqual((mutant.arch, mutant.linux), ("amd64", ""))
        self.assertEqual([change.source for change in mutant.changes], ["drivers/a.c"])

    def test_parse_machine(self) -> None:
        more = 'arch = "arm64"\nlinux = "6.12"'
        (mutant,) = records.parse("a.toml", f"{RECORD}{more}".encode())
        self.assertEqual((mutant.arch, mutant.linux), ("arm64", "6.12"))

    def test_parse_changes(self) -> None:
        text = RECORD.partition("old =")[0] + """\
change = [
	{ old = "a", new = "" },
	{ source = "drivers/b.c", old = "b", new = "c" },
]
"""
        (mutant,) = records.parse("a.toml", text.encode())
        self.assertEqual(
            mutant.changes,
            [
                records.Change("drivers/a.c", "a", ""),
                records.Change("drivers/b.c", "b", "c"),
            ],
        )

    def test_bad_records(self) -> None:
        for old, new, message in (
            ("[[mutant]]", "[[mutant", "a.toml: .*line 2"),
            ("[[mutant]]", "[[mutants]]", "a.toml has a key mutants"),
            ('source = "drivers/a.c"\n', "", "a.toml has no source"),
            ("breaks =", "brakes =", "mutant a-b has a key brakes; there are: name "),
            ('name = "a-b"\n', "", "a.toml: a mutant has no name"),
            ('"a-b"', '"a b"', "mutant a b: a name is of a to z"),
            ('"a-b"', "3", "a mutant: name has to be a string"),
            ('"A bad pointer is not noticed."', '""', "breaks has to be a string, not empty"),
            ("arg.bad_pointer", "", "red has 'dm_nr_vcpus_test ', not 'PROGRAM TEST'"),
            ('"restrict_test file.other"', "3", "red has 3, not 'PROGRAM TEST'"),
            ("red = ", "red = [] # ", "red has to be a list, not empty"),
            ("red =", 'arch = "vax"\nred =', "no architecture vax; there are: amd64 arm64"),
            ("red =", 'linux = "2.4"\nred =', "no Linux 2.4; there are:  6.1 "),
            ("old = ", "# ", "mutant a-b: its change has no old"),
            ("'	one();'", "''", "mutant a-b: old has to be a string"),
            ("old =", "change = [{ old = '', new = '' }]\nold =", "either old and new, or"),
            ("old = '	one();'\nnew =", "breaks_how =", "has a key breaks_how"),
            ("old =", "linux = 6.1\nold =", "linux has to be a string"),
        ):
            with self.subTest(old=old, new=new):
                self.assertIn(old, RECORD)
                self.refuse(RECORD.replace(old, new), message)

    def test_bad_changes(self) -> None:
        start = RECORD.partition("old =")[0]
        self.refuse(start, "mutant a-b needs either old and new, or change")
        self.refuse(f"{start}change = ['a']", "mutant a-b: its change is no table")
        self.refuse(f"{start}change = [{{ old = 'a' }}]", "its change has no new")
        self.refuse(f"{start}change = 'a'", "change has to be a list")
        self.refuse("source = 'a'\nmutant = [3]", "a.toml: a mutant is no table")
        with self.assertRaisesRegex(Failure, "a.toml: .* can't decode byte 0xff"):
            list(records.parse("a.toml", b"\xff"))

    def test_names_are_unique(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            with self.assertRaisesRegex(Failure, "there are no mutants in"):
                records.read(Path(scratch))
            for name in ("a.toml", "b.toml"):
                (Path(scratch) / name).write_text(RECORD, encoding="utf-8")
            with self.assertRaisesRegex(Failure, "b.toml: there is a mutant a-b already"):
                records.read(Path(scratch))

    def test_wanted_names(self) -> None:
        with self.assertRaisesRegex(Failure, "there is no mutant none; there are: "):
            records.choose(["none"])

    def test_change(self) -> None:
        change = records.Change("a.c", "\tb\n\tc\n", "\td\n")
        self.assertEqual(change.apply("a\n\tb\n\tc\ne\n"), "a\n\td\ne\n")
        gone = records.Change("a.c", "b", "")
        self.assertEqual(gone.apply("a\nb\nbb\n"), "a\nbb\n")

    def test_old_text_is_there_once(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            top = Path(scratch)
            (mutant,) = records.parse("a.toml", RECORD.encode())
            with self.assertRaisesRegex(Failure, "mutant a-b: there is no drivers/a.c"):
                mutant.apply(top)
            (top / "drivers").mkdir()
            for text, times in (("\tone();\n" * 2, 2), ("one();\n\tone();;\n", 0)):
                (top / "drivers/a.c").write_text(text, encoding="utf-8")
                message = f"mutant a-b: its old text is {times} times in drivers/a.c"
                with self.assertRaisesRegex(Failure, message):
                    mutant.apply(top)
                self.assertEqual((top / "drivers/a.c").read_text(encoding="utf-8"), text)
