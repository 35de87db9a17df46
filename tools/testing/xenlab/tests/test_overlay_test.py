# SPDX-License-Identifier: GPL-2.0-only
"""Tests of overlay_test."""

import unittest

from campaigns import overlay_test


class OverlayTestTest(unittest.TestCase):
    """The kernel with the driver built in."""

    def test_fragment(self) -> None:
        finders = "\n\n# What finds defects.\nCONFIG_KASAN=y\n"
        texts = [f"CONFIG_XENFS=m\nCONFIG_PCI=y{finders}", f"CONFIG_SMP=y{finders}"]
        self.assertEqual(
            overlay_test.fragment(texts),
            "CONFIG_PCI=y\nCONFIG_SMP=y\n" + overlay_test.BUILTIN,
        )
