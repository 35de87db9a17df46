// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_LIMIT: commands, operations and resources that a file has given up
 * are gone for good, for whoever has it.
 */

#include "eventfd.h"
#include "race.h"

#include <sys/mount.h>

/* The bits of a mask of operations, and those of a mask of resources. */
#define DM_OPS		64
#define RESOURCES	32

/* Larger than any that Xen has, and the same as some in the low bits. */
static const __u32 large_numbers[] = {
	64 + DM_OP_NR_VCPUS, 256 + DM_OP_NR_VCPUS, 1U << 31, -1U,
};

/* The stock driver must not even look at the argument. */
static bool has_limits(struct __test_metadata *_metadata)
{
	int fd = privcmd_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(on_stock_driver() ? -ENOTTY : -EFAULT,
		  request(fd, IOCTL_PRIVCMD_LIMIT, NULL));
	close(fd);
	return !on_stock_driver();
}

static bool is_command(unsigned int cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++)
		if (all_commands[i] == cmd)
			return true;
	return false;
}

/* An operation with nothing but its number. */
static int bare_dm_op(int fd, domid_t dom, __u32 number)
{
	struct xen_dm_op op = { .op = number };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };

	return dm_op(fd, dom, 1, &buf);
}

/* Frames of a resource at some address, which may be bad. */
static int map_type(int fd, domid_t dom, __u32 type, const void *addr)
{
	return map_resource(fd, (struct privcmd_mmap_resource) {
		.dom = dom,
		.type = type,
		.num = addr ? FRAMES_PER_PAGE : 0,
		.addr = (uintptr_t)addr,
	});
}

/* How large a resource is: whatever the hypervisor says, or a negative errno. */
static int size_of(int fd, domid_t dom, __u32 type)
{
	struct privcmd_mmap_resource arg = { .dom = dom, .type = type };

	return request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg) ?: (int)arg.num;
}

/* Answers with 0, or with a negative errno. */
static int read_fdinfo(int fd, char *text, size_t size)
{
	char path[64];
	ssize_t len;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	len = read(info, text, size - 1);
	close(info);
	text[len > 0 ? len : 0] = '\0';
	return len > 0 ? 0 : -EIO;
}

/*
 * What a file has left, by lines that follow one another.  Answers with 0, or with a
 * negative errno.
 */
static int read_limit(int fd, struct privcmd_limit *limit)
{
	char text[1024], *lines;
	int ret = read_fdinfo(fd, text, sizeof(text));

	if (ret)
		return ret;
	lines = strstr(text, "commands:");
	return lines && sscanf(lines, "commands: %llx dm_ops: %llx resources: %x limit_flags: %x",
			       &limit->commands, &limit->dm_ops, &limit->resources,
			       &limit->flags) == 4 ? 0 : -EINVAL;
}

static bool is_limit(const struct privcmd_limit *one, const struct privcmd_limit *other)
{
	return !memcmp(one, other, sizeof(*one));
}

FIXTURE(limit)
{
	int fd;
	int dom;
	int other;
};

FIXTURE_SETUP(limit)
{
	if (!has_limits(_metadata))
		SKIP_FIXTURE(return, NO_LIMITS);
	self->dom = domain_create(DOMAIN_PVH, 3);
	ASSERT_LT(0, self->dom);
	self->other = domain_create(DOMAIN_HVM, 5);
	ASSERT_LT(0, self->other);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(limit)
{
	if (self->dom)
		EXPECT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, domain_destroy(self->other));
	close(self->fd);
}

/* What a file may do that has no limits. */
static void expect_all(struct __test_metadata *_metadata, int fd, domid_t dom)
{
	struct privcmd_limit left;

	EXPECT_EQ(3, ask(fd, dom));
	EXPECT_LT(0, hypercall_xen_version(fd));
	EXPECT_EQ(by_dm_op(-ESRCH), bare_dm_op(fd, NO_SUCH_DOMAIN, -1));
	EXPECT_NE(-EPERM, size_of(fd, NO_SUCH_DOMAIN, -1));
	EXPECT_EQ(0, read_limit(fd, &left));
	EXPECT_EQ(~0ULL, left.commands);
	EXPECT_EQ(~0ULL, left.dm_ops);
	EXPECT_EQ(~0U, left.resources);
	EXPECT_EQ(0, left.flags);
}

/* What it may do that has DM_NR_VCPUS, LIMIT and nothing else. */
static void expect_only_questions(struct __test_metadata *_metadata, int fd, domid_t dom)
{
	EXPECT_EQ(by_nr_vcpus(3), nr_vcpus(fd, dom));
	EXPECT_EQ(-EPERM, dm_op_nr_vcpus(fd, dom));
	EXPECT_EQ(-EPERM, hypercall_xen_version(fd));
	EXPECT_EQ(-EPERM, restrict_to(fd, dom));
	EXPECT_EQ(-EPERM, size_of(fd, dom, XENMEM_resource_grant_table));
}

static int limit_to_questions(int fd)
{
	return limit_commands(fd, COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS) |
				  COMMAND(IOCTL_PRIVCMD_LIMIT));
}

TEST_F(limit, has_the_documented_number_and_layout)
{
	EXPECT_EQ(0x40185021, IOCTL_PRIVCMD_LIMIT);
	EXPECT_EQ(24, sizeof(struct privcmd_limit));
	EXPECT_EQ(0, offsetof(struct privcmd_limit, commands));
	EXPECT_EQ(8, offsetof(struct privcmd_limit, dm_ops));
	EXPECT_EQ(16, offsetof(struct privcmd_limit, resources));
	EXPECT_EQ(20, offsetof(struct privcmd_limit, flags));
	EXPECT_EQ(1, PRIVCMD_LIMIT_READ_ONLY);
	EXPECT_EQ(33, _IOC_NR(IOCTL_PRIVCMD_LIMIT));
}

TEST_F(limit, that_names_all_takes_nothing)
{
	expect_all(_metadata, self->fd, self->dom);
	ASSERT_EQ(0, limit_commands(self->fd, ~0ULL));
	expect_all(_metadata, self->fd, self->dom);
	EXPECT_EQ(5, ask(self->fd, self->other));
	EXPECT_EQ(0, restrict_to(self->fd, self->dom));
}

TEST_F(limit, leaves_what_it_names)
{
	ASSERT_EQ(0, limit_to_questions(self->fd));
	expect_only_questions(_metadata, self->fd, self->dom);
	EXPECT_EQ(by_nr_vcpus(5), nr_vcpus(self->fd, self->other));
}

/* Whatever a later one names. */
TEST_F(limit, brings_nothing_back)
{
	ASSERT_EQ(0, limit_to_questions(self->fd));
	EXPECT_EQ(0, limit_commands(self->fd, ~0ULL));
	expect_only_questions(_metadata, self->fd, self->dom);
	EXPECT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS)));
	EXPECT_EQ(-EPERM, nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, dm_op_nr_vcpus(self->fd, self->dom));
}

TEST_F(limit, leaves_what_both_of_two_name)
{
	const struct privcmd_limit one = {
		.commands = COMMAND(IOCTL_PRIVCMD_LIMIT) | 0x5555555555555555,
		.dm_ops = 0x00ff00ff00ff00ff,
		.resources = 0x3333ffff,
		.flags = PRIVCMD_LIMIT_READ_ONLY,
	};
	const struct privcmd_limit other = {
		.commands = COMMAND(IOCTL_PRIVCMD_LIMIT) | 0x3333333333333333,
		.dm_ops = 0x0ff00ff00ff00ff0,
		.resources = 0xffff5555,
	};
	const struct privcmd_limit both = {
		.commands = one.commands & other.commands,
		.dm_ops = one.dm_ops & other.dm_ops,
		.resources = one.resources & other.resources,
		.flags = PRIVCMD_LIMIT_READ_ONLY,
	};
	struct privcmd_limit left;

	ASSERT_EQ(0, limit_file(self->fd, one));
	ASSERT_EQ(0, read_limit(self->fd, &left));
	EXPECT_TRUE(is_limit(&one, &left));
	ASSERT_EQ(0, limit_file(self->fd, other));
	ASSERT_EQ(0, read_limit(self->fd, &left));
	EXPECT_TRUE(is_limit(&both, &left));
	/* Number 4 is in both masks, 5 and 6 are in one each. */
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_MMAPBATCH_V2, NULL));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_DM_OP, NULL));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_RESTRICT, NULL));
}

