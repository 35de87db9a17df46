# SPDX-License-Identifier: GPL-2.0-only
"""The options that several commands have, and the machines that they ask for."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from lab import arch, edit, host, hypervisor, machine, programs, stock, versions
from lab.failure import Failure, Status

# Architectures, or drivers.
BOTH = "both"


def seconds(text: str) -> float:
    """Reads a number of seconds."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text}")
    return value


def count(text: str) -> int:
    """Reads a number from 1 on."""
    value = int(text)
    if not 0 < value < 1 << 32:
        raise argparse.ArgumentTypeError(f"not a number from 1 on: {text}")
    return value


def add_arch(
    parser: argparse.ArgumentParser, default: str = arch.HOST.name
) -> None:
    """Adds what names the architecture."""
    more = () if default in arch.ALL else (default,)
    parser.add_argument(
        "--arch",
        choices=(*arch.ALL, *more),
        default=default,
        help=f"the machine's architecture ({default})",
    )


def add_xen(parser: argparse.ArgumentParser) -> None:
    """Adds what names Xen's version."""
    parser.add_argument(
        "--xen",
        choices=versions.XENS,
        default="",
        help="Debian's Xen (default: the one of the host's release); 4.20 on arm64 is "
        "built here from Debian's source, with device models; 4.20-debian is Debian's own; "
        f"{hypervisor.SILENT} is built here, for amd64, and says that it did what it did not",
    )


def add_pvh(parser: argparse.ArgumentParser) -> None:
    """Adds what has a PVH dom0."""
    parser.add_argument(
        "--pvh",
        action="store_true",
        help="have a PVH dom0, auto-translated, in place of a PV one (amd64 only)",
    )


def add_machine(
    parser: argparse.ArgumentParser,
    drivers: Sequence[str],
    timeout: float,
    default_arch: str = arch.HOST.name,
) -> None:
    """Adds all that describes a machine."""
    parser.set_defaults(driver="ours", log=None)
    add_arch(parser, default_arch)
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
        type=seconds,
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
    add_xen(parser)
    add_pvh(parser)
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


def add_files(parser: argparse.ArgumentParser) -> None:
    """Adds what a machine gets beside its own files."""
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


def add_timeout(parser: argparse.ArgumentParser, default: float) -> None:
    """Adds the time limit, where there are several machines."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=default,
        metavar="SECONDS",
        help=f"time limit of each machine from power-on ({default:.0f})",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds what names the file of a patch."""
    parser.add_argument(
        "--output", default="", metavar="FILE", help="the patch (a file in build/patches)"
    )


def _output(option: str, text: str) -> Path:
    """Returns a file that is to be written; what is no regular one is not replaced."""
    path = host.path(text)
    named = os.path.basename(text) not in ("", ".", "..")
    if not named or os.path.exists(text) and not os.path.isfile(text):
        raise Failure(Status.USAGE, f"{option} {text} is no regular file")
    return path


def options(args: argparse.Namespace) -> machine.Options:
    """Returns the machine that a command asks for."""
    linux = args.kernel if args.kernel in versions.KERNELS else ""
    kernel = host.path(args.kernel) if args.kernel is not None and not linux else None
    if kernel is not None and not kernel.is_file():
        raise Failure(
            Status.USAGE,
            f"--kernel {args.kernel}: there is no such file, and the versions are "
            f"{', '.join(versions.KERNELS)}",
        )
    log = _output("--log", args.log) if args.log is not None else None
    if log is not None and not log.parent.is_dir():
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


def each_driver(args: argparse.Namespace) -> list[machine.Options]:
    """Returns the options for each of the wanted drivers."""
    drivers = ("ours", "stock") if args.driver == BOTH else (args.driver,)
    return [
        options(argparse.Namespace(**{**vars(args), "driver": driver}))
        for driver in drivers
    ]


def each_arch(args: argparse.Namespace) -> list[machine.Options]:
    """Returns the options for each of the wanted architectures."""
    names = tuple(arch.ALL) if args.arch == BOTH else (args.arch,)
    return [
        options(argparse.Namespace(**{**vars(args), "arch": name})) for name in names
    ]


def look(machines: Sequence[machine.Options]) -> None:
    """Refuses machines that there cannot be."""
    for each in machines:
        machine.check(each)
        versions.check_pages(each)


def look_at_files(args: argparse.Namespace) -> None:
    """Refuses files for dom0 that there are not."""
    for name in args.add:
        if not host.path(name).exists():
            raise Failure(Status.USAGE, f"--add {name}: there is no such file")


def look_at_output(out: str) -> None:
    """Refuses a patch's file that cannot be written."""
    if out:
        _output("--output", out)


def look_at_sources(names: Sequence[str | None]) -> None:
    """Refuses sources that are no directories; one that was not named is None."""
    for name in names:
        if name is not None and not host.path(name).is_dir():
            raise Failure(Status.USAGE, f"{name} is no directory: name an unpacked source")


def write_patch(tree: edit.Tree, message: str, name: str, out: str) -> int:
    """Writes a patch to where it was asked for; returns the exit status."""
    made = host.BUILD / "patches" / f"{name}.patch"
    output = _output("--output", out) if out else made
    tree.patch(message, output)
    print(output, flush=True)
    return Status.GOOD
