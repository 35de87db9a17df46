// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_DM_OP: which buffers it takes, and what the hypervisor makes of
 * them.
 */

#include "common.h"
#include "limits.h"

#include <sys/mman.h>

#define PARAMETERS "/sys/module/xen_privcmd/parameters/"

/* How many buffers Xen itself takes. */
#define XEN_MAX_BUFS 2

FIXTURE(dm_op)
{
	int fd;
	int dom;
	size_t page;
	/* Two pages, with nothing mapped behind them. */
	char *memory;
	/* The operation, at the start of the memory. */
	struct nr_vcpus_op *op;
	struct privcmd_dm_op_buf bufs[32];
	unsigned int max_bufs;
	unsigned int max_size;
	/* What a good request returns, and writes. */
	int success;
	unsigned int answer;
};

static unsigned int read_parameter(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int value = 0;

	if (file) {
		if (fscanf(file, "%u", &value) != 1)
			value = 0;
		fclose(file);
	}
	return value;
}

static int write_parameter(const char *path, unsigned int value)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return -errno;
	fprintf(file, "%u\n", value);
	return fclose(file) ? -errno : 0;
}

FIXTURE_SETUP(dm_op)
{
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	self->success = by_dm_op(0);
	self->answer = self->success ? 0 : 3;
	self->max_bufs = read_parameter(PARAMETERS "dm_op_max_nr_bufs");
	ASSERT_LT(XEN_MAX_BUFS, self->max_bufs);
	ASSERT_GT(ARRAY_SIZE(self->bufs), self->max_bufs + 1);
	self->max_size = read_parameter(PARAMETERS "dm_op_buf_max_size");
	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_GE(self->page, self->max_size);

	self->memory = mmap(NULL, 3 * self->page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
	ASSERT_EQ(0, munmap(self->memory + 2 * self->page, self->page));
	self->op = (void *)self->memory;
	self->op->op = DM_OP_NR_VCPUS;
	for (size_t i = 0; i < ARRAY_SIZE(self->bufs); i++) {
		self->bufs[i].uptr = self->op;
		self->bufs[i].size = sizeof(*self->op);
	}
}

FIXTURE_TEARDOWN(dm_op)
{
	write_parameter(PARAMETERS "dm_op_max_nr_bufs", self->max_bufs);
	write_parameter(PARAMETERS "dm_op_buf_max_size", self->max_size);
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

TEST_F(dm_op, answers)
{
	EXPECT_EQ(by_dm_op(3), dm_op_nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(by_dm_op(-EPERM), dm_op_nr_vcpus(self->fd, 0));
	EXPECT_EQ(by_dm_op(-ESRCH), dm_op_nr_vcpus(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(by_dm_op(-ESRCH), dm_op_nr_vcpus(self->fd, DOMID_SELF));
}

TEST_F(dm_op, answers_for_pvh_domains)
{
	int pvh = domain_create(DOMAIN_PVH, 5);

	ASSERT_LT(0, pvh);
	EXPECT_EQ(by_dm_op(5), dm_op_nr_vcpus(self->fd, pvh));
	EXPECT_EQ(0, domain_destroy(pvh));
	EXPECT_EQ(by_dm_op(-ESRCH), dm_op_nr_vcpus(self->fd, pvh));
}

TEST_F(dm_op, answers_for_pv_domains)
{
	int pv;

	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	pv = domain_create(DOMAIN_PV, 2);
	ASSERT_LT(0, pv);
	EXPECT_EQ(-EINVAL, dm_op_nr_vcpus(self->fd, pv));
	EXPECT_EQ(0, domain_destroy(pv));
	EXPECT_EQ(-ESRCH, dm_op_nr_vcpus(self->fd, pv));
}

/* So libxendevicemodel finds out whether there is such a command. */
TEST_F(dm_op, without_buffers_does_nothing)
{
	EXPECT_EQ(0, dm_op(self->fd, self->dom, 0, NULL));
	EXPECT_EQ(0, dm_op(self->fd, NO_SUCH_DOMAIN, 0, NULL));
	EXPECT_EQ(0, dm_op(self->fd, DOMID_SELF, 0, (void *)1));
	EXPECT_EQ(0, dm_op(self->fd, 0x7ff4, 0, NULL));
}

TEST_F(dm_op, unknown_operation)
{
	for (__u32 op = 0; op < 3; op++) {
		self->op->op = op ? -op : 0;
		self->op->vcpus = 12345;
		EXPECT_EQ(by_dm_op(-EOPNOTSUPP),
			  dm_op(self->fd, self->dom, 1, self->bufs));
		EXPECT_EQ(12345, self->op->vcpus);
	}
}

TEST_F(dm_op, pad_is_the_hypervisors_to_check)
{
	self->op->pad = 1;
	EXPECT_EQ(self->success ?: -EINVAL, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(0, self->op->vcpus);
}

TEST_F(dm_op, buffer_too_small_for_the_operation)
{
	const size_t head = offsetof(struct nr_vcpus_op, vcpus);

	for (size_t size = 1; size < sizeof(*self->op); size++) {
		int expected = size < head ? by_dm_op(-EFAULT) : self->success ?: -EFAULT;

		self->bufs[0].size = size;
		EXPECT_EQ(expected, dm_op(self->fd, self->dom, 1, self->bufs)) {
			TH_LOG("%zu bytes", size);
		}
	}
	EXPECT_EQ(0, self->op->vcpus);
}

/* The count is checked before the array is looked at. */
TEST_F(dm_op, too_many_buffers)
{
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, self->max_bufs + 1, NULL));
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 0xffff, NULL));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, self->max_bufs, NULL));
	/* Here it is Xen that finds them too many. */
	EXPECT_EQ(by_dm_op(-E2BIG), dm_op(self->fd, self->dom, self->max_bufs,
					  self->bufs));
	EXPECT_EQ(by_dm_op(-E2BIG), dm_op(self->fd, self->dom, XEN_MAX_BUFS + 1,
					  self->bufs));
	EXPECT_EQ(0, self->op->vcpus);
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, XEN_MAX_BUFS, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);
}

