// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_MMAP_RESOURCE: a domain's grant table or the pages of an ioreq
 * server in a mapping, and how large these are.
 */

#include "mapping.h"

#include <xendevicemodel.h>
#include <xen/hvm/ioreq.h>

/* The pages of the mapping that requests are for. */
#define PAGES 4

/* One frame for buffered requests, and one for those of up to 128 vCPUs. */
#define IOREQ_FRAMES 2

/* Xen has buffered requests on x86 alone, but counts their page on Arm too. */
#ifdef __x86_64__
#define BUFFERED_REQUESTS HVM_IOREQSRV_BUFIOREQ_ATOMIC
#else
#define BUFFERED_REQUESTS HVM_IOREQSRV_BUFIOREQ_OFF
#endif

#define NO_SUCH_RESOURCE	0x7fff
#define NO_SUCH_SERVER		0x7fff

FIXTURE(resource)
{
	int fd;
	int dom;
	xendevicemodel_handle *dmod;
	ioservid_t server;
	char *map;
};

FIXTURE_SETUP(resource)
{
	if (stock_does_harm())
		SKIP_FIXTURE(return, HARMED_BY_STOCK);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(DOMAIN_PVH, 3);
	ASSERT_LT(0, self->dom);
	self->dmod = xendevicemodel_open(NULL, 0);
	ASSERT_NE(NULL, self->dmod);
	if (has_device_models())
		ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->dmod, self->dom,
								BUFFERED_REQUESTS,
								&self->server));
	self->map = map_file(self->fd, PAGES);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(resource)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	munmap(self->map, PAGES * PAGE);
	xendevicemodel_close(self->dmod);
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

/* Answers with the number of frames, which is all that may be written. */
static int query(int fd, struct privcmd_mmap_resource arg)
{
	struct {
		char before[64];
		struct privcmd_mmap_resource arg;
		char after[64];
	} seen, expected;
	int ret;

	memset(&seen, UNTOUCHED, sizeof(seen));
	seen.arg = arg;
	memcpy(&expected, &seen, sizeof(seen));
	ret = request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &seen.arg);
	if (ret == 0) {
		ret = seen.arg.num;
		expected.arg.num = (__u32)ret;
	}
	return memcmp(&seen, &expected, sizeof(seen)) ?
	       memory_changed("MMAP_RESOURCE") : ret;
}

/* These count in frames. */
static struct privcmd_mmap_resource grants(domid_t dom, const void *addr,
					   __u32 first, __u64 num)
{
	return (struct privcmd_mmap_resource) {
		.dom = dom,
		.type = XENMEM_resource_grant_table,
		.id = XENMEM_resource_grant_table_id_shared,
		.idx = first,
		.num = num,
		.addr = (uintptr_t)addr,
	};
}

static struct privcmd_mmap_resource ioreqs(domid_t dom, ioservid_t server,
					   const void *addr, __u32 first,
					   __u64 num)
{
	return (struct privcmd_mmap_resource) {
		.dom = dom,
		.type = XENMEM_resource_ioreq_server,
		.id = server,
		.idx = first,
		.num = num,
		.addr = (uintptr_t)addr,
	};
}

/* Maps the first frames of the grant table, to see if that can be done. */
static void expect_unused(struct __test_metadata *_metadata, int fd,
			  domid_t dom, char *map)
{
	EXPECT_TRUE(is_empty(map, PAGES));
	EXPECT_EQ(0, map_grants(fd, dom, map, 0, PAGES));
	EXPECT_EQ(0, signal_of_writing(map + (PAGES - 1) * PAGE));
}

/*
 * Xen 4.14 says in place of a size how many frames it takes at a time, whatever
 * the resource and the domain.
 */
#define FRAMES_AT_A_TIME 32
#define KNOWS_SIZES XEN_HAS_NR_VCPUS

/* How many frames a domain's grant table can have, unless it is told otherwise. */
#define GRANT_FRAMES 64

