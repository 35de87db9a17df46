# SPDX-License-Identifier: GPL-2.0-only
"""Tests of scale."""

import unittest

from campaigns import bench, scale

FIRST = "restrict_of_domains_1 1000\nrestrict_of_domains_1000 1040\nbell_1 500\nbell_1024 526\n"
SECOND = "restrict_of_domains_1 1001\nrestrict_of_domains_1000 1039\nbell_1 500\nbell_1024 526\n"


class ScaleTest(unittest.TestCase):
    """Costs by numbers."""

    def setUp(self) -> None:
        self.found = scale.series([bench.parse(FIRST), bench.parse(SECOND)])

    def test_of_several_boots_the_least_counts(self) -> None:
        self.assertEqual(
            self.found,
            {"restrict_of_domains": {1: 1000, 1000: 1039}, "bell": {1: 500, 1024: 526}},
        )

    def test_what_grows_is_no_goal_met(self) -> None:
        self.assertEqual([goal.met for goal in scale.goals(self.found)], [True, True])
        steep = scale.series([bench.parse("bell_1 500\nbell_1024 530\n")])
        self.assertEqual([goal.met for goal in scale.goals(steep)], [False])

    def test_a_line_for_each_operation(self) -> None:
        lines = scale.show(self.found)
        self.assertEqual(lines[1].split(), ["bell", "1:", "500", "1024:", "526"])

    def test_the_plot_begins_at_one(self) -> None:
        lines = scale.plot(self.found)
        self.assertIn("1 1.0000", lines)
        self.assertIn("1024 1.0520", lines)
