# SPDX-License-Identifier: GPL-2.0-only
"""Initramfs archives (cpio, newc format), written without root or a staging tree."""

import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO


@dataclass(frozen=True)
class _Entry:
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


@dataclass
class Archive:
    """A file system tree; everything in it belongs to root."""

    _entries: dict[str, _Entry] = field(default_factory=dict)

    def _add(self, path: str, entry: _Entry) -> None:
        name = path.strip("/")
        parent = str(PurePosixPath(name).parent)
        if parent != "." and parent not in self._entries:
            self.directory(parent)
        self._entries[name] = entry

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Adds a directory, and those above it."""
        self._add(path, _Entry(stat.S_IFDIR | mode))

    def symlink(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self._add(path, _Entry(stat.S_IFLNK | 0o777, target.encode()))

    def device(self, path: str, mode: int, major: int, minor: int) -> None:
        """Adds a character device."""
        self._add(path, _Entry(stat.S_IFCHR | mode, device=(major, minor)))

    def data(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Adds a regular file with the given content."""
        self._add(path, _Entry(stat.S_IFREG | mode, content))

    def copy(self, path: str, source: Path) -> None:
        """Adds a file of the host, or a directory with all that is in it."""
        if source.is_dir():
            self.directory(path)
            for child in sorted(source.iterdir()):
                self.copy(f"{path}/{child.name}", child)
        elif source.is_file():
            mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
            self.data(path, source.read_bytes(), mode)

    def content(self, path: str) -> bytes:
        """Returns what a regular file holds that was added."""
        return self._entries[path].data

    def write(self, file: BinaryIO) -> None:
        """Writes the archive; equal content gives equal bytes."""
        # Sorting puts every directory before what is in it.
        names = sorted(self._entries)
        for number, name in enumerate(names, start=1):
            _write_entry(file, number, name, self._entries[name])
        _write_entry(file, 0, "TRAILER!!!", _Entry(0))


def _pad(file: BinaryIO, written: int) -> None:
    file.write(b"\0" * (-written % 4))


def _write_entry(file: BinaryIO, number: int, name: str, entry: _Entry) -> None:
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (
        number,
        entry.mode,
        0,  # uid
        0,  # gid
        links,
        0,  # mtime
        len(entry.data),
        0,  # major and minor of the file system
        0,
        major,
        minor,
        len(encoded),
        0,  # checksum
    )
    header = b"070701" + b"".join(b"%08x" % value for value in fields)
    file.write(header + encoded)
    _pad(file, len(header) + len(encoded))
    file.write(entry.data)
    _pad(file, len(entry.data))
