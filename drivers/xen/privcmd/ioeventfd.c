// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOEVENTFD: a guest's write to a doorbell becomes a signal of an eventfd.
 *
 * A reader serves an ioreq server beside the emulator, on the same event
 * channels: it claims the requests that are for a doorbell and leaves the others
 * alone.  The guest and the emulator can write to the slots at any time.
 */

#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/virtio_mmio.h>
#include <linux/xarray.h>

#include <xen/dm-op.h>
#include <xen/events.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/hvm/ioreq.h>
#include <xen/interface/memory.h>

#include <asm/barrier.h>
#include <asm/sync_bitops.h>
#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

/* Of a file: they are searched in interrupts. */
#define MAX_DOORBELLS 1024

/*
 * Of an event channel, in all files.  The kernel counts its users in 16 bits, and
 * those of other drivers among them, without a look at the end.
 */
#define MAX_PORT_READERS 64

/* 32 bits, which every architecture reads at once. */
#define SLOT_WORDS (sizeof(struct ioreq) / sizeof(u32))

/**
 * struct doorbell - An eventfd and the write that signals it.
 * @list: in its reader's doorbells.
 * @eventfd: the eventfd.
 * @addr: the guest address.
 * @size: the write's size in bytes.
 * @value: the lower 16 bits of what is written, or all if it is a byte.
 */
struct doorbell {
	struct list_head list;
	struct eventfd_ctx *eventfd;
	u64 addr;
	u32 size;
	u32 value;
};

struct reader;

/**
 * struct reader_port - The event channel of a vCPU.
 * @reader: the reader.
 * @slot: the vCPU's slot.
 * @port: the event channel.
 * @irq: the interrupt that it is here.
 */
struct reader_port {
	struct reader *reader;
	struct ioreq *slot;
	evtchn_port_t port;
	unsigned int irq;
};

/**
 * struct reader - Serves doorbells of an ioreq server.
 * @list: in its file's readers; the file's eventfds_lock protects it.
 * @server: the server.
 * @ioreq: where the caller maps its slots, by which it names the server.
 * @ioreqs: the slots.
 * @lock: protects @doorbells.
 * @doorbells: those that are served.
 * @vcpus: number of entries in @ports that are in use.
 * @ports: the event channels, by vCPU.
 */
struct reader {
	struct list_head list;
	struct privcmd_ioreq_server server;
	unsigned long ioreq;
	struct privcmd_ioreqs *ioreqs;
	/* Taken in interrupts. */
	spinlock_t lock;
	struct list_head doorbells;
	unsigned int vcpus;
	struct reader_port ports[];
};

/* Each word is read once: what is checked is what is used. */
static struct ioreq read_slot(struct ioreq *slot)
{
	u32 *shared = (u32 *)slot;
	u32 words[SLOT_WORDS];
	struct ioreq request;
	unsigned int i = SLOT_WORDS - 1;

	/* Xen writes the state, which is in the last one, last. */
	words[i] = virt_load_acquire(&shared[i]);
	while (i--)
		words[i] = READ_ONCE(shared[i]);
	memcpy(&request, words, sizeof(request));
	return request;
}

/* The state and the flags, which have no address of their own, in one byte. */
static u8 *state_of(struct ioreq *slot)
{
	return &slot->type - 1;
}

static u8 with_state(struct ioreq request, unsigned int state)
{
	request.state = state;
	return *state_of(&request);
}

/*
 * Several readers may serve one server, and a request looked at may be answered by
 * another one, and be followed by the next request, any time before it is claimed.
 */
static DEFINE_SPINLOCK(claims_lock);

/* False if it is not there any more. */
static bool claim(struct ioreq *slot, const struct ioreq *request)
{
	u8 ready = with_state(*request, STATE_IOREQ_READY);
	u8 claimed = with_state(*request, STATE_IOREQ_INPROCESS);
	struct ioreq now;
	bool done;

	spin_lock(&claims_lock);
	now = read_slot(slot);
	done = !memcmp(&now, request, sizeof(now)) &&
	       sync_cmpxchg(state_of(slot), ready, claimed) == ready;
	spin_unlock(&claims_lock);

	return done;
}

