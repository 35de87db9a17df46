# SPDX-License-Identifier: GPL-2.0-only
"""Debian's Xen toolstack and QEMU, unmodified, on a driver: guests from boot to end."""

import argparse
import gzip
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaigns import arguments, kselftest, outcome, suite
from lab import (
    arch,
    build,
    console,
    cpio,
    fetch,
    host,
    image as images,
    kmod,
    ktap,
    machine,
    programs,
    skips,
    versions,
)
from lab.failure import Failure, Status

SCRIPT = host.DATA / "toolstack-checks"
GUEST_INIT = host.DATA / "guest-init"

PACKAGES = fetch.Spec(
    "toolstack",
    (
        *("busybox", "coreutils", "kmod", "qemu-system-xen", "seabios", "xen-utils-4*"),
        "xenstore-utils",
    ),
    lambda tree: None,
)
# busybox stands for the programs in /bin and /sbin, of which modprobe would need
# files that only maintainer scripts make. The rest nothing here reads.
LEFT_OUT = (
    "bin",
    "dev",
    "sbin",
    "tmp",
    "usr/lib/debug",
    "usr/lib/ipxe",
    "usr/sbin/modprobe",
    "usr/share/doc",
    "usr/share/iso-codes",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/xml",
    "var",
)
# Who QEMU becomes with dm_restrict.
QEMU_USER = "xen-qemuuser-shared:x:998:998::/nonexistent:/bin/false\n"
QEMU_GROUP = "xen-qemuuser-shared:x:998:\n"
# Maintainer scripts and the init system would have made these.
DIRECTORIES = (
    "var/lib/toolstack",
    "var/lib/xen",
    "var/lib/xenstored",
    "var/lock",
    "var/log/xen/console",
)

# The distribution's, of which guests that test a driver load some.
MODULES = ("xen-evtchn", "xen-gntalloc", "xen-gntdev", "xen-privcmd")

# The root file system takes memory; the last one of two options counts.
XEN_OPTIONS = "dom0_mem=1024M,max:1024M"
DIRECTORY = "opt/toolstack"
DEBIAN_QEMU = "/usr/libexec/xen-qemu-system-i386"
HELPERS = (
    "copy-files",
    "drive-guest",
    "guest.bin",
    "hold-domain",
    "idle-guest",
    "late-xenstore",
    "limits",
    "reach",
    "set-target",
    "take-domid",
)


@dataclass(frozen=True)
class Check:
    """A check of the script; one of a test program counts each of its tests."""

    name: str
    # Seconds; a machine that has more to do is several times slower.
    limit: int = 600
    tests: bool = False
    script: Path = SCRIPT


# Seconds for a guest with QEMU, which takes one or two minutes on an idle machine.
BOOT = 1300

STUBDOM = (
    Check("stubdom_serves_its_domain", 400, tests=True),
    Check("stubdom_reaches_only_its_domain", 150, tests=True),
    Check("stubdom_emulator_ends_with_its_domain"),
    Check("stubdom_is_told_of_the_end"),
    Check("stubdom_keeps_the_domid"),
    Check("stubdom_is_destroyed"),
    Check("stubdom_serves_doorbells", 500, tests=True),
    Check("stubdom_is_destroyed_while_it_serves", 300),
)
# What does not wait for XenStore.
DOMU = (
    Check("domu_without_target", 150, tests=True),
    Check("domu_with_target", 150, tests=True),
    Check("domu_unrestricted", 150, tests=True),
    Check("domu_unrestricted_without_a_value", 150, tests=True),
    Check("domu_unrestricted_on_the_command_line", 150, tests=True),
    Check("domu_is_destroyed"),
)


def pv(check: Check) -> Check:
    """Returns the same check of a PV domain."""
    return replace(check, name=f"pv_{check.name}")


