# SPDX-License-Identifier: GPL-2.0-only
"""The machine's console: its log, and what in it is a kernel splat or a Xen crash."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

# Each of these starts or belongs to a report that Linux makes about itself.
# User programs' own crashes ("prog[12]: segfault at") are not among them.
LINUX_SPLAT = re.compile(
    r"""
      \bWARNING:[ ]
    | \bBUG:[ ]
    | \bkernel[ ]BUG[ ]at\b
    | \bOops\b
    | \bKernel[ ]panic\b
    | \bInternal[ ]error:
    | \b(KASAN|KCSAN|KMSAN|KFENCE):[ ]
    | \bUBSAN:[ ]
    | \bODEBUG:[ ]
    | \bDEBUG_LOCKS_WARN_ON\b
    | \brefcount_t:[ ]
    | \blist_(add|del)[ ]corruption\b
    | \bunchecked[ ]MSR[ ]access\b
    | \bBad[ ]page\b
    | \bBad[ ]rss-counter\b
    | \bBad[ ]swap\b
    | \bINFO:[ ](task[ ].*[ ]blocked|possible|trying[ ]to[ ]register|rcu)
    | \brcu.*[ ]detected[ ].*stalls?\b
    | \brcu.*[ ]kthread[ ]starved\b
    | \bself-detected[ ]stall\b
    | \bsuspicious[ ]RCU\b
    | \bkmemleak:[ ]\d+[ ]new[ ]suspected
    | \bpage[ ]allocation[ ](failure|stalls)\b
    | \binvoked[ ]oom-killer\b
    | \bslab.*[ ](corruption|error)\b
    | \bstack-protector:
    | \b(double[ ]fault|invalid[ ]opcode|divide[ ]error|stack[ ]segment):[ ]\d
    | ^(?!.*\btraps:).*\bgeneral[ ]protection[ ]fault\b
    | \bUnable[ ]to[ ]handle[ ]kernel\b
    | \bCall[ ][Tt]race:
    | \bcut[ ]here\b
    """,
    re.VERBOSE,
)

# What Xen says when a domain's kernel, dom0's here, is at fault, or warns.
XEN_SPLAT = re.compile(
    r"""
      \bDomain[ ]0[ ].*[ ]crashed\b
    | \bHardware[ ]Dom0[ ]crashed\b
    | \bXen[ ]WARN[ ]at\b
    """,
    re.VERBOSE,
)

XEN_CRASH = re.compile(
    r"""
      \bPanic[ ]on[ ]CPU\b
    | \bXen[ ]BUG[ ]at\b
    | \bAssertion[ ]'.*'[ ]failed\b
    | \bFATAL[ ](TRAP|PAGE[ ]FAULT)\b
    | \bReboot[ ]in[ ]five[ ]seconds\b
    """,
    re.VERBOSE,
)

# After one of these nothing more comes of the machine. The last is QEMU's own.
THE_END = re.compile(
    r"\bReboot in five seconds\b|\bHardware Dom0 (crashed|halted|shutdown: rebooting)\b"
    r"|^KVM internal error\b"
)

# The kernel's options have it panic then; one that cannot loops in this for ever.
OOPS = re.compile(r"\bOops: ")

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def clean(raw: bytes) -> str:
    """Returns a console line without what only a terminal understands."""
    return _CONTROL.sub("", raw.decode("utf-8", errors="replace")).rstrip()


def split_xen(line: str) -> tuple[str, str]:
    """Splits a line into dom0's part and Xen's, which may have cut in."""
    dom0, mark, xen = line.partition("(XEN) ")
    return dom0, mark + xen


def is_splat(line: str) -> bool:
    """Tells whether a line belongs to a splat."""
    dom0, xen = split_xen(line)
    return bool(LINUX_SPLAT.search(dom0) or XEN_SPLAT.search(xen))


def is_xen_crash(line: str) -> bool:
    """Tells whether a line belongs to the report of a Xen crash."""
    return bool(XEN_CRASH.search(split_xen(line)[1]))


@dataclass
class Console:
    """Takes what the console prints, keeps it and writes it to the log file."""

    log: TextIO
    start: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)
    splat: int | None = None
    xen_crash: int | None = None
    end: int | None = None
    oops: bool = False
    _rest: bytes = b""

    def feed(self, data: bytes) -> None:
        """Takes more of the console's output."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for raw in whole:
            self._line(clean(raw))

    def finish(self) -> None:
        """Takes a last line that has no end."""
        if self._rest:
            self._line(clean(self._rest))
            self._rest = b""

    def _line(self, line: str) -> None:
        self.log.write(f"{time.monotonic() - self.start:8.2f} {line}\n")
        self.log.flush()
        if self.xen_crash is None and is_xen_crash(line):
            self.xen_crash = len(self.lines)
        if self.splat is None and is_splat(line):
            self.splat = len(self.lines)
        if self.end is None and THE_END.search(line):
            self.end = len(self.lines)
        self.oops = self.oops or bool(OOPS.search(split_xen(line)[0]))
        self.lines.append(line)

    def excerpt(self, around: int, before: int = 3, after: int = 30) -> Sequence[str]:
        """Returns the lines around one of them."""
        return self.lines[max(0, around - before) : around + after]

    def tail(self, count: int = 20) -> Sequence[str]:
        """Returns the last lines."""
        return self.lines[-count:]

    def between(self, first: str, last: str) -> Sequence[str]:
        """Returns the lines after the one with a text and before one with another."""
        chosen: list[str] = []
        inside = False
        for line in self.lines:
            if last in line:
                inside = False
            if inside:
                chosen.append(line)
            if first in line:
                inside = True
        return chosen


def open_log(path: Path) -> TextIO:
    """Opens a log file for writing."""
    return path.open("w", encoding="utf-8")
