// SPDX-License-Identifier: GPL-2.0-only
/* IRQFD: an eventfd that raises or lowers an interrupt of a domain. */

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/poll.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/time64.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <xen/interface/xen.h>
#include <xen/interface/hvm/dm_op.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

/* A caller's struct xen_dm_op may be that of a newer Xen, with larger operations. */
#define MAX_OP_SIZE 64

/* Of a file: closing it waits for the last operation of each. */
#define MAX_IRQFDS 1024

/* Of the data of an x86 MSI. */
#define MSI_VECTOR		GENMASK(7, 0)
#define MSI_DELIVERY		GENMASK(10, 8)
#define MSI_LOWEST_PRIORITY	BIT(8)

/**
 * struct irqfd - An eventfd and the operation that is issued for it.
 * @list: in its file's irqfds; the file's eventfds_lock protects it.
 * @eventfd: the eventfd.
 * @wqh: the eventfd's wait queue, whose lock is the eventfd's.
 * @wait: the entry in @wqh.
 * @poll: adds @wait to @wqh.
 * @at_once: the operation may be issued where the eventfd is written to.
 * @later: issues it if it was not.
 * @priv: the file, whose domain may be gone.
 * @closed: the eventfd's last descriptor was closed, with which this is over.
 * @dom: the target.
 * @size: size of the operation in bytes.
 * @op: the operation.
 * @msi: it, if it is XEN_DMOP_inject_msi.
 * @bytes: all of it.
 */
struct irqfd {
	struct list_head list;
	struct eventfd_ctx *eventfd;
	struct wait_queue_head *wqh;
	struct wait_queue_entry wait;
	poll_table poll;
	struct work_struct later;
	const struct privcmd_file *priv;
	bool at_once;
	bool closed;
	domid_t dom;
	u32 size;
	union {
		struct xen_dm_op op;
		struct {
			u32 op;
			u32 pad;
			struct xen_dm_op_inject_msi message;
		} msi;
		u8 bytes[MAX_OP_SIZE];
	};
};

/* In nanoseconds. */
#define MAX_REST (100 * NSEC_PER_MSEC)

/* When a processor may issue an operation at once again, by its own clock. */
static DEFINE_PER_CPU(u64, next_at_once);

/* Nobody is there to be told of an error. */
static void irqfd_issue(const struct irqfd *irqfd)
{
	struct xen_dm_op_buf buf = { .size = irqfd->size };

	if (privcmd_gone(irqfd->priv))
		return;

	set_xen_guest_handle(buf.h, (void *)&irqfd->op);
	HYPERVISOR_dm_op(irqfd->dom, 1, &buf);
}

static void irqfd_issue_later(struct work_struct *work)
{
	irqfd_issue(container_of(work, struct irqfd, later));
}

/*
 * Where an eventfd is written to interrupts are off, and there may be many writes until
 * they are on again.  After an operation a processor rests for nine times as long, but no
 * longer than MAX_REST: Xen may have run somebody else meanwhile.
 */
static bool irqfd_issue_at_once(const struct irqfd *irqfd)
{
	u64 start = local_clock(), end;

	if (start < this_cpu_read(next_at_once))
		return false;

	irqfd_issue(irqfd);
	end = local_clock();
	this_cpu_write(next_at_once, end + min_t(u64, 9 * (end - start), MAX_REST));
	return true;
}

static void irqfd_trigger(struct irqfd *irqfd)
{
	if (!irqfd->at_once || !irqfd_issue_at_once(irqfd))
		schedule_work(&irqfd->later);
}

static int irqfd_wake_up(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	/* The count may be 0: another file's irqfd was told of the write before. */
	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_trigger(irqfd);
	}
	/* Others in the kernel may go on signalling an eventfd that nobody can name. */
	if (events & EPOLLHUP) {
		list_del_init(&wait->entry);
		WRITE_ONCE(irqfd->closed, true);
	}

	return 0;
}

