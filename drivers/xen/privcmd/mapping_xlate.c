// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of an auto-translated caller (Arm, PVH), whose page tables the hypervisor
 * does not look into.
 *
 * A foreign frame needs a GFN, a number in the caller's physical address space: that of
 * an unpopulated page, which has no memory behind it.  Xen puts the frame there, and
 * the page goes into the page tables.  Only pages all of whose GFNs have a frame do:
 * the kernel itself would die of an access to one without.
 */

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include <xen/features.h>
#include <xen/interface/xen.h>
#include <xen/interface/memory.h>
#include <xen/page.h>
#include <xen/xen-ops.h>
#include <xen/xen.h>

#include <asm/xen/hypercall.h>

#include "mapping.h"
#include "privcmd_private.h"

static unsigned long max_unpopulated_pages = 1UL << 23;
module_param(max_unpopulated_pages, ulong, 0644);
MODULE_PARM_DESC(max_unpopulated_pages,
		 "Maximum number of pages that the mappings of one restricted file hold (auto-translated)");

static unsigned long max_unpopulated_pages_all;
module_param(max_unpopulated_pages_all, ulong, 0644);
MODULE_PARM_DESC(max_unpopulated_pages_all,
		 "Maximum number of pages of all files from which on no restricted one gets more (auto-translated; 0 when the module is loaded: by the memory of dom0)");

/* Of all files. */
static atomic_long_t nr_unpopulated;

/* Unpopulated pages are dom0's own memory. */
static bool take_memory __ro_after_init;

/*
 * Pages of a mapping whose unpopulated pages are noted in one array.  They have 512 frames:
 * between two arrays other tasks can run.
 */
#define CHUNK_PAGES (512 / XEN_PFN_PER_PAGE)

static unsigned long index_of(const struct vm_area_struct *vma, unsigned long addr)
{
	return (addr - vma->vm_start) >> PAGE_SHIFT;
}

/**
 * privcmd_xlate_gfn() - The GFN of a frame of unpopulated pages.
 * @pages: unpopulated pages.
 * @i: the frame's index; Xen's frames are smaller than the pages of some kernels.
 */
xen_pfn_t privcmd_xlate_gfn(struct page **pages, unsigned int i)
{
	return page_to_xen_pfn(pages[i / XEN_PFN_PER_PAGE]) + i % XEN_PFN_PER_PAGE;
}

/**
 * privcmd_xlate_empty() - Take the frames out of the GFNs of pages.
 * @pages: unpopulated pages.
 * @nr: number of pages.
 *
 * A multicall took Xen longer than as many hypercalls, counted in instructions.
 *
 * Return: whether the GFNs are empty now.
 */
bool privcmd_xlate_empty(struct page **pages, unsigned int nr)
{
	struct xen_remove_from_physmap removal = { .domid = DOMID_SELF };
	bool empty = true;
	unsigned int i;
	int err;

	for (i = 0; i < nr * XEN_PFN_PER_PAGE; i++) {
		removal.gpfn = privcmd_xlate_gfn(pages, i);
		err = HYPERVISOR_memory_op(XENMEM_remove_from_physmap, &removal);
		/* ENOENT: there was nothing. */
		empty &= !err || err == -ENOENT;
	}

	return empty;
}

/* A page that still shows a foreign frame must never be used again. */
static void free_pages_of(struct privcmd_file *priv, struct page **pages, unsigned int nr)
{
	if (privcmd_xlate_empty(pages, nr))
		xen_free_unpopulated_pages(nr, pages);
	else
		pr_warn_once("xen-privcmd: Xen keeps frames that were to be unmapped\n");

	memset(pages, 0, nr * sizeof(*pages));
	atomic_long_sub(nr, &priv->nr_unpopulated);
	atomic_long_sub(nr, &nr_unpopulated);
}

/*
 * Without address space for them the pages are dom0's own memory, which the balloon gives
 * away: on a kernel that does not look for any, and on Arm if Xen names no extended regions.
 */
static bool pages_take_memory(void)
{
	struct page *page;
	bool taken;

	if (!IS_ENABLED(CONFIG_XEN_UNPOPULATED_ALLOC))
		return true;
	if (IS_ENABLED(CONFIG_X86))
		return false;
	if (xen_alloc_unpopulated_pages(1, &page))
		return true;

	taken = !is_zone_device_page(page);
	xen_free_unpopulated_pages(1, &page);
	return taken;
}

