// SPDX-License-Identifier: GPL-2.0-only
/*
 * The owner of what a privcmd mapping shows.
 *
 * A mapping that nothing was ever mapped into has no owner.  The owners of the
 * mappings of a PV caller are all one, which has nothing to give back, but for
 * those that are filled in several steps, are large or show an ioreq server.
 */

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <xen/features.h>
#include <xen/page.h>

#include "mapping.h"
#include "privcmd_private.h"

/*
 * Of ioreq servers, in all mappings of a restricted file.  Xen takes such a frame from
 * the host's memory without a look at the domain's limit, and keeps it as long as it is
 * mapped, also when its server is gone and the file has made another one.
 */
#define MAX_IOREQ_FRAMES 64

static struct privcmd_mapping shared_owner;

static struct privcmd_mapping *owner_of(const struct vm_area_struct *vma)
{
	return vma->vm_private_data;
}

static struct privcmd_mapping *owner_alloc(void)
{
	static atomic64_t last = ATOMIC64_INIT(0);
	struct privcmd_mapping *mapping;

	mapping = kzalloc_obj(*mapping, GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return NULL;

	xa_init_flags(&mapping->chunks, XA_FLAGS_ACCOUNT);
	mapping->number = atomic64_inc_return(&last);
	return mapping;
}

/**
 * privcmd_mapping_empty() - Has the mapping no owner?
 * @vma: the mapping.
 */
bool privcmd_mapping_empty(const struct vm_area_struct *vma)
{
	return !vma->vm_private_data;
}

/**
 * privcmd_mapping_own() - Give a mapping an owner.
 * @vma: the mapping.
 * @alone: whether it must be one that no other mapping has.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: the owner; as an error pointer, -EBUSY if a request that takes several
 * steps is filling the mapping, or -ENOMEM.
 */
struct privcmd_mapping *privcmd_mapping_own(struct vm_area_struct *vma, bool alone)
{
	struct privcmd_mapping *mapping = owner_of(vma);

	if (mapping && mapping->busy)
		return ERR_PTR(-EBUSY);
	if (mapping && (!alone || mapping != &shared_owner))
		return mapping;

	mapping = &shared_owner;
	if (alone || xen_feature(XENFEAT_auto_translated_physmap))
		mapping = owner_alloc();
	if (!mapping)
		return ERR_PTR(-ENOMEM);

	vma->vm_private_data = mapping;
	return mapping;
}

/**
 * privcmd_mapping_of() - The owner of a mapping that has one.
 * @vma: the mapping.
 *
 * Context: The caller holds the mmap lock.
 */
struct privcmd_mapping *privcmd_mapping_of(const struct vm_area_struct *vma)
{
	return owner_of(vma);
}

/**
 * privcmd_mapping_count() - Count frames of an ioreq server that a mapping is to show.
 * @vma: the mapping, whose owner no other mapping has.
 * @nr: number of frames.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0; -ENOSPC if they are too many for the mapping's file, which is restricted.
 */
int privcmd_mapping_count(struct vm_area_struct *vma, unsigned int nr)
{
	struct privcmd_file *priv = privcmd_file_of(vma);
	long all = atomic_long_add_return(nr, &priv->nr_ioreq_frames);

	owner_of(vma)->nr_ioreq_frames += nr;
	if (all <= MAX_IOREQ_FRAMES || !privcmd_restricted(priv))
		return 0;

	privcmd_mapping_uncount(vma, nr);
	return -ENOSPC;
}

/**
 * privcmd_mapping_uncount() - Undo privcmd_mapping_count().
 * @vma: the mapping.
 * @nr: number of frames.
 *
 * Context: The caller holds the mmap lock for writing, or the mapping has ended.
 */
void privcmd_mapping_uncount(struct vm_area_struct *vma, unsigned long nr)
{
	owner_of(vma)->nr_ioreq_frames -= nr;
	atomic_long_sub(nr, &privcmd_file_of(vma)->nr_ioreq_frames);
}

/**
 * privcmd_mapping_destroy() - Take away a mapping's owner and what it holds.
 * @vma: the mapping, whose page table entries are gone.
 *
 * Context: Nobody else finds the mapping: the caller holds the mmap lock for writing,
 * or the mapping has ended.
 */
void privcmd_mapping_destroy(struct vm_area_struct *vma)
{
	struct privcmd_mapping *mapping = owner_of(vma);

	if (!mapping || mapping == &shared_owner) {
		vma->vm_private_data = NULL;
		return;
	}

	privcmd_mapping_uncount(vma, mapping->nr_ioreq_frames);
	vma->vm_private_data = NULL;
	privcmd_xlate_release(vma, mapping);
	privcmd_unmapper_destroy(mapping->unmapper);
	kfree(mapping);
}

/**
 * privcmd_mapping_get_server() - Which ioreq server does a mapping show?
 * @addr: the start of the mapping, in the caller's memory.
 * @server: gets the server.
 *
 * Return: 0; -EINVAL if no mapping of this driver starts there, or if it shows
 * something else.
 */
int privcmd_mapping_get_server(unsigned long addr, struct privcmd_ioreq_server *server)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int err = -EINVAL;

	mmap_read_lock(mm);
	vma = privcmd_vma_lookup(addr, 0);
	if (vma && vma->vm_start == addr && !privcmd_mapping_empty(vma)) {
		*server = owner_of(vma)->server;
		err = server->nr_frames ? 0 : -EINVAL;
	}
	mmap_read_unlock(mm);

	return err;
}
