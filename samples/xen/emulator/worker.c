// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that serves the guest's requests.  It can make one device-model
 * operation, which interrupts the guest, and takes nothing in the pages that it
 * shares with Xen for granted: whoever wrote there, it answers or ignores.
 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xen/privcmd.h>

#include "emulator.h"

#define PAGE		4096
#define ALL_ONES	(~(__u64)0)
#define SLOTS_PER_PAGE	(PAGE / sizeof(struct ioreq))

/* As the address of an MSI names a local APIC.  Xen gives vCPUs every other id. */
#define LOCAL_APIC(vcpu)	(0xfee00000 | 2 * (vcpu) << 12)

/* The state and the flags, which have no address of their own, in one byte. */
#define STATE_OFFSET	(offsetof(struct ioreq, type) - 1)

static_assert(sizeof(struct ioreq) == 4 * sizeof(__u64), "a slot is 4 words");
static_assert(PAGE % sizeof(struct ioreq) == 0, "slots fill whole pages");

struct worker {
	const struct options *options;
	unsigned int vcpus;
	xendevicemodel_handle *dmod;
	xenevtchn_handle *xce;
	/* One of each for every vCPU. */
	struct ioreq *slots;
	evtchn_port_t *ports;
	struct device device;
};

/*
 * Asks before the filter, which has no room for it; 0 if there is no need to,
 * or no answer.
 */
static unsigned int ask_without_the_command(const struct worker *worker, int fd)
{
	unsigned int vcpus = 0;

	if (!ioctl(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, NULL) || errno != ENOTTY)
		return 0;
	complain("xen-privcmd without DM_NR_VCPUS: asking xendevicemodel_nr_vcpus()");
	if (xendevicemodel_nr_vcpus(worker->dmod, worker->options->dom, &vcpus))
		return 0;
	return vcpus;
}

static unsigned int ask_driver(int fd, domid_t dom)
{
	struct privcmd_dm_nr_vcpus query = { .dom = dom };

	if (ioctl(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &query))
		fail(NOT_STARTED, "cannot ask for domain %u's vCPUs: %s", dom,
		     strerror(errno));
	return query.vcpus;
}

static void map_slots(struct worker *worker, xenforeignmemory_handle *fmem,
		      ioservid_t id)
{
	size_t pages = (worker->vcpus + SLOTS_PER_PAGE - 1) / SLOTS_PER_PAGE;
	void *addr = NULL;

	if (!xenforeignmemory_map_resource(fmem, worker->options->dom,
					   XENMEM_resource_ioreq_server, id,
					   XENMEM_resource_ioreq_server_frame_ioreq(0),
					   pages, &addr, PROT_READ | PROT_WRITE,
					   0))
		fail(NOT_STARTED, "cannot map ioreq server %u's %zu pages: %s",
		     id, pages, strerror(errno));
	worker->slots = addr;
}

static void bind_ports(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->vcpus; i++) {
		evtchn_port_t remote = __atomic_load_n(&worker->slots[i].vp_eport,
						       __ATOMIC_RELAXED);
		int port = xenevtchn_bind_interdomain(worker->xce,
						      worker->options->dom,
						      remote);

		if (port < 0)
			fail(NOT_STARTED, "cannot bind vCPU %u's event channel %u: %s",
			     i, remote, strerror(errno));
		worker->ports[i] = port;
	}
}

/* Whether the access lies in the device's registers that start at a base. */
static bool is_inside(const struct ioreq *request, __u64 base)
{
	return request->addr >= base && request->addr - base < DEVICE_LENGTH &&
	       request->size <= DEVICE_LENGTH - (request->addr - base);
}

/* The vCPU takes it when its request is answered, not before. */
static void interrupt_vcpu(const struct worker *worker, unsigned int vcpu, __u8 vector)
{
	if (worker->options->interrupts &&
	    xendevicemodel_inject_msi(worker->dmod, worker->options->dom,
				      LOCAL_APIC(vcpu), vector))
		complain("cannot interrupt vCPU %u: %s", vcpu, strerror(errno));
}

/*
 * Answers a request that is the worker's own copy.  Reading what is not there
 * gives all ones, writing to it does nothing.  Neither string instructions nor
 * data in the guest's memory are for this device: count is 1 and df, which
 * gives their direction, says nothing.
 */
static __u64 answer(struct worker *worker, unsigned int vcpu,
		    const struct ioreq *request)
{
	const struct options *options = worker->options;
	__u64 base;
	__u8 vector;

	switch (request->type) {
	case IOREQ_TYPE_PIO:
		base = options->ports;
		break;
	case IOREQ_TYPE_COPY:
		base = options->memory;
		break;
	default:
		/* Some go to all ioreq servers and ask for nothing here. */
		return ALL_ONES;
	}
	if ((request->size != 1 && request->size != 2 && request->size != 4 &&
	     request->size != 8) || request->count != 1 ||
	    request->data_is_ptr || !is_inside(request, base))
		return ALL_ONES;

	if (request->dir == IOREQ_READ)
		return device_read(&worker->device, vcpu, request->addr - base,
				   request->size);
	vector = device_write(&worker->device, vcpu, request->addr - base,
			      request->size, request->data);
	if (vector)
		interrupt_vcpu(worker, vcpu, vector);
	return ALL_ONES;
}

