# SPDX-License-Identifier: GPL-2.0-only
"""What calls cost, counted in instructions: our driver beside the stock one."""

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaigns import arguments, suite
from lab import (
    arch,
    build,
    cpio,
    fetch,
    host,
    image as images,
    machine,
    programs,
    stock,
    versions,
)
from lab.failure import Failure, Status

PROGRAM = "/opt/xen-selftests/bench"
EVENTFDS = "/opt/xen-selftests/bench_eventfd"
# Two boots of one driver may differ by as much. On PVH, Xen intercepts what reads the clock of
# the emulated processor, which IRQFD does twice.
SAME_ROUND_TRIP = 1.01
CLOCK_ON_PVH = 0.06
WITHOUT_EVENTFDS = "dm_op_evtchn_whole"
WITH_EVENTFDS = ("irqfd_evtchn_whole", "dm_op_ioeventfd_whole", "irqfd_ioeventfd_whole")
MEMORY = "/opt/xen-selftests/bench_memory"
# Makes the bare hypercalls that map frames; no test needs it.
FRAMES_MODULE = "test_xen_frames"
DRIVERS = ("stock", "ours")
RESULT = host.BUILD / "bench.json"
PLOT = host.BUILD / "bench"
DOCUMENT = host.REPO / "Documentation/bench"
# Gnuplot's terminal for the manual.
PICTURE = "svg size 800,500 background 'white'"


# The cost by operation; the reason, where an operation could not be measured.
Record = Mapping[str, int | str]

# As many frames has the largest mapping whose memory is measured.
MANY_FRAMES = 1024

# What a process pays from its first large mapping on, whose end takes a fraction.
PRICE = "munmap_1_after_large"

# What the stock driver does not have; the latter two on a file with limits.
NEW = "dm_nr_vcpus"
LIMITED_NEW = "limited_dm_nr_vcpus"
LIMITED_DM_OP = "limited_dm_op_nr_vcpus"

# An unknown command and the hypercall alone: less no command can cost that makes one.
FLOOR = ("ioctl_unknown", "kernel_dm_op")
ASKING = (NEW, LIMITED_NEW, "dm_op_nr_vcpus", LIMITED_DM_OP)
NOT_OF_STOCK = (NEW, LIMITED_NEW, LIMITED_DM_OP)

# So begin the names of bare hypercalls that map frames: the driver has no part in them.
BARE = ("kernel_mmapbatch", "kernel_munmap")

# Against the stock driver's other ways to the same answer.
OTHER_WAYS = {"xendevicemodel_nr_vcpus": 0.40, "xc_domain_getinfo": 0.70}


def _to_limit(raw: float, most_frames: int) -> Mapping[str, float]:
    """Returns the goals against the limit: that of a raw DM_OP, and of so many frames."""
    mappings = (f"{what}_{n}" for n in (1024, most_frames) for what in ("mmapbatch_v2", "munmap"))
    return {NEW: 1.05, LIMITED_NEW: 1.08, "dm_op_nr_vcpus": raw, **dict.fromkeys(mappings, 1.10)}


TO_LIMIT: Mapping[str, Mapping[str, float]] = {
    "amd64": _to_limit(1.25, 262144),
    "amd64-pvh": _to_limit(1.25, 16384),
    "arm64": _to_limit(1.20, 16384),
}

# Against the stock driver; of others 1.00.  The table of commands takes a few
# instructions more than a switch, and a file has more to set up.  DM_OP copies what the
# kernel's driver pins: Xen works on nothing that another thread can change.  RESTRICT
# holds the domain, for which there is no other driver's price.
TO_STOCK: Mapping[str, Mapping[str, float]] = {
    "amd64": {
        "open_close": 1.02,
        "hypercall_xen_version": 1.02,
        "xc_domain_getinfo": 1.02,
        "dm_op_nr_vcpus": 0.60,
        "dm_op_4k": 1.02,
        "dm_op_64k": 1.03,
        "mmapbatch_v2_1024": 0.75,
        PRICE: 1.02,
    },
}

