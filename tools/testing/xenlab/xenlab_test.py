#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Unit tests of xenlab; they boot and fetch nothing."""

import contextlib
import io
import itertools
import json
import lzma
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True

import xenlab
from campaigns import (
    bench,
    check,
    commands,
    debug,
    differential,
    everything,
    matrix,
    mutants,
    overlay,
    overlay_test,
    qemu,
    records,
    selfcheck,
    selinux,
    series,
    series_check,
    suite,
    toolstack,
    upstream,
    upstream_check,
    upstream_qemu,
)
from lab import (
    arch,
    build,
    console,
    cpio,
    cross,
    edit,
    fetch,
    host,
    hypervisor,
    image,
    kernel,
    kmod,
    ktap,
    machine,
    packages,
    programs,
    ran,
    skips,
    stock,
    versions,
)
from lab.failure import Failure, Status

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

NEW_COMMAND = "ENOTTY: this driver has no such command"
HARNESS_61 = """\
TAP version 13
1..4
# Starting 4 tests from 2 test cases.
#  RUN           query.answers ...
#            OK  query.answers
ok 1 query.answers
#  RUN           query.hvm.answers ...
# query_test.c:12:answers:Expected 3 (3) == arg.vcpus (4)
# answers: Test terminated by assertion
#          FAIL  query.hvm.answers
not ok 2 query.hvm.answers
#  RUN           query.new_command ...
#      SKIP      ENOTTY: this driver has no such command
#            OK  query.new_command
ok 3 # SKIP ENOTTY: this driver has no such command
#  RUN           query.last ...
#            OK  query.last
ok 4 query.last
# FAILED: 3 / 4 tests passed.
# Totals: pass:2 fail:1 xfail:0 xpass:0 skip:1 error:0
"""

HARNESS_NEW = """\
TAP version 13
1..2
# Starting 2 tests from 1 test cases.
#  RUN           global.one ...
#            OK  global.one
ok 1 global.one
#  RUN           global.two ...
#      SKIP      no reason
#            OK  global.two
ok 2 global.two # SKIP no reason
# PASSED: 2 / 2 tests passed.
"""

RECORD = """\
source = "drivers/a.c"
[[mutant]]
name = "a-b"
breaks = "A bad pointer is not noticed."
red = ["dm_nr_vcpus_test arg.bad_pointer", "restrict_test file.other"]
old = '	one();'
new = '''
	two();
	three();
'''
"""


def module(name: str, *depends: str) -> kmod.Module:
    """Returns a module that says what it needs."""
    modinfo = f"\0name={name}\0depends={','.join(depends)}\0".encode()
    return kmod.Module(f"kernel/{name}.ko", b"\x7fELF" + modinfo)


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


class KtapTest(unittest.TestCase):
    """Reading and judging what test programs print."""

    def test_linux_61(self) -> None:
        report = ktap.parse("query_test", HARNESS_61.splitlines(), 1)
        self.assertEqual(
            [(result.name, result.outcome.value) for result in report.results],
            [
                ("query.answers", "passed"),
                ("query.hvm.answers", "failed"),
                ("query.new_command", "skipped"),
                ("query.last", "passed"),
            ],
        )
        self.assertIn("Expected 3", report.results[1].output[0])
        self.assertIn("ENOTTY", report.results[2].reason)
        self.assertEqual(report.problems, [])

    def test_newer_linux(self) -> None:
        report = ktap.parse("a_test", HARNESS_NEW.splitlines(), 0)
        self.assertEqual(report.problems, [])
        self.assertEqual(report.results[1].name, "global.two")
        self.assertEqual(report.results[1].outcome, ktap.Outcome.SKIP)
        self.assertEqual(report.results[1].reason, "no reason")

    def test_no_run_lines(self) -> None:
        text = "TAP version 13\n1..2\nok 1 - first\nnot ok 2 second # TODO later\n"
        report = ktap.parse("a_test", text.splitlines(), 1)
        self.assertEqual([result.name for result in report.results], ["first", "second"])
        self.assertEqual(report.results[1].outcome, ktap.Outcome.FAIL)

    def problems(self, text: str, status: int | None) -> str:
        """Returns the problems of a program as one text."""
        return "\n".join(ktap.parse("a_test", text.splitlines(), status).problems)

    def test_dying_programs(self) -> None:
        good = "1..1\nok 1 a.b\n"
        self.assertEqual(self.problems(good, 0), "")
        self.assertIn("signal 11", self.problems(good, 139))
        self.assertIn("time limit", self.problems(good, 143))
        self.assertIn("did not come to an end", self.problems(good, None))
        self.assertIn("exit status 1", self.problems(good, 1))
        self.assertIn("exit status says skipped", self.problems(good, 4))

    def test_missing_tests(self) -> None:
        self.assertIn("2 tests planned, 1", self.problems("1..2\nok 1 a.b\n", 0))
        self.assertIn("no test ran", self.problems("", 0))
        self.assertIn("no test ran", self.problems("1..0\n", 0))
        self.assertIn("planned no tests", self.problems("ok 1 a.b\n", 0))
        cut = "\n".join(HARNESS_61.splitlines()[:8])
        self.assertIn("query.hvm.answers has no result", self.problems(cut, 139))
        self.assertIn("result 2 where 1", self.problems("1..1\nok 2 a.b\n", 0))
        twice = "1..2\nok 1 a.b\nok 2 a.b\n"
        self.assertIn("two tests are named a.b", self.problems(twice, 0))

    def judge(self, text: str, status: int, test: str) -> tuple[str, str]:
        """Returns the counts and the failures as text; a test has to be skipped."""
        report = ktap.parse("query_test", text.splitlines(), status)
        name, _, pattern = test.partition(" ")
        rule = skips.Rule(NEW_COMMAND, [{}], [(name, pattern)])
        counts, lines = ktap.judge(report, skips.Skips([rule]))
        return str(counts), "\n".join(lines)

    def test_skip_that_is_due(self) -> None:
        counts, lines = self.judge(HARNESS_61, 1, "query_test query.new_*")
        self.assertEqual(counts, "2 passed, 1 failed, 1 skipped")
        self.assertIn("query.hvm.answers failed\n    # query_test.c:12", lines)

    def test_skip_that_is_not_due(self) -> None:
        counts, lines = self.judge(HARNESS_61, 1, "other_test *")
        self.assertEqual(counts, "2 passed, 2 failed, 0 skipped")
        self.assertIn(f"query.new_command skipped, which no rule has: {NEW_COMMAND}", lines)

    def test_skip_for_another_reason(self) -> None:
        counts, lines = self.judge("1..1\nok 1 a.b # SKIP why\n", 4, "query_test a.b")
        self.assertEqual(counts, "0 passed, 1 failed, 0 skipped")
        self.assertIn(f"a.b skipped: why; the rule has: {NEW_COMMAND}", lines)

    def test_two_tests_whose_outcomes_are_swapped(self) -> None:
        skipped = f"# SKIP {NEW_COMMAND}"
        right = f"1..2\nok 1 a.b {skipped}\nok 2 a.c\n"
        swapped = f"1..2\nok 1 a.b\nok 2 a.c {skipped}\n"
        good, _ = self.judge(right, 0, "query_test a.b")
        self.assertEqual(good, "1 passed, 0 failed, 1 skipped")
        bad, lines = self.judge(swapped, 0, "query_test a.b")
        self.assertEqual(bad, "0 passed, 2 failed, 0 skipped")
        self.assertIn(f"a.b passed, but has to be skipped: {NEW_COMMAND}", lines)
        self.assertIn("a.c skipped, which no rule has", lines)


class SkipsTest(unittest.TestCase):
    """The rules for the tests that a run skips."""

    FACTS: skips.Facts = {
        "driver": "ours",
        "arch": "amd64",
        "linux": "6.12",
        "xen": "4.17",
        "dom0": "pv",
        "device_models": True,
    }

    def reason(self, text: str, test: str = "a.b") -> str:
        """Returns why a test is skipped by rules."""
        rules = skips.parse("it", text.encode())
        holding = [rule for rule in rules if rule.holds(self.FACTS)]
        return skips.Skips(holding).reason("a_test", test)

    def test_conditions(self) -> None:
        for when, holds in (
            ('{ driver = "ours" }', True),
            ('{ driver = "stock" }', False),
            ('{ driver = "!=stock" }', True),
            ('{ driver = "!=ours" }', False),
            ('{ linux = "<6.8" }', False),
            ('{ linux = "<6.12" }', False),
            ('{ linux = "<7.2" }', True),
            ('{ linux = ">=6.12" }', True),
            ('{ linux = ">=7.2" }', False),
            ('{ xen = "4.17" }', True),
            ("{ device_models = true }", True),
            ("{ device_models = false }", False),
            ('{ driver = "ours", dom0 = "auto-translated" }', False),
            ('[{ driver = "stock" }, { dom0 = "pv" }]', True),
            ('[{ driver = "stock" }, { xen = "<4.15" }]', False),
            ("{}", True),
        ):
            with self.subTest(when=when):
                text = f'[[skip]]\nreason = "why"\nwhen = {when}\ntests = ["a_test *"]\n'
                self.assertEqual(self.reason(text), "why" if holds else "")

    def test_the_first_rule_has_the_reason(self) -> None:
        text = "".join(
            f'[[skip]]\nreason = "{reason}"\ntests = ["{tests}"]\n'
            for reason, tests in (("one", "a_test a.[bc]"), ("two", "?_test a.*"))
        )
        self.assertEqual(self.reason(text), "one")
        self.assertEqual(self.reason(text, "a.d"), "two")
        self.assertEqual(self.reason(text, "b.b"), "")

    def test_bad_rules(self) -> None:
        reason, tests = 'reason = "why"\n', 'tests = ["a_test *"]\n'
        for text, message in (
            ("[[skip", "it: "),
            ("[[other]]\n", "it has to have records"),
            ("skip = 1\n", "it has to have records"),
            (f"[[skip]]\n{tests}", "a record has no reason"),
            (f"[[skip]]\n{reason}", "has no list of tests"),
            (f"[[skip]]\n{reason}tests = []\n", "has no list of tests"),
            (f'[[skip]]\n{reason}tests = ["a_test"]\n', "not 'PROGRAM TEST'"),
            (f"[[skip]]\n{reason}{tests}why = 1\n", "has a key why"),
            (f"[[skip]]\n{reason}{tests}when = 1\n", "no table"),
            (f"[[skip]]\n{reason}{tests}when = {{ cpu = 1 }}\n", "no fact cpu"),
            (f'[[skip]]\n{reason}{tests}when = {{ driver = "<ours" }}\n', "driver is '<ours'"),
            (f'[[skip]]\n{reason}{tests}when = {{ linux = "new" }}\n', "no version: 'new'"),
        ):
            with self.subTest(text=text), self.assertRaises(Failure) as caught:
                skips.parse("it", text.encode())
            self.assertIn(message, str(caught.exception))
            self.assertEqual(caught.exception.status, Status.USAGE)

    def runs(self) -> list[skips.Facts]:
        """Returns the facts of the runs that there are."""
        rows: list[skips.Facts] = [
            {
                **self.FACTS,
                "arch": row.arch,
                "linux": row.linux,
                "xen": suite.short_version(row.xen),
                "dom0": "auto-translated" if row.pvh or row.arch == "arm64" else "pv",
                "device_models": row.arch == "amd64" or row.xen == hypervisor.VERSION,
            }
            for row in matrix.ROWS
        ]
        return [{**row, "driver": driver} for row in rows for driver in skips.DRIVERS]

    def all_tests(self) -> set[tuple[str, str]]:
        """Returns the programs and tests that there are."""
        found = {
            (path.stem, test)
            for path in build.SELFTESTS.glob("*_test.c")
            for test in suite.tests(path.read_text(encoding="utf-8"))
        }
        found |= {(name, "program.is_built") for name in ("emulator_test", "emulator_sandbox_test")}
        reach = (build.SELFTESTS / "reach.c").read_text(encoding="utf-8")
        named = re.findall(r'expect\w*\("(\w+)"', reach)
        parts = [part for each in toolstack.PARTS.values() for part in each if part.tests]
        return found | {(part.name, test) for part in parts for test in named}

    def test_each_pattern_decides(self) -> None:
        runs, tests = [skips.of(facts) for facts in self.runs()], self.all_tests()
        for rule in skips.read():
            holding = [run for run in runs if rule in run.rules]
            for pattern in rule.tests:
                alone = skips.Rule(rule.reason, rule.when, [pattern])
                named = [test for test in tests if alone.names(*test)]
                decided = {run.reason(*test) for test in named for run in holding}
                self.assertIn(rule.reason, decided, pattern)

    def test_each_reason_is_printed(self) -> None:
        printed = "".join(
            path.read_text(encoding="utf-8")
            for path in build.SELFTESTS.iterdir()
            if path.suffix in (".c", ".h") or path.name == "Makefile"
        )
        for rule in skips.read():
            self.assertIn(rule.reason, printed)


