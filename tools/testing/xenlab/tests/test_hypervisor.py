# SPDX-License-Identifier: GPL-2.0-only
"""Tests of hypervisor."""

import unittest

from lab import arch, hypervisor


class HypervisorTest(unittest.TestCase):
    """Xen, built here."""

    def test_image_has_the_name_that_the_build_gives_it(self) -> None:
        """The dot of a version, as in xen-4.20-arm64, begins no suffix."""
        names = {name: hypervisor.image(item) for name, item in arch.ALL.items()}
        self.assertEqual(names, {"amd64": "xen.gz", "arm64": "xen"})
