// SPDX-License-Identifier: GPL-2.0-only
/* MMAP, MMAPBATCH, MMAPBATCH_V2: frames of another domain in a mapping. */

#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <xen/features.h>
#include <xen/interface/xen.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

/* Frames that go to the hypervisor at a time; their errors take their place. */
#define BATCH (PAGE_SIZE / sizeof(xen_pfn_t))

/* So few are kept on the stack. */
#define FEW 16

/* Those for which an auto-translated kernel names the places at a time. */
#define PLACES 64

static void *copy_array(const void __user *user, size_t nr, size_t size)
{
	void *array = kvmalloc_array(nr, size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);

	if (!array)
		return ERR_PTR(-ENOMEM);

	if (copy_from_user(array, user, nr * size)) {
		kvfree(array);
		return ERR_PTR(-EFAULT);
	}

	return array;
}

/*
 * Walk over an array of the caller's that no mapping bounds, a part at a time.
 *
 * Return: 0; -EFAULT if @part left some of it; -EINTR.
 */
static int walk_array(void __user *user, size_t size,
		      size_t (*part)(char __user *user, size_t size))
{
	size_t chunk;

	if (!access_ok(user, size))
		return -EFAULT;

	for (; size; user += chunk, size -= chunk) {
		if (fatal_signal_pending(current))
			return -EINTR;

		chunk = min_t(size_t, size, SZ_1M);
		if (part(user, chunk))
			return -EFAULT;

		cond_resched();
	}

	return 0;
}

static size_t read_part(char __user *user, size_t size)
{
	return fault_in_readable(user, size);
}

static size_t clear_part(char __user *user, size_t size)
{
	return clear_user(user, size);
}

/*
 * A request that fits no mapping fails, but an array that cannot be read comes
 * first: that is seen without holding a copy.
 */
static int check_array(const void __user *user, size_t nr, size_t size)
{
	return walk_array((void __user *)user, array_size(nr, size), read_part);
}

/**
 * privcmd_mmap_available() - Does this kernel's way of memory know MMAP?
 *
 * Return: 0; -ENOSYS if the kernel is auto-translated.
 */
int privcmd_mmap_available(void)
{
	return xen_feature(XENFEAT_auto_translated_physmap) ? -ENOSYS : 0;
}

/* The mapping whose start is @va and into which nothing was mapped yet. */
static struct vm_area_struct *lookup_empty(u64 va, u64 nr)
{
	struct vm_area_struct *vma = privcmd_mapping_lookup(va, nr);

	return vma && vma->vm_start == va && privcmd_mapping_empty(vma) ? vma : NULL;
}

static int map_entries(const struct privcmd_mmap *req, const struct privcmd_mmap_entry *entries)
{
	struct vm_area_struct *vma = lookup_empty(entries[0].va, 0);
	unsigned long va;
	int i, ret;

	if (!vma)
		return -EINVAL;

	ret = privcmd_mapping_claim(vma, vma->vm_start, 0);
	if (ret)
		return ret;

	va = vma->vm_start;
	for (i = 0; i < req->num; i++) {
		const struct privcmd_mmap_entry *entry = &entries[i];

		if (fatal_signal_pending(current))
			return -EINTR;

		if (entry->va != va || entry->npages > (vma->vm_end - va) >> PAGE_SHIFT)
			return -EINVAL;

		ret = xen_remap_domain_gfn_range(vma, va, entry->mfn, entry->npages,
						 vma->vm_page_prot, req->dom, NULL);
		if (ret < 0)
			return ret;

		va += entry->npages << PAGE_SHIFT;
	}

	return 0;
}

/**
 * privcmd_mmap_entries() - MMAP: runs of frames, from the start of a mapping on.
 * @file: the file.
 * @arg: the domain, which has been checked, and the runs.
 *
 * Return: 0; -EINVAL if the runs do not go into an empty mapping, from its start
 * on without a gap, or are more than it has pages; -EFAULT; -ENOMEM; -EINTR; or
 * the hypervisor's error for the first run that it refused: those before it are
 * mapped.
 */
long privcmd_mmap_entries(struct privcmd_file *file, union privcmd_arg *arg)
{
	const struct privcmd_mmap *req = &arg->mmap;
	struct privcmd_mmap_entry first;
	struct mm_struct *mm = current->mm;
	bool fits;
	int ret;

	if (!req->num)
		return 0;

	if (copy_from_user(&first, req->entry, sizeof(first)))
		return -EFAULT;

	/* Entries without a page are legal, but a mapping bounds how many. */
	mmap_read_lock(mm);
	fits = lookup_empty(first.va, (unsigned int)req->num);
	mmap_read_unlock(mm);
	if (!fits)
		return check_array(req->entry, (unsigned int)req->num,
				   sizeof(first)) ?: -EINVAL;

	struct privcmd_mmap_entry *entries __free(kvfree) =
		copy_array(req->entry, req->num, sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);

	mmap_write_lock(mm);
	ret = map_entries(req, entries);
	mmap_write_unlock(mm);

	return ret;
}

