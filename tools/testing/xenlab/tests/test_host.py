# SPDX-License-Identifier: GPL-2.0-only
"""Tests of host."""

import signal
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from lab import host
from lab.failure import Failure, Status


class HostTest(unittest.TestCase):
    """The host's kind, packages and tools."""

    def suite_of(self, text: str) -> str:
        """Returns the suite of a host with an os-release."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "os-release"
            path.write_text(text, encoding="utf-8")
            with mock.patch.object(host, "OS_RELEASE", path):
                return host.suite()

    def test_debian(self) -> None:
        text = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n'
        self.assertEqual(self.suite_of(text), "bookworm")

    def test_not_debian(self) -> None:
        for text in ("", "ID=ubuntu\nID_LIKE=debian\n", "ID=debian\n"):
            with self.subTest(text=text), self.assertRaises(Failure) as caught:
                self.suite_of(text)
            self.assertEqual(caught.exception.status, Status.NOT_DEBIAN)

    def test_missing_tool_names_its_package(self) -> None:
        with mock.patch.dict("os.environ", {"PATH": "/nonexistent"}):
            with self.assertRaises(Failure) as caught:
                host.tool("qemu-system-x86_64")
        self.assertEqual(caught.exception.status, Status.TOOL)
        self.assertIn("qemu-system-x86)", str(caught.exception))

    def test_link_that_leads_to_itself(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            top = Path(scratch).resolve()
            (top / "loop").symlink_to("loop")
            (top / "link").symlink_to("new")
            self.assertEqual(host.path(f"{top}/link"), top / "new")
            for name in ("loop", "loop/file"):
                message = f"^{top}/{name}: a symbolic link that leads to itself$"
                with self.assertRaisesRegex(Failure, message) as caught:
                    host.path(f"{top}/{name}")
                self.assertEqual(caught.exception.status, Status.USAGE)

    def test_no_name_is_no_path(self) -> None:
        with self.assertRaisesRegex(Failure, "^'' is no name of a file or directory$"):
            host.path("")

    def test_interrupted_command_is_waited_for(self) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        made: list[subprocess.Popen[str]] = []
        popen = subprocess.Popen

        def noted(*args: Any, **more: Any) -> subprocess.Popen[str]:
            made.append(popen(*args, **more))
            return made[-1]

        # One that ends, and one that would last.
        for then, status in (("exit 3", 3), ("exec sleep 100", -signal.SIGKILL)):
            script = f"sleep 0.2; kill -INT $PPID; {then}"
            with (
                self.subTest(then=then),
                mock.patch.object(subprocess, "Popen", noted),
                self.assertRaises(KeyboardInterrupt),
            ):
                host.command("it", ["sh", "-c", script])
            self.assertEqual(made[-1].returncode, status)

    def test_cached(self) -> None:
        made: list[Path] = []

        def make(directory: Path) -> None:
            made.append(directory)
            (directory / "file").write_text("", encoding="utf-8")

        def fail(directory: Path) -> None:
            make(directory)
            raise Failure(Status.BUILD, "no")

        with (
            tempfile.TemporaryDirectory() as scratch,
            mock.patch.object(host, "BUILD", Path(scratch)),
            mock.patch.object(host, "CACHE", Path(scratch) / "cache"),
            mock.patch.object(host, "say"),
        ):
            other = host.cached("a-b", b"1", "it", make)
            first = host.cached("a", b"1", "it", make)
            self.assertEqual(host.cached("a", b"1", "it", make), first)
            self.assertEqual(len(made), 2)
            with self.assertRaises(Failure):
                host.cached("a", b"2", "it", fail)
            self.assertFalse(made[-1].exists())
            second = host.cached("a", b"3", "it", make)
            self.assertTrue((second / "file").exists())
            self.assertFalse(first.exists())
            self.assertTrue((other / "file").exists())
