# SPDX-License-Identifier: GPL-2.0-only
"""Reads what test programs print (TAP, KTAP) and judges it."""

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lab import skips


class Outcome(enum.Enum):
    """How one test ended."""

    PASS = "passed"
    FAIL = "failed"
    SKIP = "skipped"


@dataclass(frozen=True)
class Result:
    """One test of a program."""

    name: str
    outcome: Outcome
    reason: str = ""
    output: Sequence[str] = ()


@dataclass
class Report:
    """All that one program said."""

    program: str
    planned: int | None = None
    results: list[Result] = field(default_factory=list)
    # What is wrong with the program itself, one line each.
    problems: list[str] = field(default_factory=list)
    # What was printed outside of tests.
    output: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Counts:
    """The closing line of every check."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
        )

    def __str__(self) -> str:
        return (
            f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        )


_PLAN = re.compile(r"1\.\.(\d+)\s*(?:#.*)?$")
_RESULT = re.compile(r"(not )?ok (\d+)(?:\s+-)?\s*(.*)$")
_RUN = re.compile(r"#\s+RUN\s+(\S+) \.\.\.$")
_DIRECTIVE = re.compile(r"(.*?)\s*#\s*(SKIP|XFAIL|TODO)\b\s*(.*)$", re.IGNORECASE)
TIME_LIMIT = (124, 137, 143)
_EXIT_SKIP = 4


def _result(match: re.Match[str], running: str | None, output: list[str]) -> Result:
    """Makes a result of a line that begins with "ok" or "not ok".

    Linux 6.1's harness prints no name for a skipped test, so the name is taken
    from the RUN line before it; other programs print no RUN lines.
    """
    bad, _, text = match.groups()
    reason = ""
    outcome = Outcome.FAIL if bad else Outcome.PASS
    directive = _DIRECTIVE.match(text)
    if directive:
        text, word, reason = directive.groups()
        # An expected failure is a failure: nothing here is expected to fail.
        if word.upper() == "SKIP" and not bad:
            outcome = Outcome.SKIP
        elif word.upper() != "SKIP":
            outcome = Outcome.FAIL
    return Result(running or text or f"test {match[2]}", outcome, reason, output)


def parse(program: str, lines: Iterable[str], exit_status: int | None) -> Report:
    """Reads a program's output; an exit status of None means it never ended."""
    report = Report(program)
    running: str | None = None
    output: list[str] = []
    for line in lines:
        line = line.rstrip("\r\n")
        if plan := _PLAN.match(line):
            report.planned = int(plan[1])
        elif run := _RUN.match(line):
            if running is not None:
                report.problems.append(f"{running} has no result")
            running, output = run[1], []
        elif result := _RESULT.match(line):
            if int(result[2]) != len(report.results) + 1:
                report.problems.append(
                    f"result {result[2]} where {len(report.results) + 1} was due"
                )
            report.results.append(_result(result, running, output))
            running, output = None, []
        elif running is not None:
            output.append(line)
        elif line and not line.startswith("TAP version"):
            report.output.append(line)
    if running is not None:
        report.problems.append(f"{running} has no result")
        report.output += output
    _check(report, exit_status)
    return report


def _check(report: Report, exit_status: int | None) -> None:
    """Adds what is wrong with a program as a whole."""
    outcomes = [result.outcome for result in report.results]
    if exit_status is None:
        report.problems.append("did not come to an end")
    elif exit_status in TIME_LIMIT:
        report.problems.append(f"ran into its time limit or was killed ({exit_status})")
    elif exit_status > 128:
        report.problems.append(f"died of signal {exit_status - 128}")
    elif exit_status == _EXIT_SKIP:
        if any(outcome is not Outcome.SKIP for outcome in outcomes):
            report.problems.append("exit status says skipped, its results do not")
    elif exit_status != 0 and Outcome.FAIL not in outcomes:
        report.problems.append(f"exit status {exit_status} though no test failed")
    if report.planned is None:
        report.problems.append("planned no tests")
    elif report.planned != len(outcomes):
        report.problems.append(
            f"{report.planned} tests planned, {len(outcomes)} have a result"
        )
    if not outcomes and report.planned in (None, 0):
        report.problems.append("no test ran")
    names = [result.name for result in report.results]
    for name in sorted({name for name in names if names.count(name) > 1}):
        report.problems.append(f"two tests are named {name}")


def _skip_problem(result: Result, due: str) -> str:
    """Returns what is wrong with a test that was skipped, or with one that was not.

    due is the reason for which it has to be skipped; nothing: it has to run.
    """
    if result.outcome is not Outcome.SKIP:
        return f"{result.name} passed, but has to be skipped: {due}" if due else ""
    if not due:
        return f"{result.name} skipped, which no rule has: {result.reason}"
    if result.reason != due:
        return f"{result.name} skipped: {result.reason}; the rule has: {due}"
    return ""


def judge(report: Report, expected: skips.Skips) -> tuple[Counts, list[str]]:
    """Counts a program's tests; returns the counts and what to show a person."""
    passed = skipped = 0
    failures: list[list[str]] = []
    for result in report.results:
        due = expected.reason(report.program, result.name)
        if result.outcome is Outcome.FAIL:
            shown = [line for line in result.output]
            if result.reason:
                shown.append(f"({result.reason})")
            failures.append([f"{result.name} failed", *shown])
        elif problem := _skip_problem(result, due):
            failures.append([problem])
        elif result.outcome is Outcome.SKIP:
            skipped += 1
        else:
            passed += 1
    for problem in report.problems:
        failures.append([problem])
    if report.problems:
        failures[-1] += report.output[-40:]
    lines = []
    for first, *rest in failures:
        lines.append(f"FAIL {report.program}: {first}")
        lines += [f"    {line}" for line in rest]
    return Counts(passed, len(failures), skipped), lines
