// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_DM_NR_VCPUS, to be run by root in dom0.
 *
 * The tests create no domain.  XEN_DOMID names one that has a device model, XEN_VCPUS
 * the number of its vCPUs; XEN_PV_DOMID names a PV domain.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <xen/privcmd.h>

#include "../kselftest_harness.h"

#define DEVICE "/dev/xen/privcmd"

/* The first one of those that are reserved: DOMID_SELF, which the operation refuses. */
#define RESERVED_DOMID 0x7ff0
/* Whose domain cannot be there. */
#define IDLE_DOMID 0x7fff
#define UNTOUCHED 0xa5a5a5a5

FIXTURE(privcmd)
{
	int fd;
};

FIXTURE_SETUP(privcmd)
{
	self->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (self->fd < 0)
		SKIP(return, "cannot open " DEVICE ": be root in dom0, load xen-privcmd");
}

FIXTURE_TEARDOWN(privcmd)
{
	if (self->fd >= 0)
		close(self->fd);
}

static struct privcmd_dm_nr_vcpus about(domid_t dom)
{
	return (struct privcmd_dm_nr_vcpus) { .dom = dom, .vcpus = UNTOUCHED };
}

static int ask(int fd, void *arg)
{
	return ioctl(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, arg) ? -errno : 0;
}

/* Answers with a negative number if the environment does not name one. */
static int named(const char *name)
{
	const char *value = getenv(name);

	return value ? atoi(value) : -1;
}

TEST_F(privcmd, has_the_documented_number)
{
	EXPECT_EQ(0xc0085020, IOCTL_PRIVCMD_DM_NR_VCPUS);
	EXPECT_EQ(8, sizeof(struct privcmd_dm_nr_vcpus));
}

TEST_F(privcmd, refuses_a_pad_that_is_not_0)
{
	struct privcmd_dm_nr_vcpus query = about(RESERVED_DOMID);

	query.pad = 1;
	EXPECT_EQ(-EINVAL, ask(self->fd, &query));
	query.pad = 0x8000;
	EXPECT_EQ(-EINVAL, ask(self->fd, &query));
	EXPECT_EQ(UNTOUCHED, query.vcpus);
}

TEST_F(privcmd, refuses_a_reserved_domid)
{
	struct privcmd_dm_nr_vcpus query = about(RESERVED_DOMID);
	int ret = ask(self->fd, &query);

	if (ret == -EOPNOTSUPP)
		SKIP(return, "Xen 4.15 or newer is needed, with device-model support");
	EXPECT_EQ(-ESRCH, ret);
	EXPECT_EQ(UNTOUCHED, query.vcpus);
}

TEST_F(privcmd, refuses_a_bad_pointer)
{
	EXPECT_EQ(-EFAULT, ask(self->fd, NULL));
	EXPECT_EQ(-EFAULT, ask(self->fd, (void *)-8UL));
}

TEST_F(privcmd, refuses_another_domain_than_the_files)
{
	struct privcmd_dm_nr_vcpus query = about(1);
	domid_t idle = IDLE_DOMID;

	ASSERT_EQ(0, ioctl(self->fd, IOCTL_PRIVCMD_RESTRICT, &idle));
	EXPECT_EQ(-EPERM, ask(self->fd, &query));
	/* It comes before the look at the pad. */
	query.pad = 1;
	EXPECT_EQ(-EPERM, ask(self->fd, &query));
	EXPECT_EQ(UNTOUCHED, query.vcpus);
}

TEST_F(privcmd, has_no_command_of_another_size)
{
	struct privcmd_dm_nr_vcpus query = about(RESERVED_DOMID);

	EXPECT_EQ(-1, ioctl(self->fd, _IOC(_IOC_READ | _IOC_WRITE, 'P', 32, 12), &query));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(self->fd, _IOC(_IOC_NONE, 'P', 32, 8), &query));
	EXPECT_EQ(ENOTTY, errno);
}

TEST_F(privcmd, answers_for_a_domain)
{
	struct privcmd_dm_nr_vcpus query;
	int dom = named("XEN_DOMID"), vcpus = named("XEN_VCPUS");
	domid_t restricted = dom;

	if (dom < 0 || vcpus < 0)
		SKIP(return, "XEN_DOMID and XEN_VCPUS name no domain");
	query = about(dom);
	ASSERT_EQ(0, ask(self->fd, &query));
	EXPECT_EQ(vcpus, query.vcpus);
	EXPECT_EQ(dom, query.dom);
	EXPECT_EQ(0, query.pad);

	ASSERT_EQ(0, ioctl(self->fd, IOCTL_PRIVCMD_RESTRICT, &restricted));
	query = about(dom);
	EXPECT_EQ(0, ask(self->fd, &query));
	EXPECT_EQ(vcpus, query.vcpus);
}

TEST_F(privcmd, refuses_a_pv_domain)
{
	int dom = named("XEN_PV_DOMID");
	struct privcmd_dm_nr_vcpus query;

	if (dom < 0)
		SKIP(return, "XEN_PV_DOMID names no domain");
	query = about(dom);
	EXPECT_EQ(-EINVAL, ask(self->fd, &query));
	EXPECT_EQ(UNTOUCHED, query.vcpus);
}

TEST_HARNESS_MAIN
