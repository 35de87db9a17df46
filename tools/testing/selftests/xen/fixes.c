// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the fixes of the kernel's own driver repair that no other test shows alone:
 * xenlab.py check-series runs these before and after each fix.
 */

#include "eventfd.h"
#include "race.h"

#define PAGES 4

FIXTURE(resource)
{
	int fd;
	int dom;
	char *map;
};

FIXTURE_SETUP(resource)
{
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(DOMAIN_PVH, 1);
	ASSERT_LT(0, self->dom);
	self->map = map_file(self->fd, PAGES);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(resource)
{
	munmap(self->map, PAGES * PAGE);
	close(self->fd);
	EXPECT_EQ(0, domain_destroy(self->dom));
}

TEST_F(resource, twice_in_a_mapping_is_refused)
{
	ASSERT_EQ(0, map_grants(self->fd, self->dom, self->map, 0, PAGES));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, self->map, 0, PAGES));
	EXPECT_EQ(0, signal_of_reading(self->map));
}

TEST_F(resource, in_a_part_of_a_mapping_ends_with_it)
{
	for (int i = 0; i < 8; i++) {
		char *map = map_file(self->fd, 8 * PAGES);

		ASSERT_NE(NULL, map);
		ASSERT_EQ(0, map_grants(self->fd, self->dom, map, 0, 1));
		EXPECT_EQ(0, signal_of_reading(map));
		EXPECT_TRUE(is_empty(map + PAGE, 8 * PAGES - 1));
		EXPECT_EQ(0, munmap(map, 8 * PAGES * PAGE));
	}
}

FIXTURE(request)
{
	int fd;
	int event;
};

FIXTURE_SETUP(request)
{
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->event = new_eventfd();
	ASSERT_LE(0, self->event);
}

FIXTURE_TEARDOWN(request)
{
	close(self->event);
	close(self->fd);
}

/* To an int the least number, and 0.  8 and 16 TiB, which take no memory. */
TEST_F(request, for_more_frames_than_an_int_counts_is_refused)
{
	const __u64 numbers[] = { 1UL << 31, 1UL << 32 };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		size_t size = numbers[i] * PAGE;
		char *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_NORESERVE, self->fd, 0);

		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-EINVAL, map_run(self->fd, NO_SUCH_DOMAIN, map, 0, numbers[i]));
		EXPECT_TRUE(is_empty(map, PAGES));
		munmap(map, size);
	}
}

TEST_F(request, to_restrict_to_a_reserved_domid_is_refused)
{
	for (unsigned int dom = DOMID_FIRST_RESERVED; dom <= 0xffff; dom++)
		if (dom != DOMID_IDLE)
			ASSERT_EQ(-EINVAL, restrict_to(self->fd, dom));
	ASSERT_LT(0, hypercall_xen_version(self->fd));
	EXPECT_EQ(0, restrict_to(self->fd, DOMID_IDLE));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
}

#define FILES	64
#define ROUNDS	200

static struct {
	int fds[FILES];
	int results[FILES];
} race;

static void *restrict_to_another(void *unused)
{
	(void)unused;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		meet();
		for (size_t i = 0; i < FILES; i++) {
			meet();
			race.results[i] = restrict_to(race.fds[i], NO_SUCH_DOMAIN);
		}
		meet();
	}
	return NULL;
}

/* Neither of the two domains need exist. */
TEST_F(request, to_restrict_by_two_at_once_is_granted_to_one)
{
	int results[FILES];
	unsigned int both = 0;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, restrict_to_another, NULL));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, open_files(race.fds, FILES));
		meet();
		for (size_t i = 0; i < FILES; i++) {
			meet();
			dawdle(i);
			results[i] = restrict_to(race.fds[i], NO_SUCH_DOMAIN - 1);
		}
		meet();
		for (size_t i = 0; i < FILES; i++)
			both += !results[i] && !race.results[i];
		close_files(race.fds, FILES);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, both);
}