TEST_F(resource, has_a_size)
{
	int size = query(self->fd, grants(self->dom, NULL, 0, 0));

	if (!KNOWS_SIZES) {
		EXPECT_EQ(FRAMES_AT_A_TIME, size);
		return;
	}
	ASSERT_LT(PAGES, size);
	/* All of it is there, and no more. */
	EXPECT_EQ(0, map_resource(self->fd, grants(self->dom, self->map, size - 1, 1)));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map + PAGE, size, 1)));
	EXPECT_EQ(0, signal_of_writing(self->map));
	EXPECT_TRUE(is_empty(self->map + PAGE, PAGES - 1));

	if (has_device_models())
		EXPECT_EQ(IOREQ_FRAMES,
			  query(self->fd, ioreqs(self->dom, self->server, NULL, 0, 0)));
}

/* The first frame to map means nothing then. */
TEST_F(resource, has_its_size_whatever_the_index)
{
	int size = query(self->fd, grants(self->dom, NULL, 0, 0));

	ASSERT_LT(0, size);
	EXPECT_EQ(size, query(self->fd, grants(self->dom, NULL, 1, 0)));
	EXPECT_EQ(size, query(self->fd, grants(self->dom, NULL, -1U, 0)));
}

TEST_F(resource, has_a_size_but_not_in_read_only_memory)
{
	struct privcmd_mmap_resource *arg, before;

	arg = (void *)map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS);
	ASSERT_NE(NULL, arg);
	before = grants(self->dom, NULL, 0, 0);
	*arg = before;
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, arg));
	EXPECT_EQ(0, memcmp(arg, &before, sizeof(before)));
}

/* Nothing is written for a mapping. */
TEST_F(resource, is_mapped_by_a_read_only_argument)
{
	struct privcmd_mmap_resource *arg;

	arg = (void *)map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS);
	ASSERT_NE(NULL, arg);
	*arg = grants(self->dom, self->map, 0, PAGES * FRAMES_PER_PAGE);
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
	EXPECT_EQ(0, request(self->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, arg));
	EXPECT_EQ(0, signal_of_writing(self->map + 3 * PAGE));
}

TEST_F(resource, needs_a_good_pointer)
{
	char *page = map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS);
	void *const bad[] = {
		NULL, (void *)1, page + PAGE, page + PAGE - 8,
		(void *)0xffffffff81000000, (void *)(1UL << 63), (void *)-8UL,
	};

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, munmap(page + PAGE, PAGE));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, request(self->fd,
					   IOCTL_PRIVCMD_MMAP_RESOURCE,
					   bad[i])) {
			TH_LOG("argument at %p", bad[i]);
		}
	}
	ASSERT_EQ(0, restrict_to(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, NULL));
}

TEST_F(resource, shows_the_grant_table)
{
	char *other = map_file(self->fd, PAGES);

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, map_grants(self->fd, self->dom, self->map, 0, PAGES));
	ASSERT_EQ(0, map_grants(self->fd, self->dom, other, 0, PAGES));
	for (unsigned int i = 0; i < PAGES; i++) {
		/* Nothing is granted by a domain that never ran. */
		EXPECT_EQ(0, load(self->map + i * PAGE));
		EXPECT_TRUE(is_same_memory(self->map + i * PAGE,
					   other + i * PAGE));
		EXPECT_FALSE(is_same_memory(self->map + i * PAGE,
					    other + (i ^ 1) * PAGE));
	}
	EXPECT_EQ(0, munmap(other, PAGES * PAGE));
}

/* So many frames are more than the driver keeps on its stack. */
TEST_F(resource, is_mapped_whole)
{
	int size = query(self->fd, grants(self->dom, NULL, 0, 0));
	unsigned int pages = size / FRAMES_PER_PAGE;
	char *map = map_file(self->fd, pages);

	if (!KNOWS_SIZES)
		SKIP(return, "this Xen takes no more than 32 frames at a time");
	ASSERT_LT(32, size);
	ASSERT_NE(NULL, map);
	EXPECT_EQ(0, map_grants(self->fd, self->dom, map, 0, pages));
	EXPECT_EQ(0, signal_of_writing(map));
	EXPECT_EQ(0, signal_of_writing(map + (pages - 1) * PAGE));
	EXPECT_TRUE(neighbours_are_untouched(map, pages));
	EXPECT_EQ(0, munmap(map, pages * PAGE));
}

