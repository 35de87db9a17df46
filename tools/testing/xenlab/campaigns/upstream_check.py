# SPDX-License-Identifier: GPL-2.0-only
"""Shows on real Xen that what upstream.py's patches make does what it should."""

import argparse
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from campaigns import arguments, outcome, suite, upstream
from lab import (
    build,
    cpio,
    fetch,
    host,
    hypervisor,
    image as images,
    kernel,
    ktap,
    machine,
    programs,
    versions,
)
from lab.arch import AMD64, Architecture
from lab.failure import Failure

SCRATCH = host.BUILD / "upstream"
# What the patch needs of a kernel's source, and the module of the rest.
KERNEL_PARTS = (
    *("Kbuild", "MAINTAINERS", "drivers/xen", "include/uapi/xen", "include/xen"),
    upstream.HEADER_TESTS,
)
XEN_PARTS = ("tools/include", *upstream.DECLARATIONS)
KERNEL_FILES = ("drivers/xen/privcmd.h", "drivers/xen/privcmd-buf.c")
# What the tests' module takes beside the command, and the patch leaves out.
HOLDING = ("drivers/xen/dm-domain.c", "drivers/xen/foreign-frame.h", upstream.HEADER)

# All that is about the new command.
TESTS = ("compat_test", "dm_nr_vcpus_test", "dm_op_kernel_test", "seccomp_test")

KBUILD = """\
export LINUXINCLUDE := $(addprefix -I$(KBUILD_EXTMOD)/,shadow include include/uapi) \\
		       $(LINUXINCLUDE)
obj-m := xen-dm-op.o xen-privcmd.o tools/testing/selftests/xen/test_modules/
xen-dm-op-y := drivers/xen/dm-op.o drivers/xen/dm-domain.o
xen-privcmd-y := drivers/xen/privcmd.o drivers/xen/privcmd-buf.o
"""
# The distribution's xenfs wants the checksums of a driver without this header.
SHADOW = "#ifndef __GENKSYMS__\n#include_next <linux/compat.h>\n#endif\n"

LIBRARY = "libxendevicemodel.so.1"
MEMORY_LIBRARY = "libxenforeignmemory.so.1"
# By directory: name, files, and what it is linked with.
LIBRARIES = {
    upstream.LIBRARY: (LIBRARY, ("core.c", "common.c"), ("-lxencall",)),
    upstream.MEMORY_LIBRARY: (MEMORY_LIBRARY, ("core.c", "linux.c"), ()),
}
# The second one is for these libraries alone: with others it skips all.
LIBRARY_TESTS = ("dm_nr_vcpus_test", "library_limits", "varstored_test")
STRACE = fetch.Spec("strace", ("strace",), lambda tree: None)
TRACE = (
    "LD_LIBRARY_PATH=/opt/strace /opt/strace/strace -f -X raw -e trace=ioctl,close "
    f"{programs.DIRECTORY}/dm_nr_vcpus_test 2>&1"
)
DM_OP = "0x105005"
DM_NR_VCPUS = "0xc0085020"
# By driver: what the library does with its file after the probe.
EXPECTED = {
    "ours": [f"{DM_NR_VCPUS} = 0"],
    "stock": [f"{DM_NR_VCPUS} = -1 ENOTTY", f"{DM_OP} = 0"],
}


def kernel_modules(trees: fetch.Trees) -> build.Built:
    """Builds the kernel's own driver with the patch, as modules."""
    version = ".".join(fetch.kernel_version(trees.linux).split(".")[:2])
    archive = fetch.only(fetch.tree(kernel.source(version)), "linux-source-*.tar.xz")
    source = host.unpack(archive, KERNEL_PARTS, SCRATCH / "linux")
    output = SCRATCH / "modules"
    shutil.rmtree(output, ignore_errors=True)
    upstream.kernel(source).apply(output)
    for name in KERNEL_FILES:
        shutil.copy(source / name, output / name)
    for name in HOLDING:
        shutil.copy(host.REPO / name, output / name)
    tests = "tools/testing/selftests/xen/test_modules"
    shutil.copytree(host.REPO / tests, output / tests)
    (output / "Kbuild").write_text(KBUILD, encoding="utf-8")
    shadow = output / "shadow/linux/compat.h"
    host.directory(shadow.parent)
    shadow.write_text(SHADOW, encoding="utf-8")
    build.external("building the kernel's driver with the patch", trees, output, "W=1e")
    shutil.copy(output / tests / f"{build.TEST_MODULE}.ko", output)
    return build.Built(output)


def _build_library(
    arch: Architecture, source: Path, output: Path, directory: str, sysroot: Path
) -> None:
    """Builds a library, as it is in another directory where it was changed."""
    library, files, needs = LIBRARIES[directory]
    name = Path(directory).name
    host.command(
        f"building libxen{name} with the patch",
        [
            *(host.tool(f"{arch.cross}gcc"), "-shared", "-fPIC", "-O2"),
            *("-Wall", "-Werror", "-D_GNU_SOURCE", "-D__XEN_TOOLS__"),
            *(f"-I{output / part}" for part in ("include", "tools/include")),
            f"-I{source / 'tools/include'}",
            f"-Wl,--version-script={output / directory / f'libxen{name}.map'}",
            *(f"-Wl,-soname,{library}", "-o", str(output / library)),
            *(str(output / directory / file) for file in files),
            *(f"--sysroot={sysroot}", *needs, "-lxentoollog", "-lxentoolcore"),
        ],
    )


