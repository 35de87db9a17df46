# SPDX-License-Identifier: GPL-2.0-only
"""Tests of toolstack."""

import io
import tempfile
import unittest
from pathlib import Path

from campaigns import toolstack
from lab import cpio, programs, skips


class ToolstackTest(unittest.TestCase):
    """What the checks in dom0 reported is judged."""

    def judge(self, name: str, output: str, status: int | None) -> tuple[str, list[str]]:
        section = programs.Section(name, output.splitlines(), status)
        counts, lines = toolstack.judge(section, skips.Skips())
        return str(counts), lines

    def test_a_check_counts_as_one(self) -> None:
        self.assertEqual(self.judge("xl_info", "", 0)[0], "1 passed, 0 failed, 0 skipped")
        for status, text in ((1, "status 1"), (143, "time limit"), (None, "end")):
            counts, lines = self.judge("xl_info", "no such domain", status)
            self.assertEqual(counts, "0 passed, 1 failed, 0 skipped")
            self.assertIn(text, lines[0])
            self.assertIn("no such domain", lines[1])

    def test_a_test_program_counts_its_tests(self) -> None:
        output = "ok 1 a\nnot ok 2 b\n1..2"
        self.assertEqual(
            self.judge("domu_with_target", output, 1)[0], "1 passed, 1 failed, 0 skipped"
        )
        self.assertIn("no test ran", str(self.judge("domu_with_target", "", 0)[1]))

    def test_splats_of_the_domu_are_found(self) -> None:
        splat = "[    1.0] WARNING: CPU: 0 PID: 1 at a.c:1 a+0x1/0x2"
        logs = ["==> guest-pvh.log <==", splat, "==> guest-domu-pv.log <==", "a", splat]
        sections = programs.Sections()
        sections.all.append(programs.Section(toolstack.LOGS.name, logs, 0))
        self.assertEqual(toolstack.splats(sections), [splat])

    def test_a_tree_goes_where_the_links_point(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            tree = Path(name)
            for path in ("lib/a.so", "bin/b", "usr/share/doc/c", "usr/bin/d"):
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text("", encoding="utf-8")
            (tree / "usr/bin/e").symlink_to("/etc/f")
            archive = cpio.Archive()
            toolstack.add_tree(archive, tree)
            file = io.BytesIO()
            archive.write(file)
        for there in (b"usr/lib/a.so", b"usr/bin/d", b"usr/bin/e", b"/etc/f"):
            self.assertIn(there + b"\0", file.getvalue() + b"\0")
        for absent in (b"bin/b", b"usr/share"):
            self.assertNotIn(absent + b"\0", file.getvalue())
