// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file that is restricted to a domain ends with it.  No other domain gets the domid
 * while the file is open; once the domain is destroyed each request fails with ESRCH,
 * and poll() says EPOLLHUP.
 */

#include "eventfd.h"
#include "race.h"
#include "rights.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <xentoolcore.h>

#define NOT_HELD_BY_STOCK \
	"the stock driver lets the domain go, and the file reaches the next one"

/* Far from those that Xen hands out by itself in a test run. */
#define FIRST_DOMID	0x4000

/* ---- Domains that a test chooses the domid of ---- */

static domid_t unused_domid(void)
{
	domid_t dom = FIRST_DOMID;

	while (domain_exists(dom))
		dom++;
	return dom;
}

static int create(enum domain_type type, unsigned int vcpus)
{
	return domain_create_as(type, vcpus, unused_domid());
}

/*
 * Another domain, with a domid that was used before.  Answers with that, or with a
 * negative errno: -EEXIST if something goes on to hold the earlier domain.
 */
static int create_again(enum domain_type type, domid_t dom)
{
	int ret;

	(void)SOON((ret = domain_create_as(type, 5, dom)) != -EEXIST);
	return ret;
}

/* The vCPUs that xc_domain_create() only allows for.  Answers with 0 or a negative errno. */
static int add_vcpus(domid_t dom, unsigned int vcpus)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = xc_domain_max_vcpus(xch, dom, vcpus) ? -errno : 0;

	xc_interface_close(xch);
	return ret;
}

/* Where a guest has a frame of its grant table, beyond all of its memory. */
#define GRANTS		0x1000

/*
 * What a guest can do to its grant table: it has the first frame in its memory, and
 * gives it back.  Nobody can map it any more.  Answers with 0 or a negative errno.
 */
static int spoil_grants(domid_t dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_pfn_t frame = GRANTS;
	int ret = 0;

	if (xc_domain_add_to_physmap(xch, dom, XENMAPSPACE_grant_table, 0, frame) ||
	    xc_domain_decrease_reservation_exact(xch, dom, 1, 0, &frame))
		ret = -errno;
	xc_interface_close(xch);
	return ret;
}

/* ---- What a file says ---- */

/* The events of a file, now; or a negative errno. */
static int events_of(int fd)
{
	struct pollfd pollfd = {
		.fd = fd,
		.events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP,
	};

	return poll(&pollfd, 1, 0) < 0 ? -errno : pollfd.revents;
}

/* A line that /proc has of a file. */
static const char *info_of(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return proc_line(path, name);
}

static void expect_info(struct __test_metadata *_metadata, int fd, domid_t dom,
			const char *state)
{
	char domid[16];

	snprintf(domid, sizeof(domid), "%u", dom);
	EXPECT_STREQ(domid, info_of(fd, "domid"));
	EXPECT_STREQ(state, info_of(fd, "state"));
}

/* The file is bound to a domain, which answers. */
static void expect_live(struct __test_metadata *_metadata, int fd, domid_t dom, int answer)
{
	EXPECT_EQ(answer, ask(fd, dom));
	EXPECT_EQ(0, events_of(fd));
	expect_info(_metadata, fd, dom, "bound, held by the kernel");
}

