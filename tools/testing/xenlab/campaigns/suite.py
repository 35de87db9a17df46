# SPDX-License-Identifier: GPL-2.0-only
"""The selftests: built, run in dom0, judged."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from campaigns import arguments, outcome
from lab import (
    build,
    cpio,
    fetch,
    host,
    image as images,
    kmod,
    ktap,
    machine,
    programs,
    ran,
    skips,
    stock,
    versions,
)
from lab.failure import Failure, Status

# How often tests are run at most, and what is said of each time but the first.
TRIES = 5

# Seconds, for a program that counts as much as it is told to.
LONG_LIMIT = 3000
# What a kernel allocates is no zeros then, as it is by default with Debian's.
POISON = "slub_debug=P"

VARIANT = re.compile(r"^FIXTURE_VARIANT_ADD\((\w+),\s*(\w+)\)", re.M)
# One without a fixture is of the harness's own.
TEST = re.compile(r"^TEST(?:_F|_F_TIMEOUT)?\((?:(\w+),\s*)?(\w+)", re.M)

BY_SVM = "which QEMU's emulated SVM causes now and then"
EMULATOR_FAULT = re.compile(r"\(XEN\) d\d+v\d+ Triple fault")
# Of a guest's own kernel.
GUEST_FAULT = re.compile(r"BUG: ENTRY_TRAMPOLINE stack guard page was hit")


class Tested(NamedTuple):
    """What became of test programs."""

    counts: ktap.Counts
    # Of the machine.
    failure: Failure | None
    # How many machines it took.
    tries: int


def names(directory: Path) -> list[str]:
    """Returns the test programs in a directory, in the order they run."""
    return sorted(
        path.name
        for path in directory.glob("*_test")
        if path.is_file() and path.stat().st_mode & 0o100
    )


def choose(directory: Path, wanted: Sequence[str]) -> list[str]:
    """Returns the wanted test programs, or all of them."""
    there = names(directory)
    for name in wanted:
        if name not in there:
            raise Failure(
                Status.USAGE,
                f"there is no test program {name}; there are: {' '.join(there)}",
            )
    if not there:
        raise Failure(Status.BUILD, "building the selftests made no test program")
    return list(dict.fromkeys(wanted)) or there


def refuse_unknown(wanted: Sequence[str], others: Sequence[str] = ()) -> None:
    """Refuses a name of a test program that there is not, without building them."""
    there = sorted(path.stem for path in build.SELFTESTS.glob("*_test.c"))
    for name in wanted:
        if name not in (*there, *others):
            raise Failure(
                Status.USAGE,
                f"there is no test program {name}; there are: {' '.join((*there, *others))}",
            )


def tests(source: str) -> set[str]:
    """Returns the tests in a program's source, as its results name them."""
    variants: dict[str, list[str]] = {}
    for fixture, variant in VARIANT.findall(source):
        variants.setdefault(fixture, []).append(f"{fixture}.{variant}")
    return {
        f"{prefix}.{test}"
        for fixture, test in TEST.findall(source)
        for prefix in variants.get(fixture, [fixture or "global"])
    }


def put_programs(files: cpio.Archive, directory: Path) -> None:
    """Adds the programs in a directory to what dom0 gets."""
    for path in sorted(directory.iterdir()):
        if path.is_file() and path.stat().st_mode & 0o100:
            files.copy(f"{programs.DIRECTORY}/{path.name}", path)


def put(files: cpio.Archive, directory: Path, built: build.Built) -> None:
    """Adds the test programs, their helpers and modules to what dom0 gets."""
    put_programs(files, directory)
    test_module = built.file(build.TEST_MODULE)
    files.copy(f"{programs.DIRECTORY}/{test_module.name}", test_module)


def modules(
    driver: str, trees: fetch.Trees, built: build.Built
) -> list[kmod.Module]:
    """Returns the modules that dom0 gets for the tests.

    The stock driver runs beside our xen-dm-op, which the test module needs.
    """
    ours = built.modules()
    if driver == "ours":
        return ours
    beside = [module for module in ours if module.name != "xen_privcmd"]
    return beside + stock.modules(driver, trees)


def platform(options: machine.Options, trees: fetch.Trees) -> str:
    """Returns what tests run on: ARCHITECTURE-LINUX-XEN-DRIVER, and whether on PVH."""
    dom0 = "-pvh" if options.pvh else ""
    xen = options.xen or xen_version(trees)
    linux = short_version(fetch.kernel_version(trees.linux))
    return f"{options.arch.name}-{linux}-{xen}{dom0}-{options.driver}"


def show(section: programs.Section, expected: skips.Skips, where: str) -> ktap.Counts:
    """Prints a program's line and its failures as soon as it has ended.

    where is the platform that it ran on.
    """
    report = section.report()
    ran.note(where, report)
    counts, lines = ktap.judge(report, expected)
    print(f"  {section.name}: {counts} ({section.seconds:.1f} s)", flush=True)
    for line in [*section.remarks(), *lines]:
        print(f"  {line}", flush=True)
    return counts


def short_version(version: str) -> str:
    """Returns the first two numbers of a version."""
    return ".".join(re.findall(r"\d+", version)[:2])


def xen_version(trees: fetch.Trees) -> str:
    """Returns the version of the hypervisor that runs."""
    return short_version(fetch.hypervisor(trees).name.removeprefix("xen-"))


