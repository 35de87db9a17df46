# SPDX-License-Identifier: GPL-2.0-only
"""One machine: QEMU with Xen and dom0 in it, from power-on to its verdict."""

import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import cpio, host, image as images, kernel, kmod
from lab.arch import (
    ACCELERATORS,
    AMD64,
    ARM64,
    SINGLE_THREAD,
    Architecture,
    Boot,
    escape,
)
from lab.console import Console, open_log
from lab.failure import Failure, Status

Sink = Callable[[bytes], None]

# In MiB, beside dom0's: for Xen and the tests' domains.
OTHER_MEMORY = 1280
# Less makes the boot faster: dom0's kernel sets up each page.
DOM0_MEMORY = 768
# oops=panic ends a machine that would go on with a lock held.
DOM0_OPTIONS = "console=hvc0 loglevel=8 oops=panic panic=-1"
XEN_OPTIONS = "loglvl=all guest_loglvl=all"
# Xen for Arm names no address space that is free for foreign frames.
NO_REGIONS = "ext_regions=no"

# Seconds that a machine gets to end after it has no more to say.
GRACE = 30.0
CRASH_GRACE = 1.0
KEPT_LOGS = 100

# What a program brings upon itself.
CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)
# Linux reports it so where it set none.
STALE_BREAKPOINT = "Oops: int3"
# Said of each second try.
ONCE_MORE = ": once more, from the start"

# What dom0-init writes to the kernel's log.
COMMAND_STARTS = "xenlab: the command starts"
COMMAND_ENDED = "xenlab: the command has ended"


@dataclass(frozen=True)
class Options:
    """What a person may choose about a machine."""

    arch: Architecture = AMD64
    driver: str = "ours"
    accel: str = "tcg"
    timeout: float = 120.0
    # dom0's, in MiB.
    memory: int = DOM0_MEMORY
    # Versions; none is what the host's release has.
    linux: str = ""
    xen: str = ""
    # dom0 is PVH in place of what the architecture's dom0 else is.
    pvh: bool = False
    # What the processor has beside what the architecture's usual one has.
    cpu: str = ""
    # The size of the kernel's pages; none is the architecture's usual one.
    pages: str = ""
    # A file to boot instead of that.
    kernel: Path | None = None
    xen_append: str = ""
    append: str = ""
    log: Path | None = None
    # One processor whose clock counts instructions: costs are exact.
    counted: bool = False

    @property
    def auto_translated(self) -> bool:
        """Says whether dom0 has addresses of its own, as HVM domains have."""
        return self.pvh or self.arch is ARM64

    @property
    def takes_memory(self) -> bool:
        """Says whether a foreign frame takes the place of a page of dom0's memory."""
        no_regions = self.arch is ARM64 and NO_REGIONS in self.xen_append.split()
        return no_regions or (self.auto_translated and self.linux == kernel.BALLOONED)

    @property
    def silent(self) -> bool:
        """Says whether Xen is the one that says that it did what it did not."""
        return self.xen.endswith("-silent")


def default_accel(driver: str) -> str:
    """Returns how processors are emulated where nobody says how.

    Only our driver is tried with processors that really run at once.
    """
    return "tcg" if driver == "ours" else SINGLE_THREAD


@dataclass(frozen=True)
class Load:
    """What one run adds to the image."""

    modules: Sequence[kmod.Module] = ()
    files: cpio.Archive = field(default_factory=cpio.Archive)


@dataclass(frozen=True)
class Verdict:
    """How a run ended, and the evidence."""

    status: Status
    message: str
    log: Path
    evidence: Sequence[str] = ()
    # The command's own status, if it came to an end.
    exit_status: int | None = None
    # The signal that ended QEMU itself.
    killed_by: int = 0
    # The command was started.
    started: bool = False

    def emulator_fault(self) -> str:
        """Returns what QEMU did that no machine does, if it did something.

        It may die of a signal. And one of its processors may see a breakpoint that another
        one has taken out of the kernel's code.
        """
        if self.killed_by in CRASHES:
            return f"QEMU was ended by {signal.Signals(self.killed_by).name}"
        return "a breakpoint that is gone" if STALE_BREAKPOINT in self.message else ""

    def failure(self) -> Failure:
        """Returns the exception that reports it."""
        message = f"{self.message} (console log: {self.log})"
        return Failure(self.status, message, self.evidence)


