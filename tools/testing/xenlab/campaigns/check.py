# SPDX-License-Identifier: GPL-2.0-only
"""All checks, two at a time: each is a command, and the sum of their counts is told."""

import argparse
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from campaigns import outcome
from lab import build, host, kernel, ktap, machine, ran
from lab.arch import SINGLE_THREAD
from lab.failure import Failure, Status

XENLAB = host.LAB / "xenlab.py"
LOGS = host.BUILD / "logs/check"
# What a check that is ended gets to clean up, in seconds.
GRACE = 10.0

SINGLE = ("--accel", SINGLE_THREAD)
EVENTFDS = ("doorbell_test", "eventfd_test", "unload_test")
# Handlers that run in threads, and interrupts that every handler is tried for.
THREADED = ("--append", "threadirqs irqfixup")
MANY = (*SINGLE, "--count", "100000", "--timeout", "3600", "doorbell_test")


@dataclass(frozen=True)
class Check:
    """A command, of xenlab's or another one, and how it must end."""

    name: str
    words: Sequence[str]
    program: str = str(XENLAB)
    status: int = 0

    def argv(self) -> list[str]:
        """Returns the command line."""
        python = [sys.executable] if self.program == str(XENLAB) else []
        return [*python, self.program, *self.words]


ALL = "all"
# By name of the list. A list's last check takes longest.
LISTS: Mapping[str, Sequence[Check]] = {
    ALL: (
        Check("selfcheck", ("selfcheck",)),
        Check("docs", ("--no-print-directory", "docs"), "make"),
        Check("test", ("test", "--driver", "both")),
        Check("test-arm64", ("test", "--arch", "arm64", "--driver", "both")),
        Check("test-eventfds", ("test", "--kernel", "6.12", *SINGLE, *EVENTFDS)),
        Check(
            "test-eventfds-arm64",
            ("test", "--arch", "arm64", "--xen", "4.20", *SINGLE, *EVENTFDS),
        ),
        Check("differential", ("differential",)),
        Check("demo", ("demo",)),
        # The demo has to notice a driver that cannot do it.
        Check("demo-on-stock", ("demo", "--driver", "stock"), status=Status.COMMAND),
        Check("mutants-arm64", ("mutants", "--arch", "arm64")),
        Check("mutants", ("mutants", "--arch", "amd64")),
    ),
    "emulators": (
        Check("qemu", ("check-toolstack", "qemu")),
        Check("stubdom", ("check-toolstack", "--xen", "4.20", "stubdom")),
        Check(
            "emulator",
            ("test", "--driver", "both", "emulator_test", "emulator_sandbox_test"),
        ),
    ),
    "habits": (
        Check(
            "does-nothing",
            ("test", "--xen", "4.20-silent", "--driver", "both", "dm_nr_vcpus_test"),
        ),
        # Foreign frames take the place of dom0's own memory.
        Check(
            "no-regions",
            ("test", "--arch", "arm64", "--xen", "4.20", "--xen-append", machine.NO_REGIONS),
        ),
        Check(
            "ballooned",
            ("test", "--kernel", kernel.BALLOONED, "--xen", "4.20", "--pvh"),
        ),
        Check(
            "threaded",
            ("test", "--kernel", "6.12", *SINGLE, *THREADED, *EVENTFDS),
        ),
        Check("crowd", ("test", "--kernel", "6.12", "--count", "1048576", "crowd_test")),
        Check(
            "answers-doorbells",
            ("test", "--kernel", "6.12", "--count", "100000", "doorbell_test"),
        ),
    ),
    "eventfds": (
        Check("amd64", ("test", "--kernel", "6.12", *MANY)),
        Check("arm64", ("test", "--arch", "arm64", "--xen", "4.20", *MANY)),
    ),
}

_COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
_FAIL = re.compile(r"^ *FAIL ")


def choose(names: Sequence[str]) -> list[Check]:
    """Returns checks by their own names and those of their lists, each once."""
    known: dict[str, Sequence[Check]] = {
        check.name: (check,) for checks in LISTS.values() for check in checks
    }
    known.update(LISTS)
    for name in names:
        if name not in known:
            raise Failure(
                Status.USAGE, f"there is no check {name}; there are: {' '.join(known)}"
            )
    return list(dict.fromkeys(check for name in names or [ALL] for check in known[name]))


def judge(text: str, status: int, wanted: int = 0) -> ktap.Counts:
    """Counts what a check's commands counted; one that counts nothing counts as one.

    A failure that no count shows is one all the same.
    """
    good = status == wanted
    found = _COUNTS.findall(text)
    if not found:
        return ktap.Counts(passed=int(good), failed=int(not good))
    passed, failed, skipped = (sum(map(int, numbers)) for numbers in zip(*found))
    return ktap.Counts(passed, failed or int(not good), skipped)


def evidence(text: str) -> list[str]:
    """Returns what went wrong: lines that say FAIL, and the end."""
    lines = text.splitlines()
    shown: list[str] = []
    for number, line in enumerate(lines):
        if _FAIL.match(line):
            shown += lines[number : number + 5]
    # Its counts are not for whoever counts what follows.
    return [f"  | {line}" for line in (*shown[:15], *lines[-8:])]


@dataclass
class Result:
    """How a check ended."""

    check: Check
    counts: ktap.Counts
    seconds: float
    text: str
    tests: Sequence[ran.Row] = ()