# What the program measured as the limit of an operation has its name behind this.
LIMIT = "limit_"


def _ratio(cost: int | None, other: int | None) -> float | None:
    return None if cost is None or not other else cost / other


@dataclass(frozen=True)
class Row:
    """An operation in the table; a driver without it has no cost."""

    name: str
    stock: int | None
    ours: int | None
    # The least that it can cost, where that is known.
    limit: int | None = None

    @property
    def ratio(self) -> float | None:
        """Ours against stock."""
        return _ratio(self.ours, self.stock)

    @property
    def to_limit(self) -> float | None:
        """Ours against the limit."""
        return _ratio(self.ours, self.limit)


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
        met = "met" if self.met else "NOT MET"
        return f"{met:<8} {value:>5} (at most {self.limit:.2f})  {self.what}"


def parse(text: str) -> Record:
    """Reads what the program printed."""
    record: dict[str, int | str] = {}
    for line in text.splitlines():
        name, *words = line.split()
        if words[:1] == ["-"]:
            record[name] = " ".join(words[1:])
        elif len(words) == 1 and words[0].isdigit():
            record[name] = int(words[0])
        else:
            raise Failure(Status.COMMAND, f"not a line of the benchmark: {line}")
    if not record:
        raise Failure(Status.COMMAND, "the benchmark printed nothing")
    return record


def _cost(records: Sequence[Record], name: str) -> int | None:
    """The least that was ever counted: what comes in between only adds."""
    costs = (record.get(name) for record in records)
    return min((cost for cost in costs if isinstance(cost, int)), default=None)


def _limit(
    stock: Sequence[Record], ours: Sequence[Record], name: str
) -> int | None:
    """The least that an operation can cost; the driver has no part in it."""
    if name not in ASKING:
        return _cost((*stock, *ours), LIMIT + name)
    floor = [cost for cost in (_cost(stock, part) for part in FLOOR) if cost is not None]
    return sum(floor) if len(floor) == len(FLOOR) else None


def table(stock: Sequence[Record], ours: Sequence[Record]) -> list[Row]:
    """Puts the runs of both drivers side by side, and beside the limits."""
    names = dict.fromkeys(name for record in (*stock, *ours) for name in record)
    return [
        Row(name, _cost(stock, name), _cost(ours, name), _limit(stock, ours, name))
        for name in names
        if not name.startswith(LIMIT)
    ]


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
        costs = [record.get(name) for record in runs]
        if len(set(costs)) > 1:
            lines.append(f"{name}: {', '.join(map(str, costs))}")
    return lines


def goals(rows: Sequence[Row], platform: str) -> list[Goal]:
    """Compares costs with what the driver is meant to reach, where that was decided."""
    by_name = {row.name: row for row in rows}

    def row(name: str) -> Row:
        return by_name.get(name, Row(name, None, None))

    to_limit = [
        Goal(f"{name}, against its limit", row(name).to_limit, most)
        for name, most in TO_LIMIT[platform].items()
    ]
    if platform not in TO_STOCK:
        return to_limit

    against = TO_STOCK[platform]
    return [
        *(
            Goal(f"{NEW}, against stock's {other}", _ratio(row(NEW).ours, row(other).stock), most)
            for other, most in OTHER_WAYS.items()
        ),
        Goal(
            f"{LIMITED_DM_OP}, against dm_op_nr_vcpus",
            _ratio(row(LIMITED_DM_OP).ours, row("dm_op_nr_vcpus").ours),
            1.05,
        ),
        *to_limit,
        *(
            Goal(f"{row.name}, against stock's", row.ratio, against.get(row.name, 1.00))
            for row in rows
            if row.name not in (*NOT_OF_STOCK, "restrict")
            and not row.name.startswith(BARE)
        ),
    ]