START = (Check("daemons"),)
PARTS: Mapping[str, Sequence[Check]] = {
    "guests": (
        Check("xl_info"),
        Check("xl_list"),
        Check("xen_test_resource"),
        Check("xen_test_paging_mempool"),
        Check("pages_come_back", 300),
        Check("pvh_boots", 300),
        Check("pvh_pauses"),
        Check("pvh_saves_and_restores", 240),
        Check("pvh_is_destroyed"),
    ),
    # A file is restricted to the guest all the time.
    "held": (
        Check("held_boots", 300),
        Check("held_saves_and_restores", 240),
        Check("held_reboots", 300),
        Check("held_is_destroyed"),
    ),
    "domu": (
        Check("domu_before_xenstore", 450, tests=True),
        Check("domu_waits_for_xenstore"),
        *DOMU,
    ),
    "pv-domu": (Check("pv_domu_boots", 300), *(pv(check) for check in DOMU)),
    "vchan": (
        Check("vchan_carries_data", 400),
        Check("vchan_is_told_of_a_destroyed_domain"),
        Check("vchan_is_destroyed"),
    ),
    "hvm": (
        Check("hvm_starts"),
        Check("hvm_qemu_has_no_privileges"),
        Check("hvm_boots", BOOT),
        Check("hvm_is_destroyed"),
    ),
    # The same guest, and what its QEMU reaches and serves; takes some minutes more.
    "qemu": (
        Check("hvm_starts"),
        Check("hvm_qemu_has_no_privileges"),
        Check("hvm_qemu_passes_xens_checker"),
        Check("hvm_qemu_reaches_only_its_domain", tests=True),
        Check("hvm_boots", BOOT),
        Check("hvm_qemu_serves_each_vcpu", BOOT),
        Check("hvm_is_destroyed"),
    ),
    # All tests on a dom0 that is in use.
    "kselftest": (
        Check("kselftest_starts_a_guest", 300),
        Check("kselftest_leaves_the_guest_alone", 1800),
        Check("kselftest_cleans_up_when_it_is_killed", 300),
        Check("kselftest_ends_with_the_guest"),
    ),
    # Needs Xen 4.19 or newer.
    "stubdom": STUBDOM,
    "pv-stubdom": tuple(pv(check) for check in STUBDOM),
}
DEFAULT = ("guests", "held", "domu", "pv-domu", "pv-stubdom", "vchan", "hvm")
END = (Check("no_domain_is_left"),)
LOGS = Check("logs")
# Those of guests that run the driver, of whichever type.
DRIVER_LOGS = ("guest-domu-", "guest-stubdom-", "guest-serving-", "guest-vchan-")


def checks(
    parts: Iterable[str], known: Mapping[str, Sequence[Check]] = PARTS
) -> list[Check]:
    """Returns the checks of some parts, in their order, and what frames them."""
    for name in parts:
        if name not in known:
            raise Failure(
                Status.USAGE, f"there is no part {name}; there are: {' '.join(known)}"
            )
    return [*START, *(check for name in parts for check in known[name]), *END]


def add_tree(archive: cpio.Archive, tree: Path, place: str = "") -> None:
    """Adds a tree of packages; /lib is a link to /usr/lib in the archive."""
    for entry in sorted(os.scandir(tree / place), key=lambda entry: entry.name):
        path = f"{place}/{entry.name}".lstrip("/")
        target = f"usr/{path}" if path.startswith("lib") else path
        if path in LEFT_OUT:
            continue
        if entry.is_symlink():
            archive.symlink(target, os.readlink(entry.path))
        elif entry.is_dir():
            add_tree(archive, tree, path)
        else:
            archive.copy(target, Path(entry.path))


def starter(command: str) -> bytes:
    """Returns a script for device_model_override, as the manual has it for QEMU 10.

    libxl lets a restricted QEMU write files of 256 KiB, and QEMU 10 has the guest's
    screen in one: 32 MiB instead.
    """
    return f"""\
#!/bin/busybox sh
[ "$(cat /sys/hypervisor/version/minor)" -lt 20 ] || ulimit -f 65536
exec {command} "$@"
""".encode()


def _initrd(archive: cpio.Archive) -> bytes:
    # Under QEMU the guest's firmware reads it byte by byte.
    file = io.BytesIO()
    archive.write(file)
    return gzip.compress(file.getvalue(), compresslevel=6, mtime=0)


def plain_guest(
    trees: fetch.Trees,
    image: images.Image,
    programs: Sequence[Path] = (),
    modules: Sequence[kmod.Module] = (),
) -> bytes:
    """Returns the file system of a guest that knows nothing of Xen."""
    archive = images.root(trees, modules, image.version, GUEST_INIT, libraries=())
    for program in programs:
        archive.copy(f"usr/bin/{program.name}", program)
    return _initrd(images.overlay(replace(image, modules=modules), (), archive))


