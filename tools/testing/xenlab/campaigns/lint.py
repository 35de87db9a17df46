# SPDX-License-Identifier: GPL-2.0-only
"""Check the sources without running them: silent and 0 when they are clean.

Each finding is one line, "check: what is wrong"; with findings the exit status is 1.
Scratch files go below build/lint.
"""

import argparse
import ast
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import Callable, Sequence

from campaigns import (
    commands, coverage, matrix_page, mutants as mutants_campaign, path, records,
)
from lab import git, host
from lab.failure import Failure, Status

TOP = host.REPO
SCRATCH = host.BUILD / "lint"
UAPI = "include/uapi/xen/privcmd.h"
DESIGN = "Documentation/design.rst"
LAB = "Documentation/lab.rst"

# Every command used below and the Debian package that has it.
TOOLS = {
    "g++": "g++",
    "gcc": "gcc",
    "git": "git",
    "make": "make",
    "mypy": "mypy",
    "perl": "perl",
    "shellcheck": "shellcheck",
    "sparse": "sparse",
}

CHECKPATCH_IGNORE = [
    # For patches that add a system call.  Here ENOSYS is what the hypervisor answers for a
    # hypercall that it was built without, and the driver must know it.
    "ENOSYS",
    # For arguments with side effects.  Those of the command table's macros are type names
    # and constants.
    "MACRO_ARG_REUSE",
]

# Xen's macro for the type of a pointer; checkpatch takes "GUEST_HANDLE(void) h" for a cast.
NOT_A_CAST = re.compile(r"\bGUEST_HANDLE\(void\) ")

# What kbuild itself says even with -s; anything else is a warning.
KBUILD_CHATTER = re.compile(
    r"Skipping BTF generation for |warning: the compiler differs from the one used to build"
    r"|  The kernel was built by: |  You are using: "
)

# Every machine has these, so a path below one of them may stand in a file.
COMMON_DIRECTORIES = "/ /home /mnt /opt /root /srv /tmp /usr/local/src /usr/src /var/tmp".split()

Command = Sequence[str | pathlib.Path]

DIALECTS = [("gcc", std) for std in ("c99", "c11", "gnu17")] + [
    ("g++", std) for std in ("c++98", "c++11", "c++20")
]

XEN = "#include <xen/xen.h>\n"
XEN_PRIVCMD = "#include <xen/sys/privcmd.h>\n"
OURS = '#include "xen/privcmd.h"\n'
# Xen's headers bring no integer types of their own.
STD = "#include <stdint.h>\n#include <stddef.h>\n"
INCLUDE_ORDERS = {
    "alone": [OURS],
    "twice": [OURS, OURS],
    "after <xen/xen.h>": [STD, XEN, OURS],
    "before <xen/xen.h>": [OURS, XEN],
    "after <xen/sys/privcmd.h>": [STD, XEN, XEN_PRIVCMD, OURS],
    "before <xen/sys/privcmd.h>": [OURS, XEN_PRIVCMD],
    "before both of Xen's": [OURS, XEN, XEN_PRIVCMD],
    "between Xen's": [STD, XEN, OURS, XEN_PRIVCMD],
}

# Number, size on 64 bit, size on 32 bit (i386), direction as in _IOC().
COMMANDS = {
    "HYPERCALL": (0, 48, 48, "_IOC_NONE"),
    "MMAP": (2, 16, 12, "_IOC_NONE"),
    "MMAPBATCH": (3, 24, 20, "_IOC_NONE"),
    "MMAPBATCH_V2": (4, 32, 24, "_IOC_NONE"),
    "DM_OP": (5, 16, 8, "_IOC_NONE"),
    "RESTRICT": (6, 2, 2, "_IOC_NONE"),
    "MMAP_RESOURCE": (7, 32, 32, "_IOC_NONE"),
    "IRQFD": (8, 24, 24, "_IOC_WRITE"),
    "IOEVENTFD": (9, 48, 48, "_IOC_WRITE"),
    "PCIDEV_GET_GSI": (10, 8, 8, "_IOC_NONE"),
    "DM_NR_VCPUS": (32, 8, 8, "_IOC_READ | _IOC_WRITE"),
    "LIMIT": (33, 24, 24, "_IOC_WRITE"),
}


@dataclasses.dataclass(frozen=True)
class Places:
    """Directories outside the repository that the checks read."""

    kernel_tree: pathlib.Path
    kdir: pathlib.Path
    sysroot: pathlib.Path


