# SPDX-License-Identifier: GPL-2.0-only
"""Tests of console."""

import io
import unittest

from lab import console, image, machine

SPLATS = """\
[    1.0] WARNING: CPU: 0 PID: 1 at mm/page_alloc.c:5534 __alloc_pages+0x23b/0x330
[    1.0] ------------[ cut here ]------------
[    1.0] BUG: Bad page map in process a  pte:8000000010001067 pmd:0
[    1.0] BUG: unable to handle page fault for address: ffffffff
[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    1.0] kernel BUG at mm/memory.c:2345!
[    1.0] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
[    1.0] Oops: 0000 [#1] PREEMPT SMP NOPTI
[    1.0] Internal error: Oops - BUG: 00000000f2000800 [#1] SMP
[    1.0] general protection fault, probably for non-canonical address 0xdead
[    1.0] BUG: KASAN: use-after-free in a+0x1/0x2
[    1.0] BUG: KCSAN: data-race in a / b
[    1.0] UBSAN: shift-out-of-bounds in a.c:1:2
[    1.0] WARNING: possible circular locking dependency detected
[    1.0] WARNING: suspicious RCU usage
[    1.0] INFO: possible recursive locking detected
[    1.0] INFO: task a:123 blocked for more than 30 seconds.
[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU
[    1.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [a:123]
[    1.0] refcount_t: underflow; use-after-free.
[    1.0] unchecked MSR access error: RDMSR from 0x1 at rIP: 0x1
[    1.0] list_del corruption. prev->next should be a, but was b
[    1.0] a: page allocation failure: order:10, mode:0x0
[    1.0] Kernel panic - not syncing: Attempted to kill init!
[    1.0] Call Trace:
[    1.0] kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
(XEN) Domain 0 (vcpu#0) crashed on cpu#0:
(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.
"""


# All of these were seen on clean boots, or come from user programs.
CLEAN = """\
[    1.0] PCI: Using host bridge windows from ACPI; if necessary, use "pci=nocrs" and report a bug
[    1.0] AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug.
[    1.0] PM-Timer failed consistency check  (0xffffff) - aborting.
[    1.0] rcu: \tRCU debug extended QS entry/exit.
[    1.0] rcu: Hierarchical RCU implementation.
[    1.0] traps: a_test[123] general protection fault ip:1 sp:2 error:0 in a_test
[    1.0] a_test[123]: segfault at 0 ip 1 sp 2 error 4 in a_test
[    1.0] xen_dm_op: loading out-of-tree module taints kernel.
[    1.0] module verification failed: signature and/or required key missing
(XEN) mtrr: your CPUs had inconsistent fixed MTRR settings
(XEN) Guest Loglevel: Nothing (Rate-limited: Errors and warnings)
(XEN) d0v0 Unhandled: vec 14, #PF[0000]
"""


class ConsoleTest(unittest.TestCase):
    """What is a splat, and what is not."""

    def feed(self, *chunks: bytes) -> console.Console:
        """Returns a console that was given chunks."""
        result = console.Console(io.StringIO())
        for chunk in chunks:
            result.feed(chunk)
        result.finish()
        return result

    def test_each_splat_is_seen(self) -> None:
        for line in SPLATS.splitlines():
            with self.subTest(line=line):
                self.assertTrue(console.is_splat(line))

    def test_clean_lines_are_no_splats(self) -> None:
        for line in CLEAN.splitlines():
            with self.subTest(line=line):
                self.assertFalse(console.is_splat(line))
                self.assertFalse(console.is_xen_crash(line))

    def test_xen_crash_is_no_splat(self) -> None:
        for line in (
            "(XEN) Panic on CPU 0:",
            "(XEN) Xen BUG at mm.c:12",
            "(XEN) Assertion 'a < b' failed at c.c:1",
            "(XEN) FATAL TRAP: vec 2, #NMI[0000]",
        ):
            with self.subTest(line=line):
                self.assertTrue(console.is_xen_crash(line))
                self.assertFalse(console.is_splat(line))

    def test_dom0_cannot_fake_a_xen_crash(self) -> None:
        self.assertFalse(console.is_xen_crash("[    1.0] Panic on CPU 0:"))

    def test_xen_cuts_in_on_dom0(self) -> None:
        line = "[    1.0] Oops: 0000 [#1] (XEN) Panic on CPU 0:"
        self.assertTrue(console.is_splat(line))
        self.assertTrue(console.is_xen_crash(line))

    def test_line_in_pieces(self) -> None:
        result = self.feed(b"a\r\n[    1.0] WARN", b"ING: CPU: 0\r\nlast")
        self.assertEqual(result.lines, ["a", "[    1.0] WARNING: CPU: 0", "last"])
        self.assertEqual(result.splat, 1)

    def test_escapes_and_bad_bytes(self) -> None:
        self.assertEqual(self.feed(b"\x1b[2Ja\xff\x00\r\n").lines, ["a\ufffd"])

    def test_between(self) -> None:
        result = self.feed(b"one\nstart\ntwo\nthree\nend\nfour\n")
        self.assertEqual(result.between("start", "end"), ["two", "three"])
        self.assertEqual(result.between("none", "end"), [])

    def test_nothing_comes_of_a_machine_that_starts_anew(self) -> None:
        result = self.feed(b"one\n(XEN) Hardware Dom0 shutdown: rebooting machine\n")
        self.assertEqual(result.end, 1)

    def test_markers_are_those_of_dom0(self) -> None:
        text = image.INIT.read_text(encoding="utf-8")
        for marker in (machine.COMMAND_STARTS, machine.COMMAND_ENDED):
            self.assertIn(f'echo "{marker}" >/dev/kmsg', text)
