# SPDX-License-Identifier: GPL-2.0-only
"""Tests of bench."""

import argparse
import unittest
from dataclasses import replace
from pathlib import Path

from campaigns import bench
from lab import machine
from lab.arch import AMD64, ARM64
from lab.failure import Failure

BENCH = """\
getppid 1119
ioctl_unknown 1403
xendevicemodel_nr_vcpus 5560
xc_domain_getinfo 3217
dm_op_nr_vcpus 4900
kernel_dm_op 658
mmapbatch_v2_1 6000
mmapbatch_v2_64 64000
limit_mmapbatch_v2_1024 92000
limit_munmap_1024 92000
limit_mmapbatch_v2_262144 92000
limit_munmap_262144 92000
"""

# What else has a limit.
MAPPINGS = """\
mmapbatch_v2_1024 {0}
munmap_1024 {0}
mmapbatch_v2_262144 {0}
munmap_262144 {0}
"""


class BenchTest(unittest.TestCase):
    """What the benchmark printed becomes a table, and is held against the goals."""

    def rows(
        self,
        typed: int = 2100,
        getppid: int = 1119,
        limited: int = 2640,
        mapping: int = 100000,
        raw: int = 2570,
    ) -> list[bench.Row]:
        stock = bench.parse(f"{BENCH}{MAPPINGS.format(140000)}dm_nr_vcpus - ENOTTY\n")
        ours = bench.parse(
            f"{BENCH}{MAPPINGS.format(mapping)}getppid {getppid}\ndm_nr_vcpus {typed}\ndm_op_nr_vcpus {raw}\n"
            f"limited_dm_nr_vcpus {typed + 50}\nlimited_dm_op_nr_vcpus {limited}\n"
        )
        return bench.table([stock], [ours])

    def unmet(self, rows: list[bench.Row]) -> list[str]:
        return [goal.what for goal in bench.goals(rows, "amd64") if not goal.met]

    def test_an_operation_that_stock_lacks_has_no_ratio(self) -> None:
        (row,) = (row for row in self.rows() if row.name == "dm_nr_vcpus")
        self.assertEqual((row.name, row.stock, row.ours), ("dm_nr_vcpus", None, 2100))
        self.assertIsNone(row.ratio)
        self.assertRegex(bench.show([row])[1], r"dm_nr_vcpus +2100 +- +- +2061 +1.02$")

    def test_limits_stand_beside_what_they_bound(self) -> None:
        stock = bench.parse("munmap_8 900\nlimit_munmap_8 410\n")
        ours = bench.parse("munmap_8 500\nlimit_munmap_8 400\n")
        (row,) = bench.table([stock], [ours])
        self.assertEqual((row.name, row.limit, row.to_limit), ("munmap_8", 400, 1.25))
        self.assertRegex(bench.show([row])[1], r"munmap_8 +500 +900 +0.56 +400 +1.25$")
        # The driver has no part in the bare calls either.
        (row,) = bench.table([bench.parse("getppid 5\n")], [bench.parse("getppid 5\n")])
        self.assertIsNone(row.to_limit)

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
            self.unmet(self.rows(limited=2715)),
            ["limited_dm_op_nr_vcpus, against dm_op_nr_vcpus"],
        )
        self.assertEqual(
            self.unmet(self.rows(raw=2600)), ["dm_op_nr_vcpus, against its limit"]
        )
        self.assertEqual(
            self.unmet(self.rows(mapping=102000)),
            [
                f"{name}_{frames}, against its limit"
                for frames in (1024, 262144)
                for name in ("mmapbatch_v2", "munmap")
            ],
        )

    def test_what_was_not_measured_is_not_met(self) -> None:
        rows = [replace(row, limit=None) for row in self.rows()]
        wrong = [goal for goal in bench.goals(rows, "amd64") if not goal.met]
        self.assertEqual(len(wrong), len(bench.TO_LIMIT["amd64"]))
        for goal in wrong:
            self.assertIn("its limit", goal.what)
            self.assertIn("not measured", str(goal))

    def test_what_stock_could_not_do_is_not_met(self) -> None:
        rows = [*self.rows(), bench.Row("dm_op_4k", None, 1)]
        self.assertEqual(self.unmet(rows), ["dm_op_4k, against stock's"])

    def test_bare_calls_have_no_goal(self) -> None:
        rows = [*self.rows(), bench.Row("kernel_munmap_8", 1, 2)]
        self.assertEqual(self.unmet(rows), [])

    def test_eventfds_gain(self) -> None:
        whole = {name: 90 for name in bench.WITH_EVENTFDS}
        for cost, unmet in (
            (90, []),
            (91, ["irqfd_evtchn_whole, against dm_op_evtchn_whole"]),
        ):
            ours = {**whole, bench.WITHOUT_EVENTFDS: 90, "irqfd_evtchn_whole": cost}
            rows = [bench.Row(name, None, value) for name, value in ours.items()]
            goals = bench.eventfd_goals([*rows, bench.Row("irqfd", 100, 101)], False)
            self.assertEqual([goal.what for goal in goals if not goal.met], unmet)
        for cost, pvh, met in ((102, False, False), (107, True, True), (108, True, False)):
            goal = bench.eventfd_goals([*rows, bench.Row("irqfd", 100, cost)], pvh)[0]
            self.assertEqual(goal.what, "irqfd, against stock's")
            self.assertEqual(goal.met, met)

    def test_each_platform_has_a_name(self) -> None:
        for arch, pvh, name in (
            (AMD64, False, "amd64"),
            (AMD64, True, "amd64-pvh"),
            (ARM64, False, "arm64"),
        ):
            platform = bench._platform(machine.Options(arch=arch, pvh=pvh))
            self.assertEqual(platform, name)
            self.assertTrue(bench.goals(self.rows(), platform))

    def test_time_is_not_documented(self) -> None:
        parser = argparse.ArgumentParser()
        bench.add_arguments(parser)
        args = parser.parse_args(["--accel", "kvm", "--document"])
        with self.assertRaisesRegex(Failure, "--document does not go with --accel kvm"):
            bench.look(args)
        self.assertTrue(bench._counts(machine.Options()))
        self.assertFalse(bench._counts(machine.Options(accel="kvm")))

    def test_runs_that_differ_are_named(self) -> None:
        runs = [bench.parse("a 1\nb 4\n"), bench.parse("a 1\nb 2\n")]
        self.assertEqual(bench.unequal(runs), ["b: 4, 2"])
        self.assertEqual(bench.table(runs, runs)[1].ours, 2)

    def test_plots_have_costs_per_frame(self) -> None:
        rows = self.rows()
        self.assertEqual(
            bench.growth(rows, "mmapbatch_v2")[:2], [(1, 6000, 6000), (64, 1000, 1000)]
        )
        rates = bench.parse_throughput("getppid_1 7\nsame_1 500\nsame_2 900\n")
        plots = (bench._growth_plot(rows), bench._rates_plot(rates))
        script = bench.gnuplot("dumb", Path("plot"), *plots)
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
