# SPDX-License-Identifier: GPL-2.0-only
"""Tests of upstream_check."""

import unittest

from campaigns import upstream_check


class UpstreamCheckTest(unittest.TestCase):
    """What the library did is read off strace's lines."""

    def test_library_commands(self) -> None:
        trace = """\
[pid 9] ioctl(10, 0x105005, 0x7ffd) = 0
[pid 9] close(10) = 0
[pid 9] ioctl(5, 0x105005, 0x7ffd) = -1 EPERM (Operation not permitted)
[pid 9] ioctl(7, 0x105005, 0x7ffd) = 0
[pid 9] ioctl(3, 0xc0085020, 0x7ffd) = 0
[pid 9] ioctl(7, 0xc0085020, 0x7ffd) = -1 ENOTTY (Inappropriate ioctl)
[pid 9] ioctl(7, 0x105005, 0x7ffd) = 0
[pid 9] close(7) = 0
[pid 9] ioctl(7, 0x105005, 0x7ffd) = 0
"""
        self.assertEqual(
            upstream_check.library_commands(trace.splitlines()),
            upstream_check.EXPECTED["stock"],
        )
