// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_MMAP: runs of frames of another domain in a mapping.  It is for
 * PV callers.
 */

#include "mapping.h"

#include <math.h>

/* The pages of the mapping that requests are for. */
#define PAGES 4

FIXTURE(run)
{
	struct target target;
	char *map;
};

FIXTURE_SETUP(run)
{
	if (on_auto_translated())
		SKIP_FIXTURE(return, FOR_PV_CALLERS);
	ASSERT_EQ(0, target_create(&self->target));
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(run)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	munmap(self->map, PAGES * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* The pages show frames from a first one on. */
static void expect_shown(struct __test_metadata *_metadata,
			 const struct target *target, char *map,
			 unsigned int first, unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++) {
		char *page = map + i * PAGE;
		char *frame = target->view + (first + i) * PAGE;

		ASSERT_EQ(0, signal_of_reading(page)) {
			TH_LOG("page %u", i);
		}
		EXPECT_EQ(first + i, number_of(page));
		EXPECT_TRUE(is_same_memory(page, frame));
		EXPECT_TRUE(is_same_memory(frame, page));
	}
}

/* Nothing is mapped, and all can be. */
static void expect_unused(struct __test_metadata *_metadata,
			  const struct target *target, char *map)
{
	EXPECT_TRUE(is_empty(map, PAGES));
	EXPECT_EQ(0, map_run(target->fd, target->dom, map, 6, PAGES));
	expect_shown(_metadata, target, map, 6, PAGES);
}

/* Of a request that failed nothing is left.  Stock leaves what it had mapped. */
static void expect_undone(struct __test_metadata *_metadata,
			  const struct target *target, char *map,
			  unsigned int first, unsigned int mapped)
{
	if (!on_stock_driver()) {
		expect_unused(_metadata, target, map);
		return;
	}
	expect_shown(_metadata, target, map, first, mapped);
	EXPECT_TRUE(is_empty(map + mapped * PAGE, PAGES - mapped));
}

static struct privcmd_mmap_entry entry(const char *addr, __u64 first,
				       __u64 pages)
{
	return (struct privcmd_mmap_entry) {
		.va = (uintptr_t)addr,
		.mfn = first,
		.npages = pages,
	};
}

TEST_F(run, shows_the_frames)
{
	ASSERT_EQ(0, map_run(self->target.fd, self->target.dom, self->map, 12,
			     PAGES));
	expect_shown(_metadata, &self->target, self->map, 12, PAGES);
}

TEST_F(run, follows_another_one)
{
	const struct privcmd_mmap_entry entries[] = {
		entry(self->map, 7, 1),
		entry(self->map + PAGE, 0, 2),
		entry(self->map + 3 * PAGE, 15, 1),
	};

	ASSERT_EQ(0, map_entries(self->target.fd, self->target.dom, 3, entries));
	expect_shown(_metadata, &self->target, self->map, 7, 1);
	expect_shown(_metadata, &self->target, self->map + PAGE, 0, 2);
	expect_shown(_metadata, &self->target, self->map + 3 * PAGE, 15, 1);
}

TEST_F(run, need_not_reach_the_end)
{
	ASSERT_EQ(0, map_run(self->target.fd, self->target.dom, self->map, 3,
			     2));
	expect_shown(_metadata, &self->target, self->map, 3, 2);
	EXPECT_TRUE(is_empty(self->map + 2 * PAGE, 2));
	/* Only the other commands can use the rest. */
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom,
				   self->map + 2 * PAGE, 5, 2));
	EXPECT_TRUE(is_empty(self->map + 2 * PAGE, 2));
	EXPECT_EQ(0, map_frames(self->target.fd, self->target.dom,
				self->map + 2 * PAGE, 5, 2));
	expect_shown(_metadata, &self->target, self->map + 2 * PAGE, 5, 2);
}

