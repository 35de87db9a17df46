# SPDX-License-Identifier: GPL-2.0-only
"""The Debian packages on a Debian dom0: installed, tested, removed."""

import argparse
import gzip
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns import arguments, outcome, suite
from lab import (
    build,
    cpio,
    fetch,
    host,
    image as images,
    ktap,
    machine,
    programs,
    skips,
)
from lab.arch import HOST
from lab.failure import Failure, Status

OUTPUT = host.BUILD / "deb"
DOM0 = host.BUILD / "deb-dom0"
DKMS = "xen-privcmd-dkms"
DEV = "xen-privcmd-dev"

# What a dom0 has, what its init here needs, and what builds the samples.
PACKAGES = (
    "busybox",
    "gcc",
    "libc6-dev",
    "libseccomp-dev",
    "libxen-dev",
    # Of another kernel than the one that runs.
    "linux-headers-rt-amd64",
    "linux-image-amd64",
    "make",
    "pkg-config",
    "xen-system-amd64",
)
# As Documentation/debian.rst has it.
INSTALL = (
    "DEBIAN_FRONTEND=noninteractive "
    "apt-get -y install --no-install-recommends linux-headers-amd64 /tmp/xen-privcmd-*.deb"
)
# Elsewhere than in dom0 DKMS would build for all kernels anyway.
RUNNING = "/usr/local/bin/uname"
SAY_IT_RUNS = f"""cat > {RUNNING} << EOF && chmod +x {RUNNING}
#!/bin/sh
[ "\\$*" != -r ] || exec echo $(ls /boot/vmlinuz-* | sed s/.*vmlinuz-//)
exec /usr/bin/uname "\\$@"
EOF"""
EXAMPLES = f"/usr/share/doc/{DEV}/examples"
SAMPLE = f"cc $(pkg-config --cflags xen-privcmd) -o /opt/nr-vcpus {EXAMPLES}/nr-vcpus.c -lseccomp"
# As the Makefiles have it, which were written for another place.
SAMPLES = " && ".join(
    f"make -C {directory} UAPI=/usr/include/xen-privcmd OUTPUT=/opt/samples"
    for directory in (EXAMPLES, f"{EXAMPLES}/emulator")
)
FILES = "/tmp/files.cpio"

INIT = "/opt/dom0-init"
BOOT = f"root=/dev/vda rw init={INIT}"

# Its kernel module is not part of the package.
NOT_RUN = "dm_op_kernel_test"

# The initrd loads none of the modules, dom0-init those that modprobe finds.
BEFORE = {
    "modinfo_shows_the_packages": """
for module in xen-privcmd xen-dm-op; do
	modinfo $module
	[ "$(modinfo -F version $module)" = VERSION ] || exit 1
	modinfo -n $module | grep -q "^/lib/modules/$(uname -r)/updates/dkms/" || exit 1
done""",
    "built_for_each_kernel": """
dkms status
[ "$(ls -d /lib/modules/*/build | wc -l)" = 2 ] || exit 1
for kernel in /lib/modules/*/build; do
	kernel=$(basename "$(dirname "$kernel")")
	modinfo -k "$kernel" -n xen-privcmd | grep /updates/dkms/ || exit 1
done""",
    "they_are_signed": '[ "$(modinfo -F signer xen-privcmd)" = "DKMS module signing key" ]',
    "they_are_loaded": """
[ "$(cat /sys/module/xen_privcmd/version)" = VERSION ] &&
	[ "$(cat /sys/module/xen_dm_op/version)" = VERSION ] &&
	[ -e /sys/module/xen_dm_op/holders/xen_privcmd ]""",
    "the_command_is_there": '/opt/nr-vcpus 0 2>&1 | grep "or runs in it"',
}
AFTER = {
    "the_package_is_removed": f"apt-get -y remove {DKMS} && ! dkms status | grep xen-privcmd",
    "modinfo_shows_the_kernels": """
modinfo xen-privcmd
modinfo -n xen-privcmd | grep "^/lib/modules/$(uname -r)/kernel/" && ! modinfo xen-dm-op""",
    "the_kernels_is_loaded": """
umount /proc/xen && modprobe -r xenfs && rmmod xen-dm-op &&
	modprobe xenfs && mount -t xenfs xenfs /proc/xen &&
	[ -e /sys/module/xen_privcmd ] && [ ! -e /sys/module/xen_privcmd/version ]""",
    "the_command_is_gone": '/opt/nr-vcpus 0 2>&1 | grep "has no such command"',
}


@dataclass(frozen=True)
class Package:
    """A package file and its version."""

    file: Path
    version: str


def make() -> list[Package]:
    """Builds the packages."""
    with host.locked("deb"):
        build.make("building the packages", "", "-C", str(host.REPO), "deb")
    found = []
    for name in (DKMS, DEV):
        file = fetch.only(OUTPUT, f"{name}_*.deb")
        found.append(Package(file, file.name.split("_")[1]))
    return found


