# SPDX-License-Identifier: GPL-2.0-only
"""Tests of qemu."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from campaigns import qemu, qemu_arm64, toolstack, upstream_qemu
from lab import host, machine
from lab.failure import Failure


class QemuTest(unittest.TestCase):
    """The checks of a QEMU that asks."""

    def test_each_check_is_a_function_of_its_script(self) -> None:
        both = (*toolstack.checks(qemu.PARTS, qemu.PARTS), *qemu_arm64.CHECKS)
        for check in both:
            text = check.script.read_text(encoding="utf-8")
            self.assertIn(f"\n{check.name}()\n", text)

    def test_only_the_release_whose_qemu_is_built(self) -> None:
        with self.assertRaisesRegex(Failure, "choose --xen 4.17"):
            qemu.run([machine.Options(xen="4.14")], ())
        for options in (
            machine.Options(driver="ours"),
            machine.Options(driver="stock", xen="4.20"),
        ):
            with self.assertRaisesRegex(Failure, "takes --xen 4.20 and --driver ours"):
                qemu.run([options], ["stubdom"])

    def test_what_the_binary_is_made_of_names_it(self) -> None:
        made: list[tuple[str, bytes]] = []

        def cached(name: str, key: bytes, what: str, make: object) -> Path:
            made.append((name, key))
            return Path("/")

        headers = Path(self.enterContext(tempfile.TemporaryDirectory()))
        with (
            mock.patch.object(host, "cached", cached),
            mock.patch.object(qemu, "libraries", lambda recipe: headers),
        ):
            qemu.binary(qemu.QEMU_7)
            with mock.patch.object(qemu, "CONFIGURATION", ("--other",)):
                qemu.binary(qemu.QEMU_7)
            with mock.patch.object(upstream_qemu, "SEMANTIC", Path(__file__)):
                qemu.binary(qemu.QEMU_7)
            (headers / "a.h").write_text("a", encoding="utf-8")
            qemu.binary(qemu.QEMU_7)
        self.assertEqual([name for name, _ in made], ["qemu-bookworm-amd64"] * 4)
        self.assertEqual(len({key for _, key in made}), 4)