/**
 * privcmd_mmapbatch_check() - MMAPBATCH: can the errors be written at all?
 * @arg: the request.
 *
 * Return: 0 or -EFAULT.
 */
int privcmd_mmapbatch_check(const union privcmd_arg *arg)
{
	const struct privcmd_mmapbatch *req = &arg->mmapbatch;

	return access_ok(req->arr, (unsigned int)req->num * sizeof(xen_pfn_t)) ? 0 : -EFAULT;
}

/**
 * privcmd_mmapbatch_v2_check() - MMAPBATCH_V2: can the errors be written at all?
 * @arg: the request.
 *
 * Return: 0 or -EFAULT.
 */
int privcmd_mmapbatch_v2_check(const union privcmd_arg *arg)
{
	const struct privcmd_mmapbatch_v2 *req = &arg->mmapbatch_v2;

	return access_ok(req->err, req->num * sizeof(*req->err)) ? 0 : -EFAULT;
}

/*
 * The mapping that a batch is for.  The first batch has to fill it; a later one
 * fills holes that were left.
 */
static struct vm_area_struct *lookup_for_batch(unsigned long addr, unsigned long nr)
{
	struct vm_area_struct *vma = privcmd_mapping_lookup(addr, nr);

	if (!vma || !privcmd_mapping_empty(vma))
		return vma;

	return addr == vma->vm_start && nr == vma_pages(vma) ? vma : NULL;
}

/* The errors of a batch stand at its start, where its frames' numbers stood. */
static int *errors_of(xen_pfn_t *batch)
{
	return (int *)batch;
}

/* Puts frames into an auto-translated guest. */
static void place_frames(domid_t dom, xen_pfn_t *frames, struct page **pages, unsigned int nr,
			 int *errors)
{
	struct xen_add_to_physmap_range range = {
		.domid = DOMID_SELF,
		.space = XENMAPSPACE_gmfn_foreign,
		.foreign_domid = dom,
	};
	int frame_errors[PLACES] = {};
	xen_pfn_t places[PLACES];
	unsigned int i, j, n;
	int err;

	for (i = 0; i < nr; i += n) {
		n = min_t(unsigned int, PLACES, nr - i);
		privcmd_mapping_places(pages + i / XEN_PFN_PER_PAGE, places, n);
		range.size = n;
		set_xen_guest_handle(range.idxs, (xen_ulong_t *)frames + i);
		set_xen_guest_handle(range.gpfns, places);
		set_xen_guest_handle(range.errs, frame_errors);
		err = HYPERVISOR_memory_op(XENMEM_add_to_physmap_range, &range);

		for (j = 0; j < n; j++)
			errors[i + j] = err < 0 ? err : frame_errors[j];
	}
}

static bool page_failed(const int *errors, unsigned int page, unsigned int nr)
{
	unsigned int i, first = page * XEN_PFN_PER_PAGE;

	for (i = first; i < nr && i < first + XEN_PFN_PER_PAGE; i++)
		if (errors[i])
			return true;

	return false;
}

/*
 * The kernel has a helper for this too, but that enters the pages of frames that
 * could not be mapped as well.  There is nothing behind them, not even for the
 * kernel itself: it would die of a read() or write() there.
 *
 * Return: the number of frames that were mapped, or -ENOENT if one was paged out.
 */
static int map_places(struct vm_area_struct *vma, unsigned long addr, xen_pfn_t *frames,
		      unsigned int nr, int *errors, domid_t dom, struct page **pages)
{
	unsigned int i, end, mapped = 0, nr_pages = DIV_ROUND_UP(nr, XEN_PFN_PER_PAGE);
	int err = 0;

	place_frames(dom, frames, pages, nr, errors);

	for (i = 0; !err && i < nr_pages; i = end + 1) {
		for (end = i; end < nr_pages && !page_failed(errors, end, nr); end++)
			;
		if (end > i)
			err = privcmd_mapping_show(vma, addr + i * PAGE_SIZE, end - i);
	}

	for (i = 0; i < nr; i++) {
		errors[i] = errors[i] ?: err;
		if (errors[i] == -ENOENT)
			return -ENOENT;
		mapped += !errors[i];
	}

	return mapped;
}

/*
 * Return: 0, 1 if a frame could not be mapped, or -ENOENT if one was paged out;
 * another negative errno if the request is not for such a mapping.
 */