/* The domain is no more. */
static void expect_dead(struct __test_metadata *_metadata, int fd, domid_t dom)
{
	EXPECT_EQ(-ESRCH, ask(fd, dom));
	EXPECT_EQ(POLLHUP, events_of(fd));
	EXPECT_EQ(-EPERM, ask(fd, 0));
	EXPECT_EQ(-EPERM, ask(fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, hypercall_xen_version(fd));
	EXPECT_EQ(0, restrict_to(fd, dom));
	EXPECT_EQ(-EINVAL, restrict_to(fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(0, dm_op(fd, dom, 0, NULL));
}

static int open_restricted(domid_t dom)
{
	int fd = privcmd_open();
	int ret = fd < 0 ? fd : restrict_to(fd, dom);

	if (ret)
		close(fd);
	return ret ?: fd;
}

/* ---- A domain of each type ---- */

FIXTURE(domain)
{
	int dom;
	int fd;
	/* What the question is answered with. */
	int answer;
};

FIXTURE_VARIANT(domain)
{
	enum domain_type type;
};

FIXTURE_VARIANT_ADD(domain, hvm) {
	.type = DOMAIN_HVM,
};

FIXTURE_VARIANT_ADD(domain, pvh) {
	.type = DOMAIN_PVH,
};

FIXTURE_VARIANT_ADD(domain, pv) {
	.type = DOMAIN_PV,
};

FIXTURE_SETUP(domain)
{
	if (!domain_can_be(variant->type))
		SKIP_FIXTURE(return, NO_SUCH_TYPE);
	if (on_stock_driver())
		SKIP_FIXTURE(return, NOT_HELD_BY_STOCK);
	self->dom = create(variant->type, 3);
	ASSERT_LT(0, self->dom);
	self->fd = open_restricted(self->dom);
	ASSERT_LE(0, self->fd);
	/* DM_OP is not for PV domains. */
	self->answer = variant->type == DOMAIN_PV ? -EINVAL : 3;
	expect_live(_metadata, self->fd, self->dom, self->answer);
}

FIXTURE_TEARDOWN(domain)
{
	close(self->fd);
	domain_destroy(self->dom);
}

TEST_F(domain, keeps_its_domid_while_a_file_is_open)
{
	ASSERT_EQ(0, domain_destroy(self->dom));
	expect_dead(_metadata, self->fd, self->dom);
	expect_info(_metadata, self->fd, self->dom, "gone, held by the kernel");
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(-EEXIST, domain_create_as(variant->type, 5, self->dom));
		usleep(10000);
	}
	expect_dead(_metadata, self->fd, self->dom);

	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(self->dom, create_again(variant->type, self->dom));
	self->fd = open_restricted(self->dom);
	ASSERT_LE(0, self->fd);
	expect_live(_metadata, self->fd, self->dom,
		    variant->type == DOMAIN_PV ? self->answer : 5);
}

/* Before its destroyer goes on; a question that came late would sometimes be early. */
TEST_F(domain, ends_its_files_before_destroy_returns)
{
	for (int i = 0; i < 8; i++) {
		int dom = create(variant->type, 3);
		int fd = open_restricted(dom);

		ASSERT_LE(0, fd);
		ASSERT_EQ(self->answer, ask(fd, dom));
		ASSERT_EQ(0, domain_destroy(dom));
		ASSERT_EQ(-ESRCH, ask(fd, dom));
		ASSERT_EQ(POLLHUP, events_of(fd));
		close(fd);
	}
	expect_live(_metadata, self->fd, self->dom, self->answer);
}

TEST_F(domain, ends_its_files_when_nobody_saw_it_die)
{
	ASSERT_EQ(0, domain_destroy_by_multicall(self->dom));
	EXPECT_TRUE(SOON(events_of(self->fd) == POLLHUP));
	expect_dead(_metadata, self->fd, self->dom);
	EXPECT_EQ(-EEXIST, domain_create_as(variant->type, 5, self->dom));
}

/* The kernel asks each second: twice in so many tenths of one. */
#define TWO_QUESTIONS	25

/* What a domain may go through and is not dead.  Each answers with 0 or a negative errno. */

static int has_vcpus(int dom)
{
	return add_vcpus(dom, 3);
}

static int is_paused_and_resumed(int dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = 0;

	/* It is created paused, and without vCPUs nothing runs. */
	if (xc_domain_unpause(xch, dom) || xc_domain_pause(xch, dom))
		ret = -errno;
	xc_interface_close(xch);
	return ret;
}

/* With vCPUs, which stop. */
static int shut_down(int dom, int reason)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = add_vcpus(dom, 3);

	if (!ret && xc_domain_shutdown(xch, dom, reason))
		ret = -errno;
	xc_interface_close(xch);
	return ret;
}

static int is_shut_down(int dom)
{
	return shut_down(dom, SHUTDOWN_poweroff);
}

static int crashed(int dom)
{
	return shut_down(dom, SHUTDOWN_crash);
}

/* It may fail, and then Xen has the domain crash; it is the same domain still. */
static int is_softly_reset(int dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = shut_down(dom, SHUTDOWN_soft_reset);

	if (!ret)
		(void)xc_domain_soft_reset(xch, dom);
	xc_interface_close(xch);
	return ret;
}

/* As a guest does it that starts another kernel: all its event channels are closed. */
static int event_channels_are_reset(int dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = xc_evtchn_reset(xch, dom) ? -errno : 0;

	xc_interface_close(xch);
	return ret;
}

static const struct life {
	const char *name;
	int (*lead)(int dom);
} lives[] = {
	{ "has vCPUs", has_vcpus },
	{ "is paused and resumed", is_paused_and_resumed },
	{ "is shut down", is_shut_down },
	{ "crashed", crashed },
	{ "is softly reset", is_softly_reset },
	{ "has its event channels reset", event_channels_are_reset },
};

/* A domain that does not run, or does otherwise, is not a dead one; nor is one that waits. */
TEST_F(domain, lives_on_whatever_becomes_of_it)
{
	const size_t nr = ARRAY_SIZE(lives);
	int doms[ARRAY_SIZE(lives) + 1], fds[ARRAY_SIZE(lives) + 1];

	for (size_t i = 0; i < nr; i++) {
		doms[i] = create(variant->type, 3);
		ASSERT_LT(0, doms[i]);
		fds[i] = open_restricted(doms[i]);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, lives[i].lead(doms[i])) {
			TH_LOG("a domain that %s", lives[i].name);
		}
	}
	doms[nr] = self->dom;
	fds[nr] = self->fd;
	/* Once more, after the kernel has asked. */
	usleep(1500000);
	ASSERT_EQ(0, event_channels_are_reset(doms[nr - 1]));
	for (int i = 0; i < TWO_QUESTIONS; i++) {
		for (size_t j = 0; j <= nr; j++) {
			ASSERT_EQ(0, events_of(fds[j])) {
				TH_LOG("a domain that %s", j < nr ? lives[j].name : "waits");
			}
		}
		usleep(100000);
	}
	for (size_t i = 0; i <= nr; i++) {
		expect_live(_metadata, fds[i], doms[i], self->answer);
		ASSERT_EQ(0, domain_destroy(doms[i]));
		expect_dead(_metadata, fds[i], doms[i]);
	}
	for (size_t i = 0; i < nr; i++)
		close(fds[i]);
}

/* ---- Domains of all types at once ---- */

static const enum domain_type types[] = { DOMAIN_HVM, DOMAIN_PVH, DOMAIN_PV };

/* One of each that there can be, with a restricted file.  Returns how many. */
static size_t create_each_type(struct __test_metadata *_metadata, int *doms, int *fds)
{
	size_t nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!domain_can_be(types[i]))
			continue;
		doms[nr] = create(types[i], 3);
		EXPECT_LT(0, doms[nr]);
		fds[nr] = open_restricted(doms[nr]);
		EXPECT_LE(0, fds[nr]);
		nr++;
	}
	return nr;
}

/* Nobody sees it. */
static void expect_to_die(struct __test_metadata *_metadata, const int *doms, const int *fds,
			  size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		EXPECT_EQ(0, domain_destroy_by_multicall(doms[i]));
	for (size_t i = 0; i < nr; i++) {
		EXPECT_TRUE(SOON(events_of(fds[i]) == POLLHUP));
		close(fds[i]);
	}
}

/* After they were looked at for some time, and after others' death. */
TEST(all_types_end_their_files_when_nobody_saw_them_die_later)
{
	int doms[ARRAY_SIZE(types)], fds[ARRAY_SIZE(types)];
	int others[ARRAY_SIZE(types)], other_fds[ARRAY_SIZE(types)];
	size_t nr;

	if (on_stock_driver())
		SKIP(return, NOT_HELD_BY_STOCK);
	nr = create_each_type(_metadata, doms, fds);
	ASSERT_LT(0, nr);
	ASSERT_EQ(nr, create_each_type(_metadata, others, other_fds));
	sleep(3);
	expect_to_die(_metadata, others, other_fds, nr);
	for (size_t i = 0; i < nr; i++)
		EXPECT_EQ(0, events_of(fds[i]));
	expect_to_die(_metadata, doms, fds, nr);

	/* And after there was none to look at. */
	usleep(1500000);
	ASSERT_EQ(nr, create_each_type(_metadata, doms, fds));
	expect_to_die(_metadata, doms, fds, nr);
}

/* ---- How far a toolstack came before it destroys the domain ---- */

FIXTURE(half_built)
{
	int dom;
	int fd;
};

FIXTURE_VARIANT(half_built)
{
	unsigned int vcpus;
	bool memory;
};

FIXTURE_VARIANT_ADD(half_built, bare) {
};

FIXTURE_VARIANT_ADD(half_built, with_vcpus) {
	.vcpus = 3,
};

FIXTURE_VARIANT_ADD(half_built, with_memory) {
	.memory = true,
};

