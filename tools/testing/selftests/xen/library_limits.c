// SPDX-License-Identifier: GPL-2.0-only
/*
 * xendevicemodel_limit() and xenforeignmemory_limit(), which Xen's libraries have where
 * somebody built them with the patch of "make upstream-patch XSRC=".  On a driver that
 * cannot limit files, they say so and change nothing.
 */

#include "limits.h"
#include "mapping.h"

#include <dlfcn.h>

#include <xenforeignmemory.h>
#include <xentoolcore.h>

#ifndef XENFOREIGNMEMORY_LIMIT_READ_ONLY
#define XENFOREIGNMEMORY_LIMIT_READ_ONLY 1U
#define XENFOREIGNMEMORY_LIMIT_NO_MAPPING 2U
#endif

#define OPERATION(name) (1ULL << XEN_DMOP_ ## name)

/* That of the handle that was opened last: it has the highest number. */
static int last_file(void)
{
	int last = -1;

	for (int fd = 0; fd < 64; fd++) {
		char name[16];

		snprintf(name, sizeof(name), "fd/%d", fd);
		if (!strcmp(proc_link(getpid(), name), PRIVCMD_DEVICE))
			last = fd;
	}
	return last;
}

static void expect_left(struct __test_metadata *_metadata, struct privcmd_limit expected)
{
	struct privcmd_limit left;

	ASSERT_TRUE(read_limit(last_file(), &left));
	EXPECT_EQ(expected.commands, left.commands);
	EXPECT_EQ(expected.dm_ops, left.dm_ops);
	EXPECT_EQ(expected.resources, left.resources);
	EXPECT_EQ(expected.flags, left.flags);
}

/* Whether a call that limits a handle did so.  The stock driver cannot. */
static bool has_limited(struct __test_metadata *_metadata, int ret)
{
	EXPECT_EQ(on_stock_driver() ? -ENOTTY : 0, ret);
	return !ret;
}

/* ---- libxendevicemodel ---- */

FIXTURE(device_model)
{
	int (*limit)(xendevicemodel_handle *dmod, uint64_t operations);
	xendevicemodel_handle *dmod;
	int dom;
};

FIXTURE_SETUP(device_model)
{
	self->limit = dlsym(RTLD_DEFAULT, "xendevicemodel_limit");
	if (!self->limit)
		SKIP_FIXTURE(return, "this libxendevicemodel has no xendevicemodel_limit()");
	self->dom = domain_create(DOMAIN_PVH, 3);
	ASSERT_LT(0, self->dom);
	self->dmod = xendevicemodel_open(NULL, 0);
	ASSERT_NE(NULL, self->dmod);
}

FIXTURE_TEARDOWN(device_model)
{
	if (!self->dmod)
		return;
	xendevicemodel_close(self->dmod);
	EXPECT_EQ(0, domain_destroy(self->dom));
}

#define LIMIT_OPERATIONS(self, operations) \
	has_limited(_metadata, (self)->limit((self)->dmod, operations) ? -errno : 0)

static int vcpus_of(xendevicemodel_handle *dmod, domid_t dom)
{
	unsigned int vcpus = 0;

	return xendevicemodel_nr_vcpus(dmod, dom, &vcpus) ? -errno : (int)vcpus;
}

static int create_server(xendevicemodel_handle *dmod, domid_t dom, ioservid_t *id)
{
	return xendevicemodel_create_ioreq_server(dmod, dom, HVM_IOREQSRV_BUFIOREQ_OFF, id) ?
		-errno : 0;
}

static int destroy_server(xendevicemodel_handle *dmod, domid_t dom, ioservid_t id)
{
	return xendevicemodel_destroy_ioreq_server(dmod, dom, id) ? -errno : 0;
}

TEST_F(device_model, has_the_operations_that_are_named)
{
	ioservid_t id = 0;
	bool limited;

	limited = LIMIT_OPERATIONS(self, OPERATION(create_ioreq_server) | OPERATION(nr_vcpus));
	EXPECT_EQ(0, create_server(self->dmod, self->dom, &id));
	EXPECT_EQ(limited ? -EPERM : 0, destroy_server(self->dmod, self->dom, id));
	EXPECT_EQ(3, vcpus_of(self->dmod, self->dom));
	if (limited)
		expect_left(_metadata, (struct privcmd_limit) {
			.commands = COMMAND(IOCTL_PRIVCMD_DM_OP) |
				    COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS) |
				    COMMAND(IOCTL_PRIVCMD_LIMIT),
			.dm_ops = OPERATION(create_ioreq_server) | OPERATION(nr_vcpus),
		});
}

