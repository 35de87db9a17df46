# SPDX-License-Identifier: GPL-2.0-only
"""A patch for QEMU: it asks Xen for the number of vCPUs, and limits its handles."""

from collections.abc import Mapping, Sequence
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
xen: ask Xen for the number of vCPUs, and limit handles

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

Once the machine is made, and with -xen-domid-restrict, limit each handle to
what QEMU still does by it. The device model keeps the operations that serve
the guest, plug a device, or end a migration; the other ones, and all that a
later Xen may add, are gone. Foreign memory keeps mapping. libxenctrl's own
handles, by which only hypercalls are made that a restricted QEMU is refused
anyway, keep nothing. libxencall's files are closed already: that is how they
are restricted. A kernel that cannot limit says so, and then QEMU runs as
before; libraries without the calls are not asked.
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

# What QEMU asks of the device model while it runs, each with the place.
OPERATIONS = {
    "set_pci_intx_level": "xen_piix3_set_irq(), xen_intx_set_irq()",
    "set_isa_irq_level": "xen_set_irq()",
    "set_pci_link_route": "xen_set_pci_link_route(): the guest routes them",
    "inject_msi": "xen_hvm_inject_msi()",
    "map_io_range_to_ioreq_server": "the guest moves a BAR; a device comes",
    "unmap_io_range_from_ioreq_server": "... or goes",
    "set_mem_type": "xen_set_memory(), and the platform device",
    "track_dirty_vram": "xen_sync_dirty_bitmap()",
    "relocate_memory": "xen_add_to_physmap(): the guest moves its VRAM",
    "pin_memory_cacheattr": "the same",
    "modified_memory": "xen_hvm_modified_memory(), in a migration",
    "set_ioreq_server_state": "QEMU stops, or goes on",
    "destroy_ioreq_server": "xen_exit_notifier()",
    "remote_shutdown": "destroy_hvm_domain(): the guest reboots",
}
# Where QEMU has such a machine.
ARM_OPERATIONS = {"set_irq_level": "xen_set_irq() of Arm"}
LIMIT = """\
/* Rights that QEMU does without from now on, so that nobody else has them. */
static int xen_limit(void)
{
#ifdef XENFOREIGNMEMORY_LIMIT_NO_MAPPING
    static const uint8_t operations[] = {
%s    };
    uint64_t mask = 0;
    int i;

    for (i = 0; i < ARRAY_SIZE(operations); i++) {
        mask |= 1ULL << operations[i];
    }
    if (xendevicemodel_limit(xen_dmod, mask) ||
        xenforeignmemory_limit(xen_fmem, 0, 0) ||
        xendevicemodel_limit(xc_interface_dmod_handle(xen_xc), 0) ||
        xenforeignmemory_limit(xc_interface_fmem_handle(xen_xc), 0,
                               XENFOREIGNMEMORY_LIMIT_NO_MAPPING)) {
        /* Not every kernel can: nothing is changed then. */
        return errno == ENOTTY || errno == EOPNOTSUPP ? 0 : -1;
    }
#endif
    return 0;
}

"""
LIMITING = """\
        if (xen_limit()) {
            perror("xen: failed to limit");
            exit(1);
        }
"""


def _limit(operations: Mapping[str, str]) -> str:
    """Returns the function that leaves these operations."""
    return LIMIT % "".join(
        f"        /* {place} */\n        XEN_DMOP_{name},\n"
        for name, place in operations.items()
    )


def _first(tree: edit.Tree, *names: str) -> str:
    """Returns the first of some files that a tree has, or else the last one."""
    return next((name for name in names if tree.has(name)), names[-1])


def make(path: Path) -> edit.Tree:
    """Returns a QEMU source tree that asks Xen for the vCPUs, and limits its handles."""
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
    operations = dict(OPERATIONS)
    if "xendevicemodel_set_irq_level(" in tree.read(header):
        operations |= ARM_OPERATIONS
    tree.before(ACCELERATOR, r"static void xen_setup_post\(", _limit(operations))
    restricted = r"        rc = xen_restrict\(xen_domid\);\n(?:        .*\n)*?        }\n"
    tree.sub(ACCELERATOR, rf"^({restricted})", rf"\1{LIMITING}")
    return tree
