// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a privcmd mapping is: an area of the caller's memory that shows frames
 * of other domains.
 *
 * On a PV caller the hypervisor enters a foreign frame straight into the page
 * tables.  An auto-translated caller needs a page of its own for each: the
 * balloon driver lends one without memory behind it, whose place in the guest's
 * physical address space the foreign frame takes.  A privcmd mapping therefore
 * owns the borrowed pages, and is never copied, split or moved.
 */

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <xen/features.h>
#include <xen/page.h>
#include <xen/xen-ops.h>
#include <xen/xen.h>

#include <asm/xen/hypervisor.h>

#include "privcmd_private.h"

/**
 * struct privcmd_mapping - Owner of what a mapping shows.
 * @server: the ioreq server whose frames are mapped from the start on; without
 *	frames if there is none.
 * @nr: number of entries in @pages.
 * @pages: the borrowed pages of an auto-translated caller, by their place in
 *	the mapping; NULL where none is borrowed.  None at all on PV.
 * @unmapper: has a large mapping of a PV caller end faster, or NULL.
 *
 * A mapping that nothing was ever mapped into has no owner yet.
 */
struct privcmd_mapping {
	struct privcmd_ioreq_server server;
	unsigned long nr;
	struct page **pages;
	struct mmu_interval_notifier *unmapper;
};

/* To give a page back takes the kernel a hypercall, and it does not reschedule. */
#define RETURNED_AT_ONCE 512UL

/*
 * The owner of every mapping of a PV caller, which has nothing to give back, but
 * for those that are large or show an ioreq server.
 */
static struct privcmd_mapping borrows_nothing;

/*
 * The place in the file of every mapping.  It means nothing for this device;
 * that no mmap() may ask for it tells the kernel's search for a new address
 * that it is for mremap().
 */
#define MAPPING_PGOFF (ULONG_MAX >> (PAGE_SHIFT + 1))

static unsigned long index_of(const struct vm_area_struct *vma, unsigned long addr)
{
	return (addr - vma->vm_start) >> PAGE_SHIFT;
}

static void return_pages(struct vm_area_struct *vma, struct page **pages, unsigned int nr)
{
	int err = xen_unmap_domain_gfn_range(vma, nr * XEN_PFN_PER_PAGE, pages);

	/* A page that still shows a foreign frame must not be used again. */
	if (!WARN_ON_ONCE(err))
		xen_free_unpopulated_pages(nr, pages);
}

static void privcmd_vma_close(struct vm_area_struct *vma)
{
	struct privcmd_mapping *mapping = vma->vm_private_data;
	unsigned long first, end;

	if (!mapping || mapping == &borrows_nothing)
		return;

	for (first = 0; first < mapping->nr; first = end) {
		end = first + 1;
		if (!mapping->pages[first])
			continue;

		while (end < mapping->nr && end - first < RETURNED_AT_ONCE && mapping->pages[end])
			end++;

		return_pages(vma, mapping->pages + first, end - first);
		cond_resched();
	}

	privcmd_unmapper_destroy(mapping->unmapper);
	kvfree(mapping->pages);
	kfree(mapping);
}

static int privcmd_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

/*
 * The hypervisor lets a PV kernel remove a foreign frame's page table entry but
 * not change it, which the kernel would take for a bug of its own.
 */
static int privcmd_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
				unsigned long end, unsigned long flags)
{
	bool fixed = xen_pv_domain() && !privcmd_mapping_empty(vma);

	return fixed && flags != vma->vm_flags ? -EINVAL : 0;
}

/* Everything is mapped when it is asked for; what is not, is not there. */
static vm_fault_t privcmd_vma_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct privcmd_vm_ops = {
	.close = privcmd_vma_close,
	.may_split = privcmd_vma_may_split,
	.mprotect = privcmd_vma_mprotect,
	.fault = privcmd_vma_fault,
};

/**
 * privcmd_mmap() - Set up an empty mapping.
 * @file: the file.
 * @vma: the mapping.
 *
 * Return: 0.
 */
int privcmd_mmap(struct file *file, struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &privcmd_vm_ops;
	vma->vm_private_data = NULL;
	vma->vm_pgoff = MAPPING_PGOFF;
	return 0;
}