def eventfd_goals(rows: Sequence[Row], pvh: bool) -> list[Goal]:
    """Says what eventfds may cost: no more than stock's, nor than to do without them."""

    def most(name: str, limit: float) -> float:
        return limit + CLOCK_ON_PVH if pvh and name.startswith("irqfd") else limit

    by_name = {row.name: row for row in rows}
    without = by_name[WITHOUT_EVENTFDS]
    return [
        *(
            Goal(f"{row.name}, against stock's", row.ratio, most(row.name, SAME_ROUND_TRIP))
            for row in rows
            if row.stock is not None
        ),
        *(
            Goal(
                f"{name}, against {without.name}",
                _ratio(by_name[name].ours, without.ours),
                most(name, 1.00),
            )
            for name in WITH_EVENTFDS
        ),
    ]


def _cells(cost: int | None, ratio: float | None) -> str:
    number = "-" if cost is None else str(cost)
    return f"{number:>11} {'-' if ratio is None else f'{ratio:.2f}':>6}"


def show(rows: Sequence[Row]) -> list[str]:
    """Returns the table's lines; each ratio is ours against what stands before it."""
    width = max(len(row.name) for row in rows)
    head = f"{'operation':<{width}} {'ours':>11} {'stock':>11} {'ratio':>6}"
    lines = [f"{head} {'limit':>11} {'ratio':>6}"]
    for row in rows:
        ours = "-" if row.ours is None else str(row.ours)
        stock = _cells(row.stock, row.ratio)
        lines.append(f"{row.name:<{width}} {ours:>11} {stock} {_cells(row.limit, row.to_limit)}")
    return lines


def growth(
    rows: Sequence[Row], what: str
) -> list[tuple[int, float | None, float | None]]:
    """Returns what each frame costs, by the number of frames in one request."""
    found = []
    for row in rows:
        match = re.fullmatch(rf"{what}_(\d+)", row.name)
        if match:
            frames = int(match[1])
            stock, ours = (
                None if cost is None else cost / frames for cost in (row.stock, row.ours)
            )
            found.append((frames, stock, ours))
    return sorted(found)


@dataclass(frozen=True)
class Memory:
    """What a call takes of it, in bytes: for longer, and at most at a time."""

    held: int
    most: int

    def __str__(self) -> str:
        return f"{self.held}/{self.most}"


def parse_memory(text: str) -> dict[str, Memory | str]:
    """Reads what the program printed about memory."""
    record: dict[str, Memory | str] = {}
    for line in text.splitlines():
        name, *words = line.split()
        if words[:1] == ["-"]:
            record[name] = " ".join(words[1:])
        elif len(words) == 2 and all(word.isdigit() for word in words):
            record[name] = Memory(*map(int, words))
        else:
            raise Failure(Status.COMMAND, f"not a line of the benchmark: {line}")
    return record


def per_frame(record: Mapping[str, Memory | str]) -> dict[str, Memory]:
    """Returns what another frame of a large mapping takes, on average."""
    names = [f"mmapbatch_v2_{frames}" for frames in (1, MANY_FRAMES)]
    one, many = (record.get(name) for name in names)
    if not isinstance(one, Memory) or not isinstance(many, Memory):
        return {}
    more = MANY_FRAMES - 1
    each = Memory(round((many.held - one.held) / more), round((many.most - one.most) / more))
    return {"each further frame": each}


def show_memory(
    stock: Mapping[str, Memory | str], ours: Mapping[str, Memory | str]
) -> list[str]:
    """Returns the lines of the table of memory."""
    stock, ours = (dict(record, **per_frame(record)) for record in (stock, ours))
    width = max(len(name) for name in ours)
    lines = [f"{'bytes held/at most':<{width}} {'stock':>17} {'ours':>17}"]
    for name in ours:
        lines.append(f"{name:<{width}} {stock[name]!s:>17} {ours[name]!s:>17}")
    return lines