TEST_F(limit, is_of_one_open_file)
{
	int before = privcmd_open(), after;

	ASSERT_LE(0, before);
	ASSERT_EQ(0, limit_to_questions(self->fd));
	after = privcmd_open();
	ASSERT_LE(0, after);
	expect_all(_metadata, before, self->dom);
	expect_all(_metadata, after, self->dom);
	expect_only_questions(_metadata, self->fd, self->dom);
	close(before);
	close(after);
}

TEST_F(limit, is_shared_by_duplicates)
{
	int copy = dup(self->fd);

	ASSERT_LE(0, copy);
	ASSERT_EQ(0, limit_to_questions(self->fd));
	expect_only_questions(_metadata, copy, self->dom);
	ASSERT_EQ(0, close(self->fd));
	self->fd = copy;
	expect_only_questions(_metadata, copy, self->dom);
}

/* In both directions: the child limits what it was given. */
TEST_F(limit, is_shared_by_children)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child)
		_exit(limit_to_questions(self->fd) != 0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	expect_only_questions(_metadata, self->fd, self->dom);

	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(nr_vcpus(self->fd, self->dom) != by_nr_vcpus(3) ||
		      hypercall_xen_version(self->fd) != -EPERM ||
		      limit_commands(self->fd, ~0ULL) ||
		      hypercall_xen_version(self->fd) != -EPERM);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(limit, with_unknown_flags_changes_nothing)
{
	struct privcmd_limit nothing_left = {};

	for (unsigned int bit = 1; bit < 32; bit++) {
		nothing_left.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, limit_file(self->fd, nothing_left)) {
			TH_LOG("flags %#x", nothing_left.flags);
		}
		nothing_left.flags |= PRIVCMD_LIMIT_READ_ONLY;
		EXPECT_EQ(-EINVAL, limit_file(self->fd, nothing_left));
	}
	expect_all(_metadata, self->fd, self->dom);
}

TEST_F(limit, needs_a_good_pointer)
{
	char *page = map_file_as(-1, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	void *const bad[] = {
		NULL, page + PAGE, page + PAGE - 1, page + PAGE - 23, (void *)-1UL,
		(void *)0xffffffff81000000,
	};

	ASSERT_NE(NULL, page);
	memset(page, 0, PAGE);
	ASSERT_EQ(0, munmap(page + PAGE, sysconf(_SC_PAGESIZE)));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_LIMIT, bad[i])) {
			TH_LOG("address %p", bad[i]);
		}
	}
	expect_all(_metadata, self->fd, self->dom);
	EXPECT_EQ(0, request(self->fd, IOCTL_PRIVCMD_LIMIT, page + PAGE - 24));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
}

TEST_F(limit, takes_a_read_only_argument)
{
	struct privcmd_limit *limit = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, limit);
	limit->commands = COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS) | COMMAND(IOCTL_PRIVCMD_LIMIT);
	ASSERT_EQ(0, mprotect(limit, PAGE, PROT_READ));
	EXPECT_EQ(0, request(self->fd, IOCTL_PRIVCMD_LIMIT, limit));
	expect_only_questions(_metadata, self->fd, self->dom);
}

TEST_F(limit, can_end_limits)
{
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_LIMIT)));
	EXPECT_EQ(-EPERM, limit_commands(self->fd, 0));
	EXPECT_EQ(-EPERM, limit_commands(self->fd, ~0ULL));
	EXPECT_EQ(-EPERM, limit_file(self->fd, (struct privcmd_limit) { .flags = 2 }));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_LIMIT, NULL));
	EXPECT_EQ(3, ask(self->fd, self->dom));
	EXPECT_LT(0, hypercall_xen_version(self->fd));
	EXPECT_EQ(0, restrict_to(self->fd, self->dom));
}

TEST_F(limit, can_end_restrictions)
{
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_RESTRICT)));
	EXPECT_EQ(-EPERM, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EPERM, restrict_to(self->fd, DOMID_SELF));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_RESTRICT, NULL));
	EXPECT_EQ(3, ask(self->fd, self->dom));
	EXPECT_EQ(5, ask(self->fd, self->other));
	EXPECT_LT(0, hypercall_xen_version(self->fd));
}

/* Each alone; the others answer as if there were no limit. */
TEST_F(limit, can_take_any_command)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_commands(fd, ~COMMAND(all_commands[i])));
		for (size_t j = 0; j < ARRAY_SIZE(all_commands); j++) {
			int expected = request(self->fd, all_commands[j], NULL);

			ASSERT_NE(-EPERM, expected);
			EXPECT_EQ(i == j ? -EPERM : expected, request(fd, all_commands[j], NULL)) {
				TH_LOG("command %#x without %#x", all_commands[j], all_commands[i]);
			}
		}
		close(fd);
	}
}

TEST_F(limit, can_leave_any_command)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_commands(fd, COMMAND(all_commands[i])));
		for (size_t j = 0; j < ARRAY_SIZE(all_commands); j++) {
			int expected = request(self->fd, all_commands[j], NULL);

			EXPECT_EQ(i == j ? expected : -EPERM, request(fd, all_commands[j], NULL)) {
				TH_LOG("command %#x, of which %#x stays", all_commands[j],
				       all_commands[i]);
			}
		}
		close(fd);
	}
}

/* Before what the kernel cannot do, the pointer, what it points to and the target. */
TEST_F(limit, of_commands_precedes_all_else)
{
	union argument bad, before;

	memset(&bad, 0xff, sizeof(bad));
	before = bad;
	for (int restricted = 0; restricted < 2; restricted++) {
		int fd = privcmd_open();

		if (restricted)
			ASSERT_EQ(0, restrict_to(fd, self->dom));
		ASSERT_EQ(0, limit_commands(fd, 0));
		for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++) {
			EXPECT_EQ(-EPERM, request(fd, all_commands[i], NULL)) {
				TH_LOG("command %#x", all_commands[i]);
			}
			EXPECT_EQ(-EPERM, request(fd, all_commands[i], &bad)) {
				TH_LOG("command %#x", all_commands[i]);
			}
		}
		EXPECT_EQ(0, memcmp(&bad, &before, sizeof(bad)));
		/* What would do nothing. */
		EXPECT_EQ(-EPERM, dm_op(fd, self->dom, 0, NULL));
		EXPECT_EQ(-EPERM, map_entries(fd, self->dom, 0, NULL));
		EXPECT_EQ(-EPERM, restrict_to(fd, self->dom));
		EXPECT_EQ(-EPERM, limit_commands(fd, ~0ULL));
		close(fd);
	}
}