static void answer(struct reader_port *port, const struct ioreq *request)
{
	u8 *state = state_of(port->slot);

	/* The signal comes first: the guest may look for its effect. */
	virt_store_release(state, with_state(*request, STATE_IORESP_READY));
	notify_remote_via_evtchn(port->port);
}

static bool is_write(const struct ioreq *request)
{
	return request->state == STATE_IOREQ_READY && request->type == IOREQ_TYPE_COPY &&
	       request->dir == IOREQ_WRITE && !request->data_is_ptr && request->count == 1;
}

/* Of what is written; what stands above a value of one byte is not part of it. */
static u32 value_mask(u32 size)
{
	return size == 1 ? U8_MAX : U16_MAX;
}

static bool rings(const struct ioreq *request, const struct doorbell *doorbell)
{
	return request->addr == doorbell->addr && request->size == doorbell->size &&
	       (request->data & value_mask(doorbell->size)) == doorbell->value;
}

/*
 * User space, which shares the event channel, has to unmask it again: it is told
 * of every event, so there is no end of interrupt from here.
 */
static irqreturn_t serve(int irq, void *data)
{
	struct reader_port *port = data;
	struct reader *reader = port->reader;
	struct ioreq request = read_slot(port->slot);
	struct doorbell *doorbell;
	irqreturn_t ret = IRQ_NONE;
	unsigned long flags;

	if (!is_write(&request))
		return IRQ_NONE;

	spin_lock_irqsave(&reader->lock, flags);
	list_for_each_entry(doorbell, &reader->doorbells, list) {
		if (!rings(&request, doorbell))
			continue;

		if (claim(port->slot, &request)) {
			eventfd_signal(doorbell->eventfd);
			ret = IRQ_HANDLED;
		}
		break;
	}
	spin_unlock_irqrestore(&reader->lock, flags);

	if (ret == IRQ_HANDLED)
		answer(port, &request);
	return ret;
}

/* Number of readers by event channel. */
static DEFINE_XARRAY(port_readers);
static DEFINE_MUTEX(port_readers_lock);

static int count_reader(evtchn_port_t port)
{
	unsigned long nr;
	int err = -ENOSPC;

	mutex_lock(&port_readers_lock);
	nr = xa_to_value(xa_load(&port_readers, port) ?: xa_mk_value(0));
	if (nr < MAX_PORT_READERS)
		err = xa_err(xa_store(&port_readers, port, xa_mk_value(nr + 1), GFP_KERNEL));
	mutex_unlock(&port_readers_lock);

	return err;
}

static void uncount_reader(evtchn_port_t port)
{
	unsigned long nr;

	mutex_lock(&port_readers_lock);
	nr = xa_to_value(xa_load(&port_readers, port));
	/* Neither needs memory. */
	if (nr > 1)
		xa_store(&port_readers, port, xa_mk_value(nr - 1), GFP_KERNEL);
	else
		xa_erase(&port_readers, port);
	mutex_unlock(&port_readers_lock);
}

/* Only what /dev/xen/evtchn has bound for user space, to this domain, is shared. */
static int bind(struct reader_port *port)
{
	struct evtchn_status status = { .dom = DOMID_SELF, .port = port->port };
	int err;

	err = evtchn_get(port->port);
	if (err)
		return -EINVAL;

	err = count_reader(port->port);
	if (err)
		goto put;

	err = HYPERVISOR_event_channel_op(EVTCHNOP_status, &status);
	if (!err && (status.status != EVTCHNSTAT_interdomain ||
		     status.u.interdomain.dom != port->reader->server.dom))
		err = -EINVAL;

	/* Takes a reference of its own. */
	if (!err)
		err = bind_evtchn_to_irqhandler_lateeoi(port->port, serve, IRQF_SHARED,
							"xen-ioeventfd", port);
	if (err < 0)
		uncount_reader(port->port);
put:
	evtchn_put(port->port);
	if (err < 0)
		return err;

	port->irq = err;
	return 0;
}

static void destroy_reader(struct reader *reader)
{
	while (reader->vcpus--) {
		struct reader_port *port = &reader->ports[reader->vcpus];

		unbind_from_irqhandler(port->irq, port);
		uncount_reader(port->port);
	}
	privcmd_ioreqs_unmap(reader->ioreqs);
	kvfree(reader);
}

