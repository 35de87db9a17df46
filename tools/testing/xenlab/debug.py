# SPDX-License-Identifier: GPL-2.0-only
"""Tests on a kernel that looks for defects itself, with KASAN, lockdep and others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import build
import cpio
import hypervisor
import kernel
import ktap
import machine
import suite
import versions
from arch import ARM64
from failure import Failure, Status

CONFIG = Path(__file__).resolve().parent / "debug.config"

# Generic KASAN does not boot as a PV dom0; here a dom0 is auto-translated.
ARCH = ARM64
# In MiB: KASAN takes an eighth, and each allocation more than elsewhere.
MEMORY = 1536

FAIL_NTH = "fail_nth"
RANDOM = "random"
# Ends each boot.
LEAKS = "leaks"

# Seconds that a program may take beyond what it was told to take.
SLACK = 300


@dataclass(frozen=True)
class Choice:
    """What a person may choose about the random run."""

    seconds: int = 600
    threads: int = 2
    seed: int | None = None


def _random(choice: Choice) -> str:
    words = [RANDOM, "--seconds", str(choice.seconds), "--threads", str(choice.threads)]
    if choice.seed is not None:
        words += ["--seed", str(choice.seed)]
    return " ".join(words)


def boots(tests: Sequence[str], wanted: Sequence[str], choice: Choice) -> list[list[str]]:
    """Returns the programs of each boot, with what they are told."""
    for name in wanted:
        if name not in (*tests, FAIL_NTH, RANDOM):
            raise Failure(
                Status.USAGE,
                f"there is no test program {name}; there are: "
                f"{' '.join([*tests, FAIL_NTH, RANDOM])}",
            )
    chosen = wanted or (*tests, FAIL_NTH, RANDOM)
    found = [
        [name for name in tests if name in chosen],
        [FAIL_NTH] if FAIL_NTH in chosen else [],
        [_random(choice)] if RANDOM in chosen else [],
    ]
    return [[*names, LEAKS] for names in found if names]


def run(
    options: machine.Options, wanted: Sequence[str], choice: Choice
) -> tuple[ktap.Counts, list[Failure]]:
    """Runs the tests, and what only this kernel can do."""
    options = replace(
        options, arch=ARCH, driver="ours", xen=hypervisor.VERSION, memory=MEMORY
    )
    trees = versions.trees(options, kernel.tree(CONFIG, ARCH))
    built = build.modules(trees)
    directory = build.selftests(trees)
    permitted = suite.permitted_skips(options, trees)
    limit = max(SLACK, choice.seconds + SLACK)
    total = ktap.Counts()
    failures = []
    for names in boots(suite.names(directory), wanted, choice):
        files = cpio.Archive()
        suite.put(files, directory, built)
        load = machine.Load(built.modules(), files)
        counts, failure, _ = suite.run_programs(
            options, trees, load, names, permitted, limit
        )
        total += counts
        if failure is not None:
            failures.append(failure)
    return total, failures
