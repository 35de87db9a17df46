#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Real Xen and a real dom0 in QEMU: fetch, build, boot, run, report."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

# Compiled Python belongs below build/ like all that is made.
sys.pycache_prefix = str(Path(__file__).resolve().parents[3] / "build/pycache")

from campaigns import differential, suite
from lab import (
    arch,
    build,
    cpio,
    cross,
    edit,
    fetch,
    host,
    image as images,
    ktap,
    machine,
    packages,
    programs,
    ran,
    stock,
    versions,
)
from lab.failure import MEANING, Failure, Status

# Architectures.
BOTH = "both"

DESCRIPTION = """\
Boots Debian's Xen with Debian's kernel as dom0 in QEMU, without virtualisation
hardware, and runs things there. What is fetched and built stays below build/."""

EXAMPLES = """\
examples:
  xenlab.py run -- 'uname -r; ls -l /dev/xen'
  xenlab.py run --driver stock --selftests -- /opt/xen-selftests/restrict_test
  xenlab.py test --driver both
  xenlab.py run --arch arm64 -- 'uname -m'
  xenlab.py shell"""


def _statuses() -> str:
    lines = [f"  {int(status):<3} {MEANING[status]}" for status in Status]
    return "\n".join(["exit status:", *lines])


def _options(args: argparse.Namespace) -> machine.Options:
    linux = args.kernel if args.kernel in versions.KERNELS else ""
    kernel = Path(args.kernel).resolve() if args.kernel and not linux else None
    if kernel is not None and not kernel.is_file():
        raise Failure(
            Status.USAGE,
            f"--kernel {args.kernel}: there is no such file, and the versions are "
            f"{', '.join(versions.KERNELS)}",
        )
    log = Path(args.log).resolve() if args.log else None
    if log is not None and (log.is_dir() or not log.parent.is_dir()):
        raise Failure(Status.USAGE, f"--log {args.log}: no file can be made there")
    return machine.Options(
        arch=arch.ALL[args.arch],
        driver=args.driver,
        accel=args.accel or machine.default_accel(args.driver),
        timeout=args.timeout,
        linux=linux,
        xen=args.xen,
        pvh=args.pvh,
        cpu=args.cpu,
        pages=args.pages,
        kernel=kernel,
        xen_append=args.xen_append,
        append=args.append,
        log=log,
    )


def _load(args: argparse.Namespace, trees: fetch.Trees) -> machine.Load:
    """Returns what the options and the driver add to dom0."""
    files = cpio.Archive()
    for name in args.add:
        path = Path(name)
        if not path.exists():
            raise Failure(Status.USAGE, f"--add {name}: there is no such file")
        files.copy(f"opt/{path.resolve().name}", path)
    if args.selftests:
        directory = build.selftests(trees)
        built = build.modules(trees)
        suite.put(files, directory, built)
        return machine.Load(suite.modules(args.driver, trees, built), files)
    if args.driver == "ours":
        return machine.Load(build.modules(trees).modules(), files)
    return machine.Load(stock.modules(args.driver, trees), files)