def _log_path(options: Options, purpose: str) -> Path:
    if options.log is not None:
        return options.log
    logs = host.directory(host.BUILD / "logs")
    for old in sorted(logs.glob("*.log"))[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    run = f"{purpose}-{options.arch.name}-{options.driver}"
    return logs / f"{stamp}-{os.getpid()}-{run}.log"


def _drive(disk: Path) -> str:
    return f"file={escape(str(disk))},format=raw,if=virtio"


def _cpu(options: Options) -> str:
    """Returns the processor that QEMU is told to have."""
    arch = options.arch
    if not options.cpu:
        return arch.pages[options.pages] if options.pages else arch.cpus[options.accel]
    return arch.guarded_cpus[options.cpu]


def check(options: Options) -> None:
    """Refuses a machine that there cannot be."""
    arch = options.arch
    if options.cpu and options.cpu not in arch.guarded_cpus:
        raise Failure(
            Status.USAGE,
            f"--cpu {options.cpu} does not go with --arch {arch.name}: "
            f"choose {' or '.join(arch.guarded_cpus)}",
        )
    if options.cpu and not options.auto_translated:
        raise Failure(
            Status.USAGE,
            f"--cpu {options.cpu} ends a PV dom0 early: add --pvh",
        )
    if options.accel not in arch.cpus:
        raise Failure(
            Status.USAGE,
            f"--accel {options.accel} does not go with --arch {arch.name}: "
            f"choose {' or '.join(arch.cpus)}",
        )
    if options.accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Failure(
            Status.TOOL,
            "/dev/kvm cannot be opened: --accel kvm needs a processor with (nested) "
            "virtualisation and membership of the group kvm",
        )
    if options.pvh and not arch.pvh_options:
        raise Failure(
            Status.USAGE,
            f"--pvh does not go with --arch {arch.name}, where there is one kind of dom0: "
            "leave it out",
        )


def qemu_command(options: Options, image: images.Image, initrd: Path) -> list[str]:
    """Returns the QEMU command line, but for its serial port and its channels."""
    check(options)
    arch = options.arch
    kernel_options = f"{DOM0_OPTIONS} {arch.kernel_options} {options.append}".strip()
    processors = 1 if options.counted else 2
    memory = f"dom0_mem={options.memory}M,max:{options.memory}M"
    xen_options = (
        f"{arch.xen_options} {memory} {XEN_OPTIONS} dom0_max_vcpus={processors} "
        f"{'dom0=pvh ' if options.pvh else ''}{options.xen_append}".strip()
    )
    kernel = options.kernel or image.kernel
    return [
        host.tool(arch.qemu),
        *("-accel", ACCELERATORS[options.accel]),
        *("-machine", arch.machine),
        *("-cpu", _cpu(options)),
        *("-m", str(OTHER_MEMORY + options.memory)),
        *("-smp", str(processors)),
        *(("-icount", "shift=0,sleep=off") if options.counted else ()),
        *("-display", "none"),
        "-nodefaults",
        *(("-drive", _drive(image.disk)) if image.disk is not None else ()),
        *arch.options,
        *(arch.pvh_options if options.pvh else ()),
        *arch.boot(Boot(image.xen, xen_options, kernel, kernel_options, initrd)),
    ]


def config(options: Options, mode: str) -> bytes:
    """Returns what dom0-init reads."""
    values = {
        "DRIVER": options.driver,
        "MODE": mode,
        "TIMEOUT": str(int(options.timeout)),
    }
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items()).encode()


