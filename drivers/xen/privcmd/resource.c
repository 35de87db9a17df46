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

#include "mapping.h"
#include "privcmd_private.h"

/* Frames of one step: the pages of their numbers are a multiple of what a page has. */
#define STEP (PAGE_SIZE / sizeof(xen_pfn_t))

/* So many are kept on the stack. */
#define FEW 32

/**
 * struct resource_request - A request that is being done.
 * @insert: what goes into the mapping.
 * @resource: the resource, with the first frame and the number of frames.
 */
struct resource_request {
	struct privcmd_insert insert;
	struct xen_mem_acquire_resource resource;
};

/**
 * privcmd_acquire_resource() - XENMEM_acquire_resource.
 * @resource: the request.
 *
 * Return: 0 or the hypervisor's error; part of it may be done all the same.
 */
int privcmd_acquire_resource(struct xen_mem_acquire_resource *resource)
{
	int ret;

	xen_preemptible_hcall_begin();
	ret = HYPERVISOR_memory_op(XENMEM_acquire_resource, resource);
	xen_preemptible_hcall_end();

	return ret;
}

static bool resource_fits(const struct privcmd_insert *insert, const struct vm_area_struct *vma)
{
	struct resource_request *req = container_of(insert, struct resource_request, insert);

	return DIV_ROUND_UP(req->resource.nr_frames, XEN_PFN_PER_PAGE) <=
	       privcmd_vma_room(vma, insert->addr);
}

static int resource_next(struct privcmd_insert *insert)
{
	struct resource_request *req = container_of(insert, struct resource_request, insert);
	unsigned long left = req->resource.nr_frames - insert->nr_done;

	insert->last = left <= STEP;
	return min(left, STEP);
}

/* IOEVENTFD wants to know whose slots the caller maps. */
static bool shows_slots(const struct xen_mem_acquire_resource *ioreq_server)
{
	return IS_ENABLED(CONFIG_XEN_PRIVCMD_EVENTFD) &&
	       ioreq_server->frame == XENMEM_resource_ioreq_server_frame_ioreq(0);
}

static void note_ioreq_server(const struct privcmd_insert *insert, struct vm_area_struct *vma)
{
	struct privcmd_mapping *mapping = privcmd_mapping_of(vma);

	if (insert->start != vma->vm_start)
		return;

	mapping->server = (struct privcmd_ioreq_server) {
		.dom = insert->dom,
		.id = insert->resource->id,
		.nr_frames = insert->resource->nr_frames,
		.mapping = mapping->number,
	};
}

static long map_resource(struct privcmd_mmap_resource *args, bool read_only)
{
	struct resource_request req = {
		.insert = {
			.dom = args->dom,
			.addr = args->addr & PAGE_MASK,
			.fits = resource_fits,
			.next = resource_next,
			.read_only = read_only,
		},
		.resource = {
			.domid = args->dom,
			.type = args->type,
			.id = args->id,
		},
	};
	xen_pfn_t few[FEW];
	int ret;

	if (!args->addr != !args->num)
		return -EINVAL;

	if (!args->num) {
		ret = privcmd_acquire_resource(&req.resource);
		args->num = req.resource.nr_frames;
		return ret;
	}

	if (args->num > U32_MAX)
		return -EINVAL;

	xen_pfn_t *many __free(kfree) = NULL;
	if (args->num > FEW) {
		many = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
		if (!many)
			return -ENOMEM;
	}

	req.resource.frame = args->idx;
	req.resource.nr_frames = args->num;
	req.insert.resource = &req.resource;
	req.insert.frames = many ?: few;
	req.insert.errors = (int *)req.insert.frames;
	if (args->type == XENMEM_resource_ioreq_server) {
		req.insert.alone = true;
		req.insert.nr_ioreq_frames = args->num;
		if (shows_slots(&req.resource))
			req.insert.end = note_ioreq_server;
	}

	return privcmd_insert(&req.insert) ?: PRIVCMD_DONE;
}

/**
 * privcmd_mmap_resource() - MMAP_RESOURCE: map a resource, or ask for its size.
 * @priv: the file.
 * @arg: the domain, which has been checked, the resource and the address; gets
 *	the size.
 *
 * Return: PRIVCMD_DONE if it was mapped, 0 if the size was asked for;
 * -EINVAL if only one of address and number of frames is given, the frames do
 * not lie in a mapping, or something is mapped there; -EBUSY; -ENOSPC if a restricted
 * file would map more than 64 frames of ioreq servers; -ENOMEM; -EINTR; or the
 * hypervisor's error.  Nothing is mapped then.
 */
long privcmd_mmap_resource(struct privcmd_file *priv, union privcmd_arg *arg)
{
	return map_resource(&arg->mmap_resource, false);
}

/**
 * privcmd_mmap_resource_limited() - MMAP_RESOURCE, on a file with limits.
 * @priv: the file.
 * @arg: the domain, which has been checked, the resource and the address; gets
 *	the size.
 * @limit: what the file has left.
 *
 * Return: as privcmd_mmap_resource(); -EPERM if resources of that type are gone, or if
 * the file maps for reading only and the mapping can be written.
 */
long privcmd_mmap_resource_limited(struct privcmd_file *priv, union privcmd_arg *arg,
				   const struct privcmd_limit *limit)
{
	if (!privcmd_resource_stays(limit, arg->mmap_resource.type))
		return -EPERM;

	return map_resource(&arg->mmap_resource, limit->flags & PRIVCMD_LIMIT_READ_ONLY);
}