def facts(options: machine.Options, trees: fetch.Trees) -> skips.Facts:
    """Returns what decides which tests a run skips."""
    return {
        "driver": options.driver,
        "arch": options.arch.name,
        "linux": short_version(fetch.kernel_version(trees.linux)),
        "xen": xen_version(trees),
        "dom0": "auto-translated" if options.auto_translated else "pv",
        # Xen is built here where Debian's has none.
        "device_models": not options.arch.xen_config or trees.hypervisor is not None,
        "silent": options.silent,
        "takes_memory": options.takes_memory,
    }


def expected_skips(
    options: machine.Options, trees: fetch.Trees, driver: str = ""
) -> skips.Skips:
    """Returns what a run has to skip; driver is a driver that no option names."""
    run = facts(options, trees)
    return skips.of({**run, "driver": driver} if driver else run)


def emulator_failed(log: str) -> bool:
    """Tells whether a virtual machine may have died of QEMU's emulated SVM.

    Now and then that lets a guest, or a PVH dom0, run with Xen's own registers, on
    any driver, or have a fault where it neither reads nor writes: to Xen, a triple
    fault. Linux itself ends in a panic.
    """
    return bool(EMULATOR_FAULT.search(log))


def guests_log(log: Path) -> Path:
    """Returns where what the guests said is kept, beside a machine's console log."""
    return log.with_name(f"{log.stem}-guests{log.suffix}")


def emulator_failed_a_guest(log: str) -> bool:
    """Tells whether a guest died of an interrupt that QEMU's emulated SVM took twice.

    The second one comes although interrupts are off, at the handler's first instruction.
    If that was entered from user space, Linux takes it for one from the kernel, and finds
    nothing by its GS.
    """
    return bool(GUEST_FAULT.search(log))


def repeat(
    once: Callable[[], tuple[ktap.Counts, machine.Verdict]]
) -> tuple[ktap.Counts, machine.Verdict, int]:
    """Runs tests, and again where it was the emulated processor that may have failed.

    Returns how often they ran, too.
    """
    for tries in range(1, TRIES + 1):
        total, verdict = once()
        log = verdict.log.read_text(encoding="utf-8", errors="replace")
        guests = guests_log(verdict.log)
        said = guests.read_text(encoding="utf-8") if guests.exists() else ""
        if emulator_failed(log):
            fault = f"a triple fault, {BY_SVM}"
        elif emulator_failed_a_guest(said):
            fault = f"a guest's panic in its interrupt's first instruction, {BY_SVM}"
        else:
            fault = verdict.emulator_fault()
        if not fault or tries == TRIES or not total.failed:
            break
        host.say(f"{fault} ({verdict.log}){machine.ONCE_MORE}")
    return total, verdict, tries


def poisoned(options: machine.Options) -> machine.Options:
    """Returns options for a kernel in which it shows what was not initialised."""
    return replace(options, append=f"{POISON} {options.append}".strip())


def run_programs(
    options: machine.Options,
    trees: fetch.Trees,
    load: machine.Load,
    commands: Sequence[str],
    expected: skips.Skips,
    limit: int = programs.PROGRAM_LIMIT,
    count: int | None = None,
) -> Tested:
    """Runs test programs in one boot and judges them; count is how much they count."""
    script = programs.script(commands, limit)
    if count is not None:
        script = f"export COUNT={count}\n{script}"

    def once() -> tuple[ktap.Counts, machine.Verdict]:
        total = ktap.Counts()

        def done(section: programs.Section) -> None:
            nonlocal total
            total += show(section, expected, platform(options, trees))

        sections = programs.Sections(done)
        verdict = machine.boot(
            poisoned(options),
            images.make(trees),
            load,
            script,
            sections,
            "test",
        )
        sections.finish()
        ran = {section.name for section in sections.all}
        for name in commands:
            if name not in ran:
                print(f"  FAIL {name}: did not run", flush=True)
                total += ktap.Counts(failed=1)
        if verdict.status is not Status.GOOD:
            total += ktap.Counts(failed=1)
        return total, verdict

    total, verdict, tries = repeat(once)
    failure = None if verdict.status is Status.GOOD else verdict.failure()
    return Tested(total, failure, tries)


def run_driver(
    options: machine.Options,
    wanted: Sequence[str],
    built: build.Built | None = None,
    count: int | None = None,
) -> Tested:
    """Runs the tests with one driver, in one boot."""
    trees = versions.trees(options)
    built = built or build.modules(trees)
    directory = build.selftests(trees)
    chosen = choose(directory, wanted)
    expected = expected_skips(options, trees)
    files = cpio.Archive()
    put(files, directory, built)
    load = machine.Load(modules(options.driver, trees, built), files)
    print(f"driver {options.driver} on {options.arch.name}:", flush=True)
    limit = LONG_LIMIT if count is not None else programs.PROGRAM_LIMIT
    return run_programs(options, trees, load, chosen, expected, limit, count)


def run(
    machines: Sequence[machine.Options],
    wanted: Sequence[str],
    count: int | None = None,
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the tests on each machine."""
    total = ktap.Counts()
    failures = []
    for options in machines:
        counts, failure, _ = run_driver(options, wanted, count=count)
        total += counts
        if failure is not None:
            failures.append(failure)
    return total, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock", stock.EVENTFDS, "both"), 3600)
    parser.add_argument(
        "--count",
        type=arguments.count,
        metavar="N",
        help="interrupts and doorbells that doorbell_test counts (2400), domains and "
        "lives of one that lifetime_test makes (200)",
    )
    parser.add_argument("program", nargs="*", help="test programs (default: all)")


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    arguments.look(arguments.each_driver(args))
    refuse_unknown(args.program)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    machines = arguments.each_driver(args)
    return outcome.close(*run(machines, args.program, args.count))
