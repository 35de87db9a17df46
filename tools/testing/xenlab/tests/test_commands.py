# SPDX-License-Identifier: GPL-2.0-only
"""Tests of commands."""

import re
import shutil
import tempfile
import unittest
from pathlib import Path

from campaigns import commands
from lab import host


class CommandsTest(unittest.TestCase):
    """A command that has no entry in one of its places."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        for where in (commands.UAPI, commands.CONTRIBUTING, *self.wheres()):
            for path in host.REPO.glob(where):
                copy = self.top / path.relative_to(host.REPO)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)

    def wheres(self) -> set[str]:
        return {place.where for place in commands.PLACES}

    def forget(self, place: commands.Place, command: commands.Command) -> dict[Path, str]:
        """Takes an entry away; returns the files as they were."""
        word = command.struct if "STRUCT" in place.entry else command.name
        before = {path: path.read_text() for path in self.top.glob(place.where)}
        for path, text in before.items():
            section = re.search(place.section, text, re.M | re.S)
            if section:
                left = place.entry_of(command).sub(
                    lambda entry: re.sub(rf"(?<![A-Za-z]){word}\b", "other", entry[0]), section[0]
                )
                path.write_text(text.replace(section[0], left))
        return before

    def test_nothing_forgotten(self) -> None:
        self.assertEqual(commands.forgotten(self.top), [])
        self.assertEqual(commands.unlisted(self.top), [])

    def test_each_place(self) -> None:
        # With whose name others begin; without a struct; with all places.
        names = ("MMAP", "RESTRICT", "DM_NR_VCPUS")
        chosen = [command for command in commands.known(self.top) if command.name in names]
        self.assertEqual(len(chosen), len(names))
        for command in chosen:
            for place in commands.PLACES:
                if not place.of(command):
                    continue
                with self.subTest(command=command.name, where=place.where, what=place.what):
                    before = self.forget(place, command)
                    problems = commands.forgotten(self.top)
                    for path, text in before.items():
                        path.write_text(text)
                    self.assertEqual(
                        problems, [f"{place.where}: {command.name} has to have {place.what}"]
                    )

    def test_a_new_command(self) -> None:
        with (self.top / commands.UAPI).open("a") as header:
            header.write("#define IOCTL_PRIVCMD_NEW \\\n\t_IOW('P', 99, struct privcmd_new)\n")
        self.assertEqual(
            commands.known(self.top)[-1], commands.Command("NEW", "privcmd_new", False, True)
        )
        # What is for 32 bit is known of the list.
        places = [place for place in commands.PLACES if "32-bit" not in place.what]
        self.assertEqual(
            commands.forgotten(self.top),
            [f"{place.where}: NEW has to have {place.what}" for place in places],
        )

    def test_each_form_of_a_number(self) -> None:
        numbers = re.findall(
            r"^#define IOCTL_PRIVCMD_(\w+)", (host.REPO / commands.UAPI).read_text(), re.M
        )
        self.assertEqual([command.name for command in commands.known(host.REPO)], numbers)
        (self.top / commands.UAPI).write_text("#define IOCTL_PRIVCMD_NEW _IO('P', 99)\n")
        self.assertEqual(commands.known(self.top), [commands.Command("NEW", "", False, True)])
        # Two that cannot be read.
        (self.top / commands.UAPI).write_text(
            "#define IOCTL_PRIVCMD_NEW (_IO('P', 99))\n#define IOCTL_PRIVCMD_HEX _IO('P', 0x22)\n"
        )
        self.assertEqual(
            commands.forgotten(self.top),
            [
                f"{commands.UAPI}: IOCTL_PRIVCMD_{name} is not defined as the others are"
                for name in ("NEW", "HEX")
            ],
        )

    def test_contributors_are_told_what_lint_knows(self) -> None:
        page = self.top / commands.CONTRIBUTING
        row = "| `NEWS.md` | its name |"
        page.write_text(page.read_text().replace(row, "| `OLDS.md` | its name |"))
        self.assertEqual(
            commands.unlisted(self.top),
            [
                "CONTRIBUTING.md: no row `NEWS.md` | its name",
                "CONTRIBUTING.md: lint does not know `OLDS.md` | its name",
            ],
        )