TEST_F(run, of_no_pages_is_possible)
{
	const struct privcmd_mmap_entry entries[] = {
		entry(self->map, 7, 0),
		entry(self->map, 1, 2),
		entry(self->map + 2 * PAGE, NO_FRAME, 0),
		entry(self->map + 2 * PAGE, 3, 2),
	};

	ASSERT_EQ(0, map_entries(self->target.fd, self->target.dom, 4, entries));
	expect_shown(_metadata, &self->target, self->map, 1, 4);
}

/* A mapping bounds what the kernel holds for a request. */
TEST_F(run, more_of_them_than_pages_are_refused)
{
	struct privcmd_mmap_entry entries[PAGES + 1];

	for (unsigned int i = 0; i <= PAGES; i++)
		entries[i] = entry(self->map, 0, 0);
	if (on_stock_driver()) {
		EXPECT_EQ(0, map_entries(self->target.fd, self->target.dom,
					 PAGES + 1, entries));
		EXPECT_TRUE(is_empty(self->map, PAGES));
		return;
	}
	EXPECT_EQ(-EINVAL, map_entries(self->target.fd, self->target.dom,
				       PAGES + 1, entries));
	expect_unused(_metadata, &self->target, self->map);
}

/* What came before is undone. */
TEST_F(run, elsewhere_than_after_the_last_one_is_refused)
{
	const ssize_t offsets[] = {
		0, 1, PAGE, PAGE + 1, 2 * PAGE + 1, 3 * PAGE, 4 * PAGE, -PAGE,
		PAGE - 1, 2 * PAGE - 1,
	};

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		char *map = map_file(self->target.fd, PAGES);
		const struct privcmd_mmap_entry entries[] = {
			entry(map, 4, 2),
			entry(map + offsets[i], 9, 1),
		};

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_entries(self->target.fd,
					       self->target.dom, 2, entries)) {
			TH_LOG("offset %zd", offsets[i]);
		}
		expect_undone(_metadata, &self->target, map, 4, 2);
		EXPECT_TRUE(neighbours_are_untouched(map, PAGES));
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	}
}

/* The first one. */
TEST_F(run, elsewhere_than_at_the_start_is_refused)
{
	const ssize_t offsets[] = {
		PAGE, 2 * PAGE, 3 * PAGE, 1, PAGE - 1, PAGE + 1,
	};

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom,
					   self->map + offsets[i], 0, 1)) {
			TH_LOG("offset %zd", offsets[i]);
		}
	}
	expect_unused(_metadata, &self->target, self->map);
}

TEST_F(run, where_nothing_is_is_refused)
{
	char *below = self->map - PAGE;
	const uintptr_t addrs[] = {
		0, PAGE, (uintptr_t)below, -PAGE, -1UL, 1UL << 47, 1UL << 63,
		0xffffffff81000000, 0xffff800000000000,
	};

	ASSERT_EQ(0, munmap(below, PAGE));
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom,
					   (void *)addrs[i], 0, 1)) {
			TH_LOG("address %#lx", (unsigned long)addrs[i]);
		}
	}
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, below, 0,
				   2));
	ASSERT_EQ(below, mmap(below, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(below, UNTOUCHED, PAGE);
	expect_unused(_metadata, &self->target, self->map);
}

/* Whose mapping it is matters, not only that one begins there. */
TEST_F(run, into_other_memory_is_refused)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int hypercall = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	char *others[4];

	if (host_is_at_risk())
		SKIP(return, "the stock driver ends in a kernel BUG");

	others[0] = map_file_as(-1, PAGES, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS);
	others[1] = map_file_as(file, PAGES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE);
	others[2] = map_file_as(hypercall, PAGES, PROT_READ | PROT_WRITE,
				MAP_SHARED);
	/* One that does not merge with its neighbours. */
	others[3] = map_file_as(-1, PAGES, PROT_READ,
				MAP_PRIVATE | MAP_ANONYMOUS);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		bool writable = i < 3;

		ASSERT_NE(NULL, others[i]);
		if (writable)
			memset(others[i], UNTOUCHED, PAGES * PAGE);
		for (unsigned int pages = 0; pages <= PAGES; pages++)
			EXPECT_EQ(-EINVAL, map_run(self->target.fd,
						   self->target.dom, others[i],
						   0, pages));
		EXPECT_TRUE(neighbours_are_untouched(others[i], PAGES));
		EXPECT_TRUE(writable ? is_untouched(others[i], PAGES * PAGE) :
				       number_of(others[i]) == 0);
		EXPECT_EQ(0, munmap(others[i], PAGES * PAGE));
	}
	expect_unused(_metadata, &self->target, self->map);
	close(file);
	close(hypercall);
}