/* By which libraries find out what a kernel knows: of 256 numbers, and any size. */
TEST_F(limit, makes_no_commands)
{
	char arg[64] = {};

	ASSERT_EQ(0, limit_commands(self->fd, 0));
	for (unsigned int nr = 0; nr < 256; nr++) {
		for (unsigned int rest = 0; rest < 4 * sizeof(arg); rest++) {
			unsigned int way = rest % 4, size = rest / 4;
			unsigned int cmd = _IOC(way, 'P', nr, size);

			ASSERT_EQ(is_command(cmd) ? -EPERM : -ENOTTY,
				  request(self->fd, cmd, arg)) {
				TH_LOG("command %#x", cmd);
			}
		}
	}
	EXPECT_EQ(-ENOTTY, request(self->fd, 0x50ff, NULL));
	EXPECT_EQ(-ENOTTY, request(self->fd, 0, NULL));
	EXPECT_EQ(-ENOTTY, request(self->fd, -1, NULL));
	EXPECT_EQ(-ENOTTY, request(self->fd, _IOC(_IOC_NONE, 'Q', 0, 48), NULL));
}

TEST_F(limit, then_restriction)
{
	ASSERT_EQ(0, limit_commands(self->fd, COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS) |
				    COMMAND(IOCTL_PRIVCMD_HYPERCALL) |
				    COMMAND(IOCTL_PRIVCMD_RESTRICT)));
	EXPECT_EQ(by_nr_vcpus(5), nr_vcpus(self->fd, self->other));
	EXPECT_LT(0, hypercall_xen_version(self->fd));
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EINVAL, restrict_to(self->fd, self->other));
	EXPECT_EQ(by_nr_vcpus(3), nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, nr_vcpus(self->fd, self->other));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
	EXPECT_EQ(-EPERM, dm_op_nr_vcpus(self->fd, self->dom));
}

TEST_F(limit, after_restriction)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_DM_OP)));
	EXPECT_EQ(by_nr_vcpus(3), nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, nr_vcpus(self->fd, self->other));
	EXPECT_EQ(-EPERM, dm_op_nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
	EXPECT_EQ(-EINVAL, restrict_to(self->fd, self->other));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_DM_NR_VCPUS, NULL));
}

/* What the file may not do at all is asked first, and of what it may the domain. */
TEST_F(limit, on_a_file_whose_domain_died)
{
	domid_t dom = self->dom;

	ASSERT_EQ(0, restrict_to(self->fd, dom));
	ASSERT_EQ(0, limit_file(self->fd, (struct privcmd_limit) {
		.commands = ~COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS),
	}));
	EXPECT_EQ(-EPERM, bare_dm_op(self->fd, dom, 0));
	ASSERT_EQ(0, domain_destroy(dom));
	self->dom = 0;
	EXPECT_EQ(-EPERM, nr_vcpus(self->fd, dom));
	EXPECT_EQ(-EPERM, bare_dm_op(self->fd, self->other, 0));
	EXPECT_EQ(-ESRCH, bare_dm_op(self->fd, dom, 0));
	EXPECT_EQ(-ESRCH, size_of(self->fd, dom, XENMEM_resource_grant_table));
	EXPECT_EQ(0, limit_commands(self->fd, 0));
}

TEST_F(limit, is_shown)
{
	char text[1024];

	ASSERT_EQ(0, read_fdinfo(self->fd, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "\ncommands:\t0xffffffffffffffff\n"));
	EXPECT_NE(NULL, strstr(text, "\ndm_ops:\t0xffffffffffffffff\n"));
	EXPECT_NE(NULL, strstr(text, "\nresources:\t0xffffffff\n"));
	EXPECT_NE(NULL, strstr(text, "\nlimit_flags:\t0x0\n"));

	ASSERT_EQ(0, limit_file(self->fd, (struct privcmd_limit) {
		.commands = 0x8000000123456789, .dm_ops = 0x80000000fedcba98,
		.resources = 0x80000001, .flags = PRIVCMD_LIMIT_READ_ONLY,
	}));
	ASSERT_EQ(0, read_fdinfo(self->fd, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "\ncommands:\t0x8000000123456789\n"));
	EXPECT_NE(NULL, strstr(text, "\ndm_ops:\t0x80000000fedcba98\n"));
	EXPECT_NE(NULL, strstr(text, "\nresources:\t0x80000001\n"));
	EXPECT_NE(NULL, strstr(text, "\nlimit_flags:\t0x1\n"));
}

/* ---- Operations ---- */

/* The hypervisor would say that there is no such domain. */
TEST_F(limit, can_leave_any_operation)
{
	for (unsigned int bit = 0; bit < DM_OPS; bit++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_dm_ops(fd, 1ULL << bit));
		for (unsigned int op = 0; op < 71; op++) {
			ASSERT_EQ(op == bit ? by_dm_op(-ESRCH) : -EPERM,
				  bare_dm_op(fd, NO_SUCH_DOMAIN, op)) {
				TH_LOG("operation %u, of which %u stays", op, bit);
			}
		}
		close(fd);
	}
}

/* That whose numbers have no bit go with the first one. */
TEST_F(limit, can_take_any_operation)
{
	for (unsigned int bit = 0; bit < DM_OPS; bit++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_dm_ops(fd, ~(1ULL << bit)));
		for (unsigned int op = 0; op < 71; op++) {
			ASSERT_EQ(op == bit || op >= DM_OPS ? -EPERM : by_dm_op(-ESRCH),
				  bare_dm_op(fd, NO_SUCH_DOMAIN, op)) {
				TH_LOG("operation %u, of which %u is gone", op, bit);
			}
		}
		for (size_t i = 0; i < ARRAY_SIZE(large_numbers); i++)
			ASSERT_EQ(-EPERM, bare_dm_op(fd, NO_SUCH_DOMAIN, large_numbers[i]));
		close(fd);
	}
}

TEST_F(limit, of_other_things_leaves_all_operations)
{
	ASSERT_EQ(0, limit_commands(self->fd, COMMAND(IOCTL_PRIVCMD_DM_OP)));
	for (unsigned int op = 0; op < 71; op++)
		EXPECT_EQ(by_dm_op(-ESRCH), bare_dm_op(self->fd, NO_SUCH_DOMAIN, op));
	for (size_t i = 0; i < ARRAY_SIZE(large_numbers); i++)
		EXPECT_EQ(by_dm_op(-ESRCH),
			  bare_dm_op(self->fd, NO_SUCH_DOMAIN, large_numbers[i]));
	EXPECT_EQ(by_dm_op(3), dm_op_nr_vcpus(self->fd, self->dom));
}

/* An operation that asks is not one that callers write. */
TEST_F(limit, of_operations_leaves_the_typed_command)
{
	ASSERT_EQ(0, limit_dm_ops(self->fd, 0));
	EXPECT_EQ(by_nr_vcpus(3), nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(by_nr_vcpus(-ESRCH), nr_vcpus(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EINVAL, nr_vcpus_padded(self->fd, self->dom, 1));
	EXPECT_EQ(-EPERM, dm_op_nr_vcpus(self->fd, self->dom));
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS)));
	EXPECT_EQ(-EPERM, nr_vcpus(self->fd, self->dom));
}

/* By which libxendevicemodel finds out whether there is a DM_OP. */
TEST_F(limit, of_operations_leaves_the_request_without_any)
{
	ASSERT_EQ(0, limit_dm_ops(self->fd, 0));
	EXPECT_EQ(0, dm_op(self->fd, self->dom, 0, NULL));
	EXPECT_EQ(0, dm_op(self->fd, DOMID_SELF, 0, (void *)1));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_DM_OP, NULL));
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_DM_OP)));
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, 0, NULL));
}

TEST_F(limit, of_operations_follows_bad_pointers)
{
	char byte = 0;
	struct privcmd_dm_op_buf buf = { .uptr = NULL, .size = 64 };

	ASSERT_EQ(0, limit_dm_ops(self->fd, 0));
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 0xffff, NULL));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, NULL));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, &buf));
	buf = (struct privcmd_dm_op_buf) { .uptr = &byte, .size = 1UL << 32 };
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 1, &buf));
}