static void irqfd_start_waiting(struct file *file, struct wait_queue_head *wqh, poll_table *poll)
{
	struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

	irqfd->wqh = wqh;
	add_wait_queue(wqh, &irqfd->wait);
}

/* What was written before is issued before this returns, and nothing after. */
static void irqfd_end(struct privcmd_file *priv, struct irqfd *irqfd)
{
	priv->nr_irqfds--;
	list_del(&irqfd->list);
	remove_wait_queue(irqfd->wqh, &irqfd->wait);
	flush_work(&irqfd->later);
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

static struct irqfd *irqfd_find(struct privcmd_file *priv, const struct eventfd_ctx *eventfd)
{
	struct irqfd *irqfd;

	list_for_each_entry(irqfd, &priv->irqfds, list)
		if (irqfd->eventfd == eventfd)
			return irqfd;

	return NULL;
}

/* What is over already still takes memory. */
static void irqfd_end_closed(struct privcmd_file *priv)
{
	struct irqfd *irqfd, *next;

	list_for_each_entry_safe(irqfd, next, &priv->irqfds, list)
		if (READ_ONCE(irqfd->closed))
			irqfd_end(priv, irqfd);
}

/*
 * Not of a line, which is raised and lowered in an order, nor what makes Xen look for more
 * than a vector, or complain.
 */
static bool irqfd_goes_at_once(const struct irqfd *irqfd)
{
	u32 data = irqfd->msi.message.data;

	return irqfd->op.op == XEN_DMOP_inject_msi && data & MSI_VECTOR &&
	       (data & MSI_DELIVERY) <= MSI_LOWEST_PRIORITY;
}

static bool irqfd_may_be_issued(const struct xen_dm_op *op)
{
	switch (op->op) {
	case XEN_DMOP_set_pci_intx_level:
	case XEN_DMOP_set_isa_irq_level:
	case XEN_DMOP_inject_msi:
	case XEN_DMOP_set_irq_level:
		return true;
	default:
		return false;
	}
}

static struct irqfd *irqfd_create(const struct privcmd_irqfd *req, u64 dm_ops)
{
	struct irqfd *irqfd;
	int err = -EFAULT;

	if (req->size > MAX_OP_SIZE)
		return ERR_PTR(-E2BIG);
	if (req->size < offsetof(struct xen_dm_op, u))
		return ERR_PTR(-EINVAL);

	irqfd = kzalloc_obj(*irqfd, GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		return ERR_PTR(-ENOMEM);

	if (copy_from_user(irqfd->bytes, u64_to_user_ptr(req->dm_op), req->size))
		goto err_free;

	err = -EINVAL;
	if (!irqfd_may_be_issued(&irqfd->op))
		goto err_free;

	err = -EPERM;
	if (!privcmd_dm_op_stays(dm_ops, irqfd->op.op))
		goto err_free;

	irqfd->dom = req->dom;
	irqfd->size = req->size;
	irqfd->at_once = irqfd_goes_at_once(irqfd);
	INIT_WORK(&irqfd->later, irqfd_issue_later);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wake_up);
	init_poll_funcptr(&irqfd->poll, irqfd_start_waiting);
	return irqfd;

err_free:
	kfree(irqfd);
	return ERR_PTR(err);
}

static int irqfd_start(struct privcmd_file *priv, struct irqfd *irqfd, struct file *eventfd_file)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fileget(eventfd_file);
	unsigned long flags;
	int err = 0;
	u64 count;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);

	irqfd_end_closed(priv);
	if (irqfd_find(priv, eventfd))
		err = -EBUSY;
	else if (priv->nr_irqfds == MAX_IRQFDS)
		err = -ENOSPC;
	if (err) {
		eventfd_ctx_put(eventfd);
		return err;
	}

	irqfd->priv = priv;
	irqfd->eventfd = eventfd;
	priv->nr_irqfds++;
	list_add(&irqfd->list, &priv->irqfds);
	vfs_poll(eventfd_file, &irqfd->poll);

	/* What was written before counts too. */
	spin_lock_irqsave(&irqfd->wqh->lock, flags);
	eventfd_ctx_do_read(eventfd, &count);
	if (count)
		irqfd_trigger(irqfd);
	spin_unlock_irqrestore(&irqfd->wqh->lock, flags);
	return 0;
}