/*
 * Copies a slot.  Each word is read once: what is checked is what is used.  The
 * state is in the last one, which Xen has written last.
 */
static struct ioreq read_slot(const struct ioreq *slot)
{
	const __u64 *shared = (const void *)slot;
	struct ioreq copy;
	__u64 words[4];

	for (int i = 3; i >= 0; i--)
		words[i] = __atomic_load_n(&shared[i], __ATOMIC_ACQUIRE);
	memcpy(&copy, words, sizeof(copy));
	return copy;
}

/* Writes the state from a copy of the slot, after all that was written before. */
static void write_state(struct ioreq *slot, struct ioreq *copy, unsigned int state)
{
	copy->state = state;
	__atomic_store_n((__u8 *)slot + STATE_OFFSET,
			 ((__u8 *)copy)[STATE_OFFSET], __ATOMIC_RELEASE);
}

/* Serves a vCPU's slot if there is a request in it. */
static void serve(struct worker *worker, unsigned int vcpu)
{
	struct ioreq *slot = &worker->slots[vcpu];
	struct ioreq request = read_slot(slot);
	__u64 value;

	/* In process is what an emulator left that died while it served. */
	if (request.state != STATE_IOREQ_READY &&
	    request.state != STATE_IOREQ_INPROCESS)
		return;
	write_state(slot, &request, STATE_IOREQ_INPROCESS);
	value = answer(worker, vcpu, &request);
	if (request.dir == IOREQ_READ && !request.data_is_ptr)
		__atomic_store_n(&slot->data, value, __ATOMIC_RELAXED);
	write_state(slot, &request, STATE_IORESP_READY);
	xenevtchn_notify(worker->xce, worker->ports[vcpu]);
}

static void serve_all(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->vcpus; i++)
		serve(worker, i);
}

static void serve_event(struct worker *worker)
{
	int port = xenevtchn_pending(worker->xce);

	if (port < 0 || xenevtchn_unmask(worker->xce, port))
		fail(WORKER_DIED, "lost the event channels: %s", strerror(errno));
	for (unsigned int i = 0; i < worker->vcpus; i++)
		if (worker->ports[i] == (evtchn_port_t)port)
			serve(worker, i);
}

/* Ends when the keeper closes the pipe, or dies. */
static void loop(struct worker *worker, int pipe)
{
	struct pollfd fds[] = {
		{ .fd = xenevtchn_fd(worker->xce), .events = POLLIN },
		{ .fd = pipe, .events = POLLIN },
	};

	for (;;) {
		if (ppoll(fds, 2, NULL, NULL) < 0)
			continue;
		if (fds[1].revents)
			break;
		serve_event(worker);
	}
	serve_all(worker);
}

enum exit_status worker(const struct options *options, int pipe)
{
	struct worker worker = { .options = options };
	const pid_t self = getpid();
	xenforeignmemory_handle *fmem;
	ioservid_t id;
	int fd;

	fd = sandbox_open_privcmd();
	fmem = xenforeignmemory_open(NULL, 0);
	worker.dmod = xendevicemodel_open(NULL, 0);
	worker.xce = xenevtchn_open(NULL, 0);
	if (!fmem || !worker.dmod || !worker.xce)
		fail(NOT_STARTED, "cannot open Xen's interfaces: %s",
		     strerror(errno));
	worker.vcpus = ask_without_the_command(&worker, fd);
	sandbox_restrict(options->dom);
	sandbox_limit(options->interrupts ? WORKER_SERVES_AND_INTERRUPTS : WORKER_SERVES);
	sandbox_drop_privileges(options->uid);
	sandbox_filter_worker(options->interrupts);

	/* If there is no ioreq server, the keeper has said why. */
	if (read(pipe, &id, sizeof(id)) != sizeof(id))
		return NOT_STARTED;
	if (!worker.vcpus)
		worker.vcpus = ask_driver(fd, options->dom);
	worker.ports = calloc(worker.vcpus, sizeof(*worker.ports));
	worker.device.scratch = calloc(worker.vcpus,
				       sizeof(*worker.device.scratch));
	if (!worker.ports || !worker.device.scratch)
		fail(NOT_STARTED, "no memory for %u vCPUs", worker.vcpus);

	map_slots(&worker, fmem, id);
	bind_ports(&worker);
	/* Requests that nobody was there to take, or that somebody left. */
	serve_all(&worker);
	printf("ready: domain %u, %u vCPUs, ioreq server %u, served by process %d\n",
	       options->dom, worker.vcpus, id, self);
	fflush(stdout);
	loop(&worker, pipe);
	return DONE;
}
