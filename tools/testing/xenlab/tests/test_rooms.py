# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the directories: which imports which, and that none is left out."""

import re
import unittest

import xenlab
from lab import host


class RoomsTest(unittest.TestCase):
    """lab/ knows nothing of what runs on it, and each command is in the list."""

    def test_the_lab_stands_alone(self) -> None:
        for path in (host.LAB / "lab").glob("*.py"):
            with self.subTest(name=path.name):
                text = path.read_text(encoding="utf-8")
                found = re.findall(r"^\s*(?:from|import) (campaigns|tests|xenlab)\b", text, re.M)
                self.assertEqual(found, [])

    def test_each_command_is_in_the_list(self) -> None:
        files = {
            path.stem
            for path in (host.LAB / "campaigns").glob("*.py")
            if "\ndef add_arguments(" in path.read_text(encoding="utf-8")
        }
        modules = [getattr(command.module, "__name__") for command in xenlab.COMMANDS]
        self.assertEqual(sorted(modules), sorted(f"campaigns.{name}" for name in files))