# The curves' titles; what the machine itself makes of processes is for comparison.
_LOADS = {"separate": "separate files", "same": "same file", "getppid": "getppid"}

# Calls per second, by what is called and the number of processes.
Throughput = Mapping[str, Mapping[int, float]]


def parse_throughput(text: str) -> Throughput:
    """Reads what the program printed about processes at the same time."""
    rates: dict[str, dict[int, float]] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(separate|same|getppid)_(\d+) (\d+)", line)
        if match is None:
            raise Failure(Status.COMMAND, f"not a line of the benchmark: {line}")
        rates.setdefault(match[1], {})[int(match[2])] = float(match[3])
    return rates


def _growth_plot(rows: Sequence[Row]) -> list[str]:
    """Returns the lines of the plot of costs per frame."""
    lines = []
    for what in ("mmapbatch_v2", "munmap"):
        lines.append(f"${what} << EOD")
        for frames, *costs in growth(rows, what):
            cells = ("?" if cost is None else f"{cost:.1f}" for cost in costs)
            lines.append(f"{frames} {' '.join(cells)}")
        lines.append("EOD")
    return [
        *lines,
        "set datafile missing '?'",
        "set title 'Instructions per frame, by frames in one request'",
        "set logscale x 4; set logscale y; set rmargin 6",
        "set xlabel 'frames'",
        "plot "
        + ", ".join(
            f"${what} using 1:{column} with linespoints title '{what} {driver}' noenhanced"
            for what in ("mmapbatch_v2", "munmap")
            for column, driver in enumerate(DRIVERS, start=2)
        ),
    ]


def _rates_plot(rates: Throughput) -> list[str]:
    """Returns the lines of the plot of processes at the same time."""
    lines = []
    for how, by_processes in rates.items():
        lines.append(f"${how} << EOD")
        for processes, rate in by_processes.items():
            lines.append(f"{processes} {rate / by_processes[1]:.3f}")
        lines.append("EOD")
    return [
        *lines,
        "unset logscale; set xrange [0.5:4.5]; set yrange [0:*]; set xtics 1",
        "set xlabel 'processes'; set key bottom",
        "set title 'DM_NR_VCPUS a second, against one process; 2 processors' noenhanced",
        "plot "
        + ", ".join(
            f"${how} using 1:2 with linespoints title '{_LOADS[how]}'"
            for how in rates
        ),
    ]


def gnuplot(terminal: str, output: Path, *plots: Sequence[str]) -> str:
    """Returns the script that draws plots, one below the other."""
    lines = [
        f"set terminal {terminal}",
        f"set output '{output}'",
        f"set multiplot layout {len(plots)},1",
        *(line for plot in plots for line in plot),
        "unset multiplot",
    ]
    return "\n".join(lines) + "\n"


def draw(terminal: str, output: Path, *plots: Sequence[str]) -> None:
    """Has gnuplot draw plots into a file."""
    script = PLOT.with_suffix(".gnuplot")
    script.write_text(gnuplot(terminal, output, *plots), encoding="utf-8")
    host.command("drawing the plots", [host.tool("gnuplot"), str(script)])


