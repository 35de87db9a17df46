# SPDX-License-Identifier: GPL-2.0-only
"""The machine xenlab itself runs on: its packages, tools and directories."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lab.failure import Failure, Status

LAB = Path(__file__).resolve().parents[1]
REPO = LAB.parents[2]
DATA = LAB / "data"
BUILD = REPO / "build"
CACHE = BUILD / "cache"
OS_RELEASE = Path("/etc/os-release")

# Tools by the package that has them, for what a message advises.
TOOLS: Mapping[str, str] = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-strip": "binutils-aarch64-linux-gnu",
    "apt-get": "apt",
    "checkmodule": "checkpolicy",
    "checkpolicy": "checkpolicy",
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf",
    "dpkg-query": "dpkg",
    "dpkg-source": "dpkg-dev",
    "gcc": "gcc",
    "gcov": "gcc",
    "git": "git",
    "gnuplot": "gnuplot-nox",
    "lintian": "lintian",
    "make": "make",
    "mmdebstrap": "mmdebstrap",
    "ninja": "ninja-build",
    "perl": "perl",
    "pkg-config": "pkg-config",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
    "readelf": "binutils",
    "semodule_package": "semodule-utils",
    "spatch": "coccinelle",
    "strip": "binutils",
    "tar": "tar",
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
            f"{name} is missing (Debian package {TOOLS[name]}): install it, or run "
            "'xenlab.py setup all' first",
        )
    return path


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


def path(text: str) -> Path:
    """Returns the whole path of what the user has named."""
    if not text:
        raise Failure(Status.USAGE, "'' is no name of a file or directory")
    try:
        os.stat(text)
    except OSError as error:
        # Path.resolve() makes a RuntimeError of it, and newer ones do not notice.
        if error.errno == errno.ELOOP:
            raise Failure(
                Status.USAGE, f"{text}: a symbolic link that leads to itself"
            ) from error
    return Path(text).resolve()


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


def cached(name: str, key: bytes, what: str, make: Callable[[Path], None]) -> Path:
    """Returns a directory of the cache, and has it made first if it is not there.

    One of that name with another key is removed then.
    """
    final = CACHE / f"{name}-{hashlib.sha256(key).hexdigest()[:12]}"
    if final.is_dir():
        return final
    directory(CACHE)
    with locked(name):
        if final.is_dir():
            return final
        partial = CACHE / f"partial-{name}"
        for old in (partial, *CACHE.glob(f"{name}-{'?' * 12}")):
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir()
        say(f"building {what}, once")
        try:
            make(partial)
            os.rename(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


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
                # It may have ended by itself.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                # Popen itself does not when interrupted, and what it writes to is removed next.
                child.wait()
                raise
    if child.returncode != 0:
        raise Failure(
            Status.BUILD,
            f"{what} failed with status {child.returncode}",
            output.splitlines()[-60:],
        )
    return output
