/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a file of /dev/xen/privcmd has left, and whether it can do more than that.
 */

#ifndef SELFTESTS_XEN_LIMITS_H
#define SELFTESTS_XEN_LIMITS_H

#include <stdlib.h>

#include "proc.h"
#include "requests.h"

/* What anybody sees of a file's limits; whether there are any to be seen. */
static inline bool read_limit(int fd, struct privcmd_limit *left)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	left->commands = strtoull(proc_line(path, "commands"), NULL, 16);
	left->dm_ops = strtoull(proc_line(path, "dm_ops"), NULL, 16);
	left->resources = strtoul(proc_line(path, "resources"), NULL, 16);
	left->flags = strtoul(proc_line(path, "limit_flags"), NULL, 16);
	return *proc_line(path, "limit_flags");
}

/* Of another type than the usual one it is never for a restricted file. */
#define PIN_MEMORY_CACHEATTR	18
#define WRITE_BACK		6

struct pin_memory_op {
	__u32 op, pad;
	__u64 start, end;
	__u32 type, more;
};

/*
 * Its number alone: Xen does none of them without the rest of its argument.  One needs it
 * to be let pass, and has a range whose end comes before its start.
 */
static inline int ask_for_operation(int fd, domid_t dom, __u32 number)
{
	struct pin_memory_op op = { .op = number, .start = 1, .type = WRITE_BACK };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(number) };

	if (number == PIN_MEMORY_CACHEATTR)
		buf.size = sizeof(op);
	return dm_op(fd, dom, 1, &buf);
}

static inline int size_of_resource(int fd, domid_t dom, __u32 type)
{
	struct privcmd_mmap_resource arg = { .dom = dom, .type = type };

	return request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg);
}

/* What has no bit in a mask of so many stays with all of them. */
static inline bool stays(__u64 mask, unsigned int bits, __u32 number)
{
	return number < bits ? mask >> number & 1 : mask == ~0ULL >> (64 - bits);
}

/* Whether the answer is not that of a request that stays, or of one that is gone. */
static inline bool is_wrong(bool left, int answer, const char *what, __u32 number)
{
	bool refused = answer == -EPERM;

	if (left == refused)
		fprintf(stderr, "# %s %u is %s\n", what, number, left ? "gone" : "left");
	return left == refused;
}

/*
 * Tries every command, operation and type of resource by a file that is restricted to a
 * domain, and answers with how many do not fit what it has left.  Xen itself never says
 * EPERM to an operation of that domain.
 */
static inline unsigned int try_all(int fd, domid_t dom, const struct privcmd_limit *left)
{
	static const __u32 high[] = { 64, 1000, 0x80000000, 0xffffffff };
	const bool operations = left->commands & COMMAND(IOCTL_PRIVCMD_DM_OP);
	const bool resources = left->commands & COMMAND(IOCTL_PRIVCMD_MMAP_RESOURCE);
	unsigned int wrong = 0;

	for (size_t i = 0; i < sizeof(all_commands) / sizeof(*all_commands); i++) {
		__u32 number = _IOC_NR(all_commands[i]);

		wrong += is_wrong(stays(left->commands, 64, number) &&
				  command_facts[i].access != UNRESTRICTED_ONLY,
				  request(fd, all_commands[i], NULL), "command", number);
	}
	for (__u32 i = 0; i < 64 + sizeof(high) / sizeof(*high); i++) {
		__u32 number = i < 64 ? i : high[i - 64];

		wrong += is_wrong(operations && stays(left->dm_ops, 64, number),
				  ask_for_operation(fd, dom, number), "operation", number);
		wrong += is_wrong(resources && stays(left->resources, 32, number),
				  size_of_resource(fd, dom, number), "resource", number);
	}
	return wrong;
}

#endif /* SELFTESTS_XEN_LIMITS_H */
