// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reader of an ioreq server's slots, which rings the doorbells of IOEVENTFD.
 *
 * A reader serves an ioreq server beside the emulator, on the same event
 * channels: it claims the requests that are for a doorbell and leaves the others
 * alone.  The guest and the emulator can write to the slots at any time.
 */

#include <linux/cache.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/hashtable.h>
#include <linux/interrupt.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include <xen/events.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/hvm/ioreq.h>

#include <asm/barrier.h>
#include <asm/sync_bitops.h>
#include <asm/xen/hypercall.h>

#include "mapping.h"
#include "privcmd_private.h"
#include "reader.h"

/*
 * Of an event channel, in all files.  Where handlers run in threads, an interrupt has 64
 * of them, and /dev/xen/evtchn's is one.
 */
#define MAX_PORT_READERS 63

/* 32 bits, which every architecture reads at once. */
#define SLOT_WORDS (sizeof(struct ioreq) / sizeof(u32))

/* Each word is read once: what is checked is what is used. */
static struct ioreq slot_read(struct ioreq *slot)
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
static u8 *slot_state(struct ioreq *slot)
{
	return &slot->type - 1;
}

static u8 with_state(struct ioreq request, unsigned int state)
{
	request.state = state;
	return *slot_state(&request);
}

/*
 * Several readers may serve one server, and a request looked at may be answered by
 * another one, and be followed by the next request, any time before it is claimed.
 */
#define NR_CLAIMS 64

static struct {
	/* Readers of different domains seldom have the same one. */
	spinlock_t lock;
} ____cacheline_aligned_in_smp claims[NR_CLAIMS] = {
	[0 ... NR_CLAIMS - 1] = { .lock = __SPIN_LOCK_UNLOCKED(claims.lock) },
};

/* False if it is not there any more. */
static bool slot_claim(const struct reader_port *port, const struct ioreq *request)
{
	spinlock_t *lock = &claims[port->reader->server.dom % NR_CLAIMS].lock;
	u8 ready = with_state(*request, STATE_IOREQ_READY);
	u8 claimed = with_state(*request, STATE_IOREQ_INPROCESS);
	struct ioreq now;
	bool done;

	spin_lock(lock);
	now = slot_read(port->slot);
	done = !memcmp(&now, request, sizeof(now)) &&
	       sync_cmpxchg(slot_state(port->slot), ready, claimed) == ready;
	spin_unlock(lock);

	return done;
}

static void slot_answer(struct reader_port *port, const struct ioreq *request)
{
	u8 *state = slot_state(port->slot);

	/* The signal comes first: the guest may look for its effect. */
	virt_store_release(state, with_state(*request, STATE_IORESP_READY));
	notify_remote_via_evtchn(port->port);
}

static bool doorbell_is_write(const struct ioreq *request)
{
	return request->state == STATE_IOREQ_READY && request->type == IOREQ_TYPE_COPY &&
	       request->dir == IOREQ_WRITE && !request->data_is_ptr && request->count == 1;
}

static u64 doorbell_key(u64 addr, u32 value)
{
	return addr + value;
}

/**
 * privcmd_reader_find() - Find the doorbell of a write.
 * @reader: the reader.
 * @addr: the guest address.
 * @size: the write's size in bytes.
 * @value: what doorbell_mask() leaves of what is written.
 *
 * How long it takes does not depend on how many there are, unless the addresses were
 * chosen for that.
 *
 * Context: The caller holds the reader's lock, or that under which doorbells come and go.
 * Return: the doorbell, or NULL.
 */
struct doorbell *privcmd_reader_find(const struct reader *reader, u64 addr, u32 size, u32 value)
{
	struct doorbell *doorbell;

	hash_for_each_possible(reader->doorbells, doorbell, node, doorbell_key(addr, value))
		if (doorbell->addr == addr && doorbell->size == size && doorbell->value == value)
			return doorbell;

	return NULL;
}

/*
 * User space, which shares the event channel, has to unmask it again: it is told
 * of every event, so there is no end of interrupt from here.
 */
