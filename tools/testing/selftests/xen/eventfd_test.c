// SPDX-License-Identifier: GPL-2.0-only
/*
 * IRQFD and IOEVENTFD: what is refused, and what rings a doorbell.
 */

#include "eventfd.h"
#include "modules.h"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>
#include <xen/hvm/save.h>

#define MAX_DOORBELLS	1024
#define MAX_READERS	63
#define MAX_IRQFDS	1024

static const struct xen_dm_op msi = { .op = XEN_DMOP_inject_msi };

FIXTURE(refusal)
{
	struct server server;
	int fd;
	int dom;
	int other;
	int event;
};

FIXTURE_SETUP(refusal)
{
	if (!has_eventfds())
		SKIP_FIXTURE(return, NO_EVENTFDS);
	if (!has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	self->dom = shell_create();
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, server_create(&self->server, self->dom));
	self->fd = self->server.fd;
	self->event = new_eventfd();
	self->other = shell_create();
	ASSERT_LT(0, self->other);
}

FIXTURE_TEARDOWN(refusal)
{
	server_destroy(&self->server);
	domain_destroy(self->other);
	domain_destroy(self->dom);
}

/* The last word of a test: nothing that was refused left anything behind. */
static int accepts_it(const struct server *server, int eventfd)
{
	return ioeventfd(server->fd, doorbell(server, eventfd, 0)) ?:
	       ioeventfd(server->fd, no_doorbell(server, eventfd));
}

#define EXPECT_DOORBELL(expected, member, value) do {				\
	struct privcmd_ioeventfd _arg = doorbell(&self->server, self->event, 0); \
	const __u64 _value = (value);						\
										\
	_arg.member = _value;							\
	EXPECT_EQ(expected, ioeventfd(self->fd, _arg)) {			\
		TH_LOG("%#llx", _value);					\
	}									\
} while (0)

TEST_F(refusal, of_a_number_of_vcpus_that_is_not_the_hypervisors)
{
	static const __u32 wrong[] = { 0, 1, VCPUS - 1, VCPUS + 1, 128, 129, 4096, ~0 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_DOORBELL(-EINVAL, vcpus, wrong[i]);
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

TEST_F(refusal, of_writes_that_are_none)
{
	static const __u32 wrong[] = { 0, 3, 5, 16, ~0 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_DOORBELL(-EINVAL, addr_len, wrong[i]);
	EXPECT_DOORBELL(-EINVAL, addr, -1ULL);
	EXPECT_DOORBELL(-EINVAL, addr, -4ULL);
	EXPECT_DOORBELL(-EINVAL, addr, -(__u64)NOTIFY);
	EXPECT_DOORBELL(-EINVAL, vq, 1 << 16);
	EXPECT_DOORBELL(-EINVAL, vq, ~0U);
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

TEST_F(refusal, of_a_byte_with_more_than_8_bits)
{
	struct privcmd_ioeventfd arg = doorbell(&self->server, self->event, 1 << 8);

	arg.addr_len = 1;
	EXPECT_EQ(-EINVAL, ioeventfd(self->fd, arg));
	arg.vq--;
	EXPECT_EQ(0, ioeventfd(self->fd, arg));
}

/* Before the restriction is looked at. */
TEST_F(refusal, of_unknown_flags)
{
	struct privcmd_irqfd arg = { .flags = 2, .fd = self->event, .dom = self->dom };

	ASSERT_EQ(0, restrict_to(self->fd, self->other));
	EXPECT_DOORBELL(-EINVAL, flags, 2);
	EXPECT_DOORBELL(-EINVAL, flags, 3);
	EXPECT_DOORBELL(-EINVAL, flags, 1U << 31);
	EXPECT_EQ(-EINVAL, request(self->fd, IOCTL_PRIVCMD_IRQFD, &arg));
	arg.flags = 3;
	EXPECT_EQ(-EINVAL, request(self->fd, IOCTL_PRIVCMD_IRQFD, &arg));
}

TEST_F(refusal, of_another_domain_than_the_files)
{
	int fd = privcmd_open();

	ASSERT_EQ(0, restrict_to(fd, self->other));
	EXPECT_EQ(-EPERM, ioeventfd(fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-EPERM, ioeventfd(fd, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(-EPERM, irqfd(fd, self->dom, self->event, &msi, sizeof(msi)));
	EXPECT_EQ(-EPERM, no_irqfd(fd, self->dom, self->event));
	close(fd);

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
}

TEST_F(refusal, of_slots_that_are_none)
{
	char *two = map_file(self->fd, 2), *grants = map_file(self->fd, 1);
	char *frame = map_file(self->fd, 1), *empty = map_file(self->fd, 1);
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	char *other_file = map_file(zero, 1);

	ASSERT_EQ(0, map_slots(&self->server, two + PAGE));
	ASSERT_EQ(0, map_grants(self->fd, self->dom, grants, 0, 1));
	ASSERT_EQ(0, map_frames(self->fd, self->dom, frame, 0, 1));

	EXPECT_DOORBELL(-EINVAL, ioreq, 0);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)grants);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)frame);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)empty);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)two);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)two + PAGE);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)other_file);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)self->server.slots + 32);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)self->server.slots - PAGE);
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)&self);
	EXPECT_DOORBELL(-EINVAL, ioreq, ~0xfffULL);
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