def check_policy() -> ktap.Counts:
    """Has lintian look at the packages."""
    shown = subprocess.run(
        [
            host.tool("lintian"),
            *("--fail-on", "error,warning"),
            "--allow-root",
            str(fetch.only(OUTPUT, "*.changes")),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    good = shown.returncode == 0
    print(f"  {'ok  ' if good else 'FAIL'} lintian", flush=True)
    for line in shown.stdout.splitlines():
        print(f"    {line}", flush=True)
    return ktap.Counts(passed=int(good), failed=int(not good))


def _sections(tests: Sequence[str], version: str) -> str:
    """Returns what dom0 runs."""

    def check(name: str, script: str) -> str:
        text = script.replace("VERSION", version).strip()
        return f"{programs.begin(name)}\n(\n{text}\n) 2>&1\n{programs.end()}"

    return "\n".join(
        [
            *(check(name, script) for name, script in BEFORE.items()),
            programs.script(tests),
            *(check(name, script) for name, script in AFTER.items()),
        ]
    )


def _root(packages: Sequence[Package], files: cpio.Archive) -> images.Image:
    """Makes dom0's disk, with the packages and files in it."""
    shutil.rmtree(DOM0, ignore_errors=True)
    directory = host.directory(DOM0)
    disk = directory / "disk.ext2"
    sources = directory / "apt.sources"
    sources.write_text(fetch.system_sources(host.suite()), encoding="utf-8")
    archive = directory / "files.cpio"
    with archive.open("wb") as file:
        files.write(file)
    hooks = [
        f"copy-in {' '.join(str(package.file) for package in packages)} /tmp",
        f"""chroot "$1" sh -c '{SAY_IT_RUNS}'""",
        f"""chroot "$1" sh -c '{INSTALL}'""",
        f"""rm "$1{RUNNING}\"""",
        f"""chroot "$1" sh -c '{SAMPLE} && {SAMPLES}'""",
        f"upload {archive} {FILES}",
        f"""chroot "$1" sh -c 'cd / && busybox cpio -idu <{FILES}'""",
        f"copy-out /boot {directory}",
    ]
    host.command(
        "installing the packages on a new dom0",
        [
            host.tool("mmdebstrap"),
            "--variant=apt",
            "--format=ext2",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            f"--include={','.join(PACKAGES)}",
            *(f"--customize-hook={hook}" for hook in hooks),
            host.suite(),
            str(disk),
            str(sources),
        ],
    )
    boot = directory / "boot"
    kernel = fetch.only(boot, "vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    unpacked = directory / "vmlinux"
    unpacked.write_bytes(images.unpack_kernel(kernel.read_bytes()))
    xen = directory / "xen"
    with gzip.open(fetch.only(boot, "xen-*-amd64.gz")) as packed, xen.open("wb") as file:
        shutil.copyfileobj(packed, file)
    initrd = boot / f"initrd.img-{version}"
    return images.Image(HOST, xen, unpacked, initrd, version, (), disk)


def _judge(
    section: programs.Section, tests: Sequence[str], expected: skips.Skips
) -> tuple[ktap.Counts, list[str]]:
    """Counts a section, and says what to show of it."""
    if section.name in tests:
        counts, lines = ktap.judge(section.report(), expected)
        return counts, [f"{section.name}: {counts} ({section.seconds:.1f} s)", *lines]
    good = section.status == 0
    shown = [] if good else [f"    {line}" for line in section.lines[-40:]]
    word = "ok  " if good else "FAIL"
    return (
        ktap.Counts(passed=int(good), failed=int(not good)),
        [f"{word} {section.name} ({section.seconds:.1f} s)", *shown],
    )


def run(timeout: float) -> tuple[ktap.Counts, list[Failure]]:
    """Builds the packages, installs them on a new dom0 and runs the checks there."""
    options = machine.Options(timeout=timeout, append=BOOT)
    packages = make()
    total = check_policy()

    trees = fetch.trees(HOST)
    directory = build.selftests(trees)
    tests = [name for name in suite.names(directory) if name != NOT_RUN]
    expected = suite.expected_skips(options, trees)
    command = _sections(tests, packages[0].version)
    files = cpio.Archive()
    suite.put_programs(files, directory)
    files.data(INIT, images.INIT.read_bytes(), 0o755)
    files.data("etc/xenlab/config", machine.config(options, "command"))
    files.data("etc/xenlab/command", command.encode())
    image = _root(packages, files)

    def done(section: programs.Section) -> None:
        nonlocal total
        counts, lines = _judge(section, tests, expected)
        total += counts
        for line in lines:
            print(f"  {line}", flush=True)

    sections = programs.Sections(done)
    verdict = machine.boot(options, image, machine.Load(), command, sections, "deb")
    sections.finish()
    ran = {section.name for section in sections.all}
    for name in (*BEFORE, *tests, *AFTER):
        if name not in ran:
            print(f"  FAIL {name}: did not run", flush=True)
            total += ktap.Counts(failed=1)
    if verdict.status is Status.GOOD:
        return total, []
    return total + ktap.Counts(failed=1), [verdict.failure()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=1800,
        metavar="SECONDS",
        help="time limit from power-on (1800)",
    )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(args.timeout))
