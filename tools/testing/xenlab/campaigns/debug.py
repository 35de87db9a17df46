# SPDX-License-Identifier: GPL-2.0-only
"""Tests on kernels that look for defects themselves, with lockdep, KASAN and others."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from campaigns import arguments, outcome, suite
from lab import build, cpio, host, hypervisor, kernel, ktap, machine, versions
from lab.arch import Architecture
from lab.failure import Failure, Status

CONFIGS = host.DATA

# In MiB: KASAN takes an eighth, and each allocation takes more than elsewhere.
MEMORY = 1536

# A kernel that can poison free pages does so only when it is told to.
POISON = "page_poison=1"
# By architecture. Without it a PV kernel reads registers of the processor that Xen
# hides, and its report of that would count as a splat.
KERNEL_OPTIONS = {"amd64": "xen_msr_safe=1", "arm64": ""}

FAIL_NTH = "fail_nth"
RANDOM = "random"
# Ends each boot.
LEAKS = "leaks"

# Seconds that a program may take beyond what it was told to take. This ends what hangs.
SLACK = 1500


@dataclass(frozen=True)
class Choice:
    """What a person may choose about the random run."""

    seconds: int = 600
    threads: int = 2
    seed: int | None = None


def fragments(arch: Architecture) -> list[str]:
    """Returns the settings of an architecture's kernel."""
    own = CONFIGS / f"debug-{arch.name}.config"
    paths = (CONFIGS / "debug.config", *([own] if own.is_file() else []))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [*kernel.dom0_fragments(arch), *texts]


def wanted_kernel(arch: Architecture) -> kernel.Wanted:
    """Returns the kernel of an architecture."""
    return kernel.Wanted("debug", "\n".join(fragments(arch)), arch)


def _random(choice: Choice) -> str:
    words = [RANDOM, "--seconds", str(choice.seconds), "--threads", str(choice.threads)]
    if choice.seed is not None:
        words += ["--seed", str(choice.seed)]
    return " ".join(words)


def boots(tests: Sequence[str], wanted: Sequence[str], choice: Choice) -> list[list[str]]:
    """Returns the programs of each boot, with what they are told."""
    for name in wanted:
        if name not in (*tests, FAIL_NTH, RANDOM):
            raise Failure(
                Status.USAGE,
                f"there is no test program {name}; there are: "
                f"{' '.join([*tests, FAIL_NTH, RANDOM])}",
            )
    chosen = wanted or (*tests, FAIL_NTH, RANDOM)
    found = [
        [name for name in tests if name in chosen],
        [FAIL_NTH] if FAIL_NTH in chosen else [],
        [_random(choice)] if RANDOM in chosen else [],
    ]
    return [[*names, LEAKS] for names in found if names]


def machines(each: Sequence[machine.Options]) -> list[machine.Options]:
    """Returns options for each kind of dom0, of several architectures or of one.

    Where PVH is chosen, what has no such dom0 is left out of several.
    """
    if len(each) == 1:
        return list(each)
    with_pvh = [item for item in each if item.arch.pvh_options]
    if any(item.pvh for item in each):
        return with_pvh
    return [*each, *(replace(item, pvh=True) for item in with_pvh)]


def fit(options: machine.Options) -> machine.Options:
    """Returns options for a machine with such a kernel."""
    words = (POISON, KERNEL_OPTIONS[options.arch.name], options.append)
    return replace(
        options,
        driver="ours",
        xen=hypervisor.VERSION,
        memory=MEMORY,
        append=" ".join(filter(None, words)),
    )


def _run_on(
    options: machine.Options, wanted: Sequence[str], choice: Choice
) -> Iterator[suite.Tested]:
    """Runs the tests, and what only this kernel can do, boot by boot."""
    options = fit(options)
    trees = versions.trees(options, kernel.tree(wanted_kernel(options.arch)))
    built = build.modules(trees)
    directory = build.selftests(trees)
    expected = suite.expected_skips(options, trees)
    limit = max(SLACK, choice.seconds + SLACK)
    print(f"debug kernel on {suite.platform(options, trees)}:", flush=True)
    for names in boots(suite.names(directory), wanted, choice):
        files = cpio.Archive()
        suite.put(files, directory, built)
        load = machine.Load(built.modules(), files)
        yield suite.run_programs(options, trees, load, names, expected, limit)


def run(
    machines: Sequence[machine.Options], wanted: Sequence[str], choice: Choice
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the tests on each machine."""
    total = ktap.Counts()
    failures = []
    for options in machines:
        for counts, failure, _ in _run_on(options, wanted, choice):
            total += counts
            if failure is not None:
                failures.append(failure)
    return total, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_arch(parser, arguments.BOTH)
    parser.set_defaults(
        driver="ours",
        accel="tcg",
        kernel=None,
        xen="",
        cpu="",
        pages="",
        xen_append="",
        log=None,
    )
    arguments.add_pvh(parser)
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=3600,
        metavar="SECONDS",
        help="time limit of each of its machines from power-on (3600)",
    )
    parser.add_argument(
        "--append", default="", metavar="STRING", help="more options for dom0's kernel"
    )
    parser.add_argument(
        "--seconds",
        type=arguments.count,
        default=600,
        metavar="N",
        help="how long the random run takes (600)",
    )
    parser.add_argument(
        "--threads",
        type=arguments.count,
        default=2,
        metavar="N",
        help="threads of each of its processes (2)",
    )
    parser.add_argument(
        "--seed", type=arguments.count, metavar="N", help="its seed (default: a new one)"
    )
    parser.add_argument(
        "program",
        nargs="*",
        help="test programs, fail_nth, random (default: all)",
    )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look(machines(arguments.each_arch(args)))
    suite.refuse_unknown(args.program, (FAIL_NTH, RANDOM))


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    choice = Choice(args.seconds, args.threads, args.seed)
    return outcome.close(*run(machines(arguments.each_arch(args)), args.program, choice))