/* The page of buffered requests, which has none. */
TEST_F(refusal, of_a_page_without_slots)
{
	char *page = map_file(self->fd, 1);
	ioservid_t id;

#ifndef __x86_64__
	SKIP(return, "Xen has no buffered requests on Arm");
#endif
	ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->server.dmod, self->dom,
							HVM_IOREQSRV_BUFIOREQ_ATOMIC, &id));
	ASSERT_EQ(0, map_resource(self->fd, (struct privcmd_mmap_resource) {
		.dom = self->dom,
		.type = XENMEM_resource_ioreq_server,
		.id = id,
		.idx = XENMEM_resource_ioreq_server_frame_bufioreq,
		.num = 1,
		.addr = (uintptr_t)page,
	}));
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)page);
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

/* A file has the doorbells of a server by one mapping, as long as it has some. */
TEST_F(refusal, of_a_server_by_two_mappings)
{
	int unused = new_eventfd();
	struct server view = self->server;

	view.slots = (void *)map_file(view.fd, 1);
	ASSERT_EQ(0, map_slots(&view, view.slots));
	ASSERT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-EBUSY, ioeventfd(self->fd, doorbell(&view, unused, 1)));
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, no_doorbell(&view, self->event)));

	ASSERT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(0, ioeventfd(self->fd, doorbell(&view, self->event, 0)));
	EXPECT_EQ(-EBUSY, ioeventfd(self->fd, doorbell(&self->server, unused, 1)));
}

/* Neither the address nor the number of the server tells them apart. */
TEST_F(refusal, of_another_server_where_one_was)
{
	struct server *server = &self->server;
	ioservid_t id = server->id;

	ASSERT_EQ(0, ioeventfd(self->fd, doorbell(server, self->event, 0)));
	ASSERT_EQ(0, munmap(server->slots, PAGE));
	ASSERT_EQ(0, xendevicemodel_destroy_ioreq_server(server->dmod, self->dom, id));
	ASSERT_EQ(0, xendevicemodel_create_ioreq_server(server->dmod, self->dom,
							HVM_IOREQSRV_BUFIOREQ_OFF,
							&server->id));
	ASSERT_EQ(id, server->id);
	ASSERT_EQ(server->slots, mmap(server->slots, PAGE, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, self->fd, 0));
	ASSERT_EQ(0, map_slots(server, server->slots));
	EXPECT_EQ(-EBUSY, ioeventfd(self->fd, doorbell(server, new_eventfd(), 1)));

	ASSERT_EQ(0, ioeventfd(self->fd, no_doorbell(server, self->event)));
}

