# SPDX-License-Identifier: GPL-2.0-only
"""Kernel modules: what they need, and the index that modprobe reads."""

import lzma
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab.failure import Failure, Status


@dataclass(frozen=True)
class Module:
    """A module and its place below /lib/modules/VERSION."""

    path: str
    content: bytes

    @property
    def name(self) -> str:
        """The name as the kernel shows it."""
        return canonical(PurePosixPath(self.path).name.partition(".ko")[0])

    @property
    def depends(self) -> list[str]:
        """The names of the modules it needs."""
        found = re.search(rb"\0depends=([^\0]*)\0", self.content)
        names = found.group(1).decode() if found else ""
        return [canonical(name) for name in names.split(",") if name]


def canonical(name: str) -> str:
    """Returns a module's name with underscores: tools take either."""
    return name.replace("-", "_")


def read(path: Path, place: str) -> Module:
    """Reads a module file, unpacked if it is compressed."""
    content = path.read_bytes()
    if place.endswith(".xz"):
        return Module(place.removesuffix(".xz"), lzma.decompress(content))
    return Module(place, content)


def installed(root: Path, wanted: Iterable[str]) -> list[Module]:
    """Reads modules, and all they need, from a /lib/modules/VERSION.

    Those that are part of the kernel are left out.
    """
    builtin = (root / "modules.builtin").read_text(encoding="utf-8").split()
    order = (root / "modules.order").read_text(encoding="utf-8").split()
    places = {canonical(PurePosixPath(path).stem): path for path in order}
    found: dict[str, Module] = {}
    there = {canonical(PurePosixPath(path).stem) for path in builtin}
    todo = [name for name in map(canonical, wanted) if name not in there]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        if name not in places:
            raise Failure(Status.BUILD, f"the kernel's packages lack module {name}")
        files = sorted(root.glob(f"{places[name]}*"))
        found[name] = read(files[0], str(files[0].relative_to(root)))
        todo += found[name].depends
    return list(found.values())


def closure(name: str, modules: Mapping[str, Module]) -> list[str]:
    """Returns the names of all that a module needs, those needed first."""
    done: list[str] = []

    def visit(current: str) -> None:
        for needed in modules[current].depends:
            if needed in modules and needed not in done:
                visit(needed)
        done.append(current)

    visit(name)
    return done[:-1]


def modules_dep(modules: Iterable[Module]) -> bytes:
    """Returns the content of modules.dep; of two of a name the last one counts."""
    by_name = {module.name: module for module in modules}
    lines = []
    for name, module in sorted(by_name.items()):
        # modprobe loads from the end of the line.
        needed = [by_name[item].path for item in reversed(closure(name, by_name))]
        lines.append(" ".join([f"{module.path}:", *needed]) + "\n")
    return "".join(lines).encode()
