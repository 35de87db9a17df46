// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_RESTRICT: a file that is restricted to a domain stays so,
 * whoever has it and whatever happens to the domain.
 */

#include "mapping.h"
#include "race.h"
#include "rights.h"

#include <xendevicemodel.h>
#include <xentoolcore.h>

/* Xen's name for it is only in the headers of newer versions. */
#define INVALID_DOMID 0x7ff4

FIXTURE(restriction)
{
	int fd;
	int dom;
	int other;
};

FIXTURE_SETUP(restriction)
{
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	self->other = domain_create(DOMAIN_PVH, 5);
	ASSERT_LT(0, self->other);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(restriction)
{
	if (self->dom)
		EXPECT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, domain_destroy(self->other));
	close(self->fd);
}

/* What a file may do that is not restricted. */
static void expect_unrestricted(struct __test_metadata *_metadata, int fd,
				domid_t dom, domid_t other)
{
	EXPECT_EQ(3, ask(fd, dom));
	EXPECT_EQ(5, ask(fd, other));
	EXPECT_LT(0, hypercall_xen_version(fd));
}

/* What it may do when it is restricted to the fixture's first domain. */
static void expect_restricted(struct __test_metadata *_metadata, int fd,
			      domid_t dom, domid_t other)
{
	EXPECT_EQ(3, ask(fd, dom));
	EXPECT_EQ(-EPERM, ask(fd, other));
	EXPECT_EQ(-EPERM, ask(fd, 0));
	EXPECT_EQ(-EPERM, hypercall_xen_version(fd));
}

TEST_F(restriction, leaves_one_domain)
{
	expect_unrestricted(_metadata, self->fd, self->dom, self->other);
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

TEST_F(restriction, can_be_repeated)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(0, restrict_to(self->fd, self->dom));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

TEST_F(restriction, cannot_be_changed)
{
	const domid_t others[] = {
		0, self->other, NO_SUCH_DOMAIN, DOMID_SELF, INVALID_DOMID,
		DOMID_IDLE, 0x8000 | self->dom, 0xffff,
	};

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_EQ(-EINVAL, restrict_to(self->fd, others[i])) {
			TH_LOG("domain %#x", others[i]);
		}
	}
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

TEST_F(restriction, needs_a_good_pointer)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *const bad[] = {
		NULL, memory + page - 1, memory + page, (void *)-1UL,
		(void *)0xffffffff81000000,
	};

	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, munmap(memory + page, page));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_RESTRICT,
					   bad[i])) {
			TH_LOG("address %p", bad[i]);
		}
	}
	expect_unrestricted(_metadata, self->fd, self->dom, self->other);

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_RESTRICT, NULL));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

/* Its argument is only read. */
TEST_F(restriction, takes_a_read_only_argument)
{
	size_t page = sysconf(_SC_PAGESIZE);
	domid_t *dom = mmap(NULL, page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, dom);
	*dom = self->dom;
	ASSERT_EQ(0, mprotect(dom, page, PROT_READ));
	EXPECT_EQ(0, request(self->fd, IOCTL_PRIVCMD_RESTRICT, dom));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

TEST_F(restriction, to_a_pv_domain)
{
	int pv;

	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	pv = domain_create(DOMAIN_PV, 2);
	ASSERT_LT(0, pv);
	ASSERT_EQ(0, restrict_to(self->fd, pv));
	EXPECT_EQ(-EINVAL, ask(self->fd, pv));
	EXPECT_EQ(-EPERM, ask(self->fd, self->dom));
	EXPECT_EQ(0, domain_destroy(pv));
	EXPECT_EQ(-ESRCH, ask(self->fd, pv));
	EXPECT_EQ(-EPERM, ask(self->fd, self->dom));
}

/* Whether there is such a domain is for the hypervisor to say. */
TEST_F(restriction, to_no_domain_leaves_none)
{
	const domid_t none[] = { NO_SUCH_DOMAIN, DOMID_IDLE };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		int fd = privcmd_open();

		ASSERT_LE(0, fd);
		EXPECT_EQ(0, restrict_to(fd, none[i])) {
			TH_LOG("domain %#x", none[i]);
		}
		EXPECT_EQ(-ESRCH, ask(fd, none[i]));
		EXPECT_EQ(-EPERM, ask(fd, self->dom));
		EXPECT_EQ(-EPERM, hypercall_xen_version(fd));
		EXPECT_EQ(-EINVAL, restrict_to(fd, self->dom));
		close(fd);
	}
}

