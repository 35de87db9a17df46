// SPDX-License-Identifier: GPL-2.0-only
/* HYPERCALL: any hypercall, for a file that is not restricted. */

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/uaccess.h>

#include <xen/interface/domctl.h>
#include <xen/interface/xen.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

static long hypercall_issue(const struct privcmd_hypercall *call)
{
	long ret;

	xen_preemptible_hcall_begin();
	ret = privcmd_call(call->op, call->arg[0], call->arg[1], call->arg[2],
			   call->arg[3], call->arg[4]);
	xen_preemptible_hcall_end();

	return ret;
}

/*
 * The toolstack destroys a domain this way.  That is only a hint of when to ask: Xen
 * itself says whether the domain is dying, whatever stands in the caller's memory.
 */
static noinline long domctl(const struct privcmd_hypercall *call)
{
	const struct xen_domctl __user *op = (void __user *)(unsigned long)call->arg[0];
	domid_t domid = DOMID_INVALID;
	u32 cmd;
	long ret;

	if (!get_user(cmd, &op->cmd) && cmd == XEN_DOMCTL_destroydomain &&
	    get_user(domid, &op->domain))
		domid = DOMID_INVALID;

	ret = hypercall_issue(call);
	if (domid != DOMID_INVALID)
		privcmd_domain_ask(domid);

	return ret;
}

/**
 * privcmd_hypercall() - HYPERCALL: any hypercall with any arguments.
 * @priv: the file, which is not restricted.
 * @arg: the hypercall's number and arguments.
 *
 * When a domain was destroyed this way, the files that are bound to it are marked
 * before this returns.
 *
 * Return: what the hypervisor answered; -ENOSYS for a number of more than 32 bits, of which
 * there is none.
 */
long privcmd_hypercall(struct privcmd_file *priv, union privcmd_arg *arg)
{
	const struct privcmd_hypercall *call = &arg->hypercall;

	if (call->op > U32_MAX)
		return -ENOSYS;
	if (call->op == __HYPERVISOR_domctl)
		return domctl(call);

	return hypercall_issue(call);
}