TEST_F(refusal, of_slots_of_another_domain)
{
	struct server other;

	ASSERT_EQ(0, server_create(&other, self->other));
	EXPECT_DOORBELL(-EINVAL, ioreq, (uintptr_t)other.slots);
	EXPECT_DOORBELL(-EINVAL, dom, self->other);
	server_destroy(&other);
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

/* Neither the kernel's own, nor those that user space has bound to another domain. */
TEST_F(refusal, of_event_channels_that_are_not_the_domains)
{
	struct server other;
	__u32 ports[VCPUS];
	int unbound;

	ASSERT_EQ(0, server_create(&other, self->other));
	unbound = xenevtchn_bind_unbound_port(self->server.xce, self->dom);
	ASSERT_LE(0, unbound);
	memcpy(ports, self->server.ports, sizeof(ports));
	for (__u32 port = 0; port < 128; port++) {
		bool own = false;

		for (unsigned int i = 0; i < VCPUS; i++)
			own |= port == self->server.ports[i];
		if (own)
			continue;
		ports[VCPUS - 1] = port;
		EXPECT_DOORBELL(-EINVAL, ports, (uintptr_t)ports);
	}
	ports[VCPUS - 1] = unbound;
	EXPECT_DOORBELL(-EINVAL, ports, (uintptr_t)ports);
	ports[VCPUS - 1] = other.ports[0];
	EXPECT_DOORBELL(-EINVAL, ports, (uintptr_t)ports);
	ports[VCPUS - 1] = ~0;
	EXPECT_DOORBELL(-EINVAL, ports, (uintptr_t)ports);
	/* Twice the same. */
	ports[VCPUS - 1] = ports[0];
	EXPECT_DOORBELL(-EINVAL, ports, (uintptr_t)ports);
	EXPECT_DOORBELL(-EFAULT, ports, 0);
	server_destroy(&other);
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

TEST_F(refusal, of_descriptors_that_are_no_eventfds)
{
	struct privcmd_ioeventfd arg = doorbell(&self->server, -1, 0);

	for (__u32 flags = 0; flags < 2; flags++) {
		arg.flags = flags;
		arg.event_fd = -1;
		EXPECT_EQ(-EBADF, ioeventfd(self->fd, arg));
		arg.event_fd = self->fd;
		EXPECT_EQ(-EINVAL, ioeventfd(self->fd, arg));
	}
	EXPECT_EQ(-EBADF, irqfd(self->fd, self->dom, -1, &msi, sizeof(msi)));
	EXPECT_EQ(-EINVAL, irqfd(self->fd, self->dom, self->fd, &msi, sizeof(msi)));
	EXPECT_EQ(-EBADF, no_irqfd(self->fd, self->dom, -1));
	EXPECT_EQ(-EINVAL, no_irqfd(self->fd, self->dom, self->fd));
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

/* By the same file: each has its own. */
TEST_F(refusal, of_an_eventfd_or_a_write_that_is_in_use)
{
	int other_file = privcmd_open(), unused = new_eventfd();

	EXPECT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-EBUSY, ioeventfd(self->fd, doorbell(&self->server, self->event, 1)));
	EXPECT_EQ(-EEXIST, ioeventfd(self->fd, doorbell(&self->server, unused, 0)));
	EXPECT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, unused, 1)));
	EXPECT_EQ(0, ioeventfd(other_file, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
	EXPECT_EQ(-EBUSY, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
	EXPECT_EQ(0, irqfd(other_file, self->dom, self->event, &msi, sizeof(msi)));
	close(other_file);
	EXPECT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(0, no_irqfd(self->fd, self->dom, self->event));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

TEST_F(refusal, to_end_what_the_file_does_not_have)
{
	int other_file = privcmd_open(), unused = new_eventfd();
	struct privcmd_ioeventfd wrong;

	EXPECT_EQ(0, no_irqfd(self->fd, self->dom, self->event));
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
	ASSERT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-ENODEV, ioeventfd(other_file, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, no_doorbell(&self->server, unused)));
	wrong = no_doorbell(&self->server, self->event);
	wrong.ioreq += PAGE;
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, wrong));
	wrong = no_doorbell(&self->server, self->event);
	wrong.dom = self->other;
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, wrong));
	wrong = no_doorbell(&self->server, self->event);
	wrong.vcpus--;
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, wrong));
	EXPECT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
}

TEST_F(refusal, of_too_many_doorbells)
{
	const struct rlimit limit = { 2 * MAX_DOORBELLS, 2 * MAX_DOORBELLS };
	int ret = 0, number = 0;
	struct server other;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, server_create(&other, self->dom));
	for (; !ret && number < 2 * MAX_DOORBELLS; number++)
		ret = ioeventfd(self->fd, doorbell(number % 2 ? &self->server : &other,
						   new_eventfd(), number));
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_EQ(MAX_DOORBELLS + 1, number);
	server_destroy(&other);
}

