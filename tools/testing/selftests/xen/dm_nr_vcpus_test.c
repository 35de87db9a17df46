// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_DM_NR_VCPUS: what it answers, and that it writes the answer and
 * nothing else.  nr_vcpus() checks the memory of each request.
 */

#include "common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define DOES_NOTHING "this Xen does nothing for a PV domain, and says that all went well"

FIXTURE(answer)
{
	int fd;
	int dom;
};

FIXTURE_VARIANT(answer)
{
	enum domain_type type;
	unsigned int vcpus;
	int expected;
};

FIXTURE_VARIANT_ADD(answer, hvm_1) {
	.type = DOMAIN_HVM,
	.vcpus = 1,
	.expected = 1,
};

FIXTURE_VARIANT_ADD(answer, hvm_3) {
	.type = DOMAIN_HVM,
	.vcpus = 3,
	.expected = 3,
};

FIXTURE_VARIANT_ADD(answer, hvm_128) {
	.type = DOMAIN_HVM,
	.vcpus = 128,
	.expected = 128,
};

FIXTURE_VARIANT_ADD(answer, pvh_3) {
	.type = DOMAIN_PVH,
	.vcpus = 3,
	.expected = 3,
};

FIXTURE_VARIANT_ADD(answer, pv_3) {
	.type = DOMAIN_PV,
	.vcpus = 3,
	.expected = -EINVAL,
};

FIXTURE_SETUP(answer)
{
	if (!domain_can_be(variant->type))
		SKIP_FIXTURE(return, NO_SUCH_TYPE);
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(variant->type, variant->vcpus);
	ASSERT_LT(0, self->dom);
}

FIXTURE_TEARDOWN(answer)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

/* As requests.h had it; the domain is a PV one. */
static bool was_left_as_it_was(int fd, int dom)
{
	return dm_op_nr_vcpus(fd, dom) == ~0x5a5a5a5a;
}

TEST_F(answer, is_the_hypervisors)
{
	if (variant->type == DOMAIN_PV && was_left_as_it_was(self->fd, self->dom))
		SKIP(return, DOES_NOTHING);
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, nr_vcpus(self->fd, self->dom));
		SKIP(return, NOT_ON_STOCK);
	}
	if (!has_device_models()) {
		ASSERT_EQ(-EOPNOTSUPP, nr_vcpus(self->fd, self->dom));
		SKIP(return, NO_DEVICE_MODELS);
	}
	EXPECT_EQ(by_nr_vcpus(variant->expected), nr_vcpus(self->fd, self->dom));
	EXPECT_EQ(by_nr_vcpus(variant->expected), nr_vcpus(self->fd, self->dom));
}

TEST_F(answer, is_the_librarys)
{
	if (variant->type == DOMAIN_PV && was_left_as_it_was(self->fd, self->dom))
		SKIP(return, DOES_NOTHING);
	if (!XEN_HAS_NR_VCPUS)
		SKIP(return, NO_LIBRARY_CALL);
	ASSERT_EQ(by_dm_op(variant->expected), library_nr_vcpus(self->dom));
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, nr_vcpus(self->fd, self->dom));
		SKIP(return, NOT_ON_STOCK);
	}
	if (!has_device_models()) {
		ASSERT_EQ(-EOPNOTSUPP, nr_vcpus(self->fd, self->dom));
		SKIP(return, NO_DEVICE_MODELS);
	}
	EXPECT_EQ(library_nr_vcpus(self->dom), nr_vcpus(self->fd, self->dom));
}

/*
 * Xen 4.13.2, 4.14.0 and 4.14.1 do so: what was asked of a PV domain is left as it was,
 * and the call succeeds.
 */
