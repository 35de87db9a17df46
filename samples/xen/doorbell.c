// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtio-mmio device of which there is nothing but its doorbell: each ring of
 * queue 0 interrupts the guest.  The backend, a process of its own, knows but two
 * eventfds.  The emulator serves all that rings no doorbell: reads give all ones.
 * Prints "ready" when the guest may use the device, then how often it has rung.
 *
 *	cc doorbell.c -o doorbell -lxendevicemodel -lxenevtchn -lxenforeignmemory
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define __XEN_TOOLS__
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xen/privcmd.h>

/* Ids from here on are reserved. */
#define FIRST_RESERVED_DOMID	0x7ff0

#if defined(__x86_64__)
#define MOST_INTERRUPT		0xff
#else
#define MOST_INTERRUPT		1019
#endif

#define PAGE		4096
#define SLOTS_PER_PAGE	(PAGE / sizeof(struct ioreq))

/* QueueNotify of virtio-mmio. */
#define NOTIFY		0x50

static domid_t dom;
static __u64 device;
static unsigned int vcpus;
static struct ioreq *slots;
static __u32 *ports;
static xenevtchn_handle *xce;

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "doorbell: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long parse(const char *what, const char *text, unsigned long long most)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (!errno && isdigit((unsigned char)*text) && !*end && value <= most)
		return value;
	fprintf(stderr, "doorbell: %s must be a number up to %#llx, not \"%s\"\n", what, most,
		text);
	exit(2);
}

static void ask_for_vcpus(int fd)
{
	struct privcmd_dm_nr_vcpus query = { .dom = dom };

	check(!ioctl(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &query), "cannot ask for the vCPUs");
	vcpus = query.vcpus;
}

static void make_ioreq_server(void)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
	size_t pages = (vcpus + SLOTS_PER_PAGE - 1) / SLOTS_PER_PAGE;
	void *addr = NULL;
	ioservid_t id;

	check(dmod && fmem, "cannot open Xen's interfaces");
	check(!xendevicemodel_create_ioreq_server(dmod, dom, HVM_IOREQSRV_BUFIOREQ_OFF, &id) &&
	      !xendevicemodel_map_io_range_to_ioreq_server(dmod, dom, id, 1, device,
							   device + PAGE - 1),
	      "cannot make an ioreq server");
	check(xenforeignmemory_map_resource(fmem, dom, XENMEM_resource_ioreq_server, id,
					    XENMEM_resource_ioreq_server_frame_ioreq(0), pages,
					    &addr, PROT_READ | PROT_WRITE, 0) != NULL,
	      "cannot map the slots");
	slots = addr;
	check(!xendevicemodel_set_ioreq_server_state(dmod, dom, id, 1),
	      "cannot enable the ioreq server");
}

static void bind_ports(void)
{
	xce = xenevtchn_open(NULL, 0);
	ports = calloc(vcpus, sizeof(*ports));
	check(xce && ports, "cannot open the event channels");
	for (unsigned int i = 0; i < vcpus; i++) {
		int port = xenevtchn_bind_interdomain(xce, dom, slots[i].vp_eport);

		check(port >= 0, "cannot bind an event channel");
		ports[i] = port;
	}
}

/* From here on, writes of 0 to the register reach the eventfd and not this program. */
static void add_doorbell(int fd, int kick)
{
	struct privcmd_ioeventfd doorbell = {
		.ioreq = (uintptr_t)slots,
		.ports = (uintptr_t)ports,
		.addr = device,
		.addr_len = 4,
		.event_fd = kick,
		.vcpus = vcpus,
		.vq = 0,
		.dom = dom,
	};

	check(!ioctl(fd, IOCTL_PRIVCMD_IOEVENTFD, &doorbell), "cannot add the doorbell");
}

/* x86: the vector of a message to vCPU 0; Arm: the number of an SPI. */
static void add_interrupt(int fd, int call, unsigned int number)
{
	struct xen_dm_op op = {
#if defined(__x86_64__)
		.op = XEN_DMOP_inject_msi,
		.u.inject_msi = { .addr = 0xfee00000, .data = number },
#else
		.op = XEN_DMOP_set_irq_level,
		.u.set_irq_level = { .irq = number, .level = 1 },
#endif
	};
	struct privcmd_irqfd irqfd = {
		.dm_op = (uintptr_t)&op,
		.size = sizeof(op),
		.fd = call,
		.dom = dom,
	};

	check(!ioctl(fd, IOCTL_PRIVCMD_IRQFD, &irqfd), "cannot add the interrupt");
}

/* It is there before any device is opened, and ends with the emulator. */
static void backend(int kick, int call)
{
	const __u64 one = 1;
	__u64 count;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(kick, &count, sizeof(count)) == sizeof(count)) {
		printf("%llu\n", (unsigned long long)count);
		fflush(stdout);
		check(write(call, &one, sizeof(one)) == sizeof(one), "cannot interrupt");
	}
	exit(1);
}

/* The state and the flags have no address of their own. */
static __u8 *state_of(struct ioreq *slot)
{
	return &slot->type - 1;
}

static int rings_doorbell(const struct ioreq *request)
{
	return request->type == IOREQ_TYPE_COPY && request->dir == IOREQ_WRITE &&
	       !request->data_is_ptr && request->count == 1 && request->size == 4 &&
	       request->addr == device + NOTIFY && !(request->data & 0xffff);
}

static void serve(unsigned int vcpu)
{
	struct ioreq *slot = &slots[vcpu], request;
	__u8 state = __atomic_load_n(state_of(slot), __ATOMIC_ACQUIRE);

	memcpy(&request, slot, sizeof(request));
	*state_of(&request) = state;
	/* The kernel serves a ring, or is about to. */
	if (request.state != STATE_IOREQ_READY || rings_doorbell(&request))
		return;

	if (request.dir == IOREQ_READ && !request.data_is_ptr)
		slot->data = ~0ULL;
	request.state = STATE_IORESP_READY;
	__atomic_store_n(state_of(slot), *state_of(&request), __ATOMIC_RELEASE);
	xenevtchn_notify(xce, ports[vcpu]);
}

int main(int argc, char **argv)
{
	int kick, call, fd;
	unsigned int interrupt;
	pid_t child;

	if (argc != 4) {
		fprintf(stderr, "Usage: doorbell DOMID ADDRESS INTERRUPT\n");
		return 2;
	}
	dom = parse("DOMID", argv[1], FIRST_RESERVED_DOMID - 1);
	device = parse("ADDRESS", argv[2], ~0ULL - PAGE);
	interrupt = parse("INTERRUPT", argv[3], MOST_INTERRUPT);
	kick = eventfd(0, EFD_CLOEXEC);
	call = eventfd(0, EFD_CLOEXEC);
	check(kick >= 0 && call >= 0, "cannot make eventfds");
	child = fork();
	check(child >= 0, "cannot start the backend");
	if (!child)
		backend(kick, call);

	fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	check(fd >= 0, "cannot open /dev/xen/privcmd");
	check(!ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &dom), "cannot restrict /dev/xen/privcmd");
	ask_for_vcpus(fd);
	make_ioreq_server();
	bind_ports();
	add_doorbell(fd, kick);
	add_interrupt(fd, call, interrupt);
	puts("ready");
	fflush(stdout);
	for (;;) {
		/* Each event has to be taken, those of rings too. */
		int port = xenevtchn_pending(xce);

		check(port >= 0 && !xenevtchn_unmask(xce, port), "lost the event channels");
		for (unsigned int i = 0; i < vcpus; i++)
			if (ports[i] == (__u32)port)
				serve(i);
	}
}
