# SPDX-License-Identifier: GPL-2.0-only
"""Debian's QEMU built from its source, with seccomp, asking Xen for the vCPUs."""

import hashlib
import os
import shutil
from pathlib import Path

import fetch
import host
import upstream_qemu

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
        "python3-distlib",
        "zlib1g-dev",
    ),
    fetch.finish_xen,
)
# Debian's is built without seccomp, and nobody watches the guest's screen here.
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
# Raise it when the build changes, so that what was built before is built anew.
RECIPE = 1


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


def _build(release: str, target: Path) -> None:
    """Builds QEMU with the patch into a directory."""
    tree = fetch.tree(PACKAGES, release)
    source = fetch.patched_source("qemu", release, target)
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


def binary(release: str) -> Path:
    """Returns a release's QEMU with the patch, and builds it first if the cache lacks it."""
    key = hashlib.sha256(f"{RECIPE} {release} {CONFIGURATION} {PACKAGES.packages}".encode())
    for path in (Path(upstream_qemu.__file__), upstream_qemu.SEMANTIC):
        key.update(path.read_bytes())
    final = host.CACHE / f"qemu-{release}-{key.hexdigest()[:12]}"
    if final.is_dir():
        return final / BINARY
    with host.locked("qemu"):
        if final.is_dir():
            return final / BINARY
        for old in host.CACHE.glob(f"qemu-{release}-*"):
            shutil.rmtree(old, ignore_errors=True)
        partial = host.directory(host.CACHE) / "partial-qemu"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        host.say(f"building Debian {release}'s QEMU with the patch, once: this takes a while")
        _build(release, partial)
        os.rename(partial, final)
    return final / BINARY