TEST_F(run, where_something_is_mapped_is_refused)
{
	ASSERT_EQ(0, map_run(self->target.fd, self->target.dom, self->map, 2,
			     PAGES));
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   2, PAGES));
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   8, 1));
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   8, 0));
	expect_shown(_metadata, &self->target, self->map, 2, PAGES);
}

/* What fails leaves the mapping as it was. */
TEST_F(run, after_one_that_failed_is_possible)
{
	if (on_stock_driver())
		SKIP(return, "the stock driver takes a failure for a use");
	ASSERT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   0, PAGES + 1));
	EXPECT_TRUE(is_empty(self->map, PAGES));
	EXPECT_EQ(0, map_run(self->target.fd, self->target.dom, self->map, 0, 2));
	EXPECT_EQ(0, map_frames(self->target.fd, self->target.dom,
				self->map + 2 * PAGE, 4, 2));
	expect_shown(_metadata, &self->target, self->map + 2 * PAGE, 4, 2);
}

TEST_F(run, longer_than_the_mapping_is_refused)
{
	const __u64 pages[] = {
		PAGES + 1, 1UL << 31, 1UL << 32, (1UL << 51) - 1, 1UL << 51,
		(1UL << 52) - 1, 1UL << 52, (1UL << 52) + 1, (1UL << 52) + PAGES,
		1UL << 63, -1UL, -(__u64)PAGES,
		/* So that its end comes to lie within the mapping. */
		((1UL << 52) - ((uintptr_t)self->map >> 12)),
		((1UL << 52) - ((uintptr_t)self->map >> 12)) + 1,
	};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		char *map = map_file(self->target.fd, PAGES);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom,
					   map, 0, pages[i])) {
			TH_LOG("%#llx pages", pages[i]);
		}
		EXPECT_TRUE(is_empty(map, PAGES));
		EXPECT_TRUE(neighbours_are_untouched(map, PAGES));
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	}
}

TEST_F(run, that_goes_past_the_end_is_refused)
{
	const struct privcmd_mmap_entry entries[] = {
		entry(self->map, 3, 3),
		entry(self->map + 3 * PAGE, 8, 2),
	};

	EXPECT_EQ(-EINVAL, map_entries(self->target.fd, self->target.dom, 2,
				       entries));
	expect_undone(_metadata, &self->target, self->map, 3, 3);
}

TEST_F(run, into_the_next_mapping_is_refused)
{
	char *next = self->map + 2 * PAGE;

	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	ASSERT_EQ(self->map, mmap(self->map, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->target.fd, 0));
	ASSERT_EQ(next, mmap(next, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, self->target.fd, 0));
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   0, PAGES));
	EXPECT_TRUE(is_empty(self->map, PAGES));
	EXPECT_EQ(0, map_run(self->target.fd, self->target.dom, next, 5, 2));
	expect_shown(_metadata, &self->target, next, 5, 2);
}

