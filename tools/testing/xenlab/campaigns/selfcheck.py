# SPDX-License-Identifier: GPL-2.0-only
"""Checks xenlab itself: its unit tests, then that real failures are told apart."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaigns import outcome
from lab import cpio, fetch, host, image as images, ktap, machine, programs, skips
from lab.arch import AMD64, SINGLE_THREAD
from lab.failure import Status

XENLAB = host.LAB / "xenlab.py"
# Longer than a boot takes on a busy machine, so that only a hang reaches it.
LIMIT = "300"


@dataclass(frozen=True)
class Case:
    """A command line, and how it must end."""

    name: str
    arguments: Sequence[str]
    status: Status
    # What the last line on stderr, or stdout if all is well, must contain.
    says: str


def _run(*arguments: str) -> tuple[str, ...]:
    """Returns the arguments of a run with the stock driver, which needs no build."""
    return ("run", "--driver", "stock", "--timeout", LIMIT, *arguments)


CASES = (
    Case("good", _run("--", "echo all is well"), Status.GOOD, "all is well"),
    Case("command", _run("--", "exit 3"), Status.COMMAND, "failed with status 3"),
    Case(
        "splat of a good command",
        _run("--", "echo 'WARNING: CPU: 0 PID: 1 at selfcheck' >/dev/kmsg"),
        Status.SPLAT,
        "WARNING: CPU: 0",
    ),
    Case(
        "panic",
        _run("--", "echo c >/proc/sysrq-trigger"),
        Status.SPLAT,
        "kernel splat in dom0",
    ),
    Case(
        "Xen crash",
        _run("--kernel", "/bin/true", "--", "true"),
        Status.XEN,
        "Xen crashed",
    ),
    Case(
        "hang",
        ("run", "--driver", "stock", "--timeout", "30", "--", "sleep 1000"),
        Status.TIMEOUT,
        "time limit of 30 s",
    ),
    Case(
        "silent end",
        _run("--", "poweroff -f"),
        Status.SILENT,
        "without reporting a result",
    ),
    Case(
        "xenfs does not load",
        _run("--append", "module_blacklist=xenfs", "--", "true"),
        Status.DRIVER,
        "xenfs does not load",
    ),
    Case("no command", _run("--"), Status.USAGE, "no command given"),
    Case(
        "no such kernel file",
        _run("--kernel", "/nonexistent", "--", "true"),
        Status.USAGE,
        "no such file",
    ),
)


# Test programs that go wrong, and what must be said of each.
PROGRAMS = {
    "dies_test": (
        "echo 1..2; echo '#  RUN           a.b ...'; echo '#            OK  a.b'\n"
        "echo ok 1 a.b; echo '#  RUN           a.c ...'; kill -SEGV $$",
        "died of signal 11",
    ),
    "fails_test": ("echo 1..1; echo not ok 1 a.b; exit 1", "a.b failed"),
    "hangs_test": ("echo 1..1; exec sleep 1000", "ran into its time limit"),
    "nothing_test": ("exit 0", "no test ran"),
    "short_test": ("echo 1..2; echo ok 1 a.b", "2 tests planned, 1 have a result"),
    "skips_test": (
        "echo 1..1; echo 'ok 1 a.b # SKIP no reason'",
        "a.b skipped, which no rule has: no reason",
    ),
    "swapped_test": (
        "echo 1..2; echo ok 1 a.b; echo 'ok 2 a.c # SKIP why'",
        "a.b passed, but has to be skipped: why\n"
        "FAIL swapped_test: a.c skipped, which no rule has: why",
    ),
}
EXPECTED = skips.Skips([skips.Rule("why", [{}], [("swapped_test", "a.b")])])


@dataclass
class _Checks:
    counts: ktap.Counts = ktap.Counts()

    def that(self, name: str, good: bool, shown: str) -> None:
        """Counts a check and prints its line."""
        print(f"  {'' if good else 'FAIL '}{name}", flush=True)
        if good:
            self.counts += ktap.Counts(passed=1)
            return
        self.counts += ktap.Counts(failed=1)
        for line in shown.splitlines()[-20:]:
            print(f"      {line}", flush=True)

    def skip(self, name: str, missing: str) -> None:
        """Counts a check that cannot be made here."""
        print(f"  {name}: skipped, {missing}", flush=True)
        self.counts += ktap.Counts(skipped=1)


def _xenlab(
    arguments: Sequence[str], prefix: Sequence[str] = (), path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [*prefix, sys.executable, str(XENLAB), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )


def _ends(
    checks: _Checks, name: str, done: subprocess.CompletedProcess[str], case: Case
) -> None:
    """Checks the exit status and the one line that says why."""
    lines = (done.stdout if case.status is Status.GOOD else done.stderr).splitlines()
    good = (
        done.returncode == case.status
        and bool(lines)
        and case.says in lines[-1]
        and "Traceback" not in done.stderr
    )
    checks.that(
        name, good, f"{done.stdout}{done.stderr}exit status {done.returncode}"
    )


def _check_missing_tool(checks: _Checks) -> None:
    case = Case("", (), Status.TOOL, "is missing (Debian package")
    with tempfile.TemporaryDirectory() as empty:
        done = _xenlab(_run("--", "true"), path=empty)
    _ends(checks, "missing tool", done, case)


def _check_not_debian(checks: _Checks) -> None:
    """Shows xenlab another os-release, in a mount namespace of its own."""
    case = Case("", (), Status.NOT_DEBIAN, "needs a Debian host")
    unshare = shutil.which("unshare")
    prefix = [unshare or "", "--map-root-user", "--mount"]
    probe = [*prefix, "true"]
    if not unshare or subprocess.run(probe, capture_output=True).returncode != 0:
        checks.skip("not Debian", "no user namespace can be made here")
        return
    with tempfile.TemporaryDirectory() as scratch:
        other = Path(scratch) / "os-release"
        other.write_text("ID=other\nID_LIKE=debian\nPRETTY_NAME='Other 1'\n")
        mount = f"mount --bind {other} /etc/os-release && exec \"$@\""
        done = _xenlab(_run("--", "true"), prefix=[*prefix, "sh", "-c", mount, "sh"])
    _ends(checks, "not Debian", done, case)


def _check_programs(checks: _Checks) -> None:
    """Runs test programs that go wrong in dom0, each in its own way."""
    files = cpio.Archive()
    for name, (text, _) in PROGRAMS.items():
        content = f"#!/bin/sh\n{text}\n".encode()
        files.data(f"{programs.DIRECTORY}/{name}", content, 0o755)
    sections = programs.Sections()
    verdict = machine.boot(
        machine.Options(driver="stock", accel=SINGLE_THREAD),
        images.make(fetch.trees(AMD64)),
        machine.Load((), files),
        programs.script(list(PROGRAMS), limit=5),
        sections,
        "selfcheck",
    )
    sections.finish()
    checks.that("test programs run", verdict.status is Status.GOOD, verdict.message)
    said = {item.name: ktap.judge(item.report(), EXPECTED)[1] for item in sections.all}
    for name, (_, expected) in PROGRAMS.items():
        shown = "\n".join(said.get(name, ()))
        checks.that(f"{name}: {expected}", expected in shown, shown)


def _machines(pid: int) -> list[int]:
    """Returns the QEMU processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        # The name, in parentheses, may hold anything.
        name, _, rest = text.partition("(")[2].rpartition(")")
        if name.startswith("qemu-system") and int(rest.split()[1]) == pid:
            found.append(int(text.partition(" ")[0]))
    return found