TEST(a_hypervisor_that_does_nothing_gives_no_answer)
{
	int fd = privcmd_open(), dom;

	ASSERT_LE(0, fd);
	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	dom = domain_create(DOMAIN_PV, 3);
	ASSERT_LT(0, dom);
	if (!was_left_as_it_was(fd, dom)) {
		EXPECT_EQ(by_dm_op(-EINVAL), dm_op_nr_vcpus(fd, dom));
		ASSERT_EQ(0, domain_destroy(dom));
		SKIP(return, "this Xen refuses what it does not do for a PV domain");
	}
	if (XEN_HAS_NR_VCPUS)
		EXPECT_EQ(0, library_nr_vcpus(dom));
	EXPECT_EQ(on_stock_driver() ? -ENOTTY : -EOPNOTSUPP, nr_vcpus(fd, dom));
	EXPECT_EQ(0, domain_destroy(dom));
	close(fd);
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

FIXTURE(refusal)
{
	int fd;
	int dom;
};

FIXTURE_SETUP(refusal)
{
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(on_stock_driver() ? -ENOTTY : by_nr_vcpus(3),
		  nr_vcpus(self->fd, self->dom));
}

FIXTURE_TEARDOWN(refusal)
{
	if (self->dom)
		EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

TEST_F(refusal, of_the_caller_itself)
{
	ASSERT_EQ(-EPERM, ask(self->fd, 0));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(refusal, of_no_such_domain)
{
	ASSERT_EQ(-ESRCH, ask(self->fd, NO_SUCH_DOMAIN));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(refusal, of_reserved_ids)
{
	for (domid_t dom = DOMID_FIRST_RESERVED; dom <= DOMID_IDLE; dom++) {
		ASSERT_EQ(-ESRCH, ask(self->fd, dom)) {
			TH_LOG("domain %#x", dom);
		}
	}
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(refusal, of_a_destroyed_domain)
{
	domid_t dom = self->dom;

	ASSERT_EQ(3, ask(self->fd, dom));
	ASSERT_EQ(0, domain_destroy(dom));
	self->dom = 0;
	ASSERT_EQ(-ESRCH, ask(self->fd, dom));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

/*
 * A destroyed domain lives on while something holds it: here a second domain,
 * which may act for it as a stub domain does.
 */
TEST_F(refusal, not_of_a_destroyed_domain_that_is_held)
{
	int stub = domain_create(DOMAIN_PVH, 1);
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	domid_t dom = self->dom;

	ASSERT_LT(0, stub);
	ASSERT_NE(NULL, xch);
	ASSERT_EQ(0, xc_domain_set_target(xch, stub, dom));
	ASSERT_EQ(0, domain_destroy(dom));
	self->dom = 0;
	ASSERT_EQ(3, ask(self->fd, dom));

	ASSERT_EQ(0, domain_destroy(stub));
	/* The stub domain lets go a little later. */
	ASSERT_TRUE(SOON(!domain_exists(dom)));
	ASSERT_EQ(-ESRCH, ask(self->fd, dom));
	xc_interface_close(xch);
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

/* No bit of the 16 may get lost: the rest would name another domain. */
TEST_F(refusal, of_ids_beyond_the_reserved)
{
	const domid_t bad[] = { 0x8000, 0x8000 | self->dom, 0xfff0, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(-ESRCH, ask(self->fd, bad[i])) {
			TH_LOG("domain %#x", bad[i]);
		}
	}
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(refusal, of_a_pad_that_is_not_zero)
{
	const __u16 bad[] = { 1, 0x80, 0x100, 0x8000, 0xffff };

	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, nr_vcpus_padded(self->fd, self->dom, 1));
		SKIP(return, NOT_ON_STOCK);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, nr_vcpus_padded(self->fd, self->dom, bad[i])) {
			TH_LOG("pad %#x", bad[i]);
		}
	}
}

TEST_F(refusal, of_pad_precedes_the_hypervisors)
{
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, nr_vcpus_padded(self->fd, 0, 1));
		SKIP(return, NOT_ON_STOCK);
	}
	EXPECT_EQ(-EINVAL, nr_vcpus_padded(self->fd, NO_SUCH_DOMAIN, 1));
	EXPECT_EQ(-EINVAL, nr_vcpus_padded(self->fd, DOMID_SELF, 1));
	EXPECT_EQ(-EINVAL, nr_vcpus_padded(self->fd, 0, 1));
}

TEST_F(refusal, of_other_domains_precedes_pads)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	if (on_stock_driver()) {
		ASSERT_EQ(-ENOTTY, nr_vcpus_padded(self->fd, 0, 1));
		SKIP(return, NOT_ON_STOCK);
	}
	EXPECT_EQ(-EPERM, nr_vcpus_padded(self->fd, NO_SUCH_DOMAIN, 1));
	EXPECT_EQ(-EINVAL, nr_vcpus_padded(self->fd, self->dom, 1));
}

/* The hypervisor would say ESRCH. */
TEST_F(refusal, of_other_domains_asks_no_hypervisor)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->dom));
	ASSERT_EQ(-EPERM, ask(self->fd, NO_SUCH_DOMAIN));
	ASSERT_EQ(-EPERM, ask(self->fd, DOMID_SELF));
	ASSERT_EQ(3, ask(self->fd, self->dom));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

/* What a request that fails might write to, and what ends the writing. */
static struct {
	struct privcmd_dm_nr_vcpus arg;
	atomic_bool stop;
	unsigned int overwritten;
} race;

