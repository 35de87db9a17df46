# SPDX-License-Identifier: GPL-2.0-only
"""Tests of bench."""

import unittest
from pathlib import Path

from campaigns import bench
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