TEST_F(limit, of_operations_needs_room_for_a_number)
{
	static const __u64 masks[] = { 0, 1ULL << DM_OP_NR_VCPUS, ~0ULL };
	struct nr_vcpus_op op = { .op = DM_OP_NR_VCPUS, .vcpus = 12345 };
	struct privcmd_dm_op_buf buf = { .uptr = &op };

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_dm_ops(fd, masks[i]));
		for (buf.size = 0; buf.size < 4; buf.size++) {
			EXPECT_EQ(~masks[i] ? -EINVAL : by_dm_op(-EFAULT),
				  dm_op(fd, self->dom, 1, &buf)) {
				TH_LOG("%zu bytes, mask %#llx", buf.size, masks[i]);
			}
		}
		/* There the hypervisor misses the rest. */
		EXPECT_EQ(masks[i] ? by_dm_op(-EFAULT) : -EPERM, dm_op(fd, self->dom, 1, &buf));
		close(fd);
	}
	EXPECT_EQ(DM_OP_NR_VCPUS, op.op);
	EXPECT_EQ(12345, op.vcpus);
}

/* Of any size within the limits, however many buffers follow. */
TEST_F(limit, of_operations_is_for_buffers_of_any_size)
{
	static const size_t sizes[] = { 12, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096 };
	struct privcmd_dm_op_buf bufs[3];
	char *memory = map_file_as(-1, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	/* It ends in the middle of the number. */
	struct nr_vcpus_op *op = (void *)(memory + PAGE - 2);
	int fd = privcmd_open();

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, limit_dm_ops(self->fd, ~(1ULL << DM_OP_NR_VCPUS)));
	ASSERT_EQ(0, limit_dm_ops(fd, 1ULL << DM_OP_NR_VCPUS));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct nr_vcpus_op before = { .op = DM_OP_NR_VCPUS, .vcpus = 12345 };

		memset(memory, UNTOUCHED, 4 * PAGE);
		memcpy(op, &before, sizeof(before));
		for (unsigned int b = 0; b < ARRAY_SIZE(bufs); b++)
			bufs[b] = (struct privcmd_dm_op_buf) { .uptr = op, .size = sizes[i] };
		for (unsigned int num = 1; num <= ARRAY_SIZE(bufs); num++) {
			EXPECT_EQ(-EPERM, dm_op(self->fd, self->dom, num, bufs)) {
				TH_LOG("%u buffers of %zu bytes", num, sizes[i]);
			}
		}
		EXPECT_EQ(0, memcmp(op, &before, sizeof(before)));
		EXPECT_EQ(by_dm_op(0), dm_op(fd, self->dom, 1, bufs));
		memcpy(&bufs[1].size, &op->vcpus, sizeof(op->vcpus));
		EXPECT_EQ(by_dm_op(0) ? 12345 : 3, (__u32)bufs[1].size);
		EXPECT_TRUE(is_untouched(memory, PAGE - 2));
		EXPECT_TRUE(is_untouched((char *)op + sizeof(*op), 2 * PAGE));
	}
	close(fd);
}

/* On a file with limits too, and before the hypercall. */
TEST_F(limit, of_operations_needs_buffers_that_can_be_written)
{
	char *memory = map_file_as(-1, 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	struct nr_vcpus_op *op = (void *)memory;
	struct privcmd_dm_op_buf bufs[] = {
		{ .uptr = op, .size = sizeof(*op) },
		{ .uptr = memory + PAGE - 16, .size = 32 },
	};

	ASSERT_NE(NULL, memory);
	*op = (struct nr_vcpus_op) { .op = DM_OP_NR_VCPUS };
	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << DM_OP_NR_VCPUS));
	ASSERT_EQ(0, mprotect(memory + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 2, bufs));
	EXPECT_EQ(0, op->vcpus);
	EXPECT_EQ(by_dm_op(0), dm_op(self->fd, self->dom, 1, bufs));
	op->vcpus = 0;
	ASSERT_EQ(0, mprotect(memory, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, bufs));
	EXPECT_EQ(0, op->vcpus);
	EXPECT_EQ(0, mprotect(memory, 2 * PAGE, PROT_READ | PROT_WRITE));
}

TEST_F(limit, of_operations_lets_buffers_overlap)
{
	char memory[192];
	struct nr_vcpus_op *op = (void *)(memory + 64);
	struct privcmd_dm_op_buf bufs[2] = { { .uptr = op, .size = sizeof(*op) } };

	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << DM_OP_NR_VCPUS));
	for (size_t offset = 0; offset < sizeof(*op); offset += 4) {
		memset(memory, UNTOUCHED, sizeof(memory));
		*op = (struct nr_vcpus_op) { .op = DM_OP_NR_VCPUS, .vcpus = 12345 };
		bufs[1] = (struct privcmd_dm_op_buf) { .uptr = (char *)op + offset, .size = 40 };
		EXPECT_EQ(by_dm_op(0), dm_op(self->fd, self->dom, 2, bufs));
		EXPECT_EQ(by_dm_op(0) ? 12345 : 3, op->vcpus);
		EXPECT_EQ(DM_OP_NR_VCPUS, op->op);
		EXPECT_TRUE(is_untouched(memory, 64));
		EXPECT_TRUE(is_untouched(op + 1, 192 - 64 - sizeof(*op)));
	}
}

/* ---- Resources ---- */

TEST_F(limit, can_leave_any_resource)
{
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	for (unsigned int bit = 0; bit < RESOURCES; bit++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_resources(fd, 1U << bit));
		for (unsigned int type = 0; type < 40; type++) {
			ASSERT_EQ(type == bit ? -ESRCH : -EPERM,
				  map_type(fd, NO_SUCH_DOMAIN, type, map)) {
				TH_LOG("type %u, of which %u stays", type, bit);
			}
			ASSERT_EQ(type == bit, size_of(fd, NO_SUCH_DOMAIN, type) != -EPERM);
		}
		close(fd);
	}
	EXPECT_TRUE(is_empty(map, 1));
}

TEST_F(limit, can_take_any_resource)
{
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	for (unsigned int bit = 0; bit < RESOURCES; bit++) {
		int fd = privcmd_open();

		ASSERT_EQ(0, limit_resources(fd, ~(1U << bit)));
		for (unsigned int type = 0; type < 40; type++) {
			bool gone = type == bit || type >= RESOURCES;

			ASSERT_EQ(gone ? -EPERM : -ESRCH,
				  map_type(fd, NO_SUCH_DOMAIN, type, map)) {
				TH_LOG("type %u, of which %u is gone", type, bit);
			}
			ASSERT_EQ(gone, size_of(fd, NO_SUCH_DOMAIN, type) == -EPERM);
		}
		for (size_t i = 0; i < ARRAY_SIZE(large_numbers); i++)
			ASSERT_EQ(-EPERM, map_type(fd, NO_SUCH_DOMAIN, large_numbers[i], map));
		close(fd);
	}
	EXPECT_TRUE(is_empty(map, 1));
}

TEST_F(limit, of_other_things_leaves_all_resources)
{
	char *map = map_file(self->fd, 1);

	ASSERT_EQ(0, limit_commands(self->fd, COMMAND(IOCTL_PRIVCMD_MMAP_RESOURCE)));
	for (unsigned int type = 0; type < 40; type++)
		EXPECT_EQ(-ESRCH, map_type(self->fd, NO_SUCH_DOMAIN, type, map));
	for (size_t i = 0; i < ARRAY_SIZE(large_numbers); i++)
		EXPECT_EQ(-ESRCH, map_type(self->fd, NO_SUCH_DOMAIN, large_numbers[i], map));
	EXPECT_EQ(0, map_grants(self->fd, self->dom, map, 0, 1));
	EXPECT_EQ(0, munmap(map, PAGE));
}