/*
 * On x86 Xen has a pool for the p2m of dom0, in proportion to the memory that dom0 began
 * with: there is room for some three times that memory.  A third stays for others, and
 * for Xen to split large pages of memory when the balloon takes some.  Without a page for
 * that the balloon's driver reaches its BUG_ON().  Elsewhere a page costs its struct page,
 * which nobody is charged for: an eighth of the memory may become such.  Who runs in a
 * stub domain can harm that domain alone.
 */
static unsigned long default_max_of_all(void)
{
	if (!xen_initial_domain())
		return LONG_MAX;

	if (take_memory)
		return totalram_pages() / 2;

	if (IS_ENABLED(CONFIG_X86))
		return 2 * totalram_pages();

	return totalram_pages() * (PAGE_SIZE / sizeof(struct page) / 8);
}

/**
 * privcmd_xlate_init() - Bound what all files take by the memory that there is.
 *
 * Context: When the module is loaded: the balloon changes the memory later.
 */
void __init privcmd_xlate_init(void)
{
	take_memory = xen_initial_domain() && xen_feature(XENFEAT_auto_translated_physmap) &&
		      pages_take_memory();
	if (!max_unpopulated_pages_all)
		max_unpopulated_pages_all = default_max_of_all();
}

/* Others may have the other half of the memory in use, or the balloon. */
static bool memory_is_short(void)
{
	return take_memory && si_mem_available() < (long)(totalram_pages() / 4);
}

/* A mapping bounds what it takes, and module parameters what all of a file's take. */
static int alloc_pages_for(struct privcmd_file *priv, struct page **pages, unsigned int nr)
{
	long in_use = atomic_long_add_return(nr, &priv->nr_unpopulated);
	long in_use_by_all = atomic_long_add_return(nr, &nr_unpopulated);
	int err = -ENOMEM;

	if (!privcmd_restricted(priv) ||
	    (in_use <= READ_ONCE(max_unpopulated_pages) &&
	     in_use_by_all <= READ_ONCE(max_unpopulated_pages_all) && !memory_is_short()))
		err = xen_alloc_unpopulated_pages(nr, pages);
	if (!err)
		return 0;

	memset(pages, 0, nr * sizeof(*pages));
	atomic_long_sub(nr, &priv->nr_unpopulated);
	atomic_long_sub(nr, &nr_unpopulated);
	return -ENOMEM;
}

static unsigned long chunk_size(const struct vm_area_struct *vma, unsigned long chunk)
{
	unsigned long nr = privcmd_vma_room(vma, vma->vm_start);

	return min_t(unsigned long, CHUNK_PAGES, nr - chunk * CHUNK_PAGES);
}

static struct page **get_chunk(const struct vm_area_struct *vma, unsigned long chunk)
{
	struct privcmd_mapping *mapping = privcmd_mapping_of(vma);
	struct page **pages = xa_load(&mapping->chunks, chunk);

	if (pages)
		return pages;

	pages = kcalloc(chunk_size(vma, chunk), sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (pages && xa_err(xa_store(&mapping->chunks, chunk, pages, GFP_KERNEL_ACCOUNT))) {
		kfree(pages);
		pages = NULL;
	}

	return pages;
}

/* An array takes memory only as long as one of its pages does. */
static void trim_chunk(const struct vm_area_struct *vma, unsigned long chunk)
{
	struct privcmd_mapping *mapping = privcmd_mapping_of(vma);
	struct page **pages = xa_load(&mapping->chunks, chunk);

	if (!pages || memchr_inv(pages, 0, chunk_size(vma, chunk) * sizeof(*pages)))
		return;

	xa_erase(&mapping->chunks, chunk);
	kfree(pages);
}

static int pte_is_free(pte_t *pte, unsigned long addr, void *data)
{
	return pte_none(ptep_get(pte)) ? 0 : -EINVAL;
}

/**
 * privcmd_xlate_part() - How many pages can be handled together.
 * @vma: the mapping.
 * @addr: the first page.
 * @nr: how many there are.
 *
 * Return: the number, 1 or more.
 */
unsigned int privcmd_xlate_part(const struct vm_area_struct *vma, unsigned long addr,
				unsigned long nr)
{
	return min_t(unsigned long, nr, CHUNK_PAGES - index_of(vma, addr) % CHUNK_PAGES);
}

/**
 * privcmd_xlate_get() - Give a mapping unpopulated pages for frames.
 * @vma: the mapping.
 * @addr: the first page.
 * @nr: number of pages, as privcmd_xlate_part() told.
 *
 * Page tables are there then, so that entering the pages cannot fail.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: the unpopulated pages; as an error pointer: -EINVAL if something is mapped
 * there already, -ENOMEM.
 */
struct page **privcmd_xlate_get(struct vm_area_struct *vma, unsigned long addr, unsigned int nr)
{
	unsigned long index = index_of(vma, addr);
	struct page **pages;
	int err;