def _add_kmod(archive: cpio.Archive, tools: Path) -> None:
    """Adds kmod's own programs, and what they need beside libc."""
    program = next(tools.glob("**/bin/kmod"))
    for name in ("depmod", "modprobe"):
        archive.copy(f"opt/kmod/{name}", program)
    for name in ("crypto", "lzma", "zstd"):
        for path in tools.glob(f"**/*-linux-gnu/lib{name}.so.?"):
            archive.copy(f"usr/lib/{path.parent.name}/{path.name}", path)


def _domu(
    trees: fetch.Trees,
    image: images.Image,
    modules: Sequence[kmod.Module],
    inside: Sequence[Path],
    tools: Path | None = None,
) -> bytes:
    """Returns the file system of the guests that test a driver.

    With tools it has those of kmod, too.
    """
    directory = trees.linux / "lib/modules" / image.version
    stock = kmod.installed(directory, MODULES)
    archive = images.root(trees, stock, image.version, GUEST_INIT)
    for program in inside:
        archive.copy(f"usr/bin/{program.name}", program)
    if tools is not None:
        _add_kmod(archive, tools)
    return _initrd(images.overlay(replace(image, modules=stock), modules, archive))


def installed(tools: Path) -> cpio.Archive:
    """Returns the toolstack as it is when it has been installed."""
    files = cpio.Archive()
    add_tree(files, tools)
    files.data("etc/passwd", (images.PASSWD + QEMU_USER).encode())
    files.data("etc/group", (images.GROUP + QEMU_GROUP).encode())
    files.symlink("var/run", "/run")
    for name in DIRECTORIES:
        files.directory(name)
    return files


def _load(
    trees: fetch.Trees,
    tools: Path,
    image: images.Image,
    modules: Sequence[kmod.Module],
) -> machine.Load:
    """Returns what dom0 gets: the toolstack, the guests and the checks."""
    selftests = build.selftests(trees)
    files = installed(tools)
    inside = [selftests / name for name in ("doorbell", "emulator", "hold-domain", "reach")]
    xenstore = tools / "usr/bin/xenstore-read"
    hvm = [selftests / "dma-ports"]
    files.data(f"{DIRECTORY}/plain.cpio.gz", plain_guest(trees, image))
    files.data(f"{DIRECTORY}/hvm.cpio.gz", plain_guest(trees, image, hvm))
    domu = _domu(trees, image, modules, [*inside, xenstore])
    files.data(f"{DIRECTORY}/domu.cpio.gz", domu)
    vchan = _domu(trees, image, modules, [selftests / "vchan", xenstore], tools)
    files.data(f"{DIRECTORY}/vchan.cpio.gz", vchan)
    for name in ("serving", "stubdom"):
        files.symlink(f"{DIRECTORY}/{name}.cpio.gz", "domu.cpio.gz")
    files.copy(f"{DIRECTORY}/vmlinux", image.kernel)
    files.copy(f"{DIRECTORY}/vmlinuz", trees.linux / f"boot/vmlinuz-{image.version}")
    for name in HELPERS:
        files.copy(f"{DIRECTORY}/{name}", selftests / name)
    files.copy(f"{DIRECTORY}/{SCRIPT.name}", SCRIPT)
    files.data(f"{DIRECTORY}/debian-qemu", starter(DEBIAN_QEMU), 0o755)
    kselftest.put(files, f"{DIRECTORY}/kselftest", selftests)
    return machine.Load(modules, files)


def _command(check: Check) -> str:
    script = f"timeout -k 5 {check.limit} sh /{DIRECTORY}/{check.script.name} {check.name}"
    return f"{programs.begin(check.name)}\n{script} 2>&1\n{programs.end()}"


def _status(section: programs.Section) -> str:
    if section.status is None:
        return "did not come to an end"
    if section.status in ktap.TIME_LIMIT:
        return "ran into its time limit"
    return f"status {section.status}"


def judge(
    section: programs.Section, expected: skips.Skips
) -> tuple[ktap.Counts, list[str]]:
    """Counts a check, and says what to show of it."""
    if any(check.tests and check.name == section.name for check in checks(PARTS)):
        counts, lines = ktap.judge(section.report(), expected)
        return counts, [f"{section.name}: {counts} ({section.seconds:.1f} s)", *lines]
    if section.status == 0:
        return ktap.Counts(passed=1), [f"ok   {section.name} ({section.seconds:.1f} s)"]
    first = f"FAIL {section.name} ({section.seconds:.1f} s): {_status(section)}"
    shown = [f"    {line}" for line in section.lines[-40:] if line]
    return ktap.Counts(failed=1), [first, *shown]


