#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Real Xen and a real dom0 in QEMU: fetch, build, boot, run, report."""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # There is nothing to clean up before main(), and no traceback is to be shown.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn, Protocol

# Compiled Python belongs below build/ like all that is made.
sys.pycache_prefix = str(Path(__file__).resolve().parents[3] / "build/pycache")

from campaigns import (
    bench, check, coverage, deb, debug, demo, differential, everything, fetch, kselftest, lint,
    matrix, mutants, outcome, overlay, overlay_check, overlay_test, path, qemu, qemu_arm64, run,
    scale, selfcheck, selinux, series, series_check, setup, shell, suite, toolstack, upstream_check,
    upstream_patch,
)
from lab import cross, host, packages
from lab.failure import MEANING, Failure, Status

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


class Module(Protocol):
    """What the module of a command has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options of the command."""

    def main(self, args: argparse.Namespace) -> int:
        """Runs the command; returns the exit status."""


# A module may have look(args), too, which refuses bad arguments before anything is done.
LOOK = "look"


class Command(NamedTuple):
    """A command; what make has a target for is called as that is."""

    name: str
    module: Module
    text: str


COMMANDS = (
    Command("setup", setup, "install the Debian packages that this host lacks"),
    Command("fetch", fetch, "fetch and unpack Debian packages into the cache"),
    Command("path", path, "print a fetched directory, fetched first if need be"),
    Command("run", run, "boot, run a shell command in dom0, power off"),
    Command("shell", shell, "boot with a shell in dom0 on this terminal"),
    Command("test", suite, "build the selftests and run them in dom0"),
    Command("differential", differential, "compare our driver with the stock one"),
    Command("check-debug", debug, "run tests on kernels with lockdep, kmemleak, KASAN and others"),
    Command(
        "coverage", coverage, "tell which lines of the driver the tests reach, by gcov"
    ),
    Command("bench", bench, "count what calls cost on both drivers"),
    Command("bench-scale", scale, "count what calls cost with many domains and doorbells"),
    Command(
        "check-selinux",
        selinux,
        "compile the manual's SELinux policy, and enforce it in dom0",
    ),
    Command("demo", demo, "run the demo in dom0"),
    Command("check-toolstack", toolstack, "run Debian's toolstack and QEMU on a driver"),
    Command(
        "check-qemu",
        qemu,
        "build a QEMU that asks Xen for the vCPUs, and run it in its sandbox",
    ),
    Command(
        "check-qemu-arm64",
        qemu_arm64,
        "build the same for Arm's guests, and run it on arm64",
    ),
    Command(
        "kselftest-install",
        kselftest,
        "put the selftests into a directory, for a dom0 that is in use",
    ),
    Command("check-deb", deb, "install, test and remove the Debian packages on a dom0"),
    Command("mutants", mutants, "show that broken drivers fail the tests"),
    Command("matrix", matrix, "run the selftests on every kernel and every Xen"),
    Command("overlay", overlay, "make a patch that puts the driver into a kernel source"),
    Command(
        "upstream-patch",
        upstream_patch,
        "make a patch with the new command alone, for the kernel's driver or Xen's library, "
        "or one that has QEMU ask by it",
    ),
    Command(
        "series",
        series,
        "make series of patches: fixes of the kernel's own driver, and the new command",
    ),
    Command(
        "check-series",
        series_check,
        "show that each fix of a series turns the tests green that it names, and builds",
    ),
    Command("check-overlay", overlay_check, "build what overlay makes in kernel sources"),
    Command(
        "overlay-test",
        overlay_test,
        "run the selftests on an arm64 kernel that has the driver built in",
    ),
    Command("check-upstream", upstream_check, "run what upstream-patch makes on real Xen"),
    Command("check", check, "run all checks, each of which is a command"),
    Command("lint", lint, "check the sources; silent when clean"),
    Command("everything", everything, "run make's targets, and record how each ended"),
    Command("selfcheck", selfcheck, "check xenlab itself, also on real boots"),
)


def _statuses() -> str:
    lines = [f"  {int(status):<3} {MEANING[status]}" for status in Status]
    return "\n".join(["exit status:", *lines])


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise Failure(Status.USAGE, f"{message}; '{self.prog} --help' says more")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="xenlab.py",
        description=DESCRIPTION,
        epilog=f"{EXAMPLES}\n\n{_statuses()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--packages",
        default="",
        metavar="GROUPS",
        help="install first what these groups, with a comma between them, lack: see setup",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module, text in COMMANDS:
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_statuses(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(function=module.main, look=getattr(module, LOOK, None))
    return parser


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
        # Who started xenlab may have had it ignored.
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        args = _parser().parse_args(arguments)
        host.suite()
        if args.look is not None:
            args.look(args)
        if args.packages:
            packages.setup(args.packages.split(","))
        cross.use()
        function: Callable[[argparse.Namespace], int] = args.function
        return int(function(args))
    except Failure as failure:
        outcome.complain(failure)
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