/* Before what else is wrong with the request, and nothing is mapped or written. */
TEST_F(limit, of_resources_maps_nothing)
{
	struct privcmd_mmap_resource arg = {
		.dom = self->dom,
		.type = XENMEM_resource_grant_table,
	}, before = arg;
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, limit_resources(self->fd, ~(1U << XENMEM_resource_grant_table)));
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, map, 0, 1));
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, map, 0, 0));
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, NULL, 0, 1));
	EXPECT_EQ(-EPERM, map_grants(self->fd, self->dom, &arg, 0, 1));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg));
	EXPECT_EQ(0, memcmp(&arg, &before, sizeof(arg)));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, NULL));
	EXPECT_TRUE(is_empty(map, 1));
	EXPECT_TRUE(neighbours_are_untouched(map, 1));
	EXPECT_EQ(0, munmap(map, PAGE));
}

/* A request that maps nothing. */
TEST_F(limit, to_reading_leaves_questions_of_size)
{
	int size = size_of(self->fd, self->dom, XENMEM_resource_grant_table);

	ASSERT_LT(0, size);
	ASSERT_EQ(0, limit_to_reading(self->fd));
	EXPECT_EQ(size, size_of(self->fd, self->dom, XENMEM_resource_grant_table));
}

/* What a file mapped while it could. */
TEST_F(limit, leaves_what_was_mapped)
{
	char *map = map_file(self->fd, 1);

	ASSERT_EQ(0, map_grants(self->fd, self->dom, map, 0, 1));
	store(map, 12345);
	ASSERT_EQ(0, limit_file(self->fd, (struct privcmd_limit) {
		.flags = PRIVCMD_LIMIT_READ_ONLY,
	}));
	EXPECT_EQ(12345, load(map));
	EXPECT_EQ(0, signal_of_writing(map));
	EXPECT_EQ(0, munmap(map, PAGE));
}

/* ---- Operations that change a domain ---- */

/* Xen has as many for a domain; each number is one of these. */
#define SERVERS 4

FIXTURE(operation)
{
	int fd;
	int dom;
	xendevicemodel_handle *dmod;
};

FIXTURE_SETUP(operation)
{
	ioservid_t id;

	if (!has_limits(_metadata))
		SKIP_FIXTURE(return, NO_LIMITS);
	if (!has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	/* Fewer vCPUs than servers: an answer is a server's number too. */
	self->dom = domain_create(DOMAIN_PVH, SERVERS - 1);
	ASSERT_LT(0, self->dom);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dmod = xendevicemodel_open(NULL, 0);
	ASSERT_NE(NULL, self->dmod);
	for (unsigned int i = 0; i < SERVERS; i++) {
		ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->dmod, self->dom,
								HVM_IOREQSRV_BUFIOREQ_OFF,
								&id));
		ASSERT_EQ(i, id);
	}
}

FIXTURE_TEARDOWN(operation)
{
	xendevicemodel_close(self->dmod);
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

static int destroy_server(int fd, domid_t dom, ioservid_t id)
{
	struct xen_dm_op op = {
		.op = XEN_DMOP_destroy_ioreq_server,
		.u.destroy_ioreq_server.id = id,
	}, before = op;
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };
	int ret = dm_op(fd, dom, 1, &buf);

	return memcmp(&op, &before, sizeof(op)) ? memory_changed("DM_OP") : ret;
}

static bool has_all_servers(xendevicemodel_handle *dmod, domid_t dom)
{
	for (unsigned int i = 0; i < SERVERS; i++) {
		if (!xendevicemodel_get_ioreq_server_info(dmod, dom, i, NULL, NULL, NULL))
			continue;
		fprintf(stderr, "# ioreq server %u is gone\n", i);
		return false;
	}
	return true;
}

TEST_F(operation, that_is_gone_does_nothing)
{
	ASSERT_EQ(0, limit_dm_ops(self->fd, ~(1ULL << XEN_DMOP_destroy_ioreq_server)));
	for (unsigned int i = 0; i < SERVERS; i++)
		EXPECT_EQ(-EPERM, destroy_server(self->fd, self->dom, i));
	EXPECT_TRUE(has_all_servers(self->dmod, self->dom));
}

TEST_F(operation, that_stays_does_what_it_should)
{
	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << XEN_DMOP_destroy_ioreq_server));
	EXPECT_EQ(0, destroy_server(self->fd, self->dom, 1));
	EXPECT_FALSE(has_all_servers(self->dmod, self->dom));
	EXPECT_EQ(-ENOENT, destroy_server(self->fd, self->dom, 1));
	EXPECT_EQ(by_dm_op(-EPERM), destroy_server(self->fd, 0, 1));
}

TEST_F(operation, that_stays_is_for_the_files_domain)
{
	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << XEN_DMOP_destroy_ioreq_server));
	ASSERT_EQ(0, restrict_to(self->fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, destroy_server(self->fd, self->dom, 1));
	EXPECT_TRUE(has_all_servers(self->dmod, self->dom));
}

/* Xen writes a bitmap into it, which is all ones at first. */
TEST_F(operation, has_its_other_buffer)
{
	struct xen_dm_op op = {
		.op = XEN_DMOP_track_dirty_vram,
		.u.track_dirty_vram.nr = FRAMES,
	};
	__u8 bitmap[FRAMES / 8 + 2] = {};
	struct privcmd_dm_op_buf bufs[] = {
		{ .uptr = &op, .size = sizeof(op) },
		{ .uptr = bitmap + 1, .size = FRAMES / 8 },
	};
	int dom;

#ifndef __x86_64__
	SKIP(return, "Xen has no such operation on Arm");
#endif
	dom = shell_create();
	ASSERT_LT(0, dom);
	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << XEN_DMOP_track_dirty_vram));
	EXPECT_EQ(0, dm_op(self->fd, dom, 2, bufs));
	EXPECT_EQ(0, bitmap[0]);
	for (unsigned int i = 0; i < FRAMES / 8; i++)
		EXPECT_EQ(0xff, bitmap[i + 1]);
	EXPECT_EQ(0, bitmap[FRAMES / 8 + 1]);
	EXPECT_EQ(0, domain_destroy(dom));
}

/* ---- Races ---- */

/* How many races are run, each of them on so many files. */
#define ROUNDS 16
#define FILES 64

/* What the two threads of a race share. */
static struct {
	atomic_uint limited;
	atomic_bool stop;
	int fds[FILES];
	domid_t dom;
	unsigned int answers, refusals, violations;
	/* Buffer 0 of an operation. */
	__u64 memory[4096 / sizeof(__u64)];
} race;

static const struct privcmd_limit first_limit = {
	.commands = 0x7ffffffffffffffe,
	.dm_ops = 0xffff00000000ffff,
	.resources = 0xfffffffd,
};

static const struct privcmd_limit second_limit = {
	.commands = 0xfffffffffffffff7,
	.dm_ops = 0xffffffffffff0000,
	.resources = 0x7fffffff,
	.flags = PRIVCMD_LIMIT_READ_ONLY,
};

static void *limit_again(void *unused)
{
	(void)unused;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		meet();
		for (size_t i = 0; i < FILES; i++) {
			meet();
			dawdle(FILES / ROUNDS * round);
			if (limit_file(race.fds[i], second_limit))
				race.violations++;
		}
		meet();
	}
	return NULL;
}

