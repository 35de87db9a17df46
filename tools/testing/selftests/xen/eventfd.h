/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IRQFD and IOEVENTFD, and an ioreq server whose doorbells become eventfds.
 */

#ifndef SELFTESTS_XEN_EVENTFD_H
#define SELFTESTS_XEN_EVENTFD_H

#include "mapping.h"
#include "guest.h"

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#ifndef VCPUS
#define VCPUS		4
#endif

/* A virtio-mmio device; QueueNotify is the doorbell. */
#define DEVICE		0xfd000000
#define DEVICE_END	(DEVICE + 0xfff)
#define NOTIFY		0x50

#define NO_EVENTFDS \
	"this kernel has no eventfds for Xen: they take Linux 6.8 or newer"

static inline int irqfd(int fd, domid_t dom, int eventfd, const void *op, __u32 size)
{
	struct privcmd_irqfd arg = {
		.dm_op = (uintptr_t)op,
		.size = size,
		.fd = eventfd,
		.dom = dom,
	};

	return const_request(fd, IOCTL_PRIVCMD_IRQFD, &arg, sizeof(arg));
}

static inline int no_irqfd(int fd, domid_t dom, int eventfd)
{
	struct privcmd_irqfd arg = {
		.fd = eventfd,
		.flags = PRIVCMD_IRQFD_FLAG_DEASSIGN,
		.dom = dom,
	};

	return const_request(fd, IOCTL_PRIVCMD_IRQFD, &arg, sizeof(arg));
}

static inline int ioeventfd(int fd, struct privcmd_ioeventfd arg)
{
	return const_request(fd, IOCTL_PRIVCMD_IOEVENTFD, &arg, sizeof(arg));
}

/* Only an older kernel, or the stock driver, may have none. */
static inline bool has_eventfds(void)
{
	struct privcmd_irqfd arg = { .flags = ~0 };
	struct utsname kernel;
	int fd, ret, major, minor;

	if (!on_stock_driver() && !uname(&kernel) &&
	    sscanf(kernel.release, "%d.%d", &major, &minor) == 2 &&
	    (major > 6 || (major == 6 && minor >= 8)))
		return true;
	fd = privcmd_open();
	ret = request(fd, IOCTL_PRIVCMD_IRQFD, &arg);
	close(fd);
	return ret == -EINVAL;
}

