/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With MODVERSIONS the checksum of xen_privcmd_fops, by which xenfs finds it, depends on
 * which types are complete where it is exported.  That is main.c, the only file of the
 * driver that includes this header.  What follows makes the checksum that of the kernel's
 * own driver, so that a kernel's xenfs works with either.  The compiler sees it only where
 * checksums are made of what it compiled.
 */

#include_next <linux/miscdevice.h>

#if defined(__GENKSYMS__) || defined(CONFIG_GENDWARFKSYMS)
#include <linux/mman.h>
#include <linux/security.h>
#include <linux/swap.h>
/* The driver of a kernel without ioreq.h does not include this. */
#ifndef COMPAT_NO_IOREQ
#include <xen/events.h>
#endif
#include <xen/xen-ops.h>
#include <asm/xen/hypercall.h>
#endif