TEST_F(limit, of_two_at_once_is_both)
{
	const struct privcmd_limit both = {
		.commands = first_limit.commands & second_limit.commands,
		.dm_ops = first_limit.dm_ops & second_limit.dm_ops,
		.resources = first_limit.resources & second_limit.resources,
		.flags = PRIVCMD_LIMIT_READ_ONLY,
	};
	struct privcmd_limit left;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, limit_again, NULL));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, open_files(race.fds, FILES));
		meet();
		for (size_t i = 0; i < FILES; i++) {
			meet();
			dawdle(i);
			EXPECT_EQ(0, limit_file(race.fds[i], first_limit));
		}
		meet();

		for (size_t i = 0; i < FILES; i++) {
			ASSERT_EQ(0, read_limit(race.fds[i], &left));
			ASSERT_TRUE(is_limit(&both, &left)) {
				TH_LOG("commands %#llx, operations %#llx, resources %#x, flags %u",
				       left.commands, left.dm_ops, left.resources, left.flags);
			}
			ASSERT_EQ(-EPERM, request(race.fds[i], IOCTL_PRIVCMD_HYPERCALL, NULL));
			ASSERT_EQ(-EPERM, request(race.fds[i], IOCTL_PRIVCMD_MMAPBATCH, NULL));
		}
		close_files(race.fds, FILES);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, race.violations);
}

/* A restriction is none of a limit's, and neither loses the other. */
static void *limit_while_restricted(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < FILES; i++) {
		meet();
		dawdle(i % 16);
		if (limit_to_questions(race.fds[i]))
			race.violations++;
	}
	meet();
	return NULL;
}

TEST_F(limit, and_a_restriction_at_once_are_both)
{
	pthread_t thread;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, open_files(race.fds, FILES));
		ASSERT_EQ(0, pthread_create(&thread, NULL, limit_while_restricted, NULL));
		for (size_t i = 0; i < FILES; i++) {
			int ret;

			meet();
			dawdle(round);
			ret = restrict_to(race.fds[i], self->dom);
			/* Too late is not restricted. */
			ASSERT_TRUE(!ret || ret == -EPERM);
			race.answers += !ret;
			race.refusals += ret == -EPERM;
			if (ret)
				continue;
			ASSERT_EQ(-EPERM, nr_vcpus(race.fds[i], self->other));
		}
		meet();
		ASSERT_EQ(0, pthread_join(thread, NULL));
		for (size_t i = 0; i < FILES; i++) {
			ASSERT_EQ(-EPERM, hypercall_xen_version(race.fds[i]));
			ASSERT_EQ(-EPERM, dm_op_nr_vcpus(race.fds[i], self->dom));
			ASSERT_EQ(by_nr_vcpus(3), nr_vcpus(race.fds[i], self->dom));
		}
		close_files(race.fds, FILES);
	}
	EXPECT_EQ(0, race.violations);
	TH_LOG("%u files restricted, %u too late", race.answers, race.refusals);
	EXPECT_LT(0, race.answers);
}

/* Asks until it may not any more, and once more when LIMIT has returned. */
static void *ask_until_limited(void *unused)
{
	int (*const questions[])(int fd, domid_t dom) = { dm_op_nr_vcpus, nr_vcpus };
	const int expected[] = { by_dm_op(3), by_nr_vcpus(3) };

	(void)unused;
	for (size_t i = 0; i < FILES; i++) {
		bool late;

		meet();
		do {
			int ret;

			late = atomic_load(&race.limited) > i;
			ret = questions[i % 2](race.fds[i], race.dom);
			race.answers += ret == expected[i % 2];
			if (late ? ret != -EPERM : ret != -EPERM && ret != expected[i % 2])
				race.violations++;
		} while (!late);
	}
	return NULL;
}

TEST_F(limit, holds_once_it_is_set)
{
	pthread_t thread;

	race.dom = self->dom;
	ASSERT_EQ(0, open_files(race.fds, FILES));
	ASSERT_EQ(0, pthread_create(&thread, NULL, ask_until_limited, NULL));
	for (size_t i = 0; i < FILES; i++) {
		meet();
		/* Time for a question or two. */
		for (size_t j = 0; j < i % 8; j++)
			request(race.fds[i], 0x50ff, NULL);
		ASSERT_EQ(0, (i % 2 ? limit_commands : limit_dm_ops)(race.fds[i], 0));
		atomic_store(&race.limited, i + 1);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, race.violations);
	/* Otherwise it was no race. */
	EXPECT_LT(0, race.answers);
	close_files(race.fds, FILES);
}

/* What a file has left is read as it was before a limit, or as it is after. */
static void *look_until_limited(void *unused)
{
	const struct privcmd_limit all = { ~0ULL, ~0ULL, ~0U, 0 };
	struct privcmd_limit left;

	(void)unused;
	for (size_t i = 0; i < FILES; i++) {
		bool late;

		meet();
		do {
			late = atomic_load(&race.limited) > i;
			if (read_limit(race.fds[i], &left))
				race.violations++;
			else if (is_limit(&left, &second_limit))
				race.refusals++;
			else if (!late && is_limit(&left, &all))
				race.answers++;
			else
				race.violations++;
		} while (!late);
	}
	return NULL;
}

TEST_F(limit, is_seen_whole_or_not_at_all)
{
	pthread_t thread;

	ASSERT_EQ(0, open_files(race.fds, FILES));
	ASSERT_EQ(0, pthread_create(&thread, NULL, look_until_limited, NULL));
	for (size_t i = 0; i < FILES; i++) {
		meet();
		for (size_t j = 0; j < i; j++)
			request(race.fds[i], 0x50ff, NULL);
		ASSERT_EQ(0, limit_file(race.fds[i], second_limit));
		atomic_store(&race.limited, i + 1);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, race.violations);
	EXPECT_LT(0, race.answers);
	EXPECT_LT(0, race.refusals);
	close_files(race.fds, FILES);
}

static void *change_operation(void *unused)
{
	static const __u32 ops[] = { XEN_DMOP_destroy_ioreq_server, DM_OP_NR_VCPUS };

	(void)unused;
	while (!atomic_load(&race.stop)) {
		for (unsigned int i = 0; i < 2; i++) {
			__atomic_store_n((__u32 *)race.memory, ops[i], __ATOMIC_RELAXED);
			/* An emulator may stop this thread nowhere but in a loop. */
			dawdle(8);
		}
	}
	return NULL;
}

/* Buffers 0 of different sizes, and with others. */
static const struct {
	size_t size;
	unsigned int num;
} layouts[] = {
	{ sizeof(struct xen_dm_op), 1 },
	{ sizeof(struct xen_dm_op), 2 },
	{ sizeof(race.memory), 1 },
};

/* The number that was checked is that of the operation that is done. */
TEST_F(operation, is_not_changed_between_check_and_use)
{
	char other[16] = {};
	int success = by_dm_op(0);
	pthread_t thread;

	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << DM_OP_NR_VCPUS));
	ASSERT_EQ(0, pthread_create(&thread, NULL, change_operation, NULL));
	for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
		struct privcmd_dm_op_buf bufs[] = {
			{ .uptr = race.memory, .size = layouts[l].size },
			{ .uptr = other, .size = sizeof(other) },
		};
		unsigned int answers = 0, refusals = 0;

		/* An emulator may run this thread for long before it comes to the other. */
		for (unsigned int i = 0;
		     i < 2000 || (i < 200000 && (!answers || !refusals)); i++) {
			int ret = dm_op(self->fd, self->dom, layouts[l].num, bufs);

			ASSERT_TRUE(ret == success || ret == -EPERM) {
				TH_LOG("DM_OP says %d", ret);
			}
			answers += ret == success;
			refusals += ret == -EPERM;
		}
		/* Otherwise it was no race. */
		EXPECT_LT(0, answers);
		EXPECT_LT(0, refusals);
	}
	atomic_store(&race.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_TRUE(has_all_servers(self->dmod, self->dom));
}

/* Counts where no operation writes, but in its buffer. */
static void *count_in_buffer(void *unused)
{
	__u64 *counter = &race.memory[3];

	(void)unused;
	for (__u64 n = 0; !atomic_load(&race.stop); n++) {
		if (load(counter) != n)
			race.violations++;
		store(counter, n + 1);
		dawdle(8);
	}
	return NULL;
}

