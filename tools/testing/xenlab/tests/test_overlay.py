# SPDX-License-Identifier: GPL-2.0-only
"""Tests of overlay."""

import os
from collections.abc import Mapping
from unittest import mock

from campaigns import overlay
from lab import edit, host
from tests.source_tree import SourceTreeTest


class OverlayTest(SourceTreeTest):
    """Our driver in the place of the kernel's."""

    def test_no_kernel(self) -> None:
        (self.path / "MAINTAINERS").unlink()
        self.refused(overlay.make, "is no kernel source tree: there is no MAINTAINERS")

    def test_no_driver(self) -> None:
        (self.path / "drivers/xen/privcmd.c").unlink()
        self.refused(overlay.make, "has no privcmd driver")

    def test_another_driver(self) -> None:
        (self.path / "drivers/xen/privcmd-buf.c").unlink()
        self.refused(overlay.make, "there is no drivers/xen/privcmd-buf.c in it")

    def test_no_headers(self) -> None:
        (self.path / "include/linux/slab.h").unlink()
        self.refused(overlay.make, "there is no include/linux/slab.h in it")

    def test_paths_that_make_does_not_take(self) -> None:
        for name in ("a b", "a#b", "a$(b)", "a;b", "a'b", "a\nb"):
            with self.subTest(name=name):
                link = self.path / name
                link.symlink_to(self.path)
                self.refused(lambda path: overlay.make(path / name), "takes no path with")

    def test_done_already(self) -> None:
        self.put({"drivers/xen/privcmd/main.c": ""})
        self.refused(overlay.make, "has this driver already")

    def test_unknown_version(self) -> None:
        self.put({"drivers/xen/Makefile": "obj-y += other.o\n"})
        self.refused(overlay.make, "this version is not known")

    def test_a_header_keeps_its_authors(self) -> None:
        self.assertNotIn(overlay.DM_OP, overlay.files())
        tree = edit.kernel(self.path)
        overlay.add_operations(tree, r"/\* XEN_DMOP_track_dirty_vram")
        text = tree.read(overlay.DM_OP)
        self.assertTrue(text.startswith("/* Copyright */\n"))
        ours = (host.REPO / overlay.DM_OP).read_text(encoding="utf-8")
        define = "#define XEN_DMOP_"
        self.assertEqual(text.count(define), ours.count(define))
        self.assertTrue(text.endswith("#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */\n"))

    def test_maintained(self) -> None:
        text = overlay.add_maintained(self.KERNEL["MAINTAINERS"], ["a/", "z/"])
        self.assertTrue(text.endswith("F:\ta/\nF:\tinclude/xen/\nF:\tz/\n"))

    def test_kconfig_entries(self) -> None:
        text = "menu\nconfig A\n\tbool\n\n\thelp\n\nconfig AB\n\tbool\nendmenu\n"
        entries = overlay.kconfig_entries(text)
        self.assertEqual(
            entries, {"A": "config A\n\tbool\n\n\thelp\n", "AB": "config AB\n\tbool\n"}
        )

    def test_no_choice_that_the_kernel_cannot_take(self) -> None:
        for text, there in (
            ("void eventfd_signal(struct eventfd_ctx *ctx, u64 n);\n", False),
            ("void eventfd_signal(struct eventfd_ctx *ctx)\n", True),
        ):
            choice = "config XEN_PRIVCMD_EVENTFD\n\tbool\n\n" if there else ""
            entries = f"config XEN_PRIVCMD\n\ttristate\n\n{choice}config XEN_ACPI\n\tbool\n"
            self.put({"drivers/xen/Kconfig": entries, "include/linux/eventfd.h": text})
            tree = edit.kernel(self.path)
            overlay._kconfig(tree)
            kconfig = tree.read("drivers/xen/Kconfig")
            self.assertNotIn("\n\n\n", kconfig)
            self.assertIn("config XEN_DM_OP\n", kconfig)
            self.assertEqual("config XEN_PRIVCMD_EVENTFD\n" in kconfig, there)

    def test_words_of_an_outer_make(self) -> None:
        self.put({"include/linux/slab.h": "DEFINE_FREE(kvfree\ndefine kmalloc_obj\n"})
        flags = overlay.compat_flags(self.path)
        self.assertNotIn("COMPAT_NO_KMALLOC_OBJ", flags)
        self.assertIn("COMPAT_NO_IOREQ", flags)
        with mock.patch.dict(os.environ, {"MAKEFLAGS": "w", "MAKELEVEL": "1"}):
            self.assertEqual(overlay.compat_flags(self.path), flags)

    # What the patch is merged into, beside what tells a kernel source.
    MERGED = {
        "Documentation/driver-api/index.rst": "   xilinx/index\n",
        "Documentation/userspace-api/index.rst": "   vduse\n",
        "drivers/xen/Makefile": (
            "obj-$(CONFIG_XEN_PRIVCMD)\t\t+= xen-privcmd.o\n"
            "xen-privcmd-y\t\t\t\t:= privcmd.o privcmd-buf.o\n"
        ),
        "tools/testing/selftests/Makefile": "TARGETS += zram\n",
    }
    # Of the newest kernel, as compat.mk knows them.
    NOTHING_LACKS = {
        "include/linux/eventfd.h": "void eventfd_signal(struct eventfd_ctx *ctx)\n",
        "include/linux/mm.h": "vm_flags_set vma_is_shared_maywrite zap_special_vma_range\n",
        "include/linux/sched/mm.h": "mm_get_unmapped_area(struct file\n",
        "include/linux/security.h": "LOCKDOWN_XEN_USER_ACTIONS\n",
        "include/linux/slab.h": "DEFINE_FREE(kvfree\n#define kmalloc_obj\n",
        "include/xen/acpi.h": "xen_acpi_get_gsi_from_sbdf\n",
        "include/xen/interface/hvm/ioreq.h": "struct ioreq\n",
    }

    def sources(self) -> list[str]:
        """Returns the C files of ours that go into a kernel tree."""
        names = [name for name in overlay.files() if name.endswith((".c", ".h"))]
        self.assertIn("drivers/xen/privcmd/main.c", names)
        self.assertIn("include/uapi/xen/privcmd.h", names)
        return names

    def test_sources_are_the_same_byte_for_byte(self) -> None:
        self.put(self.MERGED)
        all_lacks: Mapping[str, str] = {}
        for kernel in (all_lacks, self.NOTHING_LACKS):
            self.put(kernel)
            directory = self.path / "made" / str(len(kernel))
            overlay.make(self.path).apply(directory)
            for name in self.sources():
                with self.subTest(name=name):
                    self.assertEqual(
                        (directory / name).read_bytes(), (host.REPO / name).read_bytes()
                    )

    def test_a_kernel_that_lacks_nothing(self) -> None:
        self.put({**self.MERGED, **self.NOTHING_LACKS})
        tree = overlay.make(self.path)
        self.assertEqual(tree.read(overlay.COMPAT_KBUILD), overlay.ours(overlay.COMPAT_KBUILD))
        self.assertFalse([n for n in tree.names() if n.startswith(overlay.COMPAT_HEADERS)])

    def test_a_kernel_that_lacks_something(self) -> None:
        self.put({**self.MERGED, **self.NOTHING_LACKS, "include/linux/slab.h": "kvfree\n"})
        tree = overlay.make(self.path)
        header = f"{overlay.COMPAT_HEADERS}/linux/slab.h"
        self.assertEqual([n for n in tree.names() if n.startswith(overlay.COMPAT_HEADERS)], [header])
        self.assertEqual(tree.read(header), overlay.ours("compat/include/linux/slab.h"))
        added = tree.read(overlay.COMPAT_KBUILD).removeprefix(overlay.ours(overlay.COMPAT_KBUILD))
        self.assertEqual(
            [line for line in added.splitlines() if not line.startswith("#")],
            [
                "",
                "LINUXINCLUDE := -I$(srctree)/drivers/xen/privcmd/compat $(LINUXINCLUDE)",
                "ccflags-y += -DCOMPAT_NO_FREE_KVFREE",
                "ccflags-y += -DCOMPAT_NO_KMALLOC_OBJ",
            ],
        )

    def test_no_checksums_of_a_kernels_own_xenfs(self) -> None:
        headers = overlay.compat_headers(overlay.compat_flags(self.path))
        self.assertIn(f"{overlay.COMPAT_HEADERS}/linux/mm.h", headers)
        self.assertNotIn(f"{overlay.COMPAT_HEADERS}/linux/miscdevice.h", headers)
