# SPDX-License-Identifier: GPL-2.0-only
"""Cross compilers that are unpacked into the cache, where they cannot be installed.

gcc-multilib, which a host may have for its user, cannot be installed beside them.
"""

import os
import shutil
from pathlib import Path

from lab import fetch, host

PACKAGES = ("gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross")

# What is kept. The compilers find their parts by where they themselves are; the
# libraries of the host's own compiler are the rest of what they take.
KEPT = (
    "usr/aarch64-linux-gnu",
    "usr/arm-linux-gnueabihf",
    "usr/bin/a*-linux-gnu*",
    "usr/lib/gcc-cross",
    "usr/lib/x86_64-linux-gnu/lib*-arm*.so*",
)


def _finish(tree: Path) -> None:
    unwanted = tree.with_name(f"{tree.name}-unwanted")
    os.rename(tree, unwanted)
    try:
        for pattern in KEPT:
            for path in unwanted.glob(pattern):
                target = tree / path.relative_to(unwanted)
                host.directory(target.parent)
                os.rename(path, target)
    finally:
        shutil.rmtree(unwanted)


SPEC = fetch.Spec("cross", PACKAGES, _finish)


def there() -> bool:
    """Says whether they have been unpacked."""
    return fetch.directory(SPEC, host.suite()).is_dir()


def unpack() -> None:
    """Unpacks them."""
    fetch.tree(SPEC)
    use()


def use() -> None:
    """Has them found, after those that are installed."""
    if not there():
        return
    tree = fetch.directory(SPEC, host.suite())
    for name, directory in (
        ("PATH", "usr/bin"),
        ("LD_LIBRARY_PATH", "usr/lib/x86_64-linux-gnu"),
    ):
        words = [*os.environ.get(name, "").split(os.pathsep), str(tree / directory)]
        os.environ[name] = os.pathsep.join(word for word in words if word)
