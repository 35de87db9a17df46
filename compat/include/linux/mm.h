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

/* Of these kernels a mapping's VM_MAYWRITE has no part in what is counted. */
#ifdef COMPAT_NO_VMA_IS_SHARED_MAYWRITE
static inline bool vma_is_shared_maywrite(const struct vm_area_struct *vma)
{
	return false;
}
#endif

#ifdef COMPAT_NO_ZAP_SPECIAL_VMA_RANGE
#define zap_special_vma_range zap_vma_ptes
#endif

#endif /* __XEN_PRIVCMD_COMPAT_MM_H */
