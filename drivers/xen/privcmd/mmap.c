// SPDX-License-Identifier: GPL-2.0-only
/* MMAP: runs of frames of another domain, from the start of a mapping on. */

#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include <xen/features.h>
#include <xen/interface/xen.h>

#include "mapping.h"
#include "privcmd_private.h"

/* Frames of one step, and runs that are copied at a time; they are on the stack. */
#define STEP 64
#define RUNS 16

/**
 * struct mmap_request - A request that is being done.
 * @insert: what goes into the mapping.
 * @user: the runs that were not copied yet.
 * @nr_left: their number.
 * @runs: those that were copied.
 * @run: the one that is next, in @runs.
 * @nr_runs: number of entries in @runs.
 * @va: where the next run has to go.
 * @end: the end of the mapping.
 */
struct mmap_request {
	struct privcmd_insert insert;
	const struct privcmd_mmap_entry __user *user;
	unsigned int nr_left;
	struct privcmd_mmap_entry runs[RUNS];
	unsigned int run;
	unsigned int nr_runs;
	u64 va;
	u64 end;
};

/**
 * privcmd_mmap_available() - Does this kernel's way of memory know MMAP?
 *
 * Return: 0; -ENOSYS if the kernel is auto-translated.
 */
int privcmd_mmap_available(void)
{
	return xen_feature(XENFEAT_auto_translated_physmap) ? -ENOSYS : 0;
}

/* Nothing was mapped into it yet, and what is mapped begins at its start. */
static bool mmap_fits(const struct privcmd_insert *insert, const struct vm_area_struct *vma)
{
	return vma->vm_start == insert->addr && privcmd_mapping_empty(vma);
}

/* Has a run that frames are left of.  Runs without any cost no more than the copy. */
static int mmap_get_run(struct mmap_request *req)
{
	if (req->run < req->nr_runs)
		return 0;

	if (fatal_signal_pending(current))
		return -EINTR;
	cond_resched();

	req->nr_runs = min_t(unsigned int, RUNS, req->nr_left);
	if (copy_from_user(req->runs, req->user, req->nr_runs * sizeof(*req->runs)))
		return -EFAULT;

	req->user += req->nr_runs;
	req->nr_left -= req->nr_runs;
	req->run = 0;
	return 0;
}

/* Adds frames of a run to the step; a run that is used up is left behind. */
static int take_frames(struct mmap_request *req, unsigned int *nr)
{
	struct privcmd_mmap_entry *run = &req->runs[req->run];

	if (run->va != req->va || run->npages > (req->end - req->va) >> PAGE_SHIFT)
		return -EINVAL;

	for (; run->npages && *nr < STEP; run->npages--) {
		req->insert.frames[(*nr)++] = run->mfn++;
		run->va += PAGE_SIZE;
		req->va += PAGE_SIZE;
	}

	if (!run->npages)
		req->run++;
	return 0;
}

static int mmap_next(struct privcmd_insert *insert)
{
	struct mmap_request *req = container_of(insert, struct mmap_request, insert);
	unsigned int nr = 0;
	int err;

	while (nr < STEP && !insert->last) {
		err = mmap_get_run(req) ?: take_frames(req, &nr);
		if (err)
			return err;

		insert->last = req->run == req->nr_runs && !req->nr_left;
	}

	return nr;
}

static long map_runs(const struct privcmd_mmap *mmap, bool read_only)
{
	unsigned int num = mmap->num;
	struct mm_struct *mm = current->mm;
	struct privcmd_mmap_entry entry;
	struct vm_area_struct *vma;
	xen_pfn_t frames[STEP];
	struct mmap_request req = {
		.insert = {
			.dom = mmap->dom,
			.frames = frames,
			.errors = (int *)frames,
			.fits = mmap_fits,
			.next = mmap_next,
			.read_only = read_only,
		},
		.user = mmap->entry,
		.nr_left = num,
	};
	int err;

	if (!num)
		return 0;

	if (copy_from_user(&entry, mmap->entry, sizeof(entry)))
		return -EFAULT;

	/* Runs without a page are legal, but a mapping bounds how many. */
	mmap_read_lock(mm);
	vma = privcmd_vma_lookup(entry.va, num);
	if (vma)
		req.end = vma->vm_end;
	mmap_read_unlock(mm);

	err = privcmd_array_check(mmap->entry, array_size(num, sizeof(entry)));
	if (err)
		return err;
	if (!vma)
		return -EINVAL;

	req.insert.addr = entry.va;
	req.va = entry.va;
	return privcmd_insert(&req.insert);
}

/**
 * privcmd_mmap_entries() - MMAP: runs of frames, from the start of a mapping on.
 * @priv: the file.
 * @arg: the domain, which has been checked, and the runs.
 *
 * Return: 0; -ENOSYS; -EINVAL if the runs do not go into an empty mapping, from its start
 * on without a gap, or are more than it has pages; -EBUSY; -EFAULT; -ENOMEM; -EINTR;
 * or the hypervisor's error for the first frame that it refused: nothing is mapped
 * then.
 */
long privcmd_mmap_entries(struct privcmd_file *priv, union privcmd_arg *arg)
{
	return privcmd_mmap_available() ?: map_runs(&arg->mmap, false);
}

/**
 * privcmd_mmap_entries_limited() - MMAP, on a file with limits.
 * @priv: the file.
 * @arg: the domain, which has been checked, and the runs.
 * @limit: what the file has left.
 *
 * Return: as privcmd_mmap_entries(); -EPERM if the file maps for reading only and the
 * mapping can be written.
 */
long privcmd_mmap_entries_limited(struct privcmd_file *priv, union privcmd_arg *arg,
				  const struct privcmd_limit *limit)
{
	return map_runs(&arg->mmap, limit->flags & PRIVCMD_LIMIT_READ_ONLY);
}