/* Of all files: the kernel counts the users of an event channel in 16 bits. */
TEST_F(refusal, of_an_event_channel_that_too_many_files_use)
{
	int fds[MAX_READERS], late = privcmd_open();

	if (host_is_at_risk())
		SKIP(return, "the stock driver has no limit but the kernel's 16 bits");
	for (unsigned int i = 0; i < MAX_READERS; i++) {
		fds[i] = privcmd_open();
		ASSERT_EQ(0, ioeventfd(fds[i], doorbell(&self->server, self->event, 0))) {
			TH_LOG("file %u", i);
		}
	}
	EXPECT_EQ(-ENOSPC, ioeventfd(late, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-ENODEV, ioeventfd(late, no_doorbell(&self->server, self->event)));
	/* Those that are there already can have more, for that takes no more users. */
	EXPECT_EQ(0, ioeventfd(fds[0], doorbell(&self->server, new_eventfd(), 1)));

	/* By closing a file, and by ending a doorbell. */
	ASSERT_EQ(0, close(fds[1]));
	EXPECT_EQ(0, ioeventfd(late, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-ENOSPC, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	ASSERT_EQ(0, ioeventfd(late, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	close(late);
	for (unsigned int i = 0; i < MAX_READERS; i++)
		if (i != 1)
			close(fds[i]);
}

#define MODULE "test_xen_dm_op"

/* All of an event channel's, but for one that is left. */
static bool take_users(int port)
{
	FILE *file = fopen("/sys/module/" MODULE "/parameters/users", "w");
	bool taken = file && fprintf(file, "%d", port) > 0;

	return file && !fclose(file) && taken;
}

/*
 * Those of other drivers count, too: of gntdev each grant that is mapped can be one.  If
 * the count ends below zero the kernel closes the event channel, which its users go on using.
 */
TEST_F(refusal, of_an_event_channel_with_as_many_users_as_the_kernel_counts)
{
	const int port = self->server.ports[0];

	if (host_is_at_risk())
		SKIP(return, "the stock driver has no limit but the kernel's 16 bits");
	ASSERT_EQ(0, load_test_module(MODULE ".ko"));
	ASSERT_TRUE(take_users(port));
	/* The last one is enough. */
	EXPECT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-EINVAL, ioeventfd(privcmd_open(), doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(0, xenevtchn_notify(self->server.xce, port));
	EXPECT_TRUE(take_users(-1));
	EXPECT_EQ(0, unload_module(MODULE));
	EXPECT_EQ(0, accepts_it(&self->server, self->event));
}

/* Each event channel has its own users, also those of a request that was refused. */
TEST_F(refusal, of_an_event_channel_leaves_the_others)
{
	int fds[MAX_READERS];
	struct server other;

	if (host_is_at_risk())
		SKIP(return, "the stock driver has no limit but the kernel's 16 bits");
	ASSERT_EQ(0, server_create(&other, self->dom));
	for (unsigned int i = 0; i < MAX_READERS; i++) {
		fds[i] = privcmd_open();
		ASSERT_EQ(0, ioeventfd(fds[i], doorbell(&self->server, self->event, 0)));
	}
	/* The first of its event channels is not full. */
	other.ports[VCPUS - 1] = self->server.ports[0];
	for (unsigned int i = 0; i < MAX_READERS; i++)
		ASSERT_EQ(-ENOSPC, ioeventfd(fds[i], doorbell(&other, self->event, 0)));
	server_destroy(&other);
	ASSERT_EQ(0, server_create(&other, self->dom));
	for (unsigned int i = 0; i < MAX_READERS; i++)
		EXPECT_EQ(0, ioeventfd(fds[i], doorbell(&other, self->event, 0)));
	for (unsigned int i = 0; i < MAX_READERS; i++)
		close(fds[i]);
	server_destroy(&other);
}

TEST_F(refusal, of_too_many_operations)
{
	const struct rlimit limit = { 2 * MAX_IRQFDS, 2 * MAX_IRQFDS };
	int ret = 0, number = 0, first = self->event;

	if (host_is_at_risk())
		SKIP(return, "the stock driver has no limit but that of descriptors");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, irqfd(self->fd, self->dom, first, &msi, sizeof(msi)));
	for (number = 1; !ret && number < 2 * MAX_IRQFDS - 100; number++)
		ret = irqfd(self->fd, self->dom, new_eventfd(), &msi, sizeof(msi));
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_EQ(MAX_IRQFDS + 1, number);
	EXPECT_EQ(-EBUSY, irqfd(self->fd, self->dom, first, &msi, sizeof(msi)));

	/* One that was ended, or whose eventfd was closed, makes room. */
	ASSERT_EQ(0, no_irqfd(self->fd, self->dom, first));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, first, &msi, sizeof(msi)));
	EXPECT_EQ(-ENOSPC, irqfd(self->fd, self->dom, new_eventfd(), &msi, sizeof(msi)));
	ASSERT_EQ(0, close(first));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, new_eventfd(), &msi, sizeof(msi)));
}

TEST_F(refusal, of_operations_that_are_no_interrupts)
{
	union {
		struct xen_dm_op op;
		__u8 bytes[128];
	} arg = { .op = msi };

	for (__u32 op = 0; op < 64; op++) {
		bool allowed = op == XEN_DMOP_set_pci_intx_level ||
			       op == XEN_DMOP_set_isa_irq_level ||
			       op == XEN_DMOP_inject_msi || op == DM_OP_SET_IRQ_LEVEL;

		arg.op.op = op;
		EXPECT_EQ(allowed ? 0 : -EINVAL,
			  irqfd(self->fd, self->dom, self->event, &arg, sizeof(arg.op))) {
			TH_LOG("operation %u", op);
		}
		EXPECT_EQ(0, no_irqfd(self->fd, self->dom, self->event));
	}
	arg.op = msi;
	EXPECT_EQ(-EINVAL, irqfd(self->fd, self->dom, self->event, &arg, 0));
	EXPECT_EQ(-EINVAL, irqfd(self->fd, self->dom, self->event, &arg, 7));
	EXPECT_EQ(-E2BIG, irqfd(self->fd, self->dom, self->event, &arg, 65));
	EXPECT_EQ(-E2BIG, irqfd(self->fd, self->dom, self->event, &arg, 1 << 30));
	EXPECT_EQ(-E2BIG, irqfd(self->fd, self->dom, self->event, &arg, ~0));
	EXPECT_EQ(-EFAULT, irqfd(self->fd, self->dom, self->event, NULL, sizeof(arg.op)));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, self->event, &arg, 64));
}