static void *write_answer(void *unused)
{
	(void)unused;
	for (__u32 n = 0; !atomic_load(&race.stop); n++) {
		__atomic_store_n(&race.arg.vcpus, n, __ATOMIC_SEQ_CST);
		for (int i = 0; i < 100; i++)
			if (__atomic_load_n(&race.arg.vcpus,
					    __ATOMIC_SEQ_CST) != n)
				race.overwritten++;
	}
	return NULL;
}

/* Not even what was there before. */
TEST_F(refusal, writes_nothing)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, write_answer, NULL));
	for (int i = 0; i < 1000; i++) {
		race.arg.dom = NO_SUCH_DOMAIN;
		race.arg.pad = 0;
		ASSERT_EQ(on_stock_driver() ? -ENOTTY : by_nr_vcpus(-ESRCH),
			  request(self->fd, IOCTL_PRIVCMD_DM_NR_VCPUS,
				  &race.arg));
		race.arg.pad = 1;
		ASSERT_EQ(on_stock_driver() ? -ENOTTY : -EINVAL,
			  request(self->fd, IOCTL_PRIVCMD_DM_NR_VCPUS,
				  &race.arg));
	}
	atomic_store(&race.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, race.overwritten);
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

/* The whole number tells the command, not its low byte alone. */
TEST_F(refusal, of_other_directions_and_sizes)
{
	const unsigned int other[] = {
		_IOC(_IOC_NONE, 'P', 32, 8),
		_IOC(_IOC_READ, 'P', 32, 8),
		_IOC(_IOC_WRITE, 'P', 32, 8),
		_IOC(_IOC_READ | _IOC_WRITE, 'P', 32, 0),
		_IOC(_IOC_READ | _IOC_WRITE, 'P', 32, 4),
		_IOC(_IOC_READ | _IOC_WRITE, 'P', 32, 7),
		_IOC(_IOC_READ | _IOC_WRITE, 'P', 32, 9),
		_IOC(_IOC_READ | _IOC_WRITE, 'P', 32, 16),
		_IOC(_IOC_READ | _IOC_WRITE, 'Q', 32, 8),
		_IOC(_IOC_READ | _IOC_WRITE, 'P', 31, 8),
	};

	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		struct privcmd_dm_nr_vcpus arg[2] = {
			{ .dom = self->dom, .vcpus = 12345 },
		};

		EXPECT_EQ(-ENOTTY, request(self->fd, other[i], arg)) {
			TH_LOG("command %#x", other[i]);
		}
		EXPECT_EQ(12345, arg[0].vcpus);
	}
}

/*
 * Three pages with nothing mapped before and behind them.  When a request is
 * made the middle one is read-only.
 */
struct pages {
	__u8 *start;
	size_t size;
	size_t page;
};

FIXTURE(bad_pointer)
{
	int fd;
	int dom;
	struct pages pages;
};

FIXTURE_SETUP(bad_pointer)
{
	struct pages *pages = &self->pages;

	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);

	pages->page = sysconf(_SC_PAGESIZE);
	pages->size = 3 * pages->page;
	pages->start = mmap(NULL, pages->size + 2 * pages->page,
			    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	ASSERT_NE(MAP_FAILED, pages->start);
	ASSERT_EQ(0, munmap(pages->start, pages->page));
	pages->start += pages->page;
	ASSERT_EQ(0, munmap(pages->start + pages->size, pages->page));
}

FIXTURE_TEARDOWN(bad_pointer)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
	close(self->fd);
}

/*
 * Asks with a struct at an offset into the pages, possibly across one of their
 * ends, and checks all three.
 */
static int ask_at(int fd, const struct pages *pages, ssize_t offset,
		  struct privcmd_dm_nr_vcpus arg)
{
	__u8 *expected = malloc(pages->size);
	int ret;

	mprotect(pages->start, pages->size, PROT_READ | PROT_WRITE);
	memset(pages->start, 0xa5, pages->size);
	for (size_t i = 0; i < sizeof(arg); i++)
		if (offset + i < pages->size)
			pages->start[offset + i] = ((__u8 *)&arg)[i];
	mprotect(pages->start + pages->page, pages->page, PROT_READ);
	memcpy(expected, pages->start, pages->size);

	ret = request(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, pages->start + offset);
	if (ret == 0) {
		offset += offsetof(struct privcmd_dm_nr_vcpus, vcpus);
		memcpy(&ret, pages->start + offset, sizeof(ret));
		memcpy(expected + offset, &ret, sizeof(ret));
	}
	if (memcmp(expected, pages->start, pages->size))
		ret = memory_changed("DM_NR_VCPUS");
	free(expected);
	return ret;
}