static bool has_port(const struct reader *reader, evtchn_port_t port)
{
	unsigned int i;

	for (i = 0; i < reader->vcpus; i++)
		if (reader->ports[i].port == port)
			return true;

	return false;
}

static int bind_ports(struct reader *reader, const u32 *ports, unsigned int vcpus)
{
	while (reader->vcpus < vcpus) {
		struct reader_port *port = &reader->ports[reader->vcpus];
		int err;

		if (has_port(reader, ports[reader->vcpus]))
			return -EINVAL;

		port->port = ports[reader->vcpus];
		port->reader = reader;
		port->slot = privcmd_ioreqs_slot(reader->ioreqs, reader->vcpus);
		err = bind(port);
		if (err)
			return err;

		reader->vcpus++;
	}

	return 0;
}

static struct reader *create_reader(const struct privcmd_ioeventfd *req,
				    const struct privcmd_ioreq_server *server, const u32 *ports)
{
	struct reader *reader;
	int err;

	if (IS_ERR(ports))
		return ERR_CAST(ports);

	reader = kvzalloc(struct_size(reader, ports, req->vcpus), GFP_KERNEL_ACCOUNT);
	if (!reader)
		return ERR_PTR(-ENOMEM);

	reader->ioreqs = privcmd_ioreqs_map(server, req->vcpus);
	if (IS_ERR(reader->ioreqs)) {
		err = PTR_ERR(reader->ioreqs);
		kvfree(reader);
		return ERR_PTR(err);
	}

	reader->server = *server;
	reader->ioreq = req->ioreq;
	spin_lock_init(&reader->lock);
	INIT_LIST_HEAD(&reader->doorbells);

	err = bind_ports(reader, ports, req->vcpus);
	if (err) {
		destroy_reader(reader);
		return ERR_PTR(err);
	}

	return reader;
}

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
static struct reader *get_reader(struct privcmd_file *file, const struct privcmd_ioeventfd *req,
				 const struct privcmd_ioreq_server *server, const u32 *ports)
{
	struct reader *reader;

	list_for_each_entry(reader, &file->readers, list) {
		if (reader->server.mapping == server->mapping)
			return reader;
		if (reader->ioreq == req->ioreq || same_server(&reader->server, server))
			return ERR_PTR(-EBUSY);
	}

	reader = create_reader(req, server, ports);
	if (!IS_ERR(reader))
		list_add(&reader->list, &file->readers);
	return reader;
}

static struct reader *find_reader(struct privcmd_file *file, unsigned long ioreq)
{
	struct reader *reader;

	list_for_each_entry(reader, &file->readers, list)
		if (reader->ioreq == ioreq)
			return reader;

	return NULL;
}

static struct doorbell *find_doorbell(struct reader *reader, const struct eventfd_ctx *eventfd)
{
	struct doorbell *doorbell;

	list_for_each_entry(doorbell, &reader->doorbells, list)
		if (doorbell->eventfd == eventfd)
			return doorbell;

	return NULL;
}

/* Of two for the same write one would never ring. */
static bool has_such(const struct reader *reader, const struct doorbell *wanted)
{
	const struct doorbell *doorbell;

	list_for_each_entry(doorbell, &reader->doorbells, list)
		if (doorbell->addr == wanted->addr && doorbell->size == wanted->size &&
		    doorbell->value == wanted->value)
			return true;

	return false;
}