def library(release: str, arch: Architecture = AMD64) -> Path:
    """Builds a release's libraries with the patch, against its own headers.

    Returns libxendevicemodel, beside which the other is.
    """
    newest = versions.XENS[hypervisor.VERSION].name
    spare = hypervisor.SPARE if release == newest else None
    scratch = SCRATCH / f"{release}-{arch.name}"
    packed = scratch / "packed"
    shutil.rmtree(packed, ignore_errors=True)
    archive = fetch.source("xen", release, host.directory(packed), spare)
    source = host.unpack(archive, XEN_PARTS, scratch / "xen")
    output = scratch / "library"
    shutil.rmtree(output, ignore_errors=True)
    upstream.xen(source).apply(output)
    headers = host.directory(output / "include/xen")
    (headers / "sys").symlink_to(output / "tools/include/xen-sys/Linux")
    sysroot = fetch.tree(fetch.xen(arch), release)
    for directory in LIBRARIES:
        _build_library(arch, source, output, directory, sysroot)
    return output / LIBRARY


def library_commands(trace: Sequence[str]) -> list[str]:
    """Returns what libxendevicemodel did with the first file that it used.

    It opens each with a DM_OP that asks for nothing.
    """
    found: list[str] = []
    opened = ""
    for line in trace:
        call = re.search(r"(ioctl|close)\((\d+)(?:, (\w+), \w+)?\) += (.*)", line)
        if call is None:
            continue
        name, file, command, result = call.groups()
        if opened and file == opened:
            if name == "ioctl":
                found.append(f"{command} = {' '.join(result.split()[:2])}")
            elif found:
                return found
            else:
                opened = ""
        elif not opened and command == DM_OP and result == "0":
            opened = file
    return found


def _check_trace(section: programs.Section, driver: str) -> ktap.Counts:
    found = library_commands(section.lines)
    for line in found:
        print(f"  the library's ioctl({line})", flush=True)
    if found == EXPECTED[driver]:
        return ktap.Counts(passed=1)
    print(f"  FAIL trace: expected {EXPECTED[driver]} in:", flush=True)
    print("\n".join(f"  | {line}" for line in section.lines[:60]), flush=True)
    return ktap.Counts(failed=1)


def put_strace(
    files: cpio.Archive, arch: Architecture = AMD64, release: str | None = None
) -> None:
    """Adds strace, and what it needs beside libc, in a directory of its own."""
    strace = fetch.tree(replace(STRACE, architecture=arch.name), release)
    for path in (strace / "usr/bin/strace", *strace.glob("**/lib[lu]*.so.*")):
        files.copy(f"opt/strace/{path.name}", path)


def _run_library(
    options: machine.Options, trees: fetch.Trees, shared: Path, built: build.Built
) -> tuple[ktap.Counts, Failure | None]:
    """Runs the agreement test with the libraries in place of Debian's, and a trace."""
    directory = build.selftests(trees)
    files = cpio.Archive()
    suite.put(files, directory, built)
    place = next(trees.xen.glob(f"usr/lib/*/{LIBRARY}")).parent.name
    for name, _, _ in LIBRARIES.values():
        path = shared.with_name(name)
        files.data(f"usr/lib/{place}/{name}", path.read_bytes(), 0o755)
    put_strace(files)
    expected = suite.expected_skips(options, trees)
    total = ktap.Counts()

    def done(section: programs.Section) -> None:
        nonlocal total
        if section.name == "trace":
            total += _check_trace(section, options.driver)
        else:
            total += suite.show(section, expected, suite.platform(options, trees))

    sections = programs.Sections(done)
    verdict = machine.boot(
        options,
        images.make(trees),
        machine.Load(suite.modules(options.driver, trees, built), files),
        programs.script(LIBRARY_TESTS)
        + f"\n{programs.begin('trace')}\n{TRACE}\n{programs.end()}",
        sections,
        "upstream",
    )
    sections.finish()
    if {section.name for section in sections.all} != {*LIBRARY_TESTS, "trace"}:
        print("  FAIL not all of it ran", flush=True)
        total += ktap.Counts(failed=1)
    return total, None if verdict.status == 0 else verdict.failure()


def _run_kernel(
    options: machine.Options, trees: fetch.Trees
) -> tuple[ktap.Counts, Failure | None]:
    """Runs the tests of the command on the kernel's own driver with the patch."""
    built = kernel_modules(trees)
    directory = build.selftests(trees)
    files = cpio.Archive()
    suite.put(files, directory, built)
    load = machine.Load(suite.modules(options.driver, trees, built), files)
    expected = suite.expected_skips(options, trees, "upstream")
    counts, failure, _ = suite.run_programs(options, trees, load, TESTS, expected)
    return counts, failure


def run(options: machine.Options) -> tuple[ktap.Counts, list[Failure]]:
    """Checks the patch for the kernel, and that for Xen on both drivers."""
    trees = fetch.trees(AMD64)
    ours = replace(options, arch=AMD64, driver="ours")
    shared = library(host.suite())
    # Only built: what it does does not depend on the release.
    newest = hypervisor.VERSION
    library(versions.XENS[newest].name)
    print(f"the libraries of Xen {newest} with the patch: build", flush=True)
    built = build.modules(trees)
    print("the kernel's own driver with the patch:", flush=True)
    results = [_run_kernel(ours, trees)]
    for each in (ours, replace(ours, driver="stock")):
        print(f"the libraries with the patch, driver {each.driver}:", flush=True)
        results.append(_run_library(each, trees, shared, built))
    total = ktap.Counts(passed=1)
    for counts, _ in results:
        total += counts
    return total, [failure for _, failure in results if failure]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_timeout(parser, 3600)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(machine.Options(timeout=args.timeout)))
