# SPDX-License-Identifier: GPL-2.0-only
"""The commands, and the places where each has to have an entry."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UAPI = "include/uapi/xen/privcmd.h"
DRIVER = "drivers/xen/privcmd/ioctl.c"
SELFTESTS = "tools/testing/selftests/xen"
LIST = f"{SELFTESTS}/commands.h"
REQUESTS = f"{SELFTESTS}/requests.h"
MANUAL = "Documentation/userspace-api/xen"
CONTRIBUTING = "CONTRIBUTING.md"


@dataclass(frozen=True)
class Command:
    """A command of the header."""

    name: str
    # Of its argument; empty if that is none.
    struct: str
    # Whether 32-bit callers may use it.
    compat: bool
    # Whether Linux's own driver lacks it.
    ours: bool


def _any(_command: Command) -> bool:
    return True


def _with_struct(command: Command) -> bool:
    return command.struct != ""


def _for_32_bit(command: Command) -> bool:
    return command.compat


def _ours(command: Command) -> bool:
    return command.ours


@dataclass(frozen=True)
class Place:
    """Where commands have an entry."""

    # A file, or files of which one has to have it.
    where: str
    what: str
    # NAME and STRUCT stand for the command's.
    entry: str
    # The part of the file that has the entries.
    section: str = r"\A.*"
    of: Callable[[Command], bool] = _any

    def entry_of(self, command: Command) -> re.Pattern[str]:
        """Returns what a command's entry looks like."""
        entry = self.entry.replace("NAME", command.name).replace("STRUCT", command.struct)
        return re.compile(entry, re.M)

    def sections(self, top: Path) -> list[str]:
        """Returns the parts of files that have the entries."""
        texts = (path.read_text(encoding="utf-8") for path in top.glob(self.where))
        found = (re.search(self.section, text, re.M | re.S) for text in texts)
        return [section[0] for section in found if section]


PLACES = (
    Place(DRIVER, "a row in commands[]", r"^\t(ROW|TARGETED)\(NAME,"),
    Place(DRIVER, "a CHECK_ABI() of its struct", r"^CHECK_ABI\(struct STRUCT,", of=_with_struct),
    Place(LIST, "a row", r"^ROW\(NAME,"),
    Place(
        REQUESTS,
        "its struct in union argument",
        r"^\tstruct STRUCT ",
        r"^union argument \{.*?^\}",
        _with_struct,
    ),
    Place(f"{SELFTESTS}/*_test.c", "a test", r"\bIOCTL_PRIVCMD_NAME\b"),
    Place(f"{SELFTESTS}/fail_nth.c", "a request", r"\bIOCTL_PRIVCMD_NAME\b"),
    Place(f"{SELFTESTS}/random.c", "a row in kinds[]", r"^\t\[NAME\] = "),
    Place(f"{SELFTESTS}/random.c", "a request", r"\bIOCTL_PRIVCMD_NAME\b"),
    Place(
        f"{SELFTESTS}/random.c",
        "a case in fill_asked()",
        r"^\tcase NAME:",
        r"^static void fill_asked\(.*?^\}",
    ),
    Place("tools/testing/xenlab/campaigns/lint.py", "a line in COMMANDS", r'^    "NAME": \('),
    Place(f"{MANUAL}/privcmd.rst", "a line in the table of commands", r"^   \* - ``NAME``$"),
    Place(
        f"{MANUAL}/privcmd.rst",
        "its name in the paragraph on 32-bit processes",
        r"``NAME``",
        r"^\*\*32-bit processes.*?\n\n",
        _for_32_bit,
    ),
    Place(
        f"{MANUAL}/*.rst", "a page that shows its struct", r":identifiers:.*\bSTRUCT\b",
        of=_with_struct,
    ),
    Place("Documentation/differences.rst", "its name", r"``NAME``", of=_ours),
    Place("NEWS.md", "its name", r"\b(IOCTL_PRIVCMD_)?NAME\b", of=_ours),
)


def _numbers(top: Path) -> list[tuple[str, str, str]]:
    """Returns the name, the number and the struct of each command of the header."""
    return re.findall(
        r"^#define IOCTL_PRIVCMD_(\w+)[\s\\]+_IO.*'P', (\d+)\b"
        r"(?:,[\s\\]*(?:sizeof\()?(?:struct (\w+))?)?",
        (top / UAPI).read_text(encoding="utf-8"),
        re.M,
    )


def known(top: Path) -> list[Command]:
    """Returns the commands of the header."""
    compat = re.findall(r"^ROW\((\w+),.* true\)", (top / LIST).read_text(encoding="utf-8"), re.M)
    requests = (top / REQUESTS).read_text(encoding="utf-8")
    first = int(re.findall(r"^#define FIRST_OF_OURS\s+(\d+)", requests, re.M)[0])
    return [
        Command(name, struct, name in compat, int(number) >= first)
        for name, number, struct in _numbers(top)
    ]


def forgotten(top: Path) -> list[str]:
    """Returns the places where a command has no entry."""
    found = known(top)
    defined = re.findall(
        r"^#define IOCTL_PRIVCMD_(\w+)", (top / UAPI).read_text(encoding="utf-8"), re.M
    )
    read = [command.name for command in found]
    problems = [
        f"{UAPI}: IOCTL_PRIVCMD_{name} is not defined as the others are"
        for name in defined
        if name not in read
    ]
    for place in PLACES:
        sections = place.sections(top)
        problems += [
            f"{place.where}: {command.name} has to have {place.what}"
            for command in found
            if place.of(command)
            and not any(place.entry_of(command).search(section) for section in sections)
        ]
    return problems


def unlisted(top: Path) -> list[str]:
    """Returns what the table for contributors has too much or too little."""
    text = (top / CONTRIBUTING).read_text(encoding="utf-8")
    section = text.partition("\n## A new command\n")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| (`.*) \|$", section, re.M))
    ours = {f"`{place.where}` | {place.what}" for place in PLACES}
    return [
        *(f"{CONTRIBUTING}: no row {row}" for row in sorted(ours - rows)),
        *(f"{CONTRIBUTING}: lint does not know {row}" for row in sorted(rows - ours)),
    ]
