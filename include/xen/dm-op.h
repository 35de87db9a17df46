/* SPDX-License-Identifier: GPL-2.0-only */
/* Device-model operations for the kernel's own Xen backends. */

#ifndef __XEN_DM_OP_H
#define __XEN_DM_OP_H

#include <xen/interface/xen.h>

int xen_dm_nr_vcpus(domid_t domid, unsigned int *vcpus);

struct xen_dm_domain;

struct xen_dm_domain *xen_dm_domain_get(domid_t domid);
void xen_dm_domain_put(struct xen_dm_domain *domain);

#endif /* __XEN_DM_OP_H */
