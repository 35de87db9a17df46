# SPDX-License-Identifier: GPL-2.0-only
"""Tests of versions."""

import unittest
from unittest import mock

from campaigns import matrix
from lab import arch, fetch, machine, versions
from lab.failure import Failure, Status


class VersionsTest(unittest.TestCase):
    """Where Debian has a kernel or a Xen."""

    def test_a_release_that_has_gone_on(self) -> None:
        release = versions.KERNELS["7.2"]
        versions.check("7.2", "7.2.13+deb14-amd64", release)
        for found in ("7.3.1-amd64", "7.20.1-amd64"):
            with self.assertRaises(Failure) as caught:
                versions.check("7.2", found, release)
            self.assertIn(found, str(caught.exception))

    def test_tools_come_with_a_kernel_that_needs_them(self) -> None:
        self.assertNotIn("make", versions.kernel("6.12", arch.ARM64).packages)
        self.assertIn("make", versions.kernel("7.2", arch.ARM64).packages)
        self.assertEqual(versions.kernel("6.12", arch.AMD64).suite, "-backports")

    def test_image_and_headers_have_pages_of_one_size(self) -> None:
        usual, large = (
            versions.kernel("6.12", arch.ARM64, pages).packages for pages in ("", "16k")
        )
        self.assertEqual(usual, ("linux-image-arm64:arm64", "linux-headers-arm64:arm64"))
        self.assertEqual(
            large, ("linux-image-arm64-16k:arm64", "linux-headers-arm64-16k:arm64")
        )

    def test_pages_that_no_kernel_has(self) -> None:
        for chosen, version, advice in (
            (arch.AMD64, "", "leave it out"),
            (arch.ARM64, "6.1", "choose 6.12 or 7.2"),
        ):
            options = machine.Options(arch=chosen, linux=version, pages="16k")
            with mock.patch.object(fetch, "tree") as fetched:
                with self.assertRaises(Failure) as caught:
                    versions.trees(options)
            self.assertEqual(caught.exception.status, Status.USAGE)
            self.assertIn(advice, str(caught.exception))
            fetched.assert_not_called()

    def test_each_row_can_be_chosen(self) -> None:
        for row in matrix.ROWS:
            self.assertIn(row.arch, arch.ALL)
            self.assertIn(row.linux, versions.KERNELS)
            self.assertIn(row.xen, versions.XENS)
            options = row.options(machine.Options())
            versions.check_pages(options)
            self.assertIn(options.cpu, ("", *options.arch.guarded_cpus))
