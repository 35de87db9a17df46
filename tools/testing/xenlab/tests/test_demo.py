# SPDX-License-Identifier: GPL-2.0-only
"""Tests of demo."""

import unittest

from campaigns import demo

README = """
## See it

    make demo

Look:

    request      answer
    ...
      vCPU 2's 88 accesses        0   ok

## Test it

    make check
"""
OUTPUT = """first
request      answer
more
  vCPU 2's 7 accesses         0   ok
"""


class DemoTest(unittest.TestCase):
    """README shows what the demo prints."""

    def test_what_readme_shows(self) -> None:
        self.assertEqual(
            demo.shown(README), ["request      answer", "  vCPU 2's 88 accesses        0   ok"]
        )

    def test_numbers_of_accesses_differ(self) -> None:
        self.assertEqual(demo.untrue(README, OUTPUT), "")

    def test_what_is_not_printed_or_in_another_order(self) -> None:
        for changed in (OUTPUT.replace("answer", "reply"), "request      answer\n"):
            self.assertTrue(demo.untrue(README, changed))
        self.assertTrue(demo.untrue(README, "\n".join(reversed(OUTPUT.splitlines()))))

    def test_readme_shows_something(self) -> None:
        self.assertGreater(len(demo.shown(demo.README.read_text(encoding="utf-8"))), 5)
