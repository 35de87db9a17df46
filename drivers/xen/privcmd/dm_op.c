// SPDX-License-Identifier: GPL-2.0-only
/* DM_OP and DM_NR_VCPUS: operations of a device emulator on its domain. */

#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
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
#define FEW_BUFS 2

/* In bytes, of all buffers; a struct xen_dm_op is smaller. */
#define FEW_BYTES 128

/* Of one operation of a restricted file: 4 GiB, which took Xen about a second in the lab. */
#define MAX_GFNS 0x100000

/**
 * struct dm_op_copies - Buffers of a DM_OP, and the copies on which Xen works.
 * @nr: number of buffers.
 * @user: where they are in the caller's memory.
 * @xen: where they are in @data.
 * @size: of all of them, in bytes.
 * @data: what Xen works on, one buffer after the other.
 * @before: what was there at first.
 */
struct dm_op_copies {
	unsigned int nr;
	const struct privcmd_dm_op_buf *user;
	struct xen_dm_op_buf *xen;
	size_t size;
	u8 *data;
	u8 *before;
};

/* For so few words a copy, whose size is no constant, takes longer. */
static int get_bufs(struct privcmd_dm_op_buf *bufs, const struct privcmd_dm_op *op)
{
	unsigned int i;

	if (!user_read_access_begin(op->ubufs, array_size(op->num, sizeof(*bufs))))
		return -EFAULT;

	for (i = 0; i < op->num; i++) {
		unsafe_get_user(bufs[i].uptr, &op->ubufs[i].uptr, fault);
		unsafe_get_user(bufs[i].size, &op->ubufs[i].size, fault);
	}
	user_read_access_end();
	return 0;

fault:
	user_read_access_end();
	return -EFAULT;
}

static int check_bufs(const struct privcmd_dm_op_buf *bufs, unsigned int nr, size_t *size)
{
	unsigned int max_size = READ_ONCE(dm_op_buf_max_size);
	unsigned int i;

	*size = 0;
	for (i = 0; i < nr; i++) {
		if (bufs[i].size > max_size || check_add_overflow(*size, bufs[i].size, size))
			return -E2BIG;
		if (!access_ok(bufs[i].uptr, bufs[i].size))
			return -EFAULT;
	}

	return 0;
}

/* Asked before the hypercall: a byte of each page is written as it is. */
static bool is_writable(const struct privcmd_dm_op_buf *buf, const u8 *data)
{
	u8 __user *user = buf->uptr;
	size_t i;

	for (i = 0; i < buf->size; i += PAGE_SIZE - offset_in_page(user + i))
		if (put_user(data[i], user + i))
			return false;

	return true;
}

static int copy_bufs(const struct dm_op_copies *copies)
{
	u8 *data = copies->data, *before = copies->before;
	unsigned int i;

	for (i = 0; i < copies->nr; i++) {
		const struct privcmd_dm_op_buf *buf = &copies->user[i];

		if (copy_from_user(before, buf->uptr, buf->size) || !is_writable(buf, before))
			return -EFAULT;

		memcpy(data, before, buf->size);
		set_xen_guest_handle(copies->xen[i].h, data);
		copies->xen[i].size = buf->size;
		data += buf->size;
		before += buf->size;
	}

	return 0;
}

/* Returns the first byte from @i on that Xen changed, or @size. */
static __always_inline size_t find_change(const u8 *data, const u8 *before, size_t i, size_t size)
{
	while (i + sizeof(u64) <= size && !memcmp(data + i, before + i, sizeof(u64)))
		i += sizeof(u64);
	while (i < size && data[i] == before[i])
		i++;

	return i;
}

