# SPDX-License-Identifier: GPL-2.0-only
"""Drivers, and emulators, broken on purpose.

Each must turn the tests red that its record names.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaigns import arguments, outcome, records, suite
from campaigns.records import Mutant
from lab import (
    build,
    cpio,
    fetch,
    host,
    image as images,
    ktap,
    machine,
    programs,
    versions,
)
from lab.failure import Failure, Status

# Seconds for each command: a driver with a defect may have it hang.
LIMIT = 120
# Whether a race comes about is chance: what nobody noticed runs again, so often in all.
TRIES = 5
SCRATCH = host.BUILD / "mutants"

# What a build of the modules reads, or one of the emulator.
SOURCES = (
    "Kbuild",
    "Kconfig",
    "Makefile",
    "compat",
    "drivers",
    "include",
    build.EMULATOR,
    "tools/testing/selftests/xen/test_modules",
)

# In dom0: one directory of modules for each driver, and the emulator as it is.
DIRECTORY = "/opt/mutants"
# Stands for the driver as it is; no mutant has such a name.
INTACT = "/"

# Ends what a program that was killed has left behind, which may keep the module in use.
END = """
end_all() {
	for try in 1 2 3 4 5 6 7 8 9 10; do
		killall -q -KILL "$@" || return 0
		sleep 1
	done
}
"""

# Exchanges the driver, and the emulator; the argument is the directory with its
# modules, and with an emulator if that is broken. Each process takes its time where a
# processor is emulated, so there are few.
EXCHANGE = f"""
exchange() {{
	if grep -q ' /proc/xen ' /proc/mounts; then
		umount /proc/xen || return 1
	fi
	loaded=
	for module in test_xen_dm_op xenfs xen_privcmd xen_dm_op; do
		[ ! -d /sys/module/$module ] || loaded="$loaded $module"
	done
	[ -z "$loaded" ] || rmmod $loaded || return 1
	insmod "$1/xen-dm-op.ko" && insmod "$1/xen-privcmd.ko" || return 1
	modprobe xenfs && mount -t xenfs xenfs /proc/xen || return 1
	emulator="$1/emulator"
	[ -e "$emulator" ] || emulator={DIRECTORY}/emulator
	# With an old Xen there is none.
	[ -e "$emulator" ] || emulator=
	cp -fp "$1/{build.TEST_MODULE}.ko" $emulator {programs.DIRECTORY}/
}}
"""


@dataclass(frozen=True)
class Build:
    """The modules of one driver to be tried, built, and the emulator if it is broken."""

    name: str
    # What to run with them: "PROGRAM TEST", or "PROGRAM" for all of its tests.
    commands: Sequence[str]
    files: Sequence[tuple[str, bytes]]


def check(mutant: Mutant) -> None:
    """Refuses a mutant that names a test that there is not."""
    for program, test in mutant.red:
        path = build.SELFTESTS / f"{program}.c"
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        if test not in suite.tests(source):
            raise Failure(
                Status.USAGE, f"mutant {mutant.name}: {program} has no test {test}"
            )


def _refresh(target: Path) -> None:
    """Makes a directory hold the sources as they are, and nothing else.

    Only what differs is written, with a new time stamp: make then builds again
    what a mutant, or its removal, has changed, and nothing more.
    """
    wanted: dict[Path, Path] = {}
    for name in SOURCES:
        source = host.REPO / name
        found = [source] if source.is_file() else source.rglob("*")
        for path in found:
            if path.is_file():
                wanted[target / path.relative_to(host.REPO)] = path
    for path in list(target.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, source in wanted.items():
        content = source.read_bytes()
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            shutil.copymode(source, path)


def _build(
    name: str, mutant: Mutant | None, trees: fetch.Trees, commands: Sequence[str]
) -> Build:
    """Builds the modules from a copy of the sources, broken or as they are."""
    source = host.directory(SCRATCH / "source")
    _refresh(source)
    if mutant is not None:
        mutant.apply(source)
    built = build.modules(trees, source, SCRATCH / "modules" / trees.linux.name)
    files = [
        (f"{module}.ko", built.file(module).read_bytes())
        for module in (*build.MODULES, build.TEST_MODULE)
    ]
    if mutant is not None and mutant.breaks_emulator():
        emulator = build.emulator(trees, source, SCRATCH / "emulator" / trees.xen.name)
        files.append((emulator.name, emulator.read_bytes()))
    return Build(name, commands, files)


def commands(tests: Sequence[tuple[str, str]], whole: bool) -> list[str]:
    """Returns what runs tests, each once: them alone, or their whole programs."""
    if whole:
        return sorted({program for program, _ in tests})
    return sorted({f"{program} {test}" for program, test in tests})


def section(name: str, command: str) -> str:
    """Returns the name of the output section of one command with one driver."""
    return f"{name} {command}"


def script(builds: Sequence[Build]) -> str:
    """Returns the shell script that tries one driver after the other."""
    parts = [END, EXCHANGE]
    for number, item in enumerate(builds):
        # What does not come with a broken driver need not be waited for.
        parts.append("unset PATIENCE" if item.name == INTACT else "export PATIENCE=10")
        load = section(item.name, "load")
        parts.append(programs.begin(load))
        parts.append(f"exchange {DIRECTORY}/{number} 2>&1")
        parts.append(programs.end())
        parts.append("if [ $xenlab_status = 0 ]; then")
        for command in item.commands:
            parts.append(programs.begin(section(item.name, command)))
            tries = 1 if item.name == INTACT else TRIES
            parts.append(f"for try in $(seq {tries}); do")
            parts.append(programs.run(command, LIMIT))
            parts.append("status=$?")
            parts.append("[ $status = 0 ] || break")
            parts.append("done")
            parts.append(programs.end("$status"))
            parts.append(f"end_all {command.split()[0]} emulator")
        parts.append("fi")
    return "\n".join(parts)


def boot(
    options: machine.Options,
    trees: fetch.Trees,
    directory: Path,
    builds: Sequence[Build],
    more: Sequence[Path] = (),
) -> tuple[dict[str, programs.Section], machine.Verdict]:
    """Tries drivers in one boot; returns what came back, by section name.

    more are programs that run on them, beside those of a directory.
    """
    files = cpio.Archive()
    built = build.modules(trees)
    suite.put(files, directory, built)
    for path in more:
        files.copy(f"{programs.DIRECTORY}/{path.name}", path)
    files.copy(f"{DIRECTORY}/emulator", directory / "emulator")
    for number, item in enumerate(builds):
        for name, content in item.files:
            files.data(f"{DIRECTORY}/{number}/{name}", content, 0o755)
    loads = {section(item.name, "load"): number for number, item in enumerate(builds, start=1)}

    def done(ended: programs.Section) -> None:
        if ended.name in loads:
            number = loads[ended.name]
            name = builds[number - 1].name
            driver = "the driver as it is" if name == INTACT else name
            host.say(f"trying {driver} ({number} of {len(builds)})")

    sections = programs.Sections(done)
    verdict = machine.boot(
        suite.poisoned(options),
        images.make(trees),
        machine.Load(built.modules(), files),
        script(builds),
        sections,
        "mutants",
    )
    sections.finish()
    return {item.name: item for item in sections.all}, verdict


def outcomes(
    name: str, tests: Sequence[tuple[str, str]], sections: dict[str, programs.Section]
) -> dict[tuple[str, str], str]:
    """Returns in a word how each test went with a driver."""
    shown = {}
    for program, test in tests:
        found = [
            result
            for command in (program, f"{program} {test}")
            if (ran := sections.get(section(name, command))) is not None
            for result in ran.report().results
            if result.name == test
        ]
        # The last time that it ran.
        shown[program, test] = found[-1].outcome.value if found else "did not run"
    return shown


def _judge(
    mutant: Mutant, sections: dict[str, programs.Section], died: machine.Verdict | None
) -> list[str]:
    """Returns what is wrong with a mutant that was tried."""
    loaded = sections[section(mutant.name, "load")]
    if loaded.status not in (0, None):
        return ["its modules do not load:", *loaded.lines]
    wrong = [
        f"{program} {test} {outcome}, and should have failed"
        for (program, test), outcome in outcomes(
            mutant.name, mutant.red, sections
        ).items()
        if outcome != ktap.Outcome.FAIL.value
    ]
    if died is not None:
        wrong.append(f"the machine ended: {died.message} (console log: {died.log})")
    return wrong


def show(name: str, wrong: Sequence[str], text: str) -> ktap.Counts:
    if not wrong:
        print(f"  {name}: {text}", flush=True)
        return ktap.Counts(passed=1)
    print(f"  FAIL {name}: {text}", flush=True)
    for line in wrong:
        print(f"      {line}", flush=True)
    return ktap.Counts(failed=1)


def _check_intact(
    chosen: Sequence[Mutant], sections: dict[str, programs.Section]
) -> ktap.Counts:
    """The tests that the mutants name must pass on the driver as it is."""
    tests = sorted({test for mutant in chosen for test in mutant.red})
    wrong = [
        f"{program} {test} {outcome}, and should have passed"
        for (program, test), outcome in outcomes(INTACT, tests, sections).items()
        if outcome != ktap.Outcome.PASS.value
    ]
    # What the harness says of them, with the place in the source.
    names = {test.rpartition(".")[2] for _, test in tests}
    for title, item in sections.items():
        if wrong and title.startswith(section(INTACT, "")):
            wrong += [line for line in item.lines if any(f":{name}:" in line for name in names)]
    return show("the driver as it is", wrong, f"{len(tests)} named tests pass")


def _build_all(
    chosen: Sequence[Mutant], trees: fetch.Trees, whole: bool
) -> tuple[list[Build], ktap.Counts]:
    """Builds all mutants; those that cannot be built are reported and left out."""
    counts = ktap.Counts()
    builds = []
    with host.locked("mutants"):
        for number, mutant in enumerate(chosen, start=1):
            host.say(f"building mutant {mutant.name} ({number} of {len(chosen)})")
            try:
                builds.append(
                    _build(mutant.name, mutant, trees, commands(mutant.red, whole))
                )
            except Failure as failure:
                wrong = [str(failure), *failure.evidence]
                counts += show(mutant.name, wrong, mutant.breaks)
        everything = [test for mutant in chosen for test in mutant.red]
        builds.insert(0, _build(INTACT, None, trees, commands(everything, whole)))
    return builds, counts


def _try(
    options: machine.Options, chosen: Sequence[Mutant], whole: bool
) -> tuple[ktap.Counts, list[Failure]]:
    """Tries mutants on one machine."""
    by_name = {mutant.name: mutant for mutant in chosen}
    trees = versions.trees(options)
    directory = build.selftests(trees)
    builds, counts = _build_all(chosen, trees, whole)

    pending = builds
    again: set[str] = set()
    while pending:
        sections, verdict = boot(options, trees, directory, pending)
        if pending[0].name == INTACT:
            counts += _check_intact(chosen, sections)
        tried = [
            item for item in pending if section(item.name, "load") in sections
        ]
        finished = verdict.exit_status is not None
        if not tried:
            return counts + ktap.Counts(failed=1), [verdict.failure()]
        pending = [] if finished else pending[len(tried) :]
        if pending and tried[-1].name == INTACT:
            return counts, [verdict.failure()]
        for item in tried:
            if item.name == INTACT:
                continue
            died = None if finished or item is not tried[-1] else verdict
            mutant = by_name[item.name]
            wrong = _judge(mutant, sections, died)
            # It may have been the emulator: one of its processors may see a breakpoint
            # that another one has taken out of the kernel's code.
            if wrong and died is not None and item.name not in again:
                host.say(f"mutant {item.name}: {died.message}: once more, in a new machine")
                again.add(item.name)
                pending.insert(0, item)
                continue
            counts += show(item.name, wrong, mutant.breaks)
    return counts, []


def run(
    options: machine.Options, wanted: Sequence[str], whole: bool
) -> tuple[ktap.Counts, list[Failure]]:
    """Tries the wanted mutants of an architecture, or all of them.

    Only the tests that they name run, or the whole programs that have these.
    """
    total = ktap.Counts()
    failures: list[Failure] = []
    machines: dict[tuple[str, str, str], list[Mutant]] = {}
    for mutant in records.choose(wanted):
        check(mutant)
        if mutant.arch == options.arch.name:
            chosen_for = (
                mutant.linux or options.linux,
                mutant.xen or options.xen,
                mutant.xen_append or options.xen_append,
            )
            machines.setdefault(chosen_for, []).append(mutant)
    for (linux, xen, xen_append), chosen in machines.items():
        own = replace(options, linux=linux, xen=xen, xen_append=xen_append)
        counts, more = _try(own, chosen, whole)
        total += counts
        failures += more
    return total, failures


def check_arch(name: str, wanted: Sequence[str]) -> None:
    """Refuses a mutant that was named and is for another architecture."""
    for mutant in records.choose(wanted):
        if wanted and mutant.arch != name:
            raise Failure(
                Status.USAGE,
                f"mutant {mutant.name} is for --arch {mutant.arch}: leave --arch out",
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, (), 2400, arguments.BOTH)
    parser.add_argument("name", nargs="*", help="mutants (default: all)")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="run the whole programs, not only the tests that the mutants name",
    )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments, and mutants without such a test."""
    arguments.look(arguments.each_arch(args))
    for mutant in records.choose(args.name):
        check(mutant)
    if args.arch != arguments.BOTH:
        check_arch(args.arch, args.name)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    total = ktap.Counts()
    failures: list[Failure] = []
    for options in arguments.each_arch(args):
        counts, more = run(options, args.name, args.whole)
        total += counts
        failures += more
    return outcome.close(total, failures)