FIXTURE_VARIANT_ADD(half_built, with_both) {
	.vcpus = 3,
	.memory = true,
};

FIXTURE_SETUP(half_built)
{
	if (on_stock_driver())
		SKIP_FIXTURE(return, NOT_HELD_BY_STOCK);
	self->dom = create(DOMAIN_PVH, 3);
	ASSERT_LT(0, self->dom);
	if (variant->vcpus)
		ASSERT_EQ(0, add_vcpus(self->dom, variant->vcpus));
	if (variant->memory)
		ASSERT_EQ(0, populate(self->dom));
	self->fd = -1;
}

FIXTURE_TEARDOWN(half_built)
{
	close(self->fd);
	domain_destroy(self->dom);
}

TEST_F(half_built, domain_can_be_held_and_destroyed)
{
	self->fd = open_restricted(self->dom);
	ASSERT_LE(0, self->fd);
	expect_live(_metadata, self->fd, self->dom, 3);
	ASSERT_EQ(0, domain_destroy(self->dom));
	expect_dead(_metadata, self->fd, self->dom);
	EXPECT_EQ(-EEXIST, domain_create_as(DOMAIN_PVH, 5, self->dom));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(self->dom, create_again(DOMAIN_PVH, self->dom));
}

/* ---- Who has the file ---- */

FIXTURE(file)
{
	int dom;
	int other;
	/* The one is restricted to the domain. */
	int fd;
	int free;
};

FIXTURE_SETUP(file)
{
	if (on_stock_driver())
		SKIP_FIXTURE(return, NOT_HELD_BY_STOCK);
	self->dom = create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	self->other = create(DOMAIN_PVH, 4);
	ASSERT_LT(0, self->other);
	self->fd = open_restricted(self->dom);
	ASSERT_LE(0, self->fd);
	self->free = privcmd_open();
	ASSERT_LE(0, self->free);
}

FIXTURE_TEARDOWN(file)
{
	close(self->fd);
	close(self->free);
	domain_destroy(self->dom);
	domain_destroy(self->other);
}

/* What a file may do that is not restricted. */
static void expect_free(struct __test_metadata *_metadata, int fd, domid_t dom, domid_t other)
{
	EXPECT_EQ(3, ask(fd, dom));
	EXPECT_EQ(4, ask(fd, other));
	EXPECT_LT(0, hypercall_xen_version(fd));
	EXPECT_EQ(0, events_of(fd));
	EXPECT_STREQ("", info_of(fd, "domid"));
	EXPECT_STREQ("free", info_of(fd, "state"));
}

static bool is_held(domid_t dom)
{
	/* If it were not, it could take a moment to go. */
	usleep(100000);
	return domain_create_as(DOMAIN_HVM, 5, dom) == -EEXIST;
}

#define EXPECT_HELD()		EXPECT_TRUE(is_held(self->dom))
#define EXPECT_LET_GO()		EXPECT_EQ(self->dom, create_again(DOMAIN_HVM, self->dom))

TEST_F(file, is_the_last_of_two)
{
	int second = open_restricted(self->dom);

	ASSERT_LE(0, second);
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	ASSERT_EQ(0, close(self->fd));
	EXPECT_HELD();
	expect_dead(_metadata, second, self->dom);
	ASSERT_EQ(0, close(second));
	self->fd = -1;
	EXPECT_LET_GO();
}

TEST_F(file, is_the_first_of_two)
{
	int second = open_restricted(self->dom);

	ASSERT_LE(0, second);
	/* While the domain lives. */
	ASSERT_EQ(0, close(second));
	expect_live(_metadata, self->fd, self->dom, 3);
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	expect_dead(_metadata, self->fd, self->dom);
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_LET_GO();
}

TEST_F(file, has_a_duplicate)
{
	int copy = dup(self->fd);

	ASSERT_LE(0, copy);
	ASSERT_EQ(0, close(self->fd));
	self->fd = copy;
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	expect_dead(_metadata, copy, self->dom);
	ASSERT_EQ(0, close(copy));
	self->fd = -1;
	EXPECT_LET_GO();
}

TEST_F(file, is_a_childs)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_LET_GO();
	ASSERT_EQ(child, waitpid(child, NULL, 0));
}

TEST_F(file, is_passed_over_a_socket)
{
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
	ASSERT_EQ(0, send_descriptors(sockets[0], &self->fd, 1));
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	self->fd = receive_descriptor(sockets[1]);
	ASSERT_LE(0, self->fd);
	expect_dead(_metadata, self->fd, self->dom);
	EXPECT_HELD();
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_LET_GO();
}

TEST_F(file, waits_in_a_socket_that_is_closed)
{
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
	ASSERT_EQ(0, send_descriptors(sockets[0], &self->fd, 1));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, domain_destroy(self->dom));
	ASSERT_EQ(0, close(sockets[0]));
	EXPECT_HELD();
	ASSERT_EQ(0, close(sockets[1]));
	EXPECT_LET_GO();
}

/* Each end of a socket that is closed has the kernel look for such garbage. */
static void collect_sockets(void)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets))
		return;
	close(sockets[0]);
	close(sockets[1]);
}

/* In the queue of a socket that is in its own queue. */
TEST_F(file, waits_in_a_socket_that_is_garbage)
{
	int sockets[2], fds[2], ret;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets));
	fds[0] = self->fd;
	fds[1] = sockets[1];
	ASSERT_EQ(0, send_descriptors(sockets[0], fds, 2));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	ASSERT_EQ(0, close(sockets[0]));
	ASSERT_EQ(0, close(sockets[1]));
	EXPECT_TRUE(SOON((collect_sockets(),
			  (ret = domain_create_as(DOMAIN_HVM, 5, self->dom)) != -EEXIST)));
	EXPECT_EQ(self->dom, ret);
}

/* The mapping shows nothing, which by itself would hold the domain. */
TEST_F(file, has_a_mapping)
{
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_HELD();
	EXPECT_TRUE(is_empty(map, 1));
	ASSERT_EQ(0, munmap(map, PAGE));
	EXPECT_LET_GO();
}

TEST_F(file, has_a_mapping_of_the_domain)
{
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, map_grants(self->fd, self->dom, map, 0, 1));
	store(map + 64, 12345);
	ASSERT_EQ(0, domain_destroy(self->dom));
	expect_dead(_metadata, self->fd, self->dom);
	EXPECT_EQ(12345, load(map + 64));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_HELD();
	ASSERT_EQ(0, munmap(map, PAGE));
	EXPECT_LET_GO();
}

/* ---- What a file says when its domain is dead ---- */