/* More than a buffer of DM_OP may have, and more than kmalloc() takes. */
TEST_F(request, for_an_irqfd_with_a_huge_operation_is_refused)
{
	static char op[1 << 20];

	EXPECT_EQ(-E2BIG, irqfd(self->fd, NO_SUCH_DOMAIN, self->event, op, 4097));
	EXPECT_EQ(-E2BIG, irqfd(self->fd, NO_SUCH_DOMAIN, self->event, op, sizeof(op)));
	EXPECT_EQ(-E2BIG, irqfd(self->fd, NO_SUCH_DOMAIN, self->event, op, ~0U));
}

TEST_F(request, for_an_irqfd_of_another_operation_is_refused)
{
	for (__u32 number = 0; number < 64; number++) {
		bool interrupts = number == XEN_DMOP_set_pci_intx_level ||
				  number == XEN_DMOP_set_isa_irq_level ||
				  number == XEN_DMOP_inject_msi ||
				  number == DM_OP_SET_IRQ_LEVEL;
		struct xen_dm_op op = { .op = number };

		EXPECT_EQ(interrupts ? 0 : -EINVAL,
			  irqfd(self->fd, NO_SUCH_DOMAIN, self->event, &op, sizeof(op))) {
			TH_LOG("operation %u", number);
		}
		EXPECT_EQ(0, no_irqfd(self->fd, NO_SUCH_DOMAIN, self->event));
	}
	EXPECT_EQ(-EINVAL, irqfd(self->fd, NO_SUCH_DOMAIN, self->event, NULL, 0));
}

/* Before the event channels are looked at, which are none here. */
TEST_F(request, for_an_ioeventfd_of_more_vcpus_than_slots_is_refused)
{
	struct server server = { .dom = NO_SUCH_DOMAIN, .slots = (void *)map_file(self->fd, 1) };
	struct privcmd_ioeventfd arg = doorbell(&server, self->event, 0);

	arg.ports = 0;
	arg.vcpus = 4096 / sizeof(struct ioreq) + 1;
	EXPECT_EQ(-EINVAL, ioeventfd(self->fd, arg));
	arg.vcpus = 4096;
	EXPECT_EQ(-EINVAL, ioeventfd(self->fd, arg));
}

/* Mappings of another device, of this one without pages, and none at all. */
TEST_F(request, for_an_ioeventfd_without_slots_is_refused)
{
	int hypercall = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	char *const places[] = {
		map_file(self->fd, 1), map_file(hypercall, 1), NULL, (char *)&self,
	};
	struct server server = { .dom = NO_SUCH_DOMAIN };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct privcmd_ioeventfd arg;

		server.slots = (void *)places[i];
		arg = doorbell(&server, self->event, 0);
		arg.ports = 0;
		EXPECT_EQ(-EFAULT, ioeventfd(self->fd, arg));
	}
	close(hypercall);
}

FIXTURE(hole)
{
	struct target target;
	char *map;
};

/* In a batch of pages of which the second one does not exist. */
FIXTURE_SETUP(hole)
{
	const xen_pfn_t pages[PAGES] = { 5, NO_FRAME, 6, 7 };
	int err[PAGES] = {};

	ASSERT_EQ(0, target_create(&self->target));
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
	EXPECT_EQ(0, map_pages(self->target.fd, self->target.dom, self->map, PAGES, pages, err));
	EXPECT_NE(0, err[1]);
	EXPECT_EQ(0, err[0] | err[2] | err[3]);
}

FIXTURE_TEARDOWN(hole)
{
	munmap(self->map, PAGES * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

TEST_F(hole, of_a_batch_is_empty)
{
	EXPECT_EQ(5, number_of(self->map));
	EXPECT_EQ(SIGBUS, signal_of_reading(self->map + PAGE));
	EXPECT_EQ(6, number_of(self->map + 2 * PAGE));
}

TEST_F(hole, of_a_batch_can_be_filled)
{
	ASSERT_EQ(0, map_frames(self->target.fd, self->target.dom, self->map + PAGE, 9, 1));
	EXPECT_EQ(5, number_of(self->map));
	EXPECT_EQ(9, number_of(self->map + PAGE));
	EXPECT_EQ(6, number_of(self->map + 2 * PAGE));
}

TEST_HARNESS_MAIN
