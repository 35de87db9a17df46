# SPDX-License-Identifier: GPL-2.0-only
"""The new commands alone, as patches for the kernel's privcmd and for Xen's libraries."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from campaigns import overlay
from lab import edit, host
from lab.failure import Failure, Status

COCCI = host.DATA / "cocci"
UAPI = "include/uapi/xen/privcmd.h"
DRIVER = "drivers/xen/privcmd.c"
FUNCTION = "drivers/xen/dm-op.c"
HEADER = "include/xen/dm-op.h"
LIBRARY = "tools/libs/devicemodel"
MEMORY_LIBRARY = "tools/libs/foreignmemory"

# What is in each file once when all rules of its semantic patch have matched: spatch
# says nothing of one that has not.
ADDED = {
    DRIVER: (
        "#include <linux/compat.h>",
        "#include <xen/dm-op.h>",
        "static long privcmd_ioctl_dm_nr_vcpus(",
        "static long privcmd_compat_ioctl(",
        "case IOCTL_PRIVCMD_DM_NR_VCPUS:",
        ".compat_ioctl =",
    ),
    f"{LIBRARY}/core.c": (
        "osdep_xendevicemodel_nr_vcpus(",
        "osdep_xendevicemodel_limit(",
    ),
    f"{LIBRARY}/common.c": (
        "osdep_xendevicemodel_nr_vcpus(",
        "#ifdef IOCTL_PRIVCMD_DM_NR_VCPUS",
        "osdep_xendevicemodel_limit(",
        "#ifdef IOCTL_PRIVCMD_LIMIT",
    ),
    f"{LIBRARY}/compat.c": (
        "osdep_xendevicemodel_nr_vcpus(",
        "osdep_xendevicemodel_limit(",
    ),
    f"{MEMORY_LIBRARY}/core.c": ("osdep_xenforeignmemory_limit(",),
    f"{MEMORY_LIBRARY}/linux.c": ("osdep_xenforeignmemory_limit(",),
}

# What the kernel does not compile alone, and what it needs for that.
HEADER_TESTS = "usr/include/Makefile"
UNTESTED_HEADER = "no-header-test += xen/privcmd.h\n"
LONE_INCLUDES = """\
#include <linux/types.h>
#include <linux/ioctl.h>
#include <linux/compiler.h>

#ifdef __KERNEL__
#include <xen/interface/xen.h>
#elif !defined(__XEN_PUBLIC_XEN_H__)
/* For a program that does without Xen's own headers, which have these too. */
typedef __u16 domid_t;
#if defined(__arm__) || defined(__aarch64__)
typedef __u64 xen_pfn_t;
#else
typedef unsigned long xen_pfn_t;
#endif
#endif
"""

# What goes into a kernel tree as it is here, by its name there.
FILES = host.DATA / "upstream"
DOCUMENT = "Documentation/userspace-api/xen/dm-nr-vcpus.rst"
SAMPLE = "samples/xen/nr-vcpus.c"
TESTS = tuple(
    f"tools/testing/selftests/xen/{name}"
    for name in (".gitignore", "Makefile", "config", "dm_nr_vcpus.c")
)

COMPARISON = """\
\tret = xen_dm_nr_vcpus(ioeventfd->dom, &vcpus);
\tif (ret)
\t\treturn ERR_PTR(ret);
\tif (ioeventfd->vcpus != vcpus)
\t\treturn ERR_PTR(-EINVAL);

"""

MESSAGES = {
    "operation": """\
xen: add XEN_DMOP_nr_vcpus to the kernel's copy of dm_op.h

Xen answers it since 4.15: with how many vCPUs was a domain created? The
next patches ask.
""",
    "header": """\
xen/privcmd: let user space include the uapi header alone

The header takes domid_t and xen_pfn_t from a header of the kernel that
is not installed, so a program can include it only after Xen's own
headers, and the header test leaves it out. Declare the two types where
neither the kernel nor Xen has, take size_t from <linux/types.h>, and
test the header.
""",
    "function": """\
xen: add xen_dm_nr_vcpus()