/* Some stand for the caller itself, or for memory of the machine's. */
TEST_F(restriction, to_a_reserved_domid_is_refused)
{
	if (on_stock_driver())
		SKIP(return, "the stock driver takes what reaches the caller's own memory");
	for (unsigned int dom = DOMID_FIRST_RESERVED; dom <= 0xffff; dom++) {
		if (dom == DOMID_IDLE)
			continue;
		ASSERT_EQ(-EINVAL, restrict_to(self->fd, dom)) {
			TH_LOG("domain %#x", dom);
		}
		ASSERT_LT(0, hypercall_xen_version(self->fd));
	}
	expect_unrestricted(_metadata, self->fd, self->dom, self->other);
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

/* It is for files that shall reach nobody, as those of a domU without a target. */
TEST_F(restriction, to_the_idle_domain_reaches_no_memory)
{
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_EQ(0, restrict_to(self->fd, DOMID_IDLE));
	EXPECT_EQ(0, restrict_to(self->fd, DOMID_IDLE));
	EXPECT_EQ(-ESRCH, map_frames(self->fd, DOMID_IDLE, map, 0, 1));
	EXPECT_GT(0, map_grants(self->fd, DOMID_IDLE, map, 0, 1));
	EXPECT_EQ(-EPERM, map_frames(self->fd, DOMID_SELF, map, 0, 1));
	EXPECT_EQ(-EPERM, map_frames(self->fd, self->dom, map, 0, 1));
	EXPECT_TRUE(is_empty(map, 1));
	EXPECT_TRUE(neighbours_are_untouched(map, 1));
	EXPECT_EQ(0, munmap(map, PAGE));
}

TEST_F(restriction, to_the_callers_own_domain)
{
	ASSERT_EQ(0, restrict_to(self->fd, 0));
	EXPECT_EQ(-EPERM, ask(self->fd, 0));
	EXPECT_EQ(-EPERM, ask(self->fd, self->dom));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(-EINVAL, restrict_to(self->fd, self->dom));
}

/*
 * The stock driver takes this id for "not restricted", and says that it
 * succeeded.
 */
TEST_F(restriction, to_domid_invalid_is_none)
{
	EXPECT_EQ(on_stock_driver() ? 0 : -EINVAL,
		  restrict_to(self->fd, INVALID_DOMID));
	expect_unrestricted(_metadata, self->fd, self->dom, self->other);
	EXPECT_EQ(0, restrict_to(self->fd, self->dom));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
}

/* What the file may not do is refused before the argument is looked at. */
TEST_F(restriction, of_hypercalls_precedes_bad_pointers)
{
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
}

TEST_F(restriction, of_dm_ops_precedes_bad_buffers)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_DM_OP, NULL));
	EXPECT_EQ(-E2BIG, dm_op(self->fd, self->dom, 0xffff, NULL));
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->other, 0xffff, NULL));
	EXPECT_EQ(-EFAULT, dm_op(self->fd, self->dom, 1, NULL));
	EXPECT_EQ(-EPERM, dm_op(self->fd, self->other, 1, NULL));
}

TEST_F(restriction, makes_no_commands)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	EXPECT_EQ(-ENOTTY, request(self->fd, 0x50ff, NULL));
	EXPECT_EQ(-ENOTTY, request(self->fd, 0, NULL));
}

TEST_F(restriction, is_of_one_open_file)
{
	int fd = privcmd_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	expect_unrestricted(_metadata, fd, self->dom, self->other);
	EXPECT_EQ(0, restrict_to(fd, self->other));
	EXPECT_EQ(5, ask(fd, self->other));
	EXPECT_EQ(-EPERM, ask(fd, self->dom));
	expect_restricted(_metadata, self->fd, self->dom, self->other);
	close(fd);
}

TEST_F(restriction, is_shared_by_duplicates)
{
	int copy = dup(self->fd);

	ASSERT_LE(0, copy);
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	expect_restricted(_metadata, copy, self->dom, self->other);
	EXPECT_EQ(-EINVAL, restrict_to(copy, self->other));

	ASSERT_EQ(0, close(self->fd));
	self->fd = copy;
	expect_restricted(_metadata, copy, self->dom, self->other);
}

