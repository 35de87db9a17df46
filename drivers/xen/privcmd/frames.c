// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames get into a mapping here, whatever command they come from.
 *
 * A request goes in steps.  Between two of them the mmap lock is free, other tasks
 * run and a fatal signal ends the request.  Each step looks up the mapping again
 * and goes on only if its owner is the same; a mapping that takes several steps is
 * meanwhile closed to other requests.  A request that fails takes out again what it
 * has entered, from the page tables and from the physical address space, before it
 * returns.  Frames that fail while the request goes on leave nothing.
 */

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include <xen/features.h>
#include <xen/interface/xen.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "mapping.h"
#include "privcmd_private.h"

/* GFNs that Xen fills at a time; all of a page's are among them. */
#define GFNS_AT_ONCE 64

/* What a failed request takes out at a time; a request of one step has no more. */
#define UNDONE_AT_ONCE (512 * PAGE_SIZE)

static int acquire(const struct privcmd_insert *req, unsigned int first, unsigned int nr,
		   xen_pfn_t *frames, domid_t *owner)
{
	struct xen_mem_acquire_resource resource = *req->resource;
	int err;

	resource.frame += req->nr_done + first;
	resource.nr_frames = nr;
	set_xen_guest_handle(resource.frame_list, frames);
	err = privcmd_acquire_resource(&resource);

	*owner = resource.flags & XENMEM_rsrc_acq_caller_owned ? DOMID_SELF : req->dom;
	return err;
}

/* Page tables name frames by the numbers of the machine there. */
static int pv_step(struct privcmd_insert *req, struct vm_area_struct *vma, unsigned int nr)
{
	struct privcmd_pv_frames frames = {
		.numbers = req->frames,
		.errors = req->errors,
		.nr = nr,
		.update = MMU_NORMAL_PT_UPDATE,
		.dom = req->dom,
	};
	unsigned int done;
	int err;

	if (req->resource) {
		frames.update = MMU_PT_UPDATE_NO_TRANSLATE;
		err = acquire(req, 0, nr, req->frames, &frames.dom);
		if (err)
			return err;
	}

	err = privcmd_pv_insert(vma, req->addr, &frames, &done);
	req->addr += (unsigned long)done << PAGE_SHIFT;
	return err;
}

static int acquire_to_gfns(const struct privcmd_insert *req, struct page **pages,
			   unsigned int first, unsigned int nr)
{
	xen_pfn_t gfns[GFNS_AT_ONCE];
	domid_t owner;
	unsigned int i, j, n;
	int err = 0;

	for (i = 0; !err && i < nr; i += n) {
		n = min_t(unsigned int, GFNS_AT_ONCE, nr - i);
		for (j = 0; j < n; j++)
			gfns[j] = privcmd_xlate_gfn(pages, i + j);
		err = acquire(req, first + i, n, gfns, &owner);
	}

	/* What stands behind the last frame, in its page, shows that once more. */
	for (; !err && i % XEN_PFN_PER_PAGE; i++) {
		gfns[0] = privcmd_xlate_gfn(pages, i);
		err = acquire(req, first + nr - 1, 1, gfns, &owner);
	}

	return err;
}

/* Each frame gets its error. */
static void add_to_physmap(domid_t dom, xen_pfn_t *frames, struct page **pages,
			   unsigned int first, unsigned int nr, int *errors)
{
	struct xen_add_to_physmap_range range = {
		.domid = DOMID_SELF,
		.space = XENMAPSPACE_gmfn_foreign,
		.foreign_domid = dom,
		.size = nr,
	};
	int frame_errors[GFNS_AT_ONCE] = {};
	xen_pfn_t gfns[GFNS_AT_ONCE];
	unsigned int i;
	int err;

	for (i = 0; i < nr; i++) {
		gfns[i] = privcmd_xlate_gfn(pages, first + i);
		/* One that no domain has. */
		if (frames[i] >> PRIVCMD_FRAME_BITS)
			frames[i] = BIT_ULL(PRIVCMD_FRAME_BITS) - 1;
	}
	set_xen_guest_handle(range.idxs, (xen_ulong_t *)frames);
	set_xen_guest_handle(range.gpfns, gfns);
	set_xen_guest_handle(range.errs, frame_errors);
	err = HYPERVISOR_memory_op(XENMEM_add_to_physmap_range, &range);

	/* @errors may be the memory of @frames. */
	for (i = 0; i < nr; i++)
		errors[i] = err ?: frame_errors[i];
}

/* For the GFNs behind the last frame, in its page. */
static int repeat_frame(domid_t dom, xen_pfn_t frame, struct page **pages, unsigned int i)
{
	int err = 0;

	for (; !err && i % XEN_PFN_PER_PAGE; i++)
		add_to_physmap(dom, &frame, pages, i, 1, &err);

	return err;
}

