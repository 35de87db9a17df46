# SPDX-License-Identifier: GPL-2.0-only
"""Tests of upstream."""

from pathlib import Path

from campaigns import upstream
from lab import edit
from lab.failure import Failure
from tests.source_tree import SourceTreeTest


class UpstreamTest(SourceTreeTest):
    """The command for the kernel's own driver, and for Xen's libraries."""

    def test_no_kernel(self) -> None:
        (self.path / "MAINTAINERS").unlink()
        self.refused(upstream.kernel, "is no kernel source tree")

    def test_no_driver(self) -> None:
        (self.path / "drivers/xen/privcmd.c").unlink()
        self.refused(upstream.kernel, "has no privcmd driver")

    def test_has_the_command_already(self) -> None:
        self.put({"include/uapi/xen/privcmd.h": "#define IOCTL_PRIVCMD_DM_NR_VCPUS\n"})
        self.refused(upstream.kernel, "has the command already")

    def test_no_xen(self) -> None:
        self.refused(upstream.xen, "is no Xen source tree")

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
