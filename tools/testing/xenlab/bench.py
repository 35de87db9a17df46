# SPDX-License-Identifier: GPL-2.0-only
"""What calls cost, counted in instructions: our driver beside the stock one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import build
import cpio
import fetch
import host
import image as images
import machine
import suite
from failure import Failure, Status

PROGRAM = "/opt/xen-selftests/bench"
DRIVERS = ("stock", "ours")
RESULT = host.BUILD / "bench.json"


@dataclass(frozen=True)
class Figure:
    """The cost of one call: of many measured, these came out."""

    minimum: int
    p10: int
    p50: int
    p90: int


# By operation; the reason, where an operation could not be measured.
Record = Mapping[str, Figure | str]


@dataclass(frozen=True)
class Row:
    """An operation in the table; a driver without it has no cost."""

    name: str
    stock: int | None
    ours: int | None

    @property
    def ratio(self) -> float | None:
        """Ours against stock."""
        if not self.stock or self.ours is None:
            return None
        return self.ours / self.stock


@dataclass(frozen=True)
class Goal:
    """A limit that a ratio must keep."""

    what: str
    value: float | None
    limit: float

    @property
    def met(self) -> bool:
        """To two decimals."""
        return self.value is not None and round(self.value, 2) <= self.limit

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.2f}"
        return f"{'met' if self.met else 'NOT MET':<8} {value:>5} (at most {self.limit:.2f})  {self.what}"


def parse(text: str) -> Record:
    """Reads what the program printed."""
    record: dict[str, Figure | str] = {}
    for line in text.splitlines():
        name, *words = line.split()
        if words[:1] == ["-"]:
            record[name] = " ".join(words[1:])
        elif len(words) == 4 and all(word.isdigit() for word in words):
            record[name] = Figure(*map(int, words))
        else:
            raise Failure(Status.COMMAND, f"not a line of the benchmark: {line}")
    if not record:
        raise Failure(Status.COMMAND, "the benchmark printed nothing")
    return record


def _cost(records: Sequence[Record], name: str) -> int | None:
    """The least of several runs' medians: what came in between only adds."""
    figures = [record.get(name) for record in records]
    return min((item.p50 for item in figures if isinstance(item, Figure)), default=None)


def table(stock: Sequence[Record], ours: Sequence[Record]) -> list[Row]:
    """Puts the runs of both drivers side by side."""
    names = list(dict.fromkeys(name for record in (*stock, *ours) for name in record))
    return [Row(name, _cost(stock, name), _cost(ours, name)) for name in names]


def left_out(runs: Sequence[Record]) -> list[str]:
    """Names each operation that could not be measured, and says why."""
    return [
        f"{name}: {reason}"
        for name, reason in runs[0].items()
        if isinstance(reason, str)
    ]


def unequal(runs: Sequence[Record]) -> list[str]:
    """Names each operation whose cost was not the same in all runs."""
    lines = []
    for name in runs[0]:
        results = [record.get(name) for record in runs]
        costs = [item.p50 if isinstance(item, Figure) else item for item in results]
        if len(set(costs)) > 1:
            lines.append(f"{name}: {', '.join(map(str, costs))}")
    return lines


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Compares costs with what the driver is meant to reach (amd64, PV dom0)."""
    by_name = {row.name: row for row in rows}

    def stock(name: str) -> int | None:
        return by_name[name].stock if name in by_name else None

    def against(*names: str) -> float | None:
        parts = [stock(name) for name in names]
        typed = by_name["dm_nr_vcpus"].ours if "dm_nr_vcpus" in by_name else None
        known = [part for part in parts if part]
        if typed is None or len(known) < len(parts):
            return None
        return typed / sum(known)

    special = {"dm_op_nr_vcpus": 0.60, "mmapbatch_v2_1024": 0.85}
    return [
        Goal(
            "dm_nr_vcpus, against stock's xendevicemodel_nr_vcpus",
            against("xendevicemodel_nr_vcpus"),
            0.40,
        ),
        Goal(
            "dm_nr_vcpus, against stock's ioctl_unknown and kernel_dm_op together",
            against("ioctl_unknown", "kernel_dm_op"),
            1.05,
        ),
        Goal(
            "dm_nr_vcpus, against stock's xc_domain_getinfo",
            against("xc_domain_getinfo"),
            0.70,
        ),
        *(
            Goal(f"{row.name}, against stock's", row.ratio, special.get(row.name, 1.00))
            for row in rows
            if row.stock is not None
        ),
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def show(rows: Sequence[Row]) -> list[str]:
    """Returns the table's lines."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'operation':<{width}} {'stock':>11} {'ours':>11} {'ratio':>6}"]
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            f"{row.name:<{width}} {_number(row.stock):>11} {_number(row.ours):>11} {ratio:>6}"
        )
    return lines


def _measure(options: machine.Options) -> Record:
    """Measures one driver, in one boot."""
    trees = fetch.trees(options.arch)
    built = build.modules(trees)
    files = cpio.Archive()
    suite.put(files, build.selftests(trees), built)
    output = bytearray()
    verdict = machine.boot(
        options,
        images.make(trees),
        machine.Load(suite.modules(options.driver, built), files),
        # The stock driver does not need it, but the test module does.
        f"modprobe xen-dm-op && {PROGRAM}",
        output.extend,
        "bench",
    )
    text = output.decode("utf-8", errors="replace")
    if verdict.status is Status.COMMAND:
        raise Failure(Status.COMMAND, text.strip().rpartition("\n")[2])
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    return parse(text)


def _write(rows: Sequence[Row]) -> None:
    operations = [
        {
            "name": row.name,
            "stock": row.stock,
            "ours": row.ours,
            "ratio": None if row.ratio is None else round(row.ratio, 4),
        }
        for row in rows
    ]
    host.directory(RESULT.parent)
    RESULT.write_text(json.dumps({"operations": operations}, indent=1) + "\n", encoding="utf-8")


def run(options: machine.Options, runs: int, say: Callable[[str], None]) -> bool:
    """Measures both drivers; returns whether all goals are met."""
    records: dict[str, list[Record]] = {driver: [] for driver in DRIVERS}
    for number in range(runs):
        for driver in DRIVERS:
            host.say(f"{driver}: run {number + 1} of {runs}")
            records[driver].append(
                _measure(replace(options, driver=driver, counted=True))
            )
    rows = table(records["stock"], records["ours"])
    _write(rows)
    for line in show(rows):
        say(line)
    for driver in DRIVERS:
        for line in left_out(records[driver]):
            say(f"left out: {driver} {line}")
        for line in unequal(records[driver]):
            say(f"not the same in {runs} runs: {driver} {line}")
    say(f"the same is in {RESULT}")
    if options.arch.name != "amd64":
        return True
    results = goals(rows)
    for goal in results:
        say(str(goal))
    return all(goal.met for goal in results)