TEST_F(file, is_dead_as_all_of_the_domains_are)
{
	int fds[8], other = open_restricted(self->other);

	ASSERT_LE(0, other);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_restricted(self->dom);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, domain_destroy(self->dom));
	expect_dead(_metadata, self->fd, self->dom);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		expect_dead(_metadata, fds[i], self->dom);
	expect_live(_metadata, other, self->other, 4);
	EXPECT_EQ(4, ask(self->free, self->other));
	EXPECT_LT(0, hypercall_xen_version(self->free));
	EXPECT_EQ(0, events_of(self->free));

	ASSERT_EQ(0, domain_destroy(self->other));
	expect_dead(_metadata, other, self->other);
	EXPECT_EQ(-EPERM, ask(other, self->dom));
	EXPECT_EQ(-EPERM, ask(self->fd, self->other));
	close(other);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Of a command that reaches a domain. */
struct reach {
	unsigned int cmd;
	int (*ask)(int fd, domid_t dom, char *map);
};

static int by_batch_v1(int fd, domid_t dom, char *map)
{
	xen_pfn_t frames[MOST_FRAMES_PER_PAGE] = { 1 };

	return map_batch_v1(fd, dom, map, FRAMES_PER_PAGE, frames);
}

static int by_batch_v2(int fd, domid_t dom, char *map)
{
	return map_frames(fd, dom, map, 0, 1);
}

static int by_run(int fd, domid_t dom, char *map)
{
	return map_run(fd, dom, map, 0, 1);
}

static int by_resource(int fd, domid_t dom, char *map)
{
	return map_grants(fd, dom, map, 0, 1);
}

static int by_size(int fd, domid_t dom, char *map)
{
	struct privcmd_mmap_resource arg = {
		.dom = dom,
		.type = XENMEM_resource_grant_table,
	};

	(void)map;
	return request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg);
}

static int by_operation(int fd, domid_t dom, char *map)
{
	(void)map;
	return dm_op_nr_vcpus(fd, dom);
}

static int by_question(int fd, domid_t dom, char *map)
{
	(void)map;
	return nr_vcpus(fd, dom);
}

static int by_question_with_pad(int fd, domid_t dom, char *map)
{
	(void)map;
	return nr_vcpus_padded(fd, dom, 1);
}

static const struct reach reaches[] = {
	{ IOCTL_PRIVCMD_MMAPBATCH, by_batch_v1 },
	{ IOCTL_PRIVCMD_MMAPBATCH_V2, by_batch_v2 },
	{ IOCTL_PRIVCMD_MMAP, by_run },
	{ IOCTL_PRIVCMD_MMAP_RESOURCE, by_resource },
	{ IOCTL_PRIVCMD_MMAP_RESOURCE, by_size },
	{ IOCTL_PRIVCMD_DM_OP, by_operation },
	{ IOCTL_PRIVCMD_DM_NR_VCPUS, by_question },
	{ IOCTL_PRIVCMD_DM_NR_VCPUS, by_question_with_pad },
};

/* First a bad pointer, then another domain, then the death, then all else. */
TEST_F(file, says_by_each_command_that_it_is_dead)
{
	char *map = map_file(self->fd, 1);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, domain_destroy(self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(reaches); i++) {
		if (reaches[i].cmd == IOCTL_PRIVCMD_MMAP && on_auto_translated())
			continue;
		EXPECT_EQ(-EFAULT, request(self->fd, reaches[i].cmd, NULL));
		EXPECT_EQ(-EPERM, reaches[i].ask(self->fd, self->other, map));
		EXPECT_EQ(-ESRCH, reaches[i].ask(self->fd, self->dom, map)) {
			TH_LOG("request %zu", i);
		}
	}
	EXPECT_TRUE(is_empty(map, 1));
	EXPECT_TRUE(neighbours_are_untouched(map, 1));
	EXPECT_EQ(-EFAULT, request(self->fd, IOCTL_PRIVCMD_RESTRICT, NULL));
	EXPECT_EQ(-EPERM, request(self->fd, IOCTL_PRIVCMD_HYPERCALL, NULL));
	EXPECT_EQ(-ENOTTY, request(self->fd, 0x50ff, NULL));
	EXPECT_EQ(0, munmap(map, PAGE));
}

/* It did not begin with the restriction, and the file does not keep the domain. */
TEST_F(file, is_free_and_has_no_part_in_it)
{
	expect_free(_metadata, self->free, self->dom, self->other);
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, events_of(self->free));
	EXPECT_LET_GO();
	EXPECT_EQ(5, ask(self->free, self->dom));
	EXPECT_EQ(0, events_of(self->free));
}

/* ---- What a file says when there was no domain to begin with ---- */

TEST_F(file, of_no_domain_is_dead_for_ever)
{
	domid_t nobody = unused_domid();
	int fd = open_restricted(nobody), second;

	ASSERT_LE(0, fd);
	expect_dead(_metadata, fd, nobody);
	expect_info(_metadata, fd, nobody, "gone, not held by the kernel");
	ASSERT_EQ(nobody, domain_create_as(DOMAIN_HVM, 5, nobody));
	expect_dead(_metadata, fd, nobody);

	/* That one is another's. */
	second = open_restricted(nobody);
	ASSERT_LE(0, second);
	expect_live(_metadata, second, nobody, 5);
	expect_dead(_metadata, fd, nobody);
	ASSERT_EQ(0, close(fd));
	expect_live(_metadata, second, nobody, 5);
	ASSERT_EQ(0, domain_destroy(nobody));
	expect_dead(_metadata, second, nobody);
	close(second);
}

TEST_F(file, of_the_idle_domain_is_not_dead)
{
	ASSERT_EQ(0, restrict_to(self->free, DOMID_IDLE));
	EXPECT_EQ(0, events_of(self->free));
	EXPECT_EQ(-ESRCH, ask(self->free, DOMID_IDLE));
	EXPECT_EQ(-EPERM, ask(self->free, self->dom));
}

/* The file of a domain that is dead is not the only one that holds it. */
TEST_F(file, of_a_zombie_is_dead)
{
	char *map = map_file(self->free, 1);
	int fd = privcmd_open();

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, map_grants(self->free, self->other, map, 0, 1));
	ASSERT_EQ(0, domain_destroy(self->other));
	ASSERT_TRUE(is_held(self->other));
	ASSERT_EQ(0, restrict_to(fd, self->other));
	expect_dead(_metadata, fd, self->other);
	ASSERT_EQ(0, munmap(map, PAGE));
	expect_dead(_metadata, fd, self->other);
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(self->other, create_again(DOMAIN_HVM, self->other));
}