	err = apply_to_page_range(vma->vm_mm, addr, (unsigned long)nr << PAGE_SHIFT,
				  pte_is_free, NULL);
	if (err)
		return ERR_PTR(err);

	pages = get_chunk(vma, index / CHUNK_PAGES);
	if (!pages)
		return ERR_PTR(-ENOMEM);

	pages += index % CHUNK_PAGES;
	err = alloc_pages_for(privcmd_file_of(vma), pages, nr);
	if (!err)
		return pages;

	trim_chunk(vma, index / CHUNK_PAGES);
	return ERR_PTR(err);
}

/**
 * privcmd_xlate_insert() - Enter pages, all of whose GFNs have a frame.
 * @vma: the mapping.
 * @addr: the first page.
 * @pages: the unpopulated pages.
 * @nr: number of pages.
 *
 * Context: The caller holds the mmap lock for writing.
 * Return: 0 or a negative errno.
 */
int privcmd_xlate_insert(struct vm_area_struct *vma, unsigned long addr, struct page **pages,
			 unsigned int nr)
{
	struct privcmd_mapping *mapping = vma->vm_private_data;
	pgprot_t prot = vma->vm_page_prot;
	int err;

	/* The helper takes pages and protection from here. */
	vma->vm_private_data = pages;
	vma->vm_page_prot = privcmd_vma_prot(vma);
	err = xen_remap_vma_range(vma, addr, (unsigned long)nr << PAGE_SHIFT);
	vma->vm_page_prot = prot;
	vma->vm_private_data = mapping;

	return err;
}

static void release_pages_of(struct vm_area_struct *vma, struct page **pages, unsigned long nr)
{
	unsigned long first, end;

	for (first = 0; first < nr; first = end) {
		end = first + 1;
		if (!pages[first])
			continue;

		while (end < nr && pages[end])
			end++;
		free_pages_of(privcmd_file_of(vma), pages + first, end - first);
	}
}

/**
 * privcmd_xlate_remove() - Give back the unpopulated pages of a range.
 * @vma: the mapping.
 * @addr: the first page.
 * @end: the end of the last one.
 *
 * No page of the range is in the page tables.
 *
 * Context: The caller holds the mmap lock for writing.
 */
void privcmd_xlate_remove(struct vm_area_struct *vma, unsigned long addr, unsigned long end)
{
	struct privcmd_mapping *mapping = privcmd_mapping_of(vma);
	unsigned long index, nr;
	struct page **pages;

	for (; addr < end; addr += nr << PAGE_SHIFT) {
		nr = privcmd_xlate_part(vma, addr, (end - addr) >> PAGE_SHIFT);
		index = index_of(vma, addr);
		pages = xa_load(&mapping->chunks, index / CHUNK_PAGES);
		if (pages)
			release_pages_of(vma, pages + index % CHUNK_PAGES, nr);
		trim_chunk(vma, index / CHUNK_PAGES);
		cond_resched();
	}
}

/**
 * privcmd_xlate_release() - Give back all unpopulated pages of a mapping.
 * @vma: the mapping, whose page table entries are gone.
 * @mapping: its owner.
 */
void privcmd_xlate_release(struct vm_area_struct *vma, struct privcmd_mapping *mapping)
{
	struct page **pages;
	unsigned long chunk;

	xa_for_each(&mapping->chunks, chunk, pages) {
		release_pages_of(vma, pages, chunk_size(vma, chunk));
		kfree(pages);
		cond_resched();
	}
	xa_destroy(&mapping->chunks);
}