static int map_frames(const struct privcmd_mmapbatch_v2 *req, xen_pfn_t *frames)
{
	unsigned long nr_pages = DIV_ROUND_UP(req->num, XEN_PFN_PER_PAGE);
	unsigned long addr = req->addr & PAGE_MASK;
	struct vm_area_struct *vma;
	struct page **pages;
	unsigned int i, nr;
	int ret, failed = 0;

	vma = lookup_for_batch(req->addr, nr_pages);
	if (!vma)
		return -EINVAL;

	/* A batch that lacked page tables half-way could not tell which frames failed. */
	ret = privcmd_mapping_populate(vma, addr, nr_pages);
	if (!ret)
		ret = privcmd_mapping_claim(vma, addr, nr_pages);
	if (ret)
		return ret;

	for (i = 0; i < req->num; i += nr) {
		if (fatal_signal_pending(current))
			return -EINTR;

		nr = min_t(unsigned int, BATCH, req->num - i);
		pages = privcmd_mapping_pages(vma, addr);
		ret = pages ? map_places(vma, addr, frames + i, nr, errors_of(frames + i),
					 req->dom, pages) :
			      xen_remap_domain_gfn_array(vma, addr, frames + i, nr,
							 errors_of(frames + i),
							 vma->vm_page_prot, req->dom, NULL);
		if (ret == -ENOENT)
			failed = ret;
		else if (ret != nr && !failed)
			failed = 1;

		addr += (unsigned long)nr << XEN_PAGE_SHIFT;
	}

	return failed;
}

static int report_v1(xen_pfn_t __user *user, int err)
{
	xen_pfn_t frame;

	if (get_user(frame, user))
		return -EFAULT;

	frame |= err == -ENOENT ? PRIVCMD_MMAPBATCH_PAGED_ERROR : PRIVCMD_MMAPBATCH_MFN_ERROR;
	return put_user(frame, user);
}

/* Tell the caller which frames failed: in @err, or for version 1 in their numbers. */
static int report_errors(const struct privcmd_mmapbatch_v2 *req, xen_pfn_t *frames,
			 xen_pfn_t __user *v1)
{
	unsigned int i;
	int err, ret;

	for (i = 0; i < req->num; i++) {
		err = errors_of(frames + round_down(i, BATCH))[i % BATCH];
		if (!err)
			continue;

		ret = v1 ? report_v1(v1 + i, err) : put_user(err, req->err + i);
		if (ret)
			return ret;
	}

	return 0;
}

/* A caller may count on this even if the request fails for the mapping's sake. */
static int clear_errors(const struct privcmd_mmapbatch_v2 *req)
{
	return walk_array(req->err, array_size(req->num, sizeof(*req->err)), clear_part);
}

static long map_copied(const struct privcmd_mmapbatch_v2 *req, xen_pfn_t *frames,
		       xen_pfn_t __user *v1)
{
	struct mm_struct *mm = current->mm;
	int ret = 0, failed;

	if (!v1)
		ret = clear_errors(req);
	if (ret)
		return ret;

	mmap_write_lock(mm);
	failed = map_frames(req, frames);
	mmap_write_unlock(mm);

	if (!failed || (failed < 0 && failed != -ENOENT))
		return failed;

	ret = report_errors(req, frames, v1);
	if (ret)
		return ret;

	return failed == -ENOENT ? failed : 0;
}

static long map_batch(const struct privcmd_mmapbatch_v2 *req, xen_pfn_t __user *v1)
{
	unsigned long nr_pages = DIV_ROUND_UP(req->num, XEN_PFN_PER_PAGE);
	struct mm_struct *mm = current->mm;
	xen_pfn_t few[FEW];
	bool fits;

	if (!req->num)
		return -EINVAL;

	if (req->num <= FEW) {
		if (copy_from_user(few, req->arr, req->num * sizeof(*few)))
			return -EFAULT;
		return map_copied(req, few, v1);
	}

	/* What the kernel holds for a request is bounded by its mapping. */
	mmap_read_lock(mm);
	fits = lookup_for_batch(req->addr, nr_pages);
	mmap_read_unlock(mm);
	if (!fits)
		return check_array(req->arr, req->num, sizeof(*few)) ?:
		       (v1 ? 0 : clear_errors(req)) ?: -EINVAL;

	xen_pfn_t *frames __free(kvfree) = copy_array(req->arr, req->num, sizeof(*frames));
	if (IS_ERR(frames))
		return PTR_ERR(frames);

	return map_copied(req, frames, v1);
}

/**
 * privcmd_mmapbatch() - MMAPBATCH: single frames; errors in their numbers.
 * @file: the file.
 * @arg: the domain, which has been checked, the place and the frames.
 *
 * Return: as privcmd_mmapbatch_v2().
 */
long privcmd_mmapbatch(struct privcmd_file *file, union privcmd_arg *arg)
{
	const struct privcmd_mmapbatch *v1 = &arg->mmapbatch;
	const struct privcmd_mmapbatch_v2 req = {
		.num = v1->num,
		.dom = v1->dom,
		.addr = v1->addr,
		.arr = v1->arr,
	};

	return map_batch(&req, v1->arr);
}

/**
 * privcmd_mmapbatch_v2() - MMAPBATCH_V2: single frames, each with its error.
 * @file: the file.
 * @arg: the domain, which has been checked, the place, the frames and errors.
 *
 * Return: 0, also if frames could not be mapped, which their errors tell;
 * -ENOENT if one was paged out; -EINVAL if the frames do not fill an empty
 * mapping, or a hole of a used one; -EFAULT; -ENOMEM; -EINTR.
 */
long privcmd_mmapbatch_v2(struct privcmd_file *file, union privcmd_arg *arg)
{
	return map_batch(&arg->mmapbatch_v2, NULL);
}