@dataclass(frozen=True)
class Lab:
    """What all boots of one benchmark share, so that all measure the same."""

    trees: fetch.Trees
    built: build.Built
    selftests: Path
    image: images.Image

    def boot(self, options: machine.Options, command: str) -> str:
        """Runs a command in dom0; returns what it printed."""
        files = cpio.Archive()
        suite.put(files, self.selftests, self.built)
        frames = self.built.file(FRAMES_MODULE)
        files.copy(f"{programs.DIRECTORY}/{frames.name}", frames)
        output = bytearray()
        verdict = machine.boot(
            options,
            self.image,
            machine.Load(suite.modules(options.driver, self.trees, self.built), files),
            command,
            output.extend,
            "bench",
        )
        text = output.decode("utf-8", errors="replace")
        if verdict.status is Status.COMMAND:
            raise Failure(Status.COMMAND, text.strip().rpartition("\n")[2])
        if verdict.status is not Status.GOOD:
            raise verdict.failure()
        return text

    def measure(
        self, options: machine.Options, stock_driver: str, runs: int, command: str
    ) -> dict[str, list[Record]]:
        """Counts what calls cost with each driver, in several boots."""
        records: dict[str, list[Record]] = {driver: [] for driver in DRIVERS}
        for number in range(runs):
            for driver in DRIVERS:
                host.say(f"{driver}: run {number + 1} of {runs}")
                loaded = stock_driver if driver == "stock" else driver
                boot = replace(options, driver=loaded, counted=_counts(options))
                records[driver].append(parse(self.boot(boot, command)))
        return records

    def memory(self, options: machine.Options) -> dict[str, Memory | str]:
        """Looks at what memory calls take with one driver."""
        return parse_memory(self.boot(options, MEMORY))


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 4)


def _write(rows: Sequence[Row]) -> None:
    operations = [
        {
            "name": row.name,
            "stock": row.stock,
            "ours": row.ours,
            "ratio": _rounded(row.ratio),
            "limit": row.limit,
            "to_limit": _rounded(row.to_limit),
        }
        for row in rows
    ]
    text = json.dumps({"operations": operations}, indent=1) + "\n"
    RESULT.write_text(text, encoding="utf-8")


def document(lines: Sequence[str], machine_text: str) -> str:
    """Returns the tables as the documentation includes them."""
    text = [
        ".. SPDX-License-Identifier: GPL-2.0-only",
        "",
        ".. Written by xenlab.py with --document; not to be changed by hand.",
        "",
        machine_text,
        "",
        "::",
        "",
        *(f"    {line}".rstrip() for line in lines),
    ]
    return "\n".join(text) + "\n"


def _describe(lab: Lab, options: machine.Options) -> str:
    xen = fetch.hypervisor(lab.trees).name
    version = re.sub(r"^xen-|-[a-z0-9]+(\.gz)?$", "", xen)
    return (
        f"Measured on {time.strftime('%Y-%m-%d')}: {lab.trees.arch.name}, Linux "
        f"{lab.image.version} as {'PVH ' * options.pvh}dom0, Xen {version}, one "
        "processor of QEMU."
    )


def _counts(options: machine.Options) -> bool:
    """Says whether the machine counts instructions; if not, it measures time."""
    return options.accel != "kvm"


def make_lab(options: machine.Options) -> Lab:
    """Builds what the boots of one benchmark share."""
    trees = versions.trees(options)
    return Lab(trees, build.modules(trees), build.selftests(trees), images.make(trees))


def remarks(records: Mapping[str, Sequence[Record]], runs: int) -> list[str]:
    """Returns the lines below the table."""
    lines = [
        f"left out: {driver} {line}"
        for driver in DRIVERS
        for line in left_out(records[driver])
    ]
    differing = [
        f"not the same in all runs: {driver} {line}"
        for driver in DRIVERS
        for line in unequal(records[driver])
    ]
    same = [f"all numbers were the same in {runs} runs"] * (runs > 1)
    return lines + (differing or same)


def _platform(options: machine.Options) -> str:
    return f"{options.arch.name}{'-pvh' * options.pvh}"


def document_path(options: machine.Options, suffix: str) -> Path:
    """Returns where the manual has what was measured on a platform."""
    return host.directory(DOCUMENT) / f"{_platform(options)}{suffix}"


def write_document(
    lab: Lab, options: machine.Options, what: str, lines: Sequence[str]
) -> None:
    """Puts lines into the manual."""
    text = document(lines, _describe(lab, options))
    document_path(options, f"{what}.inc").write_text(text, encoding="utf-8")