def _sink(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _run(args: argparse.Namespace) -> int:
    words: list[str] = args.command[args.command[:1] == ["--"] :]
    if not words:
        raise Failure(Status.USAGE, "no command given: xenlab.py run -- COMMAND...")
    line = words[0] if len(words) == 1 else shlex.join(words)
    options = _options(args)
    trees = versions.trees(options)
    load = _load(args, trees)
    verdict = machine.boot(options, images.make(trees), load, line, _sink)
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    return Status.GOOD


def _shell(args: argparse.Namespace) -> int:
    options = _options(args)
    trees = versions.trees(options)
    load = _load(args, trees)
    image = images.make(trees)
    host.say("to leave, say 'exit' in dom0's shell, or press Ctrl-A x at any time")
    log = machine.shell(options, image, load)
    host.say(f"the machine has ended (console log: {log})")
    return Status.GOOD


def _close(counts: ktap.Counts, failures: Sequence[Failure]) -> int:
    """Ends a check: evidence, failures, counts; the first failure's status."""
    for failure in failures:
        _complain(failure)
    sys.stderr.flush()
    print(counts, flush=True)
    if failures and failures[0].status is not Status.COMMAND:
        return failures[0].status
    return Status.COMMAND if counts.failed or not counts.passed else Status.GOOD


def _each_driver(args: argparse.Namespace) -> list[machine.Options]:
    """Returns the options for each of the wanted drivers."""
    drivers = ("ours", "stock") if args.driver == BOTH else (args.driver,)
    return [
        _options(argparse.Namespace(**{**vars(args), "driver": driver}))
        for driver in drivers
    ]


def _test(args: argparse.Namespace) -> int:
    return _close(*suite.run(_each_driver(args), args.program, args.count))


def _debug(args: argparse.Namespace) -> int:
    from campaigns import debug  # only this command needs it

    choice = debug.Choice(args.seconds, args.threads, args.seed)
    machines = debug.machines(_each_arch(args))
    return _close(*debug.run(machines, args.program, choice))


def _selinux(args: argparse.Namespace) -> int:
    from campaigns import selinux  # only this command needs it

    return _close(*selinux.run(_options(args)))


def _demo(args: argparse.Namespace) -> int:
    options = _options(args)
    trees = versions.trees(options)
    modules = build.modules(trees).modules() if args.driver == "ours" else []
    files = cpio.Archive()
    suite.put_programs(files, build.demo(trees))
    verdict = machine.boot(
        options,
        images.make(trees),
        machine.Load(modules, files),
        f"{programs.DIRECTORY}/demo",
        _sink,
        "demo",
    )
    if verdict.status is not Status.GOOD:
        raise verdict.failure()
    return Status.GOOD


def _each_arch(args: argparse.Namespace) -> list[machine.Options]:
    """Returns the options for each of the wanted architectures."""
    names = tuple(arch.ALL) if args.arch == BOTH else (args.arch,)
    return [
        _options(argparse.Namespace(**{**vars(args), "arch": name})) for name in names
    ]


def _differential(args: argparse.Namespace) -> int:
    total = ktap.Counts()
    for options in _each_arch(args):
        total += differential.run(options)
    return _close(total, [])


def _toolstack(args: argparse.Namespace) -> int:
    from campaigns import toolstack  # only this command needs it

    return _close(*toolstack.run(_options(args), args.part))


def _qemu(args: argparse.Namespace) -> int:
    from campaigns import qemu  # only this command needs it

    return _close(*qemu.run(_each_driver(args), args.part))


def _bench(args: argparse.Namespace) -> int:
    from campaigns import bench  # only this command needs it

    options = machine.Options(
        arch=arch.ALL[args.arch], timeout=args.timeout, xen=args.xen, pvh=args.pvh
    )
    measure = bench.eventfds if args.eventfds else bench.run
    met = measure(
        options, args.runs, args.document, lambda line: print(line, flush=True)
    )
    return Status.GOOD if met else Status.COMMAND


def _deb(args: argparse.Namespace) -> int:
    from campaigns import deb  # only this command needs it

    return _close(*deb.run(args.timeout))


def _setup(args: argparse.Namespace) -> int:
    packages.setup(args.group)
    return Status.GOOD


def _fetch(args: argparse.Namespace) -> int:
    chosen = arch.ALL[args.arch]
    specs = (fetch.linux(chosen), fetch.xen(chosen), fetch.SOURCE)
    by_name = {spec.name: spec for spec in specs}
    for name in args.tree:
        if name not in by_name:
            raise Failure(Status.USAGE, f"{name}: not one of {', '.join(by_name)}")
    for name in args.tree or by_name:
        print(f"{name} {fetch.tree(by_name[name])}", flush=True)
    return Status.GOOD


def _path(args: argparse.Namespace) -> int:
    if args.what == "kdir":
        print(fetch.kernel_headers(fetch.tree(fetch.linux(arch.ALL[args.arch]))))
    elif args.what == "source":
        print(fetch.kernel_source(fetch.tree(fetch.SOURCE)))
    else:
        print(fetch.tree(fetch.xen(arch.ALL[args.arch])))
    return Status.GOOD


def _mutants(args: argparse.Namespace) -> int:
    from campaigns import mutants  # only this command needs it

    total = ktap.Counts()
    failures: list[Failure] = []
    for options in _each_arch(args):
        counts, more = mutants.run(options, args.name, args.whole)
        total += counts
        failures += more
    return _close(total, failures)


def _matrix(args: argparse.Namespace) -> int:
    from campaigns import matrix  # only this command needs it

    options = machine.Options(timeout=args.timeout)
    with ran.collected("matrix"):
        return _close(*matrix.run(options, args.row))


def _write_patch(tree: edit.Tree, message: str, name: str, out: str) -> int:
    output = Path(out).resolve() if out else host.BUILD / "patches" / f"{name}.patch"
    if output.is_dir():
        raise Failure(Status.USAGE, f"--output {out} is a directory")
    tree.patch(message, output)
    print(output, flush=True)
    return Status.GOOD


def _kselftest_install(args: argparse.Namespace) -> int:
    from campaigns import kselftest  # only this command needs it

    target = Path(args.directory).resolve()
    kselftest.install(machine.Options(xen=args.xen), target)
    print(f"to run the tests, as root in dom0: {target}/run_kselftest.sh")
    return Status.GOOD


def _overlay(args: argparse.Namespace) -> int:
    from campaigns import overlay  # only this command needs it

    tree = overlay.make(Path(args.source).resolve())
    name = f"overlay-{edit.version(tree)}"
    return _write_patch(tree, overlay.MESSAGE, name, args.output)


def _upstream_patch(args: argparse.Namespace) -> int:
    from campaigns import upstream  # only this command needs it

    if args.qemu:
        from campaigns import upstream_qemu

        tree = upstream_qemu.make(Path(args.qemu).resolve())
        name = f"upstream-qemu-{tree.read('VERSION').strip()}"
        return _write_patch(tree, upstream_qemu.MESSAGE, name, args.output)
    if args.xen:
        tree = upstream.xen(Path(args.xen).resolve())
        return _write_patch(tree, upstream.XEN_MESSAGE, "upstream-xen", args.output)
    tree = upstream.kernel(Path(args.kernel).resolve())
    name = f"upstream-{edit.version(tree)}"
    return _write_patch(tree, upstream.KERNEL_MESSAGE, name, args.output)


def _series(args: argparse.Namespace) -> int:
    from campaigns import series  # only this command needs it

    given = [Path(name).resolve() if name else None for name in (args.xen, args.qemu)]
    for line in series.make(Path(args.kernel).resolve(), *given):
        print(line, flush=True)
    return Status.GOOD


def _series_check(args: argparse.Namespace) -> int:
    from campaigns import series_check  # only this command needs it

    options = machine.Options(timeout=args.timeout)
    return _close(*series_check.run(options, args.name, args.coarse))


def _overlay_check(args: argparse.Namespace) -> int:
    from campaigns import overlay_check  # only this command needs it

    for given, known in (
        (args.version, tuple(overlay_check.VERSIONS)),
        (args.combination, overlay_check.COMBINATIONS),
    ):
        for word in set(given) - set(known):
            raise Failure(Status.USAGE, f"{word}: not one of {', '.join(known)}")
    return _close(overlay_check.run(args.version, args.combination), [])


def _overlay_test(args: argparse.Namespace) -> int:
    from campaigns import overlay_test  # only this command needs it

    return _close(*overlay_test.run(machine.Options(timeout=args.timeout), args.program))


def _upstream_check(args: argparse.Namespace) -> int:
    from campaigns import upstream_check  # only this command needs it

    return _close(*upstream_check.run(machine.Options(timeout=args.timeout)))


def _selfcheck(args: argparse.Namespace) -> int:
    from campaigns import selfcheck  # only this command needs it

    del args
    return _close(selfcheck.run(), [])


def _check(args: argparse.Namespace) -> int:
    from campaigns import check  # only this command needs it

    return _close(check.run(args.check, args.lanes or check.default_lanes()), [])


def _everything(args: argparse.Namespace) -> int:
    from campaigns import everything  # only this command needs it

    if args.old:
        everything.show()
        return Status.GOOD
    return _close(everything.run(args.target), [])


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value < 1 << 32:
        raise argparse.ArgumentTypeError(f"not a number from 1 on: {text}")
    return value


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise Failure(Status.USAGE, f"{message}; '{self.prog} --help' says more")


def _add_arch(
    parser: argparse.ArgumentParser, default: str = arch.HOST.name
) -> None:
    more = () if default in arch.ALL else (default,)
    parser.add_argument(
        "--arch",
        choices=(*arch.ALL, *more),
        default=default,
        help=f"the machine's architecture ({default})",
    )


def _add_xen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--xen",
        choices=versions.XENS,
        default="",
        help="Debian's Xen (default: the one of the host's release); 4.20 on arm64 is "
        "built here from Debian's source, with device models; 4.20-debian is Debian's own",
    )


