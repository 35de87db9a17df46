# SPDX-License-Identifier: GPL-2.0-only
"""The Debian packages that the host needs: which are missing, how large, installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lab import cross, fetch, host
from lab.failure import Failure, Status

_FETCH = ("ca-certificates", "mmdebstrap", "xz-utils")
_COMPILE = ("gcc", "libelf1", "make")
_DEMO = (*_FETCH, *_COMPILE, "qemu-system-x86")
_TEST = (*_DEMO, "gcc-12-multilib")
_KERNEL = ("bc", "bison", "flex", "libelf-dev", "rsync")

# By what needs them; each group is complete in itself.
GROUPS: Mapping[str, Sequence[str]] = {
    "demo": _DEMO,
    "test": _TEST,
    # bison and flex are for Xen, which is built here.
    "arm64": (*_FETCH, *_COMPILE, *cross.PACKAGES, "qemu-system-arm", "bison", "flex"),
    "docs": (*_FETCH, "make", "python3-sphinx", "python3-sphinx-rtd-theme"),
    "patches": ("coccinelle", "git", "make", "perl"),
    "qemu": (
        *(*_TEST, "coccinelle", "dpkg-dev", "ninja-build", "patch", "pkg-config"),
        "python3-venv",
    ),
    "kernel": (*_FETCH, *_COMPILE, *_KERNEL),
    "bench": (*_TEST, "gnuplot-nox"),
    "selinux": (*_TEST, "checkpolicy", "semodule-utils"),
    "deb": (*_TEST, "debhelper", "dh-dkms", "genext2fs", "lintian", "uidmap"),
    "lint": (
        *(*_FETCH, *_COMPILE, "gcc-12-multilib"),
        *("g++", "git", "mypy", "perl", "shellcheck", "sparse"),
    ),
}
ALL = "all"

# Without recommended packages and in English, which is read here.
INSTALL = ("install", "--no-install-recommends")
_ENVIRONMENT = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}

_INSTALLED = re.compile(r"Inst (\S+) (\[\S+\] )?\((\S+) .*?\[(\S+)\]\)")
_REMOVED = re.compile(r"Remv (\S+)")
_UNKNOWN = re.compile(r"E: (?:Unable to locate package|Package .* has no installation)")


@dataclass(frozen=True)
class Size:
    """How large packages are, in bytes."""

    download: int = 0
    disk: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.download + other.download, self.disk + other.disk)

    def __str__(self) -> str:
        download, disk = (round(size / 1e6) or 1 for size in (self.download, self.disk))
        return f"{download} MB to download, {disk} MB on the disk"


@dataclass(frozen=True)
class Plan:
    """What apt-get would do."""

    # Named as apt-cache takes them: name:architecture=version.
    new: frozenset[str]
    upgraded: frozenset[str]
    removed: Sequence[str]


def wanted(groups: Sequence[str]) -> list[str]:
    """Returns the packages of groups, each once."""
    for name in groups:
        if name not in (*GROUPS, ALL):
            raise Failure(
                Status.USAGE, f"there is no group {name}; there are: {_known()}"
            )
    if not groups:
        raise Failure(
            Status.USAGE, f"which packages? Name groups of them: {_known()}"
        )
    chosen = GROUPS if ALL in groups else groups
    return list(dict.fromkeys(name for group in chosen for name in GROUPS[group]))


def _known() -> str:
    return " ".join((*GROUPS, ALL))


def missing(dpkg_status: str, names: Sequence[str]) -> list[str]:
    """Returns the names that dpkg-query's output lacks."""
    installed = set()
    for line in dpkg_status.splitlines():
        state, _, name = line.partition(" ")
        if state.startswith("ii"):
            installed.add(name.strip().partition(":")[0])
    return [name for name in names if name not in installed]


def read_plan(text: str) -> Plan:
    """Reads what apt-get --simulate prints."""
    new: set[str] = set()
    upgraded: set[str] = set()
    removed = []
    for line in text.splitlines():
        if installed := _INSTALLED.match(line):
            name, old, version, arch = installed.groups()
            # An architecture is part of the name where it is not the host's.
            at = "" if ":" in name or arch == "all" else f":{arch}"
            (upgraded if old else new).add(f"{name}{at}={version}")
        elif gone := _REMOVED.match(line):
            removed.append(gone[1])
    return Plan(frozenset(new), frozenset(upgraded), removed)


def read_sizes(text: str) -> dict[tuple[str, str], Size]:
    """Reads what apt-cache show prints, by package and version."""
    sizes = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.M))
        if "Size" in fields:
            size = Size(int(fields["Size"]), 1024 * int(fields.get("Installed-Size", "0")))
            sizes[fields["Package"], fields["Version"]] = size
    return sizes


def total(plan: Plan, sizes: Mapping[tuple[str, str], Size]) -> Size:
    """Returns how large a plan is; an upgraded package takes the room of the old one."""

    def of(name: str) -> Size:
        package, _, version = name.partition("=")
        return sizes.get((package.partition(":")[0], version), Size())

    there = sum((of(name).download for name in plan.upgraded), start=0)
    return sum((of(name) for name in plan.new), start=Size(there))


def agreed(answer: str) -> bool:
    """Tells whether an answer is yes; no answer at all is a no, and Enter a yes."""
    return answer.endswith("\n") and answer.strip().lower() in ("", "y", "yes")


def _output(argv: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **_ENVIRONMENT},
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


