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
from dataclasses import dataclass, replace
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
from lab.arch import AMD64, Architecture
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
    "--without-default-features",
    "--enable-xen",
    "--enable-seccomp",
    "--disable-tcg",
    "--disable-kvm",
    "--disable-tools",
    "--disable-docs",
    "--disable-install-blobs",
    "--disable-debug-info",
    "--audio-drv-list=",
    "--prefix=/usr",
)


@dataclass(frozen=True)
class Recipe:
    """How a release's QEMU is built for dom0 of an architecture."""

    release: str
    arch: Architecture
    # The processor of its guests, as QEMU calls it.
    guest: str
    # What its configure takes beside that; the place stands for the packages' tree.
    more: Sequence[str]
    # Whether it is built without the patch, too: where Debian has none that is.
    plain: bool = False
    # What it has beside what its machines take, as its configs/devices has it.
    devices: str = ""

    @property
    def program(self) -> str:
        """Returns the name of what is built."""
        return f"qemu-system-{self.guest}"

    @property
    def packages(self) -> fetch.Spec:
        """Returns what it is built against."""
        return replace(PACKAGES, architecture=self.arch.name)

    @property
    def name(self) -> str:
        """Returns what tells it from others in the cache."""
        return f"{self.release}-{self.arch.name}"


TREE = "TREE"
QEMU_7 = Recipe(
    release="bookworm",
    arch=AMD64,
    guest="i386",
    more=(
        # libxl tells it what to do with that.
        "--enable-vnc",
        f"--meson={TREE}/usr/bin/meson",
        # Otherwise git is to fetch what Debian's source has.
        "--with-git-submodules=ignore",
    ),
)
QEMU_10 = Recipe(
    release="trixie",
    arch=AMD64,
    guest="i386",
    more=("--enable-pixman", "--enable-vnc"),
)
# By release of Debian's.
RECIPES = {recipe.release: recipe for recipe in (QEMU_7, QEMU_10)}
WITHOUT_PATCH = "-without-patch"

# At a place from which it finds its firmware.
PLACE = "usr/libexec/asking-qemu"
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

# Raise it when the build changes, so that what was built before is built anew.
RECIPE = 3


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


def _compiler(recipe: Recipe, tree: Path) -> str:
    """Returns a compiler that takes headers and libraries of a tree alone."""
    # Where the tree's libc is newer than the host's, gcc would take the host's.
    places = fetch.only(tree, "usr/lib/*/pkgconfig").parent
    compiler = host.tool(f"{recipe.arch.cross}gcc")
    return f"{compiler} --sysroot={tree} -B{places} -L{places}"


def library_place(tree: Path) -> str:
    """Returns where a tree has the libraries of its architecture."""
    return str(fetch.only(tree, "usr/lib/*/pkgconfig").parent.relative_to(tree))


def _tree(recipe: Recipe, target: Path) -> Path:
    """Returns what QEMU is built against, with the patched libraries, in a directory."""
    tree = target / "tree"
    shutil.copytree(
        fetch.tree(recipe.packages, recipe.release),
        tree,
        symlinks=True,
        copy_function=os.link,
    )
    place = library_place(tree)
    for path in libraries(recipe).iterdir():
        old = tree / "usr/include" / path.name
        if not old.exists():
            old = (tree / place / path.name).resolve()
        # The cache has it too.
        old.unlink()
        shutil.copy(path, old)
    return tree


def _ninja(recipe: Recipe, output: Path, environment: Mapping[str, str], final: Path) -> None:
    """Builds QEMU as its source is now."""
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    host.command(
        "building QEMU",
        [host.tool("ninja"), jobs, recipe.program],
        cwd=output,
        env=environment,
    )
    host.command(
        "stripping QEMU",
        [
            host.tool(f"{recipe.arch.cross}strip"),
            *("-o", str(final), str(output / recipe.program)),
        ],
    )


def _build(recipe: Recipe, target: Path) -> None:
    """Builds QEMU with the patch into a directory, and without it if that is wanted."""
    tree = _tree(recipe, target)
    source = fetch.patched_source("qemu", recipe.release, target)
    output = target / "output"
    output.mkdir()
    environment = _environment(tree, target)
    target_name = f"{recipe.guest}-softmmu"
    if recipe.devices:
        devices = source / "configs/devices" / target_name / "lab.mak"
        devices.write_text(recipe.devices, encoding="ascii")
    finals = [target / recipe.program]
    patched = upstream_qemu.make(source)
    if not recipe.plain:
        patched.apply(source)
    host.command(
        "configuring QEMU",
        [
            str(source / "configure"),
            f"--target-list={target_name}",
            *((f"--with-devices-{recipe.guest}=lab",) if recipe.devices else ()),
            *CONFIGURATION,
            *(word.replace(TREE, str(tree)) for word in recipe.more),
            f"--cc={_compiler(recipe, tree)}",
            # Otherwise the linker is called by that, without what --cc says.
            "--cxx=/nonexistent",
            f"--host-cc={host.tool('gcc')}",
        ],
        cwd=output,
        env=environment,
    )
    if recipe.plain:
        finals.append(target / f"{recipe.program}{WITHOUT_PATCH}")
        _ninja(recipe, output, environment, finals[-1])
        patched.apply(source)
    _ninja(recipe, output, environment, finals[0])
    for path in target.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in finals:
            path.unlink()