def table(results: Sequence[Result]) -> list[str]:
    """Returns the lines of a table of checks."""
    width = max(len("check"), *(len(result.check.name) for result in results))
    lines = [f"{'check':{width}} {'passed':>7} {'failed':>7} {'skipped':>7} {'seconds':>7}"]
    for result in results:
        counts = result.counts
        lines.append(
            f"{result.check.name:{width}} {counts.passed:7} {counts.failed:7} "
            f"{counts.skipped:7} {result.seconds:7.0f}"
        )
    return lines


@dataclass
class Running:
    """A check while it runs; its output goes to the terminal and to a log."""

    check: Check
    number: int
    log: TextIO = field(init=False)
    child: subprocess.Popen[bytes] = field(init=False)
    start: float = field(default_factory=time.monotonic)
    _rest: bytes = b""

    def __post_init__(self) -> None:
        self._ran.unlink(missing_ok=True)
        self.log = self._path.open("w", encoding="utf-8")
        self.child = subprocess.Popen(
            self.check.argv(),
            cwd=host.REPO,
            env={**os.environ, **build.NO_OUTER_MAKE, ran.VARIABLE: str(self._ran)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C on the terminal is for this process, which then ends the others.
            process_group=0,
            preexec_fn=host.die_with_parent,
        )

    @property
    def _path(self) -> Path:
        return LOGS / f"{self.check.name}.log"

    @property
    def _ran(self) -> Path:
        return LOGS / f"{self.check.name}.ran"

    def say(self, line: str) -> None:
        """Prints a line that says whose it is."""
        print(f"{self.check.name}: {line}", flush=True)

    def read(self) -> bool:
        """Takes some output; says whether there may be more."""
        assert self.child.stdout is not None
        data = os.read(self.child.stdout.fileno(), 65536)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            whole.append(self._rest)
        for raw in whole:
            line = raw.decode("utf-8", errors="replace")
            self.log.write(line + "\n")
            self.say(line)
        self.log.flush()
        return bool(data)

    def result(self) -> Result:
        """Returns how it ended."""
        status = self.child.wait()
        self._close()
        text = self._path.read_text(encoding="utf-8")
        counts = judge(text, status, self.check.status)
        seconds = time.monotonic() - self.start
        self.say(f"{'FAILED: ' if counts.failed else ''}{counts} ({seconds:.0f} s)")
        return Result(self.check, counts, seconds, text, ran.read(self._ran))

    def end(self) -> None:
        """Ends it and all that it started, with some time to clean up first."""
        self.child.terminate()
        try:
            self.child.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        self._close()

    def _close(self) -> None:
        assert self.child.stdout is not None
        self.child.stdout.close()
        self.log.close()


class Lanes:
    """Runs checks, as many at a time as there are lanes.

    The first lane takes them from the front, the second from the back, where the longest
    is: where they meet, both are done at about the same time.
    """

    def __init__(self, checks: Sequence[Check], lanes: int) -> None:
        self._left = deque(enumerate(checks))
        self._running: dict[int, Running] = {}
        self._lanes = lanes
        self._selector = selectors.DefaultSelector()
        self.results: dict[int, Result] = {}

    def _start(self, lane: int) -> None:
        if not self._left:
            return
        number, check = self._left.pop() if lane else self._left.popleft()
        running = Running(check, number)
        running.say(" ".join(("started:", *check.words)))
        assert running.child.stdout is not None
        self._running[lane] = running
        self._selector.register(running.child.stdout, selectors.EVENT_READ, lane)

    def run(self) -> list[Result]:
        """Runs all of them; returns how they ended, in the order of the list."""
        try:
            for lane in range(self._lanes):
                self._start(lane)
            while self._running:
                for key, _ in self._selector.select():
                    running = self._running[key.data]
                    if running.read():
                        continue
                    self._selector.unregister(key.fileobj)
                    self.results[running.number] = running.result()
                    del self._running[key.data]
                    self._start(key.data)
        finally:
            for running in self._running.values():
                running.end()
            self._selector.close()
        return [result for _, result in sorted(self.results.items())]


def default_lanes() -> int:
    """Returns how many machines this one can take at a time."""
    return min(2, len(os.sched_getaffinity(0)))


def run_all(checks: Sequence[Check], lanes: int) -> list[Result]:
    """Runs checks; says what went wrong, and prints a table."""
    host.directory(LOGS)
    results = Lanes(checks, lanes).run()
    for result in results:
        if result.counts.failed:
            print(f"== {result.check.name} failed; what went wrong there:")
            print("\n".join(evidence(result.text)))
    print("\n" + "\n".join(table(results)))
    return results


def run(names: Sequence[str], lanes: int) -> ktap.Counts:
    """Runs checks by their names and those of their lists."""
    results = run_all(choose(names), lanes)
    ran.write({result.check.name: result.tests for result in results})
    return sum((result.counts for result in results), ktap.Counts())


def add_lanes(parser: argparse.ArgumentParser) -> None:
    """Adds what tells how much runs at a time."""
    parser.add_argument(
        "--lanes",
        type=int,
        choices=(1, 2),
        help="how many of them at a time (2, or 1 where there is one processor)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_lanes(parser)
    parser.add_argument(
        "check",
        nargs="*",
        help="names of checks or of their lists: all (default), emulators, eventfds, habits",
    )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    choose(args.check)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(run(args.check, args.lanes or default_lanes()), [])
