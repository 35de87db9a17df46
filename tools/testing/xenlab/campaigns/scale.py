# SPDX-License-Identifier: GPL-2.0-only
"""What grows with the number of domains, files and doorbells: counted on our driver."""

import argparse
import re
from collections.abc import Mapping, Sequence

from campaigns import arguments, bench
from lab import host, machine, stock
from lab.failure import Status

PROGRAM = "/opt/xen-selftests/bench_scale"
PICTURE = "-scale.svg"

# What an operation may cost with the most of them, against what it costs with the fewest.
FLAT = 1.05
# A doorbell is not to have an eventfd that another one of the file has: all are looked at.
SEARCHED = {"ioeventfd_last_of_doorbells": 1.25}

# By operation: its cost by how many there are.
Series = Mapping[str, Mapping[int, int]]


def series(records: Sequence[bench.Record]) -> Series:
    """Returns what was counted: of several boots the least."""
    found: dict[str, dict[int, int]] = {}
    for name in records[0]:
        what, _, number = name.rpartition("_")
        costs = [cost for record in records if isinstance(cost := record.get(name), int)]
        if costs and re.fullmatch(r"\d+", number):
            found.setdefault(what, {})[int(number)] = min(costs)
    return found


def goals(found: Series) -> list[bench.Goal]:
    """Says of each operation whether its cost is the same for many and few."""
    return [
        bench.Goal(
            f"{what}: {max(costs)} against {min(costs)}",
            most / fewest,
            SEARCHED.get(what, FLAT),
        )
        for what, costs in found.items()
        for fewest, most in [(costs[min(costs)], costs[max(costs)])]
    ]


def show(found: Series) -> list[str]:
    """Returns a line for each operation, with a cost for each number."""
    width = max(len(what) for what in found)
    return [
        f"{what:<{width}}  " + "  ".join(f"{n}: {cost}" for n, cost in sorted(costs.items()))
        for what, costs in found.items()
    ]


def plot(found: Series) -> list[str]:
    """Returns the lines of the plot: each cost against that with the fewest."""
    lines = []
    for number, costs in enumerate(found.values()):
        lines.append(f"$series{number} << EOD")
        lines += [f"{n} {cost / costs[min(costs)]:.4f}" for n, cost in sorted(costs.items())]
        lines.append("EOD")
    curves = ", ".join(
        f"$series{number} using 1:2 with linespoints title '{what}' noenhanced"
        for number, what in enumerate(found)
    )
    return [
        *lines,
        "set title 'Instructions, against those with the fewest'",
        "set logscale x 10; set yrange [0:*]; set key outside bottom; set rmargin 6",
        "set xlabel 'domains, or doorbells'",
        f"plot {curves}",
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    bench.add_runs(parser)
    parser.add_argument(
        "--document",
        action="store_true",
        help="put the table and the plot into Documentation/bench",
    )
    arguments.add_timeout(parser, 1200)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    host.tool("gnuplot")
    options = machine.Options(timeout=args.timeout, linux=stock.VERSION, counted=True)
    lab = bench.make_lab(options)
    records = []
    for number in range(args.runs):
        host.say(f"run {number + 1} of {args.runs}")
        records.append(bench.parse(lab.boot(options, f"modprobe xen-dm-op && {PROGRAM}")))
    found = series(records)
    results = goals(found)
    lines = [*show(found), "", *map(str, results)]
    for line in lines:
        print(line, flush=True)
    if args.document:
        bench.write_document(lab, options, "-scale", lines)
        bench.draw(bench.PICTURE, bench.document_path(options, PICTURE), plot(found))
    return Status.GOOD if all(goal.met for goal in results) else Status.COMMAND
