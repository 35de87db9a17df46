# SPDX-License-Identifier: GPL-2.0-only
"""Shows that each fix of series A turns red tests green, on the kernel's own driver.

Each is tried twice: the driver with the fixes before it, on which its tests must fail,
or end the machine, and with it, on which they must pass. What a fix changes in the
kernel itself is compiled into the module, under other names.

Before that, each patch of both series is built after those before it, as a bisecting run
would build it.
"""

import argparse
import itertools
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaigns import (
    arguments,
    mutants,
    outcome,
    overlay,
    overlay_check,
    series,
    suite,
    upstream,
    upstream_check,
)
from lab import (
    build,
    edit,
    fetch,
    host,
    kernel,
    ktap,
    machine,
    programs,
    stock,
    versions,
)
from lab.arch import AMD64
from lab.failure import Failure, Status

SCRATCH = host.BUILD / "series-check"
SELFTESTS = "tools/testing/selftests"
# What the tests of a kernel tree are built with.
HARNESS = tuple(
    f"{SELFTESTS}/{name}" for name in ("kselftest.h", "kselftest_harness.h", "lib.mk")
)
# What the series change, and what looks at their patches.
PARTS = (
    *upstream_check.KERNEL_PARTS,
    *("Documentation/userspace-api/index.rst", f"{SELFTESTS}/Makefile", *HARNESS),
    *("scripts/checkpatch.pl", "scripts/const_structs.checkpatch", "scripts/spelling.txt"),
)
# Raise it when the parts change, so that what was unpacked before is unpacked anew.
RECIPE = 1
# Part of the kernel itself.
BUILTIN = "drivers/xen/xlate_mmu.c"
# In each directory that the build looks into: none may be missing.
HEADERS = (upstream.UAPI, overlay.DM_OP)
# What that exports; the kernel has functions of these names already.
RENAMED = (
    "xen_remap_vma_range",
    "xen_xlate_map_ballooned_pages",
    "xen_xlate_remap_gfn_array",
    "xen_xlate_unmap_gfn_range",
)
INCLUDES = """\
export LINUXINCLUDE := $(addprefix -I$(KBUILD_EXTMOD)/,include include/uapi) $(LINUXINCLUDE)
"""
KBUILD = (
    INCLUDES
    + stock.KBUILD
    + f"xen-privcmd-y += {Path(BUILTIN).with_suffix('.o')}\n"
    + "".join(f"ccflags-y += -D{name}=series_{name}\n" for name in RENAMED)
)
FUNCTION_KBUILD = f"""\
obj-m += xen-dm-op.o
xen-dm-op-y := {Path(upstream.FUNCTION).with_suffix(".o")}
"""
DRIVER = "xen-privcmd.ko"
# Of the tests of series B, what also passes without the command.
ALWAYS = ("privcmd.has_no_command_of_another_size", "privcmd.has_the_documented_number")
# Where a warning stands: patches move it.
POSITION = re.compile(r":\d+(?=:)")
# What stops a kernel, in its log.
FATAL = re.compile(r"\b(kernel BUG at|BUG:|Oops:) .*")
# As the kernel compiles a header for user space that it tests.
HEADER_OPTIONS = ("-std=c90", "-Wall", "-fsyntax-only", "-x", "c")
# The two types in the header for user space are Xen's, and a source package has no
# history in which a commit can be found.
CHECKPATCH_IGNORE = f"{overlay_check.SMALLEST_IGNORE},NEW_TYPEDEFS,UNKNOWN_COMMIT_ID"
# By what dom0 is, Xen: on PVH, foreign frames take a newer one than Debian 12's.
XENS = {"pv": "", "pvh": "4.20"}


@dataclass(frozen=True)
class Trial:
    """A driver on which the tests of a fix run, and how they must end."""

    fix: series.Fix
    # How many of the fixes are in it.
    count: int
    green: bool

    def name(self) -> str:
        """Returns the driver's name, for its output."""
        return f"{self.fix.name}/{'after' if self.green else 'before'}"


Item = tuple[Trial, mutants.Build]


def source(version: str) -> Path:
    """Returns the parts of a kernel source that the series changes."""
    packed = fetch.tree(kernel.source(version))
    unpacked = SCRATCH / f"{packed.name}-{RECIPE}"
    if not unpacked.is_dir():
        archive = fetch.only(packed, "linux-source-*.tar.xz")
        host.unpack(archive, PARTS, SCRATCH / "partial").rename(unpacked)
    return unpacked