/**
 * privcmd_get_unmapped_area() - Find the place for a new mapping.
 * @file: the file.
 * @addr: where the caller would like it.
 * @len: its length in bytes.
 * @pgoff: its place in the file, in pages.
 * @flags: as for mmap().
 *
 * This is where mremap() can be refused before it touches the page tables, which
 * a PV kernel could not move (see privcmd_vma_mprotect()).
 *
 * Return: the address; -EINVAL for mremap().
 */
unsigned long privcmd_get_unmapped_area(struct file *file, unsigned long addr,
					unsigned long len, unsigned long pgoff,
					unsigned long flags)
{
	if (pgoff == MAPPING_PGOFF)
		return -EINVAL;

	return mm_get_unmapped_area(file, addr, len, pgoff, flags);
}

/**
 * privcmd_mapping_lookup() - Find the mapping that a request is for.
 * @addr: where the request wants to map.
 * @nr: how many pages.
 *
 * Context: The caller holds the mmap lock.
 * Return: the mapping; NULL if the pages are not all within one mapping of this
 * driver.
 */
struct vm_area_struct *privcmd_mapping_lookup(unsigned long addr, u64 nr)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, addr);

	if (!vma || vma->vm_ops != &privcmd_vm_ops)
		return NULL;

	return nr <= (vma->vm_end - addr) >> PAGE_SHIFT ? vma : NULL;
}

/**
 * privcmd_mapping_empty() - Was nothing ever mapped into the mapping?
 * @vma: the mapping.
 */
bool privcmd_mapping_empty(const struct vm_area_struct *vma)
{
	return !vma->vm_private_data;
}

static int pte_is_free(pte_t *pte, unsigned long addr, void *data)
{
	return pte_none(ptep_get(pte)) ? 0 : -EINVAL;
}

static struct privcmd_mapping *pv_mapping_create(struct vm_area_struct *vma, unsigned long nr)
{
	struct mmu_interval_notifier *unmapper = NULL;
	struct privcmd_mapping *mapping;

	/* One that is hardly used may be larger than all memory for its page tables. */
	if (nr == vma_pages(vma))
		unmapper = privcmd_unmapper_create(vma);
	if (!unmapper)
		return &borrows_nothing;

	mapping = kzalloc_obj(*mapping, GFP_KERNEL_ACCOUNT);
	if (!mapping) {
		privcmd_unmapper_destroy(unmapper);
		return &borrows_nothing;
	}

	mapping->unmapper = unmapper;
	return mapping;
}

/* For a request for so many pages. */
static struct privcmd_mapping *mapping_create(struct vm_area_struct *vma, unsigned long nr)
{
	struct privcmd_mapping *mapping;

	if (!xen_feature(XENFEAT_auto_translated_physmap))
		return pv_mapping_create(vma, nr);

	mapping = kzalloc_obj(*mapping, GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return NULL;

	/* Not behind the rest: many mappings have a power of two of pages. */
	mapping->nr = vma_pages(vma);
	mapping->pages = kvcalloc(mapping->nr, sizeof(*mapping->pages),
				  GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!mapping->pages) {
		kfree(mapping);
		return NULL;
	}

	return mapping;
}

/*
 * Borrow the pages of a range that lack one.  A hole that is filled later, in a
 * second try, has its pages already.
 */
static int borrow_pages(struct privcmd_mapping *mapping, unsigned long first, unsigned long nr)
{
	unsigned long i, end;
	int err;

	for (i = first; i < first + nr; i = end) {
		end = i + 1;
		if (mapping->pages[i])
			continue;

		while (end < first + nr && !mapping->pages[end])
			end++;

		err = xen_alloc_unpopulated_pages(end - i, mapping->pages + i);
		if (err) {
			memset(mapping->pages + i, 0, (end - i) * sizeof(*mapping->pages));
			return -ENOMEM;
		}
	}

	return 0;
}

/**
 * privcmd_mapping_populate() - Set up page tables for pages of a mapping.
 * @vma: the mapping.
 * @addr: the first page.
 * @nr: number of pages, all of which lie in the mapping; 1 or more.
 *
 * Frames can be entered then without allocating more.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0 or -ENOMEM.
 */
int privcmd_mapping_populate(struct vm_area_struct *vma, unsigned long addr, unsigned long nr)
{
	return apply_to_page_range(vma->vm_mm, addr & PAGE_MASK, nr << PAGE_SHIFT, NULL, NULL);
}

/**
 * privcmd_mapping_claim() - Make pages of a mapping ready for foreign frames.
 * @vma: the mapping.
 * @addr: the first page.
 * @nr: number of pages, all of which lie in the mapping; may be 0.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0; -EINVAL if something is mapped there already; -ENOMEM.
 */
int privcmd_mapping_claim(struct vm_area_struct *vma, unsigned long addr, unsigned long nr)
{
	struct privcmd_mapping *mapping = vma->vm_private_data;
	int err = 0;

	if (mapping && nr)
		err = apply_to_page_range(vma->vm_mm, addr & PAGE_MASK, nr << PAGE_SHIFT,
					  pte_is_free, NULL);
	if (err)
		return err;

	if (!mapping) {
		mapping = mapping_create(vma, nr);
		if (!mapping)
			return -ENOMEM;
		vma->vm_private_data = mapping;
	}

	return mapping->nr ? borrow_pages(mapping, index_of(vma, addr), nr) : 0;
}

/**
 * privcmd_mapping_pages() - The borrowed pages from an address on.
 * @vma: the mapping, in which the pages have been claimed.
 * @addr: the first page.
 *
 * Return: the pages; NULL on PV, where none are borrowed.
 */
struct page **privcmd_mapping_pages(const struct vm_area_struct *vma, unsigned long addr)
{
	struct privcmd_mapping *mapping = vma->vm_private_data;

