# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the command line."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import xenlab
from campaigns import arguments, check, suite
from lab import arch, build, host, ktap, packages, programs
from lab.failure import Failure, Status


class CommandLineTest(unittest.TestCase):
    """Bad usage is one line."""

    def test_what_hangs_is_ended_from_the_inside(self) -> None:
        text = (build.SELFTESTS / "common.h").read_text(encoding="utf-8")
        each = re.search(r"^#define TEST_TIMEOUT_DEFAULT (\d+)$", text, re.M)
        assert each is not None
        settings = (build.SELFTESTS / "settings").read_text(encoding="utf-8")
        self.assertEqual(settings, f"timeout={programs.PROGRAM_LIMIT}\n")
        self.assertLess(int(each[1]), programs.PROGRAM_LIMIT)
        options = arguments.options(xenlab._parser().parse_args(["test"]))
        self.assertLess(programs.PROGRAM_LIMIT, options.timeout)
        self.assertLess(suite.LONG_LIMIT, options.timeout)

    def main(self, *arguments: str) -> tuple[int, str]:
        """Returns the status and what is printed on stderr."""
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown):
            return xenlab.main(arguments), shown.getvalue()

    def test_bad_usage(self) -> None:
        for arguments in (
            (),
            ("fly",),
            ("check", "nothing"),
            ("check", "--lanes", "0"),
            ("setup",),
            ("setup", "nothing"),
            ("kselftest-install",),
            ("kselftest-install", "--xen", "3.0", "/nonexistent"),
            ("kselftest-install", str(host.LAB)),
            ("run",),
            ("run", "--"),
            ("run", "--", ""),
            ("run", "--", " "),
            ("run", "--kernel", "", "--", "true"),
            ("run", "--log", "", "--", "true"),
            ("run", "--driver", "none", "--", "true"),
            ("run", "--timeout", "soon", "--", "true"),
            ("run", "--timeout", "-1", "--", "true"),
            ("run", "--kernel", "/nonexistent", "--", "true"),
            ("run", "--log", "/nonexistent/log", "--", "true"),
            ("run", "--kernel", "6.13", "--", "true"),
            ("run", "--xen", "4.13", "--", "true"),
            ("run", "--cpu", "max", "--", "true"),
            ("run", "--pages", "16k", "--", "true"),
            ("run", "--arch", "arm64", "--pages", "8k", "--", "true"),
            ("matrix", "amd64-6.12"),
            ("fetch", "everything"),
            ("path", "nowhere"),
            ("check-toolstack", "nowhere"),
            ("series",),
            ("series", "--kernel"),
            ("series", "--kernel", "/nonexistent"),
            ("series", "--kernel", "/", "--xen"),
            ("upstream-patch", "--xen", ""),
            ("upstream-patch", "--qemu", ""),
            ("check-series", "no-such-fix"),
        ):
            with (
                self.subTest(arguments=arguments),
                # Who comes so far has been let pass.
                mock.patch("lab.fetch.tree", side_effect=Failure(Status.BUILD, "no")),
            ):
                status, shown = self.main(*arguments)
                self.assertEqual(status, Status.USAGE)
                self.assertEqual(len(shown.splitlines()), 1, shown)

    def test_interrupted_while_it_starts(self) -> None:
        code = f"""
import os, runpy, signal, sys

class Finder:
    def find_spec(name, *more):
        if name == "campaigns":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder)
runpy.run_path({xenlab.__file__!r}, run_name="__main__")
"""
        done = subprocess.run(
            [sys.executable, "-B", "-c", code], cwd=host.LAB, capture_output=True, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGINT, b""))

    def test_interrupts_are_heeded_unless_they_are_ignored(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        for first, then in (
            (signal.SIG_DFL, signal.default_int_handler),
            (signal.SIG_IGN, signal.SIG_IGN),
        ):
            signal.signal(signal.SIGINT, first)
            self.main("fly")
            self.assertEqual(signal.getsignal(signal.SIGINT), then)

    def test_links_that_lead_to_themselves(self) -> None:
        loop = Path(self.enterContext(tempfile.TemporaryDirectory())) / "loop"
        loop.symlink_to(loop)
        for words in (
            ("run", "--kernel", "LOOP", "--", "true"),
            ("run", "--log", "LOOP", "--", "true"),
            ("run", "--add", "LOOP", "--", "true"),
            ("lint", "--kdir", "LOOP"),
            ("kselftest-install", "LOOP"),
            ("overlay", "LOOP"),
            ("overlay", "/", "--output", "LOOP"),
            ("upstream-patch", "--kernel", "LOOP"),
            ("upstream-patch", "--xen", "LOOP"),
            ("upstream-patch", "--qemu", "LOOP"),
            ("series", "--kernel", "LOOP"),
            ("series", "--kernel", "/", "--xen", "LOOP"),
            ("series", "--kernel", "/", "--qemu", "LOOP"),
        ):
            with (
                self.subTest(words=words),
                mock.patch("lab.versions.trees"),
                mock.patch("campaigns.overlay.make"),
                mock.patch("lab.edit.version", return_value="6.12"),
            ):
                status, shown = self.main(*(str(loop) if it == "LOOP" else it for it in words))
                self.assertEqual(status, Status.USAGE)
                self.assertEqual(shown, f"xenlab: {loop}: a symbolic link that leads to itself\n")

    def test_what_is_no_regular_file_is_not_replaced(self) -> None:
        top = Path(self.enterContext(tempfile.TemporaryDirectory()))
        os.mkfifo(top / "fifo")
        (top / "link").symlink_to("fifo")
        self.enterContext(socket.socket(socket.AF_UNIX)).bind(f"{top}/socket")
        tree = mock.Mock()
        for name in ("", "fifo", "link", "socket", "new/", "new/.", "new/.."):
            path = f"{top}/{name}"
            why = f"{path} is no regular file$"
            with self.subTest(name=name):
                with self.assertRaisesRegex(Failure, f"^--output {why}") as caught:
                    arguments.write_patch(tree, "", "it", path)
                self.assertEqual(caught.exception.status, Status.USAGE)
                args = xenlab._parser().parse_args(("run", "--log", path))
                with self.assertRaisesRegex(Failure, f"^--log {why}"):
                    arguments.options(args)
        tree.patch.assert_not_called()
        with contextlib.redirect_stdout(io.StringIO()):
            arguments.write_patch(tree, "", "it", f"{top}/new")
        tree.patch.assert_called_once()

    def test_what_make_has_a_target_for_is_called_as_that_is(self) -> None:
        makefile = (host.REPO / "Makefile").read_text(encoding="utf-8")
        lists = [f"check-{name}" for name in check.LISTS]
        found = []
        for target, recipe in re.findall(r"^([a-z0-9-]+):.*\n((?:\t.*\n)+)", makefile, re.M):
            words = re.findall(r"^\t(?:@\$\(XENLAB\)|\$\(FOR\) \S+) (?!setup)([a-z0-9-]+)", recipe, re.M)
            if target not in lists and (words or "$(CHECK)" in recipe):
                self.assertIn(target, words or ["check"])
                found.append(target)
        names = {command.name for command in xenlab.COMMANDS}
        self.assertLessEqual(set(found), names)
        self.assertEqual({name for name in names if f"\n{name}:" in makefile} - set(found), set())
        self.assertIn("check-series", found)

    def test_the_checks_that_the_manual_shows_are_run_by_a_target(self) -> None:
        makefile = (host.REPO / "Makefile").read_text(encoding="utf-8")
        run = set(re.findall(r"^\t(?:@\$\(XENLAB\)|\$\(FOR\) \S+) (check-.*)$", makefile, re.M))
        run |= {" ".join(each.words) for checks in check.LISTS.values() for each in checks}
        manual = [host.REPO / "README.md", *(host.REPO / "Documentation").glob("**/*.rst")]
        shown = {
            words
            for path in manual
            for words in re.findall(
                r"xenlab\.py\s+(check-[^`\n]*)", path.read_text(encoding="utf-8")
            )
            if "NAME" not in words
        }
        self.assertIn("check-toolstack qemu", shown)
        self.assertEqual(shown - run, set())

    def test_only_our_driver_has_processors_that_run_at_once(self) -> None:
        for words, accel in (
            (("test",), "tcg"),
            (("demo",), "tcg"),
            (("mutants", "--arch", "amd64"), "tcg"),
            (("test", "--driver", "stock"), arch.SINGLE_THREAD),
            (("demo", "--driver", "stock"), arch.SINGLE_THREAD),
            (("test", "--driver", "stock", "--accel", "tcg"), "tcg"),
            (("test", "--accel", "tcg-single"), arch.SINGLE_THREAD),
            (("differential", "--arch", "amd64"), arch.SINGLE_THREAD),
            (("check-qemu", "--driver", "stock"), "tcg"),
        ):
            args = xenlab._parser().parse_args(words)
            self.assertEqual(arguments.options(args).accel, accel, words)

    def test_what_is_wrong_is_found_before_packages_are_installed(self) -> None:
        for words in (
            ("check", "nonsense"),
            ("matrix", "nonsense"),
            ("mutants", "nonsense"),
            ("mutants", "--pvh", "--arch", "arm64"),
            ("test", "nonsense_test"),
            ("test", "--cpu", "smap"),
            ("coverage", "nonsense"),
            ("check-debug", "nonsense"),
            ("overlay-test", "nonsense"),
            ("check-toolstack", "nonsense"),
            ("check-qemu", "nonsense"),
            ("everything", "nonsense"),
            ("overlay", "/etc"),
            ("upstream-patch", "--kernel", "/etc"),
            ("upstream-patch", "--qemu", "/nonexistent"),
            ("series", "--kernel", "/etc"),
            ("kselftest-install", "/etc"),
            ("kselftest-install", "/proc/x/y"),
            ("run",),
            ("run", "--add", "/nonexistent", "--", "true"),
            ("shell", "--add", "/nonexistent"),
            ("demo", "--arch", "arm64", "--pvh"),
            ("test", "--pages", "16k"),
            ("bench", "--document", "--accel", "kvm"),
            ("bench", "--arch", "arm64", "--eventfds"),
            ("bench", "--arch", "arm64", "--pvh"),
            ("check-qemu", "--xen", "4.14"),
            ("check-qemu", "--arch", "arm64"),
            ("check-toolstack", "--arch", "arm64"),
            ("check-series", "no-such-fix"),
        ):
            with (
                self.subTest(words=words),
                mock.patch.object(packages, "setup") as installed,
            ):
                status, shown = self.main("--packages", "demo", *words)
                self.assertEqual(status, Status.USAGE, shown)
                self.assertEqual(len(shown.splitlines()), 1, shown)
                installed.assert_not_called()

    def test_packages_come_before_the_command(self) -> None:
        with (
            mock.patch.object(packages, "setup", side_effect=InterruptedError("no")) as installed,
            mock.patch.object(suite, "run") as run,
        ):
            self.main("--packages", "test,arm64", "test", "restrict_test")
        installed.assert_called_once_with(["test", "arm64"])
        run.assert_not_called()

    def test_each_driver_has_a_machine_of_its_own(self) -> None:
        with (
            mock.patch.object(suite, "run", return_value=(ktap.Counts(1), [])) as run,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            self.main("test", "--driver", "both", "restrict_test")
        (machines, wanted, _) = run.call_args.args
        self.assertEqual(wanted, ["restrict_test"])
        self.assertEqual(
            [(options.driver, options.accel) for options in machines],
            [("ours", "tcg"), ("stock", arch.SINGLE_THREAD)],
        )

    def test_help_names_each_status(self) -> None:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), self.assertRaises(SystemExit):
            xenlab.main(["run", "--help"])
        for status in Status:
            self.assertRegex(shown.getvalue(), rf"(?m)^  {int(status)} ")
