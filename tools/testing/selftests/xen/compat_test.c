// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit process on a 64-bit kernel can ask, and lock itself up; it has no
 * other command.  libxenctrl is for 64 bit only, so this program creates the
 * domains and has privcmd32 make the requests.
 */

#include "common.h"

#include <stdarg.h>

#define HELPER "privcmd32"

/*
 * Has the helper make some requests on a file, and answers with how many
 * answers came.
 */
static int make_requests(int fd, int *answers, int max, const char *fmt, ...)
{
	char requests[512];
	char command[PATH_MAX + 1024];
	va_list args;
	FILE *pipe;
	int n = 0;

	va_start(args, fmt);
	vsnprintf(requests, sizeof(requests), fmt, args);
	va_end(args);
	snprintf(command, sizeof(command), "%s %d %s",
		 path_beside_program(HELPER), fd, requests);
	pipe = popen(command, "r");
	if (!pipe)
		return -errno;
	while (n < max && fscanf(pipe, "%d", &answers[n]) == 1)
		n++;
	return pclose(pipe) ? -EIO : n;
}

FIXTURE(compat)
{
	int fd;
	int dom;
	int other;
	/* Why there can be no test. */
	const char *missing;
};

FIXTURE_SETUP(compat)
{
	int answer;
	int fd = privcmd_open();

	ASSERT_LE(0, fd);
	/* The helper is to inherit it. */
	self->fd = dup(fd);
	ASSERT_LE(0, self->fd);
	close(fd);

	if (access(path_beside_program(HELPER), X_OK))
		self->missing = HELPER " is missing: build it with CC32";
	else if (make_requests(self->fd, &answer, 1, "raw:0") != 1)
		self->missing = HELPER " does not run: this kernel lacks 32-bit user space";

	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	self->other = domain_create(DOMAIN_PVH, 5);
	ASSERT_LT(0, self->other);
}

FIXTURE_TEARDOWN(compat)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, domain_destroy(self->other));
	close(self->fd);
}

TEST_F(compat, can_ask)
{
	const int expected[] = {
		by_nr_vcpus(3), by_nr_vcpus(5), by_nr_vcpus(-EPERM),
		by_nr_vcpus(-ESRCH), by_nr_vcpus(-ESRCH), -EINVAL, -EFAULT,
	};
	int got[ARRAY_SIZE(expected)];

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(ARRAY_SIZE(got),
		  make_requests(self->fd, got, ARRAY_SIZE(got),
				"ask:%d ask:%d ask:0 ask:%d ask:%d pad:%d fault:0",
				self->dom, self->other, NO_SUCH_DOMAIN,
				DOMID_SELF, self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(got); i++) {
		ASSERT_EQ(on_stock_driver() ? -ENOTTY : expected[i], got[i]) {
			TH_LOG("request %zu", i);
		}
	}
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(compat, can_ask_about_a_pv_domain)
{
	int pv, got;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	pv = domain_create(DOMAIN_PV, 2);
	ASSERT_LT(0, pv);
	ASSERT_EQ(1, make_requests(self->fd, &got, 1, "ask:%d", pv));
	EXPECT_EQ(0, domain_destroy(pv));
	ASSERT_EQ(on_stock_driver() ? -ENOTTY : -EINVAL, got);
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(compat, can_restrict)
{
	const int expected[] = {
		0, by_nr_vcpus(3), -EPERM, -EPERM, 0, -EINVAL, -ENOTTY,
	};
	int got[ARRAY_SIZE(expected)];

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(ARRAY_SIZE(got),
		  make_requests(self->fd, got, ARRAY_SIZE(got),
				"restrict:%d ask:%d ask:%d pad:%d restrict:%d restrict:%d own:0",
				self->dom, self->dom, self->other, self->other,
				self->dom, self->other));
	for (size_t i = 0; i < ARRAY_SIZE(got); i++) {
		ASSERT_EQ(on_stock_driver() ? -ENOTTY : expected[i], got[i]) {
			TH_LOG("request %zu", i);
		}
	}
	if (on_stock_driver()) {
		ASSERT_EQ(5, ask(self->fd, self->other));
		SKIP(return, "the stock driver answers ENOTTY to 32-bit callers");
	}

	/* For who shares the file too. */
	EXPECT_EQ(3, ask(self->fd, self->dom));
	EXPECT_EQ(-EPERM, ask(self->fd, self->other));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EINVAL, restrict_to(self->fd, self->other));
}

TEST_F(compat, is_bound_by_the_files_restriction)
{
	int got[3];

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	ASSERT_EQ(3, make_requests(self->fd, got, 3,
				   "ask:%d ask:%d restrict:%d", self->dom,
				   self->other, self->other));
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, got[0]);
		ASSERT_EQ(-ENOTTY, got[1]);
		ASSERT_EQ(-ENOTTY, got[2]);
		SKIP(return, NOT_ON_STOCK);
	}
	EXPECT_EQ(by_nr_vcpus(3), got[0]);
	EXPECT_EQ(-EPERM, got[1]);
	EXPECT_EQ(-EINVAL, got[2]);
}

