# SPDX-License-Identifier: GPL-2.0-only
"""Tests of fetch."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from lab import arch, fetch, host
from lab.failure import Failure


class FetchTest(unittest.TestCase):
    """APT sources and cache names."""

    TARGETS = (
        "bookworm http://mirror.example/debian/\n"
        "bookworm-updates http://mirror.example/debian/\n"
        "bookworm-security http://mirror.example/security/\n"
        "bookworm http://second.example/debian/\n"
        "trixie cdrom://disc/\n"
    )

    def test_running_suite(self) -> None:
        text = fetch.sources(self.TARGETS, "bookworm", "bookworm")
        self.assertEqual(text.count("Types: deb\n"), 3)
        self.assertIn("/security/\nSuites: bookworm-security\n", text)
        self.assertNotIn("second", text)

    def test_other_suite(self) -> None:
        text = fetch.sources(self.TARGETS, "bookworm", "sid")
        self.assertEqual(text.count("Types: deb\n"), 1)
        self.assertIn("Suites: sid\n", text)

    def test_suite_on_top(self) -> None:
        text = fetch.sources(self.TARGETS, "bookworm", "bookworm", "-backports")
        self.assertEqual(text.count("Types: deb\n"), 4)
        self.assertIn("/debian/\nSuites: bookworm-backports\n", text)

    def test_sources_of_packages(self) -> None:
        text = fetch.sources(self.TARGETS, "bookworm", "trixie", types="deb-src")
        self.assertEqual(text.count("Types: "), 1)
        self.assertIn("Types: deb-src\n", text)
        self.assertIn("Suites: trixie\n", text)

    def test_no_lists(self) -> None:
        for targets in ("", "trixie cdrom://disc/\n"):
            with self.assertRaises(Failure) as caught:
                fetch.sources(targets, "trixie", "trixie")
            self.assertIn("apt-get update", str(caught.exception))

    def test_name_follows_the_spec(self) -> None:
        names = {
            fetch.directory(fetch.linux(arch.AMD64), "bookworm"),
            fetch.directory(fetch.linux(arch.ARM64), "bookworm"),
            fetch.directory(fetch.linux(arch.AMD64), "trixie"),
            fetch.directory(fetch.xen(arch.AMD64), "bookworm"),
        }
        self.assertEqual(len(names), 4)

    def test_image_and_headers_differ(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            (tree / "boot").mkdir()
            (tree / "boot/vmlinuz-6.1.0-2-amd64").touch()
            (tree / "usr/src/linux-headers-6.1.0-1-amd64").mkdir(parents=True)
            with self.assertRaises(Failure) as caught:
                fetch.linux(arch.AMD64).finish(tree)
        self.assertIn("different versions", str(caught.exception))

    def test_a_kernel_with_its_own_tools(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            for name in (
                "boot",
                "usr/bin",
                "usr/lib/gcc",
                "usr/lib/modules/7.2.1-amd64",
                "usr/src/linux-headers-7.2.1-amd64",
            ):
                (tree / name).mkdir(parents=True)
            for name in (
                "usr/bin/make",
                "usr/lib/modules/7.2.1-amd64/vmlinuz",
                "usr/src/linux-headers-7.2.1-amd64/Makefile",
            ):
                (tree / name).touch()
            fetch.linux(arch.AMD64).finish(tree)
            self.assertTrue(fetch.is_root(tree))
            self.assertTrue((tree / "usr/lib/gcc").is_dir())
            self.assertEqual(fetch.kernel_version(tree), "7.2.1-amd64")

    def test_no_link_leads_out_of_the_libraries(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            libraries = tree / "usr/lib/x86_64-linux-gnu"
            for directory in (libraries, tree / "lib/x86_64-linux-gnu", tree / "lib64"):
                directory.mkdir(parents=True)
            (libraries / "libxenctrl.so.4.14.0").touch()
            (tree / "lib/x86_64-linux-gnu/libpthread.so.0").write_text("here")
            link = libraries / "libpthread.so"
            link.symlink_to("/lib/x86_64-linux-gnu/libpthread.so.0")
            fetch.xen(arch.AMD64).finish(tree)
            self.assertEqual(link.read_text(), "here")

    def test_interrupted_fetch_leaves_nothing(self) -> None:
        def interrupt(spec: fetch.Spec, suite: str, target: Path) -> None:
            del spec, suite
            target.mkdir()
            raise KeyboardInterrupt

        with tempfile.TemporaryDirectory() as scratch:
            cache = Path(scratch) / "cache"
            with (
                mock.patch.object(host, "BUILD", Path(scratch)),
                mock.patch.object(host, "CACHE", cache),
                mock.patch.object(fetch, "_extract", interrupt),
                contextlib.redirect_stderr(io.StringIO()),
                self.assertRaises(KeyboardInterrupt),
            ):
                fetch.tree(fetch.xen(arch.AMD64), "bookworm")
            self.assertEqual(list(cache.iterdir()), [])
