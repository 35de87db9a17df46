// SPDX-License-Identifier: GPL-2.0-only
/*
 * The least that it can take to map frames of another domain, and to unmap them.
 *
 * Writing "DOM NR BATCH FRAMES ERRORS ADDR" to the parameter "frames" maps NR frames,
 * whose numbers stand in the caller's memory at FRAMES, at ADDR, BATCH of them with each
 * hypercall, and unmaps them again.  ADDR is in an empty mapping of privcmd's; ERRORS is
 * an array of NR errors, which is cleared.  Nothing is checked: only a benchmark calls.
 *
 * Reading it gives what parts of that took, by the counter that user space reads too:
 * copying the arrays, walking the page tables and the hypercalls of the mapping, then
 * the walk and the hypercalls of the unmapping.
 */

#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/sysfs.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include <xen/features.h>
#include <xen/interface/xen.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen-ops.h>
#include <xen/xen.h>

#include <asm/xen/hypercall.h>

/* In the order in which they are read. */
enum part { COPY, WALK, MAP, WALK_AGAIN, UNMAP, NR_PARTS };

struct request {
	domid_t dom;
	unsigned int nr;
	unsigned int batch;
	u64 frames;
	u64 errors;
	unsigned long addr;
	xen_pfn_t *numbers;
};

static u64 ticks[NR_PARTS];

static int copy_arrays(const struct request *req)
{
	if (copy_from_user(req->numbers, u64_to_user_ptr(req->frames),
			   array_size(req->nr, sizeof(*req->numbers))) ||
	    clear_user(u64_to_user_ptr(req->errors), array_size(req->nr, sizeof(int))))
		return -EFAULT;

	return 0;
}

#ifdef CONFIG_XEN_PV

struct walk {
	struct mmu_update *updates;
	unsigned int nr;
	const xen_pfn_t *numbers;
	/* The page table, and where it is in the machine. */
	void *virtual;
	u64 table;
};

/* The entries of one page table follow each other in the machine, too. */
static u64 entry_of(struct walk *walk, pte_t *pte)
{
	void *table = (void *)((unsigned long)pte & PAGE_MASK);

	if (walk->virtual != table) {
		walk->virtual = table;
		walk->table = arbitrary_virt_to_machine(table).maddr;
	}

	return walk->table + offset_in_page(pte) + MMU_NORMAL_PT_UPDATE;
}

static int note_entry(pte_t *pte, unsigned long addr, void *data)
{
	struct walk *walk = data;

	/* There is nothing to clear where a frame was refused. */
	if (!walk->numbers && pte_none(ptep_get(pte)))
		return 0;

	walk->updates[walk->nr].ptr = entry_of(walk, pte);
	walk->updates[walk->nr].val = walk->numbers ?
		pte_val_ma(pte_mkspecial(mfn_pte(walk->numbers[walk->nr], PAGE_SHARED))) : 0;
	walk->nr++;
	return 0;
}

/* Makes updates that enter the frames, or clear the entries that are there. */
static int walk_tables(const struct request *req, struct mmu_update *updates, unsigned int *nr,
		       bool map)
{
	struct walk walk = {
		.updates = updates,
		.numbers = map ? req->numbers : NULL,
	};
	int err;

	err = apply_to_page_range(current->mm, req->addr, (unsigned long)req->nr << PAGE_SHIFT,
				  note_entry, &walk);
	*nr = walk.nr;
	return err;
}

/* The hypervisor stops at each entry that it refuses. */
static int update_tables(const struct request *req, struct mmu_update *updates, unsigned int nr,
			 domid_t dom)
{
	unsigned int i, done;

	for (i = 0; i < nr; i += done) {
		done = 0;
		if (HYPERVISOR_mmu_update(updates + i, min(req->batch, nr - i), &done, dom) ||
		    !done)
			done++;
	}
	return 0;
}

static int flush_tlbs(void)
{
	struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_ALL };

	return HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static int measure_pv(const struct request *req)
{
	struct mmu_update *updates = kvcalloc(req->nr, sizeof(*updates), GFP_KERNEL);
	cycles_t times[NR_PARTS + 1];
	unsigned int i, nr;
	int err;

	if (!updates)
		return -ENOMEM;

	times[WALK] = get_cycles();
	err = walk_tables(req, updates, &nr, true);
	times[MAP] = get_cycles();
	err = err ?: update_tables(req, updates, nr, req->dom);
	times[WALK_AGAIN] = get_cycles();
	err = err ?: walk_tables(req, updates, &nr, false);
	times[UNMAP] = get_cycles();
	err = err ?: update_tables(req, updates, nr, DOMID_SELF) ?: flush_tlbs();
	times[NR_PARTS] = get_cycles();

	for (i = WALK; i < NR_PARTS; i++)
		ticks[i] = times[i + 1] - times[i];
	kvfree(updates);
	return err;
}

#else

static int measure_pv(const struct request *req)
{
	return -EOPNOTSUPP;
}

#endif

/* What an auto-translated caller's hypercalls read. */
struct physmap {
	struct page **pages;
	xen_pfn_t *gfns;
	int *errors;
	struct xen_remove_from_physmap *removals;
	struct multicall_entry *calls;
};

static int look_at_entry(pte_t *pte, unsigned long addr, void *data)
{
	return pte_none(ptep_get(pte)) ? 0 : -EINVAL;
}

static int walk_empty_tables(const struct request *req)
{
	return apply_to_page_range(current->mm, req->addr, (unsigned long)req->nr << PAGE_SHIFT,
				   look_at_entry, NULL);
}