TEST_F(dm_op, how_many_are_too_many_is_a_parameter)
{
	ASSERT_EQ(0, write_parameter(PARAMETERS "dm_op_max_nr_bufs",
				     self->max_bufs + 1));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, self->max_bufs + 1,
				 NULL));
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, self->max_bufs + 2, NULL));

	ASSERT_EQ(0, write_parameter(PARAMETERS "dm_op_max_nr_bufs", 1));
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(0, self->op->vcpus);
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);
}

TEST_F(dm_op, buffer_too_large)
{
	const size_t bad[] = { self->max_size + 1, 1UL << 32, -1UL };

	self->bufs[0].size = self->max_size;
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		self->op->vcpus = 12345;
		self->bufs[0].size = bad[i];
		EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 1, self->bufs)) {
			TH_LOG("%#zx bytes", bad[i]);
		}
		self->bufs[0].size = sizeof(*self->op);
		self->bufs[1].size = bad[i];
		EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 2, self->bufs));
		self->bufs[1].size = sizeof(*self->op);
		EXPECT_EQ(12345, self->op->vcpus);
	}
}

TEST_F(dm_op, how_large_is_too_large_is_a_parameter)
{
	self->bufs[0].size = self->max_size + 1;
	ASSERT_EQ(0, write_parameter(PARAMETERS "dm_op_buf_max_size",
				     self->max_size + 1));
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);

	self->op->vcpus = 12345;
	self->bufs[0].size = sizeof(*self->op);
	ASSERT_EQ(0, write_parameter(PARAMETERS "dm_op_buf_max_size",
				     sizeof(*self->op) - 1));
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(12345, self->op->vcpus);
}

TEST_F(dm_op, array_at_a_bad_pointer)
{
	char *end = self->memory + 2 * self->page;

	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_DM_OP, NULL));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_DM_OP, end - 8));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, NULL));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, (void *)end));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1,
				 (void *)0xffffffff81000000));

	/* One of the two is behind the end. */
	end -= sizeof(self->bufs[0]);
	memcpy(end, self->bufs, sizeof(self->bufs[0]));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, (void *)end));
	EXPECT_EQ(0, self->op->vcpus);
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 1, (void *)end));
	EXPECT_EQ(self->answer, self->op->vcpus);
}

