// SPDX-License-Identifier: GPL-2.0-only
/* MMAPBATCH, MMAPBATCH_V2: single frames of another domain in a mapping. */

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <xen/features.h>
#include <xen/interface/xen.h>
#include <xen/page.h>

#include "mapping.h"
#include "privcmd_private.h"

/* Frames of one step; of a page, which is a multiple of what a page has of them. */
#define STEP (PAGE_SIZE / sizeof(xen_pfn_t))

/* So few are kept on the stack. */
#define FEW 16

/**
 * struct batch_request - A request that is being done.
 * @insert: what goes into the mapping.
 * @batch: the request.
 * @frames: the numbers of its frames.
 * @v1: the frames' numbers, which get the errors of version 1; NULL for version 2.
 * @next: the frame with which the next step begins.
 * @reported: the frame whose error comes next.
 * @paged: a frame was paged out.
 */
struct batch_request {
	struct privcmd_insert insert;
	const struct privcmd_mmapbatch_v2 *batch;
	const xen_pfn_t __user *frames;
	xen_pfn_t __user *v1;
	unsigned int next;
	unsigned int reported;
	bool paged;
};

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

static unsigned long pages_of(const struct privcmd_mmapbatch_v2 *batch)
{
	return DIV_ROUND_UP((unsigned long)batch->num, XEN_PFN_PER_PAGE);
}

/* The first batch has to fill the mapping; a later one fills holes that were left. */
static bool batch_fits(const struct privcmd_insert *insert, const struct vm_area_struct *vma)
{
	const struct batch_request *req = container_of(insert, struct batch_request, insert);
	unsigned long nr = pages_of(req->batch);

	if (!privcmd_mapping_empty(vma))
		return nr <= privcmd_vma_room(vma, req->batch->addr);

	return req->batch->addr == vma->vm_start && nr == privcmd_vma_room(vma, vma->vm_start);
}

static int batch_report_v1(xen_pfn_t __user *user, int err)
{
	xen_pfn_t frame;

	if (get_user(frame, user))
		return -EFAULT;

	frame |= err == -ENOENT ? PRIVCMD_MMAPBATCH_PAGED_ERROR : PRIVCMD_MMAPBATCH_MFN_ERROR;
	return put_user(frame, user);
}

/* Tells the caller which frames of the last step failed. */
static int batch_report(struct batch_request *req)
{
	const int *errors = req->insert.errors;
	unsigned int i;
	int err = 0;

	for (i = req->reported; !err && i < req->next; i++, errors++) {
		if (!*errors)
			continue;

		req->paged |= *errors == -ENOENT;
		err = req->v1 ? batch_report_v1(req->v1 + i, *errors) :
				put_user(*errors, req->batch->err + i);
	}

	req->reported = req->next;
	return err;
}

static int batch_next(struct privcmd_insert *insert)
{
	struct batch_request *req = container_of(insert, struct batch_request, insert);
	unsigned int nr = min_t(unsigned int, STEP, req->batch->num - req->next);
	int err;

	err = batch_report(req);
	if (err)
		return err;

	if (copy_from_user(insert->frames, req->frames + req->next, nr * sizeof(*req->frames)))
		return -EFAULT;

	req->next += nr;
	insert->last = req->next == req->batch->num;
	return nr;
}

/* A large mapping that one request has filled ends faster. */
static void batch_end(const struct privcmd_insert *insert, struct vm_area_struct *vma)
{
	struct privcmd_mapping *mapping;
	struct mmu_interval_notifier *unmapper;

	if (!insert->first || xen_feature(XENFEAT_auto_translated_physmap))
		return;

	unmapper = privcmd_unmapper_create(vma);
	if (!unmapper)
		return;

	mapping = privcmd_mapping_own(vma, true);
	if (IS_ERR(mapping))
		privcmd_unmapper_destroy(unmapper);
	else
		mapping->unmapper = unmapper;
}

/*
 * What a caller may count on even if the request fails for the mapping's sake: an
 * array that cannot be read comes first, and the errors of version 2 are cleared.
 */
static int check_arrays(const struct batch_request *req)
{
	const struct privcmd_mmapbatch_v2 *batch = req->batch;
	int err;

	err = privcmd_array_check(req->frames, array_size(batch->num, sizeof(*req->frames)));
	if (err || req->v1)
		return err;

	return privcmd_array_clear(batch->err, array_size(batch->num, sizeof(*batch->err)));
}