TEST_F(resource, shows_the_ioreq_server)
{
	unsigned int first = BUFFERED_REQUESTS == HVM_IOREQSRV_BUFIOREQ_OFF;
	unsigned int num = IOREQ_FRAMES - first;
	char *other = map_file(self->fd, IOREQ_FRAMES);

	unsigned int pages;

	if (!has_device_models())
		SKIP(return, NO_DEVICE_MODELS);
	ASSERT_NE(NULL, other);
	if (first)
		EXPECT_EQ(-ENOENT,
			  map_resource(self->fd, ioreqs(self->dom, self->server,
							self->map, 0, 1)));
	ASSERT_EQ(0, map_resource(self->fd, ioreqs(self->dom, self->server,
						   self->map, first, num)));
	ASSERT_EQ(0, map_resource(self->fd, ioreqs(self->dom, self->server,
						   other, first, num)));
	for (unsigned int i = 0; i < num; i++) {
		char *frame = self->map + i * XC_PAGE_SIZE;

		EXPECT_TRUE(is_same_frame(frame, other + i * XC_PAGE_SIZE));
		if (num > 1)
			EXPECT_FALSE(is_same_frame(frame, other + (i ^ 1) * XC_PAGE_SIZE));
	}
	pages = (num + FRAMES_PER_PAGE - 1) / FRAMES_PER_PAGE;
	EXPECT_TRUE(is_empty(self->map + pages * PAGE, PAGES - pages));
	EXPECT_EQ(0, munmap(other, IOREQ_FRAMES * PAGE));
}

/* Of all mappings of a restricted file. */
#define MAX_IOREQ_FRAMES 64

/*
 * Xen takes such a frame from the host, beyond the domain's limit, and keeps it as long as
 * it is mapped.  An emulator can have a new server, and new frames, as often as it likes.
 */
TEST_F(resource, of_past_ioreq_servers_stays_within_a_bound)
{
	unsigned int first = BUFFERED_REQUESTS == HVM_IOREQSRV_BUFIOREQ_OFF;
	unsigned int num = IOREQ_FRAMES - first, rounds = MAX_IOREQ_FRAMES / num;
	unsigned int pages = (num + FRAMES_PER_PAGE - 1) / FRAMES_PER_PAGE;
	size_t room = (rounds + 1) * pages, step = pages * PAGE;
	char *map = map_file(self->fd, room), *to = map;

	if (!has_device_models())
		SKIP(return, NO_DEVICE_MODELS);
	if (on_stock_driver())
		SKIP(return, "the stock driver counts no frames of ioreq servers");
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, populate(self->dom));
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	for (unsigned int i = 0; i < rounds; i++, to += step) {
		ASSERT_EQ(0, map_resource(self->fd, ioreqs(self->dom, self->server, to, first,
							   num)));
		/* What is refused does not count. */
		ASSERT_GT(0, map_resource(self->fd, ioreqs(self->dom, NO_SUCH_SERVER, to + step,
							   first, num)));
		ASSERT_EQ(0, xendevicemodel_destroy_ioreq_server(self->dmod, self->dom,
								 self->server));
		ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->dmod, self->dom,
								BUFFERED_REQUESTS, &self->server));
	}
	EXPECT_EQ(-ENOSPC, map_resource(self->fd, ioreqs(self->dom, self->server, to, first, num)));
	EXPECT_EQ(-ENOSPC, map_resource(self->fd, ioreqs(self->dom, self->server, self->map, first,
							 num)));
	/* Nor is the mapping in use now: a first batch has to fill it. */
	EXPECT_EQ(-EINVAL, map_frames(self->fd, self->dom, self->map + PAGE, 3, 1));
	/* Other resources do not count, and a mapping's end makes room. */
	expect_unused(_metadata, self->fd, self->dom, self->map);
	ASSERT_EQ(0, munmap(map, room * PAGE));
	map = map_file(self->fd, PAGES);
	EXPECT_EQ(0, map_resource(self->fd, ioreqs(self->dom, self->server, map, first, num)));
	munmap(map, PAGES * PAGE);
}