TEST_F(dm_op, buffer_at_a_bad_pointer)
{
	char *end = self->memory + 2 * self->page;
	void *const bad[] = {
		NULL, end, end - 4, (void *)0xffffffff81000000, (void *)-4UL,
		(void *)(1UL << 63),
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		self->bufs[0].uptr = bad[i];
		EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, self->bufs)) {
			TH_LOG("address %p", bad[i]);
		}
		/* The second one, though Xen does not need it. */
		self->bufs[0].uptr = self->op;
		self->bufs[1].uptr = bad[i];
		EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, self->bufs)) {
			TH_LOG("second buffer at %p", bad[i]);
		}
		EXPECT_EQ(0, self->op->vcpus);
	}
}

TEST_F(dm_op, buffer_in_read_only_memory)
{
	ASSERT_EQ(0, mprotect(self->memory, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(0, self->op->vcpus);

	/* As the second one. */
	self->bufs[0].uptr = self->memory + self->page;
	ASSERT_EQ(0, mprotect(self->memory, self->page, PROT_READ | PROT_WRITE));
	memcpy(self->bufs[0].uptr, self->op, sizeof(*self->op));
	ASSERT_EQ(0, mprotect(self->memory, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(DM_OP_NR_VCPUS, self->op->op);
	EXPECT_EQ(0, self->op->vcpus);

	/* However large: the driver may do otherwise with large ones. */
	self->bufs[1].size = self->max_size;
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, self->bufs));
	self->bufs[1].size = 1;
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(0, self->op->vcpus);
}

/* The first byte can be written, the last one cannot. */
TEST_F(dm_op, buffer_in_half_read_only_memory)
{
	char *border = self->memory + self->page;

	self->bufs[1].uptr = border - 16;
	self->bufs[1].size = 32;
	ASSERT_EQ(0, mprotect(border, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(0, self->op->vcpus);
}

/* Nobody touches it, so that it may be anywhere; stock looks at its pages. */
TEST_F(dm_op, empty_buffer)
{
	char *end = self->memory + 2 * self->page;
	char *const anywhere[] = { self->memory + self->page, NULL, end + 1 };

	self->bufs[1].size = 0;
	for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++) {
		self->op->vcpus = 0;
		self->bufs[1].uptr = anywhere[i];
		EXPECT_EQ(on_stock_driver() ? -EFAULT : self->success,
			  dm_op(self->fd, self->dom, 2, self->bufs));
		EXPECT_EQ(on_stock_driver() ? 0 : self->answer, self->op->vcpus);
	}

	self->bufs[1].uptr = self->memory + self->page + 1;
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);

	/* Passed on, and too small for Xen. */
	self->bufs[0].size = 0;
	self->bufs[0].uptr = self->memory + 4;
	EXPECT_EQ(by_dm_op(-EFAULT), dm_op(self->fd, self->dom, 1, self->bufs));
}

TEST_F(dm_op, buffer_across_pages)
{
	struct nr_vcpus_op *op;

	op = (void *)(self->memory + self->page - sizeof(op->op));
	memset(self->memory, 0xa5, 2 * self->page);
	op->op = DM_OP_NR_VCPUS;
	op->pad = 0;
	op->vcpus = 0;
	self->bufs[0].uptr = op;
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(self->answer, op->vcpus);
	memset(op, 0xa5, sizeof(*op));
	for (size_t i = 0; i < 2 * self->page; i++)
		ASSERT_EQ((char)0xa5, self->memory[i]);
}

/* Both buffers are the same memory, not copies of it. */
TEST_F(dm_op, buffers_that_overlap)
{
	self->bufs[1].uptr = (char *)self->op + 4;
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);

	self->op->vcpus = 0;
	self->bufs[1].uptr = self->op;
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 2, self->bufs));
	EXPECT_EQ(self->answer, self->op->vcpus);
}

TEST_F(dm_op, is_refused_for_other_domains_on_a_restricted_file)
{
	ASSERT_EQ(0, restrict_to(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, 1, self->bufs));
	EXPECT_EQ(0, self->op->vcpus);
	/* Our driver asks nobody: the file is for a domain that is none. */
	EXPECT_EQ(on_stock_driver() ? by_dm_op(-ESRCH) : -ESRCH,
		  dm_op(self->fd, NO_SUCH_DOMAIN, 1, self->bufs));
}

/* Takes the memory of a type from an ioreq server, if it has no flags. */
#define MAP_MEM_TYPE		15
#define IOREQ_SERVER_TYPE	4
#define WRITES			2

struct map_mem_type_op {
	__u32 op, pad;
	__u16 id, type;
	__u32 flags;
	__u64 opaque;
};

#define MODIFIED_MEMORY		11