/* A page of which one frame failed will not be there, and so its others failed too. */
static bool page_is_whole(unsigned int page, int *errors, unsigned int nr, int tail_err)
{
	unsigned int i, first = page * XEN_PFN_PER_PAGE;
	unsigned int end = min_t(unsigned int, nr, first + XEN_PFN_PER_PAGE);
	int err = end == nr ? tail_err : 0;

	for (i = first; i < end; i++)
		err = err ?: errors[i];
	for (i = first; err && i < end; i++)
		errors[i] = errors[i] ?: err;

	return !err;
}

/* For frames whose pages have been taken. */
static int map_part(const struct privcmd_insert *req, struct vm_area_struct *vma,
		    unsigned long addr, struct page **pages, unsigned int first,
		    unsigned int nr)
{
	unsigned int i, end, n, nr_pages = DIV_ROUND_UP(nr, XEN_PFN_PER_PAGE);
	xen_pfn_t *frames = req->frames + first, last = frames[nr - 1];
	int err = 0, tail_err, *errors = req->errors + first;
	bool whole;

	for (i = 0; i < nr; i += n) {
		n = min_t(unsigned int, GFNS_AT_ONCE, nr - i);
		add_to_physmap(req->dom, frames + i, pages, i, n, errors + i);
	}
	tail_err = repeat_frame(req->dom, last, pages, nr);

	for (i = 0; !err && i < nr_pages; i = end) {
		whole = page_is_whole(i, errors, nr, tail_err);
		for (end = i + 1; end < nr_pages; end++)
			if (page_is_whole(end, errors, nr, tail_err) != whole)
				break;

		if (whole)
			err = privcmd_xlate_insert(vma, addr + i * PAGE_SIZE, pages + i, end - i);
		else
			privcmd_xlate_remove(vma, addr + i * PAGE_SIZE, addr + end * PAGE_SIZE);
	}

	return err;
}

/* As a whole. */
static int map_resource_part(const struct privcmd_insert *req, struct vm_area_struct *vma,
			     unsigned long addr, struct page **pages, unsigned int first,
			     unsigned int nr)
{
	int err = acquire_to_gfns(req, pages, first, nr);

	memset(req->errors + first, 0, nr * sizeof(*req->errors));
	return err ?: privcmd_xlate_insert(vma, addr, pages, DIV_ROUND_UP(nr, XEN_PFN_PER_PAGE));
}

/* Of what was entered, the last pages. */
static void insert_clear(struct privcmd_insert *req, struct vm_area_struct *vma, unsigned long size)
{
	req->addr -= size;
	zap_special_vma_range(vma, req->addr, size);
	if (xen_feature(XENFEAT_auto_translated_physmap))
		privcmd_xlate_remove(vma, req->addr, req->addr + size);
}

static int xlate_step(struct privcmd_insert *req, struct vm_area_struct *vma, unsigned int nr)
{
	unsigned int first, n, nr_pages;
	struct page **pages;
	unsigned long addr;
	int err = 0;

	for (first = 0; !err && first < nr; first += n) {
		addr = req->addr;
		nr_pages = privcmd_xlate_part(vma, addr,
					      DIV_ROUND_UP(nr - first, XEN_PFN_PER_PAGE));
		n = min_t(unsigned int, nr - first, nr_pages * XEN_PFN_PER_PAGE);

		pages = privcmd_xlate_get(vma, addr, nr_pages);
		if (IS_ERR(pages))
			return PTR_ERR(pages);

		/* From here on these pages are the request's to take out. */
		req->addr += (unsigned long)nr_pages << PAGE_SHIFT;
		err = req->resource ? map_resource_part(req, vma, addr, pages, first, n) :
				      map_part(req, vma, addr, pages, first, n);
		/*
		 * Also of a process that is being killed.  Whoever shares its memory can make
		 * another request where the page tables have nothing, and would get other
		 * pages in place of these.
		 */
		if (err)
			insert_clear(req, vma, (unsigned long)nr_pages << PAGE_SHIFT);
	}

	return err;
}

/*
 * Not even by mprotect().  The kernel counts a file's mappings that could be written,
 * and looks at the flags again when one ends.
 */
static void never_write(struct vm_area_struct *vma)
{
	if (vma_is_shared_maywrite(vma))
		mapping_unmap_writable(vma->vm_file->f_mapping);
	vm_flags_clear(vma, VM_MAYWRITE);
}

/* The mapping that a request is for, if it can go there. */
static struct vm_area_struct *insert_begin(struct privcmd_insert *req)
{
	struct vm_area_struct *vma = privcmd_vma_lookup(req->addr, 0);
	struct privcmd_mapping *mapping;
	int err = 0;

	if (!vma || !req->fits(req, vma))
		return ERR_PTR(-EINVAL);

	/* An entry that is not present, with a number of the caller's, is no protection. */
	if (!xen_feature(XENFEAT_auto_translated_physmap) &&
	    !(vma->vm_flags & (VM_READ | VM_WRITE | VM_EXEC)))
		return ERR_PTR(-EINVAL);

