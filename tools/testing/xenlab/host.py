# SPDX-License-Identifier: GPL-2.0-only
"""The machine xenlab itself runs on: its packages, tools and directories."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from failure import Failure, Status

REPO = Path(__file__).resolve().parents[3]
BUILD = REPO / "build"
CACHE = BUILD / "cache"
OS_RELEASE = Path("/etc/os-release")

# Debian packages by what needs them.
PACKAGES: Mapping[str, Sequence[str]] = {
    "fetch": ("ca-certificates", "mmdebstrap", "xz-utils"),
    "boot": ("qemu-system-arm", "qemu-system-x86"),
    "build": (
        "gcc",
        "gcc-12-multilib",
        "gcc-aarch64-linux-gnu",
        "gcc-arm-linux-gnueabihf",
        "libc6-dev-armhf-cross",
        "libelf1",
        "make",
    ),
    "kernel": ("bc", "bison", "flex", "libelf-dev"),
    "patches": ("coccinelle", "git", "rsync", "unifdef"),
    "bench": ("gnuplot-nox",),
    "lint": ("g++", "mypy", "perl", "shellcheck", "sparse"),
    "deb": ("debhelper", "dh-dkms", "genext2fs", "lintian", "uidmap"),
    "docs": ("python3-sphinx", "python3-sphinx-rtd-theme"),
}

# Tools by the package that has them, for what a message advises.
TOOLS: Mapping[str, str] = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "apt-get": "apt",
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf",
    "dpkg-query": "dpkg",
    "gcc": "gcc",
    "git": "git",
    "gnuplot": "gnuplot-nox",
    "lintian": "lintian",
    "make": "make",
    "mmdebstrap": "mmdebstrap",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
    "readelf": "binutils",
    "spatch": "coccinelle",
    "tar": "tar",
    "unifdef": "unifdef",
    "unshare": "util-linux",
    "xz": "xz-utils",
}

_PR_SET_PDEATHSIG = 1


def say(message: str) -> None:
    """Prints a progress line."""
    print(f"xenlab: {message}", file=sys.stderr, flush=True)


def os_release(text: str) -> dict[str, str]:
    """Parses the content of an os-release file."""
    fields = {}
    for line in text.splitlines():
        key, sep, value = line.partition("=")
        if sep and not key.startswith("#"):
            fields[key.strip()] = value.strip().strip("\"'")
    return fields


def suite() -> str:
    """Returns the code name of the Debian release that runs here."""
    try:
        fields = os_release(OS_RELEASE.read_text(encoding="utf-8"))
    except OSError:
        fields = {}
    if fields.get("ID") != "debian":
        name = fields.get("PRETTY_NAME") or fields.get("ID") or "not known"
        raise Failure(
            Status.NOT_DEBIAN, f"this host is {name}: xenlab needs a Debian host"
        )
    codename = fields.get("VERSION_CODENAME")
    if not codename:
        raise Failure(
            Status.NOT_DEBIAN,
            f"{OS_RELEASE} names no VERSION_CODENAME: xenlab needs a Debian release",
        )
    return codename


def tool(name: str) -> str:
    """Returns the path of a host tool, or fails saying which package has it."""
    path = shutil.which(name)
    if path is None:
        raise Failure(
            Status.TOOL,
            f"{name} is missing (Debian package {TOOLS[name]}): "
            "run 'xenlab.py setup' first",
        )
    return path


def missing_packages(dpkg_status: str, wanted: Sequence[str]) -> list[str]:
    """Returns the wanted packages that dpkg-query's output lacks."""
    installed = set()
    for line in dpkg_status.splitlines():
        state, _, name = line.partition(" ")
        if state.startswith("ii"):
            installed.add(name.strip().partition(":")[0])
    return [name for name in wanted if name not in installed]


def setup() -> None:
    """Installs the Debian packages that the host lacks."""
    suite()
    wanted = [name for group in PACKAGES.values() for name in group]
    query = subprocess.run(
        [tool("dpkg-query"), "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *wanted],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    missing = missing_packages(query.stdout, wanted)
    if not missing:
        return
    say("installing " + " ".join(missing))
    apt = [tool("apt-get"), "-q", "-y", "-o", "Dpkg::Use-Pty=0"]
    as_root = ["env", "DEBIAN_FRONTEND=noninteractive"]
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if sudo is None:
            raise Failure(
                Status.TOOL,
                "installing needs root and there is no sudo: as root, run 'apt-get "
                f"update && apt-get install --no-install-recommends {' '.join(missing)}'",
            )
        as_root.insert(0, sudo)
    install = ["install", "--no-install-recommends", *missing]
    for step in (["update"], install):
        done = subprocess.run(
            [*as_root, *apt, *step], stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            raise Failure(
                Status.TOOL, f"apt-get {step[0]} failed with status {done.returncode}"
            )


def directory(path: Path) -> Path:
    """Makes a directory, and says in one line when that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(
            Status.USAGE, f"cannot make {path}: {error.strerror}"
        ) from error
    if not os.access(path, os.W_OK):
        raise Failure(Status.USAGE, f"cannot write below {path}: permission denied")
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keeps two xenlab processes from making the same thing at once."""
    path = directory(BUILD) / f"{name}.lock"
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another xenlab process ({name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unpack(archive: Path, parts: Sequence[str], target: Path) -> Path:
    """Unpacks parts of a source archive, without the directory they are in."""
    shutil.rmtree(target, ignore_errors=True)
    directory(target)
    command(
        f"unpacking {archive.name}",
        [
            *(tool("tar"), "-xf", str(archive), "-C", str(target)),
            *("--strip-components=1", "--wildcards", "--no-wildcards-match-slash"),
            *(f"*/{part}" for part in parts),
        ],
    )
    return target


def die_with_parent() -> None:
    """In a child before exec: the kernel kills it when xenlab itself is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def command(
    what: str,
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs a host command; its output is returned, or shown if it fails."""
    start = time.monotonic()
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=None if env is None else {**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
        preexec_fn=die_with_parent,
    ) as child:
        while True:
            try:
                output, _ = child.communicate(timeout=10)
                break
            except subprocess.TimeoutExpired:
                say(f"{what}: {time.monotonic() - start:.0f} s so far")
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)
                raise
    if child.returncode != 0:
        raise Failure(
            Status.BUILD,
            f"{what} failed with status {child.returncode}",
            output.splitlines()[-60:],
        )
    return output
