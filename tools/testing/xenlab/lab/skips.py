# SPDX-License-Identifier: GPL-2.0-only
"""The rules for the tests that a run skips: skips.toml.

It has records like this one:

	[[skip]]
	reason = "this kernel has no eventfds for Xen: they take Linux 6.8 or newer"
	when = [{ driver = "stock" }, { linux = "<6.8" }]
	tests = ["doorbell_test *", "boundary_test memory.irqfd*"]

reason is what the tests print. when has values of facts of the run, all of which have to
be so; a list has alternatives; without it the record holds for each run. A value may
begin with !=, and that of a version with < or >=. tests has a pattern of programs and one
of tests each, as the shell has them. Of several records that hold and name a test, the
first one has the reason.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from lab import host
from lab.failure import Failure, Status

FILE = host.DATA / "skips.toml"

Fact = str | bool
# By name.
Facts = Mapping[str, Fact]

# What the facts of a run may be; a version may be any.
DRIVERS = ("ours", "stock", "builtin", "upstream")
DOM0S = ("pv", "auto-translated")
VALUES: Mapping[str, Sequence[Fact]] = {
    "driver": DRIVERS,
    "arch": ("amd64", "arm64"),
    "dom0": DOM0S,
    "device_models": (False, True),
    "silent": (False, True),
    "takes_memory": (False, True),
}
VERSIONS = ("linux", "xen")
# What a record has of one.
VERSION = re.compile(r"(!=|<|>=)?\d+(\.\d+)*")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _is(fact: Fact, wanted: Fact) -> bool:
    """Tells whether a fact of a run is as a record has it."""
    if isinstance(fact, bool) or isinstance(wanted, bool):
        return fact is wanted
    if wanted.startswith("!="):
        return fact != wanted[2:]
    if wanted.startswith("<"):
        return _numbers(fact) < _numbers(wanted[1:])
    if wanted.startswith(">="):
        return _numbers(fact) >= _numbers(wanted[2:])
    return fact == wanted


@dataclass(frozen=True)
class Rule:
    """Tests that are skipped for one reason."""

    reason: str
    # Alternatives, in each of which all has to be so.
    when: Sequence[Facts]
    # Patterns of a program and a test.
    tests: Sequence[tuple[str, str]]

    def holds(self, facts: Facts) -> bool:
        """Tells whether the rule is one for a run."""
        return any(
            all(_is(facts[name], value) for name, value in each.items())
            for each in self.when
        )

    def names(self, program: str, test: str) -> bool:
        """Tells whether the rule is one for a test."""
        return any(
            fnmatchcase(program, programs) and fnmatchcase(test, tests)
            for programs, tests in self.tests
        )


@dataclass(frozen=True)
class Skips:
    """What one run has to skip: the rules that hold for it."""

    rules: Sequence[Rule] = ()

    def reason(self, program: str, test: str) -> str:
        """Returns why a test is skipped; nothing: it is not."""
        for rule in self.rules:
            if rule.names(program, test):
                return rule.reason
        return ""


def _check_value(where: str, name: str, value: Any) -> None:
    """Refuses what no run's fact can be."""
    if name in VERSIONS:
        if not isinstance(value, str) or not VERSION.fullmatch(value):
            raise Failure(Status.USAGE, f"{where}: {name} is no version: {value!r}")
        return
    if name not in VALUES:
        known = " ".join((*VALUES, *VERSIONS))
        raise Failure(Status.USAGE, f"{where}: no fact {name}; there are: {known}")
    plain = value.removeprefix("!=") if isinstance(value, str) else value
    if plain not in VALUES[name]:
        there = " ".join(str(item) for item in VALUES[name])
        raise Failure(Status.USAGE, f"{where}: {name} is {value!r}; there are: {there}")


def _when(where: str, when: Any) -> list[Facts]:
    """Returns the alternatives of a record's condition."""
    alternatives = when if isinstance(when, list) else [when]
    for each in alternatives:
        if not isinstance(each, dict):
            raise Failure(Status.USAGE, f"{where}: when is no table, nor a list of them")
        for name, value in each.items():
            _check_value(where, name, value)
    return alternatives


def _pattern(where: str, text: Any) -> tuple[str, str]:
    words = text.split() if isinstance(text, str) else []
    if len(words) != 2:
        raise Failure(Status.USAGE, f"{where}: tests has {text!r}, not 'PROGRAM TEST'")
    return words[0], words[1]


def _rule(where: str, record: Any) -> Rule:
    """Reads one record."""
    if not isinstance(record, dict) or not isinstance(record.get("reason"), str):
        raise Failure(Status.USAGE, f"{where}: a record has no reason")
    where = f"{where}: {record['reason']!r}"
    for key in record:
        if key not in ("reason", "when", "tests"):
            raise Failure(
                Status.USAGE, f"{where} has a key {key}; there are: reason when tests"
            )
    if not isinstance(record.get("tests"), list) or not record["tests"]:
        raise Failure(Status.USAGE, f"{where} has no list of tests")
    return Rule(
        record["reason"],
        _when(where, record.get("when", {})),
        [_pattern(where, text) for text in record["tests"]],
    )


def parse(where: str, content: bytes) -> list[Rule]:
    """Reads rules."""
    try:
        table = tomllib.loads(content.decode())
    except ValueError as error:
        raise Failure(Status.USAGE, f"{where}: {error}") from error
    if list(table) != ["skip"] or not isinstance(table["skip"], list):
        raise Failure(Status.USAGE, f"{where} has to have records [[skip]], and no more")
    return [_rule(where, record) for record in table["skip"]]


def read() -> list[Rule]:
    """Reads the rules of all runs."""
    return parse(str(FILE), FILE.read_bytes())


def of(facts: Facts) -> Skips:
    """Returns what a run has to skip."""
    return Skips([rule for rule in read() if rule.holds(facts)])
