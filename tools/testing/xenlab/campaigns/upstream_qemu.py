# SPDX-License-Identifier: GPL-2.0-only
"""A patch for QEMU, which has it ask Xen for the number of vCPUs."""

from collections.abc import Sequence
from pathlib import Path

from campaigns import upstream
from lab import edit
from lab.failure import Failure, Status

SEMANTIC = upstream.COCCI / "qemu.cocci"
X86 = "hw/i386/xen/xen-hvm.c"
# Since QEMU 8.1; before, all of it is x86's.
COMMON = "hw/xen/xen-hvm-common.c"
ACCELERATOR = "accel/xen/xen-all.c"

# As upstream.ADDED.
ADDED_COMMON = (
    "static unsigned int xen_nr_vcpus(",
    "unsigned int max_cpus = state->nr_vcpus;",
    "xen_ioreq_frames(state)",
    "state->nr_vcpus = xen_nr_vcpus(max_cpus);",
    "MAX(max_cpus, state->nr_vcpus)",
    "g_new0(evtchn_port_t, state->nr_vcpus)",
    "i < state->nr_vcpus;",
)
ADDED_X86 = ("if (!current_cpu) {",)

MESSAGE = """\
xen: ask Xen for the number of vCPUs

QEMU serves one ioreq slot, and binds one event channel, for each of
smp.max_cpus. Nothing compares that with the domain. If it has fewer vCPUs,
QEMU does not start: "shared evtchn 3 bind error 22". If it has more, the
others are never served, and wait at their first access for ever. libxl
passes -smp for HVM domains only, so this is what happens to an Arm or PVH
guest with several vCPUs, unless somebody adds the option by hand.

Ask Xen by xendevicemodel_nr_vcpus(), which libxendevicemodel has since Xen
4.15, and warn where the command line says something else. Without an answer
the command line counts as before. More than 128 vCPUs get the frames that
their slots take.

With -xen-domid-restrict the handle is restricted before it is used, and no
longer only after the machine has been made: all that QEMU asks of it is about
xen_domid. A kernel or library that cannot do that has been fatal anyway.
"""

# For libraries that are older than a call, each in the block that is for them.
WITHOUT_RESTRICT = """\
static inline int xendevicemodel_restrict(xendevicemodel_handle *dmod,
                                          domid_t domid)
{
    errno = ENOTTY;
    return -1;
}
"""
WITHOUT_NR_VCPUS = """\
#if CONFIG_XEN_CTRL_INTERFACE_VERSION < 41500

static inline int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod,
                                          domid_t domid, unsigned int *vcpus)
{
    errno = ENOTTY;
    return -1;
}

#endif /* CONFIG_XEN_CTRL_INTERFACE_VERSION < 41500 */

"""
RESTRICT = """\
    if (xen_domid_restrict && xendevicemodel_restrict(xen_dmod, xen_domid)) {
        error_report("xen: failed to restrict the device model handle: %s",
                     strerror(errno));
        xendevicemodel_close(xen_dmod);
        xenforeignmemory_close(xen_fmem);
        xc_interface_close(xen_xc);
        return -1;
    }
"""


def _first(tree: edit.Tree, *names: str) -> str:
    """Returns the first of some files that a tree has, or else the last one."""
    return next((name for name in names if tree.has(name)), names[-1])


def make(path: Path) -> edit.Tree:
    """Returns a QEMU source tree that asks Xen for the number of vCPUs."""
    no_qemu = "is no QEMU source tree"
    tree = edit.Tree(path, {"VERSION": no_qemu, X86: no_qemu, ACCELERATOR: no_qemu})
    common = _first(tree, COMMON, X86)
    if "xendevicemodel_nr_vcpus" in tree.read(common):
        raise Failure(Status.USAGE, f"{tree.path} asks Xen already: see its {common}")
    added: dict[str, Sequence[str]] = {common: ADDED_COMMON}
    added[X86] = (*added.get(X86, ()), *ADDED_X86)
    for name, texts in added.items():
        upstream.spatch(tree, SEMANTIC, name, texts)
    tree.before(
        _first(tree, "include/hw/xen/xen-hvm-common.h", X86),
        r"    CPUState \*\*cpu_by_vcpu_id;\n",
        "    /* vCPUs of the domain, each of which has a slot in the shared page */\n"
        "    unsigned int nr_vcpus;\n",
    )
    header = _first(tree, "include/hw/xen/xen_native.h", "include/hw/xen/xen_common.h")
    tree.sub(
        header,
        r"^(typedef xc_interface xendevicemodel_handle;\n)",
        rf"\1\n{WITHOUT_RESTRICT}",
    )
    tree.before(
        header,
        r"#if CONFIG_XEN_CTRL_INTERFACE_VERSION < 41100\n",
        WITHOUT_NR_VCPUS,
    )
    opened = r"    xen_dmod = xendevicemodel_open\(0, 0\);\n    if \(xen_dmod == NULL\) {\n"
    tree.sub(ACCELERATOR, rf"^({opened}(?:        .*\n)*    }}\n)", rf"\1{RESTRICT}")
    return tree