/*
 * As QEMU maps its pages: both by one request, and where there is none for buffered
 * requests the other one alone, into the same mapping.
 */
FIXTURE(emulated)
{
	int fd;
	int dom;
	xendevicemodel_handle *dmod;
	ioservid_t server;
	char *map;
};

FIXTURE_VARIANT(emulated)
{
	unsigned int vcpus;
	int buffered;
};

FIXTURE_VARIANT_ADD(emulated, buffered_3) {
	.vcpus = 3,
	.buffered = HVM_IOREQSRV_BUFIOREQ_ATOMIC,
};

FIXTURE_VARIANT_ADD(emulated, unbuffered_3) {
	.vcpus = 3,
	.buffered = HVM_IOREQSRV_BUFIOREQ_OFF,
};

FIXTURE_VARIANT_ADD(emulated, buffered_128) {
	.vcpus = 128,
	.buffered = HVM_IOREQSRV_BUFIOREQ_ATOMIC,
};

FIXTURE_VARIANT_ADD(emulated, unbuffered_128) {
	.vcpus = 128,
	.buffered = HVM_IOREQSRV_BUFIOREQ_OFF,
};

FIXTURE_SETUP(emulated)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);

	if (!domain_can_be(DOMAIN_PV))
		SKIP_FIXTURE(return, "buffered requests are x86's");
	if (stock_does_harm())
		SKIP_FIXTURE(return, HARMED_BY_STOCK);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(DOMAIN_HVM, variant->vcpus);
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, xc_domain_max_vcpus(xch, self->dom, variant->vcpus));
	self->dmod = xendevicemodel_open(NULL, 0);
	ASSERT_NE(NULL, self->dmod);
	ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->dmod, self->dom, variant->buffered,
							&self->server));
	self->map = map_file(self->fd, PAGES);
	ASSERT_NE(NULL, self->map);
	xc_interface_close(xch);
}

FIXTURE_TEARDOWN(emulated)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	munmap(self->map, PAGES * PAGE);
	xendevicemodel_close(self->dmod);
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

/* How many of the slots have an event channel that no other one has. */
static unsigned int slots_in_use(const char *page)
{
	const struct ioreq *slots = (const void *)page;
	unsigned int in_use = 0, all = PAGE / sizeof(*slots);

	for (unsigned int i = 0; i < all; i++) {
		unsigned int same = 0;

		for (unsigned int j = 0; j < all; j++)
			same += slots[j].vp_eport == slots[i].vp_eport;
		in_use += slots[i].vp_eport && same == 1;
	}
	return in_use;
}

TEST_F(emulated, pages_are_mapped_as_qemu_does)
{
	const int fd = self->fd;
	char *slots = self->map + PAGE;
	int ret = map_resource(fd, ioreqs(self->dom, self->server, self->map, 0, 2));

	if (variant->buffered == HVM_IOREQSRV_BUFIOREQ_OFF) {
		EXPECT_EQ(-ENOENT, ret);
		EXPECT_TRUE(is_empty(self->map, PAGES));
		slots = self->map;
		ret = map_resource(fd, ioreqs(self->dom, self->server, slots, 1, 1));
	}
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, xendevicemodel_set_ioreq_server_state(self->dmod, self->dom, self->server, 1));
	EXPECT_EQ(variant->vcpus, slots_in_use(slots));
	EXPECT_TRUE(is_empty(slots + PAGE, 2));
	/* All vCPUs that Xen knows of have their slots in one page. */
	EXPECT_EQ(-EINVAL, map_resource(fd, ioreqs(self->dom, self->server, slots + PAGE, 2, 1)));
	EXPECT_TRUE(is_empty(slots + PAGE, 2));
	if (!on_stock_driver())
		EXPECT_EQ(by_nr_vcpus(variant->vcpus), nr_vcpus(fd, self->dom));
}

