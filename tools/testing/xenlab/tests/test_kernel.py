# SPDX-License-Identifier: GPL-2.0-only
"""Tests of kernel."""

import re
import unittest

from campaigns import debug
from lab import arch, kernel


class KernelTest(unittest.TestCase):
    """A configuration has all that was asked for."""

    def test_missing(self) -> None:
        wanted = "# CONFIG_A=y\n\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_D=y\n"
        config = "CONFIG_B=y\nCONFIG_C=y\n# CONFIG_D is not set\n"
        self.assertEqual(kernel.missing(wanted, config), ["CONFIG_C=m", "CONFIG_D=y"])

    def test_debug_config_names_what_it_is_for(self) -> None:
        own = {"amd64": "XEN_PV", "arm64": "KASAN"}
        for item in arch.ALL.values():
            text = debug.wanted_kernel(item).config
            finders = ("PROVE_LOCKING", "UBSAN", "DEBUG_KMEMLEAK", "FAILSLAB")
            for name in (*finders, own[item.name]):
                self.assertIn(f"CONFIG_{name}=y\n", text)

    def test_debug_config_sets_nothing_twice(self) -> None:
        for item in arch.ALL.values():
            named = re.findall(r"^CONFIG_\w+", debug.wanted_kernel(item).config, re.M)
            self.assertEqual(sorted(set(named)), sorted(named))

    def test_pv_has_no_kasan(self) -> None:
        self.assertNotIn("CONFIG_KASAN", debug.wanted_kernel(arch.AMD64).config)