/* The question is an operation like others, whatever command asks it. */
TEST_F(device_model, can_do_without_the_question)
{
	bool limited = LIMIT_OPERATIONS(self, OPERATION(create_ioreq_server));
	ioservid_t id;

	EXPECT_EQ(limited ? -EPERM : 3, vcpus_of(self->dmod, self->dom));
	EXPECT_EQ(0, create_server(self->dmod, self->dom, &id));
	if (limited)
		expect_left(_metadata, (struct privcmd_limit) {
			.commands = COMMAND(IOCTL_PRIVCMD_DM_OP) | COMMAND(IOCTL_PRIVCMD_LIMIT),
			.dm_ops = OPERATION(create_ioreq_server),
		});
}

TEST_F(device_model, can_be_left_with_nothing)
{
	bool limited = LIMIT_OPERATIONS(self, 0);
	ioservid_t id;

	EXPECT_EQ(limited ? -EPERM : 3, vcpus_of(self->dmod, self->dom));
	EXPECT_EQ(limited ? -EPERM : 0, create_server(self->dmod, self->dom, &id));
	if (limited)
		expect_left(_metadata, (struct privcmd_limit) {
			.commands = COMMAND(IOCTL_PRIVCMD_LIMIT),
		});
}

TEST_F(device_model, gets_nothing_back)
{
	ioservid_t id = 0;

	LIMIT_OPERATIONS(self, OPERATION(create_ioreq_server) | OPERATION(nr_vcpus));
	if (!LIMIT_OPERATIONS(self, ~OPERATION(create_ioreq_server)))
		return;
	EXPECT_EQ(-EPERM, create_server(self->dmod, self->dom, &id));
	EXPECT_EQ(-EPERM, destroy_server(self->dmod, self->dom, id));
	EXPECT_EQ(3, vcpus_of(self->dmod, self->dom));
}

TEST_F(device_model, can_have_all_handles_restricted_before)
{
	ioservid_t id = 0;
	bool limited;

	ASSERT_EQ(0, xentoolcore_restrict_all(self->dom));
	limited = LIMIT_OPERATIONS(self, OPERATION(create_ioreq_server) | OPERATION(nr_vcpus));
	EXPECT_EQ(0, create_server(self->dmod, self->dom, &id));
	EXPECT_EQ(limited ? -EPERM : 0, destroy_server(self->dmod, self->dom, id));
	EXPECT_EQ(3, vcpus_of(self->dmod, self->dom));
	EXPECT_EQ(-EPERM, vcpus_of(self->dmod, NO_SUCH_DOMAIN));
}

/* It would leave handles that are limited and free. */
TEST_F(device_model, cannot_have_all_handles_restricted_afterwards)
{
	bool limited = LIMIT_OPERATIONS(self, ~0ULL);

	EXPECT_EQ(limited ? -1 : 0, xentoolcore_restrict_all(self->dom));
	if (limited)
		EXPECT_EQ(EPERM, errno);
}

/* ---- libxenforeignmemory ---- */

FIXTURE(foreign_memory)
{
	int (*limit)(xenforeignmemory_handle *fmem, uint32_t resources, unsigned int flags);
	xenforeignmemory_handle *fmem;
	struct target target;
};

FIXTURE_SETUP(foreign_memory)
{
	self->limit = dlsym(RTLD_DEFAULT, "xenforeignmemory_limit");
	if (!self->limit)
		SKIP_FIXTURE(return, "this libxenforeignmemory has no xenforeignmemory_limit()");
	ASSERT_EQ(0, target_create(&self->target));
	self->fmem = xenforeignmemory_open(NULL, 0);
	ASSERT_NE(NULL, self->fmem);
}

FIXTURE_TEARDOWN(foreign_memory)
{
	if (!self->fmem)
		return;
	xenforeignmemory_close(self->fmem);
	EXPECT_EQ(0, target_destroy(&self->target));
}

#define LIMIT_MAPPING(self, resources, flags) \
	has_limited(_metadata, (self)->limit((self)->fmem, resources, flags) ? -errno : 0)

/* What libxenforeignmemory_limit() leaves, whatever its arguments. */
#define MAPPING_COMMANDS \
	(COMMAND(IOCTL_PRIVCMD_MMAPBATCH) | COMMAND(IOCTL_PRIVCMD_MMAPBATCH_V2) | \
	 COMMAND(IOCTL_PRIVCMD_MMAP_RESOURCE) | COMMAND(IOCTL_PRIVCMD_LIMIT))

