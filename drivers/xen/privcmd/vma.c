// SPDX-License-Identifier: GPL-2.0-only
/*
 * The area of the caller's memory that is a privcmd mapping: its life from mmap()
 * to munmap(), as memory management sees it.
 *
 * It shows frames of other domains, which have no page to fault in, copy, split or
 * move.  What of the kernel could change it, and why that cannot hurt, is in
 * Documentation/design.rst.
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include <xen/features.h>
#include <xen/page.h>

#include "mapping.h"
#include "privcmd_private.h"

/*
 * The offset in the file of every mapping.  It means nothing for this device;
 * that no mmap() may ask for it tells the kernel's search for a new address
 * that it is for mremap().
 */
#define MAPPING_PGOFF (ULONG_MAX >> (PAGE_SHIFT + 1))

static void privcmd_vma_close(struct vm_area_struct *vma)
{
	privcmd_mapping_destroy(vma);
}

static int privcmd_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

/* Everything is mapped when it is asked for; what is not, is not there. */
static vm_fault_t privcmd_vma_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct privcmd_vm_ops = {
	.close = privcmd_vma_close,
	.may_split = privcmd_vma_may_split,
	.fault = privcmd_vma_fault,
};

/*
 * The hypervisor lets a PV kernel remove a foreign frame's page table entry but
 * not change it, which the kernel would take for a bug of its own.
 */
static int privcmd_vma_pv_mprotect(struct vm_area_struct *vma, unsigned long start,
				   unsigned long end, unsigned long flags)
{
	return !privcmd_mapping_empty(vma) && flags != vma->vm_flags ? -EINVAL : 0;
}

/*
 * For the same reason: the kernel would try for ever to make a read-only entry
 * writable.  With this operation the kernel takes the write bit out of
 * vm_page_prot, so entries are never made from that.
 */
static vm_fault_t privcmd_vma_pv_mkwrite(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct privcmd_pv_vm_ops = {
	.close = privcmd_vma_close,
	.may_split = privcmd_vma_may_split,
	.mprotect = privcmd_vma_pv_mprotect,
	.fault = privcmd_vma_fault,
	.pfn_mkwrite = privcmd_vma_pv_mkwrite,
};

/**
 * privcmd_mmap() - Set up an empty mapping.
 * @file: the file.
 * @vma: the mapping.
 *
 * An auto-translated caller can execute nothing there, whatever it asks for.
 *
 * Return: 0.
 */
int privcmd_mmap(struct file *file, struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &privcmd_pv_vm_ops;
	if (xen_feature(XENFEAT_auto_translated_physmap)) {
		/* Xen crashes a domain that executes a frame of another one. */
		vm_flags_clear(vma, VM_EXEC | VM_MAYEXEC);
		vma->vm_ops = &privcmd_vm_ops;
	}
	vma->vm_private_data = NULL;
	vma->vm_pgoff = MAPPING_PGOFF;
	return 0;
}

/**
 * privcmd_get_unmapped_area() - Find the address of a new mapping.
 * @file: the file.
 * @addr: where the caller would like it.
 * @len: its length in bytes.
 * @pgoff: its offset in the file, in pages.
 * @flags: as for mmap().
 *
 * This is where mremap() can be refused before it touches the page tables, which
 * a PV kernel could not move (see privcmd_vma_pv_mprotect()).
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
 * privcmd_vma_lookup() - Find the mapping that a request is for.
 * @addr: where the request wants to map.
 * @nr: how many pages; may be 0.
 *
 * Context: The caller holds the mmap lock.
 * Return: the mapping; NULL if the pages are not all within one mapping of this
 * driver.
 */
struct vm_area_struct *privcmd_vma_lookup(unsigned long addr, u64 nr)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, addr);

	if (!vma || (vma->vm_ops != &privcmd_vm_ops && vma->vm_ops != &privcmd_pv_vm_ops))
		return NULL;

	return nr <= privcmd_vma_room(vma, addr) ? vma : NULL;
}

/**
 * privcmd_vma_prot() - The protection of a mapping's page table entries.
 * @vma: the mapping.
 *
 * It is what the caller asked for.  vm_page_prot may lack the write bit, for the
 * kernel to be told of the first write.
 *
 * Return: the protection.
 */
pgprot_t privcmd_vma_prot(const struct vm_area_struct *vma)
{
	return vm_get_page_prot(vma->vm_flags);
}
