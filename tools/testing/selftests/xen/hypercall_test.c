// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_HYPERCALL: whatever the hypervisor answers comes back.
 */

#include "common.h"

#include <sys/mman.h>
#include <xen/errno.h>

#define NO_SUCH_HYPERCALL 63

static int hypercall(int fd, __u64 op, __u64 arg0, __u64 arg1)
{
	struct {
		__u8 before[64];
		struct privcmd_hypercall arg;
		__u8 after[64];
	} seen, expected;
	int ret;

	memset(&seen, 0xa5, sizeof(seen));
	seen.arg.op = op;
	seen.arg.arg[0] = arg0;
	seen.arg.arg[1] = arg1;
	memcpy(&expected, &seen, sizeof(seen));
	ret = request(fd, IOCTL_PRIVCMD_HYPERCALL, &seen.arg);
	if (memcmp(&expected, &seen, sizeof(seen)))
		return memory_changed("HYPERCALL");
	return ret;
}

FIXTURE(hypercall)
{
	int fd;
};

FIXTURE_SETUP(hypercall)
{
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(hypercall)
{
	close(self->fd);
}

TEST_F(hypercall, answers_with_xens_version)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int version;

	ASSERT_NE(NULL, xch);
	version = xc_version(xch, XENVER_version, NULL);
	EXPECT_LT(4 << 16, version);
	EXPECT_EQ(version, hypercall_xen_version(self->fd));
	EXPECT_EQ(version, hypercall(self->fd, HYPERCALL_XEN_VERSION,
				     XENVER_version, 0));
	xc_interface_close(xch);
}

TEST_F(hypercall, answers_with_the_hypervisors_error)
{
	EXPECT_EQ(-XEN_ENOSYS, hypercall(self->fd, HYPERCALL_XEN_VERSION, 99, 0));
	EXPECT_EQ(-XEN_ENOSYS, hypercall(self->fd, NO_SUCH_HYPERCALL, 0, 0));
	/* No buffer for the answer. */
	EXPECT_EQ(-EFAULT, hypercall(self->fd, HYPERCALL_XEN_VERSION,
				     XENVER_extraversion, 0));
}

/*
 * No bit may get lost: the rest would name another hypercall.  The upper 32 are
 * left out: there the compiler decides what becomes of them.
 */
TEST_F(hypercall, number_is_taken_whole)
{
	static const __u32 bad[] = {
		HYPERCALL_XEN_VERSION | 0x80,
		HYPERCALL_XEN_VERSION | 0x100,
		HYPERCALL_XEN_VERSION | 0x10000,
		HYPERCALL_XEN_VERSION | 0x80000000,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-XEN_ENOSYS, hypercall(self->fd, bad[i], 0, 0)) {
			TH_LOG("hypercall %#x", bad[i]);
		}
	}
}

TEST_F(hypercall, needs_a_good_pointer)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct privcmd_hypercall *arg;

	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, munmap(memory + page, page));
	arg = (void *)(memory + page - sizeof(*arg));
	arg->op = HYPERCALL_XEN_VERSION;
	EXPECT_LT(0, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, arg));

	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_HYPERCALL,
				   memory + page));
	memmove(memory + page - sizeof(*arg) + 8, arg, sizeof(*arg) - 8);
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_HYPERCALL,
				   memory + page - sizeof(*arg) + 8));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_HYPERCALL,
				   (void *)0xffffffff81000000));
}

/* Its argument is only read. */
TEST_F(hypercall, takes_a_read_only_argument)
{
	static const struct privcmd_hypercall arg = {
		.op = HYPERCALL_XEN_VERSION,
	};

	EXPECT_LT(4 << 16, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, &arg));
}

TEST_F(hypercall, is_refused_on_a_restricted_file)
{
	ASSERT_EQ(0, restrict_to(self->fd, 0));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EPERM, hypercall(self->fd, NO_SUCH_HYPERCALL, 0, 0));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
}

TEST_HARNESS_MAIN
