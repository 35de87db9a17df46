/* SPDX-License-Identifier: GPL-2.0-only */

#include_next <linux/security.h>

#ifndef __XEN_PRIVCMD_COMPAT_SECURITY_H
#define __XEN_PRIVCMD_COMPAT_SECURITY_H

#ifdef COMPAT_NO_LOCKDOWN_XEN_USER_ACTIONS
/* No reason of its own there: any lockdown will do. */
#define LOCKDOWN_XEN_USER_ACTIONS LOCKDOWN_INTEGRITY_MAX
#endif

#endif /* __XEN_PRIVCMD_COMPAT_SECURITY_H */