TEST_F(run, none_does_nothing)
{
	EXPECT_EQ(0, map_entries(self->target.fd, self->target.dom, 0, NULL));
	EXPECT_EQ(0, map_entries(self->target.fd, NO_SUCH_DOMAIN, 0, NULL));
	EXPECT_EQ(0, map_entries(self->target.fd, self->target.dom, 0,
				 (void *)0xffffffff81000000));
	expect_unused(_metadata, &self->target, self->map);
}

/* That they end early comes first. */
TEST_F(run, too_many_are_refused)
{
	const int many[] = { -1, INT_MIN, INT_MAX, 1 << 20 };
	char *page = map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS);
	struct privcmd_mmap_entry *entries;

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, munmap(page + PAGE, PAGE));
	memset(page, 0, PAGE);
	entries = (struct privcmd_mmap_entry *)(page + PAGE) - 1;
	*entries = entry(self->map, 0, 1);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		EXPECT_EQ(-EFAULT, map_entries(self->target.fd,
					       self->target.dom, many[i],
					       entries)) {
			TH_LOG("%d entries", many[i]);
		}
	}
	expect_unused(_metadata, &self->target, self->map);
}

/* Entries for long requests, all but the first of no pages. */
#define LONG 0x10000000

static struct privcmd_mmap_entry *map_long_array(char *map)
{
	struct privcmd_mmap_entry *entries =
		mmap(NULL, LONG * sizeof(*entries),
		     PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (entries == MAP_FAILED)
		return NULL;
	entries[0] = entry(map, 0, 1);
	return entries;
}

/* Nothing must be held for a request that cannot succeed. */
TEST_F(run, more_of_them_than_there_is_memory_hold_none)
{
	struct privcmd_mmap_entry *entries;

	if (host_is_at_risk())
		SKIP(return, "the stock driver eats up all memory");
	entries = map_long_array(self->map);
	ASSERT_NE(NULL, entries);
	EXPECT_EQ(-EINVAL, map_entries(self->target.fd, self->target.dom,
				       LONG / 2, entries));
	expect_unused(_metadata, &self->target, self->map);
}

TEST_F(run, very_many_end_when_killed)
{
	struct privcmd_mmap_entry *entries;
	pid_t child;

	if (host_is_at_risk())
		SKIP(return, "the stock driver eats up all memory");
	entries = map_long_array(self->map);
	ASSERT_NE(NULL, entries);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(map_entries(self->target.fd, self->target.dom, LONG,
				  entries));
	EXPECT_TRUE(can_be_killed(child));
}

TEST_F(run, with_a_bad_pointer)
{
	char *page = map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS);
	struct privcmd_mmap_entry *end = (void *)(page + PAGE);
	struct privcmd_mmap_entry *const bad[] = {
		NULL, (void *)1, end, (void *)((char *)end - 8), end - 1,
		(void *)0xffffffff81000000, (void *)(1UL << 63), (void *)-8UL,
	};

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, munmap(end, PAGE));
	end[-1] = entry(self->map, 0, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, map_entries(self->target.fd,
					       self->target.dom, 2, bad[i])) {
			TH_LOG("entries at %p", (void *)bad[i]);
		}
	}
	EXPECT_EQ(-EFAULT, request(self->target.fd, IOCTL_PRIVCMD_MMAP, NULL));
	expect_unused(_metadata, &self->target, self->map);
}

TEST_F(run, takes_read_only_memory)
{
	struct {
		struct privcmd_mmap arg;
		struct privcmd_mmap_entry entry;
	} *page = (void *)map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS);

	ASSERT_NE(NULL, page);
	page->arg.num = 1;
	page->arg.dom = self->target.dom;
	page->arg.entry = &page->entry;
	page->entry = entry(self->map, 1, PAGES);
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_EQ(0, request(self->target.fd, IOCTL_PRIVCMD_MMAP, &page->arg));
	expect_shown(_metadata, &self->target, self->map, 1, PAGES);
}