def _put(tree: edit.Tree, names: Iterable[str], output: Path) -> None:
    """Writes files as they are in a source."""
    for name in names:
        text = tree.read(name)
        target = output / name
        # make looks at the time stamps.
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            host.directory(target.parent)
            target.write_text(text, encoding="utf-8")


def _build(tree: edit.Tree, trees: fetch.Trees, output: Path) -> list[str]:
    """Builds a source's own driver; returns what compiler and sparse warn of."""
    code = [
        name
        for name in tree.names()
        if name.startswith(("drivers/", "include/")) and name.endswith((".c", ".h"))
    ]
    own = (tree.path / "drivers/xen").glob("privcmd*.[ch]")
    names = {str(path.relative_to(tree.path)) for path in own}
    _put(tree, {BUILTIN, *HEADERS, *names, *code}, output)
    kbuild = KBUILD + (FUNCTION_KBUILD if upstream.FUNCTION in code else "")
    (output / "Kbuild").write_text(kbuild, encoding="utf-8")
    said = build.external(
        *("building the kernel's driver with patches", trees, output, "W=1"),
        *("KCFLAGS=-Werror", "C=1", f"CHECK={overlay_check.sparse()}"),
    )
    errors = [line for line in said.splitlines() if " error: " in line]
    return [*build.warnings(said), *errors]