/* As an emulator maps its pages: one request for each, in any order. */
TEST_F(resource, shows_parts_at_their_places)
{
	char *other = map_file(self->fd, PAGES);
	const unsigned int order[PAGES] = { 2, 0, 3, 1 };

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, map_grants(self->fd, self->dom, other, 0, PAGES));
	for (unsigned int i = 0; i < PAGES; i++) {
		char *page = self->map + order[i] * PAGE;

		EXPECT_TRUE(is_empty(page, 1));
		ASSERT_EQ(0, map_grants(self->fd, self->dom, page, order[i],
					1));
	}
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_TRUE(is_same_memory(self->map + i * PAGE,
					   other + i * PAGE));
	EXPECT_EQ(0, munmap(other, PAGES * PAGE));
}

/* The rest of the address within its page does not count, as ever. */
TEST_F(resource, need_not_be_aligned)
{
	char *other = map_file(self->fd, PAGES);

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, map_grants(self->fd, self->dom, other, 0, PAGES));
	EXPECT_EQ(0, map_grants(self->fd, self->dom, self->map + 1, 0, 1));
	EXPECT_EQ(0, map_grants(self->fd, self->dom, self->map + 2 * PAGE - 1,
				1, 1));
	EXPECT_EQ(0, map_grants(self->fd, self->dom, self->map + 2 * PAGE + 8,
				2, 2));
	for (unsigned int i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, signal_of_writing(self->map + i * PAGE));
		EXPECT_TRUE(is_same_memory(self->map + i * PAGE,
					   other + i * PAGE));
	}
	EXPECT_EQ(0, munmap(other, PAGES * PAGE));
}

/* The stock driver of a PV dom0 maps it anew. */
TEST_F(resource, is_refused_where_something_is_mapped)
{
	int expected = on_stock_driver() ? 0 : -EINVAL;
	char *other = map_file(self->fd, PAGES);
	unsigned int shown = on_stock_driver() ? 2 : 0;

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, map_grants(self->fd, self->dom, other, 0, PAGES));
	ASSERT_EQ(0, map_grants(self->fd, self->dom, self->map, 0, 2));
	EXPECT_EQ(expected, map_grants(self->fd, self->dom, self->map, 0, 2));
	EXPECT_EQ(expected, map_grants(self->fd, self->dom, self->map + PAGE, 1,
				       2));
	EXPECT_EQ(!on_stock_driver(), is_empty(self->map + 2 * PAGE, 1));
	EXPECT_EQ(expected, map_grants(self->fd, self->dom, self->map, 2, 1));
	EXPECT_TRUE(is_same_memory(self->map, other + shown * PAGE));
	EXPECT_TRUE(is_same_memory(self->map + PAGE, other + PAGE));
	EXPECT_EQ(0, munmap(other, PAGES * PAGE));
}

/*
 * For its size Xen 4.17 gives the error in place of the number.  Xen 4.20 finds
 * that it has no frames, before it finds that there is no such type.
 */