#ifdef __x86_64__

/* An interrupt controller's registers: is it enabled, and which interrupts wait? */
#define SPIV		0xf0
#define SPIV_ENABLED	0x100
#define APIC_BASE_ENABLED	0x900
#define IRR		0x200
#define MSI_ADDRESS	0xfee00000
#define FIRST_VECTOR	0x40
#define LINE		5

/* What is issued at once may be issued by a thread, but not always. */
#define ATTEMPTS	50

/* In microseconds: a processor that has issued one may issue another one. */
#define REST		100000

/* Of a processor's time, in ticks: enough to tell two kinds of threads apart. */
#define ENOUGH_TICKS	30

/* As the kernel of vCPU 0 does. */
static int enable_apic(xc_interface *xch, domid_t dom)
{
	struct {
		struct hvm_save_descriptor header;
		struct hvm_save_header header_record;
		struct hvm_save_descriptor apic;
		struct hvm_hw_lapic apic_record;
		struct hvm_save_descriptor regs;
		struct hvm_hw_lapic_regs regs_record;
		struct hvm_save_descriptor end;
	} context = {
		.apic = {
			.typecode = HVM_SAVE_CODE(LAPIC),
			.length = HVM_SAVE_LENGTH(LAPIC),
		},
		.apic_record.apic_base_msr = MSI_ADDRESS | APIC_BASE_ENABLED,
		.regs = {
			.typecode = HVM_SAVE_CODE(LAPIC_REGS),
			.length = HVM_SAVE_LENGTH(LAPIC_REGS),
		},
		.regs_record.data[SPIV + 1] = SPIV_ENABLED >> 8,
		.end = { .typecode = HVM_SAVE_CODE(END) },
	};
	int size = xc_domain_hvm_getcontext(xch, dom, NULL, 0);
	void *now = size < 0 ? NULL : calloc(1, size);
	int ret = -errno;

	if (!now)
		return ret;
	/* What is saved begins with a header, which Xen wants to see again. */
	ret = xc_domain_hvm_getcontext(xch, dom, now, size) < 0 ? -errno : 0;
	memcpy(&context, now, offsetof(typeof(context), apic));
	if (!ret && xc_domain_hvm_setcontext(xch, dom, (void *)&context, sizeof(context)))
		ret = -errno;
	free(now);
	return ret;
}