	return mapping->nr ? mapping->pages + index_of(vma, addr) : NULL;
}

/**
 * privcmd_mapping_places() - Where foreign frames go in an auto-translated guest.
 * @pages: the borrowed pages from the first frame's on.
 * @places: gets the frame number of each place, in the caller's own numbers.
 * @nr: number of frames.
 */
void privcmd_mapping_places(struct page **pages, xen_pfn_t *places, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		places[i] = page_to_xen_pfn(pages[i / XEN_PFN_PER_PAGE]) + i % XEN_PFN_PER_PAGE;
}

/**
 * privcmd_mapping_show() - Enter borrowed pages into the page tables.
 * @vma: the mapping, in which the pages have been claimed.
 * @addr: the first page.
 * @nr: number of pages.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0 or a negative errno.
 */
int privcmd_mapping_show(struct vm_area_struct *vma, unsigned long addr, unsigned long nr)
{
	struct privcmd_mapping *mapping = vma->vm_private_data;
	int err;

	/* The helper takes the pages from here. */
	vma->vm_private_data = privcmd_mapping_pages(vma, addr);
	err = xen_remap_vma_range(vma, addr & PAGE_MASK, nr << PAGE_SHIFT);
	vma->vm_private_data = mapping;

	return err;
}

/**
 * privcmd_mapping_own() - Give a mapping an owner that no other mapping has.
 * @vma: the mapping, in which pages have been claimed.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0 or -ENOMEM.
 */
int privcmd_mapping_own(struct vm_area_struct *vma)
{
	struct privcmd_mapping *mapping;

	if (vma->vm_private_data != &borrows_nothing)
		return 0;

	mapping = kzalloc_obj(*mapping, GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return -ENOMEM;

	vma->vm_private_data = mapping;
	return 0;
}

/**
 * privcmd_mapping_set_server() - Note which ioreq server a mapping shows.
 * @vma: the mapping, which has an owner of its own, and from whose start on the
 *	server's frames have been mapped.
 * @server: the server; the mapping's number is set here.
 *
 * Context: The caller holds the mmap lock for writing.
 */
void privcmd_mapping_set_server(struct vm_area_struct *vma,
				const struct privcmd_ioreq_server *server)
{
	static atomic64_t last = ATOMIC64_INIT(0);
	struct privcmd_mapping *mapping = vma->vm_private_data;

	mapping->server = *server;
	mapping->server.mapping = atomic64_inc_return(&last);
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
	vma = privcmd_mapping_lookup(addr, 0);
	if (vma && vma->vm_start == addr && !privcmd_mapping_empty(vma)) {
		const struct privcmd_mapping *mapping = vma->vm_private_data;

		*server = mapping->server;
		err = server->nr_frames ? 0 : -EINVAL;
	}
	mmap_read_unlock(mm);

	return err;
}
