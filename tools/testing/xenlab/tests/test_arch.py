# SPDX-License-Identifier: GPL-2.0-only
"""Tests of arch."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from lab import arch, host, image, machine
from lab.failure import Failure, Status


class ArchTest(unittest.TestCase):
    """What QEMU is told for each architecture."""

    def command(
        self,
        name: str,
        accel: str = "tcg",
        pvh: bool = False,
        cpu: str = "",
        pages: str = "",
    ) -> list[str]:
        """Returns the command line to boot empty files."""
        chosen = arch.ALL[name]
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch) / file for file in ("xen", "a,b", "initrd")]
            for file in files:
                file.write_bytes(bytes(3 << 20))
            parts = image.Image(chosen, files[0], files[1], Path(), "1", ())
            options = machine.Options(
                arch=chosen, accel=accel, pvh=pvh, cpu=cpu, pages=pages, append="c,d"
            )
            with mock.patch.object(host, "tool", lambda tool: tool):
                return machine.qemu_command(options, parts, files[2])

    def test_amd64(self) -> None:
        command = self.command("amd64")
        self.assertEqual(command[0], "qemu-system-x86_64")
        initrd = command[command.index("-initrd") + 1]
        self.assertRegex(initrd, r"^/.*/a,,b .*console=hvc0 .*c,,d,/.*/initrd$")

    def test_arm64(self) -> None:
        command = self.command("arm64")
        self.assertEqual(command[0], "qemu-system-aarch64")
        loaders = [word for word in command if word.startswith("guest-loader,")]
        self.assertEqual(len(loaders), 2)
        self.assertIn("/a,,b,bootargs=console=hvc0 ", loaders[0])
        self.assertTrue(loaders[0].endswith("c,,d"))
        self.assertIn("tcg,thread=single", self.command("arm64", arch.SINGLE_THREAD))
        # The kernel takes two pages of 2 MiB.
        self.assertTrue(loaders[1].startswith("guest-loader,addr=0x49400000,initrd="))

    def test_pvh(self) -> None:
        command = self.command("amd64", pvh=True)
        self.assertIn("dom0=pvh", command[command.index("-append") + 1])
        self.assertIn("amd-iommu,intremap=on", command)
        with self.assertRaises(Failure):
            self.command("arm64", pvh=True)

    def cpu(self, name: str, cpu: str = "", pages: str = "") -> str:
        """Returns what QEMU is told about the processor."""
        command = self.command(name, pvh=name == "amd64", cpu=cpu, pages=pages)
        return command[command.index("-cpu") + 1]

    def test_processors(self) -> None:
        self.assertEqual(self.cpu("amd64"), "qemu64,+svm,+npt")
        self.assertRegex(self.cpu("amd64", cpu="smap"), r"^qemu64,.*\+smap,")
        self.assertEqual(self.cpu("arm64"), "cortex-a57")
        self.assertEqual(self.cpu("arm64", cpu="pan"), "cortex-a76")
        # One that has such pages.
        self.assertEqual(self.cpu("arm64", pages="16k"), "cortex-a76")

    def test_processors_that_do_not_go_with_the_rest(self) -> None:
        for name, pvh, cpu in (("amd64", True, "pan"), ("amd64", False, "smap")):
            with self.assertRaises(Failure) as caught:
                self.command(name, pvh=pvh, cpu=cpu)
            self.assertEqual(caught.exception.status, Status.USAGE)
            self.assertIn(f"--cpu {cpu}", str(caught.exception))

    def test_accelerator_of_another_architecture(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.command("arm64", "kvm")
        self.assertEqual(caught.exception.status, Status.USAGE)