/* In both directions: the child restricts what it was given. */
TEST_F(restriction, is_shared_by_children)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child)
		_exit(restrict_to(self->fd, self->dom) != 0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	expect_restricted(_metadata, self->fd, self->dom, self->other);

	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(ask(self->fd, self->dom) != 3 ||
		      ask(self->fd, self->other) != -EPERM ||
		      hypercall_xen_version(self->fd) != -EPERM ||
		      restrict_to(self->fd, self->other) != -EINVAL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(restriction, is_shared_over_a_socket)
{
	int sockets[2], passed;

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
	ASSERT_EQ(0, send_descriptors(sockets[0], &self->fd, 1));
	passed = receive_descriptor(sockets[1]);
	ASSERT_LT(self->fd, passed);
	ASSERT_EQ(0, close(self->fd));
	self->fd = passed;
	expect_restricted(_metadata, passed, self->dom, self->other);
}

TEST_F(restriction, outlives_the_domain)
{
	domid_t dom = self->dom;

	ASSERT_EQ(0, restrict_to(self->fd, dom));
	ASSERT_EQ(0, domain_destroy(dom));
	self->dom = 0;
	EXPECT_EQ(-ESRCH, ask(self->fd, dom));
	EXPECT_EQ(-EPERM, ask(self->fd, self->other));
	EXPECT_EQ(-EPERM, hypercall_xen_version(self->fd));
	EXPECT_EQ(0, restrict_to(self->fd, dom));
	EXPECT_EQ(-EINVAL, restrict_to(self->fd, self->other));
}

/* As emulators do it that leave it to the libraries. */
TEST_F(restriction, by_the_library)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	unsigned int vcpus = 12345;

	ASSERT_NE(NULL, dmod);
	ASSERT_EQ(0, xentoolcore_restrict_all(self->dom));
	EXPECT_EQ(-1, xendevicemodel_nr_vcpus(dmod, self->other, &vcpus));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(12345, vcpus);
	EXPECT_EQ(by_dm_op(0) ? -1 : 0,
		  xendevicemodel_nr_vcpus(dmod, self->dom, &vcpus));
	EXPECT_EQ(by_dm_op(0) ? 12345 : 3, vcpus);
	xendevicemodel_close(dmod);
}

/* How many races are run, each of them on so many files. */
#define ROUNDS 16
#define FILES 64

/* What the two threads of a race share. */
static struct {
	atomic_uint restricted;
	atomic_bool stop;
	int fds[FILES];
	int results[FILES];
	domid_t dom;
	domid_t other;
	/* What the two commands say where they may ask about that one. */
	int expected[2];
	unsigned int answers;
	unsigned int violations;
	struct privcmd_dm_nr_vcpus typed;
	struct privcmd_dm_op untyped;
} race;

static void *restrict_to_other(void *unused)
{
	(void)unused;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		meet();
		for (size_t i = 0; i < FILES; i++) {
			meet();
			dawdle(FILES / ROUNDS * round);
			race.results[i] = restrict_to(race.fds[i], race.other);
		}
		meet();
	}
	return NULL;
}

TEST_F(restriction, of_two_at_once_is_one)
{
	unsigned int first = 0, second = 0, both = 0;
	int results[FILES];
	pthread_t thread;

	race.other = self->other;
	ASSERT_EQ(0, pthread_create(&thread, NULL, restrict_to_other, NULL));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, open_files(race.fds, FILES));
		meet();
		for (size_t i = 0; i < FILES; i++) {
			meet();
			dawdle(i);
			results[i] = restrict_to(race.fds[i], self->dom);
		}
		meet();

		for (size_t i = 0; i < FILES; i++) {
			if (!results[i] && !race.results[i]) {
				both++;
			} else if (!results[i]) {
				ASSERT_EQ(-EINVAL, race.results[i]);
				ASSERT_EQ(3, ask(race.fds[i], self->dom));
				ASSERT_EQ(-EPERM, ask(race.fds[i], self->other));
				first++;
			} else {
				ASSERT_EQ(-EINVAL, results[i]);
				ASSERT_EQ(0, race.results[i]);
				ASSERT_EQ(-EPERM, ask(race.fds[i], self->dom));
				ASSERT_EQ(5, ask(race.fds[i], self->other));
				second++;
			}
		}
		close_files(race.fds, FILES);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("first won %u times, second %u, both %u", first, second, both);

	/* Otherwise it was no race. */
	EXPECT_LT(0, first);
	EXPECT_LT(0, second);
	/* The stock driver can let both have it. */
	if (!on_stock_driver())
		EXPECT_EQ(0, both);
}

