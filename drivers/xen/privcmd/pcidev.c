// SPDX-License-Identifier: GPL-2.0-only
/* PCIDEV_GET_GSI: the interrupt of a PCI device that is passed to a domain. */

#include <linux/errno.h>
#include <linux/types.h>

#include "privcmd_private.h"

/* PRIVCMD_GSI_ERROR is what a kernel answers that cannot look up a device. */
#ifndef PRIVCMD_GSI_ERROR
#ifdef CONFIG_XEN_ACPI
#include <xen/acpi.h>
#define PRIVCMD_GSI_ERROR 0
#else
#define PRIVCMD_GSI_ERROR -EINVAL
#endif
#endif

#if PRIVCMD_GSI_ERROR
static int xen_acpi_get_gsi_from_sbdf(u32 sbdf)
{
	return PRIVCMD_GSI_ERROR;
}
#endif

/**
 * privcmd_pcidev_available() - Can this kernel look up a device's GSI?
 *
 * Return: 0, or the kernel's error.
 */
int privcmd_pcidev_available(void)
{
	return PRIVCMD_GSI_ERROR;
}

/**
 * privcmd_pcidev_get_gsi() - PCIDEV_GET_GSI: which GSI does a PCI device have?
 * @priv: the file, which is not restricted: devices belong to no domain here.
 * @arg: the device; gets the GSI.
 *
 * Return: 0; or the error of the PCI backend, which knows the devices.
 */
long privcmd_pcidev_get_gsi(struct privcmd_file *priv, union privcmd_arg *arg)
{
	struct privcmd_pcidev_get_gsi *query = &arg->pcidev_get_gsi;
	int gsi = xen_acpi_get_gsi_from_sbdf(query->sbdf);

	if (gsi < 0)
		return gsi;

	query->gsi = gsi;
	return 0;
}