/* Only what Xen changed: the rest may be another buffer's, or another thread's. */
static int copy_back_buf(const struct privcmd_dm_op_buf *buf, const u8 *data, const u8 *before)
{
	u8 __user *user = buf->uptr;
	size_t i;

	if (!user_write_access_begin(user, buf->size))
		return -EFAULT;

	for (i = find_change(data, before, 0, buf->size); i < buf->size;
	     i = find_change(data, before, i + 1, buf->size))
		unsafe_put_user(data[i], user + i, fault);
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

static int copy_back(const struct dm_op_copies *copies)
{
	const u8 *data = copies->data, *before = copies->before;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < copies->nr; i++) {
		err = copy_back_buf(&copies->user[i], data, before);
		data += copies->user[i].size;
		before += copies->user[i].size;
	}

	return err;
}

/* Of the copy that Xen gets: nobody can change it any more. */
static bool get_operation(const struct dm_op_copies *copies, u32 *op)
{
	if (copies->user[0].size < sizeof(*op))
		return false;

	memcpy(op, copies->data, sizeof(*op));
	return true;
}

static int check_operation(const struct dm_op_copies *copies, u64 dm_ops)
{
	u32 op;

	if (!get_operation(copies, &op))
		return -EINVAL;

	return privcmd_dm_op_stays(dm_ops, op) ? 0 : -EPERM;
}

static int check_costly_operation(const struct dm_op_copies *copies)
{
	struct xen_dm_op_modified_memory_extent extent;
	size_t size = copies->user[0].size;
	struct {
		u32 op;
		u32 pad;
		union {
			struct xen_dm_op_set_mem_type set_mem_type;
			struct xen_dm_op_map_mem_type_to_ioreq_server map_mem_type;
			struct xen_dm_op_relocate_memory relocate_memory;
			struct xen_dm_op_pin_memory_cacheattr pin_memory_cacheattr;
		} u;
	} op = {};
	u64 nr = 0;
	size_t i;

	memcpy(&op, copies->data, min(size, sizeof(op)));
	switch (op.op) {
	case XEN_DMOP_map_mem_type_to_ioreq_server:
		/* Without flags the type is taken away, from all GFNs. */
		return op.u.map_mem_type.flags ? 0 : -EPERM;
	case XEN_DMOP_pin_memory_cacheattr:
		/* All processors of the host would lose what is in their caches. */
		return op.u.pin_memory_cacheattr.type == XEN_DMOP_MEM_CACHEATTR_WB ? 0 : -EPERM;
	case XEN_DMOP_modified_memory:
		if (copies->nr < 2)
			return 0;
		for (i = 0; i + sizeof(extent) <= copies->user[1].size; i += sizeof(extent)) {
			memcpy(&extent, copies->data + size + i, sizeof(extent));
			nr += extent.nr;
		}
		break;
	case XEN_DMOP_set_mem_type:
		nr = op.u.set_mem_type.nr;
		break;
	case XEN_DMOP_relocate_memory:
		nr = op.u.relocate_memory.size;
		break;
	}

	return nr > MAX_GFNS ? -E2BIG : 0;
}

/*
 * Of an operation of a restricted file: no signal ends Xen's work on GFNs, and on the
 * processor of an auto-translated caller nothing else runs meanwhile.  Nor does the
 * domain's memory bound it: the caller can move a frame to GFN 2^34.
 */
static int check_cost(const struct dm_op_copies *copies)
{
	const u64 costly = BIT_ULL(XEN_DMOP_modified_memory) | BIT_ULL(XEN_DMOP_set_mem_type) |
			   BIT_ULL(XEN_DMOP_map_mem_type_to_ioreq_server) |
			   BIT_ULL(XEN_DMOP_relocate_memory) |
			   BIT_ULL(XEN_DMOP_pin_memory_cacheattr);
	u32 op;

	if (!get_operation(copies, &op) || !privcmd_dm_op_stays(costly, op))
		return 0;

	return check_costly_operation(copies);
}

static long dm_op_issue(domid_t dom, unsigned int num, struct xen_dm_op_buf *xbufs)
{
	long ret;

	xen_preemptible_hcall_begin();
	ret = HYPERVISOR_dm_op(dom, num, xbufs);
	xen_preemptible_hcall_end();

	return ret;
}