TEST_F(file, of_a_zombie_that_a_file_holds_is_dead)
{
	ASSERT_EQ(0, domain_destroy(self->dom));
	ASSERT_EQ(0, restrict_to(self->free, self->dom));
	expect_dead(_metadata, self->free, self->dom);
	ASSERT_EQ(0, close(self->fd));
	expect_dead(_metadata, self->free, self->dom);
	self->fd = -1;
	ASSERT_EQ(0, close(self->free));
	self->free = -1;
	EXPECT_LET_GO();
}

/* ---- What a guest can do against it ---- */

TEST_F(file, is_not_restricted_when_the_guest_forestalled_it)
{
	ASSERT_EQ(0, populate(self->other));
	ASSERT_EQ(0, spoil_grants(self->other));
	EXPECT_EQ(-EBUSY, restrict_to(self->free, self->other));
	expect_free(_metadata, self->free, self->dom, self->other);
	EXPECT_EQ(-EBUSY, restrict_to(self->free, self->other));
	EXPECT_EQ(0, restrict_to(self->free, self->dom));
	expect_live(_metadata, self->free, self->dom, 3);
	EXPECT_EQ(-EPERM, ask(self->free, self->other));

	/* What failed holds nothing. */
	ASSERT_EQ(0, domain_destroy(self->other));
	EXPECT_EQ(self->other, create_again(DOMAIN_HVM, self->other));
}

TEST_F(file, holds_what_the_guest_gives_back_later)
{
	ASSERT_EQ(0, populate(self->dom));
	ASSERT_EQ(0, spoil_grants(self->dom));
	expect_live(_metadata, self->fd, self->dom, 3);
	/* One hold is for all files. */
	EXPECT_EQ(0, restrict_to(self->free, self->dom));
	expect_live(_metadata, self->free, self->dom, 3);
	ASSERT_EQ(0, domain_destroy(self->dom));
	expect_dead(_metadata, self->fd, self->dom);
	expect_dead(_metadata, self->free, self->dom);
	EXPECT_HELD();
	ASSERT_EQ(0, close(self->fd));
	EXPECT_HELD();
	ASSERT_EQ(0, close(self->free));
	self->fd = -1;
	self->free = -1;
	EXPECT_LET_GO();
}

/* Whether the library's handle may name a domain. */
static bool may_name(xendevicemodel_handle *dmod, domid_t dom)
{
	unsigned int vcpus;

	return !xendevicemodel_nr_vcpus(dmod, dom, &vcpus) || errno != EPERM;
}

/* The library stops there: a client must exit then. */
TEST_F(file, leaves_other_handles_free_where_one_fails)
{
	xendevicemodel_handle *handles[3];
	int restricted = 0;

	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		handles[i] = xendevicemodel_open(NULL, 0);
		ASSERT_NE(NULL, handles[i]);
	}
	ASSERT_EQ(0, xendevicemodel_restrict(handles[1], self->other));
	EXPECT_EQ(-1, xentoolcore_restrict_all(self->dom));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_FALSE(may_name(handles[1], self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		restricted += !may_name(handles[i], self->other);
		xendevicemodel_close(handles[i]);
	}
	EXPECT_EQ(1, restricted);
}

TEST_F(file, leaves_all_handles_free_when_the_guest_forestalled_it)
{
	xendevicemodel_handle *handles[2];

	ASSERT_EQ(0, populate(self->other));
	ASSERT_EQ(0, spoil_grants(self->other));
	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		handles[i] = xendevicemodel_open(NULL, 0);
		ASSERT_NE(NULL, handles[i]);
	}
	EXPECT_EQ(-1, xentoolcore_restrict_all(self->other));
	EXPECT_EQ(EBUSY, errno);
	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		EXPECT_TRUE(may_name(handles[i], self->dom));
		EXPECT_TRUE(may_name(handles[i], self->other));
		xendevicemodel_close(handles[i]);
	}
}

TEST_F(file, is_the_librarys)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	unsigned int vcpus;

	ASSERT_NE(NULL, dmod);
	ASSERT_EQ(0, xentoolcore_restrict_all(self->dom));
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(-1, xendevicemodel_nr_vcpus(dmod, self->dom, &vcpus));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, xendevicemodel_nr_vcpus(dmod, self->other, &vcpus));
	EXPECT_EQ(EPERM, errno);
	EXPECT_HELD();
	xendevicemodel_close(dmod);
}

/* ---- Who sleeps until a domain dies ---- */

struct sleeper {
	int fd;
	bool by_epoll;
	/* EPOLLEXCLUSIVE: of several events that come one by one each is for one sleeper. */
	bool exclusive;
	pthread_t thread;
	atomic_int tid;
	int ret;
	unsigned int events;
	bool woken;
};

static int sleep_in_poll(struct sleeper *sleeper)
{
	struct pollfd pollfd = { .fd = sleeper->fd };
	int ret = poll(&pollfd, 1, limit_ms());

	sleeper->events = pollfd.revents;
	return ret;
}

static int sleep_in_epoll(struct sleeper *sleeper)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT };
	int epoll = epoll_create1(EPOLL_CLOEXEC), ret;

	if (sleeper->exclusive)
		event.events |= EPOLLEXCLUSIVE;
	ret = epoll_ctl(epoll, EPOLL_CTL_ADD, sleeper->fd, &event);
	event.events = 0;
	if (!ret)
		ret = epoll_wait(epoll, &event, 1, limit_ms());
	sleeper->events = event.events;
	/* It goes on to say so. */
	if (ret == 1)
		ret = epoll_wait(epoll, &event, 1, 0);
	close(epoll);
	return ret;
}

/* Who is not woken finds at the limit what there is. */
static void *sleep_until_death(void *arg)
{
	struct sleeper *sleeper = arg;
	double start = now();

	atomic_store(&sleeper->tid, gettid());
	sleeper->ret = sleeper->by_epoll ? sleep_in_epoll(sleeper) : sleep_in_poll(sleeper);
	sleeper->woken = now() - start < limit_ms() / 1000;
	return NULL;
}

static bool falls_asleep(struct sleeper *sleeper)
{
	if (pthread_create(&sleeper->thread, NULL, sleep_until_death, sleeper))
		return false;
	return SOON(atomic_load(&sleeper->tid) &&
		    *proc_status(atomic_load(&sleeper->tid), "State") == 'S');
}