An ioreq server's pages have one struct ioreq for each vCPU that the
domain was created with. A backend in the kernel that reads them has to
know how many there are, and must not take an emulator's word for it.
Let it ask Xen.
""",
    "ioctl": """\
xen/privcmd: add IOCTL_PRIVCMD_DM_NR_VCPUS

A device emulator serves one struct ioreq for each vCPU of its domain and
has to know how many there are. IOCTL_PRIVCMD_DM_OP can tell, but a seccomp
filter that allows it allows every other operation too, for these stand in
user memory. Give the question a command of its own, which a filter can
allow alone. A 32-bit process may use it, and may restrict its file.
""",
    "document": """\
Documentation: describe IOCTL_PRIVCMD_DM_NR_VCPUS

Say what the command answers and refuses, how a seccomp filter and an
SELinux policy let it through alone, and what else was considered.
""",
    "tests": """\
selftests/xen: test IOCTL_PRIVCMD_DM_NR_VCPUS

What the command refuses can be tested in any dom0. For its answer the
tests need a domain, which they do not create, for that would take a
library whose interface changes with each release of Xen: XEN_DOMID
names one.
""",
    "sample": """\
samples: xen: ask for the vCPUs from within a sandbox

Show in which order a device emulator gives up what it does not need: it
restricts its file, drops its privileges, and enters a seccomp filter
that allows the one command.
""",
    "caller": """\
xen/privcmd: compare the vCPUs of IOEVENTFD with Xen's number of them

IOEVENTFD believes the caller how many vCPUs the domain has, and binds
an event channel and reads a struct ioreq for each. Doorbells of a vCPU
beyond a number that is too small are lost, and one that is too large
makes the interrupt handler look at what is no struct ioreq. Ask Xen.
""",
}

# Of the command alone, in one patch.
KERNEL_MESSAGE = f"""\
{MESSAGES["ioctl"]}
Let user space include the header alone. Where there is IOEVENTFD, have it
compare its number of vCPUs with Xen's.
"""

XEN_MESSAGE = """\
libs: ask Linux for the number of vCPUs first, and limit handles

Linux has a command of its own for XEN_DMOP_nr_vcpus, which a seccomp
filter can allow without all other device-model operations. Use it where
there is one: a kernel without it says ENOTTY, and then the operation is
issued as before.

Another command takes operations and types of resources away from a file,
for good. With xendevicemodel_limit() and xenforeignmemory_limit() an
emulator keeps what it needs while it serves its guest. A kernel without
the command says ENOTTY. Nothing limits a handle that does not ask for it.
"""

# What a library offers, after its call that restricts.
DECLARATIONS = {
    LIBRARY: """\
/**
 * This function limits this handle, for good, to some of the operations
 * XEN_DMOP_*. Others fail with EPERM from then on. A later call can only take
 * away more.
 *
 * xendevicemodel_nr_vcpus() is the operation XEN_DMOP_nr_vcpus, whatever the
 * kernel is asked by.
 *
 * A limited handle cannot be restricted any more. Restrict it first, by
 * xentoolcore_restrict_all(): that also ends the handle of libxencall that
 * belongs to this one, and that is not limited.
 *
 * @parm dmod handle to the open devicemodel interface
 * @parm operations what stays: bit n is the operation of number n. If any bit
 *       is 0, operations from 64 on are gone. 0 leaves nothing.
 * @return 0 on success, -1 on failure: errno is ENOTTY if the kernel cannot
 *         limit handles, EOPNOTSUPP if this platform cannot. Nothing is
 *         changed then.
 */
int xendevicemodel_limit(xendevicemodel_handle *dmod, uint64_t operations);
""",
    MEMORY_LIBRARY: """\
/* Nothing can be mapped that can be written. */
#define XENFOREIGNMEMORY_LIMIT_READ_ONLY (1U << 0)
/* Nothing can be mapped at all. */
#define XENFOREIGNMEMORY_LIMIT_NO_MAPPING (1U << 1)