def _write_initrd(path: Path, image: images.Image, load: Load) -> None:
    """Writes the base archive and the run's own one, which the kernel unpacks in turn."""
    if image.disk is not None:
        shutil.copyfile(image.base, path)
        return
    archive = images.overlay(image, load.modules, load.files)
    with path.open("wb") as file:
        file.write(image.base.read_bytes())
        archive.write(file)


class Run:
    """A machine while it runs."""

    def __init__(self, console: Console, sink: Sink, deadline: float) -> None:
        self.console = console
        self.sink = sink
        self.deadline = deadline
        self.timed_out = False
        self.reported = ""
        self._selector = selectors.DefaultSelector()

    def watch(self, fd: int, take: Callable[[bytes], None]) -> None:
        """Has a descriptor read until its end."""
        self._selector.register(fd, selectors.EVENT_READ, take)

    def status(self, data: bytes) -> None:
        """Takes what dom0 reports."""
        self.reported += data.decode("utf-8", errors="replace")

    def report(self, word: str) -> str | None:
        """Returns the rest of dom0's report that begins with a word."""
        *whole, _ = self.reported.split("\n")
        for line in whole:
            if line.split(" ")[0] == word:
                return line.removeprefix(word).strip()
        return None

    def loop(self, child: subprocess.Popen[bytes]) -> None:
        """Reads until the machine has ended, or ends it at the deadline."""
        limit = self.deadline
        graces = [CRASH_GRACE, GRACE]
        while self._selector.get_map():
            done = self.report("exit") is not None or self.report("fail") is not None
            crashed = self.console.end is not None
            ending = done or self.console.oops
            for grace, begins in ((CRASH_GRACE, crashed), (GRACE, ending)):
                if begins and grace in graces:
                    limit = min(limit, time.monotonic() + grace)
                    graces.remove(grace)
            wait = limit - time.monotonic()
            if wait <= 0 and child.poll() is None:
                self.timed_out = not crashed
                child.kill()
                limit = float("inf")
            for key, _ in self._selector.select(max(0.0, min(wait, 1.0))):
                self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, 65536)
        except ConnectionResetError:
            data = b""
        if data:
            key.data(data)
        else:
            self._selector.unregister(key.fd)


