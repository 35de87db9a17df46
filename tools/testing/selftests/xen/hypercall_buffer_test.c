// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xen/hypercall: memory that the hypervisor can write to, for hypercalls
 * that a process makes itself.
 */

#include "common.h"

#include <sys/mman.h>

#define PAGES 4

/* Bit of /proc/sys/kernel/tainted that says there was a warning. */
#define TAINT_WARN 0x200

FIXTURE(buffer)
{
	int fd;
	size_t page;
	size_t size;
	char *buf;
};

FIXTURE_SETUP(buffer)
{
	self->page = sysconf(_SC_PAGESIZE);
	self->size = PAGES * self->page;
	self->fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->buf = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->buf);
}

FIXTURE_TEARDOWN(buffer)
{
	munmap(self->buf, self->size);
	close(self->fd);
}

/* The error of a mapping, or 0. */
static int try_mmap(int fd, size_t size, int prot, int flags, off_t offset)
{
	void *addr = mmap(NULL, size, prot, flags, fd, offset);

	if (addr == MAP_FAILED)
		return -errno;
	munmap(addr, size);
	return 0;
}

/* Lets Xen write its extra version to the buffer. */
static int extra_version(char *buf)
{
	struct privcmd_hypercall arg = {
		.op = HYPERCALL_XEN_VERSION,
		.arg = { XENVER_extraversion, (uintptr_t)buf },
	};
	int fd = privcmd_open();
	int ret;

	if (fd < 0)
		return fd;
	/* On Arm the hypervisor writes only to pages that have been written to. */
	memset(buf, 0, sizeof(xen_extraversion_t));
	ret = request(fd, IOCTL_PRIVCMD_HYPERCALL, &arg);
	close(fd);
	return ret;
}

/* The signal that reading a byte in a child ends with, or 0. */
static int signal_of_reading(const char *byte)
{
	pid_t child = fork();
	int status;

	if (!child) {
		__atomic_load_n(byte, __ATOMIC_RELAXED);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		return -errno;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_F(buffer, is_zeroed_and_writable)
{
	for (size_t i = 0; i < self->size; i++)
		ASSERT_EQ(0, self->buf[i]);
	memset(self->buf, 0xa5, self->size);
	for (size_t i = 0; i < self->size; i++)
		ASSERT_EQ((char)0xa5, self->buf[i]);

	/* Nothing of it must come back in the next one. */
	ASSERT_EQ(0, munmap(self->buf, self->size));
	self->buf = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->buf);
	for (size_t i = 0; i < self->size; i++)
		ASSERT_EQ(0, self->buf[i]);
}

TEST_F(buffer, is_for_hypercalls)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_extraversion_t extra;

	ASSERT_NE(NULL, xch);
	ASSERT_EQ(0, xc_version(xch, XENVER_extraversion, extra));
	EXPECT_EQ(0, extra_version(self->buf));
	EXPECT_STREQ(extra, self->buf);

	/* Across two of its pages. */
	EXPECT_EQ(0, extra_version(self->buf + self->page - 2));
	EXPECT_STREQ(extra, self->buf + self->page - 2);
	xc_interface_close(xch);
}

TEST_F(buffer, cannot_be_private)
{
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, self->size,
				    PROT_READ | PROT_WRITE, MAP_PRIVATE, 0));
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, self->size, PROT_READ,
				    MAP_PRIVATE, 0));
}

/* There is nothing in the file that an offset could lead to. */
TEST_F(buffer, ignores_the_offset)
{
	char *buf = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, self->page);

	ASSERT_NE(MAP_FAILED, buf);
	self->buf[self->page] = 1;
	EXPECT_EQ(0, buf[0]);
	EXPECT_EQ(0, extra_version(buf));
	EXPECT_EQ(0, munmap(buf, self->page));

	EXPECT_EQ(0, try_mmap(self->fd, self->page, PROT_READ | PROT_WRITE,
			      MAP_SHARED, (off_t)self->page << 30));
}

