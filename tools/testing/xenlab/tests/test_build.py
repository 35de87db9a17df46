# SPDX-License-Identifier: GPL-2.0-only
"""Tests of build."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from lab import arch, build, fetch, host
from lab.failure import Failure


class BuildTest(unittest.TestCase):
    """What was built is looked at."""

    def test_warnings_about_tools_are_none_about_the_driver(self) -> None:
        text = """\
warning: the compiler differs from the one used to build the kernel
  The kernel was built by: gcc-12
warning: pahole version differs from the one used to build the kernel
WARNING: modpost: missing MODULE_DESCRIPTION() in a.o
a.c:1:2: warning: unused variable
"""
        self.assertEqual(build.warnings(text), text.splitlines()[3:])

    def test_each_test_has_a_program(self) -> None:
        names = [path.stem for path in build.SELFTESTS.glob("*_test.c")]
        with tempfile.TemporaryDirectory() as scratch:
            trees = fetch.Trees(arch.AMD64, Path("linux"), Path("xen"))
            output = Path(scratch) / "selftests/xen"
            output.mkdir(parents=True)
            for name in names:
                (output / name).touch(0o755)
            with (
                mock.patch.object(host, "BUILD", Path(scratch)),
                mock.patch.object(build, "make"),
                mock.patch.object(fetch, "tree", return_value=Path("source")),
                mock.patch.object(fetch, "kernel_source", return_value=Path("source")),
            ):
                self.assertEqual(build.selftests(trees), output)
                (output / names[0]).unlink()
                with self.assertRaisesRegex(Failure, f"did not make {names[0]}$"):
                    build.selftests(trees)
