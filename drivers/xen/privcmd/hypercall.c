// SPDX-License-Identifier: GPL-2.0-only
/* HYPERCALL: any hypercall, for a file that is not restricted. */

#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

/**
 * privcmd_hypercall() - HYPERCALL: any hypercall with any arguments.
 * @file: the file, which is not restricted.
 * @arg: the hypercall's number and arguments.
 *
 * Return: what the hypervisor answered.
 */
long privcmd_hypercall(struct privcmd_file *file, union privcmd_arg *arg)
{
	const struct privcmd_hypercall *call = &arg->hypercall;
	long ret;

	xen_preemptible_hcall_begin();
	ret = privcmd_call(call->op, call->arg[0], call->arg[1], call->arg[2],
			   call->arg[3], call->arg[4]);
	xen_preemptible_hcall_end();

	return ret;
}
