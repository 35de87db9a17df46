// SPDX-License-Identifier: GPL-2.0-only
/* PCIDEV_GET_GSI: the interrupt of a PCI device that is passed to a domain. */

#include <linux/errno.h>
#include <linux/kconfig.h>

#include <xen/acpi.h>

#include "privcmd.h"

/* What a kernel without ACPI in dom0 answers; the command itself it knows. */
#ifndef PRIVCMD_NO_GSI_LOOKUP
#define PRIVCMD_NO_GSI_LOOKUP EINVAL
#endif

/**
 * privcmd_pcidev_available() - Can this kernel look up a device's GSI?
 *
 * Return: 0 or -EINVAL.
 */
int privcmd_pcidev_available(void)
{
	return IS_ENABLED(CONFIG_XEN_ACPI) ? 0 : -PRIVCMD_NO_GSI_LOOKUP;
}

/**
 * privcmd_pcidev_get_gsi() - PCIDEV_GET_GSI: which GSI does a PCI device have?
 * @file: the file, which is not restricted: devices belong to no domain here.
 * @arg: the device; gets the GSI.
 *
 * Return: 0; or the error of the PCI backend, which knows the devices.
 */
long privcmd_pcidev_get_gsi(struct privcmd_file *file, union privcmd_arg *arg)
{
	struct privcmd_pcidev_get_gsi *query = &arg->pcidev_get_gsi;
	int gsi = -EINVAL;

	if (IS_ENABLED(CONFIG_XEN_ACPI))
		gsi = xen_acpi_get_gsi_from_sbdf(query->sbdf);
	if (gsi < 0)
		return gsi;

	query->gsi = gsi;
	return 0;
}
