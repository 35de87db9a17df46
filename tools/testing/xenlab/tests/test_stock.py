# SPDX-License-Identifier: GPL-2.0-only
"""Tests of stock."""

import tempfile
import unittest
from pathlib import Path

from lab import arch, fetch, stock
from lab.failure import Failure


class StockTest(unittest.TestCase):
    """Debian's driver with eventfds."""

    def test_another_kernel_has_none(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            (tree / "boot").mkdir()
            (tree / "boot/vmlinuz-6.1.0-56-amd64").touch()
            trees = fetch.Trees(arch.AMD64, tree, tree)
            self.assertEqual(stock.modules("stock", trees), [])
            with self.assertRaisesRegex(Failure, "not for 6.1.0.*: add --kernel 6.12"):
                stock.modules("stock-eventfds", trees)
