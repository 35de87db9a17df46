# SPDX-License-Identifier: GPL-2.0-only
"""The selftests in a directory of their own, for a dom0 that is in use."""

import argparse
import shutil
import tempfile
from pathlib import Path

from campaigns import arguments, suite
from lab import build, cpio, fetch, host, machine, versions
from lab.failure import Failure, Status

COLLECTION = "xen"
# They load and unload modules, which others on a dom0 use.
LEFT_OUT = ("dm_op_kernel_test", "unload_test")
# Of the kernel's selftests: what runs one test program after the other.
RUNNER = ("kselftest", "run_kselftest.sh")


def tests(directory: Path) -> list[str]:
    """Returns the test programs that go into the directory."""
    return [name for name in suite.names(directory) if name not in LEFT_OUT]


def _fill(target: Path, programs: Path, selftests: Path) -> None:
    for name in RUNNER:
        source = selftests / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            shutil.copy(source, target)
    collection = host.directory(target / COLLECTION)
    shutil.copy(build.SELFTESTS / "settings", collection)
    for path in sorted(programs.iterdir()):
        if path.is_file() and path.stat().st_mode & 0o100 and path.name not in LEFT_OUT:
            shutil.copy(path, collection)
    listed = "".join(f"{COLLECTION}:{name}\n" for name in tests(programs))
    (target / "kselftest-list.txt").write_text(listed, encoding="utf-8")


def _source() -> Path:
    tree = fetch.kernel_source(fetch.tree(fetch.SOURCE))
    return tree / "tools/testing/selftests"


def put(files: cpio.Archive, place: str, programs: Path) -> None:
    """Adds the directory to what dom0 gets."""
    with tempfile.TemporaryDirectory() as made:
        _fill(Path(made), programs, _source())
        for path in sorted(Path(made).rglob("*")):
            if path.is_file():
                mode = path.stat().st_mode & 0o777
                files.data(f"{place}/{path.relative_to(made)}", path.read_bytes(), mode)


def install(options: machine.Options, target: Path) -> None:
    """Puts the tests for a version of Xen into a directory that is new."""
    programs = build.selftests(versions.trees(options))
    # Whole or not at all.
    with tempfile.TemporaryDirectory(dir=host.directory(target.parent)) as made:
        filled = Path(made) / "filled"
        filled.mkdir()
        _fill(filled, programs, _source())
        filled.rename(target)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_xen(parser)
    parser.add_argument("directory", help="where to, which must not be there yet")


def look(args: argparse.Namespace) -> None:
    """Refuses a directory that cannot be made."""
    target = host.path(args.directory)
    if target.exists():
        raise Failure(
            Status.USAGE, f"{target} is there already: name another with INSTALL_PATH="
        )
    above = next(path for path in target.parents if path.exists())
    try:
        tempfile.TemporaryDirectory(dir=above).cleanup()
    except OSError as error:
        raise Failure(
            Status.USAGE,
            f"no directory can be made in {above} ({error.strerror}): name another with "
            "INSTALL_PATH=",
        ) from error


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    target = host.path(args.directory)
    install(machine.Options(xen=args.xen), target)
    print(f"to run the tests, as root in dom0: {target}/run_kselftest.sh")
    return Status.GOOD