def news(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Returns the warnings of a build that there were not before, wherever they stand."""
    known = Counter(POSITION.sub("", line) for line in before)
    new = []
    for line in after:
        key = POSITION.sub("", line)
        if not known[key]:
            new.append(line)
        known[key] -= 1
    return new


def _build_programs(tree: edit.Tree, trees: fetch.Trees, output: Path) -> None:
    """Builds what a source has for user space: the header, the tests and the sample."""
    directories = (f"{SELFTESTS}/xen", "samples/xen")
    files = [name for name in tree.names() if name.startswith(directories)]
    _put(tree, {upstream.UAPI, *HARNESS, *files}, output)
    include = output / "usr/include"
    installed = include / Path(upstream.UAPI).relative_to("include/uapi")
    host.directory(installed.parent)
    host.command(
        "installing the header",
        [*("sh", "scripts/headers_install.sh"), str(output / upstream.UAPI), str(installed)],
        cwd=fetch.kernel_headers(trees.linux),
    )
    cc = f"{host.tool(f'{AMD64.cross}gcc')} --sysroot={trees.xen} -Werror"
    if upstream.UNTESTED_HEADER not in tree.read(upstream.HEADER_TESTS):
        host.command(
            "compiling the header alone",
            [*cc.split(), *HEADER_OPTIONS, f"-I{include}", str(installed)],
        )
    for directory in directories:
        if any(name.startswith(directory) for name in files):
            what = f"building {directory}"
            build.make(what, AMD64.cross, "-C", str(output / directory), f"CC={cc}")


def _beside(trees: fetch.Trees) -> list[Path]:
    """Returns the modules of ours that run beside the kernel's own driver."""
    ours = build.modules(trees)
    return [ours.file(name) for name in ("xen-dm-op", build.TEST_MODULE)]


def _bisect(
    name: str, source: Path, trees: fetch.Trees, made: dict[int, bytes]
) -> ktap.Counts:
    """Builds a source after each patch of a series; keeps the drivers with fixes."""
    output = SCRATCH / f"{name}-builds"
    shutil.rmtree(output, ignore_errors=True)
    tree = edit.kernel(source)
    patches, left_out = series.patches(name, tree)
    if left_out:
        # Drivers are known by the number of their fixes.
        raise Failure(Status.COMMAND, f"Linux {stock.VERSION} has to take all: {left_out[0]}")
    before = _build(tree, trees, output)
    made[0] = (output / DRIVER).read_bytes()
    counts = ktap.Counts()
    for number, patch in enumerate(patches, start=1):
        patch.change(tree)
        try:
            wrong = news(before, _build(tree, trees, output))
            _build_programs(tree, trees, output)
        except Failure as failure:
            wrong = [str(failure), *failure.evidence]
        else:
            if name == "a":
                made[number] = (output / DRIVER).read_bytes()
        counts += mutants.show(
            f"{name}/{number:04} {patch.subject()}", wrong, "builds without a new warning"
        )
    return counts


def _with_fixes(
    count: int, source: Path, trees: fetch.Trees, made: dict[int, bytes]
) -> bytes:
    """Returns the kernel's own driver with the first fixes, built first if need be."""
    if count not in made:
        all_fixes = series.fixes()
        host.say(f"building the driver with {count} of {len(all_fixes)} fixes")
        tree = edit.kernel(source)
        for fix in all_fixes[:count]:
            fix.apply(tree)
        output = host.directory(SCRATCH / "module")
        _build(tree, trees, output)
        made[count] = (output / DRIVER).read_bytes()
    return made[count]


def trials(
    all_fixes: Sequence[series.Fix], wanted: Sequence[str], dom0: str, coarse: bool = False
) -> list[Trial]:
    """Returns what is tried on a dom0: first what must go well.

    Coarsely, there are two drivers for all: without any fix, and with all of them.
    """
    chosen = [
        (number, fix)
        for number, fix in enumerate(all_fixes)
        if fix.red and fix.dom0 == dom0 and (not wanted or fix.name in wanted)
    ]
    return [
        *(
            Trial(fix, len(all_fixes) if coarse else number + 1, True)
            for number, fix in chosen
        ),
        *(Trial(fix, 0 if coarse else number, False) for number, fix in chosen),
    ]


def judge(trial: Trial, outcomes: dict[tuple[str, str], str]) -> list[str]:
    """Returns what is wrong with a trial, by what became of its tests."""
    passed = ktap.Outcome.PASS.value
    wanted = "passed" if trial.green else "failed"
    return [
        f"{program} {test} {outcome}, and should have {wanted}"
        for (program, test), outcome in outcomes.items()
        if (outcome == passed) != trial.green or outcome == ktap.Outcome.SKIP.value
    ]


def _loaded(trial: Trial, sections: dict[str, programs.Section]) -> bool:
    section = sections.get(mutants.section(trial.name(), "load"))
    return section is not None and section.status in (0, None)


def cause(log: str, message: str) -> str:
    """Returns why a kernel stopped, by its log: what came first."""
    found = FATAL.search(log)
    return found[0] if found else message


def _boot(
    options: machine.Options, trees: fetch.Trees, todo: Sequence[Item]
) -> tuple[ktap.Counts, list[Item], machine.Verdict]:
    """Tries drivers in one boot; returns which are left, and how the machine ended.

    One on which the kernel stops a task cannot be exchanged for the next one. What those
    before it did may be why a driver that should fail does not, or ends the machine: it
    is left for another boot.
    """
    builds = [item for _, item in todo]
    sections, verdict = mutants.boot(options, trees, build.selftests(trees), builds)
    tried = list(itertools.takewhile(lambda item: _loaded(item[0], sections), todo))
    counts = ktap.Counts()
    again = []
    for number, item in enumerate(tried):
        trial, _ = item
        wrong = judge(trial, mutants.outcomes(trial.name(), trial.fix.red, sections))
        died = verdict.exit_status is None and number == len(tried) - 1
        if number and not trial.green and (wrong or died):
            again.append(item)
            continue
        how = "its tests pass" if trial.green else "its tests fail"
        if died:
            log = verdict.log.read_text(encoding="utf-8", errors="replace")
            how = f"the machine ends: {cause(log, verdict.message)}"
        counts += mutants.show(trial.name(), wrong, how)
    return counts, [*again, *todo[len(tried) :]], verdict


def _try(
    options: machine.Options, source: Path, todo: Sequence[Trial], made: dict[int, bytes]
) -> tuple[ktap.Counts, list[Failure]]:
    """Tries drivers on one kind of dom0."""
    trees = versions.trees(options)
    beside = [(path.name, path.read_bytes()) for path in _beside(trees)]
    builds = []
    for trial in sorted(todo, key=lambda trial: trial.count):
        driver = _with_fixes(trial.count, source, trees, made)
        files = [*beside, (DRIVER, driver)]
        commands = mutants.commands(trial.fix.red, False)
        builds.append((trial, mutants.Build(trial.name(), commands, files)))
    green = [item for item in builds if item[0].green]
    counts, left, verdict = _boot(options, trees, green)
    if verdict.status is not Status.GOOD or left:
        return counts + ktap.Counts(failed=1), [verdict.failure()]
    red = [item for item in builds if not item[0].green]
    while red:
        more, left, verdict = _boot(options, trees, red)
        counts += more
        if len(left) == len(red):
            return counts + ktap.Counts(failed=1), [verdict.failure()]
        red = left
    return counts, []


def judge_command(outcomes: dict[tuple[str, str], str], green: bool) -> list[str]:
    """Returns what is wrong with the tests of series B, on a driver with it or without."""
    return [
        f"{test} {outcome}, and should have {wanted.value}"
        for (_, test), outcome in outcomes.items()
        for wanted in [ktap.Outcome.PASS if green or test in ALWAYS else ktap.Outcome.FAIL]
        if outcome != wanted.value
    ]


def _try_command(
    options: machine.Options, trees: fetch.Trees, made: dict[int, bytes]
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the tests of series B, as built before, on the driver without it and with it."""
    output = SCRATCH / "b-builds"
    (source,) = (output / name for name in upstream.TESTS if name.endswith(".c"))
    program = source.with_suffix("")
    command = f"with-domains {programs.DIRECTORY}/{program.name}"
    tests = [(command, test) for test in suite.tests(source.read_text(encoding="utf-8"))]
    beside = {path.name: path.read_bytes() for path in _beside(trees)}
    patched = {path.name: path.read_bytes() for path in output.glob("*.ko")}
    builds = [
        mutants.Build("b/before", [command], [*{**beside, DRIVER: made[0]}.items()]),
        mutants.Build("b/after", [command], [*{**beside, **patched}.items()]),
    ]
    directory = build.selftests(trees)
    sections, verdict = mutants.boot(options, trees, directory, builds, [program])
    counts = ktap.Counts()
    for item in builds:
        green = item is builds[-1]
        wrong = judge_command(mutants.outcomes(item.name, tests, sections), green)
        how = "its tests pass" if green else "its tests fail"
        counts += mutants.show(item.name, wrong, how)
    if verdict.status is Status.GOOD:
        return counts, []
    return counts + ktap.Counts(failed=1), [verdict.failure()]


def _check_patches(name: str, tree: Path) -> ktap.Counts:
    """Looks at the patches of a series with the kernel's own script."""
    top = SCRATCH / f"{name}-tree"
    shutil.rmtree(top, ignore_errors=True)
    series.branch(name, tree, top)
    output = SCRATCH / name
    shutil.rmtree(output, ignore_errors=True)
    edit.cover_letter(top, output, series.SUBJECTS[name], series.BLURBS[name])
    counts = ktap.Counts()
    for patch in sorted(output.glob("0*.patch")):
        if not patch.name.startswith("0000-"):
            wrong = overlay_check.checkpatch(
                tree, patch, CHECKPATCH_IGNORE, "--no-tree"
            )
            counts += mutants.show(f"{name}/{patch.name}", wrong, "checkpatch is silent")
    return counts


def run(
    options: machine.Options, wanted: Sequence[str], coarse: bool = False
) -> tuple[ktap.Counts, list[Failure]]:
    """Checks the wanted fixes, or all of them and what else the series are made of."""
    all_fixes = series.fixes()
    options = replace(options, arch=AMD64, driver="ours", linux=stock.VERSION)
    trees = versions.trees(options)
    tree = source(stock.VERSION)
    made: dict[int, bytes] = {}
    total = ktap.Counts()
    failures: list[Failure] = []
    if not wanted:
        builds = ktap.Counts()
        for name in series.SUBJECTS:
            total += _check_patches(name, tree)
            if not coarse:
                print(f"series {name.upper()}, patch by patch:", flush=True)
                builds += _bisect(name, tree, trees, made)
        total += builds
        # What was not built cannot run.
        if builds.failed:
            return total, failures
        if not coarse:
            print("the kernel's own driver without and with series B:", flush=True)
            counts, failed = _try_command(options, trees, made)
            total += counts
            failures += failed
    for dom0, xen in XENS.items():
        todo = trials(all_fixes, wanted, dom0, coarse)
        if todo:
            print(f"the kernel's own driver on a {dom0.upper()} dom0:", flush=True)
            chosen = replace(options, xen=xen, pvh=dom0 == "pvh")
            counts, failed = _try(chosen, tree, todo, made)
            total += counts
            failures += failed
    for fix in all_fixes:
        if fix.unshown and (not wanted or fix.name in wanted):
            print(f"  {fix.name}: not shown: {fix.unshown}", flush=True)
    return total, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_timeout(parser, 1800)
    parser.add_argument(
        "--coarse",
        action="store_true",
        help="try two drivers, without any fix and with all, and not two for each fix",
    )
    parser.add_argument("name", nargs="*", help="fixes (default: all)")


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    names = [fix.name for fix in series.fixes()]
    for word in args.name:
        if word not in names:
            raise Failure(Status.USAGE, f"{word}: not one of {', '.join(names)}")


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options = machine.Options(timeout=args.timeout)
    return outcome.close(*run(options, args.name, args.coarse))
