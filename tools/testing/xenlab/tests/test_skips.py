# SPDX-License-Identifier: GPL-2.0-only
"""Tests of skips."""

import re
import unittest

from campaigns import matrix, suite, toolstack
from lab import arch, build, hypervisor, skips
from lab.failure import Failure, Status


class SkipsTest(unittest.TestCase):
    """The rules for the tests that a run skips."""

    FACTS: skips.Facts = {
        "driver": "ours",
        "arch": "amd64",
        "linux": "6.12",
        "xen": "4.17",
        "dom0": "pv",
        "device_models": True,
        "silent": False,
        "takes_memory": False,
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
            *(
                (f'[[skip]]\n{reason}{tests}when = {{ xen = "{bad}" }}\n', f"no version: '{bad}'")
                for bad in ("<=6.12", ">6.8", "=6.12", "!<6.12", "6.", "<", "")
            ),
            (f"[[skip]]\n{reason}{tests}when = {{ linux = 6.12 }}\n", "no version: 6.12"),
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
        rows.append({**self.FACTS, "xen": hypervisor.VERSION, "silent": True})
        translated: skips.Facts = {**self.FACTS, "dom0": "auto-translated"}
        rows += ({**translated, "arch": name, "takes_memory": True} for name in arch.ALL)
        return [{**row, "driver": driver} for row in rows for driver in skips.DRIVERS]

    def all_tests(self) -> set[tuple[str, str]]:
        """Returns the programs and tests that there are."""
        found = {
            (path.stem, test)
            for path in build.SELFTESTS.glob("*_test.c")
            for test in suite.tests(path.read_text(encoding="utf-8"))
        }
        found |= {
            (name, "program.is_built")
            for name in ("emulator_test", "emulator_sandbox_test", "varstored_test")
        }
        reach = (build.SELFTESTS / "reach.c").read_text(encoding="utf-8")
        named = re.findall(r'expect\w*\("(\w+)"', reach)
        named += re.findall(r'"ok \d+ (\w+)', toolstack.SCRIPT.read_text(encoding="utf-8"))
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
