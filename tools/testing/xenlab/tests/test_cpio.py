# SPDX-License-Identifier: GPL-2.0-only
"""Tests of cpio."""

import io
import unittest

from lab import cpio


class CpioTest(unittest.TestCase):
    """The archive's format."""

    def test_archive(self) -> None:
        archive = cpio.Archive()
        archive.data("etc/deep/file", b"hello")
        archive.symlink("bin", "usr/bin")
        archive.device("dev/console", 0o600, 5, 1)
        file = io.BytesIO()
        archive.write(file)
        names = []
        data = file.getvalue()
        self.assertEqual(len(data) % 4, 0)
        while data:
            self.assertEqual(data[:6], b"070701")
            fields = [int(data[i : i + 8], 16) for i in range(6, 110, 8)]
            size, name_size = fields[6], fields[11]
            names.append((data[110 : 110 + name_size - 1].decode(), fields[1]))
            start = 110 + name_size + -(110 + name_size) % 4
            data = data[start + size + -size % 4 :]
        self.assertEqual(
            names,
            [
                ("bin", 0o120777),
                ("dev", 0o40755),
                ("dev/console", 0o20600),
                ("etc", 0o40755),
                ("etc/deep", 0o40755),
                ("etc/deep/file", 0o100644),
                ("TRAILER!!!", 0),
            ],
        )
