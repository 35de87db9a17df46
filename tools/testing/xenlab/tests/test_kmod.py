# SPDX-License-Identifier: GPL-2.0-only
"""Tests of kmod."""

import tempfile
import unittest
from pathlib import Path

from lab import kmod
from lab.failure import Failure


def module(name: str, *depends: str) -> kmod.Module:
    """Returns a module that says what it needs."""
    modinfo = f"\0name={name}\0depends={','.join(depends)}\0".encode()
    return kmod.Module(f"kernel/{name}.ko", b"\x7fELF" + modinfo)


class KmodTest(unittest.TestCase):
    """The order in which modules load."""

    def test_modules_dep(self) -> None:
        modules = [
            module("xenfs", "xen-privcmd"),
            module("xen-privcmd"),
            module("virtio"),
            kmod.Module("updates/xen-privcmd.ko", b"\0depends=xen-dm-op\0"),
            kmod.Module("updates/xen-dm-op.ko", b"\0depends=\0"),
        ]
        lines = kmod.modules_dep(modules).decode().splitlines()
        self.assertIn(
            "kernel/xenfs.ko: updates/xen-privcmd.ko updates/xen-dm-op.ko", lines
        )
        self.assertIn("kernel/virtio.ko:", lines)
        self.assertEqual(len(lines), 4)

    def test_module_without_depends(self) -> None:
        self.assertEqual(kmod.Module("a.ko", b"nothing").depends, [])

    def test_builtin_is_no_file(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            (root / "kernel").mkdir()
            (root / "kernel/a-b.ko").write_bytes(b"\0depends=\0")
            (root / "modules.order").write_text("kernel/a-b.ko\n")
            (root / "modules.builtin").write_text("kernel/c-d.ko\n")
            found = kmod.installed(root, ("a_b", "c_d"))
            self.assertEqual([module.path for module in found], ["kernel/a-b.ko"])
            with self.assertRaises(Failure):
                kmod.installed(root, ("e",))
