# SPDX-License-Identifier: GPL-2.0-only
"""Tests of upstream_qemu."""

import re

from campaigns import upstream_qemu
from tests.source_tree import SourceTreeTest


class UpstreamQemuTest(SourceTreeTest):
    """QEMU that asks by the command."""

    # Only what is changed, as QEMU 7.2 has it: by its file.
    QEMU = {
        "VERSION": "7.2.22\n",
        upstream_qemu.ACCELERATOR: """\
static void xen_setup_post(MachineState *ms, AccelState *accel)
{
    int rc;

    if (xen_domid_restrict) {
        rc = xen_restrict(xen_domid);
        if (rc < 0) {
            exit(1);
        }
    }
}

static int xen_init(MachineState *ms)
{
    xen_dmod = xendevicemodel_open(0, 0);
    if (xen_dmod == NULL) {
        return -1;
    }
    return 0;
}
""",
        "include/hw/xen/xen_common.h": """\
#if CONFIG_XEN_CTRL_INTERFACE_VERSION < 40900
typedef xc_interface xendevicemodel_handle;
#endif
#if CONFIG_XEN_CTRL_INTERFACE_VERSION < 41100
#endif
""",
        upstream_qemu.X86: """\
typedef struct XenIOState {
    CPUState **cpu_by_vcpu_id;
} XenIOState;

static ioreq_t *cpu_get_ioreq(XenIOState *state)
{
    MachineState *ms = MACHINE(qdev_get_machine());
    unsigned int max_cpus = ms->smp.max_cpus;

    return find(state, max_cpus);
}

static void handle_vmport_ioreq(XenIOState *state, ioreq_t *req)
{
    current_cpu = state->cpu_by_vcpu_id[state->send_vcpu];
    regs_to_cpu(req);
}

static int xen_map_ioreq_server(XenIOState *state)
{
    state->fres = xenforeignmemory_map_resource(xen_fmem, xen_domid,
                                                XENMEM_resource_ioreq_server,
                                                state->ioservid, 0, 2, 0);
    return 0;
}

void xen_hvm_init_pc(unsigned int max_cpus)
{
    int i, rc;

    rc = xen_map_ioreq_server(state);
    state->cpu_by_vcpu_id = g_new0(CPUState *, max_cpus);
    state->ioreq_local_port = g_new0(evtchn_port_t, max_cpus);
    for (i = 0; i < max_cpus; i++) {
        rc = xenevtchn_bind_interdomain(state->xce_handle, xen_domid, i);
        state->ioreq_local_port[i] = rc;
    }
}
""",
    }
    # What newer ones have in the place of what 7.2 has.
    MAPPED = """\
    unsigned long num_frames = 1;
    unsigned long frame = 1;

    if (state->has_bufioreq) {
        frame = 0;
        num_frames = 2;
    }
    state->fres = xenforeignmemory_map_resource(xen_fmem, xen_domid,
                                                XENMEM_resource_ioreq_server,
                                                state->ioservid, frame, num_frames, 0);
"""

    def put_new_qemu(self) -> None:
        """Puts what QEMU has had since 9.2, and where, into the tree."""
        self.put(self.QEMU)
        (self.path / "include/hw/xen/xen_common.h").rename(
            self.path / "include/hw/xen/xen_native.h"
        )
        old = self.QEMU[upstream_qemu.X86]
        state, functions = old.split("\n\n", 1)
        common = re.sub(r"    state->fres = (.*\n)*?.*;\n", self.MAPPED, functions, count=1)
        vmport = functions[functions.index("static void") : functions.index("static int")]
        self.put(
            {
                "include/hw/xen/xen-hvm-common.h": state + "\n",
                upstream_qemu.COMMON: common.replace(vmport, ""),
                upstream_qemu.X86: vmport,
            }
        )

    def test_qemu(self) -> None:
        self.put(self.QEMU)
        tree = upstream_qemu.make(self.path)
        self.assertEqual(tree.names(), sorted(set(self.QEMU) - {"VERSION"}))
        text = tree.read(upstream_qemu.X86)
        self.assertIn("state->ioservid, 0, 1 + xen_ioreq_frames(state),", text)
        self.assertIn("    unsigned int nr_vcpus;\n    CPUState **cpu_by_vcpu_id;\n", text)
        self.assertNotIn("smp.max_cpus", text)
        self.assertRegex(
            tree.read(upstream_qemu.ACCELERATOR),
            r"\n    }\n    if \(xen_domid_restrict && (.*\n)*        return -1;\n    }\n    return 0",
        )
        # After the restriction, which a limited handle does not take.
        self.assertRegex(
            tree.read(upstream_qemu.ACCELERATOR),
            r"static int xen_limit\((.*\n)*        rc = .*\n.*\n            exit\(1\);\n        }\n"
            r"        if \(xen_limit\(\)\) {\n(.*\n){3}    }\n",
        )
        self.assertNotIn("XEN_DMOP_set_irq_level", tree.read(upstream_qemu.ACCELERATOR))
        self.assertRegex(
            tree.read("include/hw/xen/xen_common.h"),
            r"xendevicemodel_restrict\((.*\n)*#if .* < 41500\n(.*\n)*#if .* < 41100\n",
        )

    def test_new_qemu(self) -> None:
        self.put_new_qemu()
        tree = upstream_qemu.make(self.path)
        text = tree.read(upstream_qemu.COMMON)
        self.assertIn("    unsigned long num_frames = xen_ioreq_frames(state);\n", text)
        self.assertIn("        num_frames++;\n", text)
        self.assertIn("if (!current_cpu) {", tree.read(upstream_qemu.X86))
        self.assertIn("nr_vcpus;\n", tree.read("include/hw/xen/xen-hvm-common.h"))

    def test_a_machine_of_arm_keeps_its_interrupts(self) -> None:
        header = "include/hw/xen/xen_common.h"
        asks = "xendevicemodel_set_irq_level(xen_dmod"
        self.put({**self.QEMU, header: self.QEMU[header] + asks})
        tree = upstream_qemu.make(self.path)
        self.assertIn("XEN_DMOP_set_irq_level", tree.read(upstream_qemu.ACCELERATOR))

    def test_each_place_in_qemu_must_be_there(self) -> None:
        for name, old in (
            (upstream_qemu.X86, "cpu_get_ioreq("),
            (upstream_qemu.X86, "xen_map_ioreq_server(XenIOState"),
            (upstream_qemu.X86, "state->ioservid, 0, 2"),
            (upstream_qemu.X86, "rc = xen_map_ioreq_server("),
            (upstream_qemu.X86, "g_new0(CPUState *"),
            (upstream_qemu.X86, "g_new0(evtchn_port_t"),
            (upstream_qemu.X86, "i < max_cpus"),
            (upstream_qemu.X86, "current_cpu = "),
            (upstream_qemu.X86, "CPUState **cpu_by_vcpu_id;"),
            (upstream_qemu.ACCELERATOR, "xendevicemodel_open("),
            (upstream_qemu.ACCELERATOR, "static void xen_setup_post("),
            (upstream_qemu.ACCELERATOR, "rc = xen_restrict("),
            ("include/hw/xen/xen_common.h", "xendevicemodel_handle;"),
            ("include/hw/xen/xen_common.h", "< 41100"),
        ):
            with self.subTest(old=old):
                self.put({**self.QEMU, name: self.QEMU[name].replace(old, "another(")})
                self.refused(upstream_qemu.make, f"{name} has no .*: this version is not known")

    def test_each_place_in_new_qemu_must_be_there(self) -> None:
        for old in ("num_frames = 1;", "num_frames = 2;"):
            with self.subTest(old=old):
                self.put_new_qemu()
                text = (self.path / upstream_qemu.COMMON).read_text(encoding="utf-8")
                self.put({upstream_qemu.COMMON: text.replace(old, "another = 3;")})
                self.refused(upstream_qemu.make, r"has no place, .* for 'xen_ioreq_frames")

    def test_no_qemu(self) -> None:
        self.refused(upstream_qemu.make, "is no QEMU source tree: there is no VERSION in it")

    def test_qemu_that_asks_already(self) -> None:
        self.put(self.QEMU)
        self.put({upstream_qemu.X86: "xendevicemodel_nr_vcpus(xen_dmod, xen_domid, &n)"})
        self.refused(upstream_qemu.make, "asks Xen already: see its hw/i386/xen/xen-hvm.c")
