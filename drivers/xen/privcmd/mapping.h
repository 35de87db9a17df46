/* SPDX-License-Identifier: GPL-2.0-only */
/* Mappings, and how frames get into them. */

#ifndef __XEN_PRIVCMD_MAPPING_H
#define __XEN_PRIVCMD_MAPPING_H

#include <linux/fs.h>
#include <linux/mm_types.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include <xen/interface/xen.h>
#include <xen/page.h>

struct mmu_interval_notifier;
struct privcmd_file;
struct xen_mem_acquire_resource;

/*
 * Of a physical address.  What stands above them in a frame's number is lost where an
 * address is made of it, or a page table entry, and another frame would be mapped.
 */
#define PRIVCMD_FRAME_BITS (52 - XEN_PAGE_SHIFT)

/**
 * struct privcmd_ioreq_server - An ioreq server whose pages are mapped.
 * @dom: the domain.
 * @id: the server.
 * @nr_frames: how many of its frames, from that of vCPU 0 on.
 * @mapping: the number of the mapping, which no other one ever has; servers are
 *	destroyed, and their ids and the addresses of mappings used again.
 */
struct privcmd_ioreq_server {
	domid_t dom;
	u32 id;
	u32 nr_frames;
	u64 mapping;
};

/**
 * struct privcmd_mapping - Owner of what a mapping shows.
 * @number: of this owner, which no other one ever has; 0 for one that is shared.
 * @busy: a request that takes several steps is filling the mapping.
 * @server: the ioreq server whose frames are mapped from the start on; without
 *	frames if there is none.
 * @nr_ioreq_frames: frames of ioreq servers, of whichever.
 * @chunks: the unpopulated pages of an auto-translated caller, by their index in
 *	the mapping: arrays of them, in which NULL stands where there is none.
 * @unmapper: has a large mapping of a PV caller end faster, or NULL.
 */
struct privcmd_mapping {
	u64 number;
	bool busy;
	struct privcmd_ioreq_server server;
	unsigned long nr_ioreq_frames;
	struct xarray chunks;
	struct mmu_interval_notifier *unmapper;
};

/**
 * struct privcmd_insert - A request to enter frames into a mapping.
 * @dom: the domain.
 * @resource: what is mapped, if it is a resource; @frames needs no numbers then.
 * @frames: the numbers of the frames of a step.
 * @errors: gets their errors; may be the same memory as @frames.
 * @may_fail: frames that cannot be mapped are told in @errors; else the request
 *	fails with the first one.
 * @read_only: the mapping must not be writable, and never becomes so.
 * @alone: the mapping needs an owner that no other one has.
 * @nr_ioreq_frames: how many of the frames are an ioreq server's, for which @alone is
 *	set.
 * @fits: can the request go to that mapping?
 * @next: prepares the next step; sets @last if no other one follows.  Returns the
 *	number of its frames, which may be 0, or a negative errno.  A number is a
 *	multiple of XEN_PFN_PER_PAGE unless it is the last.
 * @end: called when all frames are entered; may be NULL.
 * @addr: where the next frame goes, at the start of a page.
 * @last: see @next.
 * @nr_done: frames of earlier steps.
 * @start: where the first frame went.
 * @number: of the mapping's owner.
 * @first: the mapping had no owner before.
 */
struct privcmd_insert {
	domid_t dom;
	const struct xen_mem_acquire_resource *resource;
	xen_pfn_t *frames;
	int *errors;
	bool may_fail;
	bool read_only;
	bool alone;
	unsigned int nr_ioreq_frames;
	bool (*fits)(const struct privcmd_insert *req, const struct vm_area_struct *vma);
	int (*next)(struct privcmd_insert *req);
	void (*end)(const struct privcmd_insert *req, struct vm_area_struct *vma);
	unsigned long addr;
	bool last;
	unsigned long nr_done;
	/* Of frames.c itself. */
	unsigned long start;
	u64 number;
	bool first;
};

