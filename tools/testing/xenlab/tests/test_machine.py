# SPDX-License-Identifier: GPL-2.0-only
"""Tests of machine."""

import io
import subprocess
import time
import unittest
from pathlib import Path
from unittest import mock

from lab import console, host, machine
from lab.failure import Status


class MachineTest(unittest.TestCase):
    """Which of several failures is told."""

    def judge(
        self,
        log: bytes,
        reported: bytes,
        timed_out: bool = False,
        qemu_status: int = 0,
    ) -> machine.Verdict:
        """Returns the verdict on a console log and a report."""
        output = console.Console(io.StringIO())
        run = machine.Run(output, lambda data: None, 0.0)
        output.feed(log)
        run.status(reported)
        run.timed_out = timed_out
        return machine.judge(run, Path("a.log"), 10.0, qemu_status)

    def test_verdicts(self) -> None:
        splat = b"[    1.0] WARNING: CPU: 0\n"
        crash = b"(XEN) Panic on CPU 0:\n"
        for log, reported, timed_out, status in (
            (b"", b"start\nexit 0\n", False, Status.GOOD),
            (b"", b"start\nexit 3\n", False, Status.COMMAND),
            (splat, b"start\nexit 0\n", False, Status.SPLAT),
            (splat, b"start\n", True, Status.SPLAT),
            (splat + crash, b"start\n", False, Status.XEN),
            (b"", b"start\n", True, Status.TIMEOUT),
            (b"", b"", True, Status.TIMEOUT),
            (b"", b"start\nexit 0\n", True, Status.GOOD),
            (b"", b"start\nexit 3\n", True, Status.COMMAND),
            (b"", b"start\n", False, Status.SILENT),
            (b"", b"fail module xenfs does not load\n", False, Status.DRIVER),
        ):
            with self.subTest(log=log, reported=reported, timed_out=timed_out):
                self.assertEqual(self.judge(log, reported, timed_out).status, status)

    def test_a_kernel_that_cannot_panic_is_ended(self) -> None:
        for line, ended in (("[    1.0] Oops: 0000 [#1]", True), ("(XEN) Oops: 0000", False)):
            output = console.Console(io.StringIO())
            run = machine.Run(output, lambda data: None, time.monotonic() + 60)
            with (
                mock.patch.object(machine, "GRACE", 0.1),
                subprocess.Popen(
                    ["sh", "-c", f"echo '{line}'; exec sleep 1"], stdout=subprocess.PIPE
                ) as child,
            ):
                assert child.stdout is not None
                run.watch(child.stdout.fileno(), output.feed)
                run.loop(child)
            self.assertEqual(run.timed_out, ended, line)

    def test_half_a_report_does_not_count(self) -> None:
        self.assertEqual(self.judge(b"", b"start\nexit 1").status, Status.SILENT)

    def test_what_the_emulator_did(self) -> None:
        stale = b"[    1.0] Oops: int3: 0000 [#1]\n"
        for log, status, fault in (
            (b"", -11, "QEMU was ended by SIGSEGV"),
            # By somebody: here, as it takes too long.
            (b"", -9, ""),
            (b"", 1, ""),
            (b"", 0, ""),
            (stale, 0, "a breakpoint that is gone"),
            (b"[    1.0] Oops: 0000 [#1]\n", 0, ""),
        ):
            verdict = self.judge(log, b"", qemu_status=status)
            self.assertEqual(verdict.emulator_fault(), fault)

    def test_a_boot_is_tried_once_more_where_the_emulator_failed(self) -> None:
        died = self.judge(b"", b"", qemu_status=-11)
        too_late = self.judge(b"", b"start\n", qemu_status=-11)
        silent = self.judge(b"", b"")
        good = self.judge(b"", b"start\nexit 0\n")
        for verdicts, boots in (
            ([died, good], 2),
            ([died, died, good], 2),
            ([too_late, good], 1),
            ([silent, good], 1),
            ([good], 1),
        ):
            with (
                mock.patch.object(machine, "_boot", side_effect=verdicts) as boot,
                mock.patch.object(host, "say"),
            ):
                verdict = machine.boot(
                    machine.Options(), mock.Mock(), mock.Mock(), "", lambda data: None
                )
            self.assertEqual(boot.call_count, boots)
            self.assertIs(verdict, verdicts[boots - 1])
