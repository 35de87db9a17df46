// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's SELinux policy, enforced: an emulator may ask, and nothing else.
 *
 * Needs a kernel that was started with security=selinux.  The policy lies beside
 * this program; the types are those of the manual.
 */

#include "common.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define SELINUX		"/sys/fs/selinux"
#define POLICY		"selinux.policy"
#define OF_TYPE(name)	"system_u:system_r:" name

/* Neither the driver nor Xen answers with it here. */
#define DENIED		(-EACCES)
#define NO_EMULATOR	(-255)

#define VCPUS		3

/* What the command would be if Linux had not given its number away. */
#define NUMBER_11	_IOWR('P', 11, struct privcmd_dm_nr_vcpus)

/* The same number, with an argument of another size. */
#define OTHER_SIZE	_IOWR('P', 32, __u32)

static bool write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, data, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	return good;
}

static bool load_policy(void)
{
	char policy[65536];
	int fd = open(path_beside_program(POLICY), O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, policy, sizeof(policy));

	close(fd);
	if (size <= 0 || size == sizeof(policy))
		return false;
	return write_file(SELINUX "/load", policy, size);
}

/* An emulator's file, which whoever started it has opened and restricted. */
FIXTURE(emulator)
{
	int fd;
	int dom;
	/* Which it shares with the test. */
	struct privcmd_dm_nr_vcpus *query;
};

FIXTURE_SETUP(emulator)
{
	static const char device[] = OF_TYPE("xen_device_t");

	if (mount("selinuxfs", SELINUX, "selinuxfs", 0, NULL))
		ASSERT_EQ(EBUSY, errno);
	ASSERT_TRUE(load_policy());
	ASSERT_EQ(0, setxattr(PRIVCMD_DEVICE, "security.selinux", device,
			      sizeof(device), 0));
	ASSERT_TRUE(write_file(SELINUX "/enforce", "1", 1));

	self->dom = domain_create(DOMAIN_HVM, VCPUS);
	ASSERT_LT(0, self->dom);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	self->query = mmap(NULL, sizeof(*self->query), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->query);
	*self->query = (struct privcmd_dm_nr_vcpus) { .dom = self->dom };
}

FIXTURE_TEARDOWN(emulator)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
}

static bool become_emulator(void)
{
	static const char emulator[] = OF_TYPE("emulator_t");

	return write_file("/proc/self/attr/current", emulator, sizeof(emulator));
}

/* Answers like request(), for a process of the emulator's type. */
static int request_as_emulator(int fd, unsigned int command, const void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(become_emulator() ? -request(fd, command, arg) : -NO_EMULATOR);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return NO_EMULATOR;
	return -WEXITSTATUS(status);
}

TEST_F(emulator, may_ask)
{
	ASSERT_EQ(0, request_as_emulator(self->fd, IOCTL_PRIVCMD_DM_NR_VCPUS, self->query));
	EXPECT_EQ(VCPUS, self->query->vcpus);
}

/* The driver would answer to most of them with EFAULT or EPERM. */
TEST_F(emulator, may_do_nothing_else)
{
	EXPECT_EQ(-ENOTTY, request(self->fd, NUMBER_11, self->query));
	EXPECT_EQ(DENIED, request_as_emulator(self->fd, NUMBER_11, self->query));
	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++) {
		if (all_commands[i] == IOCTL_PRIVCMD_DM_NR_VCPUS)
			continue;
		EXPECT_NE(DENIED, request(self->fd, all_commands[i], NULL));
		EXPECT_EQ(DENIED, request_as_emulator(self->fd, all_commands[i], NULL)) {
			TH_LOG("command %u", _IOC_NR(all_commands[i]));
		}
	}
}

TEST_F(emulator, may_not_open_the_device)
{
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(become_emulator() ? -privcmd_open() : -NO_EMULATOR);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

/* A policy compares type and number; the driver compares all of it. */
TEST_F(emulator, passes_with_any_size)
{
	EXPECT_EQ(-ENOTTY, request_as_emulator(self->fd, OTHER_SIZE, self->query));
}

TEST_HARNESS_MAIN
