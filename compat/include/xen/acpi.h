/* SPDX-License-Identifier: GPL-2.0-only */

#include_next <xen/acpi.h>

#ifndef __XEN_PRIVCMD_COMPAT_ACPI_H
#define __XEN_PRIVCMD_COMPAT_ACPI_H

#ifdef COMPAT_NO_GSI_LOOKUP
/* Such a kernel's own driver does not know PCIDEV_GET_GSI either. */
#define PRIVCMD_NO_GSI_LOOKUP ENOTTY
#undef CONFIG_XEN_ACPI

static inline int xen_acpi_get_gsi_from_sbdf(u32 sbdf)
{
	return -PRIVCMD_NO_GSI_LOOKUP;
}
#endif

#endif /* __XEN_PRIVCMD_COMPAT_ACPI_H */