/* Interrupts of a domain that never runs: what was raised waits. */
FIXTURE(raised)
{
	xc_interface *xch;
	int fd;
	int dom;
	int event;
};

FIXTURE_SETUP(raised)
{
	if (!has_eventfds())
		SKIP_FIXTURE(return, NO_EVENTFDS);
	self->xch = xc_interface_open(NULL, NULL, 0);
	ASSERT_NE(NULL, self->xch);
	self->dom = domain_create(DOMAIN_HVM, VCPUS);
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, xc_domain_max_vcpus(self->xch, self->dom, VCPUS));
	ASSERT_EQ(0, enable_apic(self->xch, self->dom));
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->event = new_eventfd();
}

FIXTURE_TEARDOWN(raised)
{
	close(self->fd);
	domain_destroy(self->dom);
	xc_interface_close(self->xch);
}

static int raise_vector(const struct _test_data_raised *self, int fd, int event, int vector)
{
	const struct xen_dm_op op = {
		.op = XEN_DMOP_inject_msi,
		.u.inject_msi = { .addr = MSI_ADDRESS, .data = vector },
	};

	return irqfd(fd, self->dom, event, &op, sizeof(op));
}

static bool waits(const struct _test_data_raised *self, int vector)
{
	HVM_SAVE_TYPE(LAPIC_REGS) regs = {};

	if (xc_domain_hvm_getcontext_partial(self->xch, self->dom, HVM_SAVE_CODE(LAPIC_REGS), 0,
					     &regs, sizeof(regs)))
		return false;
	return regs.data[IRR + vector / 32 * 0x10 + vector % 32 / 8] & 1 << vector % 8;
}

static bool line_waits(const struct _test_data_raised *self)
{
	HVM_SAVE_TYPE(PIC) regs = {};

	return !xc_domain_hvm_getcontext_partial(self->xch, self->dom, HVM_SAVE_CODE(PIC), 0,
						 &regs, sizeof(regs)) &&
	       regs.irr & 1 << LINE;
}

/* No thread of the kernel runs on this processor until the task gives it up. */
static bool take_processor(void)
{
	const struct sched_param most = { .sched_priority = 99 };
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	return !sched_setaffinity(0, sizeof(here), &here) &&
	       !sched_setscheduler(0, SCHED_FIFO, &most);
}

static bool give_up_processor(void)
{
	const struct sched_param none = {};

	return !sched_setscheduler(0, SCHED_OTHER, &none);
}

TEST_F(raised, when_the_write_ends)
{
	bool at_once = false;

	for (int i = 0; !at_once && i < ATTEMPTS; i++) {
		ASSERT_EQ(0, raise_vector(self, self->fd, self->event, FIRST_VECTOR + i));
		usleep(REST);
		ASSERT_TRUE(take_processor());
		EXPECT_TRUE(signal_eventfd(self->event));
		at_once = waits(self, FIRST_VECTOR + i);
		EXPECT_TRUE(give_up_processor());
		ASSERT_TRUE(SOON(waits(self, FIRST_VECTOR + i)));
		ASSERT_EQ(0, no_irqfd(self->fd, self->dom, self->event));
	}
	EXPECT_TRUE(at_once);
}

/* Two operations, one right after the other. */
static bool second_is_later(struct __test_metadata *_metadata,
			    const struct _test_data_raised *self, int second_fd,
			    int second_event, int first)
{
	bool later;

	ASSERT_EQ(0, raise_vector(self, self->fd, self->event, first));
	ASSERT_EQ(0, raise_vector(self, second_fd, second_event, first + 1));
	usleep(REST);
	ASSERT_TRUE(take_processor());
	EXPECT_TRUE(signal_eventfd(self->event));
	if (second_event != self->event)
		EXPECT_TRUE(signal_eventfd(second_event));
	later = waits(self, first) != waits(self, first + 1);
	EXPECT_TRUE(give_up_processor());
	ASSERT_TRUE(SOON(waits(self, first) && waits(self, first + 1)));
	ASSERT_EQ(0, no_irqfd(self->fd, self->dom, self->event));
	ASSERT_EQ(0, no_irqfd(second_fd, self->dom, second_event));
	return later;
}