TEST_F(resource, of_an_unknown_type_is_refused_by_the_hypervisor)
{
	int expected = XEN_DOMCTL_INTERFACE_VERSION < 0x17 ? -EOPNOTSUPP : -EINVAL;
	struct privcmd_mmap_resource arg = grants(self->dom, NULL, 0, 0);

	arg.type = NO_SUCH_RESOURCE;
	EXPECT_NE(MEMORY_CHANGED, query(self->fd, arg));
	arg.addr = (uintptr_t)self->map;
	arg.num = PAGES * FRAMES_PER_PAGE;
	EXPECT_EQ(expected, map_resource(self->fd, arg));
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, of_an_unknown_id_is_refused_by_the_hypervisor)
{
	struct privcmd_mmap_resource arg = grants(self->dom, NULL, 0, 0);

	arg.id = 2;
	EXPECT_NE(MEMORY_CHANGED, query(self->fd, arg));
	arg.addr = (uintptr_t)self->map;
	arg.num = PAGES * FRAMES_PER_PAGE;
	EXPECT_EQ(-EINVAL, map_resource(self->fd, arg));
	if (has_device_models())
		EXPECT_EQ(-ENOENT,
			  map_resource(self->fd, ioreqs(self->dom, NO_SUCH_SERVER,
							self->map, 0, 1)));
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, of_a_bad_domain_is_refused_by_the_hypervisor)
{
	EXPECT_EQ(KNOWS_SIZES ? -ESRCH : FRAMES_AT_A_TIME,
		  query(self->fd, grants(NO_SUCH_DOMAIN, NULL, 0, 0)));
	EXPECT_EQ(-ESRCH, map_grants(self->fd, NO_SUCH_DOMAIN, self->map, 0, 1));
	EXPECT_EQ(KNOWS_SIZES ? -EPERM : FRAMES_AT_A_TIME,
		  query(self->fd, grants(0, NULL, 0, 0)));
	EXPECT_EQ(-EPERM, map_grants(self->fd, 0, self->map, 0, 1));
	EXPECT_EQ(-ESRCH, map_grants(self->fd, DOMID_IDLE, self->map, 0, 1));
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, beyond_its_end_is_refused_by_the_hypervisor)
{
	int size = KNOWS_SIZES ? query(self->fd, grants(self->dom, NULL, 0, 0)) : GRANT_FRAMES;

	ASSERT_LT(0, size);
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, size, 1)));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, size - 1, 2)));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, 1U << 31, 1)));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, -1U, 1)));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, -1U, 2)));
	if (has_device_models()) {
		EXPECT_EQ(-EINVAL,
			  map_resource(self->fd, ioreqs(self->dom, self->server,
							self->map, IOREQ_FRAMES, 1)));
		EXPECT_EQ(-EINVAL,
			  map_resource(self->fd, ioreqs(self->dom, self->server,
							self->map, 1, IOREQ_FRAMES)));
	}
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, needs_both_an_address_and_a_number_or_none)
{
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, self->map, 0, 0));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, NULL, 0, 1));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, NULL, 0, -1UL)));
	EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, NULL, 0, 1UL << 32)));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, (void *)1, 0, 0));
	/* Before the hypervisor is asked. */
	EXPECT_EQ(-EINVAL, map_grants(self->fd, NO_SUCH_DOMAIN, NULL, 0, 1));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, NO_SUCH_DOMAIN, self->map, 0,
				      0));
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

/* Where other mappings follow, it must not come to lie in them. */
TEST_F(resource, larger_than_the_mapping_is_refused)
{
	const __u64 many[] = { 33, 1UL << 20, (1UL << 32) - 1 };
	char *next = self->map + PAGE;

	if (host_is_at_risk())
		SKIP(return, "the stock driver overwrites the neighbours' page tables");
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	ASSERT_EQ(self->map, mmap(self->map, PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->fd, 0));
	ASSERT_EQ(next, mmap(next, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, self->fd, 0));
	ASSERT_EQ(next + 2 * PAGE, mmap(next + 2 * PAGE, PAGE,
					PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
					-1, 0));
	memset(next + 2 * PAGE, UNTOUCHED, PAGE);
	for (unsigned int num = 2; num <= 2 * PAGES; num++)
		EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, self->map, 0,
					      num));
	/* So many that there is no memory to note them. */
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		EXPECT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, 0,
								 many[i])));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, next + PAGE, 0, 2));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, next, 0, 3));
	EXPECT_TRUE(is_empty(self->map, 3));
	EXPECT_TRUE(is_untouched(next + 2 * PAGE, 2 * PAGE));
	EXPECT_EQ(0, map_grants(self->fd, self->dom, self->map, 0, 1));
	EXPECT_EQ(0, map_grants(self->fd, self->dom, next, 0, 2));
}

