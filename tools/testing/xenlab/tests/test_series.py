# SPDX-License-Identifier: GPL-2.0-only
"""Tests of series."""

import contextlib
import io
import itertools
import os
from dataclasses import replace
from pathlib import Path
from unittest import mock

from campaigns import mutants, series, series_check, suite
from lab import arch, build, edit, fetch, host, ktap, machine, programs
from lab.failure import Failure, Status
from tests.source_tree import SourceTreeTest


class SeriesTest(SourceTreeTest):
    """Series of patches for a kernel source."""

    RECORD = """\
[[fix]]
name = "a"
message = '''
drivers: b

Why.
'''
introduced = "c"
red = ["fixes request.x"]
source = "drivers/xen/privcmd.c"
old = "int driver;"
new = "long driver;"
"""

    def read(self, text: str) -> list[series.Fix]:
        file = self.path / "fixes.toml"
        file.write_text(text, encoding="utf-8")
        return series.fixes(file)

    def test_record(self) -> None:
        (fix,) = self.read(self.RECORD)
        self.assertEqual(fix.red, [("fixes", "request.x")])
        patch = fix.patch()
        self.assertEqual(patch.subject(), "drivers: b")
        self.assertNotIn("Fixes:", patch.message)
        self.assertIn("Introduced by: c\n", patch.notes)
        self.assertIn("  fixes request.x\n", patch.notes)

    def test_hash_is_a_trailer(self) -> None:
        (fix,) = self.read(self.RECORD.replace('introduced = "c"', "fixes = '1 (\"c\")'"))
        self.assertTrue(fix.patch().message.endswith("Why.\n\nFixes: 1 (\"c\")\n"))

    def test_bad_records(self) -> None:
        introduced, red, name = 'introduced = "c"', 'red = ["fixes request.x"]', 'name = "a"'
        for old, new, message in (
            (introduced, "", ": fix a needs either fixes or introduced"),
            (introduced, f'{introduced}\nfixes = "d"', ": fix a needs either fixes or introduced"),
            (red, "", ": fix a needs either red or unshown"),
            (red, f'{red}\nunshown = "e"', ": fix a needs either red or unshown"),
            (red, 'red = ["fixes"]', ": fix a: red has 'fixes', not 'PROGRAM TEST'"),
            (red, 'red = "fixes request.x"', ": fix a: red has to be a list"),
            (name, f'{name}\ndom0 = "hvm"', ": fix a: no dom0 hvm; there are: pv pvh"),
            (name, f"{name}\nnone = 1", ": fix a has a key none; there are: name message red "),
            (name, f"{name}\nneeds = 1", ": fix a: needs has to be a string"),
            (name, f"{name}\nchange = [{{}}]", ": fix a needs either source and old and new, or"),
            (name, "", ": a fix has no name"),
            (name, "name = 1", ": a fix: name has to be a string"),
            (name, "name =", ": .*line 2"),
            ('old = "int driver;"', "old = 1", ": fix a: old has to be a string"),
            ('new = "long driver;"', "", ": fix a: its change has no new"),
            ("[[fix]]", "[[fixes]]", " has a key fixes; there are: fix"),
            ("[[fix]]", "[fix]", ": fix has to be a list"),
            (self.RECORD, "fix = [1]", ": a fix is no table"),
            (self.RECORD, "", " has no fix"),
        ):
            with self.subTest(new=new):
                self.assertIn(old, self.RECORD)
                with self.assertRaisesRegex(Failure, f"fixes.toml{message}") as caught:
                    self.read(self.RECORD.replace(old, new))
                self.assertEqual(caught.exception.status, Status.USAGE)
                self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_each_fix_names_tests_that_there_are(self) -> None:
        for fix in series.fixes():
            for program, test in fix.red:
                source = (build.SELFTESTS / f"{program}.c").read_text(encoding="utf-8")
                self.assertIn(test, suite.tests(source), fix.name)

    def test_what_is_older_than_a_defect_is_left_out(self) -> None:
        fixes = self.read(self.RECORD.replace('name = "a"', 'name = "a"\nneeds = "ioeventfd"'))
        with mock.patch.object(series, "fixes", return_value=fixes):
            here, lines = series.chosen(edit.kernel(self.path))
        self.assertEqual(here, [])
        self.assertRegex(lines[0], "^left out: drivers: b: .* has no 'ioeventfd'$")

    def test_what_does_not_fit_is_named_and_writes_nothing(self) -> None:
        fixes = self.read(self.RECORD.replace("int driver", "short driver"))
        output = self.path / "series"
        output.mkdir()
        (output / "old").write_text("", encoding="utf-8")
        with (
            mock.patch.object(series, "fixes", return_value=fixes),
            mock.patch.object(series, "OUTPUT", output),
            self.assertRaisesRegex(
                Failure, "the patch 'drivers: b' does not fit: its old text is 0 times"
            ),
        ):
            series.make(self.path)
        self.assertEqual([path.name for path in output.iterdir()], ["old"])

    def test_what_is_no_directory_is_not_replaced(self) -> None:
        output = self.path / "series"
        os.mkfifo(output)
        with (
            mock.patch.object(series, "OUTPUT", output),
            mock.patch.object(series, "_write", return_value=[]) as write,
            self.assertRaisesRegex(Failure, "series is no directory$"),
        ):
            series.make(self.path)
        write.assert_not_called()
        self.assertTrue(output.is_fifo())

    def test_branch(self) -> None:
        fixes = self.read(self.RECORD)
        author = {"GIT_AUTHOR_NAME": "A B", "GIT_AUTHOR_EMAIL": "a@b"}
        top, output = self.path / "top", self.path / "out"
        with (
            mock.patch.dict(os.environ, author),
            mock.patch.object(series, "fixes", return_value=fixes),
        ):
            self.assertEqual(series.branch("a", self.path, top), [])
            edit.cover_letter(top, output, "all of it", "Why so.\n")
        cover, patch = sorted(output.iterdir())
        self.assertIn("[PATCH 0/1] all of it\n\nWhy so.\n", cover.read_text(encoding="utf-8"))
        text = patch.read_text(encoding="utf-8")
        for line in ("Subject: [PATCH 1/1] drivers: b\n", "\n+long driver;\n", "A B <a@b>"):
            self.assertIn(line, text)
        self.assertLess(text.index("\n---\n"), text.index("Introduced by: c"))
        old = (self.path / "drivers/xen/privcmd.c").read_text(encoding="utf-8")
        self.assertEqual(old, "int driver;\n")

    def test_no_recipients_without_a_script(self) -> None:
        self.assertEqual(series.recipients(self.path, []), [])

    def test_script_that_fails_is_no_traceback(self) -> None:
        script = self.path / series.MAINTAINERS
        script.parent.mkdir()
        script.write_text('die "no tree\\n";', encoding="utf-8")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(series.recipients(self.path, []), [])
        self.assertIn("failed (no tree)", said.getvalue())

    def test_trials(self) -> None:
        fixes = self.read(self.RECORD + self.RECORD.replace('"a"', '"b"\ndom0 = "pvh"'))
        found = [
            (trial.name(), trial.count)
            for trial in series_check.trials(fixes, [], "pvh")
        ]
        self.assertEqual(found, [("b/after", 2), ("b/before", 1)])
        self.assertEqual(series_check.trials(fixes, ["a"], "pvh"), [])
        coarse = series_check.trials(fixes, ["a"], "pv", coarse=True)
        self.assertEqual([trial.count for trial in coarse], [2, 0])

    def test_judgement(self) -> None:
        (fix,) = self.read(self.RECORD)
        for green, outcome, wrong in (
            (True, "passed", False),
            (True, "failed", True),
            (True, "did not run", True),
            (True, "skipped", True),
            (False, "failed", False),
            (False, "did not run", False),
            (False, "passed", True),
            (False, "skipped", True),
        ):
            trial = series_check.Trial(fix, 0, green)
            found = series_check.judge(trial, {("fixes", "request.x"): outcome})
            self.assertEqual(bool(found), wrong, (green, outcome))

    def test_judgement_of_the_command(self) -> None:
        always, other = ("tests", series_check.ALWAYS[0]), ("tests", "privcmd.x")
        for green, first, second, wrong in (
            (True, "passed", "passed", 0),
            (True, "passed", "skipped", 1),
            (False, "passed", "failed", 0),
            (False, "passed", "passed", 1),
            (False, "failed", "did not run", 2),
        ):
            found = series_check.judge_command({always: first, other: second}, green)
            self.assertEqual(len(found), wrong, (green, first, second))

    def boot(self, *trials: series_check.Trial, ended: bool) -> tuple[list[str], str]:
        """Boots with trials whose tests pass; returns which are left and what was said."""
        items = [(trial, mutants.Build(trial.name(), [], [])) for trial in trials]
        lines = ["TAP version 13", "1..1", "ok 1 request.x"]
        names = [mutants.section(trial.name(), what) for trial in trials
                 for what in ("load", "fixes")]
        sections = {name: programs.Section(name, lines, 0) for name in names}
        log = self.path / "log"
        log.write_text("[ 1] cut here\n[ 1] kernel BUG at a.c:1!\n", encoding="utf-8")
        verdict = machine.Verdict(Status.SPLAT, "splat", log, (), None if ended else 0)
        with (
            mock.patch.object(mutants, "boot", return_value=(sections, verdict)),
            mock.patch.object(build, "selftests"),
            contextlib.redirect_stdout(io.StringIO()) as said,
        ):
            trees = fetch.Trees(arch.AMD64, Path(), Path())
            _, left, _ = series_check._boot(machine.Options(), trees, items)
        return [trial.name() for trial, _ in left], said.getvalue()

    def test_what_others_may_have_caused_is_tried_again(self) -> None:
        (fix,) = self.read(self.RECORD)
        good = series_check.Trial(fix, 1, True)
        bad = series_check.Trial(replace(fix, name="b"), 0, False)
        self.assertEqual(self.boot(good, good, ended=False)[0], [])
        self.assertEqual(self.boot(good, bad, ended=False)[0], ["b/before"])
        left, said = self.boot(bad, good, ended=False)
        self.assertEqual(left, [])
        self.assertIn("FAIL b/before", said)
        left, said = self.boot(bad, bad, ended=True)
        self.assertEqual(left, ["b/before"])
        self.assertNotIn("the machine ends", said)
        left, said = self.boot(bad, ended=True)
        self.assertEqual(left, [])
        self.assertIn("the machine ends: kernel BUG at a.c:1!", said)

    def test_cause(self) -> None:
        log = "[ 1] ----[ cut here ]----\n[ 2] kernel BUG at a.c:1!\n[ 3] Oops: b\n"
        self.assertEqual(series_check.cause(log, "x"), "kernel BUG at a.c:1!")
        self.assertEqual(series_check.cause("[ 1] panic\n", "x"), "x")

    def test_new_warnings(self) -> None:
        before = ["a.c:1:2: warning: x", "a.c:5:2: warning: x", "a.c:9:1: warning: y"]
        moved = ["a.c:3:2: warning: x", "a.c:8:2: warning: x"]
        self.assertEqual(series_check.news(before, moved), [])
        more = ["a.c:9:2: warning: x", "b.c:1:2: warning: x"]
        self.assertEqual(series_check.news(before, moved + more), more)

    def test_each_patch_is_built(self) -> None:
        words = ("int", "long", "char", "bool")
        records_of_fixes = [
            self.RECORD.replace('"a"', f'"{new}"')
            .replace('old = "int', f'old = "{old}')
            .replace('new = "long', f'new = "{new}')
            for old, new in itertools.pairwise(words)
        ]
        fixes = self.read("\n".join(records_of_fixes))
        seen = []

        def built(tree: edit.Tree, trees: fetch.Trees, output: Path) -> list[str]:
            text = tree.read("drivers/xen/privcmd.c").strip()
            seen.append(text)
            host.directory(output)
            (output / series_check.DRIVER).write_text(text, encoding="utf-8")
            if text == "char driver;":
                raise Failure(Status.BUILD, "no build")
            return ["a.c:1:1: warning: x"] if text == "bool driver;" else []

        made: dict[int, bytes] = {}
        with (
            mock.patch.object(series, "fixes", return_value=fixes),
            mock.patch.object(series_check, "SCRATCH", self.path / "scratch"),
            mock.patch.object(series_check, "_build", built),
            mock.patch.object(series_check, "_build_programs"),
            contextlib.redirect_stdout(io.StringIO()) as said,
        ):
            trees = fetch.Trees(arch.AMD64, Path(), Path())
            counts = series_check._bisect("a", self.path, trees, made)
        self.assertEqual(seen, [f"{word} driver;" for word in words])
        self.assertEqual(counts, ktap.Counts(passed=1, failed=2))
        self.assertRegex(said.getvalue(), "(?s)FAIL a/0002 .*no build.*FAIL a/0003 .*warning: x")
        self.assertEqual(made, {0: b"int driver;", 1: b"long driver;", 3: b"bool driver;"})