def run(
    command: Command,
    cwd: pathlib.Path = TOP,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command; its exit status and what it printed to either stream."""
    result = subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(os.environ, LC_ALL="C", **(env or {})),
        check=False,
    )
    return result.returncode, result.stdout


def findings(status: int, output: str, what: str) -> list[str]:
    """The lines of a tool that is silent when all is well."""
    lines = [line for line in output.splitlines() if line.strip()]
    if status and not lines:
        lines = [f"{what} failed without a word, status {status}"]
    return lines


@functools.cache
def files() -> list[str]:
    """Every file of the repository, also new ones, but none that is ignored."""
    output = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = sorted(set(output.split("\0")) - {""})
    return [name for name in names if (TOP / name).is_file()]


@functools.cache
def text(name: str) -> str:
    return (TOP / name).read_text(errors="replace")


def is_script(name: str, shells: str) -> bool:
    first = text(name).split("\n", 1)[0]
    return re.match(rf"#!\s*\S*?(/|\benv\s+)({shells})\b", first) is not None


def python_files() -> list[str]:
    return [n for n in files() if n.endswith(".py") or is_script(n, "python3")]


def python_root(name: str) -> str:
    """The directory that a file's imports begin in: the first above it that is no package."""
    directory = os.path.dirname(name)
    while f"{directory}/__init__.py" in files():
        directory = os.path.dirname(directory)
    return directory


def checkpatch(places: Places) -> list[str]:
    """Kernel coding style."""
    names = [
        name
        for name in files()
        if re.match(r"(drivers|include|compat|samples|tools/testing/selftests|Kconfig)\b", name)
        and re.search(r"\.[ch]$|(^|/)(Makefile|Kconfig)$", name)
    ]
    script = places.kernel_tree / "scripts" / "checkpatch.pl"
    command: Command = [
        "perl", script, "--strict", "--no-tree", "--no-summary", "--terse", "--show-types",
        "--quiet", "--ignore", ",".join(CHECKPATCH_IGNORE), "--file", *names,
    ]
    # It knows kinds of files by their place in the tree, and may leave a cache file in it.
    mirror = SCRATCH / "checkpatch"
    shutil.rmtree(mirror, ignore_errors=True)
    mirror.mkdir(parents=True)
    for entry in {name.split("/")[0] for name in names}:
        (mirror / entry).symlink_to(TOP / entry)
    lines = findings(*run(command, cwd=mirror), "checkpatch.pl")

    def mistaken(finding: str) -> bool:
        place = re.match(r"(.*?):(\d+): CHECK:SPACING: No space is necessary after a cast", finding)
        return place is not None and NOT_A_CAST.search(
            text(place[1]).splitlines()[int(place[2]) - 1]
        ) is not None

    return [line for line in lines if not mistaken(line)]


def kernel_doc(places: Places) -> list[str]:
    """Comments that Documentation includes."""
    names = [n for n in files() if n.endswith((".c", ".h")) and "\n/**\n" in text(n)]
    script = places.kernel_tree / "scripts" / "kernel-doc"
    # The version only keeps it from starting Sphinx to ask.
    command: Command = ["perl", script, "-none", "-Werror", "-sphinx-version", "5.3.0", *names]
    return findings(*run(command), "kernel-doc")


def modules(places: Places) -> list[str]:
    """sparse and the compiler's W=1 over the modules."""
    build = SCRATCH / "modules"
    # A file that is not compiled again would not warn again.
    shutil.rmtree(build, ignore_errors=True)
    command: Command = [
        "make", "-s", "-j2", "--no-print-directory", "modules", f"KDIR={places.kdir}",
        f"BUILD={build}", "C=2", "CF=-Wsparse-error", "W=1e",
    ]
    status, output = run(command)
    lines = findings(status, output, "make modules")
    return [line for line in lines if not KBUILD_CHATTER.match(line)]


def uapi_source(order: Sequence[str], bits: int) -> str:
    """A file that fails to compile when the header is not what user space was promised."""
    asserts = {
        "dom": "offsetof(struct privcmd_dm_nr_vcpus, dom) == 0",
        "pad": "offsetof(struct privcmd_dm_nr_vcpus, pad) == 2",
        "vcpus": "offsetof(struct privcmd_dm_nr_vcpus, vcpus) == 4",
        "commands": "offsetof(struct privcmd_limit, commands) == 0",
        "dm_ops": "offsetof(struct privcmd_limit, dm_ops) == 8",
        "resources": "offsetof(struct privcmd_limit, resources) == 16",
        "flags": "offsetof(struct privcmd_limit, flags) == 20",
    }
    ours = {command.name for command in commands.known(TOP) if command.ours}
    numbers = "".join(
        f"#ifdef IOCTL_PRIVCMD_{name}\n" * may_lack
        + f"ASSERT({name}, IOCTL_PRIVCMD_{name} == _IOC({way}, 'P', {number}, {size}));\n"
        + "#endif\n" * may_lack
        for name, (number, size64, size32, way) in COMMANDS.items()
        for size in [size64 if bits == 64 else size32]
        # Xen's header may be the older one; what it never has, ours defines after it.
        for may_lack in [name not in ours and XEN_PRIVCMD in order[: order.index(OURS)]]
    )
    return (
        "".join(order)
        + "#include <stddef.h>\n"
        + "#define ASSERT(name, cond) typedef char assert_##name[(cond) ? 1 : -1]\n"
        + "".join(f"ASSERT({name}, {cond});\n" for name, cond in asserts.items())
        + numbers
        + "unsigned long use(struct privcmd_dm_nr_vcpus *arg);\n"
        + "unsigned long use(struct privcmd_dm_nr_vcpus *arg)\n{\n"
        + "\targ->dom = (domid_t)1;\n\targ->pad = 0;\n\targ->vcpus = 0;\n"
        + "\treturn IOCTL_PRIVCMD_DM_NR_VCPUS;\n}\n"
    )


def install_header(places: Places) -> list[str]:
    """What "make headers_install" of a kernel tree would make of the header."""
    installed = SCRATCH / "installed" / "xen" / "privcmd.h"
    installed.parent.mkdir(parents=True, exist_ok=True)
    # The script calls scripts/unifdef of the directory it runs in.
    command: Command = ["sh", "scripts/headers_install.sh", TOP / UAPI, installed]
    return findings(*run(command, cwd=places.kdir), "headers_install.sh")


@functools.cache
def kernel_headers() -> pathlib.Path:
    """Holds the <asm/types.h> that gcc -m32 finds by itself only with Debian's gcc-multilib.

    That package cannot be installed beside a cross compiler; libc6-dev-i386 can.
    """
    return pathlib.Path("/usr/include") / run(["gcc", "-print-multiarch"])[1].strip()


def compile_header(
    includes: dict[str, pathlib.Path], case: tuple[str, str, str, str, int]
) -> list[str]:
    where, order, compiler, std, bits = case
    command: Command = [
        compiler, "-x", "c" if compiler == "gcc" else "c++", f"-std={std}", f"-m{bits}",
        "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
        "-I", includes[where], "-isystem", includes["xen"], "-idirafter", kernel_headers(), "-",
    ]
    status, output = run(command, stdin=uapi_source(INCLUDE_ORDERS[order], bits))
    lines = [line for line in output.splitlines() if "error:" in line]
    return [
        f"{where} header {order}, {std} -m{bits}: {line}"
        for line in lines or findings(status, output, compiler)[:1]
    ]


def uapi(places: Places) -> list[str]:
    """The uAPI header alone and with Xen's, in C and C++, 64 and 32 bit."""
    problems = install_header(places)
    if problems:
        return problems
    # Of the sysroot only Xen's headers: the C library is the compiler's own.
    only_xen = SCRATCH / "xen-headers"
    shutil.rmtree(only_xen, ignore_errors=True)
    only_xen.mkdir(parents=True)
    (only_xen / "xen").symlink_to(places.sysroot / "usr" / "include" / "xen")
    includes = {
        "source": TOP / "include" / "uapi",
        "installed": SCRATCH / "installed",
        "xen": only_xen,
    }
    cases = [
        (where, order, compiler, std, bits)
        for (compiler, std), bits in itertools.product(DIALECTS, (64, 32))
        for where, order in [("installed", "alone")] + [("source", o) for o in INCLUDE_ORDERS]
    ]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = sum(pool.map(functools.partial(compile_header, includes), cases), [])
    # One mistake in the header shows in most of the cases.
    more = [f"and {len(problems) - 3} lines like these"] if len(problems) > 3 else []
    return problems[:3] + more


def shell(_places: Places) -> list[str]:
    """Shell scripts."""
    names = [n for n in files() if n.endswith(".sh") or is_script(n, "sh|bash|dash|busybox")]
    return findings(*run(["shellcheck", "--format=gcc", *names]), "shellcheck") if names else []


def python(_places: Places) -> list[str]:
    """Python: that it parses as Debian 12's, and that its types hold."""
    problems = []
    for name in python_files():
        try:
            ast.parse(text(name), name, feature_version=(3, 11))
        except SyntaxError as error:
            problems.append(f"{name}:{error.lineno}: {error.msg}")
    if problems:
        return problems
    roots = {name: python_root(name) for name in python_files()}
    for directory in sorted(set(roots.values())):
        names = [os.path.relpath(name, directory) for name in roots if roots[name] == directory]
        command: Command = [
            "mypy", "--strict", "--python-version=3.11", "--no-error-summary",
            "--scripts-are-modules", "--cache-dir", SCRATCH / "mypy", *names,
        ]
        output = findings(*run(command, cwd=TOP / directory), "mypy")
        problems += [f"{directory}/{line}" for line in output]
    return problems


def licence(_places: Places) -> list[str]:
    """An SPDX line at the head of every source file."""
    sources = re.compile(r"\.([chS]|py|sh|rst|cocci)$|(^|/)(Makefile|Kbuild|Kconfig)$")
    return [
        f"{name}: no SPDX-License-Identifier in its first three lines"
        for name in files()
        if (sources.search(name) or text(name).startswith("#!"))
        and "SPDX-License-Identifier:" not in "".join(text(name).splitlines(True)[:3])
    ]


def local_names(_places: Places) -> list[str]:
    """No package mirror's name and no path of this machine."""
    apt = pathlib.Path("/etc/apt")
    lists = [apt / "sources.list", *apt.glob("sources.list.d/*")]
    sources = "\n".join(path.read_text() for path in lists if path.is_file())
    words = set(re.findall(r"://(?:[^/@\s]*@)?([^/\s]+)", sources))
    words |= {f"{TOP}/"}
    if f"{TOP.parent}" not in COMMON_DIRECTORIES:
        words |= {f"{TOP.parent}/"}
    return [
        f"{name}:{number}: {word} belongs to this machine"
        for name in files()
        for number, line in enumerate(text(name).splitlines(), 1)
        for word in words
        if word in line
    ]


def makefiles(places: Places) -> list[str]:
    """That every Makefile parses."""
    variables = [
        f"KDIR={places.kdir}",
        f"SELFTESTS={places.kernel_tree}/tools/testing/selftests",
        f"SYSROOT={places.sysroot}",
        f"OUTPUT={SCRATCH / 'make'}",
    ]
    # Where a kernel tree's own tests find lib.mk.
    beside = places.kernel_tree / "tools/testing/selftests/kselftest"
    problems = []
    for name in files():
        # One with obj-m is kbuild's; the modules check builds it.
        if os.path.basename(name) != "Makefile" or re.search(r"^obj-", text(name), re.M):
            continue
        directory = os.path.dirname(name) or "."
        command: Command = ["make", "-ns", "--eval=parsed:", "-I", beside, "-C", directory]
        command = [*command, *variables, "parsed"]
        status, printed = run(command)
        if status:
            problems += [f"{name}: {line}" for line in findings(status, printed, "make")]
    return problems


def named_tests() -> list[str]:
    """Tests that the design page names and no program has."""
    problems = []
    for program, test in re.findall(r"(\w+_test) ([a-z]\w*\.[\w.*]+)", text(DESIGN)):
        fixture, *_, name = test.split(".")
        source = f"tools/testing/selftests/xen/{program}.c"
        if source not in files():
            problems.append(f"{DESIGN}: there is no test program {program}")
            continue
        # As the harness calls one that has no fixture.
        macro = r"TEST\(" if fixture == "global" else rf"TEST_F\w*\({fixture}, "
        if not re.search(rf"{macro}{name}\b", text(source)):
            problems.append(f"{DESIGN}: {program} has no test {test}")
    return problems


def undescribed() -> list[str]:
    """Structs of the header and the lab's exit statuses that the manual leaves out."""
    pages = [text(name) for name in files() if re.match(r"Documentation/userspace-api/", name)]
    shown = {
        word for page in pages for line in re.findall(r":identifiers: (.*)", page)
        for word in line.split()
    }
    arguments = {command.struct for command in commands.known(TOP)}
    structs = set(re.findall(r"^ \* struct (\w+) - ", text(UAPI), re.M)) - arguments - shown
    statuses = re.findall(r'Status\.\w+: "(.*)"', text("tools/testing/xenlab/lab/failure.py"))
    return [
        *(f"Documentation: no page shows struct {name}" for name in sorted(structs)),
        *(f"{LAB}: no exit status '{words}'" for words in statuses if words not in text(LAB)),
    ]


def rooms() -> list[str]:
    """Files of the driver that the design page leaves out."""
    return [
        f"{DESIGN}: no line for {name}"
        for name in files()
        if re.fullmatch(r"drivers/xen/privcmd/\w+\.[ch]", name)
        if f"``{os.path.basename(name)}``" not in text(DESIGN)
    ]


def links() -> list[str]:
    """Links to files that are not there."""
    return [
        f"{name}: there is no {target}"
        for name in files()
        if name.endswith(".md")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text(name))
        if not (TOP / name).parent.joinpath(target).exists()
    ]