/* Where the kernel's search for what is there finds the mapping above. */
TEST_F(resource, below_the_mapping_is_refused)
{
	char *below = self->map - PAGE;

	if (on_stock_driver())
		SKIP(return, "the stock driver takes it for the mapping above");
	ASSERT_EQ(0, munmap(below, PAGE));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, below, 0, 1));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, below, 0, PAGES));
	EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom, self->map - 1, 0, 1));
	EXPECT_EQ(SIGSEGV, signal_of_reading(below));
	ASSERT_EQ(below, mmap(below, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(below, UNTOUCHED, PAGE);
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, into_other_memory_is_refused)
{
	char *others[OTHER_MEMORIES];

	ASSERT_TRUE(map_others(others, PAGES));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		for (unsigned int num = 1; num <= PAGES; num++)
			EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom,
						      others[i], 0, num));
		EXPECT_TRUE(is_untouched(others[i] - PAGE, (PAGES + 2) * PAGE));
		EXPECT_EQ(0, munmap(others[i], PAGES * PAGE));
	}
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, beyond_all_addresses_is_refused)
{
	const uintptr_t addrs[] = {
		-PAGE, -1UL, 1UL << 63, 1UL << 47, 0xffff800000000000,
		0xffffffff81000000,
	};

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		for (unsigned int num = 1; num <= PAGES; num++)
			EXPECT_EQ(-EINVAL, map_grants(self->fd, self->dom,
						      (void *)addrs[i], 0, num)) {
				TH_LOG("address %#lx", (unsigned long)addrs[i]);
			}
	}
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

/*
 * No number of frames may lose bits on its way.  The stock driver tries to
 * allocate an array of them first.
 */
TEST_F(resource, of_too_many_frames_is_refused)
{
	const __u64 many[] = {
		1UL << 32, (1UL << 32) + 1, 1UL << 52, (1UL << 52) + 1,
		1UL << 61, (1UL << 61) + 1, 1UL << 63, (1UL << 63) + 1, -1UL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		EXPECT_EQ(on_stock_driver() ? -ENOMEM : -EINVAL,
			  map_resource(self->fd, grants(self->dom, self->map, 0, many[i]))) {
			TH_LOG("%#llx frames", many[i]);
		}
	}
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, on_a_restricted_file_is_of_its_domain)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EPERM, map_grants(self->fd, 0, self->map, 0, 1));
	EXPECT_EQ(-EPERM, map_grants(self->fd, NO_SUCH_DOMAIN, self->map, 0, 1));
	EXPECT_EQ(-EPERM, query(self->fd, grants(NO_SUCH_DOMAIN, NULL, 0, 0)));
	EXPECT_LT(PAGES, query(self->fd, grants(self->dom, NULL, 0, 0)));
	expect_unused(_metadata, self->fd, self->dom, self->map);
}

TEST_F(resource, on_a_file_for_another_domain_is_refused)
{
	ASSERT_EQ(0, restrict_to(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, self->map, 0, PAGES));
	EXPECT_EQ(-EPERM, query(self->fd, grants(self->dom, NULL, 0, 0)));
	/* Whatever else is wrong. */
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, self->map, 0, 0));
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, NULL, 0, 1));
	EXPECT_EQ(-EPERM, map_resource(self->fd, grants(self->dom, self->map, 0, -1UL)));
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

/* A batch has to fill a mapping that was never used, and MMAP wants such a one. */
TEST_F(resource, that_failed_leaves_the_mapping_unused)
{
	if (on_stock_driver())
		SKIP(return, "the stock driver takes a failure for a use");
	ASSERT_EQ(0, populate(self->dom));
	ASSERT_EQ(-EINVAL, map_resource(self->fd, grants(self->dom, self->map, -1U, 1)));
	EXPECT_EQ(-EINVAL, map_frames(self->fd, self->dom, self->map + PAGE, 3,
				      1));
	EXPECT_EQ(0, on_auto_translated() ?
		     map_frames(self->fd, self->dom, self->map, 0, PAGES) :
		     map_run(self->fd, self->dom, self->map, 0, PAGES));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_EQ(0, signal_of_writing(self->map + i * PAGE));
}

TEST_HARNESS_MAIN
