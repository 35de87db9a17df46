/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests to /dev/xen/privcmd.  Each function answers with what the command
 * returned or, if it failed, with the negative errno.
 */

#ifndef SELFTESTS_XEN_REQUESTS_H
#define SELFTESTS_XEN_REQUESTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/types.h>
#include <xen/privcmd.h>

#define PRIVCMD_DEVICE	"/dev/xen/privcmd"

/* On which files a command may be used. */
enum access { UNRESTRICTED_ONLY, OWN_DOMAIN_ONLY, ANY_FILE };

static const unsigned int all_commands[] = {
#define ROW(name, ...) IOCTL_PRIVCMD_##name,
#include "commands.h"
};

/* Of the same commands. */
static const struct {
	const char *name;
	enum access access;
	bool compat;
} command_facts[] = {
#define ROW(name, access, compat) { #name, access, compat },
#include "commands.h"
};

/* Linux's own driver has no numbers from here on. */
#define FIRST_OF_OURS	32

/* The answer when the command wrote where it must not write; no errno. */
#define MEMORY_CHANGED	(-10000)

/* The kernel's page, which mappings consist of; it holds one frame of Xen's or more. */
#define PAGE			((size_t)sysconf(_SC_PAGESIZE))
#define FRAMES_PER_PAGE		(PAGE / 4096)
#define MOST_FRAMES_PER_PAGE	16

/* Facts of Xen's ABI, for programs built without Xen's headers. */
#define HYPERCALL_XEN_VERSION	17
#define DM_OP_SET_IRQ_LEVEL	19 /* Arm's */
#define DM_OP_NR_VCPUS		20

/* struct xen_dm_op as far as this operation uses it. */
struct nr_vcpus_op {
	__u32 op;
	__u32 pad;
	__u32 vcpus;
};

/* That of any command. */
union argument {
	struct privcmd_hypercall hypercall;
	struct privcmd_mmap mmap;
	struct privcmd_mmapbatch batch;
	struct privcmd_mmapbatch_v2 batch_v2;
	struct privcmd_mmap_resource resource;
	struct privcmd_dm_op dm_op;
	struct privcmd_dm_nr_vcpus nr_vcpus;
	struct privcmd_irqfd irqfd;
	struct privcmd_ioeventfd ioeventfd;
	struct privcmd_pcidev_get_gsi gsi;
	struct privcmd_limit limit;
	domid_t restrict_to;
};

static inline int privcmd_open(void)
{
	int fd = open(PRIVCMD_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static inline int request(int fd, unsigned int cmd, const void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static inline int memory_changed(const char *what)
{
	fprintf(stderr, "# %s wrote where it must not write\n", what);
	return MEMORY_CHANGED;
}

/*
 * Answers with the number of vCPUs.  Only that number may be written, and on
 * failure nothing: neither in the struct nor around it.
 */
static inline int nr_vcpus_padded(int fd, domid_t dom, __u16 pad)
{
	struct {
		__u8 before[64];
		struct privcmd_dm_nr_vcpus arg;
		__u8 after[64];
	} seen, expected;
	int ret;

	memset(&seen, 0xa5, sizeof(seen));
	seen.arg.dom = dom;
	seen.arg.pad = pad;
	memcpy(&expected, &seen, sizeof(seen));

	ret = request(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &seen.arg);
	if (ret == 0) {
		ret = seen.arg.vcpus;
		expected.arg.vcpus = seen.arg.vcpus;
	} else if (ret > 0) {
		fprintf(stderr, "# DM_NR_VCPUS returned %d, not 0\n", ret);
		return MEMORY_CHANGED;
	}
	if (memcmp(&expected, &seen, sizeof(seen)))
		return memory_changed("DM_NR_VCPUS");
	return ret;
}

static inline int nr_vcpus(int fd, domid_t dom)
{
	return nr_vcpus_padded(fd, dom, 0);
}

static inline int dm_op(int fd, domid_t dom, __u16 num,
			const struct privcmd_dm_op_buf *bufs)
{
	struct privcmd_dm_op arg = { .dom = dom, .num = num, .ubufs = bufs };

	return request(fd, IOCTL_PRIVCMD_DM_OP, &arg);
}

/* The same question, as the untyped command asks it. */
static inline int dm_op_nr_vcpus(int fd, domid_t dom)
{
	struct {
		__u8 before[64];
		struct nr_vcpus_op op;
		__u8 after[64];
	} seen, expected;
	struct privcmd_dm_op_buf buf = {
		.uptr = &seen.op,
		.size = sizeof(seen.op),
	};
	int ret;

	memset(&seen, 0xa5, sizeof(seen));
	seen.op.op = DM_OP_NR_VCPUS;
	seen.op.pad = 0;
	memcpy(&expected, &seen, sizeof(seen));

	ret = dm_op(fd, dom, 1, &buf);
	if (ret == 0) {
		ret = seen.op.vcpus;
		expected.op.vcpus = seen.op.vcpus;
	}
	if (memcmp(&expected, &seen, sizeof(seen)))
		return memory_changed("DM_OP");
	return ret;
}

/* Answers with Xen's version: major << 16 | minor. */
static inline int hypercall_xen_version(int fd)
{
	struct privcmd_hypercall arg = { .op = HYPERCALL_XEN_VERSION };

	return request(fd, IOCTL_PRIVCMD_HYPERCALL, &arg);
}

static inline int restrict_to(int fd, domid_t dom)
{
	return request(fd, IOCTL_PRIVCMD_RESTRICT, &dom);
}

/* What is not named in a limit goes. */
static inline int limit_file(int fd, struct privcmd_limit limit)
{
	struct privcmd_limit before = limit;
	int ret = request(fd, IOCTL_PRIVCMD_LIMIT, &limit);

	return memcmp(&before, &limit, sizeof(limit)) ? memory_changed("LIMIT") : ret;
}

/* The bit of a command. */
#define COMMAND(cmd) (1ULL << _IOC_NR(cmd))

static inline int limit_commands(int fd, __u64 commands)
{
	return limit_file(fd, (struct privcmd_limit) {
		.commands = commands, .dm_ops = ~0ULL, .resources = ~0U,
	});
}

static inline int limit_dm_ops(int fd, __u64 dm_ops)
{
	return limit_file(fd, (struct privcmd_limit) {
		.commands = ~0ULL, .dm_ops = dm_ops, .resources = ~0U,
	});
}

static inline int limit_resources(int fd, __u32 resources)
{
	return limit_file(fd, (struct privcmd_limit) {
		.commands = ~0ULL, .dm_ops = ~0ULL, .resources = resources,
	});
}

static inline int limit_to_reading(int fd)
{
	return limit_file(fd, (struct privcmd_limit) {
		.commands = ~0ULL, .dm_ops = ~0ULL, .resources = ~0U,
		.flags = PRIVCMD_LIMIT_READ_ONLY,
	});
}

#endif /* SELFTESTS_XEN_REQUESTS_H */