/*
 * Xen never works on the caller's own memory: another thread could change it, or,
 * on Arm, where Xen looks up the address itself, unmap it.
 */
static long dm_op_run(const struct privcmd_file *priv, const struct privcmd_dm_op *op,
		      u64 dm_ops)
{
	struct privcmd_dm_op_buf few_bufs[FEW_BUFS], *bufs = few_bufs;
	struct xen_dm_op_buf few_xen[FEW_BUFS];
	u8 few_bytes[2][FEW_BYTES];
	struct dm_op_copies copies = {
		.nr = op->num,
		.user = bufs,
		.xen = few_xen,
		.data = few_bytes[0],
		.before = few_bytes[1],
	};
	long ret;

	if (op->num > READ_ONCE(dm_op_max_nr_bufs))
		return -E2BIG;

	void *many __free(kvfree) = NULL;
	if (op->num > FEW_BUFS) {
		many = kvmalloc_array(op->num, sizeof(*copies.user) + sizeof(*copies.xen),
				      GFP_KERNEL_ACCOUNT);
		if (!many)
			return -ENOMEM;
		bufs = many;
		copies.user = bufs;
		copies.xen = (void *)(bufs + op->num);
	}

	ret = get_bufs(bufs, op) ?: check_bufs(bufs, op->num, &copies.size);
	if (ret)
		return ret;

	u8 *large __free(kvfree) = NULL;
	if (copies.size > FEW_BYTES) {
		large = kvmalloc_array(2, copies.size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!large)
			return -ENOMEM;
		copies.data = large;
		copies.before = large + copies.size;
	}

	ret = copy_bufs(&copies);
	if (!ret && dm_ops != U64_MAX)
		ret = check_operation(&copies, dm_ops);
	if (!ret && privcmd_restricted(priv))
		ret = check_cost(&copies);
	if (ret)
		return ret;

	ret = dm_op_issue(op->dom, op->num, copies.xen);
	return copy_back(&copies) ?: ret;
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
 * @priv: the file.
 * @arg: the target, which has been checked, and the operation's buffers.
 *
 * Return: what the hypervisor answered; -E2BIG for more or larger buffers than
 * the module's parameters allow, or, on a restricted file, for more than 2^20 GFNs;
 * -EFAULT for a buffer that cannot be read and written; -EPERM if the file is
 * restricted and Xen would look at all GFNs, or empty all processors' caches; -ENOMEM.
 */
long privcmd_dm_op(struct privcmd_file *priv, union privcmd_arg *arg)
{
	return dm_op_run(priv, &arg->dm_op, U64_MAX);
}

/**
 * privcmd_dm_op_limited() - DM_OP, on a file with limits.
 * @priv: the file.
 * @arg: the target, which has been checked, and the operation's buffers.
 * @limit: what the file has left.
 *
 * Return: as privcmd_dm_op(); -EPERM if the operation is gone; -EINVAL if the first
 * buffer has no room for its number and operations are gone.
 */
long privcmd_dm_op_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			   const struct privcmd_limit *limit)
{
	return dm_op_run(priv, &arg->dm_op, limit->dm_ops);
}

/**
 * privcmd_dm_nr_vcpus() - DM_NR_VCPUS: with how many vCPUs was the domain created?
 * @priv: the file.
 * @arg: the target, which has been checked; gets the answer.
 *
 * Return: 0; -EINVAL if the padding is not 0; else as xen_dm_nr_vcpus().
 */
long privcmd_dm_nr_vcpus(struct privcmd_file *priv, union privcmd_arg *arg)
{
	struct privcmd_dm_nr_vcpus *query = &arg->dm_nr_vcpus;

	if (query->pad)
		return -EINVAL;

	return xen_dm_nr_vcpus(query->dom, &query->vcpus);
}