/* The first that the hypervisor refuses ends it, and what came before is undone. */
TEST_F(run, of_frames_that_do_not_exist_fails)
{
	const struct privcmd_mmap_entry entries[] = {
		entry(self->map, 6, 1),
		entry(self->map + PAGE, NO_FRAME, 1),
		entry(self->map + 2 * PAGE, 7, 2),
	};

	EXPECT_EQ(-EINVAL, map_entries(self->target.fd, self->target.dom, 3,
				       entries));
	expect_undone(_metadata, &self->target, self->map, 6, 1);
}

TEST_F(run, of_frames_that_end_early_fails)
{
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   FRAMES - 2, PAGES));
	EXPECT_TRUE(is_empty(self->map + 2 * PAGE, 2));
	if (!on_stock_driver())
		expect_unused(_metadata, &self->target, self->map);
}

TEST_F(run, of_no_such_domain_fails)
{
	EXPECT_EQ(-ESRCH, map_run(self->target.fd, NO_SUCH_DOMAIN, self->map, 0,
				  PAGES));
	expect_undone(_metadata, &self->target, self->map, 0, 0);
}

/* What is left of such a number is another frame. */
TEST_F(run, of_frames_that_no_page_table_entry_holds_fails)
{
	if (on_stock_driver())
		SKIP(return, CUT_BY_STOCK);
	for (size_t i = 0; i < ARRAY_SIZE(too_high_frames); i++) {
		char *map = map_file(self->target.fd, PAGES);
		const struct privcmd_mmap_entry entries[] = {
			entry(map, 5, 2),
			entry(map + 2 * PAGE, too_high_frames[i], 1),
		};

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_entries(self->target.fd, self->target.dom,
					       2, entries)) {
			TH_LOG("frame %#lx", too_high_frames[i]);
		}
		EXPECT_TRUE(is_empty(map, PAGES));
		EXPECT_TRUE(neighbours_are_untouched(map, PAGES));
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	}
	/* From the last one on their numbers would begin with 0 again. */
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   -2UL, PAGES));
	EXPECT_EQ(-EINVAL, map_run(self->target.fd, self->target.dom, self->map,
				   (1UL << 40) - 2, PAGES));
	expect_unused(_metadata, &self->target, self->map);
}

/* So many of no pages that a flush of all processors for each would be noticed. */
#define EMPTY_RUNS 200000

/* In an empty mapping of their own. */
static double seconds_of_runs(const struct target *target, struct privcmd_mmap_entry *entries)
{
	char *map = mmap(NULL, EMPTY_RUNS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 target->fd, 0);
	double start, taken;
	int ret;

	if (map == MAP_FAILED)
		return INFINITY;
	for (size_t i = 0; i < EMPTY_RUNS; i++)
		entries[i] = entry(map, 0, 0);
	start = now();
	ret = map_entries(target->fd, target->dom, EMPTY_RUNS, entries);
	taken = now() - start;
	munmap(map, EMPTY_RUNS * PAGE);
	return ret ? INFINITY : taken;
}

/* Each of them does less than a flush of all processors. */
static double seconds_of_calls(void)
{
	double start = now();

	for (unsigned int i = 0; i < EMPTY_RUNS; i++)
		getppid();
	return now() - start;
}

TEST_F(run, of_no_pages_costs_next_to_nothing)
{
	struct privcmd_mmap_entry *entries = calloc(EMPTY_RUNS, sizeof(*entries));
	bool cheap = false;

	if (host_is_at_risk())
		SKIP(return, "the stock driver flushes all processors for each");
	/* The machine may have other things to do, once. */
	for (unsigned int round = 0; round < 3 && !cheap; round++) {
		double runs = seconds_of_runs(&self->target, entries);
		double calls = seconds_of_calls();

		cheap = runs < calls;
		TH_LOG("done in %.4f s, as many system calls in %.4f s", runs, calls);
		ASSERT_TRUE(isfinite(runs));
	}
	EXPECT_TRUE(cheap);
	free(entries);
}