/* Asks with a struct of which only the first bytes are mapped. */
static int ask_cut_off(int fd, const struct pages *pages, size_t mapped,
		       struct privcmd_dm_nr_vcpus arg)
{
	return ask_at(fd, pages, pages->size - mapped, arg);
}

TEST_F(bad_pointer, to_nothing)
{
	const uintptr_t bad[] = {
		0,
		(uintptr_t)self->pages.start - self->pages.page,
		(uintptr_t)self->pages.start + self->pages.size,
		(uintptr_t)1 << 63,
		0xffff800000000000,
		0xffffffff81000000,
		-sizeof(struct privcmd_dm_nr_vcpus),
		-(uintptr_t)1,
	};
	int expected = on_stock_driver() ? -ENOTTY : -EFAULT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(expected, request(self->fd, IOCTL_PRIVCMD_DM_NR_VCPUS,
					    (void *)bad[i])) {
			TH_LOG("address %#lx", (unsigned long)bad[i]);
		}
	}
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(bad_pointer, across_the_end_of_a_mapping)
{
	const struct privcmd_dm_nr_vcpus arg = { .dom = self->dom };
	int expected = on_stock_driver() ? -ENOTTY : -EFAULT;

	for (size_t inside = 1; inside < sizeof(arg); inside++) {
		ASSERT_EQ(expected, ask_cut_off(self->fd, &self->pages, inside, arg)) {
			TH_LOG("%zu bytes mapped", inside);
		}
	}
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
	EXPECT_EQ(by_nr_vcpus(3), ask_cut_off(self->fd, &self->pages, sizeof(arg), arg));
}

TEST_F(bad_pointer, across_the_start_of_a_mapping)
{
	const struct privcmd_dm_nr_vcpus arg = { .dom = self->dom };
	int expected = on_stock_driver() ? -ENOTTY : -EFAULT;

	for (ssize_t outside = 1; outside < (ssize_t)sizeof(arg); outside++) {
		ASSERT_EQ(expected, ask_at(self->fd, &self->pages, -outside, arg)) {
			TH_LOG("%zd bytes not mapped", outside);
		}
	}
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
	EXPECT_EQ(by_nr_vcpus(3), ask_at(self->fd, &self->pages, 0, arg));
}

TEST_F(bad_pointer, to_read_only_memory)
{
	const struct privcmd_dm_nr_vcpus arg = { .dom = self->dom };
	size_t vcpus = offsetof(struct privcmd_dm_nr_vcpus, vcpus);
	int expected = on_stock_driver() ? -ENOTTY : by_nr_vcpus(0) ?: -EFAULT;

	ASSERT_EQ(expected, ask_at(self->fd, &self->pages, self->pages.page, arg));
	ASSERT_EQ(expected, ask_at(self->fd, &self->pages, self->pages.page - vcpus, arg));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

/* What is only read may be read-only. */
TEST_F(bad_pointer, is_not_one_to_a_read_only_question)
{
	const struct privcmd_dm_nr_vcpus arg = { .dom = self->dom };
	size_t vcpus = offsetof(struct privcmd_dm_nr_vcpus, vcpus);
	int expected = on_stock_driver() ? -ENOTTY : by_nr_vcpus(3);

	ASSERT_EQ(expected, ask_at(self->fd, &self->pages, 2 * self->pages.page - vcpus, arg));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

/* Only the answer's place is bad, and yet nothing else is looked at. */
TEST_F(bad_pointer, precedes_all_else)
{
	const struct privcmd_dm_nr_vcpus good = { .dom = self->dom };
	const struct privcmd_dm_nr_vcpus bad_pad = { self->dom, 1, 0 };
	const struct privcmd_dm_nr_vcpus bad_dom = { .dom = NO_SUCH_DOMAIN };
	size_t vcpus = offsetof(struct privcmd_dm_nr_vcpus, vcpus);
	int expected = on_stock_driver() ? -ENOTTY : -EFAULT;

	ASSERT_EQ(expected, ask_cut_off(self->fd, &self->pages, vcpus, bad_pad));
	ASSERT_EQ(expected, ask_cut_off(self->fd, &self->pages, vcpus, bad_dom));
	ASSERT_EQ(0, restrict_to(self->fd, NO_SUCH_DOMAIN));
	ASSERT_EQ(expected, ask_cut_off(self->fd, &self->pages, vcpus, good));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_HARNESS_MAIN
