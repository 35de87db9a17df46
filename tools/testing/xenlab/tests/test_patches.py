# SPDX-License-Identifier: GPL-2.0-only
"""Tests of what makes patches: edit, overlay, upstream, upstream_qemu."""

import os
import re
import tempfile
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

from campaigns import overlay, upstream, upstream_qemu
from lab import edit, host
from lab.failure import Failure


class PatchTest(unittest.TestCase):
    """Source trees of others: refused, or changed in a copy."""

    KERNEL = {
        "Kbuild": "",
        "MAINTAINERS": "XEN HYPERVISOR INTERFACE\nS:\tSupported\nF:\tinclude/xen/\n",
        "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n",
        "drivers/xen/Kconfig": "config XEN_PRIVCMD\n\ttristate\n\tdepends on XEN\n",
        "drivers/xen/privcmd-buf.c": "",
        "drivers/xen/privcmd.c": "int driver;\n",
        "drivers/xen/xenfs/super.c": "",
        "include/linux/slab.h": "",
        "include/uapi/xen/privcmd.h": "",
        overlay.DM_OP: "/* Copyright */\n#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */\n",
    }

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        self.put(self.KERNEL)

    def put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text, encoding="utf-8")

    def refused(self, make: Callable[[Path], object], why: str) -> None:
        with self.assertRaisesRegex(Failure, why):
            make(self.path)

    def test_no_kernel(self) -> None:
        (self.path / "MAINTAINERS").unlink()
        self.refused(overlay.make, "is no kernel source tree: there is no MAINTAINERS")
        self.refused(upstream.kernel, "is no kernel source tree")

    def test_no_driver(self) -> None:
        (self.path / "drivers/xen/privcmd.c").unlink()
        self.refused(overlay.make, "has no privcmd driver")
        self.refused(upstream.kernel, "has no privcmd driver")

    def test_another_driver(self) -> None:
        (self.path / "drivers/xen/privcmd-buf.c").unlink()
        self.refused(overlay.make, "there is no drivers/xen/privcmd-buf.c in it")

    def test_no_headers(self) -> None:
        (self.path / "include/linux/slab.h").unlink()
        self.refused(overlay.make, "there is no include/linux/slab.h in it")

    def test_paths_that_make_does_not_take(self) -> None:
        for name in ("a b", "a#b", "a$(b)", "a;b", "a'b", "a\nb"):
            with self.subTest(name=name):
                link = self.path / name
                link.symlink_to(self.path)
                self.refused(lambda path: overlay.make(path / name), "takes no path with")

    def test_done_already(self) -> None:
        self.put({"drivers/xen/privcmd/main.c": ""})
        self.refused(overlay.make, "has this driver already")

    def test_has_the_command_already(self) -> None:
        self.put({"include/uapi/xen/privcmd.h": "#define IOCTL_PRIVCMD_DM_NR_VCPUS\n"})
        self.refused(upstream.kernel, "has the command already")

    def test_no_xen(self) -> None:
        self.refused(upstream.xen, "is no Xen source tree")

    def test_unknown_version(self) -> None:
        self.put({"drivers/xen/Makefile": "obj-y += other.o\n"})
        self.refused(overlay.make, "this version is not known")

    def test_patch(self) -> None:
        tree = edit.kernel(self.path)
        tree.sub("drivers/xen/privcmd.c", "^int driver", "long driver")
        tree.put("drivers/xen/new.c", "int new;\n")
        tree.remove("drivers/xen/xenfs/super.c")
        output = self.path / "out/a.patch"
        author = {"GIT_AUTHOR_NAME": "A B", "GIT_AUTHOR_EMAIL": "a@b"}
        with mock.patch.dict(os.environ, author):
            tree.patch("subject\n\nbody\n", output)
        text = output.read_text(encoding="utf-8")
        for line in (
            "Subject: [PATCH] subject",
            "Signed-off-by: A B <a@b>",
            "-int driver;",
            "+long driver;",
            "+int new;",
            "deleted file mode 100644",
        ):
            self.assertIn(f"{line}\n", text)
        self.assertEqual(sorted(output.parent.iterdir()), [output])
        for name, content in self.KERNEL.items():
            self.assertEqual((self.path / name).read_text(encoding="utf-8"), content)

    def test_other_changes_have_another_digest(self) -> None:
        tree = edit.kernel(self.path)
        digests = [tree.digest(("drivers/",))]
        for name, text in (("new.c", "a"), ("new.c", "b"), ("newer.c", "b")):
            tree.put(f"drivers/xen/{name}", text)
            digests.append(tree.digest(("drivers/",)))
        tree.remove("drivers/xen/privcmd.c")
        digests.append(tree.digest(("drivers/",)))
        self.assertEqual(len(set(digests)), 5)
        tree.put("samples/xen/new.c", "a")
        self.assertEqual(tree.digest(("drivers/",)), digests[-1])

    def test_a_header_keeps_its_authors(self) -> None:
        self.assertNotIn(overlay.DM_OP, overlay.files())
        tree = edit.kernel(self.path)
        overlay.add_operations(tree, r"/\* XEN_DMOP_track_dirty_vram")
        text = tree.read(overlay.DM_OP)
        self.assertTrue(text.startswith("/* Copyright */\n"))
        self.assertEqual(text.count("#define XEN_DMOP_"), 6)
        self.assertTrue(text.endswith("#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */\n"))

    def test_maintained(self) -> None:
        text = overlay.add_maintained(self.KERNEL["MAINTAINERS"], ["a/", "z/"])
        self.assertTrue(text.endswith("F:\ta/\nF:\tinclude/xen/\nF:\tz/\n"))

    def test_kconfig_entries(self) -> None:
        text = "menu\nconfig A\n\tbool\n\n\thelp\n\nconfig AB\n\tbool\nendmenu\n"
        entries = overlay.kconfig_entries(text)
        self.assertEqual(
            entries, {"A": "config A\n\tbool\n\n\thelp\n", "AB": "config AB\n\tbool\n"}
        )

    def test_no_choice_that_the_kernel_cannot_take(self) -> None:
        for text, there in (
            ("void eventfd_signal(struct eventfd_ctx *ctx, u64 n);\n", False),
            ("void eventfd_signal(struct eventfd_ctx *ctx)\n", True),
        ):
            choice = "config XEN_PRIVCMD_EVENTFD\n\tbool\n\n" if there else ""
            entries = f"config XEN_PRIVCMD\n\ttristate\n\n{choice}config XEN_ACPI\n\tbool\n"
            self.put({"drivers/xen/Kconfig": entries, "include/linux/eventfd.h": text})
            tree = edit.kernel(self.path)
            overlay._kconfig(tree)
            kconfig = tree.read("drivers/xen/Kconfig")
            self.assertNotIn("\n\n\n", kconfig)
            self.assertIn("config XEN_DM_OP\n", kconfig)
            self.assertEqual("config XEN_PRIVCMD_EVENTFD\n" in kconfig, there)

    def test_words_of_an_outer_make(self) -> None:
        self.put({"include/linux/slab.h": "DEFINE_FREE(kvfree\ndefine kmalloc_obj\n"})
        flags = overlay.compat_flags(self.path)
        self.assertNotIn("COMPAT_NO_KMALLOC_OBJ", flags)
        self.assertIn("COMPAT_NO_IOREQ", flags)
        with mock.patch.dict(os.environ, {"MAKEFLAGS": "w", "MAKELEVEL": "1"}):
            self.assertEqual(overlay.compat_flags(self.path), flags)

    # What the patch is merged into, beside what tells a kernel source.
    MERGED = {
        "Documentation/driver-api/index.rst": "   xilinx/index\n",
        "Documentation/userspace-api/index.rst": "   vduse\n",
        "drivers/xen/Makefile": (
            "obj-$(CONFIG_XEN_PRIVCMD)\t\t+= xen-privcmd.o\n"
            "xen-privcmd-y\t\t\t\t:= privcmd.o privcmd-buf.o\n"
        ),
        "tools/testing/selftests/Makefile": "TARGETS += zram\n",
    }
    # Of the newest kernel, as compat.mk knows them.
    NOTHING_LACKS = {
        "include/linux/eventfd.h": "void eventfd_signal(struct eventfd_ctx *ctx)\n",
        "include/linux/mm.h": "vm_flags_set vma_is_shared_maywrite zap_special_vma_range\n",
        "include/linux/sched/mm.h": "mm_get_unmapped_area(struct file\n",
        "include/linux/security.h": "LOCKDOWN_XEN_USER_ACTIONS\n",
        "include/linux/slab.h": "DEFINE_FREE(kvfree\n#define kmalloc_obj\n",
        "include/xen/acpi.h": "xen_acpi_get_gsi_from_sbdf\n",
        "include/xen/interface/hvm/ioreq.h": "struct ioreq\n",
    }

    def sources(self) -> list[str]:
        """Returns the C files of ours that go into a kernel tree."""
        names = [name for name in overlay.files() if name.endswith((".c", ".h"))]
        self.assertIn("drivers/xen/privcmd/main.c", names)
        self.assertIn("include/uapi/xen/privcmd.h", names)
        return names

    def test_sources_are_the_same_byte_for_byte(self) -> None:
        self.put(self.MERGED)
        all_lacks: Mapping[str, str] = {}
        for kernel in (all_lacks, self.NOTHING_LACKS):
            self.put(kernel)
            directory = self.path / "made" / str(len(kernel))
            overlay.make(self.path).apply(directory)
            for name in self.sources():
                with self.subTest(name=name):
                    self.assertEqual(
                        (directory / name).read_bytes(), (host.REPO / name).read_bytes()
                    )

    def test_a_kernel_that_lacks_nothing(self) -> None:
        self.put({**self.MERGED, **self.NOTHING_LACKS})
        tree = overlay.make(self.path)
        self.assertEqual(tree.read(overlay.COMPAT_KBUILD), overlay.ours(overlay.COMPAT_KBUILD))
        self.assertFalse([n for n in tree.names() if n.startswith(overlay.COMPAT_HEADERS)])

    def test_a_kernel_that_lacks_something(self) -> None:
        self.put({**self.MERGED, **self.NOTHING_LACKS, "include/linux/slab.h": "kvfree\n"})
        tree = overlay.make(self.path)
        header = f"{overlay.COMPAT_HEADERS}/linux/slab.h"
        self.assertEqual([n for n in tree.names() if n.startswith(overlay.COMPAT_HEADERS)], [header])
        self.assertEqual(tree.read(header), overlay.ours("compat/include/linux/slab.h"))
        added = tree.read(overlay.COMPAT_KBUILD).removeprefix(overlay.ours(overlay.COMPAT_KBUILD))
        self.assertEqual(
            [line for line in added.splitlines() if not line.startswith("#")],
            [
                "",
                "LINUXINCLUDE := -I$(srctree)/drivers/xen/privcmd/compat $(LINUXINCLUDE)",
                "ccflags-y += -DCOMPAT_NO_FREE_KVFREE",
                "ccflags-y += -DCOMPAT_NO_KMALLOC_OBJ",
            ],
        )

    def test_no_checksums_of_a_kernels_own_xenfs(self) -> None:
        headers = overlay.compat_headers(overlay.compat_flags(self.path))
        self.assertIn(f"{overlay.COMPAT_HEADERS}/linux/mm.h", headers)
        self.assertNotIn(f"{overlay.COMPAT_HEADERS}/linux/miscdevice.h", headers)

    PRIVCMD = """\
#include <linux/kernel.h>
#include <xen/xen.h>

static long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long data)
{
	int ret = -ENOTTY;
	void __user *udata = (void __user *)data;

	switch (cmd) {
	case IOCTL_PRIVCMD_RESTRICT:
		ret = privcmd_ioctl_restrict(file, udata);
		break;
	}
	return ret;
}

static int privcmd_open(struct inode *ino, struct file *file)
{
	return 0;
}

const struct file_operations xen_privcmd_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = privcmd_ioctl,
};
"""

    def apply_to(self, text: str) -> str:
        """Returns a privcmd.c with the command."""
        self.put({upstream.DRIVER: text})
        tree = edit.kernel(self.path)
        added = upstream.ADDED[upstream.DRIVER]
        upstream.spatch(tree, upstream.COCCI / "privcmd.cocci", upstream.DRIVER, added)
        return tree.read(upstream.DRIVER)

    def test_semantic_patch(self) -> None:
        text = self.apply_to(self.PRIVCMD)
        self.assertIn("\tcase IOCTL_PRIVCMD_DM_NR_VCPUS:\n\t\tret = ", text)
        self.assertIn("\t.compat_ioctl = privcmd_compat_ioctl,\n", text)

    def test_each_rule_of_a_semantic_patch_must_match(self) -> None:
        compat = ".compat_ioctl = other,"
        for old, new, place in (
            ("<linux/kernel.h>", "<a.h>", "#include <linux/compat.h>"),
            ("<xen/xen.h>", "<a.h>", "#include <xen/dm-op.h>"),
            ("privcmd_ioctl(", "other(", "static long privcmd_ioctl_dm_nr_vcpus("),
            ("privcmd_open(", "other(", "static long privcmd_compat_ioctl("),
            ("PRIVCMD_RESTRICT", "OTHER", "case IOCTL_PRIVCMD_DM_NR_VCPUS:"),
            (".unlocked_ioctl", ".other", ".compat_ioctl ="),
            (".owner = THIS_MODULE,", compat, ".compat_ioctl ="),
        ):
            with self.subTest(old=old), self.assertRaises(Failure) as caught:
                self.apply_to(self.PRIVCMD.replace(old, new))
            self.assertIn(f"has no place, or more than one, for '{place}': ", str(caught.exception))

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

    # Only what is changed, as Xen 4.17 has it: by its file.
    XEN = {
        "tools/include/xen-sys/Linux/privcmd.h": """\
/*
 * @cmd: IOCTL_PRIVCMD_HYPERCALL
 */
#define IOCTL_PRIVCMD_UNIMPLEMENTED				\\
	_IOC(_IOC_NONE, 'P', 0xFF, 0)

#endif /* __LINUX_PUBLIC_PRIVCMD_H__ */
""",
        "tools/include/xendevicemodel.h": """\
int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid);

#endif
""",
        f"{upstream.LIBRARY}/Makefile": "MAJOR    = 1\nMINOR    = 4\n",
        f"{upstream.LIBRARY}/libxendevicemodel.map": """\
VERS_1.0 {
	local: *; /* Do not expose anything by default */
};

VERS_1.4 {
	global:
		xendevicemodel_nr_vcpus;
} VERS_1.0;
""",
        f"{upstream.LIBRARY}/private.h": "int osdep_xendevicemodel_restrict(\n    int);\n",
        f"{upstream.LIBRARY}/core.c": """\
int xendevicemodel_nr_vcpus(
    xendevicemodel_handle *dmod, domid_t domid, unsigned int *vcpus)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_nr_vcpus,
    };

    int rc = xendevicemodel_op(dmod, domid, 1, &op, sizeof(op));
    if ( rc )
        return rc;

    return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
    return osdep_xendevicemodel_restrict(dmod, domid);
}
""",
        f"{upstream.LIBRARY}/common.c": """\
int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod,
                                  domid_t domid)
{
    if (dmod->fd < 0) {
        errno = EOPNOTSUPP;
        return -1;
    }

    return ioctl(dmod->fd, IOCTL_PRIVCMD_RESTRICT, &domid);
}
""",
        f"{upstream.LIBRARY}/compat.c": """\
int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod,
                                  domid_t domid)
{
    errno = EOPNOTSUPP;
    return -1;
}
""",
        "tools/include/xenforeignmemory.h": """\
int xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                              domid_t domid);

typedef struct xenforeignmemory_resource_handle xenforeignmemory_resource_handle;
""",
        f"{upstream.MEMORY_LIBRARY}/Makefile": "MAJOR    = 1\nMINOR    = 4\n",
        f"{upstream.MEMORY_LIBRARY}/libxenforeignmemory.map": """\
VERS_1.3 {
	local: *;
};
VERS_1.4 {
	global:
		xenforeignmemory_resource_size;
} VERS_1.3;
""",
        f"{upstream.MEMORY_LIBRARY}/private.h": "#define PERROR(_f...) \\\n    log(_f)\n",
        f"{upstream.MEMORY_LIBRARY}/core.c": """\
int xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                              domid_t domid)
{
    return osdep_xenforeignmemory_restrict(fmem, domid);
}
""",
        f"{upstream.MEMORY_LIBRARY}/linux.c": """\
int osdep_xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                                    domid_t domid)
{
    return ioctl(fmem->fd, IOCTL_PRIVCMD_RESTRICT, &domid);
}
""",
    }

    def test_xen(self) -> None:
        self.put(self.XEN)
        tree = upstream.xen(self.path)
        self.assertEqual(tree.names(), sorted(self.XEN))
        for library in upstream.DECLARATIONS:
            name = f"xen{Path(library).name}"
            with self.subTest(library=library):
                self.assertIn(
                    f"\n\nVERS_1.5 {{\n\tglobal:\n\t\t{name}_limit;\n}} VERS_1.4;\n",
                    tree.read(f"{library}/lib{name}.map"),
                )
                self.assertIn("MINOR    = 5\n", tree.read(f"{library}/Makefile"))
                self.assertRegex(
                    tree.read(f"tools/include/{name}.h"),
                    rf"_restrict\([^;]*;\n\n/\*(.*\n)*int {name}_limit\([^;]*;\n\n",
                )
                self.assertRegex(
                    tree.read(f"{library}/core.c"), rf"\n}}\n\nint {name}_limit\("
                )

    def test_numbers_of_commands_in_xen(self) -> None:
        self.put(self.XEN)
        text = upstream.xen(self.path).read("tools/include/xen-sys/Linux/privcmd.h")
        self.assertIn("};\n\n#define PRIVCMD_LIMIT_READ_ONLY\t(1 << 0)\n\n/*\n * @cmd:", text)
        columns = {line.expandtabs().index("\\") for line in text.splitlines() if "\\" in line}
        self.assertEqual(columns, {64})

    def test_each_place_in_xen_must_be_there(self) -> None:
        library, memory = upstream.LIBRARY, upstream.MEMORY_LIBRARY
        for name, old in (
            ("tools/include/xen-sys/Linux/privcmd.h", "#endif"),
            ("tools/include/xendevicemodel.h", "xendevicemodel_restrict("),
            (f"{library}/Makefile", "MINOR    = 4"),
            (f"{library}/libxendevicemodel.map", "VERS_1.4"),
            (f"{library}/private.h", "osdep_xendevicemodel_restrict("),
            (f"{library}/core.c", "xendevicemodel_nr_vcpus("),
            (f"{library}/core.c", "int xendevicemodel_restrict("),
            (f"{library}/common.c", "osdep_xendevicemodel_restrict("),
            (f"{library}/compat.c", "osdep_xendevicemodel_restrict("),
            ("tools/include/xenforeignmemory.h", "xenforeignmemory_restrict("),
            (f"{memory}/Makefile", "MINOR"),
            (f"{memory}/libxenforeignmemory.map", "VERS_1.4"),
            (f"{memory}/private.h", "#define PERROR("),
            (f"{memory}/core.c", "int xenforeignmemory_restrict("),
            (f"{memory}/linux.c", "osdep_xenforeignmemory_restrict("),
        ):
            with self.subTest(name=name, old=old):
                self.put({**self.XEN, name: self.XEN[name].replace(old, "other(")})
                self.refused(upstream.xen, "this version is not known")

    def test_xen_has_a_command_already(self) -> None:
        name = "tools/include/xen-sys/Linux/privcmd.h"
        self.put({**self.XEN, name: f"#define IOCTL_PRIVCMD_LIMIT\n{self.XEN[name]}"})
        self.refused(upstream.xen, f"has the command already: see its {name}")

    def test_white_space_of_spatch(self) -> None:
        self.assertEqual(
            upstream.tidy("\t", "{\n\tcase A:\n b;\n\n\t\n\tc;\n"),
            "{\n\tcase A:\n\t\tb;\n\n\tc;\n",
        )
        self.assertEqual(
            upstream.tidy("", "    /*#ifdef A*/\n    \tb;\n"), "#ifdef A\n        b;\n"
        )