/* What has no command is not gone. */
TEST_F(compat, can_limit)
{
	const int expected[] = {
		0, by_nr_vcpus(3), -EPERM, -ENOTTY, -ENOTTY, 0, -EPERM, -EPERM, -ENOTTY,
	};
	int got[ARRAY_SIZE(expected)];

	if (self->missing)
		SKIP(return, "%s", self->missing);
	if (lacks_limits(self->fd))
		SKIP(return, NO_LIMITS);
	ASSERT_EQ(ARRAY_SIZE(got),
		  make_requests(self->fd, got, ARRAY_SIZE(got),
				"limit:%llu ask:%d restrict:%d own:0 own:5 limit:%llu ask:%d own:33 own:5",
				COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS) |
				COMMAND(IOCTL_PRIVCMD_LIMIT),
				self->dom, self->dom, COMMAND(IOCTL_PRIVCMD_DM_OP), self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(got); i++) {
		ASSERT_EQ(on_stock_driver() ? -ENOTTY : expected[i], got[i]) {
			TH_LOG("request %zu", i);
		}
	}
	if (on_stock_driver())
		SKIP(return, "the stock driver answers ENOTTY to 32-bit callers");

	/* For who shares the file too. */
	EXPECT_EQ(-EPERM, nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
}

TEST_F(compat, is_bound_by_the_files_limits)
{
	int got[3];

	if (self->missing)
		SKIP(return, "%s", self->missing);
	if (lacks_limits(self->fd))
		SKIP(return, NO_LIMITS);
	ASSERT_EQ(on_stock_driver() ? -ENOTTY : 0,
		  limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS)));
	ASSERT_EQ(3, make_requests(self->fd, got, 3, "ask:%d restrict:%d raw:%u", self->dom,
				   self->dom, IOCTL_PRIVCMD_DM_OP));
	EXPECT_EQ(-ENOTTY, got[2]);
	if (on_stock_driver())
		SKIP(return, "the stock driver answers ENOTTY to 32-bit callers");
	EXPECT_EQ(-EPERM, got[0]);
	EXPECT_EQ(0, got[1]);
}

/* Neither as 32-bit programs encode it nor as 64-bit ones do. */
TEST_F(compat, has_no_other_command)
{
	int got[2];

	if (self->missing)
		SKIP(return, "%s", self->missing);
	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++) {
		if (command_facts[i].compat)
			continue;
		ASSERT_EQ(2, make_requests(self->fd, got, 2, "own:%u raw:%u",
					   _IOC_NR(all_commands[i]), all_commands[i]));
		EXPECT_EQ(-ENOTTY, got[0]) {
			TH_LOG("%s of 32 bit", command_facts[i].name);
		}
		EXPECT_EQ(-ENOTTY, got[1]) {
			TH_LOG("%s of 64 bit", command_facts[i].name);
		}
	}
	ASSERT_EQ(1, make_requests(self->fd, got, 1, "raw:0x50ff"));
	EXPECT_EQ(-ENOTTY, got[0]);
}

TEST_HARNESS_MAIN
