# SPDX-License-Identifier: GPL-2.0-only
"""What tests of patches share: a source tree of others in a temporary directory."""

import tempfile
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path

from campaigns import overlay
from lab.failure import Failure


class SourceTreeTest(unittest.TestCase):
    """A kernel's source tree: refused, or changed in a copy."""

    KERNEL = {
        "Kbuild": "",
        "MAINTAINERS": "XEN HYPERVISOR INTERFACE\nS:\tSupported\nF:\tinclude/xen/\n",
        "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n",
        "drivers/xen/Kconfig": "config XEN_PRIVCMD\n\ttristate\n\tdepends on XEN\n",
        "drivers/xen/privcmd-buf.c": "",
        "drivers/xen/privcmd.c": "int driver;\n",
        "drivers/xen/xenfs/super.c": "",
        "include/linux/slab.h": "",
        "include/uapi/xen/privcmd.h": "",
        overlay.DM_OP: "/* Copyright */\n#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */\n",
    }

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        self.put(self.KERNEL)

    def put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text, encoding="utf-8")

    def refused(self, make: Callable[[Path], object], why: str) -> None:
        with self.assertRaisesRegex(Failure, why):
            make(self.path)