static void expect_wake_up(struct __test_metadata *_metadata, struct sleeper *sleeper)
{
	ASSERT_EQ(0, pthread_join(sleeper->thread, NULL));
	EXPECT_EQ(1, sleeper->ret);
	EXPECT_EQ(EPOLLHUP, sleeper->events);
	EXPECT_TRUE(sleeper->woken);
}

TEST_F(file, wakes_who_sleeps)
{
	int second = open_restricted(self->dom);
	struct sleeper sleepers[] = {
		{ .fd = self->fd },
		{ .fd = self->fd, .by_epoll = true },
		{ .fd = second },
		{ .fd = second, .by_epoll = true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		ASSERT_TRUE(falls_asleep(&sleepers[i]));
	ASSERT_EQ(0, domain_destroy(self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		expect_wake_up(_metadata, &sleepers[i]);
	close(second);
}

/* A death is for all: who shares the file must not be able to sleep in another's stead. */
TEST_F(file, wakes_all_who_sleep_exclusively)
{
	struct sleeper sleepers[] = {
		{ .fd = self->fd, .by_epoll = true, .exclusive = true },
		{ .fd = self->fd, .by_epoll = true, .exclusive = true },
		{ .fd = self->fd, .by_epoll = true, .exclusive = true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		ASSERT_TRUE(falls_asleep(&sleepers[i]));
	ASSERT_EQ(0, domain_destroy(self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		expect_wake_up(_metadata, &sleepers[i]);
}

TEST_F(file, wakes_who_sleeps_when_nobody_saw_it_die)
{
	struct sleeper sleepers[] = {
		{ .fd = self->fd },
		{ .fd = self->fd, .by_epoll = true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		ASSERT_TRUE(falls_asleep(&sleepers[i]));
	ASSERT_EQ(0, domain_destroy_by_multicall(self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		expect_wake_up(_metadata, &sleepers[i]);
}

TEST_F(file, wakes_who_slept_before_its_restriction)
{
	struct sleeper sleepers[] = {
		{ .fd = self->free },
		{ .fd = self->free, .by_epoll = true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		ASSERT_TRUE(falls_asleep(&sleepers[i]));
	ASSERT_EQ(0, restrict_to(self->free, self->dom));
	ASSERT_EQ(0, domain_destroy(self->dom));
	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		expect_wake_up(_metadata, &sleepers[i]);
}

/* RESTRICT itself says then that there is no domain any more. */
TEST_F(file, wakes_who_slept_before_its_restriction_to_no_domain)
{
	struct sleeper sleeper = { .fd = self->free };

	ASSERT_TRUE(falls_asleep(&sleeper));
	ASSERT_EQ(0, restrict_to(self->free, unused_domid()));
	expect_wake_up(_metadata, &sleeper);
}

/* ---- What a file registered ---- */

FIXTURE(registered)
{
	struct server server;
	int dom;
	int event;
};

FIXTURE_SETUP(registered)
{
	if (on_stock_driver())
		SKIP_FIXTURE(return, NOT_HELD_BY_STOCK);
	if (!has_eventfds())
		SKIP_FIXTURE(return, NO_EVENTFDS);
	if (!has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	self->dom = create(DOMAIN_HVM, VCPUS);
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, add_vcpus(self->dom, VCPUS));
	ASSERT_EQ(0, populate(self->dom));
	ASSERT_EQ(0, server_create(&self->server, self->dom));
	self->event = new_eventfd();
	ASSERT_EQ(0, restrict_to(self->server.fd, self->dom));
}

FIXTURE_TEARDOWN(registered)
{
	server_destroy(&self->server);
	domain_destroy(self->dom);
}

#ifdef __x86_64__
/* It is there until it is lowered. */
static const struct xen_dm_op interrupt = {
	.op = XEN_DMOP_set_pci_intx_level,
	.u.set_pci_intx_level = { .device = 1, .level = 1 },
};
#else
static const struct xen_dm_op interrupt = {
	.op = XEN_DMOP_set_irq_level,
	.u.set_irq_level = { .irq = 32, .level = 1 },
};
#endif

TEST_F(registered, eventfds_can_neither_begin_nor_end_after_death)
{
	struct server *server = &self->server;
	int unused = new_eventfd();

	ASSERT_EQ(0, ioeventfd(server->fd, doorbell(server, self->event, 0)));
	ASSERT_EQ(0, irqfd(server->fd, self->dom, self->event, &interrupt, sizeof(interrupt)));
	ASSERT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(-ESRCH, ioeventfd(server->fd, doorbell(server, unused, 1)));
	EXPECT_EQ(-ESRCH, ioeventfd(server->fd, no_doorbell(server, self->event)));
	EXPECT_EQ(-ESRCH, irqfd(server->fd, self->dom, unused, &interrupt, sizeof(interrupt)));
	EXPECT_EQ(-ESRCH, no_irqfd(server->fd, self->dom, self->event));
	EXPECT_EQ(-EPERM, irqfd(server->fd, 0, unused, &interrupt, sizeof(interrupt)));
	EXPECT_EQ(-EPERM, no_irqfd(server->fd, 0, self->event));
	EXPECT_EQ(POLLHUP, events_of(server->fd));
	/* It takes no harm from what is written still. */
	EXPECT_TRUE(signal_eventfd(self->event));
}

#ifdef __x86_64__

/* Whether the interrupt is there; or a negative errno. */
static int is_interrupted(domid_t dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	struct hvm_hw_pci_irqs irqs = {};
	int ret = xc_domain_hvm_getcontext_partial(xch, dom, HVM_SAVE_CODE(PCI_IRQ), 0, &irqs,
						   sizeof(irqs)) ? -errno :
		  !!(irqs.pad[0] | irqs.pad[1]);

	xc_interface_close(xch);
	return ret;
}

TEST_F(registered, interrupt_does_not_reach_a_later_domain)
{
	int fd = open_restricted(self->dom), next;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, irqfd(fd, self->dom, self->event, &interrupt, sizeof(interrupt)));
	ASSERT_EQ(0, is_interrupted(self->dom));
	ASSERT_TRUE(signal_eventfd(self->event));
	ASSERT_TRUE(SOON(is_interrupted(self->dom) == 1));

	/* Nothing else holds it. */
	server_destroy(&self->server);
	ASSERT_EQ(0, domain_destroy(self->dom));
	next = domain_create_as(DOMAIN_HVM, VCPUS, self->dom);
	EXPECT_EQ(-EEXIST, next);
	if (next > 0)
		ASSERT_EQ(0, add_vcpus(next, VCPUS));
	ASSERT_TRUE(signal_eventfd(self->event));
	if (next < 0) {
		ASSERT_EQ(0, close(fd));
		ASSERT_EQ(self->dom, create_again(DOMAIN_HVM, self->dom));
		ASSERT_EQ(0, add_vcpus(self->dom, 5));
		ASSERT_TRUE(signal_eventfd(self->event));
	}
	usleep(100000);
	EXPECT_EQ(0, is_interrupted(self->dom));
	memset(&self->server, 0, sizeof(self->server));
	self->server.fd = -1;
}

#endif

/* ---- Races ---- */

#define ROUNDS 200

FIXTURE(race)
{
	int dom;
	int other;
	double destroy_takes;
};

FIXTURE_SETUP(race)
{
	double start;

	if (on_stock_driver())
		SKIP_FIXTURE(return, NOT_HELD_BY_STOCK);
	self->dom = create(DOMAIN_PVH, 3);
	ASSERT_LT(0, self->dom);
	self->other = create(DOMAIN_PVH, 4);
	ASSERT_LT(0, self->other);
	start = now();
	ASSERT_EQ(0, domain_destroy(self->other));
	self->destroy_takes = now() - start;
	self->other = create(DOMAIN_PVH, 4);
	ASSERT_LT(0, self->other);
}

FIXTURE_TEARDOWN(race)
{
	domain_destroy(self->dom);
	domain_destroy(self->other);
}

/* What the other thread does in each round. */
static struct {
	void (*act)(void);
	int dom;
	int fd;
	int ret;
	atomic_bool stop;
} rival;

static void *act_in_rounds(void *unused)
{
	(void)unused;
	for (;;) {
		meet();
		if (atomic_load(&rival.stop))
			return NULL;
		rival.act();
		meet();
	}
}

static int start_rival(pthread_t *thread, void (*act)(void))
{
	rival.act = act;
	return pthread_create(thread, NULL, act_in_rounds, NULL);
}

static int stop_rival(pthread_t thread)
{
	atomic_store(&rival.stop, true);
	meet();
	return pthread_join(thread, NULL);
}

/* Lets some of the time pass that the rival needs, more of it in later rounds. */
static void let_pass(double seconds, unsigned int round)
{
	double end = now() + seconds * round / ROUNDS;

	while (now() < end)
		;
}

static void destroy_domain(void)
{
	rival.ret = domain_destroy(rival.dom);
}

static void create_domain(void)
{
	rival.ret = domain_create_as(DOMAIN_PVH, 3, rival.dom);
}

static void close_file(void)
{
	rival.ret = close(rival.fd);
}

static void restrict_file(void)
{
	rival.ret = restrict_to(rival.fd, rival.dom);
}

TEST_F(race, with_destroy_ends_in_death)
{
	pthread_t thread;

	ASSERT_EQ(0, start_rival(&thread, destroy_domain));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int fd = privcmd_open(), ret;

		rival.dom = create(DOMAIN_PVH, 3);
		ASSERT_LT(0, rival.dom);
		meet();
		let_pass(1.5 * self->destroy_takes, round);
		ret = restrict_to(fd, rival.dom);
		meet();
		ASSERT_EQ(0, ret);
		ASSERT_EQ(0, rival.ret);
		ASSERT_EQ(-ESRCH, ask(fd, rival.dom));
		ASSERT_EQ(POLLHUP, events_of(fd));
		ASSERT_EQ(0, close(fd));
	}
	ASSERT_EQ(0, stop_rival(thread));
	EXPECT_TRUE(SOON(unused_domid() <= self->other + 1));
}

/* It is the domain there was, or none. */
TEST_F(race, with_create_ends_in_one_of_two_ways)
{
	unsigned int bound = 0;
	pthread_t thread;

	ASSERT_EQ(0, start_rival(&thread, create_domain));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int fd = privcmd_open(), ret;

		rival.dom = unused_domid();
		meet();
		let_pass(2 * self->destroy_takes, round);
		ret = restrict_to(fd, rival.dom);
		meet();
		ASSERT_EQ(0, ret);
		ASSERT_EQ(rival.dom, rival.ret);
		ret = ask(fd, rival.dom);
		bound += ret == 3;
		ASSERT_TRUE(ret == 3 || ret == -ESRCH);
		ASSERT_EQ(ret == 3 ? 0 : POLLHUP, events_of(fd));
		ASSERT_EQ(0, domain_destroy(rival.dom));
		ASSERT_EQ(-ESRCH, ask(fd, rival.dom));
		ASSERT_EQ(POLLHUP, events_of(fd));
		ASSERT_EQ(0, close(fd));
	}
	ASSERT_EQ(0, stop_rival(thread));
	TH_LOG("RESTRICT found the domain in %u of %u rounds", bound, ROUNDS);
}

/* The one gives up the hold while the other takes it. */
TEST_F(race, with_close_keeps_the_domain)
{
	pthread_t thread;
	int fd;

	fd = open_restricted(self->dom);
	ASSERT_EQ(0, start_rival(&thread, close_file));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int next = privcmd_open(), ret;

		rival.fd = fd;
		meet();
		dawdle(round);
		ret = restrict_to(next, self->dom);
		meet();
		ASSERT_EQ(0, ret);
		ASSERT_EQ(0, rival.ret);
		ASSERT_EQ(3, ask(next, self->dom));
		ASSERT_EQ(0, events_of(next));
		fd = next;
	}
	ASSERT_EQ(0, stop_rival(thread));
	ASSERT_EQ(0, domain_destroy(self->dom));
	expect_dead(_metadata, fd, self->dom);
	EXPECT_TRUE(is_held(self->dom));
	close(fd);
	EXPECT_EQ(self->dom, create_again(DOMAIN_PVH, self->dom));
}

/* Two files that come first both. */
TEST_F(race, of_two_files_has_them_hold_one_domain)
{
	pthread_t thread;

	ASSERT_EQ(0, start_rival(&thread, restrict_file));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int fd = privcmd_open(), ret;

		rival.dom = self->dom;
		rival.fd = privcmd_open();
		meet();
		dawdle(round);
		ret = restrict_to(fd, self->dom);
		meet();
		ASSERT_EQ(0, ret);
		ASSERT_EQ(0, rival.ret);
		ASSERT_EQ(3, ask(fd, self->dom));
		ASSERT_EQ(3, ask(rival.fd, self->dom));
		ASSERT_EQ(0, domain_destroy(self->dom));
		ASSERT_EQ(POLLHUP, events_of(fd));
		ASSERT_EQ(POLLHUP, events_of(rival.fd));
		ASSERT_EQ(0, close(round % 2 ? fd : rival.fd));
		ASSERT_EQ(-EEXIST, domain_create_as(DOMAIN_PVH, 3, self->dom));
		ASSERT_EQ(0, close(round % 2 ? rival.fd : fd));
		self->dom = create(DOMAIN_PVH, 3);
		ASSERT_LT(0, self->dom);
	}
	ASSERT_EQ(0, stop_rival(thread));
}

/* Of one file: who loses holds nothing. */
TEST_F(race, of_two_domains_has_the_file_hold_one)
{
	unsigned int won = 0;
	pthread_t thread;

	ASSERT_EQ(0, start_rival(&thread, restrict_file));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int fd = privcmd_open(), ret;

		rival.dom = self->other;
		rival.fd = fd;
		meet();
		dawdle(round);
		ret = restrict_to(fd, self->dom);
		meet();
		ASSERT_EQ(-EINVAL, ret + rival.ret);
		ASSERT_EQ(ret ? -EPERM : 3, ask(fd, self->dom));
		ASSERT_EQ(ret ? 4 : -EPERM, ask(fd, self->other));
		won += !ret;
		ASSERT_EQ(0, close(fd));
	}
	ASSERT_EQ(0, stop_rival(thread));
	TH_LOG("each won: %u and %u times", won, ROUNDS - won);
	ASSERT_EQ(0, domain_destroy(self->dom));
	ASSERT_EQ(0, domain_destroy(self->other));
	EXPECT_EQ(self->dom, create_again(DOMAIN_PVH, self->dom));
	EXPECT_EQ(self->other, create_again(DOMAIN_PVH, self->other));
}

/* ---- Many of them ---- */

/* How many domains there are, or lives of one, unless COUNT says so. */
#define COUNT		200
#ifdef __aarch64__
/* Xen has 256 VMIDs there, of which each domain takes one. */
#define MAX_DOMAINS	200
#else
#define MAX_DOMAINS	1000
#endif

static int wanted_lives(int most)
{
	int count = wanted_count(COUNT);

	/* Two of them die apart from the others. */
	if (count < 4)
		return 4;
	return count < most ? count : most;
}

/* Each costs Xen memory, of which an HVM domain needs most. */
static enum domain_type cheap_type(void)
{
	return domain_can_be(DOMAIN_PV) ? DOMAIN_PV : DOMAIN_PVH;
}

static int count_events(const int *fds, int nr, short events)
{
	int count = 0;

	for (int i = 0; i < nr; i++)
		count += events_of(fds[i]) == events;
	return count;
}

TEST(many_domains_die_one_by_one)
{
	const struct rlimit limit = { MAX_DOMAINS + 100, MAX_DOMAINS + 100 };
	const int nr = wanted_lives(MAX_DOMAINS);
	static int fds[MAX_DOMAINS];
	double start = now();

	if (on_stock_driver())
		SKIP(return, NOT_HELD_BY_STOCK);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < nr; i++) {
		ASSERT_EQ(FIRST_DOMID + i, create_again(cheap_type(), FIRST_DOMID + i));
		fds[i] = open_restricted(FIRST_DOMID + i);
		ASSERT_LE(0, fds[i]);
	}
	TH_LOG("%d domains were created and bound in %.1f s", nr, now() - start);
	EXPECT_EQ(nr, count_events(fds, nr, 0));
	ASSERT_EQ(0, domain_destroy(FIRST_DOMID + nr / 2));
	EXPECT_EQ(POLLHUP, events_of(fds[nr / 2]));
	EXPECT_EQ(nr - 1, count_events(fds, nr, 0));
	ASSERT_EQ(0, domain_destroy_by_multicall(FIRST_DOMID + nr / 3));
	EXPECT_TRUE(SOON(events_of(fds[nr / 3]) == POLLHUP));
	EXPECT_EQ(nr - 2, count_events(fds, nr, 0));
	start = now();
	for (int i = 0; i < nr; i++) {
		if (i == nr / 2 || i == nr / 3)
			continue;
		ASSERT_EQ(0, domain_destroy(FIRST_DOMID + i));
		ASSERT_EQ(POLLHUP, events_of(fds[i]));
	}
	TH_LOG("and destroyed in %.1f s", now() - start);
	EXPECT_EQ(nr, count_events(fds, nr, POLLHUP));
	for (int i = 0; i < nr; i++)
		close(fds[i]);
	EXPECT_TRUE(SOON(unused_domid() == FIRST_DOMID));
	for (int i = 0; i < nr; i++)
		ASSERT_TRUE(domain_is_gone(FIRST_DOMID + i));
}

TEST(many_lives_of_one_domid_lose_nothing)
{
	const int lives = wanted_lives(INT_MAX);
	domid_t dom = unused_domid();
	double start = now();
	long before = 0;

	if (on_stock_driver())
		SKIP(return, NOT_HELD_BY_STOCK);
	for (int i = 0; i <= lives; i++) {
		int fd;

		ASSERT_EQ(dom, create_again(cheap_type(), dom));
		fd = open_restricted(dom);
		ASSERT_LE(0, fd);
		ASSERT_EQ(domain_can_be(DOMAIN_PV) ? -EINVAL : 5, ask(fd, dom));
		ASSERT_EQ(0, domain_destroy(dom));
		ASSERT_EQ(-ESRCH, ask(fd, dom));
		ASSERT_EQ(0, close(fd));
		ASSERT_TRUE(domain_is_gone(dom));
		/* The first life may have the kernel set something up for good. */
		if (!i)
			before = host_pages();
	}
	TH_LOG("%d lives in %.1f s", lives, now() - start);
	EXPECT_LT(0, before);
	/* Each life would have lost some. */
	EXPECT_TRUE(SOON(host_pages() > before - lives / 2));
	TH_LOG("Xen and dom0 had %ld pages, and have %ld", before, host_pages());
}

/* ---- The driver that has none of it ---- */

TEST(stock_file_reaches_the_next_domain)
{
	domid_t dom = unused_domid();
	int fd;

	if (!on_stock_driver())
		SKIP(return, "this driver has no such hole");
	ASSERT_EQ(dom, domain_create_as(DOMAIN_HVM, 3, dom));
	fd = open_restricted(dom);
	ASSERT_LE(0, fd);
	EXPECT_EQ(3, ask(fd, dom));
	ASSERT_EQ(0, domain_destroy(dom));
	ASSERT_EQ(dom, create_again(DOMAIN_HVM, dom));
	EXPECT_EQ(5, ask(fd, dom));
	ASSERT_EQ(0, domain_destroy(dom));
	close(fd);
}

TEST_HARNESS_MAIN
