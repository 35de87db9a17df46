# SPDX-License-Identifier: GPL-2.0-only
"""The records of mutants: what each changes in the driver, and what must notice.

mutants/ has a TOML file for each source file of the driver, and of the emulator of the
samples. It names its source once, and then has records like this one, in the order of
the source:

	[[mutant]]
	name = "mmap-gaps"
	breaks = "The runs of MMAP need not follow each other."
	red = ["mmap_test run.elsewhere_than_after_the_last_one_is_refused"]
	linux = "6.12"
	old = '	if (entry->va != va)'
	new = '	if (false)'

What old and new have is whole lines, which are in the source exactly once; three quotes
hold several. A mutant that changes several places has a list of [[mutant.change]]
instead, each with an old, a new and, where it is another file, a source. arch, linux, xen and
xen_append (more options for Xen) are for what breaks only there.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import host, versions
from lab.arch import ALL, HOST
from lab.failure import Failure, Status

DIRECTORY = host.DATA / "mutants"
FILE_KEYS = ("source", "mutant")
MUTANT_KEYS = ("name", "breaks", "red")
# One change stands in the record itself, more of them in a list.
MUTANT_MORE = ("arch", "linux", "xen", "xen_append", "old", "new", "change")
CHANGE_KEYS = ("old", "new")
CHANGE_MORE = ("source",)
# Of all records, also of those that others read.
LISTS = ("mutant", "red", "change", "fix", "reason", "lines")


@dataclass(frozen=True)
class Change:
    """Whole lines of a source file, and what takes their place."""

    source: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Returns the source with the change in it."""
        lines, old = text.splitlines(), self.old.splitlines()
        places = [
            start
            for start in range(len(lines))
            if lines[start : start + len(old)] == old
        ]
        if len(places) != 1:
            raise Failure(
                Status.USAGE,
                f"its old text is {len(places)} times in {self.source}, must be once",
            )
        start = places[0]
        lines[start : start + len(old)] = self.new.splitlines()
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Mutant:
    """A way to break the driver, and what must notice."""

    name: str
    breaks: str
    # Program and test.
    red: Sequence[tuple[str, str]]
    changes: Sequence[Change]
    # The architecture of the machine that it is tried on.
    arch: str = HOST.name
    # The kernel's version, if it has to be another one than that of the run.
    linux: str = ""
    # The same of Xen.
    xen: str = ""
    # More options for Xen.
    xen_append: str = ""

    def breaks_emulator(self) -> bool:
        """Tells whether the emulator has to be built."""
        return any(change.source.startswith("samples/") for change in self.changes)

    def broken(self, top: Path) -> dict[Path, str]:
        """Returns the sources that it breaks below a directory, broken."""
        texts: dict[Path, str] = {}
        for change in self.changes:
            path = top / change.source
            try:
                text = texts.get(path) or path.read_text(encoding="utf-8")
                texts[path] = change.apply(text)
            except FileNotFoundError:
                raise Failure(
                    Status.USAGE, f"mutant {self.name}: there is no {change.source}"
                ) from None
            except Failure as failure:
                raise Failure(
                    failure.status, f"mutant {self.name}: {failure}"
                ) from None
        return texts

    def apply(self, top: Path) -> None:
        """Breaks the sources below a directory."""
        for path, text in self.broken(top).items():
            path.write_text(text, encoding="utf-8")


def keys(
    where: str, table: Any, needed: Sequence[str], more: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns a table in which each key is known, and its value of the right kind."""
    if not isinstance(table, dict):
        raise Failure(Status.USAGE, f"{where} is no table")
    for key, value in table.items():
        if key not in (*needed, *more):
            known = " ".join((*needed, *more))
            raise Failure(Status.USAGE, f"{where} has a key {key}; there are: {known}")
        kind, called = (list, "list") if key in LISTS else (str, "string")
        if not isinstance(value, kind) or not (value or key == "new"):
            raise Failure(Status.USAGE, f"{where}: {key} has to be a {called}, not empty")
    for key in needed:
        if key not in table:
            raise Failure(Status.USAGE, f"{where} has no {key}")
    return table


def one_of(where: str, what: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        raise Failure(
            Status.USAGE, f"{where}: no {what} {name}; there are: {' '.join(known)}"
        )
    return name


def red(where: str, test: Any) -> tuple[str, str]:
    words = test.split() if isinstance(test, str) else []
    if len(words) != 2:
        raise Failure(Status.USAGE, f"{where}: red has {test!r}, not 'PROGRAM TEST'")
    return words[0], words[1]


def changes(
    where: str, record: dict[str, Any], needed: Sequence[str], source: str = ""
) -> list[Change]:
    """Returns the one change that a record is, or those that it lists.

    source is that of a change that names none, which it may if it need not.
    """
    here = {key: record[key] for key in needed if key in record}
    if bool(here) == ("change" in record):
        raise Failure(Status.USAGE, f"{where} needs either {' and '.join(needed)}, or change")
    tables = [
        keys(f"{where}: its change", table, needed, CHANGE_MORE)
        for table in record.get("change", [here])
    ]
    return [Change(**{"source": source, **table}) for table in tables]


def named(where: str, what: str, record: Any) -> str:
    """Returns what a message calls a record."""
    if isinstance(record, dict) and isinstance(record.get("name"), str):
        return f"{where}: {what} {record['name']}"
    return f"{where}: a {what}"


def _mutant(where: str, source: str, record: Any) -> Mutant:
    """Reads one record."""
    where = named(where, "mutant", record)
    record = keys(where, record, MUTANT_KEYS, MUTANT_MORE)
    if not re.fullmatch(r"[a-z0-9-]+", record["name"]):
        raise Failure(Status.USAGE, f"{where}: a name is of a to z, 0 to 9 and -")
    return Mutant(
        record["name"],
        record["breaks"],
        [red(where, test) for test in record["red"]],
        changes(where, record, CHANGE_KEYS, source),
        one_of(where, "architecture", record.get("arch", HOST.name), [*ALL]),
        one_of(where, "Linux", record.get("linux", ""), ["", *versions.KERNELS]),
        one_of(where, "Xen", record.get("xen", ""), ["", *versions.XENS]),
        record.get("xen_append", ""),
    )


def load(where: str, content: bytes, needed: Sequence[str]) -> dict[str, Any]:
    """Reads a file of records."""
    try:
        return keys(where, tomllib.loads(content.decode()), needed)
    except ValueError as error:
        raise Failure(Status.USAGE, f"{where}: {error}") from error


def parse(where: str, content: bytes) -> Iterator[Mutant]:
    """Reads the mutants of one source file."""
    table = load(where, content, FILE_KEYS)
    for record in table["mutant"]:
        yield _mutant(where, table["source"], record)


def read(directory: Path = DIRECTORY) -> dict[str, Mutant]:
    """Reads all mutants, by name."""
    found: dict[str, Mutant] = {}
    for path in sorted(directory.glob("*.toml")):
        for mutant in parse(str(path), path.read_bytes()):
            if mutant.name in found:
                raise Failure(
                    Status.USAGE, f"{path}: there is a mutant {mutant.name} already"
                )
            found[mutant.name] = mutant
    if not found:
        raise Failure(Status.USAGE, f"there are no mutants in {directory}")
    return found


def choose(wanted: Sequence[str]) -> list[Mutant]:
    """Returns the wanted mutants, or all of them."""
    there = read()
    for name in wanted:
        if name not in there:
            raise Failure(
                Status.USAGE, f"there is no mutant {name}; there are: {' '.join(there)}"
            )
    return [there[name] for name in dict.fromkeys(wanted or there)]
