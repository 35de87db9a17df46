/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A frame of another domain in place of a page of the kernel's own, which keeps its
 * kernel address.  For a PV kernel: its page tables say where a page is, and Xen
 * changes them for it.
 */

#ifndef __XEN_FOREIGN_FRAME_H
#define __XEN_FOREIGN_FRAME_H

#include <linux/errno.h>
#include <linux/mm.h>

#include <xen/interface/xen.h>
#include <xen/page.h>

#include <asm/xen/hypercall.h>

#ifdef CONFIG_XEN_PV

static inline int xen_foreign_frame_enter(struct page *page, xen_pfn_t mfn, domid_t owner,
					  pgprot_t prot)
{
	struct mmu_update update;
	unsigned int level;
	pte_t *pte;

	pte = lookup_address((unsigned long)page_address(page), &level);
	if (WARN_ON_ONCE(!pte || level != PG_LEVEL_4K))
		return -ENOMEM;

	update.ptr = arbitrary_virt_to_machine(pte).maddr | MMU_PT_UPDATE_NO_TRANSLATE;
	update.val = pte_val_ma(mfn_pte(mfn, prot));
	return HYPERVISOR_mmu_update(&update, 1, NULL, owner);
}

static inline int xen_foreign_frame_remove(struct page *page)
{
	return HYPERVISOR_update_va_mapping((unsigned long)page_address(page), __pte_ma(0),
					    UVMF_INVLPG | UVMF_ALL);
}

#else

static inline int xen_foreign_frame_enter(struct page *page, xen_pfn_t mfn, domid_t owner,
					  pgprot_t prot)
{
	return -EOPNOTSUPP;
}

static inline int xen_foreign_frame_remove(struct page *page)
{
	return 0;
}

#endif /* CONFIG_XEN_PV */

#endif /* __XEN_FOREIGN_FRAME_H */
