// SPDX-License-Identifier: GPL-2.0-only
/* /dev/xen/hypercall: memory to put a hypercall's arguments in. */

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "../privcmd.h"

/* All pages are there from the start; what was discarded does not come back. */
static vm_fault_t hypercall_buffer_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct hypercall_buffer_vm_ops = {
	.fault = hypercall_buffer_fault,
};

/*
 * The hypervisor follows the page tables and cannot wait for a page: the memory
 * must not be swapped, moved or copied on write.  The mapping holds the only
 * reference to each page, so the last unmapping of a page frees it.
 */
static int hypercall_buffer_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long addr;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	if (vma_pages(vma) > totalram_pages())
		return -ENOMEM;

	vm_flags_set(vma, VM_IO | VM_DONTEXPAND);
	vma->vm_ops = &hypercall_buffer_vm_ops;

	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE) {
		struct page *page;
		int err;

		if (fatal_signal_pending(current))
			return -EINTR;

		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return -ENOMEM;

		err = vm_insert_page(vma, addr, page);
		put_page(page);
		if (err)
			return err;
	}

	return 0;
}

const struct file_operations xen_privcmdbuf_fops = {
	.owner = THIS_MODULE,
	.mmap = hypercall_buffer_mmap,
};
EXPORT_SYMBOL_GPL(xen_privcmdbuf_fops);