/* What another thread wrote meanwhile would be undone. */
TEST_F(operation, writes_only_what_changed)
{
	struct nr_vcpus_op *op = (void *)race.memory;
	int success = by_dm_op(0);
	pthread_t thread;

	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << DM_OP_NR_VCPUS));
	ASSERT_EQ(0, pthread_create(&thread, NULL, count_in_buffer, NULL));
	for (size_t l = 0; l < ARRAY_SIZE(layouts); l++) {
		struct privcmd_dm_op_buf bufs[] = {
			{ .uptr = op, .size = layouts[l].size },
			{ .uptr = &race.memory[2], .size = 32 },
		};
		__u64 start = load(&race.memory[3]);

		/* Until the other thread has counted meanwhile. */
		for (unsigned int i = 0;
		     i < 2000 || (i < 200000 && load(&race.memory[3]) < start + 1000); i++) {
			op->op = DM_OP_NR_VCPUS;
			op->vcpus = 0;
			ASSERT_EQ(success, dm_op(self->fd, self->dom, layouts[l].num, bufs));
			ASSERT_EQ(success ? 0 : SERVERS - 1, op->vcpus);
		}
		EXPECT_LT(start, load(&race.memory[3]));
	}
	atomic_store(&race.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, race.violations);
}

/* ---- Eventfds ---- */

static const struct xen_dm_op msi = { .op = XEN_DMOP_inject_msi };

FIXTURE(eventfd)
{
	struct server server;
	int fd;
	int dom;
	int event;
};

FIXTURE_SETUP(eventfd)
{
	if (!has_limits(_metadata))
		SKIP_FIXTURE(return, NO_LIMITS);
	if (!has_eventfds())
		SKIP_FIXTURE(return, NO_EVENTFDS);
	if (!has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	self->dom = shell_create();
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, server_create(&self->server, self->dom));
	self->fd = self->server.fd;
	self->event = new_eventfd();
}

FIXTURE_TEARDOWN(eventfd)
{
	server_destroy(&self->server);
	EXPECT_EQ(0, domain_destroy(self->dom));
}

TEST_F(eventfd, of_an_interrupt_needs_its_operation)
{
	struct xen_dm_op level = { .op = XEN_DMOP_set_pci_intx_level };
	int second = new_eventfd();

	ASSERT_EQ(0, irqfd(self->fd, self->dom, second, &level, sizeof(level)));
	ASSERT_EQ(0, limit_dm_ops(self->fd, 1ULL << XEN_DMOP_inject_msi));
	EXPECT_EQ(-EPERM, irqfd(self->fd, self->dom, self->event, &level, sizeof(level)));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
	/* What was there stays, and can be ended. */
	EXPECT_EQ(-EBUSY, irqfd(self->fd, self->dom, second, &msi, sizeof(msi)));
	EXPECT_EQ(0, no_irqfd(self->fd, self->dom, second));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, second, &msi, sizeof(msi)));
	ASSERT_EQ(0, limit_dm_ops(self->fd, 0));
	EXPECT_EQ(0, no_irqfd(self->fd, self->dom, self->event));
	EXPECT_EQ(-EPERM, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
}

/* Flags, pointers and operations that are no interrupts: these are looked at before. */
TEST_F(eventfd, of_an_interrupt_is_checked_first)
{
	struct privcmd_irqfd flagged = { .flags = 2, .fd = self->event, .dom = self->dom };

	ASSERT_EQ(0, limit_dm_ops(self->fd, 0));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_IRQFD, NULL));
	EXPECT_EQ(-EINVAL, request(self->fd, IOCTL_PRIVCMD_IRQFD, &flagged));
	EXPECT_EQ(-EFAULT, irqfd(self->fd, self->dom, self->event, NULL, sizeof(msi)));
	EXPECT_EQ(-E2BIG, irqfd(self->fd, self->dom, self->event, &msi, 65));
	EXPECT_EQ(-EPERM, irqfd(self->fd, self->dom, -1, &msi, sizeof(msi)));
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_IRQFD)));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_IRQFD, &flagged));
	EXPECT_EQ(-EPERM, no_irqfd(self->fd, self->dom, self->event));
}

TEST_F(eventfd, of_a_doorbell_needs_ioreq_servers)
{
	struct privcmd_ioeventfd flagged = doorbell(&self->server, self->event, 0);
	int second = new_eventfd();

	flagged.flags = 2;
	ASSERT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, second, 1)));
	ASSERT_EQ(0, limit_resources(self->fd, ~(1U << XENMEM_resource_ioreq_server)));
	EXPECT_EQ(-EPERM, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(-EINVAL, ioeventfd(self->fd, flagged));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_IOEVENTFD, NULL));
	EXPECT_EQ(-ENODEV, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
	EXPECT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, second)));
}

/* Neither operations nor other resources matter. */
TEST_F(eventfd, of_a_doorbell_needs_nothing_else)
{
	ASSERT_EQ(0, limit_file(self->fd, (struct privcmd_limit) {
		.commands = COMMAND(IOCTL_PRIVCMD_IOEVENTFD),
		.resources = 1U << XENMEM_resource_ioreq_server,
	}));
	EXPECT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, self->event)));
}

/* It writes to the ioreq server's page. */
TEST_F(eventfd, of_a_doorbell_is_not_for_reading)
{
	int second = new_eventfd();

	ASSERT_EQ(0, ioeventfd(self->fd, doorbell(&self->server, second, 1)));
	ASSERT_EQ(0, limit_to_reading(self->fd));
	EXPECT_EQ(-EPERM, ioeventfd(self->fd, doorbell(&self->server, self->event, 0)));
	EXPECT_EQ(0, ioeventfd(self->fd, no_doorbell(&self->server, second)));
	EXPECT_EQ(0, irqfd(self->fd, self->dom, self->event, &msi, sizeof(msi)));
}

/* ---- Mappings for reading only ---- */

FIXTURE(reading)
{
	struct target target;
	/* Has PRIVCMD_LIMIT_READ_ONLY. */
	int fd;
	char *map;
};

#define PAGES 2

static int fill_batch_v1(int fd, domid_t dom, const char *map)
{
	const xen_pfn_t pages[PAGES] = { 4, 5 };
	xen_pfn_t frames[PAGES * MOST_FRAMES_PER_PAGE];

	frames_of(pages, PAGES, frames);
	return map_batch_v1(fd, dom, map, PAGES * FRAMES_PER_PAGE, frames);
}

static int fill_batch_v2(int fd, domid_t dom, const char *map)
{
	return map_frames(fd, dom, map, 4, PAGES);
}

static int fill_run(int fd, domid_t dom, const char *map)
{
	return map_run(fd, dom, map, 4, PAGES);
}

static int fill_grants(int fd, domid_t dom, const char *map)
{
	return map_grants(fd, dom, map, 0, PAGES);
}

FIXTURE_VARIANT(reading)
{
	int (*fill)(int fd, domid_t dom, const char *map);
};

FIXTURE_VARIANT_ADD(reading, run) {
	.fill = fill_run,
};

FIXTURE_VARIANT_ADD(reading, batch_v1) {
	.fill = fill_batch_v1,
};

FIXTURE_VARIANT_ADD(reading, batch_v2) {
	.fill = fill_batch_v2,
};

FIXTURE_VARIANT_ADD(reading, resource) {
	.fill = fill_grants,
};

FIXTURE_SETUP(reading)
{
	if (variant->fill == fill_run && on_auto_translated())
		SKIP_FIXTURE(return, FOR_PV_CALLERS);
	if (!has_limits(_metadata))
		SKIP_FIXTURE(return, NO_LIMITS);
	ASSERT_EQ(0, target_create(&self->target));
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	/* It could map otherwise, by hypercalls. */
	ASSERT_EQ(0, limit_commands(self->fd, ~COMMAND(IOCTL_PRIVCMD_HYPERCALL)));
	ASSERT_EQ(0, limit_to_reading(self->fd));
}