/**
 * This function limits this handle, for good, to mapping: what else its file
 * could do, such as hypercalls, fails with EPERM from then on. A later call can
 * only take away more. Mappings that were made before stay.
 *
 * A limited handle cannot be restricted any more: restrict it first.
 *
 * @parm fmem handle to the open foreignmemory interface
 * @parm resources types of resources that can still be mapped: bit n is the
 *       type of number n. If any bit is 0, types from 32 on are gone. Frames
 *       by their numbers can be mapped whatever this is.
 * @parm flags 0, XENFOREIGNMEMORY_LIMIT_READ_ONLY: a mapping with PROT_WRITE
 *       fails with EPERM, and no other can be given it later, or
 *       XENFOREIGNMEMORY_LIMIT_NO_MAPPING: any mapping fails with EPERM.
 * @return 0 on success, -1 on failure: errno is ENOTTY if the kernel cannot
 *         limit handles, EOPNOTSUPP if this platform cannot, EINVAL if a flag
 *         is not known. Nothing is changed then.
 */
int xenforeignmemory_limit(xenforeignmemory_handle *fmem, uint32_t resources,
                           unsigned int flags);
""",
}

# What the rest of a library asks the operating system for.
NEEDS_OF_DEVICE_MODEL = """\
/* Without the command: -1 and ENOTTY. */
int osdep_xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod,
                                  domid_t domid, unsigned int *vcpus);

int osdep_xendevicemodel_limit(xendevicemodel_handle *dmod,
                               uint64_t operations);

"""
NEEDS_OF_FOREIGN_MEMORY = """\
#ifdef __linux__
int osdep_xenforeignmemory_limit(xenforeignmemory_handle *fmem,
                                 uint32_t resources, unsigned int flags);
#else
static inline int osdep_xenforeignmemory_limit(xenforeignmemory_handle *fmem,
                                               uint32_t resources,
                                               unsigned int flags)
{
    errno = EOPNOTSUPP;
    return -1;
}
#endif