static inline int new_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* How often it was signalled since it was asked. */
static inline __u64 count_of(int eventfd)
{
	__u64 count;

	return read(eventfd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static inline bool signal_eventfd(int eventfd)
{
	const __u64 one = 1;

	return write(eventfd, &one, sizeof(one)) == sizeof(one);
}

/* With its vCPUs and some memory, but never started. */
static inline int shell_create(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int dom = domain_create(DOMAIN_PVH, VCPUS);
	int ret = dom;

	if (dom > 0)
		ret = xc_domain_max_vcpus(xch, dom, VCPUS) ? -errno :
			populate(dom);
	xc_interface_close(xch);
	return ret ?: dom;
}

/* An ioreq server for the device, and its part of each vCPU. */
struct server {
	int fd;
	domid_t dom;
	xendevicemodel_handle *dmod;
	xenevtchn_handle *xce;
	ioservid_t id;
	struct ioreq *slots;
	__u32 ports[VCPUS];
};

static inline int map_slots(const struct server *server, const void *addr)
{
	return map_resource(server->fd, (struct privcmd_mmap_resource) {
		.dom = server->dom,
		.type = XENMEM_resource_ioreq_server,
		.id = server->id,
		.idx = XENMEM_resource_ioreq_server_frame_ioreq(0),
		.num = 1,
		.addr = (uintptr_t)addr,
	});
}

/* For a domain that has its vCPUs.  Answers with 0 or with a negative errno. */
static inline int server_create(struct server *server, domid_t dom)
{
	int ret, port;

	memset(server, 0, sizeof(*server));
	server->dom = dom;
	server->fd = privcmd_open();
	server->dmod = xendevicemodel_open(NULL, 0);
	server->xce = xenevtchn_open(NULL, 0);
	if (server->fd < 0 || !server->dmod || !server->xce)
		return -errno;
	if (xendevicemodel_create_ioreq_server(server->dmod, dom, HVM_IOREQSRV_BUFIOREQ_OFF,
					       &server->id) ||
	    xendevicemodel_map_io_range_to_ioreq_server(server->dmod, dom, server->id, 1,
							DEVICE, DEVICE_END))
		return -errno;
	server->slots = (void *)map_file(server->fd, 1);
	ret = map_slots(server, server->slots);
	if (ret)
		return ret;
	if (xendevicemodel_set_ioreq_server_state(server->dmod, dom, server->id, 1))
		return -errno;
	for (unsigned int i = 0; i < VCPUS; i++) {
		port = xenevtchn_bind_interdomain(server->xce, dom, server->slots[i].vp_eport);
		if (port < 0)
			return -errno;
		server->ports[i] = port;
	}
	return 0;
}

/*
 * Makes an ioreq server for a guest whose vCPU 0 answers interrupts by a doorbell, and lets
 * it run until it waits for the first one.  Answers with 0 or with a negative errno.
 */
static inline int server_start(struct server *server, struct guest *guest)
{
	int ret;

	guest->orders->work[0] = GUEST_ANSWERS_INTERRUPTS;
	guest->orders->doorbell = DEVICE + NOTIFY;
	ret = server_create(server, guest->dom);
	/* Each event channel has an event from the start. */
	for (unsigned int i = 0; !ret && i < VCPUS; i++) {
		int port = xenevtchn_pending(server->xce);

		if (port < 0 || xenevtchn_unmask(server->xce, port))
			ret = -errno;
	}
	ret = ret ?: guest_run(guest);
	for (int i = 0; !ret && !guest->reports[0].rounds; i++) {
		usleep(10000);
		if (i == 1000)
			ret = -ETIMEDOUT;
	}
	return ret;
}

static inline void server_destroy(struct server *server)
{
	close(server->fd);
	if (server->slots)
		munmap(server->slots, PAGE);
	if (server->xce)
		xenevtchn_close(server->xce);
	xendevicemodel_close(server->dmod);
}

static inline struct privcmd_ioeventfd doorbell(const struct server *server, int eventfd,
						unsigned int queue)
{
	return (struct privcmd_ioeventfd) {
		.ioreq = (uintptr_t)server->slots,
		.ports = (uintptr_t)server->ports,
		.addr = DEVICE,
		.addr_len = 4,
		.event_fd = eventfd,
		.vcpus = VCPUS,
		.vq = queue,
		.dom = server->dom,
	};
}

static inline struct privcmd_ioeventfd no_doorbell(const struct server *server, int eventfd)
{
	struct privcmd_ioeventfd arg = doorbell(server, eventfd, 0);

	arg.flags = PRIVCMD_IOEVENTFD_FLAG_DEASSIGN;
	return arg;
}

/* The state and the flags have no address of their own. */
static inline __u8 *state_of(struct ioreq *slot)
{
	return &slot->type - 1;
}

/* The state is what others have written last. */
static inline struct ioreq read_slot(struct ioreq *slot)
{
	__u8 state = __atomic_load_n(state_of(slot), __ATOMIC_ACQUIRE);
	struct ioreq request;

	memcpy(&request, slot, sizeof(request));
	*state_of(&request) = state;
	return request;
}

static inline void write_state(struct ioreq *slot, struct ioreq request, unsigned int state)
{
	request.state = state;
	__atomic_store_n(state_of(slot), *state_of(&request), __ATOMIC_RELEASE);
}

/*
 * Makes a guest, one of whose vCPUs rings and the other one is interrupted, and
 * starts samples/xen/doorbell for it.  Answers with what that prints from there on
 * when the guest may run, or with NULL if it does not come to that.
 */
static inline FILE *sample_start(struct guest *guest, unsigned int rounds, pid_t *child)
{
	char address[16], interrupt[16], line[16];
	FILE *output;
	int pipes[2];

	if (guest_create(guest, 2))
		return NULL;
	guest->orders->start[1] = 1;
	guest->orders->work[0] = GUEST_TAKES_INTERRUPTS;
	guest->orders->work[1] = GUEST_RINGS_DOORBELLS;
	guest->orders->doorbell = DEVICE + NOTIFY;
	guest->orders->queues = 1;
	guest->orders->rounds = rounds;
	snprintf(address, sizeof(address), "%#x", DEVICE);
	snprintf(interrupt, sizeof(interrupt), "%d", GUEST_INTERRUPT);
	if (pipe2(pipes, O_CLOEXEC))
		return NULL;
	*child = fork();
	if (!*child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipes[1], STDOUT_FILENO);
		execl(path_beside_program("doorbell"), "doorbell", guest->text, address,
		      interrupt, NULL);
		_exit(127);
	}
	close(pipes[1]);
	output = fdopen(pipes[0], "r");
	return output && fgets(line, sizeof(line), output) ? output : NULL;
}

#endif /* SELFTESTS_XEN_EVENTFD_H */
