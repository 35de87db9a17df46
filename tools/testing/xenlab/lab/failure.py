# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong, told apart by exit status."""

import enum
from collections.abc import Sequence


class Status(enum.IntEnum):
    """Exit statuses of the xenlab command; each has its sentence in --help."""

    GOOD = 0
    COMMAND = 1
    USAGE = 2
    SPLAT = 3
    XEN = 4
    TIMEOUT = 5
    TOOL = 6
    NOT_DEBIAN = 7
    SILENT = 8
    DRIVER = 9
    BUILD = 10
    DECLINED = 11


MEANING = {
    Status.GOOD: "all is well",
    Status.COMMAND: "the command or a test in dom0 failed",
    Status.USAGE: "bad usage or bad input",
    Status.SPLAT: "dom0's kernel warned or crashed (WARNING, BUG, Oops, panic, ...)",
    Status.XEN: "Xen crashed",
    Status.TIMEOUT: "the time limit passed",
    Status.TOOL: "a tool or package is missing on the host",
    Status.NOT_DEBIAN: "the host is not Debian",
    Status.SILENT: "the machine ended without reporting a result",
    Status.DRIVER: "a module did not load in dom0, or xenfs did not mount",
    Status.BUILD: "a download or a build failed",
    Status.DECLINED: "the answer to a question was no, and nothing was changed",
}


class Failure(Exception):
    """Ends a command with a status and one line; evidence is printed before."""

    def __init__(
        self, status: Status, message: str, evidence: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.evidence = tuple(evidence)