/* With interrupts off a processor is not Xen's for long. */
TEST_F(raised, later_when_another_one_was_just_now)
{
	int event = new_eventfd();
	bool later = false;

	for (int i = 0; !later && i < ATTEMPTS; i++)
		later = second_is_later(_metadata, self, self->fd, event, FIRST_VECTOR + 2 * i);
	EXPECT_TRUE(later);
}

TEST_F(raised, later_for_a_second_file)
{
	int fd = privcmd_open();
	bool later = false;

	ASSERT_LE(0, fd);
	for (int i = 0; !later && i < ATTEMPTS; i++)
		later = second_is_later(_metadata, self, fd, self->event, FIRST_VECTOR + 2 * i);
	EXPECT_TRUE(later);
	close(fd);
}

/* It is lowered by another eventfd, and may not stay raised for being later. */
TEST_F(raised, later_if_it_is_a_line)
{
	const struct xen_dm_op op = {
		.op = XEN_DMOP_set_isa_irq_level,
		.u.set_isa_irq_level = { .isa_irq = LINE, .level = 1 },
	};

	ASSERT_EQ(0, irqfd(self->fd, self->dom, self->event, &op, sizeof(op)));
	usleep(REST);
	ASSERT_TRUE(take_processor());
	EXPECT_TRUE(signal_eventfd(self->event));
	EXPECT_FALSE(line_waits(self));
	EXPECT_TRUE(give_up_processor());
	EXPECT_TRUE(SOON(line_waits(self)));
}

/* Of a task's, what follows its name: two times and the priority. */
#define STAT \
	") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %ld"

/* What the kernel's worker threads took: those of normal priority, and those above. */
static void read_ticks(unsigned long *normal, unsigned long *higher)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	*normal = *higher = 0;
	while (proc && (entry = readdir(proc))) {
		char path[300], text[512];
		unsigned long user, system;
		FILE *file;
		long nice;
		char *end;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
		fclose(file);
		if (!end || !strstr(text, "(kworker/"))
			continue;
		if (sscanf(end, STAT, &user, &system, &nice) == 3)
			*(nice < 0 ? higher : normal) += user + system;
	}
	if (proc)
		closedir(proc);
}

/* Who writes must not take more of a processor from others than it could itself. */
TEST_F(raised, by_a_thread_of_normal_priority)
{
	const struct xen_dm_op op = {
		.op = XEN_DMOP_set_isa_irq_level,
		.u.set_isa_irq_level = { .isa_irq = LINE, .level = 1 },
	};
	unsigned long normal, higher, normal_before, higher_before;

	ASSERT_EQ(0, irqfd(self->fd, self->dom, self->event, &op, sizeof(op)));
	read_ticks(&normal_before, &higher_before);
	do {
		for (int i = 0; i < 500; i++)
			ASSERT_TRUE(signal_eventfd(self->event));
		read_ticks(&normal, &higher);
		normal -= normal_before;
		higher -= higher_before;
	} while (normal + higher < ENOUGH_TICKS);
	EXPECT_GT(normal, higher) {
		TH_LOG("%lu and %lu ticks", normal, higher);
	}
}

#endif

/*
 * What rings a doorbell.  The domain never runs: the test itself writes the
 * request, which is there when the doorbell is registered.
 */
FIXTURE(request)
{
	struct server server;
	int dom;
	int event;
};

FIXTURE_SETUP(request)
{
	if (!has_eventfds())
		SKIP_FIXTURE(return, NO_EVENTFDS);
	if (!has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	self->dom = shell_create();
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, server_create(&self->server, self->dom));
	self->event = new_eventfd();
}

FIXTURE_TEARDOWN(request)
{
	server_destroy(&self->server);
	domain_destroy(self->dom);
}

