// SPDX-License-Identifier: GPL-2.0-only
/* DM_OP and DM_NR_VCPUS: operations of a device emulator on its domain. */

#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <xen/dm-op.h>
#include <xen/interface/hvm/dm_op.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

static unsigned int dm_op_max_nr_bufs = 16;
module_param(dm_op_max_nr_bufs, uint, 0644);
MODULE_PARM_DESC(dm_op_max_nr_bufs, "Maximum number of buffers of one DM_OP");

static unsigned int dm_op_buf_max_size = 4096;
module_param(dm_op_buf_max_size, uint, 0644);
MODULE_PARM_DESC(dm_op_buf_max_size, "Maximum size of one buffer of a DM_OP, in bytes");

/* Xen takes no more buffers for one operation. */
#define MAX_COPIED_BUFS 2

/* Larger buffers are pinned; a struct xen_dm_op is smaller. */
#define MAX_COPIED_SIZE 64

/* The user pages that hold a DM_OP's buffers, kept in place for the hypercall. */
struct dm_op_pages {
	unsigned long nr;
	struct page *page[];
};

static void unpin_dm_op_pages(struct dm_op_pages *pages)
{
	if (!pages)
		return;

	unpin_user_pages_dirty_lock(pages->page, pages->nr, true);
	kvfree(pages);
}

DEFINE_FREE(dm_op_pages, struct dm_op_pages *, unpin_dm_op_pages(_T))

static size_t buf_pages(const struct privcmd_dm_op_buf *buf)
{
	return DIV_ROUND_UP(offset_in_page(buf->uptr) + buf->size, PAGE_SIZE);
}

static int check_bufs(const struct privcmd_dm_op_buf *bufs, unsigned int num,
		      unsigned long *nr_pages)
{
	unsigned int max_size = READ_ONCE(dm_op_buf_max_size);
	unsigned int i;

	*nr_pages = 0;
	for (i = 0; i < num; i++) {
		if (bufs[i].size > max_size)
			return -E2BIG;
		if (!access_ok(bufs[i].uptr, bufs[i].size))
			return -EFAULT;
		*nr_pages += buf_pages(&bufs[i]);
	}

	return 0;
}

static int pin_buf(struct dm_op_pages *pages, const struct privcmd_dm_op_buf *buf)
{
	unsigned long addr = (unsigned long)buf->uptr & PAGE_MASK;
	size_t left = buf_pages(buf);

	/* An empty buffer at the start of a page has no page to pin. */
	if (!left)
		return -EFAULT;

	while (left) {
		int pinned = pin_user_pages_fast(addr, left, FOLL_WRITE,
						 pages->page + pages->nr);

		if (pinned <= 0)
			return pinned ?: -EFAULT;

		pages->nr += pinned;
		addr += pinned * PAGE_SIZE;
		left -= pinned;
	}

	return 0;
}

static long issue(domid_t dom, unsigned int num, struct xen_dm_op_buf *xbufs)
{
	long ret;

	xen_preemptible_hcall_begin();
	ret = HYPERVISOR_dm_op(dom, num, xbufs);
	xen_preemptible_hcall_end();

	return ret;
}

static bool bufs_overlap(const struct privcmd_dm_op_buf *a, const struct privcmd_dm_op_buf *b)
{
	return a->uptr < b->uptr + b->size && b->uptr < a->uptr + a->size;
}

/* Buffers that overlap are one memory to the hypervisor: these are pinned. */
static bool can_be_copied(const struct privcmd_dm_op_buf *bufs, unsigned int num)
{
	unsigned int i;

	for (i = 0; i < num; i++)
		if (!bufs[i].size || bufs[i].size > MAX_COPIED_SIZE)
			return false;

	return num < 2 || !bufs_overlap(&bufs[0], &bufs[1]);
}

/* Asked before the hypercall; so small a buffer has no page between these two bytes. */
static bool is_writable(const struct privcmd_dm_op_buf *buf, const u8 *data)
{
	u8 __user *first = buf->uptr;
	u8 __user *last = first + buf->size - 1;

	return !put_user(data[0], first) && !put_user(data[buf->size - 1], last);
}