static int add_frames(const struct request *req, const struct physmap *physmap)
{
	unsigned int i, nr;
	int err = 0;

	for (i = 0; !err && i < req->nr; i += nr) {
		struct xen_add_to_physmap_range range = {
			.domid = DOMID_SELF,
			.space = XENMAPSPACE_gmfn_foreign,
			.foreign_domid = req->dom,
		};

		nr = min(req->batch, req->nr - i);
		range.size = nr;
		set_xen_guest_handle(range.idxs, (xen_ulong_t *)req->numbers + i);
		set_xen_guest_handle(range.gpfns, physmap->gfns + i);
		set_xen_guest_handle(range.errs, physmap->errors + i);
		err = HYPERVISOR_memory_op(XENMEM_add_to_physmap_range, &range);
	}
	return err;
}

static int remove_frames(const struct request *req, const struct physmap *physmap)
{
	unsigned int i, nr;
	int err = 0;

	for (i = 0; !err && i < req->nr; i += nr) {
		nr = min(req->batch, req->nr - i);
		if (nr == 1)
			physmap->calls[i].result = HYPERVISOR_memory_op(XENMEM_remove_from_physmap,
									&physmap->removals[i]);
		else
			err = HYPERVISOR_multicall(physmap->calls + i, nr);
	}
	return err;
}

static void prepare_calls(const struct request *req, const struct physmap *physmap)
{
	unsigned int i;

	for (i = 0; i < req->nr; i++) {
		struct xen_remove_from_physmap *removal = &physmap->removals[i];
		struct multicall_entry *call = &physmap->calls[i];

		/* Where a page has several of Xen's frames, the first one is as good. */
		physmap->gfns[i] = page_to_xen_pfn(physmap->pages[i]);
		removal->domid = DOMID_SELF;
		removal->gpfn = physmap->gfns[i];
		call->op = __HYPERVISOR_memory_op;
		call->args[0] = XENMEM_remove_from_physmap;
		call->args[1] = (unsigned long)removal;
	}
}

static int measure_with(const struct request *req, const struct physmap *physmap)
{
	cycles_t times[NR_PARTS + 1];
	unsigned int i;
	int err;

	prepare_calls(req, physmap);

	times[WALK] = get_cycles();
	err = walk_empty_tables(req);
	times[MAP] = get_cycles();
	err = err ?: add_frames(req, physmap);
	times[WALK_AGAIN] = get_cycles();
	err = err ?: walk_empty_tables(req);
	times[UNMAP] = get_cycles();
	err = remove_frames(req, physmap) ?: err;
	times[NR_PARTS] = get_cycles();

	for (i = WALK; i < NR_PARTS; i++)
		ticks[i] = times[i + 1] - times[i];
	/* A page that still shows a foreign frame must never be used again. */
	for (i = 0; i < req->nr; i++)
		if (physmap->calls[i].result && physmap->calls[i].result != -ENOENT)
			return -EBUSY;
	return err;
}

static int measure_xlate(const struct request *req)
{
	struct physmap physmap = {
		.pages = kvcalloc(req->nr, sizeof(*physmap.pages), GFP_KERNEL),
		.gfns = kvcalloc(req->nr, sizeof(*physmap.gfns), GFP_KERNEL),
		.errors = kvcalloc(req->nr, sizeof(*physmap.errors), GFP_KERNEL),
		.removals = kvcalloc(req->nr, sizeof(*physmap.removals), GFP_KERNEL),
		.calls = kvcalloc(req->nr, sizeof(*physmap.calls), GFP_KERNEL),
	};
	int err = -ENOMEM;

	if (physmap.pages && physmap.gfns && physmap.errors && physmap.removals && physmap.calls)
		err = xen_alloc_unpopulated_pages(req->nr, physmap.pages);
	if (!err) {
		err = measure_with(req, &physmap);
		if (err != -EBUSY)
			xen_free_unpopulated_pages(req->nr, physmap.pages);
	}

	kvfree(physmap.calls);
	kvfree(physmap.removals);
	kvfree(physmap.errors);
	kvfree(physmap.gfns);
	kvfree(physmap.pages);
	return err;
}

static int frames_set(const char *text, const struct kernel_param *kp)
{
	struct request req;
	cycles_t start;
	int err;

	if (sscanf(text, "%hu %u %u %llx %llx %lx", &req.dom, &req.nr, &req.batch,
		   &req.frames, &req.errors, &req.addr) != 6 || !req.nr || !req.batch)
		return -EINVAL;

	req.numbers = kvcalloc(req.nr, sizeof(*req.numbers), GFP_KERNEL);
	if (!req.numbers)
		return -ENOMEM;

	start = get_cycles();
	err = copy_arrays(&req);
	ticks[COPY] = get_cycles() - start;

	mmap_write_lock(current->mm);
	if (!err)
		err = xen_feature(XENFEAT_auto_translated_physmap) ? measure_xlate(&req) :
								     measure_pv(&req);
	mmap_write_unlock(current->mm);

	kvfree(req.numbers);
	return err;
}

static int frames_get(char *text, const struct kernel_param *kp)
{
	return sysfs_emit(text, "%llu %llu %llu %llu %llu\n", ticks[COPY], ticks[WALK],
			  ticks[MAP], ticks[WALK_AGAIN], ticks[UNMAP]);
}

static const struct kernel_param_ops frames_ops = { .set = frames_set, .get = frames_get };

module_param_cb(frames, &frames_ops, NULL, 0600);
MODULE_PARM_DESC(frames, "Frames to map; what that took");

MODULE_DESCRIPTION("Bare hypercalls that map frames");
MODULE_LICENSE("GPL");