FIXTURE_VARIANT(request)
{
	struct ioreq request;
	/* The doorbell's, if it is not 4. */
	__u32 size;
	bool rings;
};

#define WRITE .state = STATE_IOREQ_READY, .type = IOREQ_TYPE_COPY, .dir = IOREQ_WRITE, \
	      .count = 1, .addr = DEVICE + NOTIFY, .size = 4, .data = 1

/* What comes later counts. */
#pragma GCC diagnostic ignored "-Woverride-init"
FIXTURE_VARIANT_ADD(request, that_is_the_write) {
	.request = { WRITE },
	.rings = true,
};

FIXTURE_VARIANT_ADD(request, with_more_above_16_bits) {
	.request = { WRITE, .data = 0x7fff0001 },
	.rings = true,
};

FIXTURE_VARIANT_ADD(request, of_one_byte) {
	.request = { WRITE, .size = 1 },
	.size = 1,
	.rings = true,
};

FIXTURE_VARIANT_ADD(request, of_one_byte_in_a_register) {
	.request = { WRITE, .size = 1, .data = 0x12345601 },
	.size = 1,
	.rings = true,
};

FIXTURE_VARIANT_ADD(request, of_8_bytes) {
	.request = { WRITE, .size = 8 },
	.size = 8,
	.rings = true,
};

FIXTURE_VARIANT_ADD(request, of_another_queue) {
	.request = { WRITE, .data = 2 },
};

FIXTURE_VARIANT_ADD(request, of_another_queue_above_8_bits) {
	.request = { WRITE, .data = 0x101 },
};

FIXTURE_VARIANT_ADD(request, of_another_size) {
	.request = { WRITE, .size = 2 },
};

FIXTURE_VARIANT_ADD(request, of_another_address) {
	.request = { WRITE, .addr = DEVICE + NOTIFY + 4 },
};

FIXTURE_VARIANT_ADD(request, of_an_address_above_32_bits) {
	.request = { WRITE, .addr = DEVICE + NOTIFY + (1ULL << 32) },
};

FIXTURE_VARIANT_ADD(request, to_read) {
	.request = { WRITE, .dir = IOREQ_READ },
};

FIXTURE_VARIANT_ADD(request, of_a_port) {
	.request = { WRITE, .type = IOREQ_TYPE_PIO },
};

FIXTURE_VARIANT_ADD(request, to_invalidate) {
	.request = { WRITE, .type = IOREQ_TYPE_INVALIDATE },
};

FIXTURE_VARIANT_ADD(request, with_its_data_elsewhere) {
	.request = { WRITE, .data_is_ptr = 1 },
};

FIXTURE_VARIANT_ADD(request, that_repeats) {
	.request = { WRITE, .count = 2 },
};

FIXTURE_VARIANT_ADD(request, that_somebody_serves) {
	.request = { WRITE, .state = STATE_IOREQ_INPROCESS },
};

FIXTURE_VARIANT_ADD(request, that_was_answered) {
	.request = { WRITE, .state = STATE_IORESP_READY },
};

FIXTURE_VARIANT_ADD(request, that_is_none) {
	.request = { WRITE, .state = STATE_IOREQ_NONE },
};

/* Only what rings is touched. */
TEST_F(request, rings_or_is_left_alone)
{
	struct privcmd_ioeventfd arg = doorbell(&self->server, self->event, 1);
	struct ioreq now, before = variant->request;

	if (variant->size)
		arg.addr_len = variant->size;
	for (unsigned int i = 0; i < VCPUS; i++) {
		before.vp_eport = self->server.slots[i].vp_eport;
		self->server.slots[i] = before;
		ASSERT_EQ(0, ioeventfd(self->server.fd, arg));
		now = read_slot(&self->server.slots[i]);
		EXPECT_EQ(variant->rings, count_of(self->event));
		if (variant->rings)
			before.state = STATE_IORESP_READY;
		EXPECT_EQ(0, memcmp(&before, &now, sizeof(now)));
		before = variant->request;

		arg.flags = PRIVCMD_IOEVENTFD_FLAG_DEASSIGN;
		ASSERT_EQ(0, ioeventfd(self->server.fd, arg));
		arg.flags = 0;
		memset(&self->server.slots[i], 0, sizeof(now));
	}
}

TEST_HARNESS_MAIN
