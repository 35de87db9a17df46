// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reason for a command of its own: a sandbox can allow it and nothing else.
 */

#include "common.h"
#include "sandbox.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <xendevicemodel.h>

/* What happened in the sandbox, in memory that it shares with the test. */
struct report {
	int drop;
	bool capable;
	int open;
	int filter;
	int own;
	int other;
	int own_by_dm_op;
	int other_by_dm_op;
	int library;
	int commands[ARRAY_SIZE(all_commands)];
	int unknown;
};

FIXTURE(sandbox)
{
	int fd;
	int dom;
	int other;
	struct report *report;
};

FIXTURE_SETUP(sandbox)
{
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	self->other = domain_create(DOMAIN_HVM, 5);
	ASSERT_LT(0, self->other);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->report = mmap(NULL, sizeof(*self->report), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->report);
}

FIXTURE_TEARDOWN(sandbox)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, domain_destroy(self->other));
	close(self->fd);
}

static bool is_capable(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &header, data) ||
	       data[0].effective || data[1].effective ||
	       data[0].permitted || data[1].permitted;
}

static void try_commands(struct report *report, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++)
		report->commands[i] = request(fd, all_commands[i], NULL);
	report->unknown = request(fd, 0x50ff, NULL);
}

static void expect_one_command(struct __test_metadata *_metadata, const struct report *report,
			       unsigned int allowed)
{
	int passed = on_stock_driver() ? -ENOTTY : -EFAULT;

	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++) {
		ASSERT_EQ(all_commands[i] == allowed ? passed : -REFUSED_BY_FILTER,
			  report->commands[i]) {
			TH_LOG("command %#x", all_commands[i]);
		}
	}
	ASSERT_EQ(-REFUSED_BY_FILTER, report->unknown);
}

TEST_F(sandbox, filter_allows_the_one_command)
{
	struct report *report = self->report;
	xendevicemodel_handle *dmod;
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		unsigned int vcpus;

		dmod = xendevicemodel_open(NULL, 0);
		report->filter = sandbox_enter_filter(IOCTL_PRIVCMD_DM_NR_VCPUS);
		report->own = nr_vcpus(self->fd, self->dom);
		report->other = nr_vcpus(self->fd, self->other);
		report->own_by_dm_op = dm_op_nr_vcpus(self->fd, self->dom);
		report->library = xendevicemodel_nr_vcpus(dmod, self->dom,
							  &vcpus) ? -errno : 0;
		try_commands(report, self->fd);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);

	ASSERT_EQ(0, report->filter);
	ASSERT_EQ(-REFUSED_BY_FILTER, report->own_by_dm_op);
	ASSERT_EQ(-REFUSED_BY_FILTER, report->library);
	expect_one_command(_metadata, report, IOCTL_PRIVCMD_DM_NR_VCPUS);
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, report->own);
		SKIP(return, NOT_ON_STOCK);
	}
	EXPECT_EQ(by_nr_vcpus(3), report->own);
	EXPECT_EQ(by_nr_vcpus(5), report->other);
}

/* A process that can give rights up, and has no other. */
TEST_F(sandbox, filter_allows_limits_alone)
{
	struct report *report = self->report;
	pid_t child;
	int status;

	if (lacks_limits(self->fd))
		SKIP(return, NO_LIMITS);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		report->filter = sandbox_enter_filter(IOCTL_PRIVCMD_LIMIT);
		report->other = nr_vcpus(self->fd, self->dom);
		try_commands(report, self->fd);
		report->own = limit_commands(self->fd, COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS));
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);

	ASSERT_EQ(0, report->filter);
	ASSERT_EQ(-REFUSED_BY_FILTER, report->other);
	expect_one_command(_metadata, report, IOCTL_PRIVCMD_LIMIT);
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, report->own);
		SKIP(return, NO_LIMITS);
	}
	EXPECT_EQ(0, report->own);
	EXPECT_EQ(by_nr_vcpus(3), nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, dm_op_nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EPERM, limit_commands(self->fd, ~0ULL));
}

/* The right to ask comes with the file. */
TEST_F(sandbox, unprivileged_uid_asks_through_an_inherited_file)
{
	struct report *report = self->report;
	pid_t child;
	int status;

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		report->drop = sandbox_drop_root();
		report->capable = is_capable();
		report->open = privcmd_open();
		report->own = nr_vcpus(self->fd, self->dom);
		report->other = nr_vcpus(self->fd, self->other);
		report->own_by_dm_op = dm_op_nr_vcpus(self->fd, self->dom);
		report->other_by_dm_op = dm_op_nr_vcpus(self->fd, self->other);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);

	EXPECT_EQ(0, report->drop);
	EXPECT_FALSE(report->capable);
	EXPECT_EQ(-EACCES, report->open);
	EXPECT_EQ(on_stock_driver() ? -ENOTTY : by_nr_vcpus(3), report->own);
	EXPECT_EQ(on_stock_driver() ? -ENOTTY : -EPERM, report->other);
	EXPECT_EQ(by_dm_op(3), report->own_by_dm_op);
	EXPECT_EQ(-EPERM, report->other_by_dm_op);
}

/* The restriction of a file is not the privilege of who has it. */
TEST_F(sandbox, unprivileged_uid_restricts_an_inherited_file)
{
	struct report *report = self->report;
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		report->drop = sandbox_drop_root();
		report->own = restrict_to(self->fd, self->dom);
		report->other = restrict_to(self->fd, self->other);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);

	EXPECT_EQ(0, report->drop);
	EXPECT_EQ(0, report->own);
	EXPECT_EQ(-EINVAL, report->other);
	EXPECT_EQ(3, ask(self->fd, self->dom));
	EXPECT_EQ(-EPERM, ask(self->fd, self->other));
}

TEST_F(sandbox, whole)
{
	struct report *report = self->report;
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		if (restrict_to(self->fd, self->dom))
			_exit(1);
		report->drop = sandbox_drop_root();
		report->filter = sandbox_enter_filter(IOCTL_PRIVCMD_DM_NR_VCPUS);
		report->own = nr_vcpus(self->fd, self->dom);
		report->other = nr_vcpus(self->fd, self->other);
		report->own_by_dm_op = dm_op_nr_vcpus(self->fd, self->dom);
		report->other_by_dm_op = dm_op_nr_vcpus(self->fd, self->other);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);

	ASSERT_EQ(0, report->drop);
	ASSERT_EQ(0, report->filter);
	ASSERT_EQ(-REFUSED_BY_FILTER, report->own_by_dm_op);
	ASSERT_EQ(-REFUSED_BY_FILTER, report->other_by_dm_op);
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, report->own);
		ASSERT_EQ(-ENOTTY, report->other);
		SKIP(return, NOT_ON_STOCK);
	}
	EXPECT_EQ(by_nr_vcpus(3), report->own);
	EXPECT_EQ(-EPERM, report->other);
}

TEST_HARNESS_MAIN
