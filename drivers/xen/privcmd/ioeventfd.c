// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOEVENTFD: a guest's write to a doorbell becomes a signal of an eventfd.
 */

#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/virtio_mmio.h>

#include <xen/dm-op.h>
#include <xen/interface/memory.h>

#include "mapping.h"
#include "privcmd_private.h"
#include "reader.h"

/* Of a file: they are searched in interrupts. */
#define MAX_DOORBELLS 1024

static bool same_server(const struct privcmd_ioreq_server *a,
			const struct privcmd_ioreq_server *b)
{
	return a->dom == b->dom && a->id == b->id;
}

/*
 * A file has one reader for a server, by one mapping.  With one for each mapping
 * there would be no end of handlers of the same event channels, whose users the
 * kernel counts in 16 bits.
 */
static struct reader *get_reader(struct privcmd_file *priv, const struct privcmd_ioeventfd *req,
				 const struct privcmd_ioreq_server *server, const u32 *ports)
{
	struct reader *reader;

	list_for_each_entry(reader, &priv->readers, list) {
		if (reader->server.mapping == server->mapping)
			return reader;
		if (reader->ioreq == req->ioreq || same_server(&reader->server, server))
			return ERR_PTR(-EBUSY);
	}

	reader = privcmd_reader_create(req, server, ports);
	if (!IS_ERR(reader))
		list_add(&reader->list, &priv->readers);
	return reader;
}

static struct reader *find_reader(struct privcmd_file *priv, unsigned long ioreq)
{
	struct reader *reader;

	list_for_each_entry(reader, &priv->readers, list)
		if (reader->ioreq == ioreq)
			return reader;

	return NULL;
}

static struct doorbell *find_doorbell(struct reader *reader, const struct eventfd_ctx *eventfd)
{
	struct doorbell *doorbell;
	unsigned int bucket;

	hash_for_each(reader->doorbells, bucket, doorbell, node)
		if (doorbell->eventfd == eventfd)
			return doorbell;

	return NULL;
}

/* Of two for the same write one would never ring. */
static bool has_such_doorbell(const struct reader *reader, const struct doorbell *wanted)
{
	return privcmd_reader_find(reader, wanted->addr, wanted->size, wanted->value);
}

static int add_doorbell(struct privcmd_file *priv, struct doorbell *doorbell,
			const struct privcmd_ioeventfd *req,
			const struct privcmd_ioreq_server *server, const u32 *ports)
{
	struct reader *reader;

	if (priv->nr_doorbells == MAX_DOORBELLS)
		return -ENOSPC;

	reader = get_reader(priv, req, server, ports);
	if (IS_ERR(reader))
		return PTR_ERR(reader);
	if (find_doorbell(reader, doorbell->eventfd))
		return -EBUSY;
	if (has_such_doorbell(reader, doorbell))
		return -EEXIST;

	privcmd_reader_add(reader, doorbell);
	priv->nr_doorbells++;
	return 0;
}

/* Whose slots they are, and whether the caller knows how many. */
static int find_server(const struct privcmd_ioeventfd *req, struct privcmd_ioreq_server *server)
{
	unsigned int vcpus;
	int err;

	err = privcmd_mapping_get_server(req->ioreq, server);
	if (err)
		return err;
	if (server->dom != req->dom)
		return -EINVAL;

	err = xen_dm_nr_vcpus(req->dom, &vcpus);
	if (err)
		return err;

	return req->vcpus == vcpus ? 0 : -EINVAL;
}

static int ioeventfd_assign(struct privcmd_file *priv, const struct privcmd_ioeventfd *req)
{
	struct privcmd_ioreq_server server;
	struct doorbell *doorbell;
	u32 *ports;
	int err;

	if (req->addr_len != 1 && req->addr_len != 2 && req->addr_len != 4 && req->addr_len != 8)
		return -EINVAL;
	if (req->addr > U64_MAX - VIRTIO_MMIO_QUEUE_NOTIFY - req->addr_len)
		return -EINVAL;
	if (req->vq > doorbell_mask(req->addr_len))
		return -EINVAL;

	err = find_server(req, &server);
	if (err)
		return err;

	doorbell = kzalloc_obj(*doorbell, GFP_KERNEL_ACCOUNT);
	if (!doorbell)
		return -ENOMEM;

	doorbell->addr = req->addr + VIRTIO_MMIO_QUEUE_NOTIFY;
	doorbell->size = req->addr_len;
	doorbell->value = req->vq;
	doorbell->eventfd = eventfd_ctx_fdget(req->event_fd);
	if (IS_ERR(doorbell->eventfd)) {
		err = PTR_ERR(doorbell->eventfd);
		goto err_free;
	}

	/*
	 * The caller's memory may keep this waiting, and must not keep others: it is
	 * read before the lock, and before it is known whether it is needed.
	 */
	ports = vmemdup_array_user(u64_to_user_ptr(req->ports), req->vcpus, sizeof(*ports));

	mutex_lock(&priv->eventfds_lock);
	err = add_doorbell(priv, doorbell, req, &server, ports);
	mutex_unlock(&priv->eventfds_lock);

	if (!IS_ERR(ports))
		kvfree(ports);
	if (!err)
		return 0;

	eventfd_ctx_put(doorbell->eventfd);
err_free:
	kfree(doorbell);
	return err;
}

