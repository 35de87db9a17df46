// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of a PV caller, whose page tables have foreign frames in them.
 *
 * A PV kernel can read its page tables but not write to them: a hypercall enters
 * frames, many at a time.  munmap() clears one entry after the other, and Xen
 * emulates each of these writes.  For a large mapping the driver has the kernel tell
 * it before munmap() begins, and leaves nothing to clear.
 */

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <xen/interface/xen.h>
#include <xen/page.h>

#include <asm/xen/hypercall.h>

#include "mapping.h"
#include "privcmd_private.h"

/*
 * In pages.  To be told of one end makes the kernel look, for as long as the process
 * lives, whether it has to tell of others: for a small mapping that is not worth it.
 */
#define LARGE 64

/* Entries that go to the hypervisor at a time; they are on the stack. */
#define BATCH 32

/*
 * Updates of page table entries.  Where a page table is in the machine takes longer to
 * find than to update an entry of it, and is found once for all that follow each other.
 */
struct batch {
	struct mmu_update updates[BATCH];
	unsigned int nr;
	pte_t *table;
	phys_addr_t maddr;
};

static phys_addr_t entry_maddr(struct batch *batch, pte_t *pte)
{
	pte_t *table = PTR_ALIGN_DOWN(pte, PAGE_SIZE);

	if (table != batch->table) {
		batch->table = table;
		batch->maddr = arbitrary_virt_to_machine(table).maddr;
	}

	return batch->maddr + offset_in_page(pte);
}

/*
 * Frames that are being entered.  The errors may stand where the frames' numbers
 * do: those of the frames up to @done have been read.
 */
struct insertion {
	struct batch batch;
	const struct privcmd_pv_frames *frames;
	pgprot_t prot;
	unsigned int done;
};

/* The hypervisor stops at each entry that it refuses. */
static void insert_batch(struct insertion *insertion)
{
	const struct privcmd_pv_frames *frames = insertion->frames;
	struct batch *batch = &insertion->batch;
	unsigned int i = 0;

	while (i < batch->nr) {
		unsigned int entered = 0;
		int err;

		err = HYPERVISOR_mmu_update(batch->updates + i, batch->nr - i, &entered,
					    frames->dom);
		i += entered;
		while (entered--)
			frames->errors[insertion->done++] = 0;
		if (i < batch->nr) {
			frames->errors[insertion->done++] = err ?: -EINVAL;
			i++;
		}
	}
	batch->nr = 0;
}

static int insert_entry(pte_t *pte, unsigned long addr, void *data)
{
	struct insertion *insertion = data;
	const struct privcmd_pv_frames *frames = insertion->frames;
	struct batch *batch = &insertion->batch;
	xen_pfn_t frame = frames->numbers[insertion->done + batch->nr];

	if (!pte_none(ptep_get(pte)))
		return -EINVAL;

	if (frame >> PRIVCMD_FRAME_BITS) {
		insert_batch(insertion);
		frames->errors[insertion->done++] = -EINVAL;
		return 0;
	}

	batch->updates[batch->nr++] = (struct mmu_update) {
		.ptr = entry_maddr(batch, pte) | frames->update,
		.val = pte_val_ma(pte_mkspecial(mfn_pte(frame, insertion->prot))),
	};
	if (batch->nr == BATCH)
		insert_batch(insertion);
	return 0;
}

/**
 * privcmd_pv_insert() - Enter frames into the page tables of a PV caller.
 * @vma: the mapping.
 * @addr: the first page.
 * @frames: the frames, which all go into the mapping; 1 or more.
 * @done: gets the number of frames that have their error; no entry behind them
 *	was changed.
 *
 * Entries that were empty need no flush of the TLB.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0, also if frames have errors; -EINVAL if something is mapped there
 * already; -ENOMEM.
 */
int privcmd_pv_insert(struct vm_area_struct *vma, unsigned long addr,
		      const struct privcmd_pv_frames *frames, unsigned int *done)
{
	struct insertion insertion = {
		.frames = frames,
		.prot = privcmd_vma_prot(vma),
	};
	int err;

	err = apply_to_page_range(vma->vm_mm, addr, (unsigned long)frames->nr << PAGE_SHIFT,
				  insert_entry, &insertion);
	if (!err)
		insert_batch(&insertion);
	*done = insertion.done;
	return err;
}

#ifdef CONFIG_MMU_NOTIFIER

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
		.ptr = entry_maddr(batch, pte) | MMU_NORMAL_PT_UPDATE,
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
	unsigned long next, addr = notifier->interval_tree.start;
	unsigned long end = notifier->interval_tree.last + 1;
	struct batch batch = { .nr = 0, .table = NULL };

	/* The range has all of the mapping, which cannot be split. */
	if (range->event != MMU_NOTIFY_UNMAP)
		return true;
	/* At the process' end its page tables are none any more: the kernel writes to them. */
	if (!atomic_read(&notifier->mm->mm_users))
		return true;

	for (; addr != end; addr = next) {
		next = pmd_addr_end(addr, end);
		/* All page tables are there, so that it does not allocate. */
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
 * @vma: the mapping, of a PV caller, all page tables of which are there.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: what does it; NULL if the mapping is too small to be worth it, if it is
 * private and can be written to, if there is no memory or if a signal is pending:
 * nothing depends on it.
 */
struct mmu_interval_notifier *privcmd_unmapper_create(struct vm_area_struct *vma)
{
	unsigned long size = vma->vm_end - vma->vm_start;
	struct mmu_interval_notifier *unmapper;

	/* What a private mapping has of its own is not for the hypervisor to drop. */
	if (vma_pages(vma) < LARGE || is_cow_mapping(vma->vm_flags))
		return NULL;

	unmapper = kzalloc_obj(*unmapper, GFP_KERNEL_ACCOUNT);
	if (!unmapper)
		return NULL;

	if (mmu_interval_notifier_insert_locked(unmapper, vma->vm_mm, vma->vm_start, size,
						&unmapper_ops)) {
		kfree(unmapper);
		return NULL;
	}

	return unmapper;
}

/**
 * privcmd_unmapper_destroy() - The mapping has ended.
 * @unmapper: what privcmd_unmapper_create() returned.
 */
void privcmd_unmapper_destroy(struct mmu_interval_notifier *unmapper)
{
	if (!unmapper)
		return;

	mmu_interval_notifier_remove(unmapper);
	kfree(unmapper);
}

#endif /* CONFIG_MMU_NOTIFIER */
