/* SPDX-License-Identifier: GPL-2.0-only */

#include_next <linux/sched/mm.h>

#ifndef __XEN_PRIVCMD_COMPAT_SCHED_MM_H
#define __XEN_PRIVCMD_COMPAT_SCHED_MM_H

#ifdef COMPAT_NO_MM_GET_UNMAPPED_AREA
#define mm_get_unmapped_area current->mm->get_unmapped_area
#elif defined(COMPAT_NO_MM_GET_UNMAPPED_AREA_OF_FILE)
#define mm_get_unmapped_area(...) mm_get_unmapped_area(current->mm, __VA_ARGS__)
#endif

#endif /* __XEN_PRIVCMD_COMPAT_SCHED_MM_H */