struct modified_memory_op {
	__u32 op, pad;
	__u32 nr_extents;
	__u32 opaque;
};

struct modified_memory_extent {
	__u32 nr;
	__u32 pad;
	__u64 first_pfn;
};

/* Both have the number of GFNs first. */
#define SET_MEM_TYPE		12
#define RELOCATE_MEMORY		17

struct gfns_op {
	__u32 op, pad;
	__u32 nr;
	__u32 more[5];
};

/* What an operation of a restricted file may be for, at most. */
#define MAX_GFNS 0x100000

#define WALKS "the stock driver lets Xen walk over all GFNs"

/* Xen would look at each GFN up to the highest one, and no signal ends that. */
TEST_F(dm_op, that_walks_all_gfns_is_refused_on_a_restricted_file)
{
	struct map_mem_type_op map = { .op = MAP_MEM_TYPE, .type = IOREQ_SERVER_TYPE };
	struct privcmd_dm_op_buf buf = { .uptr = &map, .size = sizeof(map) };

	if (on_stock_driver())
		SKIP(return, WALKS);

	EXPECT_NE(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
	map.opaque = 1;
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
	map.flags = WRITES;
	EXPECT_NE(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
}

/* The number is the operation's own. */
TEST_F(dm_op, on_too_many_gfns_is_refused_on_a_restricted_file)
{
	struct gfns_op op = { .nr = MAX_GFNS + 1 };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };
	static const __u32 operations[] = { SET_MEM_TYPE, RELOCATE_MEMORY };

	if (on_stock_driver())
		SKIP(return, WALKS);

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		op.op = operations[i];
		op.nr = MAX_GFNS + 1;
		EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 1, &buf));
		op.nr = UINT32_MAX;
		EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 1, &buf));
		op.nr = MAX_GFNS;
		EXPECT_NE(-E2BIG, dm_op(self->fd, self->dom, 1, &buf));
	}
	/* Here it means something else. */
	op.op = DM_OP_NR_VCPUS;
	op.nr = MAX_GFNS + 1;
	EXPECT_EQ(self->success, dm_op(self->fd, self->dom, 1, &buf));
}

/* The numbers are in the other buffer; so many are they that no sum of 32 bits holds them. */
TEST_F(dm_op, on_too_many_modified_pages_is_refused_on_a_restricted_file)
{
	struct modified_memory_op op = { .op = MODIFIED_MEMORY };
	struct modified_memory_extent *extents = (void *)(self->memory + 8);
	struct privcmd_dm_op_buf bufs[] = {
		{ .uptr = &op, .size = sizeof(op) },
		{ .uptr = extents, .size = 2 * sizeof(*extents) },
	};

	if (on_stock_driver())
		SKIP(return, WALKS);

	memset(extents, 0, 2 * sizeof(*extents));
	op.nr_extents = 2;
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	extents[0].nr = MAX_GFNS;
	EXPECT_NE(-E2BIG, dm_op(self->fd, self->dom, 2, bufs));
	extents[1].nr = 1;
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 2, bufs));
	/* Where Xen goes on is for Xen to say. */
	op.opaque = 1;
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 2, bufs));
	extents[1].nr = UINT32_MAX - MAX_GFNS + 1;
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 2, bufs));
	/* Half an extent is none; without the other buffer there is none. */
	bufs[1].size--;
	EXPECT_NE(-E2BIG, dm_op(self->fd, self->dom, 2, bufs));
	bufs[1].size++;
	EXPECT_NE(-E2BIG, dm_op(self->fd, self->dom, 1, bufs));
}

#define EMPTIES "the stock driver lets Xen empty all processors' caches"

/* Xen does so for all types but the usual one, and where a range is taken back. */
TEST_F(dm_op, that_empties_all_caches_is_refused_on_a_restricted_file)
{
	static const __u32 others[] = { 0, 1, 2, 4, 5, 7, WRITE_BACK + 256, UINT32_MAX };
	struct pin_memory_op op = { .op = PIN_MEMORY_CACHEATTR };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };

	if (on_stock_driver())
		SKIP(return, EMPTIES);

	EXPECT_NE(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		op.type = others[i];
		EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
	}
	op.type = WRITE_BACK;
	EXPECT_NE(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
	/* Without its end it is of type 0. */
	buf.size = offsetof(struct pin_memory_op, type);
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, 1, &buf));
}

TEST_HARNESS_MAIN