class ProgramsTest(unittest.TestCase):
    """Telling programs' outputs apart."""

    def test_sections(self) -> None:
        done: list[str] = []
        sections = programs.Sections(lambda section: done.append(section.name))
        sections(b"noise\n\n==xenlab== begin a_test\none\ntw")
        sections(b"o\n\n==xenlab== end 3\n==xenlab== begin b_test\nthree")
        sections.finish()
        self.assertEqual(done, ["a_test", "b_test"])
        first, second = sections.all
        self.assertEqual((first.lines, first.status), (["one", "two", ""], 3))
        self.assertEqual((second.lines, second.status), (["three"], None))

    def test_begin_is_not_closed(self) -> None:
        sections = programs.Sections()
        sections(b"==xenlab== begin a\n==xenlab== begin b\n==xenlab== end 0\n")
        self.assertEqual([item.status for item in sections.all], [None, 0])


    def test_run_with_options(self) -> None:
        self.assertEqual(
            programs.run("a --seed 1;reboot", 5),
            f"timeout -s KILL 5 {programs.DIRECTORY}/a --seed '1;reboot' 2>&1",
        )

    def test_remarks(self) -> None:
        section = programs.Section("a --seed 1", ["# a: one", "# RUN b", "a: two"])
        self.assertEqual(section.remarks(), ["# a: one"])


class KernelTest(unittest.TestCase):
    """A configuration has all that was asked for."""

    def test_missing(self) -> None:
        wanted = "# CONFIG_A=y\n\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_D=y\n"
        config = "CONFIG_B=y\nCONFIG_C=y\n# CONFIG_D is not set\n"
        self.assertEqual(kernel.missing(wanted, config), ["CONFIG_C=m", "CONFIG_D=y"])

    def test_debug_config_names_what_it_is_for(self) -> None:
        own = {"amd64": "XEN_PV", "arm64": "KASAN"}
        for item in arch.ALL.values():
            text = debug.wanted_kernel(item).config
            finders = ("PROVE_LOCKING", "UBSAN", "DEBUG_KMEMLEAK", "FAILSLAB")
            for name in (*finders, own[item.name]):
                self.assertIn(f"CONFIG_{name}=y\n", text)

    def test_debug_config_sets_nothing_twice(self) -> None:
        for item in arch.ALL.values():
            named = re.findall(r"^CONFIG_\w+", debug.wanted_kernel(item).config, re.M)
            self.assertEqual(sorted(set(named)), sorted(named))

    def test_pv_has_no_kasan(self) -> None:
        self.assertNotIn("CONFIG_KASAN", debug.wanted_kernel(arch.AMD64).config)


class DebugTest(unittest.TestCase):
    """What runs in which boot."""

    tests = ("a_test", "b_test")

    def test_all(self) -> None:
        self.assertEqual(
            debug.boots(self.tests, (), debug.Choice(9, 3, 7)),
            [
                ["a_test", "b_test", "leaks"],
                ["fail_nth", "leaks"],
                ["random --seconds 9 --threads 3 --seed 7", "leaks"],
            ],
        )

    def test_some(self) -> None:
        found = debug.boots(self.tests, ("b_test", "random"), debug.Choice())
        self.assertEqual(found[0], ["b_test", "leaks"])
        self.assertEqual(found[1], ["random --seconds 600 --threads 2", "leaks"])

    def test_unknown(self) -> None:
        with self.assertRaisesRegex(Failure, "no test program c_test"):
            debug.boots(self.tests, ("c_test",), debug.Choice())

    def test_kinds_of_dom0(self) -> None:
        for words, names in (
            (["debug"], ["amd64", "arm64", "amd64 PVH"]),
            (["debug", "--arch", "both", "a_test"], ["amd64", "arm64", "amd64 PVH"]),
            (["debug", "--arch", "amd64"], ["amd64"]),
            (["debug", "--arch", "arm64"], ["arm64"]),
            (["debug", "--arch", "amd64", "--pvh"], ["amd64 PVH"]),
            (["debug", "--pvh"], ["amd64 PVH"]),
        ):
            each = xenlab._each_arch(xenlab._parser().parse_args(words))
            machines = [
                f"{item.arch.name}{' PVH' if item.pvh else ''}"
                for item in debug.machines(each)
            ]
            self.assertEqual(machines, names, words)

    def test_options_of_the_kernel(self) -> None:
        pv = machine.Options(append="quiet")
        self.assertEqual(debug.fit(pv).append, "page_poison=1 xen_msr_safe=1 quiet")
        self.assertEqual(
            debug.fit(replace(pv, arch=arch.ARM64)).append, "page_poison=1 quiet"
        )