/*
 * Asks about a domain that a file is about to be restricted from, from before
 * until after.
 */
static void *ask_until_restricted(void *unused)
{
	int (*const commands[])(int fd, domid_t dom) = {
		dm_op_nr_vcpus,
		on_stock_driver() ? dm_op_nr_vcpus : nr_vcpus,
	};

	(void)unused;
	for (size_t i = 0; i < FILES; i++) {
		bool late;

		meet();
		do {
			int ret;

			late = atomic_load(&race.restricted) > i;
			ret = commands[i % 2](race.fds[i], race.other);
			if (ret == race.expected[i % 2])
				race.answers++;
			if (late && ret != -EPERM)
				race.violations++;
		} while (!late);
	}
	return NULL;
}

TEST_F(restriction, holds_once_it_is_set)
{
	pthread_t thread;

	race.other = self->other;
	race.expected[0] = by_dm_op(5);
	race.expected[1] = on_stock_driver() ? by_dm_op(5) : by_nr_vcpus(5);
	ASSERT_EQ(0, open_files(race.fds, FILES));
	ASSERT_EQ(0, pthread_create(&thread, NULL, ask_until_restricted, NULL));
	for (size_t i = 0; i < FILES; i++) {
		meet();
		/* Time for a question or two. */
		for (size_t j = 0; j < i % 8; j++)
			request(race.fds[i], 0x50ff, NULL);
		ASSERT_EQ(0, restrict_to(race.fds[i], self->dom));
		atomic_store(&race.restricted, i + 1);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, race.violations);
	/* Otherwise it was no race. */
	EXPECT_LT(0, race.answers);
	close_files(race.fds, FILES);
}

static void *change_argument(void *unused)
{
	const domid_t doms[] = { race.other, race.dom };

	(void)unused;
	while (!atomic_load(&race.stop)) {
		for (unsigned int i = 0; i < 2; i++) {
			__atomic_store_n(&race.typed.dom, doms[i],
					 __ATOMIC_RELAXED);
			__atomic_store_n(&race.untyped.dom, doms[i],
					 __ATOMIC_RELAXED);
			/* An emulator may stop this thread nowhere but in a loop. */
			dawdle(8);
		}
	}
	return NULL;
}

/* A domain that is checked and then read again could be another one. */
TEST_F(restriction, is_not_evaded_by_changing_the_argument)
{
	struct nr_vcpus_op op = { .op = DM_OP_NR_VCPUS };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };
	int by_op = by_dm_op(3), by_command = by_nr_vcpus(3);
	unsigned int answers = 0, refusals = 0;
	pthread_t thread;

	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	race.dom = self->dom;
	race.other = self->other;
	race.untyped.num = 1;
	race.untyped.ubufs = &buf;
	ASSERT_EQ(0, pthread_create(&thread, NULL, change_argument, NULL));
	/* An emulator may run this thread for long before it comes to the other one. */
	for (unsigned int i = 0; i < 2000 || (i < 200000 && (!answers || !refusals)); i++) {
		int ret;

		ret = request(self->fd, IOCTL_PRIVCMD_DM_OP, &race.untyped);
		if (ret == 0)
			ret = op.vcpus;
		ASSERT_TRUE(ret == by_op || ret == -EPERM) {
			TH_LOG("DM_OP says %d", ret);
		}
		answers += ret == by_op;
		refusals += ret == -EPERM;
		if (on_stock_driver())
			continue;

		ret = request(self->fd, IOCTL_PRIVCMD_DM_NR_VCPUS,
			      &race.typed);
		if (ret == 0)
			ret = race.typed.vcpus;
		ASSERT_TRUE(ret == by_command || ret == -EPERM) {
			TH_LOG("DM_NR_VCPUS says %d", ret);
		}
	}
	atomic_store(&race.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	/* Otherwise it was no race. */
	EXPECT_LT(0, answers);
	EXPECT_LT(0, refusals);
}

TEST_HARNESS_MAIN
