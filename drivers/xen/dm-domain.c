// SPDX-License-Identifier: GPL-2.0-only
/*
 * A domain that the kernel holds.
 *
 * Xen keeps a domain, and does not give its number to another one, as long as
 * somebody maps a page that it made for it.  Every domain has one: the first frame
 * of its grant table.
 */

#include <linux/err.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <xen/balloon.h>
#include <xen/dm-op.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen.h>

#include <asm/xen/hypercall.h>

#include "foreign-frame.h"

/* Xen's word for a hypercall it was built without. */
#define XEN_ENOSYS 38

/**
 * struct xen_dm_domain - A domain that is held.
 * @page: a page of the kernel's own, in whose place the domain's frame is.
 */
struct xen_dm_domain {
	struct page *page;
};

/*
 * A page without memory of its own.  The balloon has some on PV, where the other kind
 * would cost the memory map of a whole section.
 */
static int alloc_gfn(struct xen_dm_domain *domain)
{
	return xen_pv_domain() ? xen_alloc_ballooned_pages(1, &domain->page) :
				 xen_alloc_unpopulated_pages(1, &domain->page);
}

static void free_gfn(struct xen_dm_domain *domain)
{
	if (xen_pv_domain())
		xen_free_ballooned_pages(1, &domain->page);
	else
		xen_free_unpopulated_pages(1, &domain->page);
}

static int acquire_resource(struct xen_mem_acquire_resource *resource)
{
	return HYPERVISOR_memory_op(XENMEM_acquire_resource, resource);
}

static bool xen_has_grant_tables(domid_t domid)
{
	struct xen_mem_acquire_resource size = {
		.domid = domid,
		.type = XENMEM_resource_grant_table,
	};

	return acquire_resource(&size) != -EINVAL;
}

static int enter(struct xen_dm_domain *domain, domid_t domid)
{
	struct xen_mem_acquire_resource resource = {
		.domid = domid,
		.type = XENMEM_resource_grant_table,
		.nr_frames = 1,
	};
	xen_pfn_t frame = page_to_xen_pfn(domain->page);
	int err;

	set_xen_guest_handle(resource.frame_list, &frame);
	err = acquire_resource(&resource);
	/* Of whoever has the number now, or Xen refuses. */
	if (!err && xen_pv_domain())
		err = xen_foreign_frame_enter(domain->page, frame, domid, PAGE_KERNEL_RO);
	if (err == -XEN_ENOSYS || (err == -EINVAL && !xen_has_grant_tables(domid)))
		return -EOPNOTSUPP;

	return err;
}

static int leave(struct xen_dm_domain *domain)
{
	struct xen_remove_from_physmap removal = {
		.domid = DOMID_SELF,
		.gpfn = page_to_xen_pfn(domain->page),
	};
	int err;

	if (xen_pv_domain())
		return xen_foreign_frame_remove(domain->page);

	err = HYPERVISOR_memory_op(XENMEM_remove_from_physmap, &removal);
	/* There was nothing. */
	return err == -ENOENT ? 0 : err;
}

/**
 * xen_dm_domain_get() - Hold a domain, so that its number means no other one.
 * @domid: the domain; this domain needs privilege over it.
 *
 * A domid by itself is a name that Xen uses again: what is asked for it after the
 * domain's death may be answered for the next one.  While a domain is held there is no
 * next one.  When it is destroyed, Xen keeps what is left of it: the domid stays
 * taken, a toolstack that asks for it gets EEXIST, and xen_dm_nr_vcpus() goes on
 * answering for the dead domain.  So holding does not tell that a domain lives; it
 * does not keep it from being destroyed, either.
 *
 * It costs one page of address space, and on PV one page of memory.  Each call takes
 * a hold of its own.  The order that leaves no gap is: hold the domain, then ask
 * XenStore or the frontend whether it is still the one that is meant.
 *
 * Context: Process context. Sleeps.
 * Return: what xen_dm_domain_put() takes; as an error pointer:
 * * -ENODEV: this kernel does not run on Xen;
 * * -ESRCH: there is no such domain, or @domid is DOMID_SELF or reserved;
 * * -EPERM: this domain has no privilege over @domid, or is @domid itself;
 * * -EACCES: an HVM or PVH domU may not before Xen 4.19, or a security module denies it;
 * * -EOPNOTSUPP: Xen has no such frames to map, as on Arm before 4.15;
 * * -ENOMEM: there is no page;
 * * any other: the frame is gone, as the domain is dying, or its guest gave it back.
 */
struct xen_dm_domain *xen_dm_domain_get(domid_t domid)
{
	struct xen_dm_domain *domain;
	int err;

	if (!xen_domain())
		return ERR_PTR(-ENODEV);
	if (domid >= DOMID_FIRST_RESERVED)
		return ERR_PTR(-ESRCH);

	domain = kzalloc(sizeof(*domain), GFP_KERNEL_ACCOUNT);
	if (!domain)
		return ERR_PTR(-ENOMEM);

	err = alloc_gfn(domain);
	if (err) {
		kfree(domain);
		return ERR_PTR(-ENOMEM);
	}

	err = enter(domain, domid);
	if (!err)
		return domain;

	xen_dm_domain_put(domain);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(xen_dm_domain_get);

/**
 * xen_dm_domain_put() - Let go of a domain.
 * @domain: what xen_dm_domain_get() returned.
 *
 * From here on the domid may mean another domain: all that was kept under it must be
 * gone.
 *
 * Context: Process context. Sleeps.
 */
void xen_dm_domain_put(struct xen_dm_domain *domain)
{
	/* A page that still shows a foreign frame must not be used again. */
	if (!WARN_ON_ONCE(leave(domain)))
		free_gfn(domain);
	kfree(domain);
}
EXPORT_SYMBOL_GPL(xen_dm_domain_put);
