# SPDX-License-Identifier: GPL-2.0-only
"""Tests of check."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import xenlab
from campaigns import check, selfcheck
from lab import ktap, ran
from lab.failure import Failure, Status


class CheckTest(unittest.TestCase):
    """What a check counts for, and that none is left out or left behind."""

    def setUp(self) -> None:
        scratch = self.enterContext(tempfile.TemporaryDirectory())
        self.logs = Path(scratch)
        self.enterContext(mock.patch.object(check, "LOGS", self.logs))
        self.enterContext(mock.patch.object(ran, "FILE", self.logs / "ran.json"))
        self.shown = self.enterContext(contextlib.redirect_stdout(io.StringIO()))

    def sh(self, name: str, script: str) -> check.Check:
        return check.Check(name, ("-c", script), "sh")

    def test_counts(self) -> None:
        counts = "1 passed, 0 failed, 0 skipped\n5 passed, 2 failed, 1 skipped\nmore\n"
        self.assertEqual(check.judge(counts, 1), ktap.Counts(6, 2, 1))
        # A failure that no count shows.
        counts = "5 passed, 0 failed, 1 skipped\n"
        self.assertEqual(check.judge(counts, 3), ktap.Counts(5, 1, 1))
        self.assertEqual(check.judge(counts, 0), ktap.Counts(5, 0, 1))
        # One that counts nothing counts as one.
        for text in ("", "it says: 1 passed, 0 failed, 0 skipped\n"):
            self.assertEqual(check.judge(text, 0), ktap.Counts(passed=1))
            self.assertEqual(check.judge(text, 1), ktap.Counts(failed=1))
        # One that has to fail.
        self.assertEqual(check.judge("", 1, wanted=1), ktap.Counts(passed=1))
        self.assertEqual(check.judge("", 0, wanted=1), ktap.Counts(failed=1))
        self.assertEqual(check.judge("", 2, wanted=1), ktap.Counts(failed=1))

    def test_choose(self) -> None:
        everything = list(check.LISTS[check.ALL])
        self.assertEqual(check.choose([]), everything)
        self.assertEqual([item.name for item in check.choose(["demo", "docs", "demo"])],
                         ["demo", "docs"])
        self.assertEqual(check.choose(["all", "docs"]), everything)
        self.assertEqual(check.choose(["eventfds"]), list(check.LISTS["eventfds"]))
        with self.assertRaisesRegex(Failure, "no check fly; there are: selfcheck docs "):
            check.choose(["docs", "fly"])
        names = [item.name for checks in check.LISTS.values() for item in checks]
        self.assertEqual(len(names), len(set(names)))

    def test_each_command_can_be_read(self) -> None:
        for checks in check.LISTS.values():
            for item in checks:
                if item.program == str(check.XENLAB):
                    xenlab._parser().parse_args(item.words)

    def test_evidence(self) -> None:
        lines = ["  FAIL a", "    why", *map(str, range(20)), "the end"]
        shown = check.evidence("\n".join(lines))
        self.assertEqual(shown[:2], ["  |   FAIL a", "  |     why"])
        self.assertEqual(shown[-1], "  | the end")
        self.assertEqual(len(shown), 5 + 8)

    def test_a_lane_at_each_end(self) -> None:
        # Those at the ends wait for each other, and the middle one comes after both.
        def wait(other: str) -> str:
            return f"echo >{self.logs}/$0; until [ -e {self.logs}/{other} ]; do sleep .01; done"

        after = f"[ -e {self.logs}/first ] && [ -e {self.logs}/last ]"
        scripts = {"first": wait("last"), "middle": after, "last": wait("first")}
        checks = [check.Check(name, ("-c", text, name), "sh") for name, text in scripts.items()]
        results = check.Lanes(checks, 2).run()
        self.assertEqual([result.check for result in results], checks)
        self.assertEqual([result.counts.passed for result in results], [1, 1, 1])

    def test_one_lane_runs_one_at_a_time(self) -> None:
        script = f"mkdir {self.logs}/alone && sleep .1 && rmdir {self.logs}/alone"
        results = check.Lanes([self.sh(name, script) for name in "abc"], 1).run()
        self.assertEqual([result.counts.passed for result in results], [1, 1, 1])

    def test_a_whole_run(self) -> None:
        row = '["amd64", "a_test", "b", "passed"]'
        checks = [
            self.sh("good", f"echo '{row}' >> $XENLAB_RAN; printf '3 passed, 0 failed, 1 skipped'"),
            self.sh("bad", "echo '  FAIL why' >&2; exit 4"),
        ]
        ran.write({"older": []})
        with mock.patch.object(check, "choose", return_value=checks):
            self.assertEqual(check.run([], 2), ktap.Counts(3, 1, 1))
        lines = self.shown.getvalue().splitlines()
        self.assertIn("bad:   FAIL why", lines)
        self.assertIn("== bad failed; what went wrong there:", lines)
        # How many seconds it took is not the test's to say.
        self.assertRegex(lines[-2], r"^good +3 +0 +1 +\d+$")
        self.assertRegex(lines[-1], r"^bad +0 +1 +0 +\d+$")
        self.assertEqual((self.logs / "bad.log").read_text(encoding="utf-8"), "  FAIL why\n")
        written = json.loads((self.logs / "ran.json").read_text(encoding="utf-8"))
        self.assertEqual(written, {"bad": [], "good": [json.loads(row)], "older": []})

    def test_the_status_of_the_sum(self) -> None:
        for counts, status in (
            (ktap.Counts(1), Status.GOOD),
            (ktap.Counts(1, 1), Status.COMMAND),
            (ktap.Counts(skipped=1), Status.COMMAND),
        ):
            with mock.patch.object(check, "run", return_value=counts):
                self.assertEqual(xenlab.main(["check"]), status)
            self.assertEqual(self.shown.getvalue().splitlines()[-1], str(counts))

    def test_none_outlives_an_interrupt(self) -> None:
        script = f"sleep 1000 & echo $! >{self.logs}/new; mv {self.logs}/new {self.logs}/pid; wait"

        def interrupt(running: check.Running) -> bool:
            self.assertTrue(selfcheck._wait((self.logs / "pid").exists, 10))
            raise KeyboardInterrupt

        with (
            mock.patch.object(check.Running, "read", interrupt),
            self.assertRaises(KeyboardInterrupt),
        ):
            check.Lanes([self.sh("a", f"echo; {script}")], 2).run()
        pid = int((self.logs / "pid").read_text(encoding="ascii"))
        self.assertTrue(selfcheck._wait(lambda: not selfcheck._alive(pid), 10))