static long batch_map_frames(struct batch_request *req, xen_pfn_t *frames)
{
	int err;

	err = check_arrays(req);
	if (err)
		return err;

	req->insert.frames = frames;
	req->insert.errors = (int *)frames;
	err = privcmd_insert(&req->insert) ?: batch_report(req);
	if (err)
		return err;

	return req->paged ? -ENOENT : 0;
}

static long map_batch(const struct privcmd_mmapbatch_v2 *batch, xen_pfn_t __user *v1,
		      bool read_only)
{
	struct batch_request req = {
		.insert = {
			.dom = batch->dom,
			.may_fail = true,
			.addr = batch->addr & PAGE_MASK,
			.fits = batch_fits,
			.next = batch_next,
			.end = batch_end,
			.read_only = read_only,
		},
		.batch = batch,
		.frames = batch->arr,
		.v1 = v1,
	};
	xen_pfn_t few[FEW];

	if (!batch->num)
		return -EINVAL;

	/* Its frames are no memory; Xen for Arm does not survive the question. */
	if (batch->dom == DOMID_IO && xen_feature(XENFEAT_auto_translated_physmap))
		return -EINVAL;

	if (batch->num <= FEW)
		return batch_map_frames(&req, few);

	xen_pfn_t *frames __free(kfree) = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!frames)
		return -ENOMEM;

	return batch_map_frames(&req, frames);
}

static long map_batch_v1(const struct privcmd_mmapbatch *v1, bool read_only)
{
	const struct privcmd_mmapbatch_v2 req = {
		.num = v1->num,
		.dom = v1->dom,
		.addr = v1->addr,
		.arr = v1->arr,
	};

	return map_batch(&req, v1->arr, read_only);
}

/**
 * privcmd_mmapbatch() - MMAPBATCH: single frames; errors in their numbers.
 * @priv: the file.
 * @arg: the domain, which has been checked, the address and the frames.
 *
 * Return: as privcmd_mmapbatch_v2().
 */
long privcmd_mmapbatch(struct privcmd_file *priv, union privcmd_arg *arg)
{
	return map_batch_v1(&arg->mmapbatch, false);
}

/**
 * privcmd_mmapbatch_limited() - MMAPBATCH, on a file with limits.
 * @priv: the file.
 * @arg: the domain, which has been checked, the address and the frames.
 * @limit: what the file has left.
 *
 * Return: as privcmd_mmapbatch_v2_limited().
 */
long privcmd_mmapbatch_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			       const struct privcmd_limit *limit)
{
	return map_batch_v1(&arg->mmapbatch, limit->flags & PRIVCMD_LIMIT_READ_ONLY);
}

/**
 * privcmd_mmapbatch_v2() - MMAPBATCH_V2: single frames, each with its error.
 * @priv: the file.
 * @arg: the domain, which has been checked, the address, the frames and errors.
 *
 * Return: 0, also if frames could not be mapped, which their errors tell;
 * -ENOENT if one was paged out; -EINVAL if the frames do not fill an empty
 * mapping, or a hole of a used one; -EBUSY; -EFAULT; -ENOMEM; -EINTR.  Of these
 * others nothing is mapped; but after an -EFAULT all may be, if it was met where the
 * last errors were written.
 */
long privcmd_mmapbatch_v2(struct privcmd_file *priv, union privcmd_arg *arg)
{
	return map_batch(&arg->mmapbatch_v2, NULL, false);
}

/**
 * privcmd_mmapbatch_v2_limited() - MMAPBATCH_V2, on a file with limits.
 * @priv: the file.
 * @arg: the domain, which has been checked, the address, the frames and errors.
 * @limit: what the file has left.
 *
 * Return: as privcmd_mmapbatch_v2(); -EPERM if the file maps for reading only and the
 * mapping can be written.
 */
long privcmd_mmapbatch_v2_limited(struct privcmd_file *priv, union privcmd_arg *arg,
				  const struct privcmd_limit *limit)
{
	return map_batch(&arg->mmapbatch_v2, NULL, limit->flags & PRIVCMD_LIMIT_READ_ONLY);
}