class PatchTest(unittest.TestCase):
    """Source trees of others: refused, or changed in a copy."""

    KERNEL = {
        "Kbuild": "",
        "MAINTAINERS": "XEN HYPERVISOR INTERFACE\nS:\tSupported\nF:\tinclude/xen/\n",
        "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n",
        "drivers/xen/Kconfig": "config XEN_PRIVCMD\n\ttristate\n\tdepends on XEN\n",
        "drivers/xen/privcmd-buf.c": "",
        "drivers/xen/privcmd.c": "int driver;\n",
        "drivers/xen/xenfs/super.c": "",
        "include/linux/slab.h": "",
        "include/uapi/xen/privcmd.h": "",
        overlay.DM_OP: "/* Copyright */\n#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */\n",
    }

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        self.put(self.KERNEL)

    def put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text, encoding="utf-8")

    def refused(self, make: Callable[[Path], object], why: str) -> None:
        with self.assertRaisesRegex(Failure, why):
            make(self.path)

    def test_no_kernel(self) -> None:
        (self.path / "MAINTAINERS").unlink()
        self.refused(overlay.make, "is no kernel source tree: there is no MAINTAINERS")
        self.refused(upstream.kernel, "is no kernel source tree")

    def test_no_driver(self) -> None:
        (self.path / "drivers/xen/privcmd.c").unlink()
        self.refused(overlay.make, "has no privcmd driver")
        self.refused(upstream.kernel, "has no privcmd driver")

    def test_another_driver(self) -> None:
        (self.path / "drivers/xen/privcmd-buf.c").unlink()
        self.refused(overlay.make, "there is no drivers/xen/privcmd-buf.c in it")

    def test_no_headers(self) -> None:
        (self.path / "include/linux/slab.h").unlink()
        self.refused(overlay.make, "there is no include/linux/slab.h in it")

    def test_paths_that_make_does_not_take(self) -> None:
        for name in ("a b", "a#b", "a$(b)", "a;b", "a'b", "a\nb"):
            with self.subTest(name=name):
                link = self.path / name
                link.symlink_to(self.path)
                self.refused(lambda path: overlay.make(path / name), "takes no path with")

    def test_done_already(self) -> None:
        self.put({"drivers/xen/privcmd/main.c": ""})
        self.refused(overlay.make, "has this driver already")

    def test_has_the_command_already(self) -> None:
        self.put({"include/uapi/xen/privcmd.h": "#define IOCTL_PRIVCMD_DM_NR_VCPUS\n"})
        self.refused(upstream.kernel, "has the command already")

    def test_no_xen(self) -> None:
        self.refused(upstream.xen, "is no Xen source tree")

    def test_unknown_version(self) -> None:
        self.put({"drivers/xen/Makefile": "obj-y += other.o\n"})
        self.refused(overlay.make, "this version is not known")

    def test_patch(self) -> None:
        tree = edit.kernel(self.path)
        tree.sub("drivers/xen/privcmd.c", "^int driver", "long driver")
        tree.put("drivers/xen/new.c", "int new;\n")
        tree.remove("drivers/xen/xenfs/super.c")
        output = self.path / "out/a.patch"
        author = {"GIT_AUTHOR_NAME": "A B", "GIT_AUTHOR_EMAIL": "a@b"}
        with mock.patch.dict(os.environ, author):
            tree.patch("subject\n\nbody\n", output)
        text = output.read_text(encoding="utf-8")
        for line in (
            "Subject: [PATCH] subject",
            "Signed-off-by: A B <a@b>",
            "-int driver;",
            "+long driver;",
            "+int new;",
            "deleted file mode 100644",
        ):
            self.assertIn(f"{line}\n", text)
        self.assertEqual(sorted(output.parent.iterdir()), [output])
        for name, content in self.KERNEL.items():
            self.assertEqual((self.path / name).read_text(encoding="utf-8"), content)

    def test_other_changes_have_another_digest(self) -> None:
        tree = edit.kernel(self.path)
        digests = [tree.digest(("drivers/",))]
        for name, text in (("new.c", "a"), ("new.c", "b"), ("newer.c", "b")):
            tree.put(f"drivers/xen/{name}", text)
            digests.append(tree.digest(("drivers/",)))
        tree.remove("drivers/xen/privcmd.c")
        digests.append(tree.digest(("drivers/",)))
        self.assertEqual(len(set(digests)), 5)
        tree.put("samples/xen/new.c", "a")
        self.assertEqual(tree.digest(("drivers/",)), digests[-1])

    def test_a_header_keeps_its_authors(self) -> None:
        self.assertNotIn(overlay.DM_OP, overlay.files())
        tree = edit.kernel(self.path)
        overlay.add_operations(tree, r"/\* XEN_DMOP_track_dirty_vram")
        text = tree.read(overlay.DM_OP)
        self.assertTrue(text.startswith("/* Copyright */\n"))
        self.assertEqual(text.count("#define XEN_DMOP_"), 6)
        self.assertTrue(text.endswith("#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */\n"))

    def test_maintained(self) -> None:
        text = overlay.add_maintained(self.KERNEL["MAINTAINERS"], ["a/", "z/"])
        self.assertTrue(text.endswith("F:\ta/\nF:\tinclude/xen/\nF:\tz/\n"))

    def test_kconfig_entries(self) -> None:
        text = "menu\nconfig A\n\tbool\n\n\thelp\n\nconfig AB\n\tbool\nendmenu\n"
        entries = overlay.kconfig_entries(text)
        self.assertEqual(
            entries, {"A": "config A\n\tbool\n\n\thelp\n", "AB": "config AB\n\tbool\n"}
        )

    def test_no_choice_that_the_kernel_cannot_take(self) -> None:
        for text, there in (
            ("void eventfd_signal(struct eventfd_ctx *ctx, u64 n);\n", False),
            ("void eventfd_signal(struct eventfd_ctx *ctx)\n", True),
        ):
            choice = "config XEN_PRIVCMD_EVENTFD\n\tbool\n\n" if there else ""
            entries = f"config XEN_PRIVCMD\n\ttristate\n\n{choice}config XEN_ACPI\n\tbool\n"
            self.put({"drivers/xen/Kconfig": entries, "include/linux/eventfd.h": text})
            tree = edit.kernel(self.path)
            overlay._kconfig(tree)
            kconfig = tree.read("drivers/xen/Kconfig")
            self.assertNotIn("\n\n\n", kconfig)
            self.assertIn("config XEN_DM_OP\n", kconfig)
            self.assertEqual("config XEN_PRIVCMD_EVENTFD\n" in kconfig, there)

    def test_words_of_an_outer_make(self) -> None:
        self.put({"include/linux/slab.h": "DEFINE_FREE(kvfree\ndefine kmalloc_obj\n"})
        flags = overlay.compat_flags(self.path)
        self.assertNotIn("COMPAT_NO_KMALLOC_OBJ", flags)
        self.assertIn("COMPAT_NO_IOREQ", flags)
        with mock.patch.dict(os.environ, {"MAKEFLAGS": "w", "MAKELEVEL": "1"}):
            self.assertEqual(overlay.compat_flags(self.path), flags)

    # What the patch is merged into, beside what tells a kernel source.
    MERGED = {
        "Documentation/driver-api/index.rst": "   xilinx/index\n",
        "Documentation/userspace-api/index.rst": "   vduse\n",
        "drivers/xen/Makefile": (
            "obj-$(CONFIG_XEN_PRIVCMD)\t\t+= xen-privcmd.o\n"
            "xen-privcmd-y\t\t\t\t:= privcmd.o privcmd-buf.o\n"
        ),
        "tools/testing/selftests/Makefile": "TARGETS += zram\n",
    }
    # Of the newest kernel, as compat.mk knows them.
    NOTHING_LACKS = {
        "include/linux/eventfd.h": "void eventfd_signal(struct eventfd_ctx *ctx)\n",
        "include/linux/mm.h": "vm_flags_set vma_is_shared_maywrite zap_special_vma_range\n",
        "include/linux/sched/mm.h": "mm_get_unmapped_area(struct file\n",
        "include/linux/security.h": "LOCKDOWN_XEN_USER_ACTIONS\n",
        "include/linux/slab.h": "DEFINE_FREE(kvfree\n#define kmalloc_obj\n",
        "include/xen/acpi.h": "xen_acpi_get_gsi_from_sbdf\n",
        "include/xen/interface/hvm/ioreq.h": "struct ioreq\n",
    }

    def sources(self) -> list[str]:
        """Returns the C files of ours that go into a kernel tree."""
        names = [name for name in overlay.files() if name.endswith((".c", ".h"))]
        self.assertIn("drivers/xen/privcmd/main.c", names)
        self.assertIn("include/uapi/xen/privcmd.h", names)
        return names

    def test_sources_are_the_same_byte_for_byte(self) -> None:
        self.put(self.MERGED)
        all_lacks: Mapping[str, str] = {}
        for kernel in (all_lacks, self.NOTHING_LACKS):
            self.put(kernel)
            directory = self.path / "made" / str(len(kernel))
            overlay.make(self.path).apply(directory)
            for name in self.sources():
                with self.subTest(name=name):
                    self.assertEqual(
                        (directory / name).read_bytes(), (host.REPO / name).read_bytes()
                    )

    def test_a_kernel_that_lacks_nothing(self) -> None:
        self.put({**self.MERGED, **self.NOTHING_LACKS})
        tree = overlay.make(self.path)
        self.assertEqual(tree.read(overlay.COMPAT_KBUILD), overlay.ours(overlay.COMPAT_KBUILD))
        self.assertFalse([n for n in tree.names() if n.startswith(overlay.COMPAT_HEADERS)])

    def test_a_kernel_that_lacks_something(self) -> None:
        self.put({**self.MERGED, **self.NOTHING_LACKS, "include/linux/slab.h": "kvfree\n"})
        tree = overlay.make(self.path)
        header = f"{overlay.COMPAT_HEADERS}/linux/slab.h"
        self.assertEqual([n for n in tree.names() if n.startswith(overlay.COMPAT_HEADERS)], [header])
        self.assertEqual(tree.read(header), overlay.ours("compat/include/linux/slab.h"))
        added = tree.read(overlay.COMPAT_KBUILD).removeprefix(overlay.ours(overlay.COMPAT_KBUILD))
        self.assertEqual(
            [line for line in added.splitlines() if not line.startswith("#")],
            [
                "",
                "LINUXINCLUDE := -I$(srctree)/drivers/xen/privcmd/compat $(LINUXINCLUDE)",
                "ccflags-y += -DCOMPAT_NO_FREE_KVFREE",
                "ccflags-y += -DCOMPAT_NO_KMALLOC_OBJ",
            ],
        )

    def test_no_checksums_of_a_kernels_own_xenfs(self) -> None:
        headers = overlay.compat_headers(overlay.compat_flags(self.path))
        self.assertIn(f"{overlay.COMPAT_HEADERS}/linux/mm.h", headers)
        self.assertNotIn(f"{overlay.COMPAT_HEADERS}/linux/miscdevice.h", headers)

    PRIVCMD = """\
#include <linux/kernel.h>
#include <xen/xen.h>

static long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long data)
{
	int ret = -ENOTTY;
	void __user *udata = (void __user *)data;

	switch (cmd) {
	case IOCTL_PRIVCMD_RESTRICT:
		ret = privcmd_ioctl_restrict(file, udata);
		break;
	}
	return ret;
}

static int privcmd_open(struct inode *ino, struct file *file)
{
	return 0;
}

const struct file_operations xen_privcmd_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = privcmd_ioctl,
};
"""

    def apply_to(self, text: str) -> str:
        """Returns a privcmd.c with the command."""
        self.put({upstream.DRIVER: text})
        tree = edit.kernel(self.path)
        added = upstream.ADDED[upstream.DRIVER]
        upstream.spatch(tree, upstream.COCCI / "privcmd.cocci", upstream.DRIVER, added)
        return tree.read(upstream.DRIVER)

    def test_semantic_patch(self) -> None:
        text = self.apply_to(self.PRIVCMD)
        self.assertIn("\tcase IOCTL_PRIVCMD_DM_NR_VCPUS:\n\t\tret = ", text)
        self.assertIn("\t.compat_ioctl = privcmd_compat_ioctl,\n", text)

    def test_each_rule_of_a_semantic_patch_must_match(self) -> None:
        compat = ".compat_ioctl = other,"
        for old, new, place in (
            ("<linux/kernel.h>", "<a.h>", "#include <linux/compat.h>"),
            ("<xen/xen.h>", "<a.h>", "#include <xen/dm-op.h>"),
            ("privcmd_ioctl(", "other(", "static long privcmd_ioctl_dm_nr_vcpus("),
            ("privcmd_open(", "other(", "static long privcmd_compat_ioctl("),
            ("PRIVCMD_RESTRICT", "OTHER", "case IOCTL_PRIVCMD_DM_NR_VCPUS:"),
            (".unlocked_ioctl", ".other", ".compat_ioctl ="),
            (".owner = THIS_MODULE,", compat, ".compat_ioctl ="),
        ):
            with self.subTest(old=old), self.assertRaises(Failure) as caught:
                self.apply_to(self.PRIVCMD.replace(old, new))
            self.assertIn(f"has no place, or more than one, for '{place}': ", str(caught.exception))

    # Only what is changed, as QEMU 7.2 has it: by its file.
    QEMU = {
        "VERSION": "7.2.22\n",
        upstream_qemu.ACCELERATOR: """\
static int xen_init(MachineState *ms)
{
    xen_dmod = xendevicemodel_open(0, 0);
    if (xen_dmod == NULL) {
        return -1;
    }
    return 0;
}
""",
        "include/hw/xen/xen_common.h": """\
#if CONFIG_XEN_CTRL_INTERFACE_VERSION < 40900
typedef xc_interface xendevicemodel_handle;
#endif
#if CONFIG_XEN_CTRL_INTERFACE_VERSION < 41100
#endif
""",
        upstream_qemu.X86: """\
typedef struct XenIOState {
    CPUState **cpu_by_vcpu_id;
} XenIOState;

static ioreq_t *cpu_get_ioreq(XenIOState *state)
{
    MachineState *ms = MACHINE(qdev_get_machine());
    unsigned int max_cpus = ms->smp.max_cpus;

    return find(state, max_cpus);
}

static void handle_vmport_ioreq(XenIOState *state, ioreq_t *req)
{
    current_cpu = state->cpu_by_vcpu_id[state->send_vcpu];
    regs_to_cpu(req);
}

static int xen_map_ioreq_server(XenIOState *state)
{
    state->fres = xenforeignmemory_map_resource(xen_fmem, xen_domid,
                                                XENMEM_resource_ioreq_server,
                                                state->ioservid, 0, 2, 0);
    return 0;
}

void xen_hvm_init_pc(unsigned int max_cpus)
{
    int i, rc;

    rc = xen_map_ioreq_server(state);
    state->cpu_by_vcpu_id = g_new0(CPUState *, max_cpus);
    state->ioreq_local_port = g_new0(evtchn_port_t, max_cpus);
    for (i = 0; i < max_cpus; i++) {
        rc = xenevtchn_bind_interdomain(state->xce_handle, xen_domid, i);
        state->ioreq_local_port[i] = rc;
    }
}
""",
    }
    # What newer ones have in the place of what 7.2 has.
    MAPPED = """\
    unsigned long num_frames = 1;
    unsigned long frame = 1;

    if (state->has_bufioreq) {
        frame = 0;
        num_frames = 2;
    }
    state->fres = xenforeignmemory_map_resource(xen_fmem, xen_domid,
                                                XENMEM_resource_ioreq_server,
                                                state->ioservid, frame, num_frames, 0);
"""

    def put_new_qemu(self) -> None:
        """Puts what QEMU has had since 9.2, and where, into the tree."""
        self.put(self.QEMU)
        (self.path / "include/hw/xen/xen_common.h").rename(
            self.path / "include/hw/xen/xen_native.h"
        )
        old = self.QEMU[upstream_qemu.X86]
        state, functions = old.split("\n\n", 1)
        common = re.sub(r"    state->fres = (.*\n)*?.*;\n", self.MAPPED, functions, count=1)
        vmport = functions[functions.index("static void") : functions.index("static int")]
        self.put(
            {
                "include/hw/xen/xen-hvm-common.h": state + "\n",
                upstream_qemu.COMMON: common.replace(vmport, ""),
                upstream_qemu.X86: vmport,
            }
        )

    def test_qemu(self) -> None:
        self.put(self.QEMU)
        tree = upstream_qemu.make(self.path)
        self.assertEqual(tree.names(), sorted(set(self.QEMU) - {"VERSION"}))
        text = tree.read(upstream_qemu.X86)
        self.assertIn("state->ioservid, 0, 1 + xen_ioreq_frames(state),", text)
        self.assertIn("    unsigned int nr_vcpus;\n    CPUState **cpu_by_vcpu_id;\n", text)
        self.assertNotIn("smp.max_cpus", text)
        self.assertRegex(
            tree.read(upstream_qemu.ACCELERATOR),
            r"\n    }\n    if \(xen_domid_restrict && (.*\n)*        return -1;\n    }\n    return 0",
        )
        self.assertRegex(
            tree.read("include/hw/xen/xen_common.h"),
            r"xendevicemodel_restrict\((.*\n)*#if .* < 41500\n(.*\n)*#if .* < 41100\n",
        )

    def test_new_qemu(self) -> None:
        self.put_new_qemu()
        tree = upstream_qemu.make(self.path)
        text = tree.read(upstream_qemu.COMMON)
        self.assertIn("    unsigned long num_frames = xen_ioreq_frames(state);\n", text)
        self.assertIn("        num_frames++;\n", text)
        self.assertIn("if (!current_cpu) {", tree.read(upstream_qemu.X86))
        self.assertIn("nr_vcpus;\n", tree.read("include/hw/xen/xen-hvm-common.h"))

    def test_each_place_in_qemu_must_be_there(self) -> None:
        for name, old in (
            (upstream_qemu.X86, "cpu_get_ioreq("),
            (upstream_qemu.X86, "xen_map_ioreq_server(XenIOState"),
            (upstream_qemu.X86, "state->ioservid, 0, 2"),
            (upstream_qemu.X86, "rc = xen_map_ioreq_server("),
            (upstream_qemu.X86, "g_new0(CPUState *"),
            (upstream_qemu.X86, "g_new0(evtchn_port_t"),
            (upstream_qemu.X86, "i < max_cpus"),
            (upstream_qemu.X86, "current_cpu = "),
            (upstream_qemu.X86, "CPUState **cpu_by_vcpu_id;"),
            (upstream_qemu.ACCELERATOR, "xendevicemodel_open("),
            ("include/hw/xen/xen_common.h", "xendevicemodel_handle;"),
            ("include/hw/xen/xen_common.h", "< 41100"),
        ):
            with self.subTest(old=old):
                self.put({**self.QEMU, name: self.QEMU[name].replace(old, "another(")})
                self.refused(upstream_qemu.make, f"{name} has no .*: this version is not known")

    def test_each_place_in_new_qemu_must_be_there(self) -> None:
        for old in ("num_frames = 1;", "num_frames = 2;"):
            with self.subTest(old=old):
                self.put_new_qemu()
                text = (self.path / upstream_qemu.COMMON).read_text(encoding="utf-8")
                self.put({upstream_qemu.COMMON: text.replace(old, "another = 3;")})
                self.refused(upstream_qemu.make, r"has no place, .* for 'xen_ioreq_frames")

    def test_no_qemu(self) -> None:
        self.refused(upstream_qemu.make, "is no QEMU source tree: there is no VERSION in it")

    def test_qemu_that_asks_already(self) -> None:
        self.put(self.QEMU)
        self.put({upstream_qemu.X86: "xendevicemodel_nr_vcpus(xen_dmod, xen_domid, &n)"})
        self.refused(upstream_qemu.make, "asks Xen already: see its hw/i386/xen/xen-hvm.c")

    # Only what is changed, as Xen 4.17 has it: by its file.
    XEN = {
        "tools/include/xen-sys/Linux/privcmd.h": """\
/*
 * @cmd: IOCTL_PRIVCMD_HYPERCALL
 */
#define IOCTL_PRIVCMD_UNIMPLEMENTED				\\
	_IOC(_IOC_NONE, 'P', 0xFF, 0)

#endif /* __LINUX_PUBLIC_PRIVCMD_H__ */
""",
        "tools/include/xendevicemodel.h": """\
int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid);

#endif
""",
        f"{upstream.LIBRARY}/Makefile": "MAJOR    = 1\nMINOR    = 4\n",
        f"{upstream.LIBRARY}/libxendevicemodel.map": """\
VERS_1.0 {
	local: *; /* Do not expose anything by default */
};

VERS_1.4 {
	global:
		xendevicemodel_nr_vcpus;
} VERS_1.0;
""",
        f"{upstream.LIBRARY}/private.h": "int osdep_xendevicemodel_restrict(\n    int);\n",
        f"{upstream.LIBRARY}/core.c": """\
int xendevicemodel_nr_vcpus(
    xendevicemodel_handle *dmod, domid_t domid, unsigned int *vcpus)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_nr_vcpus,
    };

    int rc = xendevicemodel_op(dmod, domid, 1, &op, sizeof(op));
    if ( rc )
        return rc;

    return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
    return osdep_xendevicemodel_restrict(dmod, domid);
}
""",
        f"{upstream.LIBRARY}/common.c": """\
int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod,
                                  domid_t domid)
{
    if (dmod->fd < 0) {
        errno = EOPNOTSUPP;
        return -1;
    }

    return ioctl(dmod->fd, IOCTL_PRIVCMD_RESTRICT, &domid);
}
""",
        f"{upstream.LIBRARY}/compat.c": """\
int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod,
                                  domid_t domid)
{
    errno = EOPNOTSUPP;
    return -1;
}
""",
        "tools/include/xenforeignmemory.h": """\
int xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                              domid_t domid);

typedef struct xenforeignmemory_resource_handle xenforeignmemory_resource_handle;
""",
        f"{upstream.MEMORY_LIBRARY}/Makefile": "MAJOR    = 1\nMINOR    = 4\n",
        f"{upstream.MEMORY_LIBRARY}/libxenforeignmemory.map": """\
VERS_1.3 {
	local: *;
};
VERS_1.4 {
	global:
		xenforeignmemory_resource_size;
} VERS_1.3;
""",
        f"{upstream.MEMORY_LIBRARY}/private.h": "#define PERROR(_f...) \\\n    log(_f)\n",
        f"{upstream.MEMORY_LIBRARY}/core.c": """\
int xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                              domid_t domid)
{
    return osdep_xenforeignmemory_restrict(fmem, domid);
}
""",
        f"{upstream.MEMORY_LIBRARY}/linux.c": """\
int osdep_xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                                    domid_t domid)
{
    return ioctl(fmem->fd, IOCTL_PRIVCMD_RESTRICT, &domid);
}
""",
    }

    def test_xen(self) -> None:
        self.put(self.XEN)
        tree = upstream.xen(self.path)
        self.assertEqual(tree.names(), sorted(self.XEN))
        for library in upstream.DECLARATIONS:
            name = f"xen{Path(library).name}"
            with self.subTest(library=library):
                self.assertIn(
                    f"\n\nVERS_1.5 {{\n\tglobal:\n\t\t{name}_limit;\n}} VERS_1.4;\n",
                    tree.read(f"{library}/lib{name}.map"),
                )
                self.assertIn("MINOR    = 5\n", tree.read(f"{library}/Makefile"))
                self.assertRegex(
                    tree.read(f"tools/include/{name}.h"),
                    rf"_restrict\([^;]*;\n\n/\*(.*\n)*int {name}_limit\([^;]*;\n\n",
                )
                self.assertRegex(
                    tree.read(f"{library}/core.c"), rf"\n}}\n\nint {name}_limit\("
                )

    def test_numbers_of_commands_in_xen(self) -> None:
        self.put(self.XEN)
        text = upstream.xen(self.path).read("tools/include/xen-sys/Linux/privcmd.h")
        self.assertIn("};\n\n#define PRIVCMD_LIMIT_READ_ONLY\t(1 << 0)\n\n/*\n * @cmd:", text)
        columns = {line.expandtabs().index("\\") for line in text.splitlines() if "\\" in line}
        self.assertEqual(columns, {64})

    def test_each_place_in_xen_must_be_there(self) -> None:
        library, memory = upstream.LIBRARY, upstream.MEMORY_LIBRARY
        for name, old in (
            ("tools/include/xen-sys/Linux/privcmd.h", "#endif"),
            ("tools/include/xendevicemodel.h", "xendevicemodel_restrict("),
            (f"{library}/Makefile", "MINOR    = 4"),
            (f"{library}/libxendevicemodel.map", "VERS_1.4"),
            (f"{library}/private.h", "osdep_xendevicemodel_restrict("),
            (f"{library}/core.c", "xendevicemodel_nr_vcpus("),
            (f"{library}/core.c", "int xendevicemodel_restrict("),
            (f"{library}/common.c", "osdep_xendevicemodel_restrict("),
            (f"{library}/compat.c", "osdep_xendevicemodel_restrict("),
            ("tools/include/xenforeignmemory.h", "xenforeignmemory_restrict("),
            (f"{memory}/Makefile", "MINOR"),
            (f"{memory}/libxenforeignmemory.map", "VERS_1.4"),
            (f"{memory}/private.h", "#define PERROR("),
            (f"{memory}/core.c", "int xenforeignmemory_restrict("),
            (f"{memory}/linux.c", "osdep_xenforeignmemory_restrict("),
        ):
            with self.subTest(name=name, old=old):
                self.put({**self.XEN, name: self.XEN[name].replace(old, "other(")})
                self.refused(upstream.xen, "this version is not known")

    def test_xen_has_a_command_already(self) -> None:
        name = "tools/include/xen-sys/Linux/privcmd.h"
        self.put({**self.XEN, name: f"#define IOCTL_PRIVCMD_LIMIT\n{self.XEN[name]}"})
        self.refused(upstream.xen, f"has the command already: see its {name}")

    def test_white_space_of_spatch(self) -> None:
        self.assertEqual(
            upstream.tidy("\t", "{\n\tcase A:\n b;\n\n\t\n\tc;\n"),
            "{\n\tcase A:\n\t\tb;\n\n\tc;\n",
        )
        self.assertEqual(
            upstream.tidy("", "    /*#ifdef A*/\n    \tb;\n"), "#ifdef A\n        b;\n"
        )