class Index:
    """The package lists that apt-get goes by: the system's own.

    Where these lack a package, lists in a directory, which take no root to fetch.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._settings: Sequence[str] = ()

    def _simulate(self, names: Sequence[str]) -> str:
        apt = [host.tool("apt-get"), *self._settings, "--simulate", *INSTALL, *names]
        status, text = _output(apt)
        if status == 0:
            return text
        if _UNKNOWN.search(text) and not self._settings:
            self._settings = fetch.private_apt(self._directory)
            host.say("fetching the list of packages, to see how large they are")
            update = [host.tool("apt-get"), *self._settings, "update"]
            host.command("fetching the list of packages", update)
            return self._simulate(names)
        raise Failure(
            Status.TOOL,
            f"apt-get cannot install {' '.join(names)}: 'apt-get {' '.join(INSTALL)}' "
            "with these says why; nothing was changed",
            text.splitlines()[-12:],
        )

    def plan(self, names: Sequence[str]) -> Plan:
        """Returns what it takes to install packages."""
        return read_plan(self._simulate(names)) if names else Plan(frozenset(), frozenset(), ())

    def size(self, plan: Plan) -> Size:
        """Returns how large a plan is."""
        names = sorted(plan.new | plan.upgraded)
        if not names:
            return Size()
        show = [shutil.which("apt-cache") or "apt-cache", *self._settings, "show", *names]
        return total(plan, read_sizes(_output(show)[1]))


def divide(index: Index, names: Sequence[str]) -> tuple[Plan, Plan]:
    """Returns what to install, and what to unpack because installing it removes others.

    Nothing that is installed is ever removed: a cross compiler is as good unpacked, and
    anything else is for the user to decide.
    """
    nothing = Plan(frozenset(), frozenset(), ())
    whole = index.plan(names)
    if not whole.removed:
        return whole, nothing
    rest = index.plan([name for name in names if name not in cross.PACKAGES])
    if not rest.removed:
        host.say(
            f"{' '.join(whole.removed)} is in the way of cross compilers: these are "
            "unpacked below build/cache instead of installed"
        )
        return rest, Plan(whole.new - rest.new, frozenset(), ())
    gone = " ".join(rest.removed)
    raise Failure(
        Status.TOOL,
        f"{gone} is in the way of {' '.join(names)}: if you can do without, say "
        f"'apt-get remove {gone}' and run this again; nothing was changed",
    )


def describe(installed: Plan, size: Size, unpacked: Plan, more: Size) -> str:
    """Says what is about to be done."""
    parts = []
    if installed.new or installed.upgraded:
        upgrades = f" and {len(installed.upgraded)} upgrades" if installed.upgraded else ""
        parts.append(f"{len(installed.new)} new packages{upgrades} to install: {size}")
    if unpacked.new:
        parts.append(f"{len(unpacked.new)} packages to unpack below build/cache: {more}")
    return "; ".join(parts)


def terminal() -> TextIO | None:
    """Returns where a person answers, if there is one.

    make -j leaves stdin to one of its targets; a terminal shows all the same.
    """
    if os.isatty(0):
        return sys.stdin
    return open("/dev/tty", encoding="utf-8") if os.isatty(2) else None


def ask(environment: Mapping[str, str], answers: TextIO | None) -> None:
    """Asks whether to go on; YES=1 says so beforehand."""
    if environment.get("YES") == "1" or answers is None:
        return
    print("xenlab: go on? [Y/n] ", end="", file=sys.stderr, flush=True)
    if not agreed(answers.readline()):
        raise Failure(Status.DECLINED, "not installed, as you said; nothing was changed")


def _as_root(names: Sequence[str]) -> list[str]:
    """Returns what a command of apt-get begins with."""
    words = ["env", *(f"{key}={value}" for key, value in _ENVIRONMENT.items())]
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if sudo is None:
            raise Failure(
                Status.TOOL,
                "installing needs root and there is no sudo: as root, run 'apt-get "
                f"update && apt-get {' '.join(INSTALL)} {' '.join(names)}'",
            )
        words.insert(0, sudo)
    return [*words, host.tool("apt-get"), "-q", "-y", "-o", "Dpkg::Use-Pty=0"]


def _install(names: Sequence[str]) -> None:
    apt = _as_root(names)
    for step in (["update"], [*INSTALL, "--no-remove", *names]):
        done = subprocess.run([*apt, *step], stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise Failure(
                Status.TOOL, f"apt-get {step[0]} failed with status {done.returncode}"
            )


def _missing(names: Iterable[str]) -> list[str]:
    unpacked = cross.PACKAGES if cross.there() else ()
    looked_for = [name for name in names if name not in unpacked]
    query = [host.tool("dpkg-query"), "-W", "-f", "${db:Status-Abbrev} ${Package}\n"]
    return missing(_output([*query, *looked_for])[1], looked_for)


def setup(groups: Sequence[str]) -> None:
    """Installs what the host lacks of groups of packages."""
    host.suite()
    names = wanted(groups)
    if not _missing(names):
        return
    # One at a time: what is missing is asked once more, as another may just have
    # installed it.
    with host.locked("setup"):
        lacking = _missing(names)
        if not lacking:
            return
        with tempfile.TemporaryDirectory(dir=host.directory(host.BUILD)) as scratch:
            index = Index(Path(scratch))
            installed, unpacked = divide(index, lacking)
            size, more = index.size(installed), index.size(unpacked)
        host.say(describe(installed, size, unpacked, more))
        if unpacked.new:
            lacking = [name for name in lacking if name not in cross.PACKAGES]
        ask(os.environ, terminal())
        if lacking:
            _install(lacking)
        if unpacked.new:
            cross.unpack()