static int add_doorbell(struct privcmd_file *file, struct doorbell *doorbell,
			const struct privcmd_ioeventfd *req,
			const struct privcmd_ioreq_server *server, const u32 *ports)
{
	struct reader *reader;
	unsigned int i;

	if (file->nr_doorbells == MAX_DOORBELLS)
		return -ENOSPC;

	reader = get_reader(file, req, server, ports);
	if (IS_ERR(reader))
		return PTR_ERR(reader);
	if (find_doorbell(reader, doorbell->eventfd))
		return -EBUSY;
	if (has_such(reader, doorbell))
		return -EEXIST;

	spin_lock_irq(&reader->lock);
	list_add_tail(&doorbell->list, &reader->doorbells);
	spin_unlock_irq(&reader->lock);
	file->nr_doorbells++;

	/* For requests that are there already, the interrupt may have been before. */
	for (i = 0; i < reader->vcpus; i++)
		serve(reader->ports[i].irq, &reader->ports[i]);
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

static int assign(struct privcmd_file *file, const struct privcmd_ioeventfd *req)
{
	struct privcmd_ioreq_server server;
	struct doorbell *doorbell;
	u32 *ports;
	int err;

	if (req->addr_len != 1 && req->addr_len != 2 && req->addr_len != 4 && req->addr_len != 8)
		return -EINVAL;
	if (req->addr > U64_MAX - VIRTIO_MMIO_QUEUE_NOTIFY - req->addr_len)
		return -EINVAL;
	if (req->vq > value_mask(req->addr_len))
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

	mutex_lock(&file->eventfds_lock);
	err = add_doorbell(file, doorbell, req, &server, ports);
	mutex_unlock(&file->eventfds_lock);

	if (!IS_ERR(ports))
		kvfree(ports);
	if (!err)
		return 0;

	eventfd_ctx_put(doorbell->eventfd);
err_free:
	kfree(doorbell);
	return err;
}

/* No signal comes once this returned. */
static void remove_doorbell(struct reader *reader, struct doorbell *doorbell)
{
	spin_lock_irq(&reader->lock);
	list_del(&doorbell->list);
	spin_unlock_irq(&reader->lock);

	eventfd_ctx_put(doorbell->eventfd);
	kfree(doorbell);
}

static void remove_reader(struct reader *reader)
{
	list_del(&reader->list);
	destroy_reader(reader);
}

static int remove(struct privcmd_file *file, const struct privcmd_ioeventfd *req,
		  const struct eventfd_ctx *eventfd)
{
	struct reader *reader = find_reader(file, req->ioreq);
	struct doorbell *doorbell;

	if (!reader || reader->server.dom != req->dom || reader->vcpus != req->vcpus)
		return -ENODEV;

	doorbell = find_doorbell(reader, eventfd);
	if (!doorbell)
		return -ENODEV;

	remove_doorbell(reader, doorbell);
	file->nr_doorbells--;
	if (list_empty(&reader->doorbells))
		remove_reader(reader);
	return 0;
}

static int deassign(struct privcmd_file *file, const struct privcmd_ioeventfd *req)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(req->event_fd);
	int err;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);

	mutex_lock(&file->eventfds_lock);
	err = remove(file, req, eventfd);
	mutex_unlock(&file->eventfds_lock);

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
 * @file: the file, with which it ends.
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
long privcmd_ioeventfd(struct privcmd_file *file, union privcmd_arg *arg)
{
	const struct privcmd_ioeventfd *req = &arg->ioeventfd;

	return req->flags & PRIVCMD_IOEVENTFD_FLAG_DEASSIGN ? deassign(file, req) :
							      assign(file, req);
}

/**
 * privcmd_ioeventfd_limited() - IOEVENTFD, on a file with limits.
 * @file: the file, with which it ends.
 * @arg: the target, which has been checked, the doorbell and the eventfd.
 * @limit: what the file has left.
 *
 * A doorbell answers requests, that is, writes to the ioreq server's pages.
 *
 * Return: as privcmd_ioeventfd(); -EPERM if a doorbell is to be registered and ioreq
 * servers are gone, or the file maps for reading only.
 */
long privcmd_ioeventfd_limited(struct privcmd_file *file, union privcmd_arg *arg,
			       const struct privcmd_limit *limit)
{
	if (!(arg->ioeventfd.flags & PRIVCMD_IOEVENTFD_FLAG_DEASSIGN) &&
	    (limit->flags & PRIVCMD_LIMIT_READ_ONLY ||
	     !privcmd_resource_stays(limit, XENMEM_resource_ioreq_server)))
		return -EPERM;

	return privcmd_ioeventfd(file, arg);
}

/**
 * privcmd_ioeventfds_release() - End all that a file has.
 * @file: the file, which nobody uses any more.
 */
void privcmd_ioeventfds_release(struct privcmd_file *file)
{
	struct doorbell *doorbell, *next_doorbell;
	struct reader *reader, *next_reader;

	list_for_each_entry_safe(reader, next_reader, &file->readers, list) {
		list_for_each_entry_safe(doorbell, next_doorbell, &reader->doorbells, list)
			remove_doorbell(reader, doorbell);
		remove_reader(reader);
	}
}