class SeriesTest(unittest.TestCase):
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

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        for name, text in PatchTest.KERNEL.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text, encoding="utf-8")

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
        for old, new in (
            ('introduced = "c"', ""),
            ('introduced = "c"', 'introduced = "c"\nfixes = "d"'),
            ('red = ["fixes request.x"]', ""),
            ('red = ["fixes request.x"]', 'red = ["fixes request.x"]\nunshown = "e"'),
            ('name = "a"', 'name = "a"\ndom0 = "hvm"'),
            ('name = "a"', 'name = "a"\nnone = 1'),
            ('new = "long driver;"', ""),
            ("[[fix]]", "[[fixes]]"),
            ('name = "a"', "name ="),
        ):
            with self.subTest(new=new), self.assertRaisesRegex(Failure, "fixes.toml: "):
                self.read(self.RECORD.replace(old, new))

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


class UpstreamCheckTest(unittest.TestCase):
    """What the library did is read off strace's lines."""

    def test_library_commands(self) -> None:
        trace = """\
[pid 9] ioctl(10, 0x105005, 0x7ffd) = 0
[pid 9] close(10) = 0
[pid 9] ioctl(5, 0x105005, 0x7ffd) = -1 EPERM (Operation not permitted)
[pid 9] ioctl(7, 0x105005, 0x7ffd) = 0
[pid 9] ioctl(3, 0xc0085020, 0x7ffd) = 0
[pid 9] ioctl(7, 0xc0085020, 0x7ffd) = -1 ENOTTY (Inappropriate ioctl)
[pid 9] ioctl(7, 0x105005, 0x7ffd) = 0
[pid 9] close(7) = 0
[pid 9] ioctl(7, 0x105005, 0x7ffd) = 0
"""
        self.assertEqual(
            upstream_check.library_commands(trace.splitlines()),
            upstream_check.EXPECTED["stock"],
        )


class OverlayTestTest(unittest.TestCase):
    """The kernel with the driver built in."""

    def test_fragment(self) -> None:
        finders = "\n\n# What finds defects.\nCONFIG_KASAN=y\n"
        texts = [f"CONFIG_XENFS=m\nCONFIG_PCI=y{finders}", f"CONFIG_SMP=y{finders}"]
        self.assertEqual(
            overlay_test.fragment(texts),
            "CONFIG_PCI=y\nCONFIG_SMP=y\n" + overlay_test.BUILTIN,
        )


