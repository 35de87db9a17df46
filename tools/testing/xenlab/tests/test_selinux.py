# SPDX-License-Identifier: GPL-2.0-only
"""Tests of selinux."""

import unittest

from campaigns import selinux
from lab.failure import Failure


class SelinuxTest(unittest.TestCase):
    """The manual's policy, and the one that dom0 gets."""

    MODULE = "module a 1.0;\n\nrequire {\n\ttype b;\n}\n\nallow b c:d { e };\n"

    def test_is_the_pages(self) -> None:
        block = "".join(f"   {line}\n" for line in self.MODULE.splitlines())
        page = f"Text\n\n.. code-block:: text\n\n{block}\nMore text, module x y;\n"
        self.assertEqual(selinux.module(page), self.MODULE)
        for text, count in (("", 0), (page + page, 2)):
            with self.assertRaisesRegex(Failure, f"has {count} policy modules, not 1"):
                selinux.module(text)

    def test_has_the_rules(self) -> None:
        self.assertEqual(
            selinux.whole(f"a\n{selinux.RULES}\nb\n", self.MODULE),
            "a\nallow b c:d { e };\nb\n",
        )
        with self.assertRaisesRegex(Failure, "has no rules"):
            selinux.whole(selinux.RULES, "module a 1.0;\n")

    def test_reads_the_manual(self) -> None:
        text = selinux.module(selinux.PAGE.read_text(encoding="utf-8"))
        base = selinux.BASE.read_text(encoding="utf-8")
        self.assertIn("ioctl 0x5020;", selinux.whole(base, text))
        self.assertNotIn(selinux.RULES, selinux.whole(base, text))