def eventfds(
    options: machine.Options, runs: int, documented: bool, say: Callable[[str], None]
) -> bool:
    """Measures what eventfds cost, beside the stock driver that has them; are goals met?"""
    options = replace(options, linux=stock.VERSION)
    lab = make_lab(options)
    records = lab.measure(options, stock.EVENTFDS, runs, EVENTFDS)
    rows = table(records["stock"], records["ours"])
    results = eventfd_goals(rows, options.pvh)
    lines = [*show(rows), "", *remarks(records, runs), "", *map(str, results)]
    for line in lines:
        say(line)
    if documented:
        write_document(lab, options, "-eventfds", lines)
    return all(goal.met for goal in results) or not _counts(options)


def run(
    options: machine.Options, runs: int, documented: bool, say: Callable[[str], None]
) -> bool:
    """Measures both drivers; returns whether all goals are met."""
    host.tool("gnuplot")
    lab = make_lab(options)
    host.directory(RESULT.parent)
    # The stock driver does not need the module, but the test module does.
    command = f"modprobe xen-dm-op && {PROGRAM}"
    records = lab.measure(options, stock.DEBIANS, runs, command)
    rows = table(records["stock"], records["ours"])
    _write(rows)
    memory = [lab.memory(replace(options, driver=driver)) for driver in DRIVERS]
    results = goals(rows, _platform(options))
    lines = [*show(rows), "", *remarks(records, runs), "", *show_memory(*memory)]
    for line in lines:
        say(line)
    if documented:
        write_document(lab, options, "", [*lines, "", *map(str, results)])
        draw(PICTURE, document_path(options, ".svg"), _growth_plot(rows))
    host.say("how many requests processes make at the same time")
    command = f"{PROGRAM} throughput"
    rates = parse_throughput(lab.boot(replace(options, driver="ours"), command))
    plots = (_growth_plot(rows), _rates_plot(rates))
    draw("pngcairo size 900,1200", PLOT.with_suffix(".png"), *plots)
    draw("dumb size 100,60 nofeed", PLOT.with_suffix(".txt"), *plots)
    say(f"table: {RESULT}; plots: {PLOT}.png, {PLOT}.txt")
    for goal in results:
        say(str(goal))
    return all(goal.met for goal in results) or not _counts(options)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Adds what tells how often to boot."""
    parser.add_argument(
        "--runs",
        type=int,
        choices=range(1, 10),
        default=2,
        metavar="N",
        help="boots of each driver, whose numbers must agree (2)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_arch(parser)
    arguments.add_xen(parser)
    arguments.add_pvh(parser)
    parser.add_argument(
        "--accel",
        choices=("tcg", "kvm"),
        default="tcg",
        help="tcg counts instructions; kvm measures time on a real processor, which needs "
        "nested virtualisation, and fails no goal",
    )
    add_runs(parser)
    parser.add_argument(
        "--eventfds",
        action="store_true",
        help=f"count what an interrupt and a doorbell cost, on Linux {stock.VERSION}",
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="put the table and the plot into Documentation/bench",
    )
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=600,
        metavar="SECONDS",
        help="time limit of each boot from power-on (600)",
    )


def _options(args: argparse.Namespace) -> machine.Options:
    return machine.Options(
        arch=arch.ALL[args.arch],
        accel=args.accel,
        timeout=args.timeout,
        xen=args.xen,
        pvh=args.pvh,
    )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    options = _options(args)
    arguments.look([options])
    if args.eventfds and options.arch is not arch.AMD64:
        raise Failure(
            Status.USAGE,
            f"--eventfds does not go with --arch {args.arch}, for which there is no guest: "
            "leave one of them out",
        )
    if args.document and not _counts(options):
        raise Failure(
            Status.USAGE,
            f"--document does not go with --accel {args.accel}: the manual's tables count "
            "instructions",
        )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = _options(args)
    measure = eventfds if args.eventfds else run
    met = measure(
        options, args.runs, args.document, lambda line: print(line, flush=True)
    )
    return Status.GOOD if met else Status.COMMAND