def _add_pvh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pvh",
        action="store_true",
        help="have a PVH dom0, auto-translated, in place of a PV one (amd64 only)",
    )


def _add_machine(
    parser: argparse.ArgumentParser,
    drivers: Sequence[str],
    timeout: float,
    default_arch: str = arch.HOST.name,
) -> None:
    parser.set_defaults(driver="ours", log=None)
    _add_arch(parser, default_arch)
    if drivers:
        parser.add_argument(
            "--driver",
            choices=drivers,
            default="ours",
            help="the privcmd module: ours, or stock, the distribution's; "
            f"{stock.EVENTFDS} is that with XEN_PRIVCMD_EVENTFD, built here",
        )
    parser.add_argument(
        "--accel",
        choices=tuple(arch.ACCELERATORS),
        help="tcg emulates processors that run at once, tcg-single one after the other in "
        "one thread, which costs less (default: tcg for ours, tcg-single for the others); "
        "kvm needs nested virtualisation",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=timeout,
        metavar="SECONDS",
        help=f"time limit from power-on ({timeout:.0f})",
    )
    parser.add_argument(
        "--kernel",
        metavar="VERSION|FILE",
        help=f"Debian's dom0 kernel, {', '.join(versions.KERNELS)} (default: the one "
        "of the host's release), or a file to boot instead of it",
    )
    _add_xen(parser)
    _add_pvh(parser)
    parser.add_argument(
        "--cpu",
        choices=sorted({name for item in arch.ALL.values() for name in item.guarded_cpus}),
        default="",
        help="a processor that guards user memory from the kernel: smap on amd64 (with "
        "SMEP and UMIP; takes --pvh), pan on arm64",
    )
    parser.add_argument(
        "--pages",
        choices=sorted({size for item in arch.ALL.values() for size in item.pages}),
        default="",
        help="a dom0 kernel of Debian's with larger pages than the usual ones (arm64 only)",
    )
    parser.add_argument(
        "--xen-append", default="", metavar="STRING", help="more options for Xen"
    )
    parser.add_argument(
        "--append", default="", metavar="STRING", help="more options for dom0's kernel"
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log", metavar="FILE", help="console log (default: a new file in build/logs)"
    )
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="PATH",
        help="put a file or directory into dom0's /opt (may be repeated)",
    )
    parser.add_argument(
        "--selftests",
        action="store_true",
        help=f"put the test programs into {programs.DIRECTORY}",
    )