def binary(recipe: Recipe) -> Path:
    """Returns QEMU with the patch, and builds it first if the cache lacks it."""
    built = (recipe.guest, recipe.more, recipe.plain, recipe.devices)
    key = f"{RECIPE} {CONFIGURATION} {built} {PACKAGES.packages}".encode()
    for path in (Path(upstream_qemu.__file__), upstream_qemu.SEMANTIC):
        key += path.read_bytes()
    for path in sorted(libraries(recipe).glob("*.h")):
        key += path.read_bytes()
    what = f"Debian {recipe.release}'s QEMU with the patch (6 minutes of processor time)"
    build = functools.partial(_build, recipe)
    return host.cached(f"qemu-{recipe.name}", key, what, build) / recipe.program


def libraries(recipe: Recipe) -> Path:
    """Returns Xen's libraries with their patch, and headers, built first if need be."""
    key = f"{RECIPE} {recipe.name}".encode()
    for path in (
        upstream.COCCI / "devicemodel.cocci",
        upstream.COCCI / "foreignmemory.cocci",
        Path(upstream.__file__),
        Path(upstream_check.__file__),
        host.REPO / upstream.UAPI,
    ):
        key += path.read_bytes()

    def make(target: Path) -> None:
        built = upstream_check.library(recipe.release, recipe.arch).parent
        for path in (*built.glob("*.so.*"), *built.glob("tools/include/*.h")):
            shutil.copy(path, target)

    what = f"the libraries of Debian {recipe.release}'s Xen with the patch"
    return host.cached(f"libraries-{recipe.name}", key, what, make)


def put_qemu(files: cpio.Archive, recipe: Recipe, place: str) -> None:
    """Adds QEMU and the libraries with the patch."""
    files.copy(place, binary(recipe))
    libs = library_place(fetch.tree(recipe.packages, recipe.release))
    for path in libraries(recipe).glob("*.so.*"):
        files.data(f"{libs}/{path.name}", path.read_bytes(), 0o755)


def _put_stub(files: cpio.Archive, options: machine.Options) -> None:
    """Adds the file system of a stub domain that runs QEMU, which its initrd becomes.

    It begins with that of the guests that test the driver, and ends with what dom0 has.
    """
    trees = versions.trees(options)
    more = cpio.Archive()
    put_qemu(more, QEMU_7, "usr/bin/asking-qemu")
    built_for = fetch.tree(QEMU_7.packages, QEMU_7.release)
    libs = library_place(built_for)
    for name in STUB_LIBRARIES:
        library = next(built_for.glob(f"**/{name}"))
        more.data(f"{libs}/{name}", library.read_bytes(), 0o755)
    tools = fetch.tree(toolstack.PACKAGES, versions.xen_release(options.xen))
    vchan = fetch.only(tools, f"{libs}/libxenvchan.so.*.*.0")
    more.data(f"{libs}/{vchan.stem}", vchan.read_bytes(), 0o755)
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
    if _release(options) not in RECIPES:
        raise Failure(
            Status.USAGE,
            f"QEMU is built from Debian {' and '.join(RECIPES)}'s source alone: "
            "choose --xen 4.17 or 4.20",
        )


def _release(options: machine.Options) -> str:
    """Returns the release that Xen is of, and QEMU, which finds Xen's libraries there."""
    return versions.xen_release(options.xen) or host.suite()


def _put(options: machine.Options, part: str, files: cpio.Archive) -> None:
    """Adds what a part takes beside the toolstack."""
    files.copy(f"{toolstack.DIRECTORY}/{SCRIPT.name}", SCRIPT)
    if part == STUBDOM:
        _put_stub(files, options)
        return
    recipe = RECIPES[_release(options)]
    put_qemu(files, recipe, PLACE)
    upstream_check.put_strace(files, recipe.arch, recipe.release)
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


def look(args: argparse.Namespace) -> None:
    """Refuses what is wrong with the arguments."""
    toolstack.checks(args.part, PARTS)
    toolstack.look_at(arguments.each_driver(args))
    for options in arguments.each_driver(args):
        for part in args.part or DEFAULT:
            _check(options, part)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(arguments.each_driver(args), args.part))
