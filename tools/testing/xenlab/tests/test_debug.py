# SPDX-License-Identifier: GPL-2.0-only
"""Tests of debug."""

import unittest
from dataclasses import replace

import xenlab
from campaigns import arguments, debug
from lab import arch, machine
from lab.failure import Failure


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
            (["check-debug"], ["amd64", "arm64", "amd64 PVH"]),
            (["check-debug", "--arch", "both", "a_test"], ["amd64", "arm64", "amd64 PVH"]),
            (["check-debug", "--arch", "amd64"], ["amd64"]),
            (["check-debug", "--arch", "arm64"], ["arm64"]),
            (["check-debug", "--arch", "amd64", "--pvh"], ["amd64 PVH"]),
            (["check-debug", "--pvh"], ["amd64 PVH"]),
        ):
            each = arguments.each_arch(xenlab._parser().parse_args(words))
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