TEST_F(buffer, can_be_mapped_read_only)
{
	EXPECT_EQ(0, try_mmap(self->fd, self->page, PROT_READ, MAP_SHARED, 0));
	ASSERT_EQ(0, mprotect(self->buf, self->page, PROT_READ));
	EXPECT_EQ(0, signal_of_reading(self->buf));
	ASSERT_EQ(0, mprotect(self->buf, self->page, PROT_READ | PROT_WRITE));
	self->buf[0] = 1;
}

TEST_F(buffer, differs_for_each_mapping)
{
	char *buf = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, 0);

	ASSERT_NE(MAP_FAILED, buf);
	memset(buf, 1, self->size);
	for (size_t i = 0; i < self->size; i++)
		ASSERT_EQ(0, self->buf[i]);
	EXPECT_EQ(0, munmap(buf, self->size));
}

TEST_F(buffer, outlives_the_file)
{
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	self->buf[0] = 1;
	EXPECT_EQ(0, extra_version(self->buf));
}

TEST_F(buffer, is_shared_with_children)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		self->buf[0] = 1;
		self->buf[self->size - 1] = 2;
		_exit(munmap(self->buf, self->size));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_EQ(1, self->buf[0]);
	EXPECT_EQ(2, self->buf[self->size - 1]);
}

TEST_F(buffer, can_be_unmapped_in_parts)
{
	memset(self->buf, 1, self->size);
	ASSERT_EQ(0, munmap(self->buf + self->page, self->page));
	EXPECT_EQ(1, self->buf[0]);
	EXPECT_EQ(1, self->buf[2 * self->page]);
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->buf + self->page));
	EXPECT_EQ(0, extra_version(self->buf + 2 * self->page));
	ASSERT_EQ(0, munmap(self->buf, self->page));
	EXPECT_EQ(1, self->buf[self->size - 1]);
}

/* The pages are put there when it is mapped, and never again. */
TEST_F(buffer, does_not_come_back_when_dropped)
{
	ASSERT_EQ(0, madvise(self->buf, self->page, MADV_DONTNEED));
	EXPECT_EQ(SIGBUS, signal_of_reading(self->buf));
	EXPECT_EQ(0, signal_of_reading(self->buf + self->page));
}

TEST_F(buffer, can_be_moved)
{
	char *to = mmap(NULL, self->size, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, to);
	memset(self->buf, 1, self->size);
	ASSERT_EQ(to, mremap(self->buf, self->size, self->size,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->buf));
	self->buf = to;
	for (size_t i = 0; i < self->size; i++)
		ASSERT_EQ(1, self->buf[i]);
	EXPECT_EQ(0, extra_version(self->buf));
}

TEST_F(buffer, can_shrink_but_not_grow)
{
	EXPECT_EQ(MAP_FAILED, mremap(self->buf, self->size, 2 * self->size,
				     MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(self->buf, mremap(self->buf, self->size, self->page, 0));
	EXPECT_EQ(0, signal_of_reading(self->buf));
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->buf + self->page));
}

TEST_F(buffer, file_does_nothing_else)
{
	char byte;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-ENOTTY, hypercall_xen_version(self->fd));
	EXPECT_EQ(-ENOTTY, restrict_to(self->fd, 0));
}

static unsigned long read_taint(void)
{
	FILE *file = fopen("/proc/sys/kernel/tainted", "r");
	unsigned long flags = 0;

	if (file) {
		if (fscanf(file, "%lu", &flags) != 1)
			flags = 0;
		fclose(file);
	}
	return flags;
}

TEST_F(buffer, of_gigabytes_is_refused_without_a_warning)
{
	unsigned long taint = read_taint();

	if (host_is_at_risk())
		SKIP(return, "the stock driver has the page allocator warn");
	EXPECT_EQ(-ENOMEM, try_mmap(self->fd, 3UL << 30, PROT_READ | PROT_WRITE,
				    MAP_SHARED, 0));
	EXPECT_EQ(-ENOMEM, try_mmap(self->fd, 1UL << 40, PROT_READ | PROT_WRITE,
				    MAP_SHARED, 0));
	EXPECT_EQ(taint & TAINT_WARN, read_taint() & TAINT_WARN);
}

TEST_HARNESS_MAIN
