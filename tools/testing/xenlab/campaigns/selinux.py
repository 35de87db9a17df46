# SPDX-License-Identifier: GPL-2.0-only
"""The manual's SELinux policy: compiled as it stands there, and enforced in a dom0."""

import argparse
import re
import textwrap
from dataclasses import replace
from pathlib import Path

from campaigns import arguments, outcome, suite
from lab import build, cpio, host, ktap, machine, programs, skips, versions
from lab.failure import Failure, Status

PAGE = host.REPO / "Documentation/userspace-api/xen/dm-nr-vcpus.rst"
BASE = host.DATA / "selinux.conf"
SCRATCH = host.BUILD / "selinux"
PROGRAM = "selinux"
# In place of AppArmor, which Debian's kernels start with.
APPEND = "security=selinux"

# An indented block, up to the first line that is not.
_MODULE = re.compile(r"^ +module \S+ \S+;\n(?:\n| +.*\n)*", re.M)
_RULE = re.compile(r"^allow.*;$", re.M)
RULES = "@RULES@"


def module(page: str) -> str:
    """Returns the policy module in a page."""
    found = _MODULE.findall(page)
    if len(found) != 1:
        raise Failure(Status.USAGE, f"{PAGE} has {len(found)} policy modules, not 1")
    return f"{textwrap.dedent(found[0]).strip()}\n"


def whole(base: str, text: str) -> str:
    """Returns a policy that stands alone, with a module's rules."""
    rules = _RULE.findall(text)
    if not rules:
        raise Failure(Status.USAGE, f"the policy module in {PAGE} has no rules")
    return base.replace(RULES, "\n".join(rules))


def _compile(text: str) -> Path:
    """Compiles the module as its users do, and the policy that dom0 gets."""
    source = host.directory(SCRATCH) / "emulator.te"
    source.write_text(text, encoding="utf-8")
    compiled, package = source.with_suffix(".mod"), source.with_suffix(".pp")
    host.command(
        "compiling the policy module",
        [host.tool("checkmodule"), "-m", "-o", str(compiled), str(source)],
    )
    host.command(
        "packing the policy module",
        [host.tool("semodule_package"), "-o", str(package), "-m", str(compiled)],
    )
    policy = SCRATCH / "policy"
    conf = SCRATCH / "policy.conf"
    conf.write_text(whole(BASE.read_text(encoding="utf-8"), text), encoding="utf-8")
    host.command(
        "compiling the policy",
        [host.tool("checkpolicy"), "-U", "allow", "-o", str(policy), str(conf)],
    )
    return policy


def run(options: machine.Options) -> tuple[ktap.Counts, list[Failure]]:
    """Compiles the policy, and has a dom0 enforce it."""
    policy = _compile(module(PAGE.read_text(encoding="utf-8")))
    options = replace(options, append=f"{APPEND} {options.append}".strip())
    trees = versions.trees(options)
    built = build.modules(trees)
    files = cpio.Archive()
    suite.put(files, build.selftests(trees), built)
    files.copy(f"{programs.DIRECTORY}/selinux.policy", policy)
    load = machine.Load(built.modules(), files)
    counts, failure, _ = suite.run_programs(options, trees, load, [PROGRAM], skips.Skips())
    return counts, [failure] if failure is not None else []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    arguments.add_machine(parser, (), 600)


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    return outcome.close(*run(arguments.options(args)))