	if (req->read_only && vma->vm_flags & VM_WRITE)
		return ERR_PTR(-EPERM);

	req->start = req->addr;
	req->first = privcmd_mapping_empty(vma);
	mapping = privcmd_mapping_own(vma, req->alone || !req->last);
	if (IS_ERR(mapping))
		return ERR_CAST(mapping);

	if (req->nr_ioreq_frames)
		err = privcmd_mapping_count(vma, req->nr_ioreq_frames);
	if (err) {
		if (req->first)
			privcmd_mapping_destroy(vma);
		return ERR_PTR(err);
	}

	if (req->read_only)
		never_write(vma);

	/* An owner that is shared is never written to. */
	if (!req->last)
		mapping->busy = true;
	req->number = mapping->number;
	return vma;
}

/* The same mapping, in a later step; it may have gone meanwhile. */
static struct vm_area_struct *insert_find(const struct privcmd_insert *req)
{
	struct vm_area_struct *vma = privcmd_vma_lookup(req->start, 0);

	if (!vma || privcmd_mapping_empty(vma))
		return NULL;

	return privcmd_mapping_of(vma)->number == req->number ? vma : NULL;
}

static int insert_step(struct privcmd_insert *req, struct vm_area_struct *vma, unsigned int nr)
{
	unsigned long nr_pages = DIV_ROUND_UP(nr, XEN_PFN_PER_PAGE);
	unsigned int i;
	int err;

	if (!nr)
		return 0;
	if (nr_pages > privcmd_vma_room(vma, req->addr))
		return -EINVAL;

	err = xen_feature(XENFEAT_auto_translated_physmap) ? xlate_step(req, vma, nr) :
							     pv_step(req, vma, nr);
	for (i = 0; !err && !req->may_fail && i < nr; i++)
		err = req->errors[i];

	req->nr_done += nr;
	return err;
}

static int insert_next_step(struct privcmd_insert *req)
{
	cond_resched();
	if (fatal_signal_pending(current))
		return -EINTR;

	return req->next(req);
}

/*
 * In steps, too.  A process that is being killed leaves the rest to the end of the
 * mapping, which comes with the last process that shares the memory.
 *
 * Return: the mapping; NULL if it went meanwhile.
 */
static struct vm_area_struct *insert_undo(struct privcmd_insert *req, struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	while (req->addr - req->start > UNDONE_AT_ONCE) {
		insert_clear(req, vma, UNDONE_AT_ONCE);

		mmap_write_unlock(mm);
		cond_resched();
		mmap_write_lock(mm);

		vma = insert_find(req);
		if (!vma || fatal_signal_pending(current))
			return vma;
	}

	if (req->addr > req->start)
		insert_clear(req, vma, req->addr - req->start);
	if (req->first)
		privcmd_mapping_destroy(vma);
	else if (req->nr_ioreq_frames)
		privcmd_mapping_uncount(vma, req->nr_ioreq_frames);
	return vma;
}

static void insert_end(struct privcmd_insert *req, struct vm_area_struct *vma, int err)
{
	if (err && !fatal_signal_pending(current))
		vma = insert_undo(req, vma);

	/* An owner that is shared is never busy. */
	if (vma && !privcmd_mapping_empty(vma) && privcmd_mapping_of(vma)->busy)
		privcmd_mapping_of(vma)->busy = false;

	if (!err && req->end)
		req->end(req, vma);
}

/**
 * privcmd_insert() - Enter frames into a mapping.
 * @req: the request.
 *
 * Context: Takes the mmap lock, and may sleep.  @req->next is called without it,
 * the other operations with it.
 * Return: 0, also if frames have errors that may fail; -EINVAL if the request does
 * not go into a mapping of this driver, something is mapped there, or the mapping
 * went meanwhile; -EPERM if it is for reading only and the mapping can be written;
 * -EBUSY if another request is filling the mapping; -ENOSPC if the file maps too many
 * frames of ioreq servers; -ENOMEM; -EINTR; what
 * @req->next says, or the hypervisor.
 */
int privcmd_insert(struct privcmd_insert *req)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int nr, err;

	nr = req->next(req);
	if (nr < 0)
		return nr;
	if (mmap_write_lock_killable(mm))
		return -EINTR;

	vma = insert_begin(req);
	err = PTR_ERR_OR_ZERO(vma);
	if (err)
		goto unlock;

	while (!(err = insert_step(req, vma, nr)) && !req->last) {
		mmap_write_unlock(mm);
		nr = insert_next_step(req);
		mmap_write_lock(mm);

		vma = insert_find(req);
		err = vma ? min(nr, 0) : -EINVAL;
		if (err)
			break;
	}

	if (vma)
		insert_end(req, vma, err);
unlock:
	mmap_write_unlock(mm);
	return err;
}