/**
 * struct privcmd_pv_frames - Frames for a PV caller's page tables.
 * @numbers: their numbers.
 * @errors: gets their errors; may be the same memory as @numbers.
 * @nr: number of frames.
 * @update: the kind of MMU update, which tells whose numbers they are.
 * @dom: the domain to which they belong.
 */
struct privcmd_pv_frames {
	const xen_pfn_t *numbers;
	int *errors;
	unsigned int nr;
	unsigned int update;
	domid_t dom;
};

/**
 * privcmd_vma_room() - How many pages a mapping has from an address on.
 * @vma: the mapping.
 * @addr: the address, in the mapping.
 */
static inline unsigned long privcmd_vma_room(const struct vm_area_struct *vma, unsigned long addr)
{
	return (vma->vm_end - addr) >> PAGE_SHIFT;
}

/**
 * privcmd_file_of() - The file that a mapping is of.
 * @vma: the mapping.
 */
static inline struct privcmd_file *privcmd_file_of(const struct vm_area_struct *vma)
{
	return vma->vm_file->private_data;
}

/* frames.c */
int privcmd_insert(struct privcmd_insert *req);

/* vma.c */
int privcmd_mmap(struct file *file, struct vm_area_struct *vma);
unsigned long privcmd_get_unmapped_area(struct file *file, unsigned long addr,
					unsigned long len, unsigned long pgoff,
					unsigned long flags);
struct vm_area_struct *privcmd_vma_lookup(unsigned long addr, u64 nr);
pgprot_t privcmd_vma_prot(const struct vm_area_struct *vma);

/* mapping.c */
bool privcmd_mapping_empty(const struct vm_area_struct *vma);
struct privcmd_mapping *privcmd_mapping_own(struct vm_area_struct *vma, bool alone);
struct privcmd_mapping *privcmd_mapping_of(const struct vm_area_struct *vma);
int privcmd_mapping_count(struct vm_area_struct *vma, unsigned int nr);
void privcmd_mapping_uncount(struct vm_area_struct *vma, unsigned long nr);
void privcmd_mapping_destroy(struct vm_area_struct *vma);
int privcmd_mapping_get_server(unsigned long addr, struct privcmd_ioreq_server *server);

/* mapping_pv.c */
#ifdef CONFIG_XEN_PV
int privcmd_pv_insert(struct vm_area_struct *vma, unsigned long addr,
		      const struct privcmd_pv_frames *frames, unsigned int *done);
#else
static inline int privcmd_pv_insert(struct vm_area_struct *vma, unsigned long addr,
				    const struct privcmd_pv_frames *frames, unsigned int *done)
{
	*done = 0;
	return -EOPNOTSUPP;
}
#endif

#if defined(CONFIG_XEN_PV) && defined(CONFIG_MMU_NOTIFIER)
struct mmu_interval_notifier *privcmd_unmapper_create(struct vm_area_struct *vma);
void privcmd_unmapper_destroy(struct mmu_interval_notifier *unmapper);
#else
static inline struct mmu_interval_notifier *privcmd_unmapper_create(struct vm_area_struct *vma)
{
	return NULL;
}

static inline void privcmd_unmapper_destroy(struct mmu_interval_notifier *unmapper) {}
#endif

/* mapping_xlate.c */
void privcmd_xlate_init(void);
xen_pfn_t privcmd_xlate_gfn(struct page **pages, unsigned int i);
bool privcmd_xlate_empty(struct page **pages, unsigned int nr);
unsigned int privcmd_xlate_part(const struct vm_area_struct *vma, unsigned long addr,
				unsigned long nr);
struct page **privcmd_xlate_get(struct vm_area_struct *vma, unsigned long addr, unsigned int nr);
int privcmd_xlate_insert(struct vm_area_struct *vma, unsigned long addr, struct page **pages,
			 unsigned int nr);
void privcmd_xlate_remove(struct vm_area_struct *vma, unsigned long addr, unsigned long end);
void privcmd_xlate_release(struct vm_area_struct *vma, struct privcmd_mapping *mapping);

#endif /* __XEN_PRIVCMD_MAPPING_H */
