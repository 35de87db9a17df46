# SPDX-License-Identifier: GPL-2.0-only
"""The new command alone, as patches for the kernel's privcmd and for Xen's library."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import edit
import host
import overlay
from failure import Failure, Status

COCCI = Path(__file__).resolve().parent / "cocci"
UAPI = "include/uapi/xen/privcmd.h"
DRIVER = "drivers/xen/privcmd.c"
FUNCTION = "drivers/xen/dm-op.c"
HEADER = "include/xen/dm-op.h"
LIBRARY = "tools/libs/devicemodel"

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
    f"{LIBRARY}/core.c": ("osdep_xendevicemodel_nr_vcpus(",),
    f"{LIBRARY}/common.c": (
        "osdep_xendevicemodel_nr_vcpus(",
        "#ifdef IOCTL_PRIVCMD_DM_NR_VCPUS",
    ),
    f"{LIBRARY}/compat.c": ("osdep_xendevicemodel_nr_vcpus(",),
}

KERNEL_MESSAGE = """\
xen/privcmd: add IOCTL_PRIVCMD_DM_NR_VCPUS

A device emulator serves one struct ioreq for each vCPU of its domain and
has to know how many there are. IOCTL_PRIVCMD_DM_OP can tell, but a seccomp
filter that allows it allows every other operation too, for these stand in
user memory. Give the question a command of its own, which a filter can
allow alone. A 32-bit process may use it, and may restrict its file.
"""

XEN_MESSAGE = """\
libs/devicemodel: ask the kernel for the number of vCPUs first

Linux has a command of its own for XEN_DMOP_nr_vcpus, which a seccomp
filter can allow without all other device-model operations. Use it where
there is one: a kernel without it says ENOTTY, and then the operation is
issued as before.
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


def _add_command(tree: edit.Tree, name: str) -> None:
    """Adds the command's argument and number to a privcmd.h."""
    if "IOCTL_PRIVCMD_DM_NR_VCPUS" in tree.read(name):
        raise Failure(Status.USAGE, f"{tree.path} has the command already: see its {name}")
    struct = overlay.part(UAPI, r"^/\*\*\n \* struct privcmd_dm_nr_vcpus .*?^};\n")
    number = overlay.part(UAPI, r"^#define IOCTL_PRIVCMD_DM_NR_VCPUS \\\n.*?\n")
    number = re.sub(r" \\\n", "\t\t\t\t\\\\\n", number)
    tree.before(name, r"/\*\n \* @cmd: IOCTL_PRIVCMD_HYPERCALL\n", f"{struct}\n")
    tree.sub(
        name,
        r"\n(#endif /\* __LINUX_PUBLIC_PRIVCMD_H__ \*/\n?)\Z",
        number.replace("\\", r"\\") + r"\n\1",
    )


def kernel(path: Path) -> edit.Tree:
    """Returns a kernel source tree whose privcmd driver has the command."""
    tree = edit.kernel(path)
    _add_command(tree, UAPI)
    spatch(tree, COCCI / "privcmd.cocci", DRIVER, ADDED[DRIVER])
    tree.put(FUNCTION, overlay.ours(FUNCTION))
    # The rest is not for the command.
    tree.put(HEADER, re.sub(r"^struct .*?(?=^#endif)", "", overlay.ours(HEADER), flags=re.M | re.S))
    overlay.add_operations(tree, r"/\*\n \* XEN_DMOP_nr_vcpus")
    ours = overlay.kconfig_entries(overlay.ours("Kconfig"))
    tree.sub(
        "drivers/xen/Kconfig",
        r"^(config XEN_PRIVCMD\n(?:\t.*\n)*?\tdepends on XEN\n)",
        ours["XEN_DM_OP"].replace("\\", r"\\") + r"\n\1\tselect XEN_DM_OP\n",
    )
    kbuild = overlay.part(overlay.KBUILD, r"^obj-\$\(CONFIG_XEN_DM_OP\).*?\n(?=\n)")
    tree.before(
        overlay.KBUILD,
        r"obj-\$\(CONFIG_XEN_PRIVCMD\)",
        overlay.kbuild_lines(kbuild),
    )
    return tree


def xen(path: Path) -> edit.Tree:
    """Returns a Xen source tree whose libxendevicemodel uses the command."""
    header = "tools/include/xen-sys/Linux/privcmd.h"
    no_xen = "is no Xen source tree with libxendevicemodel"
    tree = edit.Tree(path, {f"{LIBRARY}/common.c": no_xen, header: no_xen})
    _add_command(tree, header)
    for name in ("core.c", "common.c", "compat.c"):
        file = f"{LIBRARY}/{name}"
        spatch(tree, COCCI / "devicemodel.cocci", file, ADDED[file])
    tree.before(
        f"{LIBRARY}/private.h",
        r"int osdep_xendevicemodel_restrict\(",
        "/* Without the command: -1 and ENOTTY. */\n"
        "int osdep_xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod,\n"
        "                                  domid_t domid, unsigned int *vcpus);\n\n",
    )
    return tree