TEST_F(run, of_a_pv_domain)
{
	int dom = domain_create(DOMAIN_PV, 1);
	struct privcmd_mmap_entry entries[PAGES];
	char *map = map_file(self->target.fd, PAGES);
	xen_pfn_t frames[PAGES];

	ASSERT_LT(0, dom);
	ASSERT_EQ(0, domain_populate(dom, PAGES, frames));
	ASSERT_NE(NULL, map);
	for (unsigned int i = 0; i < PAGES; i++)
		entries[i] = entry(self->map + i * PAGE, frames[i], 1);
	ASSERT_EQ(0, map_entries(self->target.fd, dom, PAGES, entries));
	for (unsigned int i = 0; i < PAGES; i++)
		entries[i] = entry(map + i * PAGE, frames[i], 1);
	ASSERT_EQ(0, map_entries(self->target.fd, dom, PAGES, entries));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_TRUE(is_same_memory(self->map + i * PAGE,
					   map + i * PAGE));
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	EXPECT_EQ(0, domain_destroy(dom));
}

TEST_F(run, on_a_restricted_file_is_for_its_domain)
{
	ASSERT_EQ(0, restrict_to(self->target.fd, self->target.dom));
	EXPECT_EQ(-EPERM, map_run(self->target.fd, 0, self->map, 0, 1));
	EXPECT_EQ(-EPERM, map_run(self->target.fd, NO_SUCH_DOMAIN, self->map, 0,
				  1));
	EXPECT_EQ(-EPERM, map_run(self->target.fd, DOMID_SELF, self->map, 0, 1));
	expect_unused(_metadata, &self->target, self->map);
}

TEST_F(run, on_a_file_for_another_domain_is_refused)
{
	ASSERT_EQ(0, restrict_to(self->target.fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, map_run(self->target.fd, self->target.dom, self->map,
				  0, PAGES));
	/* Whatever else is wrong. */
	EXPECT_EQ(-EPERM, map_run(self->target.fd, self->target.dom, NULL, 0,
				  PAGES));
	EXPECT_EQ(-EPERM, map_entries(self->target.fd, self->target.dom, 0,
				      NULL));
	EXPECT_EQ(-EPERM, map_entries(self->target.fd, self->target.dom, -1,
				      NULL));
	EXPECT_EQ(-EFAULT, request(self->target.fd, IOCTL_PRIVCMD_MMAP, NULL));
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

/* Whatever else is wrong. */
TEST(auto_translated_callers_have_no_such_command)
{
	struct privcmd_mmap_entry entry = { .npages = 1 };
	struct target target;
	char *map;

	if (!on_auto_translated())
		SKIP(return, ON_PV);
	ASSERT_EQ(0, target_create(&target));
	map = map_file(target.fd, PAGES);
	ASSERT_NE(NULL, map);
	entry.va = (uintptr_t)map;
	EXPECT_EQ(-ENOSYS, map_entries(target.fd, target.dom, 1, &entry));
	EXPECT_EQ(-ENOSYS, map_entries(target.fd, target.dom, 0, NULL));
	EXPECT_EQ(-ENOSYS, map_entries(target.fd, target.dom, 1, NULL));
	EXPECT_EQ(-ENOSYS, map_entries(target.fd, target.dom, -1, &entry));
	EXPECT_EQ(-ENOSYS, request(target.fd, IOCTL_PRIVCMD_MMAP, NULL));
	ASSERT_EQ(0, restrict_to(target.fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-ENOSYS, map_entries(target.fd, target.dom, 1, &entry));
	EXPECT_EQ(-ENOSYS, request(target.fd, IOCTL_PRIVCMD_MMAP, NULL));
	EXPECT_TRUE(is_empty(map, PAGES));
	EXPECT_TRUE(neighbours_are_untouched(map, PAGES));
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	EXPECT_EQ(0, target_destroy(&target));
}

TEST_HARNESS_MAIN