def manual(_places: Places) -> list[str]:
    """That the manual and README name what there is."""
    return named_tests() + undescribed() + rooms() + links() + matrix_page.stale()


def reasons(_places: Places) -> list[str]:
    """That the driver has the lines of which it is said why no test reaches them."""
    return coverage.gone()


def mutants(_places: Places) -> list[str]:
    """That each mutant finds the lines that it breaks, and its tests."""
    lines = []
    for mutant in records.read().values():
        try:
            mutant.broken(TOP)
            mutants_campaign.check(mutant)
        except Failure as failure:
            lines.append(str(failure))
    return lines


def places_of_commands(_places: Places) -> list[str]:
    """That each command has an entry wherever it has to, and that contributors are told."""
    return commands.forgotten(TOP) + commands.unlisted(TOP)


CHECKS: list[Callable[[Places], list[str]]] = [
    modules, python, checkpatch, uapi, kernel_doc, shell, licence, local_names, makefiles, manual,
    places_of_commands, mutants, reasons,
]


def missing(places: Places) -> list[str]:
    """What the checks cannot do without."""
    lines = [
        f"{tool} is missing: apt-get install {package}"
        for tool, package in TOOLS.items()
        if not shutil.which(tool)
    ]
    wanted = {
        "--kernel-tree": ["scripts/checkpatch.pl", "scripts/kernel-doc"],
        "--kdir": ["Makefile", "scripts/headers_install.sh", "scripts/unifdef"],
        "--sysroot": ["usr/include/xen/xen.h", "usr/include/xen/sys/privcmd.h"],
    }
    for (option, names), place in zip(wanted.items(), dataclasses.astuple(places)):
        lines += [f"{option}: there is no {place / n}" for n in names if not (place / n).exists()]
    if shutil.which("gcc"):
        probe = "#include <stdint.h>\n#include <linux/types.h>\n"
        options: Command = ["-m32", "-fsyntax-only", "-idirafter", kernel_headers()]
        if run(["gcc", *options, "-x", "c", "-"], stdin=probe)[0]:
            lines.append("gcc cannot compile for 32 bit: apt-get install libc6-dev-i386")
    if shutil.which("git"):
        # It has the list of the files.
        try:
            git.ask("rev-parse", "--git-dir")
        except Failure as failure:
            lines.append(str(failure))
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    directories = {
        "--kernel-tree": "kernel source: scripts/checkpatch.pl, scripts/kernel-doc, the selftests",
        "--kdir": "kernel headers to build the modules against",
        "--sysroot": "holds Xen's headers in usr/include/xen",
    }
    for option, what in directories.items():
        parser.add_argument(
            option, type=host.path, metavar="DIR", help=f"{what} (default: a fetched one)"
        )
    names = [check.__name__ for check in CHECKS]
    parser.add_argument("--only", choices=names, action="append", help="run just this check")
    parser.add_argument("--time", action="store_true", help="say how long each check took")


def main(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    places = Places(
        (args.kernel_tree or path.find(path.SOURCE)).resolve(),
        (args.kdir or path.find(path.KDIR)).resolve(),
        (args.sysroot or path.find(path.SYSROOT)).resolve(),
    )

    problems = [f"lint: {line}" for line in missing(places)]
    if not problems:
        SCRATCH.mkdir(parents=True, exist_ok=True)

        def timed(check: Callable[[Places], list[str]]) -> list[str]:
            start = time.monotonic()
            lines = [f"{check.__name__}: {line}" for line in check(places)]
            if args.time:
                print(f"{check.__name__}: {time.monotonic() - start:.1f} s", file=sys.stderr)
            return lines

        chosen = [check for check in CHECKS if not args.only or check.__name__ in args.only]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            problems = sum(pool.map(timed, chosen), [])
    for line in problems:
        print(line)
    return Status.COMMAND if problems else Status.GOOD
