# SPDX-License-Identifier: GPL-2.0-only
"""What the machine boots: Xen, the dom0 kernel and dom0's root file system."""

import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cpio, fetch, host, kmod
from lab.arch import Architecture
from lab.failure import Failure, Status

HERE = Path(__file__).resolve().parent
INIT = host.DATA / "dom0-init"

# Modules of the distribution that dom0 loads.
MODULES = (
    "virtio_console",
    "virtio_pci",
    "xen-evtchn",
    "xen-gntalloc",
    "xen-gntdev",
    "xen-privcmd",
    "xenfs",
)

# Libraries that programs of the tests link; what these need comes with them.
LIBRARIES = (
    "ld-linux*.so.*",
    "libc.so.*",
    "libm.so.*",
    "libpthread.so.*",
    "libseccomp.so.*",
    "libxencall.so.*",
    "libxenctrl.so.*",
    "libxendevicemodel.so.*",
    "libxenevtchn.so.*",
    "libxenforeignmemory.so.*",
    "libxengnttab.so.*",
    "libxenstore.so.*",
    "libxentoolcore.so.*",
    "libxentoollog.so.*",
)

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
tester:x:1000:1000:tester:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = "root:x:0:\ntester:x:1000:\nnogroup:x:65534:\n"


@dataclass(frozen=True)
class Image:
    """The parts that all runs with one kernel and one Xen share."""

    arch: Architecture
    xen: Path
    kernel: Path
    base: Path
    version: str
    modules: Sequence[kmod.Module]
    # A whole root file system with dom0-init and what that reads; base is its initrd.
    disk: Path | None = None


def unpack_kernel(image: bytes) -> bytes:
    """Returns the ELF file inside an x86 bzImage, or the image as it is.

    Xen would unpack it too, but takes 8 s for that under TCG.
    """
    if image[0x202:0x206] != b"HdrS":
        return image
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1F1] + 1) * 512 + offset
    payload = image[start : start + length]
    if not payload.startswith(b"\xfd7zXZ\0"):
        return image
    # The payload ends with its size, which is no part of the xz stream.
    return lzma.LZMADecompressor().decompress(payload)


def _gunzip(content: bytes) -> bytes:
    """Returns what a gzip file holds, or the content as it is."""
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _needed(readelf: str, path: Path) -> list[str]:
    shown = subprocess.run(
        [readelf, "-d", str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    return re.findall(r"\(NEEDED\).*\[(.*)\]", shown.stdout)


def _add_libraries(
    archive: cpio.Archive,
    trees: fetch.Trees,
    program: Path,
    libraries: Sequence[str],
) -> None:
    """Adds libraries and a program's, where the dynamic linker looks for them."""
    readelf = host.tool("readelf")
    by_name = {
        path.name: path
        for directory in ("lib/*-linux-gnu", "usr/lib/*-linux-gnu")
        for path in trees.xen.glob(f"{directory}/*.so.*")
    }
    todo = _needed(readelf, program) + [
        name
        for name, path in by_name.items()
        if any(path.match(pattern) for pattern in libraries)
    ]
    done = set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        if name not in by_name:
            raise Failure(Status.BUILD, f"the fetched packages lack {name}")
        path = by_name[name]
        archive.data(f"usr/lib/{path.parent.name}/{name}", path.read_bytes(), 0o755)
        if name.startswith("ld-linux"):
            archive.symlink(f"usr/{trees.arch.linker}/{name}", f"/usr/lib/{path.parent.name}/{name}")
        todo += _needed(readelf, path)


def root(
    trees: fetch.Trees,
    modules: Sequence[kmod.Module],
    version: str,
    init: Path,
    libraries: Sequence[str] = LIBRARIES,
) -> cpio.Archive:
    """Returns a small root file system: busybox, libraries, modules and an init."""
    archive = cpio.Archive()
    for name in ("bin", "sbin", "lib", "lib64"):
        archive.directory(f"usr/{name}")
        archive.symlink(name, f"usr/{name}")
    for name in ("dev", "opt", "proc", "root", "run", "sys"):
        archive.directory(name)
    archive.directory("tmp", 0o1777)
    # The kernel opens it before /dev is there.
    archive.device("dev/console", 0o600, 5, 1)
    archive.data("etc/passwd", PASSWD.encode())
    archive.data("etc/group", GROUP.encode())
    archive.data("init", init.read_bytes(), 0o755)
    busybox = next(trees.xen.glob("**/bin/busybox"))
    archive.data("usr/bin/busybox", busybox.read_bytes(), 0o755)
    _add_libraries(archive, trees, busybox, libraries)
    for module in modules:
        archive.data(f"usr/lib/modules/{version}/{module.path}", module.content)
    builtin = trees.linux / "lib/modules" / version / "modules.builtin"
    archive.copy(f"usr/lib/modules/{version}/modules.builtin", builtin)
    return archive


def make(trees: fetch.Trees) -> Image:
    """Returns the image for a kernel and a Xen, made once per content."""
    linux, xen = trees.linux, trees.xen
    version = fetch.kernel_version(linux)
    modules = kmod.installed(linux / "lib/modules" / version, MODULES)
    parts = [linux, xen] + ([trees.hypervisor] if trees.hypervisor else [])
    names = " ".join(tree.name for tree in parts)
    key = hashlib.sha256(names.encode()).hexdigest()[:12]
    recipe = hashlib.sha256()
    for path in (INIT, *(HERE / f"{name}.py" for name in ("arch", "cpio", "image", "kmod"))):
        recipe.update(path.read_bytes())
    final = host.CACHE / f"image-{key}-{recipe.hexdigest()[:12]}"
    image = Image(
        trees.arch,
        final / "xen",
        final / "kernel",
        final / "base.cpio",
        version,
        modules,
    )
    if final.is_dir():
        return image
    with host.locked("image"):
        if final.is_dir():
            return image
        partial = host.CACHE / "partial-image"
        for old in [partial, *host.CACHE.glob(f"image-{key}-*")]:
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir()
        packed = fetch.hypervisor(trees).read_bytes()
        (partial / "xen").write_bytes(_gunzip(packed))
        kernel = (linux / f"boot/vmlinuz-{version}").read_bytes()
        (partial / "kernel").write_bytes(unpack_kernel(kernel))
        with (partial / "base.cpio").open("wb") as file:
            root(trees, modules, version, INIT).write(file)
        os.rename(partial, final)
    return image


def overlay(
    image: Image, modules: Sequence[kmod.Module], files: cpio.Archive
) -> cpio.Archive:
    """Completes the archive of what one run adds to the base."""
    root = f"usr/lib/modules/{image.version}"
    for module in modules:
        files.data(f"{root}/{module.path}", module.content)
    files.data(f"{root}/modules.dep", kmod.modules_dep([*image.modules, *modules]))
    return files