def _keep(sections: programs.Sections, log: Path) -> None:
    """Writes what the checks said, and the guests' logs, next to the console log."""
    lines = []
    for section in sections.all:
        lines += [f"== {section.name}: {_status(section)}", *section.lines]
    path = suite.guests_log(log)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    host.say(f"what the checks, guests and QEMU wrote: {path}")


def splats(sections: programs.Sections) -> list[str]:
    """Returns what the domUs' kernels, in which the driver runs, complained of.

    The other guests' kernels are not ours to judge: on some days Linux 6.1 warns
    about its clock events when it goes on after a restore.
    """
    found = []
    log = ""
    for section in sections.all:
        for line in section.lines if section.name == LOGS.name else ():
            if heading := re.fullmatch("==> (.*) <==", line):
                log = heading[1]
            elif log.startswith(DRIVER_LOGS) and console.is_splat(line):
                found.append(line)
    return found


def _once(
    options: machine.Options,
    chosen: Sequence[Check],
    image: images.Image,
    load: machine.Load,
    expected: skips.Skips,
) -> tuple[ktap.Counts, machine.Verdict]:
    """Runs the checks in one boot."""
    total = ktap.Counts()

    def done(section: programs.Section) -> None:
        nonlocal total
        if section.name == LOGS.name:
            return
        counts, lines = judge(section, expected)
        total += counts
        for line in lines:
            print(f"  {line}", flush=True)

    print(f"driver {options.driver}:", flush=True)
    sections = programs.Sections(done)
    script = "\n".join(_command(check) for check in chosen)
    verdict = machine.boot(options, image, load, script, sections, "toolstack")
    sections.finish()
    _keep(sections, verdict.log)
    ran = {section.name for section in sections.all}
    for check in chosen:
        if check.name not in ran:
            print(f"  FAIL {check.name}: did not run", flush=True)
            total += ktap.Counts(failed=1)
    for line in splats(sections):
        print(f"  FAIL a domU's kernel: {line}", flush=True)
        total += ktap.Counts(failed=1)
    if verdict.status is not Status.GOOD:
        total += ktap.Counts(failed=1)
    return total, verdict


def run_checks(
    options: machine.Options,
    chosen: Sequence[Check],
    add: Callable[[cpio.Archive], None] = lambda files: None,
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs checks with one driver, in one boot, with more files; the toolstack is Xen's."""
    options = replace(options, xen_append=f"{XEN_OPTIONS} {options.xen_append}".strip())
    trees = versions.trees(options)
    tools = fetch.tree(PACKAGES, versions.xen_release(options.xen))
    image = images.make(trees)
    modules = build.modules(trees).modules() if options.driver == "ours" else []
    load = _load(trees, tools, image, modules)
    add(load.files)
    return run_loaded(options, [*chosen, LOGS], trees, image, load)


def run_loaded(
    options: machine.Options,
    chosen: Sequence[Check],
    trees: fetch.Trees,
    image: images.Image,
    load: machine.Load,
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs checks in one boot, with all files that they take."""
    expected = suite.expected_skips(options, trees)
    total, verdict, _ = suite.repeat(
        lambda: _once(options, chosen, image, load, expected)
    )
    return total, [] if verdict.status is Status.GOOD else [verdict.failure()]


def run(
    options: machine.Options, parts: Sequence[str]
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the checks of some parts with one driver."""
    return run_checks(options, checks(parts or DEFAULT))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock"), 1500)
    parser.add_argument(
        "part",
        nargs="*",
        help=f"{', '.join(DEFAULT)} (default: these), qemu, kselftest, stubdom (needs Xen "
        "4.19 or newer)",
    )


def look_at(machines: Sequence[machine.Options]) -> None:
    """Refuses machines on which there are no such guests."""
    arguments.look(machines)
    for options in machines:
        if options.arch is not arch.AMD64:
            raise Failure(
                Status.USAGE, "the guests are HVM and PVH ones: choose --arch amd64"
            )


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    look_at([arguments.options(args)])
    checks(args.part)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(arguments.options(args), args.part))