FIXTURE_TEARDOWN(reading)
{
	if (self->map)
		EXPECT_EQ(0, munmap(self->map, PAGES * PAGE));
	close(self->fd);
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* Nothing was mapped, and a file that may can. */
static void expect_refused(struct __test_metadata *_metadata, int ret, char *map,
			   const struct target *target)
{
	EXPECT_EQ(-EPERM, ret);
	EXPECT_TRUE(is_empty(map, PAGES));
	EXPECT_TRUE(neighbours_are_untouched(map, PAGES));
	EXPECT_EQ(0, map_frames(target->fd, target->dom, map, 4, PAGES));
	EXPECT_EQ(0, signal_of_writing(map));
}

TEST_F(reading, of_what_can_be_written_is_refused)
{
	self->map = map_file(self->fd, PAGES);
	ASSERT_NE(NULL, self->map);
	expect_refused(_metadata, variant->fill(self->fd, self->target.dom, self->map),
		       self->map, &self->target);
}

TEST_F(reading, of_what_can_be_written_privately_is_refused)
{
	self->map = map_file_as(self->fd, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ASSERT_NE(NULL, self->map);
	EXPECT_EQ(-EPERM, variant->fill(self->fd, self->target.dom, self->map));
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

TEST_F(reading, of_what_can_only_be_written_is_refused)
{
	self->map = map_file_as(self->fd, PAGES, PROT_WRITE, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	EXPECT_EQ(-EPERM, variant->fill(self->fd, self->target.dom, self->map));
	ASSERT_EQ(0, mprotect(self->map, PAGES * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

/* Where another file's mmap() made it. */
TEST_F(reading, into_another_files_mapping_is_refused)
{
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
	expect_refused(_metadata, variant->fill(self->fd, self->target.dom, self->map),
		       self->map, &self->target);
}

/* It became so after mmap(). */
TEST_F(reading, of_what_can_be_written_by_now_is_refused)
{
	self->map = map_file_as(self->fd, PAGES, PROT_READ, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, mprotect(self->map, PAGES * PAGE, PROT_READ | PROT_WRITE));
	expect_refused(_metadata, variant->fill(self->fd, self->target.dom, self->map),
		       self->map, &self->target);
}

/* It shows the frames, and that is all it ever does. */
static void expect_read_only(struct __test_metadata *_metadata, char *map, bool shows_frames)
{
	const int writable[] = {
		PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE | PROT_EXEC,
	};

	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, signal_of_reading(map + i * PAGE));
		if (shows_frames)
			EXPECT_EQ(4 + i, number_of(map + i * PAGE));
		EXPECT_EQ(SIGSEGV, signal_of_writing(map + i * PAGE));
	}
	for (size_t i = 0; i < ARRAY_SIZE(writable); i++) {
		EXPECT_EQ(-1, mprotect(map, PAGES * PAGE, writable[i]));
		EXPECT_EQ(EACCES, errno) {
			TH_LOG("protection %d", writable[i]);
		}
	}
	EXPECT_EQ(0, mprotect(map, PAGES * PAGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, signal_of_writing(map));
}

TEST_F(reading, cannot_become_writing)
{
	self->map = map_file_as(self->fd, PAGES, PROT_READ, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, variant->fill(self->fd, self->target.dom, self->map));
	expect_read_only(_metadata, self->map, variant->fill != fill_grants);
}

TEST_F(reading, cannot_become_writing_of_a_private_mapping)
{
	self->map = map_file_as(self->fd, PAGES, PROT_READ, MAP_PRIVATE);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, variant->fill(self->fd, self->target.dom, self->map));
	expect_read_only(_metadata, self->map, variant->fill != fill_grants);
}

TEST_F(reading, cannot_become_writing_of_another_files_mapping)
{
	self->map = map_file_as(self->target.fd, PAGES, PROT_READ, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, variant->fill(self->fd, self->target.dom, self->map));
	expect_read_only(_metadata, self->map, variant->fill != fill_grants);
}

/* That another file cannot fill it for writing any more is not in its way. */
TEST_F(reading, is_for_what_it_maps_alone)
{
	char *map = map_file(self->target.fd, PAGES);

	ASSERT_NE(NULL, map);
	self->map = map_file_as(self->fd, PAGES, PROT_READ, MAP_SHARED);
	ASSERT_EQ(0, variant->fill(self->fd, self->target.dom, self->map));
	ASSERT_EQ(0, variant->fill(self->target.fd, self->target.dom, map));
	EXPECT_EQ(0, signal_of_writing(map));
	EXPECT_EQ(0, signal_of_writing(self->target.view));
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
}

TEST_F(reading, does_not_stop)
{
	self->map = map_file(self->fd, PAGES);
	ASSERT_NE(NULL, self->map);
	EXPECT_EQ(0, limit_commands(self->fd, ~0ULL));
	EXPECT_EQ(-EPERM, variant->fill(self->fd, self->target.dom, self->map));
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

/* ---- What the kernel counts ---- */

#define TRACING	"/sys/kernel/tracing/"
#define PROBE	"limit_test"
#define EVENT	"p:" PROBE " security_mmap_file n=file->f_mapping->i_mmap_writable.counter\n"

/* Answers with 0, or with a negative errno. */
static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	int ret = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;

	close(fd);
	return ret;
}

/* The kernel's mmap() writes the count into its trace; Linux 6.6 or newer. */
static bool start_tracing(void)
{
	mount("tracefs", TRACING, "tracefs", 0, NULL);
	return !write_to(TRACING "kprobe_events", EVENT) &&
	       !write_to(TRACING "events/kprobes/" PROBE "/enable", "1");
}

static void stop_tracing(void)
{
	write_to(TRACING "events/kprobes/" PROBE "/enable", "0");
	write_to(TRACING "kprobe_events", "-:" PROBE "\n");
}

/* Of all mappings of the device, those that could be written; or a negative errno. */
static int count_of_the_writable(int fd)
{
	char mine[32], line[512];
	int count = -ENOENT;
	char *map, *at;
	FILE *trace;

	map = map_file(fd, 1);
	trace = fopen(TRACING "trace", "r");
	snprintf(mine, sizeof(mine), "-%d ", gettid());
	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, " n=");
		if (strstr(line, mine) && at)
			/* mmap() of no file has no count. */
			sscanf(at, " n=%d", &count);
	}
	if (trace)
		fclose(trace);
	return map && !munmap(map, PAGE) ? count : -EINVAL;
}

/*
 * Of a count that only ever grows the kernel would refuse all that map the device, in
 * the end.
 */
TEST_F(reading, leaves_the_devices_other_mappings_alone)
{
	static const int kinds[] = { MAP_SHARED, MAP_PRIVATE };
	int before;

	if (!start_tracing()) {
		TH_LOG("this kernel does not show what it counts");
		return;
	}
	before = count_of_the_writable(self->fd);
	for (int i = 0; i < 8; i++) {
		char *map = map_file_as(self->fd, PAGES, PROT_READ, kinds[i % 2]);

		/* Twice, of which the second finds it used. */
		EXPECT_EQ(0, variant->fill(self->fd, self->target.dom, map));
		EXPECT_GT(0, variant->fill(self->fd, self->target.dom, map));
		/* One of which nothing can be mapped. */
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
		map = map_file_as(self->fd, PAGES, PROT_READ, kinds[i % 2]);
		variant->fill(self->fd, NO_SUCH_DOMAIN, map);
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	}
	EXPECT_LE(0, before);
	EXPECT_EQ(before, count_of_the_writable(self->fd));
	stop_tracing();
}

TEST_HARNESS_MAIN