static irqreturn_t reader_serve(int irq, void *data)
{
	struct reader_port *port = data;
	struct reader *reader = port->reader;
	struct ioreq request = slot_read(port->slot);
	struct doorbell *doorbell;
	irqreturn_t ret = IRQ_NONE;
	unsigned long flags;
	u32 value;

	if (!doorbell_is_write(&request))
		return IRQ_NONE;

	value = request.data & doorbell_mask(request.size);
	spin_lock_irqsave(&reader->lock, flags);
	doorbell = privcmd_reader_find(reader, request.addr, request.size, value);
	if (doorbell && slot_claim(port, &request)) {
		eventfd_signal(doorbell->eventfd);
		ret = IRQ_HANDLED;
	}
	spin_unlock_irqrestore(&reader->lock, flags);

	if (ret == IRQ_HANDLED)
		slot_answer(port, &request);
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

/*
 * Only what /dev/xen/evtchn has bound for user space, to this domain, is shared.
 *
 * The kernel counts an event channel's users, those of other drivers among them, in 16
 * bits.  evtchn_get() looks at the end of that, and binding the channel again does not.
 */
static int reader_bind(struct reader_port *port)
{
	struct evtchn_status status = { .dom = DOMID_SELF, .port = port->port };
	int err;

	err = evtchn_get(port->port);
	if (err)
		return -EINVAL;

	err = count_reader(port->port);
	if (err)
		goto err_put;

	err = HYPERVISOR_event_channel_op(EVTCHNOP_status, &status);
	if (!err && (status.status != EVTCHNSTAT_interdomain ||
		     status.u.interdomain.dom != port->reader->server.dom))
		err = -EINVAL;
	if (err)
		goto err_uncount;

	port->irq = irq_from_evtchn(port->port);
	err = request_irq(port->irq, reader_serve, IRQF_SHARED, "xen-ioeventfd", port);
	if (err)
		goto err_uncount;

	return 0;

err_uncount:
	uncount_reader(port->port);
err_put:
	evtchn_put(port->port);
	return err;
}

/**
 * privcmd_reader_destroy() - Serve an ioreq server no more.
 * @reader: the reader, which has no doorbells.
 */
void privcmd_reader_destroy(struct reader *reader)
{
	while (reader->vcpus--) {
		struct reader_port *port = &reader->ports[reader->vcpus];

		free_irq(port->irq, port);
		evtchn_put(port->port);
		uncount_reader(port->port);
	}
	privcmd_ioreqs_unmap(reader->ioreqs);
	kvfree(reader);
}

static bool reader_has_port(const struct reader *reader, evtchn_port_t port)
{
	unsigned int i;

	for (i = 0; i < reader->vcpus; i++)
		if (reader->ports[i].port == port)
			return true;

	return false;
}

static int reader_bind_ports(struct reader *reader, const u32 *ports, unsigned int vcpus)
{
	while (reader->vcpus < vcpus) {
		struct reader_port *port = &reader->ports[reader->vcpus];
		int err;

		if (reader_has_port(reader, ports[reader->vcpus]))
			return -EINVAL;

		port->port = ports[reader->vcpus];
		port->reader = reader;
		port->slot = privcmd_ioreqs_slot(reader->ioreqs, reader->vcpus);
		err = reader_bind(port);
		if (err)
			return err;

		reader->vcpus++;
	}

	return 0;
}

/**
 * privcmd_reader_create() - Begin to serve an ioreq server.
 * @req: the request, by which the caller names the server and the event channels.
 * @server: the server.
 * @ports: the event channels, by vCPU, or an ERR_PTR().
 *
 * Return: a reader without doorbells, or an ERR_PTR().
 */
struct reader *privcmd_reader_create(const struct privcmd_ioeventfd *req,
				     const struct privcmd_ioreq_server *server,
				     const u32 *ports)
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
	hash_init(reader->doorbells);

	err = reader_bind_ports(reader, ports, req->vcpus);
	if (err) {
		privcmd_reader_destroy(reader);
		return ERR_PTR(err);
	}

	return reader;
}

/**
 * privcmd_reader_add() - Have a doorbell ring.
 * @reader: the reader.
 * @doorbell: the doorbell.
 */
void privcmd_reader_add(struct reader *reader, struct doorbell *doorbell)
{
	unsigned int i;

	spin_lock_irq(&reader->lock);
	hash_add(reader->doorbells, &doorbell->node,
		 doorbell_key(doorbell->addr, doorbell->value));
	spin_unlock_irq(&reader->lock);

	/* For requests that are there already, the interrupt may have been before. */
	for (i = 0; i < reader->vcpus; i++)
		reader_serve(reader->ports[i].irq, &reader->ports[i]);
}

/**
 * privcmd_reader_remove() - Have a doorbell end.
 * @reader: the reader.
 * @doorbell: the doorbell, which is freed.
 *
 * No signal comes once this returned.
 */
void privcmd_reader_remove(struct reader *reader, struct doorbell *doorbell)
{
	spin_lock_irq(&reader->lock);
	hash_del(&doorbell->node);
	spin_unlock_irq(&reader->lock);

	eventfd_ctx_put(doorbell->eventfd);
	kfree(doorbell);
}
