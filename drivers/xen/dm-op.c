// SPDX-License-Identifier: GPL-2.0-only
/* Device-model operations for the kernel's own Xen backends. */

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/module.h>

#include <xen/dm-op.h>
#include <xen/interface/hvm/dm_op.h>
#include <xen/xen.h>

#include <asm/xen/hypercall.h>

/* Xen's word for a hypercall it was built without. */
#define XEN_ENOSYS 38

/**
 * xen_dm_nr_vcpus() - Ask Xen with how many vCPUs a domain was created.
 * @domid: the domain; this domain needs privilege over it.
 * @vcpus: where the answer goes, 1 or more; left alone on failure.
 *
 * The number is the domain's maximum for its whole life: one struct ioreq each
 * stands in the domain's ioreq server pages, whether the vCPU is online or not.
 * Xen answers for HVM and PVH domains on x86 and for any domain on Arm, and
 * still does for a destroyed domain while somebody holds its memory.
 *
 * Context: Any but NMI. One hypercall; takes no lock and does not sleep.
 * Return:
 * * 0: Xen has answered;
 * * -ENODEV: this kernel does not run on Xen;
 * * -ESRCH: there is no such domain, or @domid is DOMID_SELF or reserved;
 * * -EPERM: this domain has no privilege over @domid, or is @domid itself;
 * * -EINVAL: it is an x86 PV domain;
 * * -EOPNOTSUPP: Xen is older than 4.15 or has no device-model support, or has said
 *   that all went well and done nothing, as 4.13.2, 4.14.0 and 4.14.1 do for a PV domain;
 * * any other: Xen's own error, such as a security module's -EACCES.
 */
int xen_dm_nr_vcpus(domid_t domid, unsigned int *vcpus)
{
	struct xen_dm_op op = { .op = XEN_DMOP_nr_vcpus };
	struct xen_dm_op_buf buf = { .size = sizeof(op) };
	int err;

	if (!xen_domain())
		return -ENODEV;

	set_xen_guest_handle(buf.h, &op);
	err = HYPERVISOR_dm_op(domid, 1, &buf);
	if (err == -XEN_ENOSYS)
		return -EOPNOTSUPP;
	if (err)
		return err;
	if (!op.u.nr_vcpus.vcpus)
		return -EOPNOTSUPP;

	*vcpus = op.u.nr_vcpus.vcpus;
	return 0;
}
EXPORT_SYMBOL_GPL(xen_dm_nr_vcpus);

MODULE_DESCRIPTION("Xen device-model operations");
MODULE_LICENSE("GPL");
