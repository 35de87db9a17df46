// SPDX-License-Identifier: GPL-2.0-only
/* MMAP_RESOURCE: a resource of another domain, such as its ioreq server pages. */

#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <xen/interface/xen.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

/* So many frames are kept on the stack. */
#define FEW 32

static int acquire(struct xen_mem_acquire_resource *resource)
{
	int ret;

	xen_preemptible_hcall_begin();
	ret = HYPERVISOR_memory_op(XENMEM_acquire_resource, resource);
	xen_preemptible_hcall_end();

	return ret;
}

/* The hypervisor tells on PV which frames to map. */
static int map_acquired(const struct xen_mem_acquire_resource *resource,
			struct vm_area_struct *vma, unsigned long addr, xen_pfn_t *frames)
{
	unsigned int domid = resource->flags & XENMEM_rsrc_acq_caller_owned ?
			     DOMID_SELF : resource->domid;
	unsigned int i, nr = resource->nr_frames;
	int *errors = (int *)frames;
	int mapped;

	mapped = xen_remap_domain_mfn_array(vma, addr, frames, nr, errors,
					    vma->vm_page_prot, domid);
	if (mapped < 0)
		return mapped;

	for (i = 0; mapped < nr && i < nr; i++)
		if (errors[i])
			return errors[i];

	return 0;
}

/* IOEVENTFD wants to know whose slots the caller maps. */
static bool shows_slots(const struct xen_mem_acquire_resource *resource,
			const struct vm_area_struct *vma, unsigned long addr)
{
	return IS_ENABLED(CONFIG_XEN_PRIVCMD_EVENTFD) && addr == vma->vm_start &&
	       resource->type == XENMEM_resource_ioreq_server &&
	       resource->frame == XENMEM_resource_ioreq_server_frame_ioreq(0);
}

static void note_ioreq_server(const struct xen_mem_acquire_resource *resource,
			      struct vm_area_struct *vma)
{
	const struct privcmd_ioreq_server server = {
		.dom = resource->domid,
		.id = resource->id,
		.nr_frames = resource->nr_frames,
	};

	privcmd_mapping_set_server(vma, &server);
}

static int map_resource(struct xen_mem_acquire_resource *resource, u64 user_addr,
			xen_pfn_t *frames)
{
	unsigned int nr_pages = DIV_ROUND_UP(resource->nr_frames, XEN_PFN_PER_PAGE);
	unsigned long addr = user_addr & PAGE_MASK;
	struct vm_area_struct *vma;
	struct page **pages;
	bool slots;
	int ret;

	vma = privcmd_mapping_lookup(addr, nr_pages);
	if (!vma)
		return -EINVAL;

	ret = privcmd_mapping_claim(vma, addr, nr_pages);
	if (ret)
		return ret;

	slots = shows_slots(resource, vma, addr);
	if (slots) {
		ret = privcmd_mapping_own(vma);
		if (ret)
			return ret;
	}

	pages = privcmd_mapping_pages(vma, addr);
	if (pages)
		privcmd_mapping_places(pages, frames, resource->nr_frames);

	ret = acquire(resource);
	if (ret)
		return ret;

	ret = pages ? privcmd_mapping_show(vma, addr, nr_pages) :
		      map_acquired(resource, vma, addr, frames);
	if (!ret && slots)
		note_ioreq_server(resource, vma);
	return ret;
}

/**
 * privcmd_mmap_resource() - MMAP_RESOURCE: map a resource, or ask for its size.
 * @file: the file.
 * @arg: the domain, which has been checked, the resource and the place; gets
 *	the size.
 *
 * Return: PRIVCMD_DONE if it was mapped, 0 if the size was asked for;
 * -EINVAL if only one of address and number of frames is given, the frames do
 * not lie in a mapping, or something is mapped there; -ENOMEM; or the
 * hypervisor's error.
 */
long privcmd_mmap_resource(struct privcmd_file *file, union privcmd_arg *arg)
{
	struct privcmd_mmap_resource *req = &arg->mmap_resource;
	struct xen_mem_acquire_resource resource = {
		.domid = req->dom,
		.type = req->type,
		.id = req->id,
	};
	xen_pfn_t few[FEW] = {}, *frames = few;
	struct mm_struct *mm = current->mm;
	bool fits;
	int ret;

	if (!req->addr != !req->num)
		return -EINVAL;

	if (!req->num) {
		ret = acquire(&resource);
		req->num = resource.nr_frames;
		return ret;
	}

	if (req->num > U32_MAX)
		return -EINVAL;

	xen_pfn_t *many __free(kvfree) = NULL;
	if (req->num > FEW) {
		/* What the kernel holds for a request is bounded by its mapping. */
		mmap_read_lock(mm);
		fits = privcmd_mapping_lookup(req->addr & PAGE_MASK,
					      DIV_ROUND_UP_ULL(req->num, XEN_PFN_PER_PAGE));
		mmap_read_unlock(mm);
		if (!fits)
			return -EINVAL;

		many = kvcalloc(req->num, sizeof(*many), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!many)
			return -ENOMEM;
		frames = many;
	}

	resource.frame = req->idx;
	resource.nr_frames = req->num;
	set_xen_guest_handle(resource.frame_list, frames);

	mmap_write_lock(mm);
	ret = map_resource(&resource, req->addr, frames);
	mmap_write_unlock(mm);

	return ret ?: PRIVCMD_DONE;
}
