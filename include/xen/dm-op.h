/* SPDX-License-Identifier: GPL-2.0-only */
/* Device-model operations for the kernel's own Xen backends. */

#ifndef __XEN_DM_OP_H
#define __XEN_DM_OP_H

#include <xen/interface/xen.h>

int xen_dm_nr_vcpus(domid_t domid, unsigned int *vcpus);

#endif /* __XEN_DM_OP_H */
