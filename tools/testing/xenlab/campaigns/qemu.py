# SPDX-License-Identifier: GPL-2.0-only
"""QEMU that asks Xen for the vCPUs and limits its handles: built from Debian's source.

Debian's own is built without seccomp.
"""

import argparse
import functools
import gzip
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from campaigns import (
    arguments,
    outcome,
    toolstack,
    upstream,
    upstream_check,
    upstream_qemu,
)
from campaigns.toolstack import Check
from lab import cpio, fetch, host, kmod, ktap, machine, versions
from lab.failure import Failure, Status

SCRIPT = host.DATA / "qemu-checks"

# What it is built against, and with. Nothing of it is installed.
PACKAGES = fetch.Spec(
    "qemu-build",
    (
        "libc6-dev",
        "libfdt-dev",
        "libglib2.0-dev",
        "libpixman-1-dev",
        "libseccomp-dev",
        "libxen-dev",
        "meson",
        "zlib1g-dev",
    ),
    fetch.finish_xen,
)
CONFIGURATION = (
    "--target-list=i386-softmmu",
    "--without-default-features",
    "--enable-xen",
    "--enable-seccomp",
    "--enable-vnc",
    "--disable-tcg",
    "--disable-kvm",
    "--disable-tools",
    "--disable-docs",
    "--disable-install-blobs",
    "--disable-debug-info",
    "--audio-drv-list=",
    "--prefix=/usr",
)
BINARY = "qemu-system-i386"
PYTHON = "/usr/bin/python3"
# At a place from which it finds its firmware.
PLACE = "usr/libexec/asking-qemu"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# What shows where in its start it asks, without being its parent.
TRACED = (
    "env LD_LIBRARY_PATH=/opt/strace /opt/strace/strace -E LD_LIBRARY_PATH -D -f -X raw "
    f"-e trace=ioctl,openat,seccomp -o /var/lib/toolstack/trace /{PLACE}"
)
# What its stub domain has that others have not: libraries that Xen's release need not
# have any more, what QEMU boots a guest's kernel by, and what libxl's stub domains run.
STUB_LIBRARIES = (
    "libfdt.so.1",
    "libglib-2.0.so.0",
    "libpcre2-8.so.0",
    "libpixman-1.so.0",
    "libxenctrl.so.4.17",
    "libz.so.1",
)
STUB_FIRMWARE = ("linuxboot.bin", "linuxboot_dma.bin", "kvmvapic.bin")
STUB_MODULES = ("xen-gntalloc", "xen-gntdev")
# By the name of what libxl is to start.
STARTED = {
    "asking-qemu": f"/{PLACE}",
    "traced-qemu": TRACED,
}

# A part with another Xen than that of QEMU's release.
STUBDOM = "stubdom"
STUB_XEN = "4.20"

# Seconds, for a start: libxl gives up after 60 of its own.
START = 600

PARTS: Mapping[str, Sequence[Check]] = {
    "too-many": (
        Check("debian_told_too_many_does_not_start", START, script=SCRIPT),
        Check("asks_in_its_sandbox", START, script=SCRIPT),
        Check("told_too_many_starts_and_warns", START, script=SCRIPT),
        Check("told_too_many_boots", toolstack.BOOT, script=SCRIPT),
        Check("told_too_many_serves_each_vcpu", toolstack.BOOT, script=SCRIPT),
        Check("told_too_many_is_destroyed", script=SCRIPT),
    ),
    "too-few": (
        Check("told_too_few_starts_and_warns", START, script=SCRIPT),
        Check("told_too_few_is_sandboxed", script=SCRIPT),
        Check("hvm_qemu_passes_xens_checker"),
        Check("told_too_few_is_limited", script=SCRIPT),
        Check("told_too_few_boots", toolstack.BOOT, script=SCRIPT),
        Check("hvm_qemu_serves_each_vcpu", toolstack.BOOT),
        Check("hvm_is_destroyed"),
        Check("debian_told_too_few_starts", START, script=SCRIPT),
        Check("debian_told_too_few_hangs", toolstack.BOOT, script=SCRIPT),
        Check("debian_told_too_few_is_destroyed", script=SCRIPT),
    ),
    "life": (
        Check("lives_starts_and_warns", START, script=SCRIPT),
        Check("lives_boots", toolstack.BOOT, script=SCRIPT),
        Check("lives_pauses", script=SCRIPT),
        Check("lives_saves_and_restores", START, script=SCRIPT),
        Check("restored_is_limited", script=SCRIPT),
        Check("restored_serves_each_vcpu", toolstack.BOOT, script=SCRIPT),
        Check("lives_reboots", toolstack.BOOT, script=SCRIPT),
        Check("rebooted_is_sandboxed", script=SCRIPT),
        Check("rebooted_is_limited", script=SCRIPT),
        Check("stopped_qemu_keeps_the_domid", script=SCRIPT),
    ),
    "tight": (
        Check("tight_starts", START, script=SCRIPT),
        Check("tight_is_sandboxed", script=SCRIPT),
        Check("tight_is_limited", script=SCRIPT),
        Check("tight_boots", toolstack.BOOT, script=SCRIPT),
        Check("tight_gets_a_vcpu", toolstack.BOOT, script=SCRIPT),
        Check("tight_serves_each_vcpu", toolstack.BOOT, script=SCRIPT),
        Check("tight_is_destroyed", script=SCRIPT),
    ),
    STUBDOM: (
        Check("stub_starts_and_warns", START, script=SCRIPT),
        Check("stub_is_limited", script=SCRIPT),
        Check("stub_boots", toolstack.BOOT, script=SCRIPT),
        Check("stub_serves_each_vcpu", toolstack.BOOT, script=SCRIPT),
        Check("stub_is_destroyed", script=SCRIPT),
    ),
}