/* The hypervisor works on copies; what it changed goes back. */
static long dm_op_copied(const struct privcmd_dm_op *op, const struct privcmd_dm_op_buf *bufs)
{
	u8 before[MAX_COPIED_BUFS][MAX_COPIED_SIZE], data[MAX_COPIED_BUFS][MAX_COPIED_SIZE];
	struct xen_dm_op_buf xbufs[MAX_COPIED_BUFS];
	unsigned int i;
	long ret;

	for (i = 0; i < op->num; i++) {
		if (copy_from_user(before[i], bufs[i].uptr, bufs[i].size) ||
		    !is_writable(&bufs[i], before[i]))
			return -EFAULT;

		memcpy(data[i], before[i], bufs[i].size);
		set_xen_guest_handle(xbufs[i].h, data[i]);
		xbufs[i].size = bufs[i].size;
	}

	ret = issue(op->dom, op->num, xbufs);

	for (i = 0; i < op->num; i++)
		if (memcmp(data[i], before[i], bufs[i].size) &&
		    copy_to_user(bufs[i].uptr, data[i], bufs[i].size))
			return -EFAULT;

	return ret;
}

/* The hypervisor works on the caller's own memory, which stays where it is. */
static long dm_op_pinned(const struct privcmd_dm_op *op, const struct privcmd_dm_op_buf *bufs,
			 unsigned long nr_pages)
{
	unsigned int i;
	long ret;

	struct xen_dm_op_buf *xbufs __free(kvfree) =
		kvmalloc_array(op->num, sizeof(*xbufs), GFP_KERNEL_ACCOUNT);
	if (!xbufs)
		return -ENOMEM;

	struct dm_op_pages *pages __free(dm_op_pages) =
		kvmalloc(struct_size(pages, page, nr_pages),
			 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!pages)
		return -ENOMEM;

	pages->nr = 0;
	for (i = 0; i < op->num; i++) {
		ret = pin_buf(pages, &bufs[i]);
		if (ret)
			return ret;

		set_xen_guest_handle(xbufs[i].h, (void __force *)bufs[i].uptr);
		xbufs[i].size = bufs[i].size;
	}

	return issue(op->dom, op->num, xbufs);
}

/**
 * privcmd_dm_op_check() - DM_OP: is anything asked for at all?
 * @arg: the request.
 *
 * Without buffers there is no operation, whatever the domain: libxendevicemodel
 * asks that, of DOMID_INVALID, to find out whether there is a DM_OP.
 *
 * Return: 0 or PRIVCMD_DONE.
 */
int privcmd_dm_op_check(const union privcmd_arg *arg)
{
	return arg->dm_op.num ? 0 : PRIVCMD_DONE;
}

/**
 * privcmd_dm_op() - DM_OP: a device-model operation as the caller wrote it.
 * @file: the file.
 * @arg: the target, which has been checked, and the operation's buffers.
 *
 * Return: what the hypervisor answered; -E2BIG for more or larger buffers than
 * the module's parameters allow; -EFAULT for a buffer that cannot be read and
 * written; -ENOMEM.
 */
long privcmd_dm_op(struct privcmd_file *file, union privcmd_arg *arg)
{
	struct privcmd_dm_op_buf few[MAX_COPIED_BUFS], *bufs = few;
	const struct privcmd_dm_op *op = &arg->dm_op;
	unsigned long nr_pages;
	long ret;

	if (op->num > READ_ONCE(dm_op_max_nr_bufs))
		return -E2BIG;

	struct privcmd_dm_op_buf *many __free(kvfree) = NULL;
	if (op->num > ARRAY_SIZE(few)) {
		many = kvmalloc_array(op->num, sizeof(*many), GFP_KERNEL_ACCOUNT);
		if (!many)
			return -ENOMEM;
		bufs = many;
	}

	if (copy_from_user(bufs, op->ubufs, array_size(op->num, sizeof(*bufs))))
		return -EFAULT;

	ret = check_bufs(bufs, op->num, &nr_pages);
	if (ret)
		return ret;

	if (op->num <= ARRAY_SIZE(few) && can_be_copied(bufs, op->num))
		return dm_op_copied(op, bufs);

	return dm_op_pinned(op, bufs, nr_pages);
}

/**
 * privcmd_dm_nr_vcpus() - DM_NR_VCPUS: with how many vCPUs was the domain created?
 * @file: the file.
 * @arg: the target, which has been checked; gets the answer.
 *
 * Return: 0; -EINVAL if the padding is not 0; else as xen_dm_nr_vcpus().
 */
long privcmd_dm_nr_vcpus(struct privcmd_file *file, union privcmd_arg *arg)
{
	struct privcmd_dm_nr_vcpus *query = &arg->dm_nr_vcpus;

	if (query->pad)
		return -EINVAL;

	return xen_dm_nr_vcpus(query->dom, &query->vcpus);
}
