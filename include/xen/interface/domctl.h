/* SPDX-License-Identifier: MIT */
/* Of the toolstack's hypercall, what does not change from one Xen to the next. */

#ifndef __XEN_PUBLIC_DOMCTL_H__
#define __XEN_PUBLIC_DOMCTL_H__

#include <xen/interface/xen.h>

#define XEN_DOMCTL_destroydomain 2

/*
 * XEN_DOMCTL_get_domain_state: is a domain there, and is it dying?
 * Since Xen 4.21, by interface version 0, which stays; EACCES before.
 */
#define XEN_DOMCTL_get_domain_state 90

/* Without a domain named, it would take the state away from xenstored. */
struct xen_domctl_get_domain_state {
	u16 state;		/* OUT */
#define XEN_DOMCTL_GETDOMSTATE_STATE_EXIST 0x0001
#define XEN_DOMCTL_GETDOMSTATE_STATE_SHUTDOWN 0x0002
#define XEN_DOMCTL_GETDOMSTATE_STATE_DYING 0x0004
#define XEN_DOMCTL_GETDOMSTATE_STATE_DEAD 0x0008
	u16 caps;		/* OUT */
	u32 pad0;		/* must be 0 */
	u64 unique_id;		/* OUT */
	u64 pad1[6];		/* must be 0 */
};

struct xen_domctl {
	u32 cmd;
	u32 interface_version;
	domid_t domain;
	u16 pad[3];
	union {
		struct xen_domctl_get_domain_state get_domain_state;
		/* As much as Xen copies. */
		u8 size[128];
	} u;
};

#endif /* __XEN_PUBLIC_DOMCTL_H__ */
