# SPDX-License-Identifier: GPL-2.0-only
"""Tests of packages."""

import contextlib
import io
import os
import pty
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from lab import cross, host, packages
from lab.failure import Failure, Status


class PackagesTest(unittest.TestCase):
    """What is missing, how large it is, and that nothing happens unasked."""

    SIMULATED = """\
NOTE: This is only a simulation!
The following NEW packages will be installed:
  gcc-9-base libc6:i386
Remv gcc-multilib [4:12.2.0-3]
Inst gcc-9-base (9.3 Debian:12.15/oldstable [all])
Inst libc6 [2.36-8] (2.36-9 Debian:12.15/oldstable [amd64]) [libc6-dev:amd64 ]
Inst libc6:i386 (2.36-9 Debian:12.15/oldstable [i386])
Inst make (4.3-4.1 Debian:12.15/oldstable [amd64])
Conf make (4.3-4.1 Debian:12.15/oldstable [amd64])
"""
    SHOWN = """\
Package: make
Version: 4.3-4.1
Installed-Size: 1612
Architecture: amd64
Description: a tool
 Size: 1
Size: 396164

Package: make
Version: 4.4
Installed-Size: 1
Size: 1

Package: libc6
Version: 2.36-9
Installed-Size: 12986
Size: 2757868
"""
    NONE = packages.Plan(frozenset(), frozenset(), ())
    NEW = packages.Plan(frozenset({"make:amd64=4.3-4.1"}), frozenset(), ())

    def setUp(self) -> None:
        # Nothing here may reach the system's packages.
        self.install, self.missing, self.terminal = (
            self.enterContext(mock.patch.object(packages, name))
            for name in ("_install", "_missing", "terminal")
        )

    def test_groups(self) -> None:
        for groups, said in (((), "Name groups of them: demo "), (("al",), "no group al; ")):
            with self.subTest(groups=groups), self.assertRaises(Failure) as caught:
                packages.wanted(groups)
            self.assertEqual(caught.exception.status, Status.USAGE)
            self.assertIn(said, str(caught.exception))
        names = packages.wanted(("demo", "test"))
        self.assertEqual(len(names), len(set(names)))
        self.assertIn("gcc-12-multilib", names)
        self.assertNotIn("gcc-12-multilib", packages.wanted(("demo",)))
        each = {name for group in packages.GROUPS.values() for name in group}
        self.assertEqual(set(packages.wanted(("all",))), each)

    def test_each_target_names_groups(self) -> None:
        makefile = (host.REPO / "Makefile").read_text(encoding="utf-8")
        named = re.findall(r"^\t\$\(FOR\) (\S+)", makefile, re.M)
        self.assertGreater(len(named), 10)
        for groups in named:
            packages.wanted(groups.split(","))

    def test_missing(self) -> None:
        status = "ii  gcc\nrc  make\nun  sparse\nii  libelf1:amd64\n"
        wanted = ["gcc", "make", "sparse", "libelf1", "patch"]
        self.assertEqual(packages.missing(status, wanted), ["make", "sparse", "patch"])

    def test_plan(self) -> None:
        plan = packages.read_plan(self.SIMULATED)
        new = {"gcc-9-base=9.3", "libc6:i386=2.36-9", "make:amd64=4.3-4.1"}
        self.assertEqual(plan.new, new)
        self.assertEqual(plan.upgraded, {"libc6:amd64=2.36-9"})
        self.assertEqual(plan.removed, ["gcc-multilib"])

    def test_size(self) -> None:
        sizes = packages.read_sizes(self.SHOWN)
        self.assertEqual(len(sizes), 3)
        # What is upgraded takes no more room than before.
        plan = packages.Plan(self.NEW.new, frozenset({"libc6:amd64=2.36-9"}), ())
        size = packages.total(plan, sizes)
        self.assertEqual(size, packages.Size(396164 + 2757868, 1612 * 1024))
        self.assertEqual(
            packages.describe(plan, size, self.NONE, packages.Size()),
            "1 new packages and 1 upgrades to install: 3 MB to download, 2 MB on the disk",
        )

    def divide(self, *removed: str) -> tuple[packages.Plan, packages.Plan]:
        """Divides a compiler and make, the one of which removes something."""
        compiler = cross.PACKAGES[0]

        def plan(names: list[str]) -> packages.Plan:
            new = frozenset(f"{name}:amd64=1" for name in names)
            if names == ["make"]:
                return packages.Plan(new, frozenset(), removed[1:])
            return packages.Plan(new, frozenset(), removed)

        index = mock.Mock(plan=plan)
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            found = packages.divide(index, [compiler, "make"])
        if removed:
            self.assertIn(f"{removed[0]} is in the way", shown.getvalue())
        return found

    def test_nothing_is_in_the_way(self) -> None:
        installed, unpacked = self.divide()
        self.assertEqual((len(installed.new), unpacked), (2, self.NONE))

    def test_a_cross_compiler_is_unpacked_where_another_package_is_in_the_way(self) -> None:
        installed, unpacked = self.divide("gcc-multilib")
        self.assertEqual(installed.new, {"make:amd64=1"})
        self.assertEqual(unpacked.new, {f"{cross.PACKAGES[0]}:amd64=1"})

    def test_anything_else_is_left_to_the_user(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.divide("gcc-multilib", "other")
        self.assertEqual(caught.exception.status, Status.TOOL)
        self.assertRegex(str(caught.exception), "^other is in the way .*'apt-get remove other'")

    def test_answers(self) -> None:
        for answer, good in (("\n", True), ("Y\n", True), ("yes\n", True), ("n\n", False)):
            self.assertEqual(packages.agreed(answer), good, answer)
        for answer in ("", "y", "no\n", "what\n"):
            self.assertFalse(packages.agreed(answer), answer)

    def ask(self, answer: str, yes: str = "") -> str:
        """Returns what a person is asked who answers so."""
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            packages.ask({"YES": yes}, io.StringIO(answer))
        return shown.getvalue()

    def test_ask(self) -> None:
        self.assertIn("go on?", self.ask("y\n"))
        self.assertEqual(self.ask("n\n", yes="1"), "")
        packages.ask({}, None)
        with self.assertRaises(Failure) as caught:
            self.ask("n\n", yes="0")
        self.assertEqual(caught.exception.status, Status.DECLINED)

    def setup(self, *missing: list[str]) -> None:
        """Sets up, with this missing when it is looked for, time after time."""
        self.missing.side_effect = missing
        self.terminal.return_value = io.StringIO("n\n")
        with (
            mock.patch.object(packages, "Index", side_effect=AssertionError),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            packages.setup(["demo"])

    def test_nothing_is_done_where_nothing_is_missing(self) -> None:
        self.setup([])

    def test_nothing_is_done_where_another_was_faster(self) -> None:
        self.setup(["make"], [])

    def test_no_changes_nothing(self) -> None:
        self.missing.return_value = ["make"]
        self.terminal.return_value = io.StringIO("n\n")
        index = mock.Mock(size=lambda plan: packages.Size(), plan=lambda names: self.NEW)
        with (
            mock.patch.object(packages, "Index", return_value=index),
            mock.patch.dict(os.environ, {"YES": ""}),
            contextlib.redirect_stderr(io.StringIO()),
            self.assertRaises(Failure) as caught,
        ):
            packages.setup(["demo"])
        self.assertEqual(caught.exception.status, Status.DECLINED)
        self.install.assert_not_called()


class InstallTest(unittest.TestCase):
    """What is handed to apt-get, and who is asked."""

    def test_nothing_is_ever_removed(self) -> None:
        done = mock.Mock(returncode=0)
        with mock.patch("lab.packages.subprocess.run", return_value=done) as run:
            packages._install(["make"])
        (update,), (install,) = (call.args for call in run.call_args_list)
        self.assertEqual(update[-1], "update")
        self.assertIn("--no-remove", install)
        self.assertEqual(install[-1], "make")

    def test_a_terminal_is_noticed(self) -> None:
        for stdin, stderr, there in ((True, False, True), (False, False, False)):
            # Without stdin, the terminal itself: the test below has one.
            with mock.patch.object(os, "isatty", {0: stdin, 2: stderr}.get):
                self.assertEqual(packages.terminal() is not None, there)

    def test_a_person_is_asked_though_make_took_stdin(self) -> None:
        pid, terminal = pty.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            status = 1
            with contextlib.suppress(Exception):
                packages.ask({}, packages.terminal())
                status = 0
            os._exit(status)
        asked = os.read(terminal, 80)
        os.write(terminal, b"n\n")
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertIn(b"go on?", asked)
        self.assertEqual(os.waitstatus_to_exitcode(status), 1)

    def test_only_the_cross_compilers_are_kept(self) -> None:
        kept = ("usr/bin/aarch64-linux-gnu-gcc", "usr/lib/gcc-cross/a/cc1")
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch) / "tree"
            for name in (*kept, "usr/bin/gcc", "usr/lib/x86_64-linux-gnu/libc.so.6"):
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).touch()
            cross._finish(tree)
            files = [path for path in Path(scratch).rglob("*") if path.is_file()]
            self.assertEqual(sorted(files), [tree / name for name in kept])

    def test_installed_compilers_come_first(self) -> None:
        with (
            mock.patch.object(cross, "there", return_value=True),
            mock.patch.dict(os.environ, {"PATH": "/a:/b", "LD_LIBRARY_PATH": ""}),
        ):
            cross.use()
            self.assertRegex(os.environ["PATH"], "^/a:/b:.*/usr/bin$")
            self.assertRegex(os.environ["LD_LIBRARY_PATH"], "^/.*/usr/lib/x86_64-linux-gnu$")
