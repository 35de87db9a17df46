/* SPDX-License-Identifier: GPL-2.0-only */

#include_next <linux/mm.h>

#ifndef __XEN_PRIVCMD_COMPAT_MM_H
#define __XEN_PRIVCMD_COMPAT_MM_H

#ifdef COMPAT_NO_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags &= ~flags;
}
#endif

#ifdef COMPAT_NO_ZAP_SPECIAL_VMA_RANGE
#define zap_special_vma_range zap_vma_ptes
#endif

#endif /* __XEN_PRIVCMD_COMPAT_MM_H */