static void remove_reader(struct reader *reader)
{
	list_del(&reader->list);
	privcmd_reader_destroy(reader);
}

static int ioeventfd_remove(struct privcmd_file *priv, const struct privcmd_ioeventfd *req,
			    const struct eventfd_ctx *eventfd)
{
	struct reader *reader = find_reader(priv, req->ioreq);
	struct doorbell *doorbell;

	if (!reader || reader->server.dom != req->dom || reader->vcpus != req->vcpus)
		return -ENODEV;

	doorbell = find_doorbell(reader, eventfd);
	if (!doorbell)
		return -ENODEV;

	privcmd_reader_remove(reader, doorbell);
	priv->nr_doorbells--;
	if (hash_empty(reader->doorbells))
		remove_reader(reader);
	return 0;
}

static int ioeventfd_deassign(struct privcmd_file *priv, const struct privcmd_ioeventfd *req)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(req->event_fd);
	int err;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);

	mutex_lock(&priv->eventfds_lock);
	err = ioeventfd_remove(priv, req, eventfd);
	mutex_unlock(&priv->eventfds_lock);

	eventfd_ctx_put(eventfd);
	return err;
}

/**
 * privcmd_ioeventfd_check() - IOEVENTFD: are the flags known?
 * @arg: the request.
 *
 * Return: 0 or -EINVAL.
 */
int privcmd_ioeventfd_check(const union privcmd_arg *arg)
{
	return arg->ioeventfd.flags & ~PRIVCMD_IOEVENTFD_FLAG_DEASSIGN ? -EINVAL : 0;
}

/**
 * privcmd_ioeventfd() - IOEVENTFD: signal an eventfd when a guest rings a doorbell.
 * @priv: the file, with which it ends.
 * @arg: the target, which has been checked, the doorbell and the eventfd.
 *
 * With PRIVCMD_IOEVENTFD_FLAG_DEASSIGN it ends: no signal comes any more then.
 *
 * Return: 0; -EINVAL if the slots are not those of an ioreq server of the domain,
 * mapped from the start of a mapping on, if the number of vCPUs is not that of the
 * domain, if there is no write of that length, at that address or of that value, if
 * an event channel was not bound to the domain with /dev/xen/evtchn or is named
 * twice, or if the descriptor is no eventfd; -EBADF if it is none at all; -EBUSY if
 * the eventfd has a doorbell there already, or if the file has doorbells of that
 * server, or at that address, by another mapping; -EEXIST if it has one for that
 * write; -ENOSPC if the file or an event channel has too many; -ENODEV if there is
 * nothing to end; -EFAULT; -ENOMEM; or the hypervisor's error.
 */
long privcmd_ioeventfd(struct privcmd_file *priv, union privcmd_arg *arg)
{
	const struct privcmd_ioeventfd *req = &arg->ioeventfd;

	return req->flags & PRIVCMD_IOEVENTFD_FLAG_DEASSIGN ? ioeventfd_deassign(priv, req) :
							      ioeventfd_assign(priv, req);
}

/**
 * privcmd_ioeventfd_limited() - IOEVENTFD, on a file with limits.
 * @priv: the file, with which it ends.
 * @arg: the target, which has been checked, the doorbell and the eventfd.
 * @limit: what the file has left.
 *
 * A doorbell answers requests, that is, writes to the ioreq server's pages.
 *
 * Return: as privcmd_ioeventfd(); -EPERM if a doorbell is to be registered and ioreq
 * servers are gone, or the file maps for reading only.
 */
long privcmd_ioeventfd_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			       const struct privcmd_limit *limit)
{
	if (!(arg->ioeventfd.flags & PRIVCMD_IOEVENTFD_FLAG_DEASSIGN) &&
	    (limit->flags & PRIVCMD_LIMIT_READ_ONLY ||
	     !privcmd_resource_stays(limit, XENMEM_resource_ioreq_server)))
		return -EPERM;

	return privcmd_ioeventfd(priv, arg);
}

/**
 * privcmd_ioeventfds_release() - End all that a file has.
 * @priv: the file, which nobody uses any more.
 */
void privcmd_ioeventfds_release(struct privcmd_file *priv)
{
	struct reader *reader, *next_reader;
	struct hlist_node *next_doorbell;
	struct doorbell *doorbell;
	unsigned int bucket;

	list_for_each_entry_safe(reader, next_reader, &priv->readers, list) {
		hash_for_each_safe(reader->doorbells, bucket, next_doorbell, doorbell, node)
			privcmd_reader_remove(reader, doorbell);
		remove_reader(reader);
	}
}
