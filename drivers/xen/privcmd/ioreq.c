// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own mapping of an ioreq server's pages.
 *
 * What a process maps goes when the process likes.  The kernel therefore maps
 * the pages once more for itself, in place of borrowed pages of its own, which
 * keep their kernel address.
 */

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <xen/features.h>
#include <xen/interface/xen.h>
#include <xen/interface/hvm/ioreq.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen-ops.h>
#include <xen/xen.h>

#include <asm/xen/hypercall.h>

#include "../foreign-frame.h"
#include "mapping.h"
#include "privcmd_private.h"

#define SLOTS_PER_FRAME	(XEN_PAGE_SIZE / sizeof(struct ioreq))
#define SLOTS_PER_PAGE	(PAGE_SIZE / sizeof(struct ioreq))

/**
 * struct privcmd_ioreqs - An ioreq server's pages, mapped.
 * @nr: number of pages.
 * @pages: the borrowed pages in whose place they are.
 */
struct privcmd_ioreqs {
	unsigned int nr;
	struct page *pages[];
};

static void ioreq_unmap(struct privcmd_ioreqs *ioreqs)
{
	bool empty = true;
	unsigned int i;

	if (xen_pv_domain())
		for (i = 0; i < ioreqs->nr; i++)
			empty &= !xen_foreign_frame_remove(ioreqs->pages[i]);
	else
		empty = privcmd_xlate_empty(ioreqs->pages, ioreqs->nr);

	/* A page that still shows a foreign frame must not be used again. */
	if (!WARN_ON_ONCE(!empty))
		xen_free_unpopulated_pages(ioreqs->nr, ioreqs->pages);
}

static int ioreq_map(struct privcmd_ioreqs *ioreqs, const struct privcmd_ioreq_server *server,
		     xen_pfn_t *frames, unsigned int nr_frames)
{
	struct xen_mem_acquire_resource resource = {
		.domid = server->dom,
		.type = XENMEM_resource_ioreq_server,
		.id = server->id,
		.frame = XENMEM_resource_ioreq_server_frame_ioreq(0),
		.nr_frames = nr_frames,
	};
	domid_t owner = server->dom;
	unsigned int i;
	int err;

	set_xen_guest_handle(resource.frame_list, frames);
	for (i = 0; !xen_pv_domain() && i < nr_frames; i++)
		frames[i] = privcmd_xlate_gfn(ioreqs->pages, i);

	err = HYPERVISOR_memory_op(XENMEM_acquire_resource, &resource);
	if (err || !xen_pv_domain())
		return err;

	if (resource.flags & XENMEM_rsrc_acq_caller_owned)
		owner = DOMID_SELF;
	for (i = 0; !err && i < ioreqs->nr; i++)
		err = xen_foreign_frame_enter(ioreqs->pages[i], frames[i], owner, PAGE_KERNEL);
	return err;
}

/**
 * privcmd_ioreqs_map() - Map an ioreq server's pages for the kernel.
 * @server: the server.
 * @vcpus: how many vCPUs have a slot.
 *
 * Return: the pages; as an error pointer: -EINVAL if the server has fewer, -ENOMEM,
 * or the hypervisor's error.
 */
struct privcmd_ioreqs *privcmd_ioreqs_map(const struct privcmd_ioreq_server *server,
					  unsigned int vcpus)
{
	unsigned int nr_frames = DIV_ROUND_UP(vcpus, SLOTS_PER_FRAME);
	unsigned int nr = DIV_ROUND_UP(nr_frames, XEN_PFN_PER_PAGE);
	struct privcmd_ioreqs *ioreqs __free(kfree) = NULL;
	int err;

	if (server->nr_frames < nr_frames)
		return ERR_PTR(-EINVAL);

	xen_pfn_t *frames __free(kfree) = kcalloc(nr_frames, sizeof(*frames), GFP_KERNEL_ACCOUNT);
	ioreqs = kzalloc(struct_size(ioreqs, pages, nr), GFP_KERNEL_ACCOUNT);
	if (!frames || !ioreqs)
		return ERR_PTR(-ENOMEM);

	ioreqs->nr = nr;
	if (xen_alloc_unpopulated_pages(nr, ioreqs->pages))
		return ERR_PTR(-ENOMEM);

	err = ioreq_map(ioreqs, server, frames, nr_frames);
	if (err) {
		ioreq_unmap(ioreqs);
		return ERR_PTR(err);
	}

	return no_free_ptr(ioreqs);
}

/**
 * privcmd_ioreqs_unmap() - Undo privcmd_ioreqs_map().
 * @ioreqs: the pages.
 */
void privcmd_ioreqs_unmap(struct privcmd_ioreqs *ioreqs)
{
	ioreq_unmap(ioreqs);
	kfree(ioreqs);
}

/**
 * privcmd_ioreqs_slot() - The slot of a vCPU, which others write to.
 * @ioreqs: the pages.
 * @vcpu: the vCPU, one of those that have a slot.
 *
 * Return: the slot.
 */
struct ioreq *privcmd_ioreqs_slot(const struct privcmd_ioreqs *ioreqs, unsigned int vcpu)
{
	struct ioreq *slots = page_address(ioreqs->pages[vcpu / SLOTS_PER_PAGE]);

	return slots + vcpu % SLOTS_PER_PAGE;
}