def judge(run: Run, log: Path, timeout: float, qemu_status: int) -> Verdict:
    """Says how a run ended; what explains most comes first."""
    console = run.console
    exit_text = run.report("exit")
    exit_status = int(exit_text) if exit_text is not None else None

    def verdict(status: Status, message: str, evidence: Sequence[str]) -> Verdict:
        killed_by = max(-qemu_status, 0)
        started = run.report("start") is not None
        return Verdict(status, message, log, evidence, exit_status, killed_by, started)

    if console.xen_crash is not None:
        line = console.lines[console.xen_crash]
        return verdict(
            Status.XEN, f"Xen crashed: {line}", console.excerpt(console.xen_crash, 5)
        )
    if console.splat is not None:
        line = console.lines[console.splat]
        return verdict(
            Status.SPLAT, f"kernel splat in dom0: {line}", console.excerpt(console.splat)
        )
    failed = run.report("fail")
    if failed is not None:
        return verdict(Status.DRIVER, f"dom0 was not set up: {failed}", console.tail())
    if run.timed_out and exit_status is None:
        if run.report("start") is not None:
            message = f"the command did not end within the time limit of {timeout:.0f} s"
        else:
            message = f"dom0 did not come up within the time limit of {timeout:.0f} s"
        return verdict(Status.TIMEOUT, message, console.tail())
    if run.timed_out:
        # The result is there; what is left is only the end of the machine.
        host.say(f"dom0 did not power off within {GRACE:.0f} s and was ended")
    if exit_status is None:
        message = "the machine ended without reporting a result"
        if console.end is not None:
            message += f": {console.lines[console.end]}"
        elif qemu_status != 0:
            message += f" (QEMU's status {qemu_status})"
        return verdict(Status.SILENT, message, console.tail())
    if exit_status != 0:
        return verdict(
            Status.COMMAND,
            f"the command failed with status {exit_status}",
            console.between(COMMAND_STARTS, COMMAND_ENDED),
        )
    return verdict(Status.GOOD, "the command succeeded", ())


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Makes a directory for one run; removes those of runs that were killed."""
    runs = host.directory(host.BUILD / "runs")
    for old in runs.iterdir():
        if not Path("/proc", old.name.partition("-")[0]).exists():
            shutil.rmtree(old, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=runs)


def boot(
    options: Options,
    image: images.Image,
    load: Load,
    command: str,
    sink: Sink,
    purpose: str = "run",
) -> Verdict:
    """Boots a machine, runs a shell command in dom0 and says how it ended.

    Once more, if the emulator failed before the command was started.
    """
    verdict = _boot(options, image, load, command, sink, purpose)
    fault = verdict.emulator_fault()
    if not fault or verdict.started:
        return verdict
    host.say(f"{fault} while dom0 booted ({verdict.log}){ONCE_MORE}")
    return _boot(options, image, load, command, sink, purpose)


def _boot(
    options: Options,
    image: images.Image,
    load: Load,
    command: str,
    sink: Sink,
    purpose: str,
) -> Verdict:
    load.files.data("etc/xenlab/config", config(options, "command"))
    load.files.data("etc/xenlab/command", command.encode() + b"\n")
    log = _log_path(options, purpose)
    pairs = {name: socket.socketpair() for name in ("out", "status")}
    with _scratch() as scratch, open_log(log) as log_file:
        initrd = Path(scratch) / "initrd"
        _write_initrd(initrd, image, load)
        argv = [
            *qemu_command(options, image, initrd),
            *("-serial", "stdio"),
            *("-device", "virtio-serial-pci"),
        ]
        for name, (_, theirs) in pairs.items():
            argv += [
                *("-chardev", f"socket,id={name},fd={theirs.fileno()}"),
                *("-device", f"virtserialport,chardev={name},name=xenlab.{name}"),
            ]
        start = time.monotonic()
        run = Run(Console(log_file), sink, start + options.timeout)
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno() for _, theirs in pairs.values()],
            # Ctrl-C on the terminal is for xenlab, which then ends QEMU.
            process_group=0,
            preexec_fn=host.die_with_parent,
        )
        try:
            for _, theirs in pairs.values():
                theirs.close()
            assert child.stdout is not None
            run.watch(child.stdout.fileno(), run.console.feed)
            run.watch(pairs["out"][0].fileno(), sink)
            run.watch(pairs["status"][0].fileno(), run.status)
            run.loop(child)
            child.wait()
        finally:
            child.kill()
            child.wait()
            run.console.finish()
            for ours, _ in pairs.values():
                ours.close()
    return judge(run, log, options.timeout, child.returncode)


def shell(options: Options, image: images.Image, load: Load) -> Path:
    """Boots a machine with its console on this terminal; returns the log's path."""
    load.files.data("etc/xenlab/config", config(options, "shell"))
    log = _log_path(options, "shell")
    with _scratch() as scratch:
        initrd = Path(scratch) / "initrd"
        _write_initrd(initrd, image, load)
        argv = [
            *qemu_command(options, image, initrd),
            *("-chardev", f"stdio,id=console,mux=on,signal=off,logfile={escape(str(log))}"),
            *("-serial", "chardev:console"),
            *("-mon", "chardev=console"),
            *("-device", "virtio-serial-pci"),
        ]
        for name in ("out", "status"):
            argv += [
                *("-chardev", f"null,id={name}"),
                *("-device", f"virtserialport,chardev={name},name=xenlab.{name}"),
            ]
        with subprocess.Popen(argv, preexec_fn=host.die_with_parent) as child:
            previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                child.wait(timeout=options.timeout)
            except subprocess.TimeoutExpired as expired:
                raise Failure(
                    Status.TIMEOUT,
                    f"the shell's time limit of {options.timeout:.0f} s passed "
                    f"(console log: {log})",
                ) from expired
            finally:
                # Unlike SIGKILL, this lets QEMU put the terminal right.
                child.terminate()
                signal.signal(signal.SIGINT, previous)
    return log