DEFAULT = ("too-many", "too-few", "life", "tight")

# The configuration is that of QEMU 7.2.
RELEASE = "bookworm"
# Raise it when the build changes, so that what was built before is built anew.
RECIPE = 2


def _environment(tree: Path, scratch: Path) -> dict[str, str]:
    """Returns what has configure and ninja find the parts of a tree."""
    libraries = fetch.only(tree, "usr/lib/*/pkgconfig")
    wrapper = scratch / "pkg-config"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"export PKG_CONFIG_SYSROOT_DIR='{tree}'\n"
        f"export PKG_CONFIG_LIBDIR='{libraries}:{tree}/usr/share/pkgconfig'\n"
        f"""exec {host.tool("pkg-config")} "$@"\n""",
        encoding="utf-8",
    )
    wrapper.chmod(0o755)
    return {
        "PATH": f"/usr/bin:{os.environ['PATH']}",
        "PKG_CONFIG": str(wrapper),
        "PYTHONPATH": str(tree / "usr/lib/python3/dist-packages"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _compiler(tree: Path) -> str:
    """Returns a compiler that takes headers and libraries of a tree alone."""
    # Where the tree's libc is newer than the host's, gcc would take the host's.
    places = fetch.only(tree, "usr/lib/*/pkgconfig").parent
    return f"{host.tool('gcc')} --sysroot={tree} -B{places} -L{places}"


def _tree(target: Path) -> Path:
    """Returns what QEMU is built against, with the patched libraries, in a directory."""
    tree = target / "tree"
    shutil.copytree(
        fetch.tree(PACKAGES, RELEASE), tree, symlinks=True, copy_function=os.link
    )
    for path in libraries().iterdir():
        old = tree / "usr/include" / path.name
        if not old.exists():
            old = (tree / LIBRARIES / path.name).resolve()
        # The cache has it too.
        old.unlink()
        shutil.copy(path, old)
    return tree


def _build(target: Path) -> None:
    """Builds QEMU with the patch into a directory."""
    tree = _tree(target)
    source = fetch.patched_source("qemu", RELEASE, target)
    upstream_qemu.make(source).apply(source)
    output = target / "output"
    output.mkdir()
    environment = _environment(tree, target)
    host.command(
        "configuring QEMU",
        [
            str(source / "configure"),
            *CONFIGURATION,
            f"--meson={tree}/usr/bin/meson",
            f"--cc={_compiler(tree)}",
            # Otherwise the linker is called by that, without what --cc says.
            "--cxx=/nonexistent",
            f"--host-cc={host.tool('gcc')}",
            "--with-git-submodules=ignore",
        ],
        cwd=output,
        env=environment,
    )
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    host.command(
        "building QEMU",
        [host.tool("ninja"), jobs, BINARY],
        cwd=output,
        env=environment,
    )
    host.command(
        "stripping QEMU",
        [host.tool("strip"), "-o", str(target / BINARY), str(output / BINARY)],
    )
    for path in target.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != BINARY:
            path.unlink()


def binary() -> Path:
    """Returns QEMU with the patch, and builds it first if the cache lacks it."""
    key = f"{RECIPE} {CONFIGURATION} {PACKAGES.packages}".encode()
    for path in (Path(upstream_qemu.__file__), upstream_qemu.SEMANTIC):
        key += path.read_bytes()
    for path in sorted(libraries().glob("*.h")):
        key += path.read_bytes()
    what = f"Debian {RELEASE}'s QEMU with the patch (6 minutes of processor time)"
    return host.cached(f"qemu-{RELEASE}", key, what, _build) / BINARY


def libraries() -> Path:
    """Returns Xen's libraries with their patch, and headers, built first if need be."""
    key = f"{RECIPE}".encode()
    for path in (
        upstream.COCCI / "devicemodel.cocci",
        upstream.COCCI / "foreignmemory.cocci",
        Path(upstream.__file__),
        Path(upstream_check.__file__),
        host.REPO / upstream.UAPI,
    ):
        key += path.read_bytes()

    def make(target: Path) -> None:
        built = upstream_check.library(RELEASE).parent
        for path in (*built.glob("*.so.*"), *built.glob("tools/include/*.h")):
            shutil.copy(path, target)

    what = f"the libraries of Debian {RELEASE}'s Xen with the patch"
    return host.cached(f"libraries-{RELEASE}", key, what, make)


def _put_qemu(files: cpio.Archive, place: str) -> None:
    """Adds QEMU and the libraries with the patch."""
    files.copy(place, binary())
    for path in libraries().glob("*.so.*"):
        files.data(f"{LIBRARIES}/{path.name}", path.read_bytes(), 0o755)


def _put_stub(files: cpio.Archive, options: machine.Options) -> None:
    """Adds the file system of a stub domain that runs QEMU, which its initrd becomes.

    It begins with that of the guests that test the driver, and ends with what dom0 has.
    """
    trees = versions.trees(options)
    more = cpio.Archive()
    _put_qemu(more, "usr/bin/asking-qemu")
    built_for = fetch.tree(PACKAGES, RELEASE)
    for name in STUB_LIBRARIES:
        library = next(built_for.glob(f"**/{name}"))
        more.data(f"{LIBRARIES}/{name}", library.read_bytes(), 0o755)
    tools = fetch.tree(toolstack.PACKAGES, versions.xen_release(options.xen))
    vchan = fetch.only(tools, f"{LIBRARIES}/libxenvchan.so.*.*.0")
    more.data(f"{LIBRARIES}/{vchan.stem}", vchan.read_bytes(), 0o755)
    version = fetch.kernel_version(trees.linux)
    for module in kmod.installed(trees.linux / "lib/modules" / version, STUB_MODULES):
        more.data(f"usr/lib/stub/{module.name}.ko", module.content)
    proxy = fetch.only(tools, "usr/lib/xen-*/bin/vchan-socket-proxy")
    for program in (proxy, tools / "usr/bin/xenstore-list"):
        more.copy(f"usr/bin/{program.name}", program)
    for name in ("copy-files", "limits"):
        more.data(f"usr/bin/{name}", files.content(f"{toolstack.DIRECTORY}/{name}"), 0o755)
    for name in STUB_FIRMWARE:
        more.copy(f"usr/share/qemu/{name}", tools / "usr/share/qemu" / name)
    # libxl names the guest's files to QEMU by their places in dom0.
    for name in ("vmlinuz", "hvm.cpio.gz"):
        place = f"{toolstack.DIRECTORY}/{name}"
        more.data(place, files.content(place))
    file = io.BytesIO()
    more.write(file)
    files.data(
        f"{toolstack.DIRECTORY}/qemu.cpio.gz",
        files.content(f"{toolstack.DIRECTORY}/domu.cpio.gz")
        + gzip.compress(file.getvalue(), compresslevel=6, mtime=0),
    )


def _check(options: machine.Options, part: str) -> None:
    """Fails where a part cannot run."""
    # Debian's driver has no device model in a stub domain.
    if part == STUBDOM and (options.xen, options.driver) != (STUB_XEN, "ours"):
        raise Failure(
            Status.USAGE, f"the part {part} takes --xen {STUB_XEN} and --driver ours"
        )
    release = versions.xen_release(options.xen) or host.suite()
    if part != STUBDOM and release != RELEASE:
        raise Failure(
            Status.USAGE,
            f"QEMU is built from Debian {RELEASE}'s source alone: choose --xen 4.17",
        )


def _put(options: machine.Options, part: str, files: cpio.Archive) -> None:
    """Adds what a part takes beside the toolstack."""
    files.copy(f"{toolstack.DIRECTORY}/{SCRIPT.name}", SCRIPT)
    if part == STUBDOM:
        _put_stub(files, options)
        return
    _put_qemu(files, PLACE)
    upstream_check.put_strace(files)
    for name, command in STARTED.items():
        files.data(f"{toolstack.DIRECTORY}/{name}", toolstack.starter(command), 0o755)


def run(
    drivers: Sequence[machine.Options], parts: Sequence[str]
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the checks of some parts with each driver, each part in a boot of its own.

    Where the emulated processor ends a guest, only its part is run again.
    """
    parts = parts or DEFAULT
    toolstack.checks(parts, PARTS)
    total = ktap.Counts()
    failures: list[Failure] = []
    runs = [(options, part) for options in drivers for part in parts]
    for options, part in runs:
        _check(options, part)
    for options, part in runs:
        chosen = toolstack.checks([part], PARTS)
        put = functools.partial(_put, options, part)
        counts, more = toolstack.run_checks(options, chosen, put)
        total += counts
        failures += more
    return total, failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, ("ours", "stock", arguments.BOTH), 7200)
    # In one thread a guest that waits for QEMU did not boot in 13 minutes.
    parser.set_defaults(accel="tcg")
    parser.add_argument(
        "part",
        nargs="*",
        help="too-many, too-few, life, tight (default: these), stubdom",
    )


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(arguments.each_driver(args), args.part))