/* Page 4 of the domain, or NULL and errno. */
static char *map_page(xenforeignmemory_handle *fmem, domid_t dom, int prot)
{
	const xen_pfn_t page = 4;
	xen_pfn_t frames[MOST_FRAMES_PER_PAGE];

	frames_of(&page, 1, frames);
	return xenforeignmemory_map(fmem, dom, prot, FRAMES_PER_PAGE, frames, NULL);
}

static int map_and_unmap(xenforeignmemory_handle *fmem, domid_t dom, int prot)
{
	char *page = map_page(fmem, dom, prot);

	if (!page)
		return -errno;
	return xenforeignmemory_unmap(fmem, page, FRAMES_PER_PAGE) ? -errno : 0;
}

static int map_grants_and_unmap(xenforeignmemory_handle *fmem, domid_t dom, int prot)
{
	xenforeignmemory_resource_handle *grants;
	void *addr = NULL;

	grants = xenforeignmemory_map_resource(fmem, dom, XENMEM_resource_grant_table,
					       XENMEM_resource_grant_table_id_shared, 0,
					       FRAMES_PER_PAGE, &addr, prot, 0);
	if (!grants)
		return -errno;
	return xenforeignmemory_unmap_resource(fmem, grants) ? -errno : 0;
}

TEST_F(foreign_memory, can_only_map)
{
	bool limited = LIMIT_MAPPING(self, 1U << XENMEM_resource_ioreq_server, 0);
	const int prot = PROT_READ | PROT_WRITE;

	EXPECT_EQ(0, map_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(limited ? -EPERM : 0,
		  map_grants_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(limited ? -1 : 0, xenforeignmemory_restrict(self->fmem, self->target.dom));
	if (limited)
		expect_left(_metadata, (struct privcmd_limit) {
			.commands = MAPPING_COMMANDS,
			.resources = 1U << XENMEM_resource_ioreq_server,
		});
}

TEST_F(foreign_memory, can_only_be_mapped_for_reading)
{
	const int prot = PROT_READ | PROT_WRITE;
	bool limited = LIMIT_MAPPING(self, ~0U, XENFOREIGNMEMORY_LIMIT_READ_ONLY);
	char *page = map_page(self->fmem, self->target.dom, PROT_READ);

	ASSERT_NE(NULL, page);
	/* Without the limit the kernel of a PV domain warns: Xen refuses it the entry. */
	if (limited) {
		EXPECT_EQ(-1, mprotect(page, PAGE, prot));
		EXPECT_EQ(EACCES, errno);
	}
	EXPECT_EQ(0, xenforeignmemory_unmap(self->fmem, page, FRAMES_PER_PAGE));
	EXPECT_EQ(limited ? -EPERM : 0, map_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(limited ? -EPERM : 0,
		  map_grants_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(0, map_grants_and_unmap(self->fmem, self->target.dom, PROT_READ));
	if (limited)
		expect_left(_metadata, (struct privcmd_limit) {
			.commands = MAPPING_COMMANDS,
			.resources = ~0U,
			.flags = PRIVCMD_LIMIT_READ_ONLY,
		});
}

TEST_F(foreign_memory, can_be_left_with_nothing)
{
	const int prot = PROT_READ;
	bool limited = LIMIT_MAPPING(self, ~0U, XENFOREIGNMEMORY_LIMIT_NO_MAPPING);

	EXPECT_EQ(limited ? -EPERM : 0, map_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(limited ? -EPERM : 0,
		  map_grants_and_unmap(self->fmem, self->target.dom, prot));
	if (limited)
		expect_left(_metadata, (struct privcmd_limit) {
			.commands = COMMAND(IOCTL_PRIVCMD_LIMIT),
			.resources = ~0U,
		});
}

/* Those of later libraries, whatever the driver. */
TEST_F(foreign_memory, is_not_limited_by_unknown_flags)
{
	const int prot = PROT_READ | PROT_WRITE;

	EXPECT_EQ(-1, self->limit(self->fmem, 0, XENFOREIGNMEMORY_LIMIT_READ_ONLY | 4));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, map_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(0, map_grants_and_unmap(self->fmem, self->target.dom, prot));
	EXPECT_EQ(0, xenforeignmemory_restrict(self->fmem, self->target.dom));
}

TEST_HARNESS_MAIN
