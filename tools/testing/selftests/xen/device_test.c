// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is there when the driver is loaded: its devices, its parameters and the
 * file of xenfs.
 */

#include "common.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MISC_MAJOR 10

FIXTURE(device)
{
	int fd;
};

FIXTURE_VARIANT(device)
{
	const char *path;
	const char *dev_in_sysfs;
};

FIXTURE_VARIANT_ADD(device, privcmd) {
	.path = "/dev/xen/privcmd",
	.dev_in_sysfs = "/sys/class/misc/xen!privcmd/dev",
};

FIXTURE_VARIANT_ADD(device, hypercall) {
	.path = "/dev/xen/hypercall",
	.dev_in_sysfs = "/sys/class/misc/xen!hypercall/dev",
};

FIXTURE_SETUP(device)
{
	self->fd = open(variant->path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

TEST_F(device, is_for_root_only)
{
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
}

TEST_F(device, is_a_misc_device)
{
	unsigned int major, minor;
	struct stat st;
	FILE *file;

	file = fopen(variant->dev_in_sysfs, "r");
	ASSERT_NE(NULL, file);
	ASSERT_EQ(2, fscanf(file, "%u:%u", &major, &minor));
	fclose(file);
	EXPECT_EQ(MISC_MAJOR, major);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(makedev(major, minor), st.st_rdev);
}

TEST_F(device, is_not_for_reading_and_writing)
{
	char byte;

	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(device, knows_no_other_commands)
{
	/* libxenforeignmemory tries the first one. */
	static const unsigned int unknown[] = {
		0x50ff, 0, -1U, _IO('P', 0), _IO('P', 1), _IO('P', 5),
		_IO('P', 6), _IO('P', 32), _IO('P', 33), _IO('Q', 0),
		_IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall) - 1),
		_IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall) + 1),
		_IOC(_IOC_NONE, 'P', 1, sizeof(struct privcmd_hypercall)),
		_IOC(_IOC_READ, 'P', 6, sizeof(domid_t)),
		_IOC(_IOC_NONE, 'P', 6, sizeof(domid_t) * 2),
		_IOC(_IOC_NONE, 'P', 0x86, sizeof(domid_t)),
	};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(-ENOTTY, request(self->fd, unknown[i], NULL)) {
			TH_LOG("command %#x", unknown[i]);
		}
	}
}

/* It was DM_NR_VCPUS' number once, and Linux may give it to another command. */
TEST(number_11_is_no_command)
{
	int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	unsigned int way, size;
	__u64 arg[8] = {};

	ASSERT_LE(0, fd);
	for (int restricted = 0; restricted < 2; restricted++) {
		for (way = 0; way < 4; way++)
			for (size = 0; size <= sizeof(arg); size++)
				EXPECT_EQ(-ENOTTY, request(fd, _IOC(way, 'P', 11, size), arg)) {
					TH_LOG("way %u, size %u", way, size);
				}
		EXPECT_EQ(0, restrict_to(fd, 1));
	}
	close(fd);
}

FIXTURE(parameter)
{
};

FIXTURE_VARIANT(parameter)
{
	const char *path;
	const char *value;
};

FIXTURE_VARIANT_ADD(parameter, dm_op_max_nr_bufs) {
	.path = "/sys/module/xen_privcmd/parameters/dm_op_max_nr_bufs",
	.value = "16\n",
};

FIXTURE_VARIANT_ADD(parameter, dm_op_buf_max_size) {
	.path = "/sys/module/xen_privcmd/parameters/dm_op_buf_max_size",
	.value = "4096\n",
};

FIXTURE_SETUP(parameter)
{
}

FIXTURE_TEARDOWN(parameter)
{
}

TEST_F(parameter, has_its_default)
{
	char value[32] = "";
	FILE *file = fopen(variant->path, "r");

	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(value, sizeof(value), file));
	fclose(file);
	EXPECT_STREQ(variant->value, value);
}

TEST_F(parameter, can_be_changed_by_root)
{
	struct stat st;

	ASSERT_EQ(0, stat(variant->path, &st));
	EXPECT_EQ(S_IFREG | 0644, st.st_mode);
}

/* What a domU may do is settled when the driver is loaded. */
TEST(parameter_unrestricted_is_not_in_sysfs)
{
	EXPECT_EQ(-1, access("/sys/module/xen_privcmd/parameters/unrestricted",
			     F_OK));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, access("/sys/module/xen_privcmd/parameters", F_OK));
}

/* The older name of the same thing. */
FIXTURE(xenfs)
{
	int fd;
	int dom;
};

FIXTURE_SETUP(xenfs)
{
	self->fd = open("/proc/xen/privcmd", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd) {
		TH_LOG("is xenfs mounted at /proc/xen?");
	}
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
}

FIXTURE_TEARDOWN(xenfs)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

TEST_F(xenfs, answers_as_the_device_does)
{
	int fd = privcmd_open();

	ASSERT_LE(0, fd);
	EXPECT_EQ(3, ask(self->fd, self->dom));
	EXPECT_EQ(-EPERM, ask(self->fd, 0));
	EXPECT_EQ(hypercall_xen_version(fd), hypercall_xen_version(self->fd));
	EXPECT_EQ(-ENOTTY, request(self->fd, 0x50ff, NULL));
	close(fd);
}

TEST_F(xenfs, can_be_restricted)
{
	ASSERT_EQ(0, restrict_to(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, ask(self->fd, self->dom));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EINVAL, restrict_to(self->fd, self->dom));
}

TEST_HARNESS_MAIN
