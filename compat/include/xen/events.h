/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver of a kernel without ioreq.h does not include this, and the checksums
 * that its xenfs wants are those of a file that does not see what is in here.
 */

#if !defined(__GENKSYMS__) || !defined(COMPAT_NO_IOREQ)
#include_next <xen/events.h>
#endif
