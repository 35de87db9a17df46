// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_PCIDEV_GET_GSI: of a device that is passed to a domain; here
 * there is none.  Linux 6.12 and older do not know the command at all, and then
 * this driver does not either.
 */

#include "common.h"

#include <sys/mman.h>

/* Segment 0xffff, bus 0xff, device 0x1f, function 7. */
#define NO_SUCH_DEVICE 0xffffffff

static int get_gsi(int fd, __u32 sbdf)
{
	struct privcmd_pcidev_get_gsi arg = { .sbdf = sbdf, .gsi = 12345 };
	int ret = request(fd, IOCTL_PRIVCMD_PCIDEV_GET_GSI, &arg);

	if (arg.sbdf != sbdf || (ret && arg.gsi != 12345))
		return memory_changed("PCIDEV_GET_GSI");
	return ret;
}

FIXTURE(pcidev)
{
	int fd;
	/* The kernel has the command, and can look for devices. */
	bool known, usable;
};

FIXTURE_SETUP(pcidev)
{
	int ret;

	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	ret = get_gsi(self->fd, NO_SUCH_DEVICE);
	ASSERT_GT(0, ret);
	self->known = ret != -ENOTTY;
	self->usable = self->known && ret != -EINVAL;
}

FIXTURE_TEARDOWN(pcidev)
{
	close(self->fd);
}

TEST_F(pcidev, no_such_device_has_a_gsi)
{
	EXPECT_GT(0, get_gsi(self->fd, NO_SUCH_DEVICE));
	EXPECT_EQ(get_gsi(self->fd, NO_SUCH_DEVICE), get_gsi(self->fd, 0));
}

TEST_F(pcidev, needs_a_good_pointer)
{
	int expected = self->usable ? -EFAULT : self->known ? -EINVAL : -ENOTTY;

	EXPECT_EQ(expected, request(self->fd, IOCTL_PRIVCMD_PCIDEV_GET_GSI, NULL));
	EXPECT_EQ(expected, request(self->fd, IOCTL_PRIVCMD_PCIDEV_GET_GSI,
				    (void *)0xffffffff81000000));
}

/* A device is no domain's until it is passed to one. */
TEST_F(pcidev, is_refused_on_a_restricted_file)
{
	int expected = self->usable ? -EPERM : self->known ? -EINVAL : -ENOTTY;

	if (self->usable && on_stock_driver())
		expected = get_gsi(self->fd, NO_SUCH_DEVICE);
	ASSERT_EQ(0, restrict_to(self->fd, 0));
	EXPECT_EQ(expected, get_gsi(self->fd, NO_SUCH_DEVICE));
}

TEST_HARNESS_MAIN
