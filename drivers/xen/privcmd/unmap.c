// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a large mapping on PV.
 *
 * A PV kernel can read its page tables but not write to them.  Yet that is what
 * munmap() does, one entry after the other, and Xen emulates each of the writes.
 * A hypercall that clears many entries takes a fraction of that, so the driver has
 * the kernel tell it before munmap() begins, and leaves nothing to clear.
 */

#include <linux/container_of.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <xen/interface/xen.h>
#include <xen/page.h>

#include <asm/xen/hypercall.h>

#include "privcmd.h"

/*
 * In pages.  To be told makes every other munmap() of the process dearer, for good,
 * if only by little.
 */
#define LARGE 64

/* Entries that go to the hypervisor at a time; they are on the stack. */
#define BATCH 32

/**
 * struct privcmd_unmapper - Clears the page table entries of a mapping.
 * @notifier: tells that the mapping ends.
 * @start: its address.
 * @end: the address behind it.
 */
struct privcmd_unmapper {
	struct mmu_interval_notifier notifier;
	unsigned long start;
	unsigned long end;
};

struct batch {
	struct mmu_update updates[BATCH];
	unsigned int nr;
};

/* What the hypervisor does not clear is left to the kernel. */
static void clear_batch(struct batch *batch)
{
	if (batch->nr)
		HYPERVISOR_mmu_update(batch->updates, batch->nr, NULL, DOMID_SELF);
	batch->nr = 0;
}

static int clear_entry(pte_t *pte, unsigned long addr, void *data)
{
	struct batch *batch = data;

	if (pte_none(ptep_get(pte)))
		return 0;

	batch->updates[batch->nr++] = (struct mmu_update) {
		.ptr = arbitrary_virt_to_machine(pte).maddr | MMU_NORMAL_PT_UPDATE,
	};
	if (batch->nr == BATCH)
		clear_batch(batch);
	return 0;
}

/* The kernel will find no entries, and flush nothing for their sake. */
static void flush_tlbs(void)
{
	struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_ALL };

	HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static bool clear_entries(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range, unsigned long seq)
{
	struct privcmd_unmapper *unmapper =
		container_of(notifier, struct privcmd_unmapper, notifier);
	unsigned long next, addr = unmapper->start;
	struct batch batch = {};

	mmu_interval_set_seq(notifier, seq);
	/* Which is of the whole mapping. */
	if (range->event != MMU_NOTIFY_UNMAP)
		return true;

	for (; addr != unmapper->end; addr = next) {
		next = pmd_addr_end(addr, unmapper->end);
		apply_to_page_range(notifier->mm, addr, next - addr, clear_entry, &batch);
		clear_batch(&batch);
		cond_resched();
	}
	flush_tlbs();
	return true;
}

static const struct mmu_interval_notifier_ops unmapper_ops = {
	.invalidate = clear_entries,
};

/**
 * privcmd_unmapper_create() - Have a mapping end faster.
 * @vma: the mapping, of a PV caller, which is about to be filled.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: what does it; NULL if the mapping is too small to be worth it, if it is
 * private and can be written to, or if there is no memory: nothing depends on it.
 */
struct privcmd_unmapper *privcmd_unmapper_create(struct vm_area_struct *vma)
{
	struct privcmd_unmapper *unmapper;

	/* What a private mapping has of its own is not for the hypervisor to drop. */
	if (vma_pages(vma) < LARGE || is_cow_mapping(vma->vm_flags))
		return NULL;

	unmapper = kzalloc_obj(*unmapper, GFP_KERNEL_ACCOUNT);
	if (!unmapper)
		return NULL;

	unmapper->start = vma->vm_start;
	unmapper->end = vma->vm_end;
	if (mmu_interval_notifier_insert_locked(&unmapper->notifier, vma->vm_mm, vma->vm_start,
						vma->vm_end - vma->vm_start, &unmapper_ops)) {
		kfree(unmapper);
		return NULL;
	}

	return unmapper;
}

/**
 * privcmd_unmapper_destroy() - The mapping has ended.
 * @unmapper: what privcmd_unmapper_create() returned.
 */
void privcmd_unmapper_destroy(struct privcmd_unmapper *unmapper)
{
	if (!unmapper)
		return;

	mmu_interval_notifier_remove(&unmapper->notifier);
	kfree(unmapper);
}