static int irqfd_assign(struct privcmd_file *priv, const struct privcmd_irqfd *req, u64 dm_ops)
{
	struct file *eventfd_file;
	struct irqfd *irqfd;
	int err;

	irqfd = irqfd_create(req, dm_ops);
	if (IS_ERR(irqfd))
		return PTR_ERR(irqfd);

	eventfd_file = eventfd_fget(req->fd);
	if (IS_ERR(eventfd_file)) {
		kfree(irqfd);
		return PTR_ERR(eventfd_file);
	}

	mutex_lock(&priv->eventfds_lock);
	err = irqfd_start(priv, irqfd, eventfd_file);
	mutex_unlock(&priv->eventfds_lock);

	fput(eventfd_file);
	if (err)
		kfree(irqfd);
	return err;
}

static int irqfd_deassign(struct privcmd_file *priv, const struct privcmd_irqfd *req)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(req->fd);
	struct irqfd *irqfd;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);

	mutex_lock(&priv->eventfds_lock);
	irqfd = irqfd_find(priv, eventfd);
	if (irqfd)
		irqfd_end(priv, irqfd);
	mutex_unlock(&priv->eventfds_lock);

	eventfd_ctx_put(eventfd);
	return 0;
}

/**
 * privcmd_irqfd_check() - IRQFD: are the flags known?
 * @arg: the request.
 *
 * Return: 0 or -EINVAL.
 */
int privcmd_irqfd_check(const union privcmd_arg *arg)
{
	return arg->irqfd.flags & ~PRIVCMD_IRQFD_FLAG_DEASSIGN ? -EINVAL : 0;
}

/**
 * privcmd_irqfd() - IRQFD: issue an operation when an eventfd is written to.
 * @priv: the file, with which it ends.
 * @arg: the target, which has been checked, the operation and the eventfd.
 *
 * It is issued before the write ends if it is a message, but not for as many writes as
 * would take a processor's time.  Else a thread issues it, and writes that come before that
 * share it.  With PRIVCMD_IRQFD_FLAG_DEASSIGN it ends: what was written before has
 * been issued then, and nothing is issued any more.  It is over, too, when the eventfd's
 * last descriptor is closed.
 *
 * Return: 0, also if there is nothing to end; -E2BIG if the operation is larger
 * than any; -EINVAL if it is none that raises or lowers an interrupt, or if the
 * descriptor is no eventfd; -EBADF if it is none at all; -EBUSY if the file has
 * an operation for the eventfd; -ENOSPC if it has too many; -EFAULT; -ENOMEM.
 */
long privcmd_irqfd(struct privcmd_file *priv, union privcmd_arg *arg)
{
	const struct privcmd_irqfd *req = &arg->irqfd;

	return req->flags & PRIVCMD_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(priv, req) :
							  irqfd_assign(priv, req, U64_MAX);
}

/**
 * privcmd_irqfd_limited() - IRQFD, on a file with limits.
 * @priv: the file, with which it ends.
 * @arg: the target, which has been checked, the operation and the eventfd.
 * @limit: what the file has left.
 *
 * Return: as privcmd_irqfd(); -EPERM if the operation is gone.
 */
long privcmd_irqfd_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			   const struct privcmd_limit *limit)
{
	const struct privcmd_irqfd *req = &arg->irqfd;

	return req->flags & PRIVCMD_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(priv, req) :
							  irqfd_assign(priv, req, limit->dm_ops);
}

/**
 * privcmd_irqfds_release() - End all that a file has.
 * @priv: the file, which nobody uses any more.
 */
void privcmd_irqfds_release(struct privcmd_file *priv)
{
	struct irqfd *irqfd, *next;

	list_for_each_entry_safe(irqfd, next, &priv->irqfds, list)
		irqfd_end(priv, irqfd);
}
