# SPDX-License-Identifier: GPL-2.0-only
"""Runs test programs in dom0 and tells their outputs apart."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab import ktap

DIRECTORY = "/opt/xen-selftests"
# Seconds, for a program that hangs outside of its tests, which have limits of their own.
PROGRAM_LIMIT = 1800

# Begins the lines that the scripts here print between the programs' own.
_MARK = "==xenlab=="


def begin(name: str) -> str:
    """Returns the shell command that says that a section begins."""
    return f"echo; echo {shlex.quote(f'{_MARK} begin {name}')}"


def end(status: str = "$?") -> str:
    """Returns the shell command that says how a section ended."""
    return f'xenlab_status={status}; echo; echo "{_MARK} end $xenlab_status"'


def run(program: str, limit: int = PROGRAM_LIMIT) -> str:
    """Returns the shell command that runs a program, with a time limit.

    Options may follow the program's name.
    """
    # Debian 11's busybox cannot try SIGTERM first.
    words = shlex.split(f"{DIRECTORY}/{program}")
    return f"timeout -s KILL {limit} {shlex.join(words)} 2>&1"


def script(names: Sequence[str], limit: int = PROGRAM_LIMIT) -> str:
    """Returns a shell script that runs programs one after the other."""
    return "\n".join(f"{begin(name)}\n{run(name, limit)}\n{end()}" for name in names)


@dataclass
class Section:
    """What was printed between a begin and an end."""

    name: str
    lines: list[str] = field(default_factory=list)
    # None: the end never came.
    status: int | None = None
    start: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def remarks(self) -> list[str]:
        """Returns what the program says of itself: "# its name: ..."."""
        mark = f"# {self.name.split()[0]}: "
        return [line for line in self.lines if line.startswith(mark)]

    def report(self) -> ktap.Report:
        """Reads the section as a test program's output."""
        return ktap.parse(self.name, self.lines, self.status)


@dataclass
class Sections:
    """A sink for a machine's output: cuts it up and hands on each section."""

    done: Callable[[Section], None] = lambda section: None
    all: list[Section] = field(default_factory=list)
    _open: Section | None = None
    _rest: bytes = b""

    def __call__(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for raw in whole:
            self._line(raw.decode("utf-8", errors="replace"))

    def finish(self) -> None:
        """Closes what the machine's end has left open."""
        if self._rest:
            self._line(self._rest.decode("utf-8", errors="replace"))
            self._rest = b""
        self._close(None)

    def _line(self, line: str) -> None:
        if line.startswith(f"{_MARK} begin "):
            self._close(None)
            self._open = Section(line.removeprefix(f"{_MARK} begin "))
        elif line.startswith(f"{_MARK} end "):
            self._close(int(line.removeprefix(f"{_MARK} end ")))
        elif self._open is not None:
            self._open.lines.append(line)

    def _close(self, status: int | None) -> None:
        if self._open is not None:
            self._open.status = status
            self._open.seconds = time.monotonic() - self._open.start
            self.all.append(self._open)
            self.done(self._open)
            self._open = None
