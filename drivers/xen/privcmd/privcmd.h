/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the privcmd driver share. */

#ifndef __XEN_PRIVCMD_PRIVCMD_H
#define __XEN_PRIVCMD_PRIVCMD_H

#include <linux/atomic.h>
#include <linux/types.h>

#include <xen/interface/xen.h>
#include <xen/privcmd.h>

struct file;

/**
 * struct privcmd_file - An open /dev/xen/privcmd.
 * @domid: the one domain its requests may name; DOMID_INVALID for any domain.
 */
struct privcmd_file {
	atomic_t domid;
};

/**
 * union privcmd_arg - A command's argument, in the kernel's copy.
 * @hypercall: of HYPERCALL.
 * @dm_op: of DM_OP.
 * @dm_nr_vcpus: of DM_NR_VCPUS.
 * @restrict_to: of RESTRICT.
 *
 * The dispatcher has checked the target domain before a handler sees this.
 */
union privcmd_arg {
	struct privcmd_hypercall hypercall;
	struct privcmd_dm_op dm_op;
	struct privcmd_dm_nr_vcpus dm_nr_vcpus;
	domid_t restrict_to;
};

/* ioctl.c */
long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* restrict.c */
int privcmd_restrict_init(void);
void privcmd_restrict_exit(void);
int privcmd_restrict_open(struct privcmd_file *file);
bool privcmd_restricted(const struct privcmd_file *file);
bool privcmd_may_target(const struct privcmd_file *file, domid_t domid);
long privcmd_restrict(struct privcmd_file *file, union privcmd_arg *arg);

/* hypercall.c */
long privcmd_hypercall(struct privcmd_file *file, union privcmd_arg *arg);

/* dm.c */
long privcmd_dm_op(struct privcmd_file *file, union privcmd_arg *arg);
long privcmd_dm_nr_vcpus(struct privcmd_file *file, union privcmd_arg *arg);

#endif /* __XEN_PRIVCMD_PRIVCMD_H */