"""


def tidy(before: str, after: str) -> str:
    """Puts right what spatch makes of white space, and makes directives of comments."""
    after = re.sub(r"\n\n[ \t]+\n", "\n\n", after)
    after = re.sub(r"(\n\t*case \w+:)\n +(?=\w)", r"\1\n\t\t", after)
    after = re.sub(r"^\s*/\*(#\w+.*)\*/$", r"\1", after, flags=re.M)
    return after if "\t" in before else after.expandtabs(4)


def spatch(
    tree: edit.Tree, semantic_patch: Path, name: str, added: Sequence[str]
) -> None:
    """Changes a C file by a semantic patch, all of whose rules must match once."""
    with tempfile.TemporaryDirectory(dir=host.directory(host.BUILD)) as scratch:
        file = Path(scratch) / Path(name).name
        file.write_text(tree.read(name), encoding="utf-8")
        host.command(
            f"applying {semantic_patch.name} to {name}",
            [
                host.tool("spatch"),
                *("--very-quiet", "--no-show-diff", "--smpl-spacing", "--in-place"),
                *("--sp-file", str(semantic_patch), str(file)),
            ],
        )
        after = tidy(tree.read(name), file.read_text(encoding="utf-8"))
    wrong = [f"'{text}'" for text in added if after.count(text) != 1]
    if wrong:
        raise Failure(
            Status.USAGE,
            f"{tree.path / name} has no place, or more than one, for {', '.join(wrong)}: "
            "this version is not known",
        )
    tree.put(name, after)


def _add_command(tree: edit.Tree, name: str, command: str) -> None:
    """Adds a command's argument and number to a privcmd.h."""
    macro = f"IOCTL_PRIVCMD_{command.upper()}"
    if macro in tree.read(name):
        raise Failure(Status.USAGE, f"{tree.path} has the command already: see its {name}")
    # With the flags that follow it.
    struct = rf"^/\*\*\n \* struct privcmd_{command} .*?^}};\n(?:\n#define PRIVCMD_[^\n]*\n)?"
    number = overlay.part(UAPI, rf"^#define {macro} \\\n.*?\n")
    # The backslash goes where the others are.
    first = f"#define {macro}"
    tabs = "\t" * -((len(first) - 64) // 8)
    number = number.replace(f"{first} ", f"{first}{tabs}")
    tree.before(
        name,
        r"/\*\n \* @cmd: IOCTL_PRIVCMD_HYPERCALL\n",
        f"{overlay.part(UAPI, struct)}\n",
    )
    tree.sub(
        name,
        r"\n(#endif /\* __LINUX_PUBLIC_PRIVCMD_H__ \*/\n?)\Z",
        number.replace("\\", r"\\") + r"\n\1",
    )


def _add_operation(tree: edit.Tree) -> None:
    overlay.add_operations(tree, r"/\*\n \* XEN_DMOP_nr_vcpus")


def _lone_header(tree: edit.Tree) -> None:
    """Makes the uapi header one that user space can include by itself."""
    if UNTESTED_HEADER not in tree.read(HEADER_TESTS):
        raise Failure(Status.USAGE, f"{tree.path / HEADER_TESTS} tests the header already")
    tree.sub(
        UAPI,
        r"^#include <linux/types\.h>\n#include <linux/compiler\.h>\n"
        r"#include <xen/interface/xen\.h>\n",
        LONE_INCLUDES,
    )
    tree.sub(UAPI, r"^\tsize_t size;$", "\t__kernel_size_t size;")
    tree.sub(HEADER_TESTS, f"^{re.escape(UNTESTED_HEADER)}", "")


def _add_function(tree: edit.Tree) -> None:
    """Adds what asks Xen, for the rest of the kernel."""
    tree.put(FUNCTION, overlay.ours(FUNCTION))
    # The rest is not for the command.
    tree.put(HEADER, re.sub(r"^struct .*?(?=^#endif)", "", overlay.ours(HEADER), flags=re.M | re.S))
    ours = overlay.kconfig_entries(overlay.ours("Kconfig"))
    tree.sub(
        "drivers/xen/Kconfig",
        r"^(?=config XEN_PRIVCMD\n)",
        ours["XEN_DM_OP"].replace("\\", r"\\") + r"\n",
    )
    kbuild = overlay.part(overlay.KBUILD, r"^obj-\$\(CONFIG_XEN_DM_OP\).*?\n(?=\n)")
    tree.before(
        overlay.KBUILD,
        r"obj-\$\(CONFIG_XEN_PRIVCMD\)",
        overlay.kbuild_lines(kbuild),
    )


def _add_ioctl(tree: edit.Tree) -> None:
    """Adds the command to the kernel's own driver, and to its header."""
    _add_command(tree, UAPI, "dm_nr_vcpus")
    spatch(tree, COCCI / "privcmd.cocci", DRIVER, ADDED[DRIVER])
    tree.sub(
        "drivers/xen/Kconfig",
        r"^(config XEN_PRIVCMD\n(?:\t.*\n)*?\tdepends on XEN\n)",
        r"\1\tselect XEN_DM_OP\n",
    )


def _add_document(tree: edit.Tree) -> None:
    tree.put(DOCUMENT, (FILES / DOCUMENT).read_text(encoding="utf-8"))
    tree.sub(
        "Documentation/userspace-api/index.rst",
        r"^(   vduse\n)",
        r"\1   xen/dm-nr-vcpus\n",
    )
    _maintain(tree, DOCUMENT)


def _add_tests(tree: edit.Tree) -> None:
    for name in TESTS:
        tree.put(name, (FILES / name).read_text(encoding="utf-8"))
    tree.before("tools/testing/selftests/Makefile", r"TARGETS \+= zram$", "TARGETS += xen\n")
    _maintain(tree, TESTS[0])


def _add_sample(tree: edit.Tree) -> None:
    tree.put(SAMPLE, overlay.ours(SAMPLE))
    makefile = f"{Path(SAMPLE).parent}/Makefile"
    tree.put(makefile, (FILES / makefile).read_text(encoding="utf-8"))
    _maintain(tree, SAMPLE)


def _maintain(tree: edit.Tree, name: str) -> None:
    """Has MAINTAINERS cover the directory of a file."""
    directory = f"{Path(name).parent}/"
    tree.put("MAINTAINERS", overlay.add_maintained(tree.read("MAINTAINERS"), [directory]))


def _compare_vcpus(tree: edit.Tree) -> None:
    """Has IOEVENTFD take the hypervisor's word for the number of vCPUs."""
    tree.sub(
        DRIVER,
        r"^(\tunsigned int \*ports;\n)(?=\tint ret, size, i;\n)",
        r"\1\tunsigned int vcpus;\n",
    )
    tree.sub(
        DRIVER,
        r"^(\tlockdep_assert_held\(&ioreq_lock\);\n\n)(?=\tsize = struct_size\(kioreq, ports,)",
        r"\1" + COMPARISON,
    )


# The command, in the order in which its parts can be read.
COMMAND = (
    edit.Patch(MESSAGES["operation"], _add_operation),
    edit.Patch(MESSAGES["header"], _lone_header),
    edit.Patch(MESSAGES["function"], _add_function),
    edit.Patch(MESSAGES["ioctl"], _add_ioctl),
)
# Linux 6.8 is the first that has it.
CALLER = edit.Patch(MESSAGES["caller"], _compare_vcpus)
AROUND = (
    edit.Patch(MESSAGES["document"], _add_document),
    edit.Patch(MESSAGES["tests"], _add_tests),
    edit.Patch(MESSAGES["sample"], _add_sample),
)


def _command(tree: edit.Tree) -> tuple[edit.Patch, ...]:
    """Returns what adds the command, and what uses it if the tree has that."""
    if "IOCTL_PRIVCMD_DM_NR_VCPUS" in tree.read(UAPI):
        raise Failure(Status.USAGE, f"{tree.path} has the command already: see its {UAPI}")
    return (*COMMAND, CALLER) if "alloc_ioreq(" in tree.read(DRIVER) else COMMAND


def patches(tree: edit.Tree) -> tuple[edit.Patch, ...]:
    """Returns the series that adds the command to a kernel source tree."""
    code = _command(tree)
    return (*COMMAND, *AROUND, *code[len(COMMAND) :])


def kernel(path: Path) -> edit.Tree:
    """Returns a kernel source tree whose privcmd driver has the command."""
    tree = edit.kernel(path)
    for patch in _command(tree):
        patch.change(tree)
    return tree


def _add_limit(tree: edit.Tree, library: str) -> None:
    """Offers a library's call that limits a handle, in a version of its own."""
    name = f"xen{Path(library).name}"
    restrict = rf"^(int {name}_restrict\([^;]*;\n)"
    tree.sub(f"tools/include/{name}.h", restrict, rf"\1\n{DECLARATIONS[library]}")
    symbols = f"{library}/lib{name}.map"
    last = int((re.findall(r"^VERS_1\.(\d+) {", tree.read(symbols), re.M) or ["0"])[-1])
    tree.sub(
        symbols,
        rf"^(VERS_1\.{last} {{\n[^}}]*}}.*;\n)\Z",
        rf"\1\nVERS_1.{last + 1} {{\n\tglobal:\n\t\t{name}_limit;\n}} VERS_1.{last};\n",
    )
    tree.sub(f"{library}/Makefile", rf"^(MINOR\s*= ){last}$", rf"\g<1>{last + 1}")


def xen(path: Path) -> edit.Tree:
    """Returns a Xen source tree whose libraries use the commands."""
    header = "tools/include/xen-sys/Linux/privcmd.h"
    no_xen = "is no Xen source tree with libxendevicemodel"
    tree = edit.Tree(path, {f"{LIBRARY}/common.c": no_xen, header: no_xen})
    for command in ("dm_nr_vcpus", "limit"):
        _add_command(tree, header, command)
    for library in DECLARATIONS:
        semantic_patch = COCCI / f"{Path(library).name}.cocci"
        for name, added in ADDED.items():
            if name.startswith(library):
                spatch(tree, semantic_patch, name, added)
        _add_limit(tree, library)
    tree.before(
        f"{LIBRARY}/private.h",
        r"int osdep_xendevicemodel_restrict\(",
        NEEDS_OF_DEVICE_MODEL,
    )
    tree.before(f"{MEMORY_LIBRARY}/private.h", r"#define PERROR\(", NEEDS_OF_FOREIGN_MEMORY)
    return tree
