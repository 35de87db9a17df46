/* SPDX-License-Identifier: GPL-2.0-only */
/* What xenfs needs of the privcmd driver. */

#ifndef __XEN_PRIVCMD_H
#define __XEN_PRIVCMD_H

#include <linux/fs.h>

extern const struct file_operations xen_privcmd_fops;
extern const struct file_operations xen_privcmdbuf_fops;

#endif /* __XEN_PRIVCMD_H */