class StockTest(unittest.TestCase):
    """Debian's driver with eventfds."""

    def test_another_kernel_has_none(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            (tree / "boot").mkdir()
            (tree / "boot/vmlinuz-6.1.0-56-amd64").touch()
            trees = fetch.Trees(arch.AMD64, tree, tree)
            self.assertEqual(stock.modules("stock", trees), [])
            with self.assertRaisesRegex(Failure, "not for 6.1.0.*: add --kernel 6.12"):
                stock.modules("stock-eventfds", trees)


class KmodTest(unittest.TestCase):
    """The order in which modules load."""

    def test_modules_dep(self) -> None:
        modules = [
            module("xenfs", "xen-privcmd"),
            module("xen-privcmd"),
            module("virtio"),
            kmod.Module("updates/xen-privcmd.ko", b"\0depends=xen-dm-op\0"),
            kmod.Module("updates/xen-dm-op.ko", b"\0depends=\0"),
        ]
        lines = kmod.modules_dep(modules).decode().splitlines()
        self.assertIn(
            "kernel/xenfs.ko: updates/xen-privcmd.ko updates/xen-dm-op.ko", lines
        )
        self.assertIn("kernel/virtio.ko:", lines)
        self.assertEqual(len(lines), 4)

    def test_module_without_depends(self) -> None:
        self.assertEqual(kmod.Module("a.ko", b"nothing").depends, [])

    def test_builtin_is_no_file(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            (root / "kernel").mkdir()
            (root / "kernel/a-b.ko").write_bytes(b"\0depends=\0")
            (root / "modules.order").write_text("kernel/a-b.ko\n")
            (root / "modules.builtin").write_text("kernel/c-d.ko\n")
            found = kmod.installed(root, ("a_b", "c_d"))
            self.assertEqual([module.path for module in found], ["kernel/a-b.ko"])
            with self.assertRaises(Failure):
                kmod.installed(root, ("e",))


class CpioTest(unittest.TestCase):
    """The archive's format."""

    def test_archive(self) -> None:
        archive = cpio.Archive()
        archive.data("etc/deep/file", b"hello")
        archive.symlink("bin", "usr/bin")
        archive.device("dev/console", 0o600, 5, 1)
        file = io.BytesIO()
        archive.write(file)
        names = []
        data = file.getvalue()
        self.assertEqual(len(data) % 4, 0)
        while data:
            self.assertEqual(data[:6], b"070701")
            fields = [int(data[i : i + 8], 16) for i in range(6, 110, 8)]
            size, name_size = fields[6], fields[11]
            names.append((data[110 : 110 + name_size - 1].decode(), fields[1]))
            start = 110 + name_size + -(110 + name_size) % 4
            data = data[start + size + -size % 4 :]
        self.assertEqual(
            names,
            [
                ("bin", 0o120777),
                ("dev", 0o40755),
                ("dev/console", 0o20600),
                ("etc", 0o40755),
                ("etc/deep", 0o40755),
                ("etc/deep/file", 0o100644),
                ("TRAILER!!!", 0),
            ],
        )


class ArchTest(unittest.TestCase):
    """What QEMU is told for each architecture."""

    def command(
        self,
        name: str,
        accel: str = "tcg",
        pvh: bool = False,
        cpu: str = "",
        pages: str = "",
    ) -> list[str]:
        """Returns the command line to boot empty files."""
        chosen = arch.ALL[name]
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch) / file for file in ("xen", "a,b", "initrd")]
            for file in files:
                file.write_bytes(bytes(3 << 20))
            parts = image.Image(chosen, files[0], files[1], Path(), "1", ())
            options = machine.Options(
                arch=chosen, accel=accel, pvh=pvh, cpu=cpu, pages=pages, append="c,d"
            )
            with mock.patch.object(host, "tool", lambda tool: tool):
                return machine.qemu_command(options, parts, files[2])

    def test_amd64(self) -> None:
        command = self.command("amd64")
        self.assertEqual(command[0], "qemu-system-x86_64")
        initrd = command[command.index("-initrd") + 1]
        self.assertRegex(initrd, r"^/.*/a,,b .*console=hvc0 .*c,,d,/.*/initrd$")

    def test_arm64(self) -> None:
        command = self.command("arm64")
        self.assertEqual(command[0], "qemu-system-aarch64")
        loaders = [word for word in command if word.startswith("guest-loader,")]
        self.assertEqual(len(loaders), 2)
        self.assertIn("/a,,b,bootargs=console=hvc0 ", loaders[0])
        self.assertTrue(loaders[0].endswith("c,,d"))
        self.assertIn("tcg,thread=single", self.command("arm64", arch.SINGLE_THREAD))
        # The kernel takes two pages of 2 MiB.
        self.assertTrue(loaders[1].startswith("guest-loader,addr=0x49400000,initrd="))

    def test_pvh(self) -> None:
        command = self.command("amd64", pvh=True)
        self.assertIn("dom0=pvh", command[command.index("-append") + 1])
        self.assertIn("amd-iommu,intremap=on", command)
        with self.assertRaises(Failure):
            self.command("arm64", pvh=True)

    def cpu(self, name: str, cpu: str = "", pages: str = "") -> str:
        """Returns what QEMU is told about the processor."""
        command = self.command(name, pvh=name == "amd64", cpu=cpu, pages=pages)
        return command[command.index("-cpu") + 1]

    def test_processors(self) -> None:
        self.assertEqual(self.cpu("amd64"), "qemu64,+svm,+npt")
        self.assertRegex(self.cpu("amd64", cpu="smap"), r"^qemu64,.*\+smap,")
        self.assertEqual(self.cpu("arm64"), "cortex-a57")
        self.assertEqual(self.cpu("arm64", cpu="pan"), "cortex-a76")
        # One that has such pages.
        self.assertEqual(self.cpu("arm64", pages="16k"), "cortex-a76")

    def test_processors_that_do_not_go_with_the_rest(self) -> None:
        for name, pvh, cpu in (("amd64", True, "pan"), ("amd64", False, "smap")):
            with self.assertRaises(Failure) as caught:
                self.command(name, pvh=pvh, cpu=cpu)
            self.assertEqual(caught.exception.status, Status.USAGE)
            self.assertIn(f"--cpu {cpu}", str(caught.exception))

    def test_accelerator_of_another_architecture(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.command("arm64", "kvm")
        self.assertEqual(caught.exception.status, Status.USAGE)


class ImageTest(unittest.TestCase):
    """The kernel inside a bzImage."""

    def bz_image(self, payload: bytes) -> bytes:
        """Returns a bzImage with one setup sector after the boot sector."""
        header = bytearray(1024)
        header[0x1F1] = 1
        header[0x202:0x206] = b"HdrS"
        struct.pack_into("<II", header, 0x248, 16, len(payload))
        return bytes(header) + bytes(16) + payload

    def test_xz(self) -> None:
        packed = lzma.compress(b"\x7fELF kernel") + struct.pack("<I", 11)
        self.assertEqual(image.unpack_kernel(self.bz_image(packed)), b"\x7fELF kernel")

    def test_other_files_stay(self) -> None:
        for content in (b"", b"\x7fELF", self.bz_image(b"\x28\xb5\x2f\xfd zstd")):
            self.assertEqual(image.unpack_kernel(content), content)


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
        named = re.findall(r"^\t\$\(SETUP\)(.*)$", makefile, re.M)
        self.assertGreater(len(named), 10)
        for groups in named:
            packages.wanted(groups.split())

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


class MachineTest(unittest.TestCase):
    """Which of several failures is told."""

    def judge(
        self, log: bytes, reported: bytes, timed_out: bool = False
    ) -> machine.Verdict:
        """Returns the verdict on a console log and a report."""
        output = console.Console(io.StringIO())
        run = machine.Run(output, lambda data: None, 0.0)
        output.feed(log)
        run.status(reported)
        run.timed_out = timed_out
        return machine.judge(run, Path("a.log"), 10.0, 0)

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


class RecordsTest(unittest.TestCase):
    """The records of mutants, and what they make of a source."""

    def refuse(self, text: str, message: str) -> None:
        """Expects one line that says what is wrong with a file of records."""
        with self.assertRaisesRegex(Failure, message) as caught:
            list(records.parse("a.toml", text.encode()))
        self.assertEqual(caught.exception.status, Status.USAGE)
        self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_parse(self) -> None:
        (mutant,) = records.parse("a.toml", RECORD.encode())
        self.assertEqual(mutant.name, "a-b")
        self.assertEqual(mutant.breaks, "A bad pointer is not noticed.")
        self.assertEqual(
            mutant.red,
            [("dm_nr_vcpus_test", "arg.bad_pointer"), ("restrict_test", "file.other")],
        )
        self.assertEqual((mutant.arch, mutant.linux), ("amd64", ""))
        self.assertEqual([change.source for change in mutant.changes], ["drivers/a.c"])

    def test_parse_machine(self) -> None:
        more = 'arch = "arm64"\nlinux = "6.12"'
        (mutant,) = records.parse("a.toml", f"{RECORD}{more}".encode())
        self.assertEqual((mutant.arch, mutant.linux), ("arm64", "6.12"))

    def test_parse_changes(self) -> None:
        text = RECORD.partition("old =")[0] + """\
change = [
	{ old = "a", new = "" },
	{ source = "drivers/b.c", old = "b", new = "c" },
]
"""
        (mutant,) = records.parse("a.toml", text.encode())
        self.assertEqual(
            mutant.changes,
            [
                records.Change("drivers/a.c", "a", ""),
                records.Change("drivers/b.c", "b", "c"),
            ],
        )

    def test_bad_records(self) -> None:
        for old, new, message in (
            ("[[mutant]]", "[[mutant", "a.toml: .*line 2"),
            ("[[mutant]]", "[[mutants]]", "a.toml has a key mutants"),
            ('source = "drivers/a.c"\n', "", "a.toml has no source"),
            ("breaks =", "brakes =", "mutant a-b has a key brakes; there are: name "),
            ('name = "a-b"\n', "", "a.toml: a mutant has no name"),
            ('"a-b"', '"a b"', "mutant a b: a name is of a to z"),
            ('"a-b"', "3", "a mutant: name has to be a string"),
            ('"A bad pointer is not noticed."', '""', "breaks has to be a string, not empty"),
            ("arg.bad_pointer", "", "red has 'dm_nr_vcpus_test ', not 'PROGRAM TEST'"),
            ('"restrict_test file.other"', "3", "red has 3, not 'PROGRAM TEST'"),
            ("red = ", "red = [] # ", "red has to be a list, not empty"),
            ("red =", 'arch = "vax"\nred =', "no architecture vax; there are: amd64 arm64"),
            ("red =", 'linux = "2.4"\nred =', "no Linux 2.4; there are:  6.1 "),
            ("old = ", "# ", "mutant a-b: its change has no old"),
            ("'	one();'", "''", "mutant a-b: old has to be a string"),
            ("old =", "change = [{ old = '', new = '' }]\nold =", "either old and new, or"),
            ("old = '	one();'\nnew =", "breaks_how =", "has a key breaks_how"),
            ("old =", "linux = 6.1\nold =", "linux has to be a string"),
        ):
            with self.subTest(old=old, new=new):
                self.assertIn(old, RECORD)
                self.refuse(RECORD.replace(old, new), message)

    def test_bad_changes(self) -> None:
        start = RECORD.partition("old =")[0]
        self.refuse(start, "mutant a-b needs either old and new, or change")
        self.refuse(f"{start}change = ['a']", "mutant a-b: its change is no table")
        self.refuse(f"{start}change = [{{ old = 'a' }}]", "its change has no new")
        self.refuse(f"{start}change = 'a'", "change has to be a list")
        self.refuse("source = 'a'\nmutant = [3]", "a.toml: a mutant is no table")
        with self.assertRaisesRegex(Failure, "a.toml: .* can't decode byte 0xff"):
            list(records.parse("a.toml", b"\xff"))

    def test_names_are_unique(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            with self.assertRaisesRegex(Failure, "there are no mutants in"):
                records.read(Path(scratch))
            for name in ("a.toml", "b.toml"):
                (Path(scratch) / name).write_text(RECORD, encoding="utf-8")
            with self.assertRaisesRegex(Failure, "b.toml: there is a mutant a-b already"):
                records.read(Path(scratch))

    def test_wanted_names(self) -> None:
        with self.assertRaisesRegex(Failure, "there is no mutant none; there are: "):
            records.choose(["none"])

    def test_change(self) -> None:
        change = records.Change("a.c", "\tb\n\tc\n", "\td\n")
        self.assertEqual(change.apply("a\n\tb\n\tc\ne\n"), "a\n\td\ne\n")
        gone = records.Change("a.c", "b", "")
        self.assertEqual(gone.apply("a\nb\nbb\n"), "a\nbb\n")

    def test_old_text_is_there_once(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            top = Path(scratch)
            (mutant,) = records.parse("a.toml", RECORD.encode())
            with self.assertRaisesRegex(Failure, "mutant a-b: there is no drivers/a.c"):
                mutant.apply(top)
            (top / "drivers").mkdir()
            for text, times in (("\tone();\n" * 2, 2), ("one();\n\tone();;\n", 0)):
                (top / "drivers/a.c").write_text(text, encoding="utf-8")
                message = f"mutant a-b: its old text is {times} times in drivers/a.c"
                with self.assertRaisesRegex(Failure, message):
                    mutant.apply(top)
                self.assertEqual((top / "drivers/a.c").read_text(encoding="utf-8"), text)

    def test_all_apply(self) -> None:
        for mutant in records.read().values():
            with self.subTest(mutant.name), tempfile.TemporaryDirectory() as scratch:
                before = {}
                for change in mutant.changes:
                    path = Path(scratch) / change.source
                    path.parent.mkdir(parents=True, exist_ok=True)
                    before[path] = (host.REPO / change.source).read_bytes()
                    path.write_bytes(before[path])
                mutant.apply(Path(scratch))
                for path, content in before.items():
                    self.assertNotEqual(path.read_bytes(), content)


class MutantsTest(unittest.TestCase):
    """What runs for mutants, and what a boot says about them."""

    def test_all_name_tests(self) -> None:
        for mutant in records.read().values():
            mutants.check(mutant)

    def test_names_of_no_test(self) -> None:
        for program, test in (
            ("none_test", "a.b"),
            ("restrict_test", "a.b"),
            ("dm_nr_vcpus_test", "answer.is_the_hypervisors"),
        ):
            mutant = records.Mutant("a-b", "", [(program, test)], [])
            message = f"^mutant a-b: {program} has no test {test}$"
            with self.assertRaisesRegex(Failure, message) as caught:
                mutants.check(mutant)
            self.assertEqual(caught.exception.status, Status.USAGE)

    def test_commands(self) -> None:
        tests = [("b_test", "x.y"), ("a_test", "x.z"), ("a_test", "x.y"), ("b_test", "x.y")]
        self.assertEqual(mutants.commands(tests, True), ["a_test", "b_test"])
        self.assertEqual(
            mutants.commands(tests, False), ["a_test x.y", "a_test x.z", "b_test x.y"]
        )

    def test_only_the_named_tests_run(self) -> None:
        for whole, command in ((True, "a_test"), (False, "a_test x.y")):
            item = mutants.Build("m", mutants.commands([("a_test", "x.y")], whole), [])
            lines = mutants.script([item]).splitlines()
            self.assertIn(programs.begin(f"m {command}"), lines)
            self.assertIn(programs.run(command, mutants.LIMIT), lines)
            self.assertIn("end_all a_test", lines)

    def test_outcomes(self) -> None:
        ran = programs.Section("m a_test", "1..2\nok 1 x.y\nnot ok 2 x.z\n".split("\n"), 1)
        tests = [("a_test", "x.y"), ("a_test", "x.z"), ("a_test", "x.n"), ("b_test", "x.y")]
        self.assertEqual(
            list(mutants.outcomes("m", tests, {"m a_test": ran}).values()),
            ["passed", "failed", "did not run", "did not run"],
        )

    def test_outcomes_of_single_tests(self) -> None:
        tests = [("a_test", "x.y"), ("a_test", "x.z"), ("a_test", "x.n")]
        # The second ran into its time limit; nothing is said of the third.
        sections = {
            name: programs.Section(name, lines, status)
            for name, lines, status in (
                ("m a_test x.y", ["1..1", "not ok 1 x.y"], 1),
                ("m a_test x.z", ["1..1", "#  RUN           x.z ..."], 137),
                ("m a_test x.n", ["a_test: there is no test x.n"], 1),
            )
        }
        self.assertEqual(
            list(mutants.outcomes("m", tests, sections).values()),
            ["failed", "did not run", "did not run"],
        )


class SelinuxTest(unittest.TestCase):
    """The manual's policy, and the one that dom0 gets."""

    MODULE = "module a 1.0;\n\nrequire {\n\ttype b;\n}\n\nallow b c:d { e };\n"

    def test_is_the_pages(self) -> None:
        block = "".join(f"   {line}\n" for line in self.MODULE.splitlines())
        page = f"Text\n\n.. code-block:: text\n\n{block}\nMore text, module x y;\n"
        self.assertEqual(selinux.module(page), self.MODULE)
        for text, count in (("", 0), (page + page, 2)):
            with self.assertRaisesRegex(Failure, f"has {count} policy modules, not 1"):
                selinux.module(text)

    def test_has_the_rules(self) -> None:
        self.assertEqual(
            selinux.whole(f"a\n{selinux.RULES}\nb\n", self.MODULE),
            "a\nallow b c:d { e };\nb\n",
        )
        with self.assertRaisesRegex(Failure, "has no rules"):
            selinux.whole(selinux.RULES, "module a 1.0;\n")

    def test_reads_the_manual(self) -> None:
        text = selinux.module(selinux.PAGE.read_text(encoding="utf-8"))
        base = selinux.BASE.read_text(encoding="utf-8")
        self.assertIn("ioctl 0x5020;", selinux.whole(base, text))
        self.assertNotIn(selinux.RULES, selinux.whole(base, text))


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


class SuiteTest(unittest.TestCase):
    """Which test programs run."""

    def test_tests(self) -> None:
        source = """\
FIXTURE_VARIANT_ADD(varied, one) {
FIXTURE_VARIANT_ADD(varied, two) {
TEST(alone)
TEST_F(varied, a)
TEST_F_TIMEOUT(plain, b, 60)
 * TEST_F(plain, c)
"""
        self.assertEqual(
            suite.tests(source),
            {"global.alone", "varied.one.a", "varied.two.a", "plain.b"},
        )

    def test_choose(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            for name in ("b_test", "a_test", "helper", "old_test"):
                (directory / name).touch(0o755)
            (directory / "old_test").chmod(0o644)
            self.assertEqual(suite.choose(directory, []), ["a_test", "b_test"])
            self.assertEqual(suite.choose(directory, ["b_test"]), ["b_test"])
            with self.assertRaises(Failure):
                suite.choose(directory, ["c_test"])

    def test_the_emulated_processors_failure_is_known(self) -> None:
        log = "  9.48 (XEN) d26v1 {} - invoking HVM shutdown action 1\n"
        self.assertTrue(suite.emulator_failed(log.format("Triple fault")))
        self.assertFalse(suite.emulator_failed(log.format("Domain 26 crashed")))

    def test_it_is_no_reason_to_fail(self) -> None:
        bad, good = ktap.Counts(failed=1), ktap.Counts(passed=1)
        for fault, outcomes, runs in (
            ("", [bad, good], 1),
            ("(XEN) d0v1 Triple fault", [bad, good], 2),
            ("(XEN) d0v1 Triple fault", [good], 1),
            ("(XEN) d0v1 Triple fault", [bad] * (suite.TRIES + 1), suite.TRIES),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                log = Path(scratch) / "log"
                log.write_text(fault, encoding="utf-8")
                verdict = machine.Verdict(Status.GOOD, "", log)
                once = mock.Mock(side_effect=[(counts, verdict) for counts in outcomes])
                with mock.patch.object(host, "say"):
                    counts, _, tries = suite.repeat(once)
            self.assertEqual(tries, runs)
            self.assertEqual(once.call_count, runs)
            self.assertEqual(counts, outcomes[runs - 1])

    def test_what_decides_on_skips(self) -> None:
        for chosen, pvh, built, dom0, device_models in (
            (arch.AMD64, False, False, "pv", True),
            (arch.AMD64, True, False, "auto-translated", True),
            (arch.ARM64, False, False, "auto-translated", False),
            (arch.ARM64, False, True, "auto-translated", True),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                tree = Path(scratch)
                (tree / "boot").mkdir()
                (tree / "boot/vmlinuz-6.1.0-56-some").touch()
                (tree / chosen.xen.replace("*", "4.20-some")).touch()
                options = machine.Options(arch=chosen, pvh=pvh)
                trees = fetch.Trees(chosen, tree, tree, tree if built else None)
                self.assertEqual(
                    suite.facts(options, trees),
                    {
                        "driver": "ours",
                        "arch": chosen.name,
                        "linux": "6.1",
                        "xen": "4.20",
                        "dom0": dom0,
                        "device_models": device_models,
                    },
                )


class VersionsTest(unittest.TestCase):
    """Where Debian has a kernel or a Xen."""

    def test_a_release_that_has_gone_on(self) -> None:
        release = versions.KERNELS["7.2"]
        versions.check("7.2", "7.2.13+deb14-amd64", release)
        for found in ("7.3.1-amd64", "7.20.1-amd64"):
            with self.assertRaises(Failure) as caught:
                versions.check("7.2", found, release)
            self.assertIn(found, str(caught.exception))

    def test_tools_come_with_a_kernel_that_needs_them(self) -> None:
        self.assertNotIn("make", versions.kernel("6.12", arch.ARM64).packages)
        self.assertIn("make", versions.kernel("7.2", arch.ARM64).packages)
        self.assertEqual(versions.kernel("6.12", arch.AMD64).suite, "-backports")

    def test_image_and_headers_have_pages_of_one_size(self) -> None:
        usual, large = (
            versions.kernel("6.12", arch.ARM64, pages).packages for pages in ("", "16k")
        )
        self.assertEqual(usual, ("linux-image-arm64:arm64", "linux-headers-arm64:arm64"))
        self.assertEqual(
            large, ("linux-image-arm64-16k:arm64", "linux-headers-arm64-16k:arm64")
        )

    def test_pages_that_no_kernel_has(self) -> None:
        for chosen, version, advice in (
            (arch.AMD64, "", "leave it out"),
            (arch.ARM64, "6.1", "choose 6.12 or 7.2"),
        ):
            options = machine.Options(arch=chosen, linux=version, pages="16k")
            with mock.patch.object(fetch, "tree") as fetched:
                with self.assertRaises(Failure) as caught:
                    versions.trees(options)
            self.assertEqual(caught.exception.status, Status.USAGE)
            self.assertIn(advice, str(caught.exception))
            fetched.assert_not_called()

    def test_each_row_can_be_chosen(self) -> None:
        for row in matrix.ROWS:
            self.assertIn(row.arch, arch.ALL)
            self.assertIn(row.linux, versions.KERNELS)
            self.assertIn(row.xen, versions.XENS)
            options = row.options(machine.Options())
            versions.check_pages(options)
            self.assertIn(options.cpu, ("", *options.arch.guarded_cpus))


class MatrixTest(unittest.TestCase):
    """The rows, and what becomes of one that cannot be run."""

    def test_choose(self) -> None:
        self.assertEqual(matrix.choose([]), list(matrix.ROWS))
        self.assertEqual(
            matrix.choose(["arm64-7.2-4.20"]), [matrix.Row("arm64", "7.2", "4.20")]
        )
        self.assertEqual(
            matrix.choose(["amd64-6.12-4.20-pvh-smap", "arm64-6.12-4.20-16k"]),
            [
                matrix.Row("amd64", "6.12", "4.20", pvh=True, cpu="smap"),
                matrix.Row("arm64", "6.12", "4.20", pages="16k"),
            ],
        )
        self.assertEqual(len({str(row) for row in matrix.ROWS}), len(matrix.ROWS))
        with self.assertRaises(Failure) as caught:
            matrix.choose(["amd64-6.12"])
        for row in matrix.ROWS:
            self.assertIn(str(row), str(caught.exception))

    def run_rows(self, scratch: str, *outcomes: object) -> tuple[ktap.Counts, list[Failure], str]:
        """Runs two rows whose tests end in this way; returns what was printed too."""
        self.shown = io.StringIO()
        (Path(scratch) / "matrix.json").write_text("of another run")
        with (
            mock.patch.object(matrix, "RESULTS", Path(scratch) / "matrix.json"),
            mock.patch.object(matrix, "_modules"),
            mock.patch.object(matrix, "_fetched_ahead", return_value=contextlib.nullcontext()),
            mock.patch.object(suite, "run_driver", side_effect=outcomes),
            contextlib.redirect_stdout(self.shown),
        ):
            counts, failures = matrix.run(
                machine.Options(), ["amd64-7.2-4.17", "amd64-7.2-4.20"]
            )
        return counts, failures, self.shown.getvalue()

    def test_a_row_that_cannot_be_run_fails_and_the_next_one_runs(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            counts, failures, shown = self.run_rows(
                scratch,
                Failure(Status.BUILD, "no mirror", ["evidence"]),
                suite.Tested(ktap.Counts(passed=5, skipped=1), None, 2),
            )
            written = json.loads((Path(scratch) / "matrix.json").read_text())
        self.assertEqual(counts, ktap.Counts(5, 1, 1))
        self.assertEqual(failures[0].evidence, ("evidence",))
        self.assertEqual(str(failures[0]), "amd64-7.2-4.17: no mirror")
        self.assertRegex(shown, r"amd64-7.2-4.17 +0 +1 +0 +0 +0\n")
        self.assertRegex(shown, r"amd64-7.2-4.20 +5 +0 +1 +0 +2\n")
        self.assertEqual(
            [
                (row["row"], row["passed"], row["failed"], row["tries"])
                for row in written
            ],
            [("amd64-7.2-4.17", 0, 1, 0), ("amd64-7.2-4.20", 5, 0, 2)],
        )


    def test_an_error_of_the_host_is_a_row_that_failed(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            counts, failures, _ = self.run_rows(
                scratch,
                OSError(28, "No space left on device"),
                suite.Tested(ktap.Counts(passed=5), None, 1),
            )
        self.assertEqual(counts, ktap.Counts(5, 1, 0))
        self.assertIn("amd64-7.2-4.17: [Errno 28] No space left", str(failures[0]))

    def test_an_interrupted_run_leaves_what_it_has_done(self) -> None:
        good = suite.Tested(ktap.Counts(passed=5), None, 1)
        nothing: list[suite.Tested] = []
        for done, rows in ((nothing, []), ([good], ["amd64-7.2-4.17"])):
            with tempfile.TemporaryDirectory() as scratch:
                with self.assertRaises(KeyboardInterrupt):
                    self.run_rows(scratch, *done, KeyboardInterrupt())
                path = Path(scratch) / "matrix.json"
                written = json.loads(path.read_text()) if path.exists() else []
            self.assertEqual([row["row"] for row in written], rows)
            self.assertEqual(re.findall(r"(?m)^(amd64\S+) +\d", self.shown.getvalue()), rows)


class DifferentialTest(unittest.TestCase):
    def test_a_continued_request_is_named_after_the_first(self) -> None:
        record = differential.parse("map\t0\n... shows\t01\nmap it\tEINVAL\nnoise\n")
        self.assertEqual(
            record, {"map": "0", "map ... shows": "01", "map it": "EINVAL"}
        )

    def test_names_are_unique(self) -> None:
        with self.assertRaises(Failure):
            differential.parse("map\t0\nmap\t0\n")

    def test_an_unlisted_difference_fails(self) -> None:
        counts, wrong = differential.compare({"a": "0", "b": "0"}, {"a": "1", "b": "0"}, {})
        self.assertEqual((counts.passed, counts.failed), (1, 1))
        self.assertEqual(wrong, ["a: stock 0, ours 1"])

    def test_a_listed_difference_passes_only_as_listed(self) -> None:
        listed = {"a": ("0", "1")}
        for ours, failed in (("1", 0), ("2", 1), ("0", 1)):
            counts, _ = differential.compare({"a": "0"}, {"a": ours}, listed)
            self.assertEqual(counts.failed, failed, ours)

    def test_a_request_that_only_one_made_fails(self) -> None:
        counts, _ = differential.compare({"a": "0"}, {"b": "0"}, {})
        self.assertEqual((counts.passed, counts.failed), (0, 2))

    def test_an_entry_for_no_request_fails(self) -> None:
        counts, wrong = differential.compare({}, {}, {"a": ("0", "1")})
        self.assertEqual(counts.failed, 1)
        self.assertEqual(wrong, ["a: listed, but no such request"])

    def test_the_list_wants_four_columns_and_no_second_entry(self) -> None:
        for text in ("a\t0\t1\n", "a\t0\t1\t \n", "a\t0\t1\twhy\na\t0\t1\twhy\n"):
            with self.assertRaises(differential.ListError):
                differential.read_expected(text)


BENCH = """\
getppid 1119
ioctl_unknown 1403
xendevicemodel_nr_vcpus 5560
xc_domain_getinfo 3217
dm_op_nr_vcpus 4900
kernel_dm_op 658
mmapbatch_v2_1 6000
mmapbatch_v2_64 64000
"""


class BenchTest(unittest.TestCase):
    """What the benchmark printed becomes a table, and is held against the goals."""

    def rows(
        self, typed: int = 2100, getppid: int = 1119, limited: int = 2940
    ) -> list[bench.Row]:
        stock = bench.parse(f"{BENCH}dm_nr_vcpus - ENOTTY\n")
        ours = bench.parse(
            f"{BENCH}getppid {getppid}\ndm_nr_vcpus {typed}\ndm_op_nr_vcpus 2800\n"
            f"limited_dm_nr_vcpus {typed + 50}\nlimited_dm_op_nr_vcpus {limited}\n"
        )
        return bench.table([stock], [ours])

    def unmet(self, rows: list[bench.Row]) -> list[str]:
        return [goal.what for goal in bench.goals(rows) if not goal.met]

    def test_an_operation_that_stock_lacks_has_no_ratio(self) -> None:
        (row,) = (row for row in self.rows() if row.name == "dm_nr_vcpus")
        self.assertEqual((row.name, row.stock, row.ours), ("dm_nr_vcpus", None, 2100))
        self.assertIsNone(row.ratio)
        self.assertRegex(bench.show([row])[1], r"dm_nr_vcpus +- +2100 +-")

    def test_other_lines_are_refused(self) -> None:
        for text in ("", "getppid 1 2\n", "getppid x\n", "a warning\n"):
            with self.assertRaises(Failure):
                bench.parse(text)

    def test_goals_are_kept_or_not(self) -> None:
        self.assertEqual(self.unmet(self.rows()), [])
        self.assertEqual(self.unmet(self.rows(getppid=1124)), [])
        self.assertEqual(self.unmet(self.rows(getppid=1125)), ["getppid, against stock's"])
        self.assertEqual(len(self.unmet(self.rows(typed=2400))), 4)
        self.assertEqual(
            self.unmet(self.rows(limited=2955)),
            ["limited_dm_op_nr_vcpus, against dm_op_nr_vcpus"],
        )

    def test_what_was_not_measured_is_not_met(self) -> None:
        rows = [row for row in self.rows() if row.name != "kernel_dm_op"]
        wrong = [goal for goal in bench.goals(rows) if not goal.met]
        self.assertEqual(len(wrong), 2)
        for goal in wrong:
            self.assertIn("kernel_dm_op", goal.what)
            self.assertIn("not measured", str(goal))

    def test_what_stock_could_not_do_is_not_met(self) -> None:
        rows = [*self.rows(), bench.Row("dm_op_4k", None, 1)]
        self.assertEqual(self.unmet(rows), ["dm_op_4k, against stock's"])

    def test_runs_that_differ_are_named(self) -> None:
        runs = [bench.parse("a 1\nb 4\n"), bench.parse("a 1\nb 2\n")]
        self.assertEqual(bench.unequal(runs), ["b: 4, 2"])
        self.assertEqual(bench.table(runs, runs)[1].ours, 2)

    def test_plots_have_costs_per_frame(self) -> None:
        rows = self.rows()
        self.assertEqual(
            bench.growth(rows, "mmapbatch_v2"), [(1, 6000, 6000), (64, 1000, 1000)]
        )
        rates = bench.parse_throughput("getppid_1 7\nsame_1 500\nsame_2 900\n")
        script = bench.gnuplot(rows, rates, "dumb", Path("plot"))
        self.assertIn("\n64 1000.0 1000.0\n", script)
        self.assertIn("\n2 1.800\n", script)


    def test_memory_is_shown_for_both_drivers(self) -> None:
        stock = bench.parse_memory("open 288 4384\ndm_nr_vcpus - ENOTTY\n")
        ours = bench.parse_memory("open 288 4380\ndm_nr_vcpus 0 0\n")
        _, first, second = bench.show_memory(stock, ours)
        self.assertEqual(first.split(), ["open", "288/4384", "288/4380"])
        self.assertEqual(second.split(), ["dm_nr_vcpus", "ENOTTY", "0/0"])
        with self.assertRaisesRegex(Failure, "not a line of the benchmark: open 1"):
            bench.parse_memory("open 1\n")

    def test_memory_has_a_line_for_each_frame(self) -> None:
        record = bench.parse_memory("mmapbatch_v2_1 16 16\nmmapbatch_v2_1024 8200 16392\n")
        last = bench.show_memory(record, record)[-1]
        self.assertEqual(last.split(), ["each", "further", "frame", "8/16", "8/16"])


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
        logs = ["==> guest-pvh.log <==", splat, "==> guest-domu.log <==", "a", splat]
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


class QemuTest(unittest.TestCase):
    """The checks of a QEMU that asks."""

    def test_each_check_is_a_function_of_its_script(self) -> None:
        for check in toolstack.checks(qemu.PARTS, qemu.PARTS):
            text = check.script.read_text(encoding="utf-8")
            self.assertIn(f"\n{check.name}()\n", text)

    def test_only_the_release_whose_qemu_is_built(self) -> None:
        with self.assertRaisesRegex(Failure, "choose --xen 4.17"):
            qemu.run([machine.Options(xen="4.20")], ())

    def test_what_the_binary_is_made_of_names_it(self) -> None:
        made: list[tuple[str, bytes]] = []

        def cached(name: str, key: bytes, what: str, make: object) -> Path:
            made.append((name, key))
            return Path("/")

        with mock.patch.object(host, "cached", cached):
            qemu.binary()
            with mock.patch.object(qemu, "CONFIGURATION", ("--other",)):
                qemu.binary()
            with mock.patch.object(upstream_qemu, "SEMANTIC", Path(__file__)):
                qemu.binary()
        self.assertEqual([name for name, _ in made], ["qemu-bookworm"] * 3)
        self.assertEqual(len({key for _, key in made}), 3)


class EverythingTest(unittest.TestCase):
    """What is recorded of a target, and when that is old."""

    def setUp(self) -> None:
        self.top = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.top / "everything.csv"
        self.covers = everything.COVERS
        covers = {"one": ("a",), "two": ("b",), "three": ("a", "b")}
        for name, value in (("FILE", self.file), ("COVERS", covers)):
            self.enterContext(mock.patch.object(everything, name, value))
        self.enterContext(mock.patch.object(host, "REPO", self.top))
        self.enterContext(mock.patch.object(check, "LOGS", self.top / ".git/logs"))
        self.file.write_text(everything.write({}), encoding="utf-8")
        self.git("init", "-q", ".")
        for name in ("a", "b"):
            (self.top / name).touch()
        self.commit()

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return host.command("git", ["git", *who, *words], cwd=self.top)

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "-q", "-m", "more")

    def run_targets(self, *targets: str) -> ktap.Counts:
        """Runs targets, of which each counts two."""

        class Lanes:
            def __init__(self, checks: list[check.Check], lanes: int) -> None:
                self.checks = checks

            def run(self) -> list[check.Result]:
                return [
                    check.Result(item, ktap.Counts(1, 0, 1), 90.0, "") for item in self.checks
                ]

        shown = contextlib.redirect_stdout(io.StringIO())
        with mock.patch.object(check, "Lanes", Lanes), shown:
            return everything.run(targets)

    def test_each_target_is_one(self) -> None:
        makefile = Path(xenlab.__file__).parents[3] / "Makefile"
        targets = re.findall(
            r"^\.PHONY: ([a-z-]+)$", makefile.read_text(encoding="utf-8"), re.M
        )
        checks = [name for name in targets if name.startswith("check")]
        others = ["lint", "docs", "demo", "matrix", "bench"]
        self.assertEqual(sorted(self.covers), sorted([*checks, *others]))

    def test_rows(self) -> None:
        rows = {"two": ["two", "abc", "2026-01-02", "3", "0", "1", "7"]}
        text = everything.write(rows)
        self.assertEqual(
            text.splitlines()[1:], ["one,,,,,,", "two,abc,2026-01-02,3,0,1,7", "three,,,,,,"]
        )
        self.assertEqual(everything.read(text)["two"], rows["two"])

    def test_what_ran_is_recorded(self) -> None:
        self.assertEqual(self.run_targets("two"), ktap.Counts(1, 0, 1))
        commit = self.git("rev-parse", "--short=12", "HEAD").strip()
        self.assertRegex(
            self.file.read_text(encoding="utf-8"),
            f"one,,,,,,\ntwo,{commit},20..-..-..,1,0,1,2\nthree,,,,,,\n",
        )
        # It goes on: the table is not what was tested.
        self.assertEqual(self.run_targets(), ktap.Counts(3, 0, 3))

    def test_only_is_not_for_the_targets(self) -> None:
        with mock.patch.object(check, "Lanes", side_effect=InterruptedError) as lanes:
            with self.assertRaises(InterruptedError):
                everything.run(["two"])
        ((one,), _), _ = lanes.call_args
        self.assertEqual(one.argv(), ["make", "--no-print-directory", "ONLY=", "two"])

    def test_what_has_no_commit_is_refused(self) -> None:
        before = self.file.read_text(encoding="utf-8")
        with self.assertRaisesRegex(Failure, "there is no target four; there are: one two"):
            self.run_targets("four")
        (self.top / "a").write_text("more", encoding="utf-8")
        with self.assertRaisesRegex(Failure, "commit what has changed"):
            self.run_targets("one")
        self.assertEqual(self.file.read_text(encoding="utf-8"), before)

    def test_age(self) -> None:
        self.run_targets()
        self.commit()
        rows = everything.read(self.file.read_text(encoding="utf-8"))
        self.assertEqual(everything.age(rows), {})
        (self.top / "b").write_text("more", encoding="utf-8")
        self.commit()
        del rows["one"]
        rows["three"][1] = "0123456789ab"
        old = everything.age(rows)
        self.assertEqual(old["one"], "was never run")
        self.assertEqual(old["three"], "was run on 0123456789ab, which is not in this clone")
        self.assertRegex(old["two"], "^what it covers is newer than [0-9a-f]{12}$")
        self.assertEqual(list(old), ["one", "two", "three"])


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


class CommandsTest(unittest.TestCase):
    """A command that has no entry in one of its places."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        for where in (commands.UAPI, commands.CONTRIBUTING, *self.wheres()):
            for path in host.REPO.glob(where):
                copy = self.top / path.relative_to(host.REPO)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)

    def wheres(self) -> set[str]:
        return {place.where for place in commands.PLACES}

    def forget(self, place: commands.Place, command: commands.Command) -> dict[Path, str]:
        """Takes an entry away; returns the files as they were."""
        word = command.struct if "STRUCT" in place.entry else command.name
        before = {path: path.read_text() for path in self.top.glob(place.where)}
        for path, text in before.items():
            section = re.search(place.section, text, re.M | re.S)
            if section:
                left = place.entry_of(command).sub(
                    lambda entry: re.sub(rf"(?<![A-Za-z]){word}\b", "other", entry[0]), section[0]
                )
                path.write_text(text.replace(section[0], left))
        return before

    def test_nothing_forgotten(self) -> None:
        self.assertEqual(commands.forgotten(self.top), [])
        self.assertEqual(commands.unlisted(self.top), [])

    def test_each_place(self) -> None:
        # With whose name others begin; without a struct; with all places.
        names = ("MMAP", "RESTRICT", "DM_NR_VCPUS")
        chosen = [command for command in commands.known(self.top) if command.name in names]
        self.assertEqual(len(chosen), len(names))
        for command in chosen:
            for place in commands.PLACES:
                if not place.of(command):
                    continue
                with self.subTest(command=command.name, where=place.where, what=place.what):
                    before = self.forget(place, command)
                    problems = commands.forgotten(self.top)
                    for path, text in before.items():
                        path.write_text(text)
                    self.assertEqual(
                        problems, [f"{place.where}: {command.name} has to have {place.what}"]
                    )

    def test_a_new_command(self) -> None:
        with (self.top / commands.UAPI).open("a") as header:
            header.write("#define IOCTL_PRIVCMD_NEW \\\n\t_IOW('P', 99, struct privcmd_new)\n")
        self.assertEqual(
            commands.known(self.top)[-1], commands.Command("NEW", "privcmd_new", False, True)
        )
        # What is for 32 bit is known of the list.
        places = [place for place in commands.PLACES if "32-bit" not in place.what]
        self.assertEqual(
            commands.forgotten(self.top),
            [f"{place.where}: NEW has to have {place.what}" for place in places],
        )

    def test_each_form_of_a_number(self) -> None:
        numbers = re.findall(
            r"^#define IOCTL_PRIVCMD_(\w+)", (host.REPO / commands.UAPI).read_text(), re.M
        )
        self.assertEqual([command.name for command in commands.known(host.REPO)], numbers)
        (self.top / commands.UAPI).write_text("#define IOCTL_PRIVCMD_NEW _IO('P', 99)\n")
        self.assertEqual(commands.known(self.top), [commands.Command("NEW", "", False, True)])
        # Two that cannot be read.
        (self.top / commands.UAPI).write_text(
            "#define IOCTL_PRIVCMD_NEW (_IO('P', 99))\n#define IOCTL_PRIVCMD_HEX _IO('P', 0x22)\n"
        )
        self.assertEqual(
            commands.forgotten(self.top),
            [
                f"{commands.UAPI}: IOCTL_PRIVCMD_{name} is not defined as the others are"
                for name in ("NEW", "HEX")
            ],
        )

    def test_contributors_are_told_what_lint_knows(self) -> None:
        page = self.top / commands.CONTRIBUTING
        row = "| `NEWS.md` | its name |"
        page.write_text(page.read_text().replace(row, "| `OLDS.md` | its name |"))
        self.assertEqual(
            commands.unlisted(self.top),
            [
                "CONTRIBUTING.md: no row `NEWS.md` | its name",
                "CONTRIBUTING.md: lint does not know `OLDS.md` | its name",
            ],
        )


class RanTest(unittest.TestCase):
    """What is written of the tests that ran."""

    def test_of_a_repeated_test_the_last_outcome(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "ran"
            with mock.patch.dict(os.environ, {ran.VARIABLE: str(path)}):
                for word in ("not ok 1 a.b", "ok 1 a.b"):
                    ran.note("amd64", ktap.parse("a_test", ["1..1", word], 0))
            self.assertEqual(ran.read(path), [["amd64", "a_test", "a.b", "passed", ""]])
            self.assertEqual(ran.read(Path(scratch) / "none"), [])

    def test_nobody_collects(self) -> None:
        with mock.patch.dict(os.environ, {ran.VARIABLE: ""}):
            ran.note("amd64", ktap.parse("a_test", ["1..1", "ok 1 a.b"], 0))

    def test_what_runs_meanwhile_is_collected(self) -> None:
        report = ktap.parse("a_test", ["1..1", "ok 1 a.b"], 0)
        with (
            tempfile.TemporaryDirectory() as scratch,
            mock.patch.object(host, "BUILD", Path(scratch)),
            mock.patch.object(ran, "FILE", Path(scratch) / "ran.json"),
            mock.patch.dict(os.environ),
        ):
            with self.assertRaises(Failure), ran.collected("matrix"):
                raise Failure(Status.USAGE, "nothing ran")
            self.assertFalse(ran.FILE.exists())
            with self.assertRaises(KeyboardInterrupt), ran.collected("matrix"):
                ran.note("amd64", report)
                raise KeyboardInterrupt
            self.assertNotIn(ran.VARIABLE, os.environ)
            found = json.loads(ran.FILE.read_text(encoding="utf-8"))
        self.assertEqual(found, {"matrix": [["amd64", "a_test", "a.b", "passed", ""]]})

    def test_platform(self) -> None:
        tree = Path("/nowhere")
        with (
            mock.patch.object(fetch, "hypervisor", return_value=Path("xen-4.17-amd64.gz")),
            mock.patch.object(fetch, "kernel_version", return_value="6.1.0-9-amd64"),
        ):
            trees = fetch.Trees(arch.AMD64, tree, tree)
            found = suite.platform(machine.Options(pvh=True, driver="stock"), trees)
        self.assertEqual(found, "amd64-6.1-4.17-pvh-stock")


class CommandLineTest(unittest.TestCase):
    """Bad usage is one line."""

    def test_what_hangs_is_ended_from_the_inside(self) -> None:
        text = (build.SELFTESTS / "common.h").read_text(encoding="utf-8")
        each = re.search(r"^#define TEST_TIMEOUT_DEFAULT (\d+)$", text, re.M)
        assert each is not None
        settings = (build.SELFTESTS / "settings").read_text(encoding="utf-8")
        self.assertEqual(settings, f"timeout={programs.PROGRAM_LIMIT}\n")
        self.assertLess(int(each[1]), programs.PROGRAM_LIMIT)
        options = xenlab._options(xenlab._parser().parse_args(["test"]))
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
            ("kselftest-install", "tools"),
            ("run",),
            ("run", "--"),
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
            ("toolstack", "nowhere"),
            ("series",),
            ("series", "--kernel"),
            ("series", "--kernel", "/nonexistent"),
            ("series", "--kernel", "/", "--xen"),
            ("series-check", "no-such-fix"),
        ):
            with self.subTest(arguments=arguments):
                status, shown = self.main(*arguments)
                self.assertEqual(status, Status.USAGE)
                self.assertEqual(len(shown.splitlines()), 1, shown)

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
        ):
            args = xenlab._parser().parse_args(words)
            self.assertEqual(xenlab._options(args).accel, accel, words)

    def test_each_driver_has_a_machine_of_its_own(self) -> None:
        with (
            mock.patch.object(suite, "run", return_value=(ktap.Counts(1), [])) as run,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            self.main("test", "--driver", "both", "a_test")
        (machines, wanted, _) = run.call_args.args
        self.assertEqual(wanted, ["a_test"])
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


if __name__ == "__main__":
    unittest.main()