def _add_timeout(parser: argparse.ArgumentParser, default: float) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=default,
        metavar="SECONDS",
        help=f"time limit of each machine from power-on ({default:.0f})",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", default="", metavar="FILE", help="the patch (a file in build/patches)"
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="xenlab.py",
        description=DESCRIPTION,
        epilog=f"{EXAMPLES}\n\n{_statuses()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_statuses(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(function=function)
        return command

    command = add("setup", _setup, "install the Debian packages that this host lacks")
    command.add_argument(
        "group",
        nargs="*",
        help=f"what they are for: {' '.join(packages.GROUPS)}, or {packages.ALL}; says "
        "first how large they are, and asks if there is a terminal and YES is not 1; "
        "removes nothing, and takes no root where nothing is missing",
    )

    command = add("fetch", _fetch, "fetch and unpack Debian packages into the cache")
    _add_arch(command)
    command.add_argument(
        "tree", nargs="*", help="linux, xen or source (default: all of them)"
    )

    command = add("path", _path, "print a fetched directory, fetched first if need be")
    _add_arch(command)
    command.add_argument(
        "what",
        choices=("kdir", "source", "sysroot"),
        help="kernel headers for KDIR=, kernel source parts, C headers and libraries",
    )

    command = add("run", _run, "boot, run a shell command in dom0, power off")
    _add_machine(command, ("ours", "stock", stock.EVENTFDS), 600)
    _add_files(command)
    command.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="[--] COMMAND...",
        help="one word is a shell command line, several are one command",
    )

    command = add("shell", _shell, "boot with a shell in dom0 on this terminal")
    _add_machine(command, ("ours", "stock", stock.EVENTFDS), 3600)
    _add_files(command)

    command = add("test", _test, "build the selftests and run them in dom0")
    _add_machine(command, ("ours", "stock", stock.EVENTFDS, "both"), 3600)
    command.add_argument(
        "--count",
        type=_count,
        metavar="N",
        help="interrupts and doorbells that doorbell_test counts (2400), domains and "
        "lives of one that lifetime_test makes (200)",
    )
    command.add_argument("program", nargs="*", help="test programs (default: all)")

    command = add(
        "differential", _differential, "compare our driver with the stock one"
    )
    _add_machine(command, (), 900, BOTH)
    # Each request is made by one process.
    command.set_defaults(accel=arch.SINGLE_THREAD)

    command = add(
        "debug", _debug, "run tests on kernels with lockdep, kmemleak, KASAN and others"
    )
    _add_arch(command, BOTH)
    command.set_defaults(
        driver="ours",
        accel="tcg",
        kernel=None,
        xen="",
        cpu="",
        pages="",
        xen_append="",
        log=None,
    )
    _add_pvh(command)
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=1800,
        metavar="SECONDS",
        help="time limit of each of its machines from power-on (1800)",
    )
    command.add_argument(
        "--append", default="", metavar="STRING", help="more options for dom0's kernel"
    )
    command.add_argument(
        "--seconds",
        type=_count,
        default=600,
        metavar="N",
        help="how long the random run takes (600)",
    )
    command.add_argument(
        "--threads",
        type=_count,
        default=2,
        metavar="N",
        help="threads of each of its processes (2)",
    )
    command.add_argument(
        "--seed", type=_count, metavar="N", help="its seed (default: a new one)"
    )
    command.add_argument(
        "program",
        nargs="*",
        help="test programs, fail_nth, random (default: all)",
    )

    command = add("bench", _bench, "count what calls cost on both drivers")
    _add_arch(command)
    _add_xen(command)
    _add_pvh(command)
    command.add_argument(
        "--runs",
        type=int,
        choices=range(1, 10),
        default=2,
        metavar="N",
        help="boots of each driver, whose numbers must agree (2)",
    )
    command.add_argument(
        "--eventfds",
        action="store_true",
        help=f"count what an interrupt and a doorbell cost, on Linux {stock.VERSION}",
    )
    command.add_argument(
        "--document",
        action="store_true",
        help="put the table into Documentation/bench",
    )
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=600,
        metavar="SECONDS",
        help="time limit of each boot from power-on (600)",
    )

    command = add(
        "selinux", _selinux, "compile the manual's SELinux policy, and enforce it in dom0"
    )
    _add_machine(command, (), 600)

    command = add("demo", _demo, "run the demo in dom0")
    _add_machine(command, ("ours", "stock"), 600)

    command = add(
        "toolstack", _toolstack, "run Debian's toolstack and QEMU on a driver"
    )
    _add_machine(command, ("ours", "stock"), 1500)
    command.add_argument(
        "part",
        nargs="*",
        help="guests, held, domu, hvm (default: these), qemu, kselftest, stubdom (needs "
        "Xen 4.19 or newer)",
    )

    command = add(
        "qemu", _qemu, "build a QEMU that asks Xen for the vCPUs, and run it in its sandbox"
    )
    _add_machine(command, ("ours", "stock", BOTH), 7200)
    command.add_argument(
        "part", nargs="*", help="too-many, too-few (default: both), life, tight"
    )

    command = add(
        "kselftest-install",
        _kselftest_install,
        "put the selftests into a directory, for a dom0 that is in use",
    )
    _add_xen(command)
    command.add_argument("directory", help="where to, which must not be there yet")

    command = add("deb", _deb, "install, test and remove the Debian packages on a dom0")
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=1800,
        metavar="SECONDS",
        help="time limit from power-on (1800)",
    )

    command = add("mutants", _mutants, "show that broken drivers fail the tests")
    _add_machine(command, (), 2400, BOTH)
    command.add_argument("name", nargs="*", help="mutants (default: all)")
    command.add_argument(
        "--whole",
        action="store_true",
        help="run the whole programs, not only the tests that the mutants name",
    )

    command = add(
        "matrix", _matrix, "run the selftests on every kernel and every Xen"
    )
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=3600,
        metavar="SECONDS",
        help="time limit of each machine from power-on (3600)",
    )
    command.add_argument(
        "row",
        nargs="*",
        help="ARCHITECTURE-LINUX-XEN, such as amd64-6.12-4.20; -pvh, a processor and "
        "the pages' size may follow",
    )

    command = add(
        "overlay", _overlay, "make a patch that puts the driver into a kernel source"
    )
    command.add_argument("source", metavar="DIRECTORY", help="the kernel source")
    _add_output(command)

    command = add(
        "upstream-patch",
        _upstream_patch,
        "make a patch with the new command alone, for the kernel's driver or Xen's library, "
        "or one that has QEMU ask by it",
    )
    group = command.add_mutually_exclusive_group(required=True)
    group.add_argument("--kernel", metavar="DIRECTORY", help="a kernel source")
    group.add_argument("--xen", metavar="DIRECTORY", help="a Xen source")
    group.add_argument("--qemu", metavar="DIRECTORY", help="a QEMU source")
    _add_output(command)

    command = add(
        "series",
        _series,
        "make series of patches: fixes of the kernel's own driver, and the new command",
    )
    command.add_argument(
        "--kernel", metavar="DIRECTORY", required=True, help="a kernel source"
    )
    command.add_argument("--xen", metavar="DIRECTORY", help="a Xen source, too")
    command.add_argument("--qemu", metavar="DIRECTORY", help="a QEMU source, too")

    command = add(
        "series-check",
        _series_check,
        "show that each fix of a series turns the tests green that it names, and builds",
    )
    _add_timeout(command, 1800)
    command.add_argument(
        "--coarse",
        action="store_true",
        help="try two drivers, without any fix and with all, and not two for each fix",
    )
    command.add_argument("name", nargs="*", help="fixes (default: all)")

    command = add(
        "overlay-check", _overlay_check, "build what overlay makes in kernel sources"
    )
    command.add_argument(
        "--combination",
        action="append",
        default=[],
        metavar="XX",
        help="XEN_PRIVCMD and XEN_DM_OP, such as my (default: all; may be repeated)",
    )
    command.add_argument("version", nargs="*", help="kernel versions (default: all)")

    command = add(
        "overlay-test",
        _overlay_test,
        "run the selftests on an arm64 kernel that has the driver built in",
    )
    _add_timeout(command, 3600)
    command.add_argument("program", nargs="*", help="test programs (default: all)")

    command = add(
        "upstream-check", _upstream_check, "run what upstream-patch makes on real Xen"
    )
    _add_timeout(command, 3600)

    command = add("check", _check, "run all checks, each of which is a command")
    command.add_argument(
        "--lanes",
        type=int,
        choices=(1, 2),
        help="how many of them at a time (2, or 1 where there is one processor)",
    )
    command.add_argument(
        "check",
        nargs="*",
        help="names of checks or of their lists: all (default), emulators, eventfds",
    )

    command = add(
        "everything", _everything, "run make's targets, and record how each ended"
    )
    command.add_argument(
        "--old",
        action="store_true",
        help="only say which of them are older than what they cover",
    )
    command.add_argument("target", nargs="*", help="make's targets (default: all)")

    add("selfcheck", _selfcheck, "check xenlab itself, also on real boots")
    return parser


def _complain(failure: Failure) -> None:
    sys.stdout.flush()
    for line in failure.evidence:
        print(f"  | {line}", file=sys.stderr)
    print(f"xenlab: {failure}", file=sys.stderr)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Ends xenlab as an exception, so that QEMU and scratch files go too."""
    del frame
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit status."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    os.umask(0o022)
    try:
        args = _parser().parse_args(arguments)
        host.suite()
        cross.use()
        function: Callable[[argparse.Namespace], int] = args.function
        return int(function(args))
    except Failure as failure:
        _complain(failure)
        return failure.status
    except KeyboardInterrupt:
        print("xenlab: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Nobody reads on; the interpreter must not try to flush either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"xenlab: {error}", file=sys.stderr)
        return Status.BUILD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
