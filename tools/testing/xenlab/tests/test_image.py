# SPDX-License-Identifier: GPL-2.0-only
"""Tests of image."""

import lzma
import struct
import unittest

from lab import image


class ImageTest(unittest.TestCase):
    """The kernel inside a bzImage."""

    def bz_image(self, payload: bytes) -> bytes:
        """Returns a bzImage with one setup sector after the boot sector."""
        header = bytearray(1024)
        header[0x1F1] = 1
        header[0x202:0x206] = b"HdrS"
        struct.pack_into("<II", header, 0x248, 16, len(payload))
        return bytes(header) + bytes(16) + payload

    def test_xz(self) -> None:
        packed = lzma.compress(b"\x7fELF kernel") + struct.pack("<I", 11)
        self.assertEqual(image.unpack_kernel(self.bz_image(packed)), b"\x7fELF kernel")

    def test_other_files_stay(self) -> None:
        for content in (b"", b"\x7fELF", self.bz_image(b"\x28\xb5\x2f\xfd zstd")):
            self.assertEqual(image.unpack_kernel(content), content)