def _alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True


def _heed_interrupts() -> None:
    """In a child before exec: a shell starts background jobs deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _started() -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Starts a run that would last, and waits until QEMU is there."""
    with subprocess.Popen(
        [sys.executable, str(XENLAB), *_run("--", "sleep 1000")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_heed_interrupts,
    ) as child:
        try:
            _wait(lambda: bool(_machines(child.pid)), 30)
            # Past the start of QEMU, when its chardevs are open.
            time.sleep(1)
            yield child, _machines(child.pid)
        finally:
            child.kill()


def _check_signal(checks: _Checks, number: signal.Signals, status: int) -> None:
    """QEMU must end with xenlab, whatever ends that."""
    with _started() as (child, machines):
        child.send_signal(number)
        ended = _wait(lambda: child.poll() is not None, 10)
        gone = _wait(lambda: not any(_alive(pid) for pid in machines), 10)
    checks.that(
        f"QEMU ends on {number.name}",
        bool(machines) and ended and gone and child.returncode == status,
        f"QEMU {machines}, xenlab's status {child.returncode}, gone: {gone}",
    )


def _check_qemu_dies(checks: _Checks) -> None:
    with _started() as (child, machines):
        for pid in machines:
            os.kill(pid, signal.SIGKILL)
        ended = _wait(lambda: child.poll() is not None, 10)
    checks.that(
        "QEMU dies",
        bool(machines) and ended and child.returncode == Status.SILENT,
        f"QEMU {machines}, xenlab's status {child.returncode}",
    )


def _check_qemu_crashes(checks: _Checks) -> None:
    """A machine that QEMU's own crash ends while dom0 boots is booted once more."""
    with _started() as (child, machines):
        for pid in machines:
            os.kill(pid, signal.SIGSEGV)
        again = _wait(lambda: bool(set(_machines(child.pid)) - set(machines)), 120)
    checks.that(
        "QEMU crashes", bool(machines) and again, f"QEMU {machines}, none after that"
    )


def run() -> ktap.Counts:
    """Runs all checks."""
    checks = _Checks()
    words = ["-B", "-m", "unittest", "discover", str(host.LAB)]
    unit = subprocess.run([sys.executable, *words], check=False)
    checks.that("unit tests", unit.returncode == 0, "")
    for case in CASES:
        _ends(checks, case.name, _xenlab(case.arguments), case)
    _check_programs(checks)
    _check_missing_tool(checks)
    _check_not_debian(checks)
    _check_signal(checks, signal.SIGINT, 128 + signal.SIGINT)
    _check_signal(checks, signal.SIGTERM, 128 + signal.SIGTERM)
    _check_signal(checks, signal.SIGKILL, -signal.SIGKILL)
    _check_qemu_dies(checks)
    _check_qemu_crashes(checks)
    return checks.counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    del parser


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    del args
    return outcome.close(run(), [])
