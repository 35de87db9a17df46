// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOCTL_PRIVCMD_MMAPBATCH and its version 2: single frames of another domain
 * in a mapping, and what becomes of those that cannot be mapped.
 */

#include "mapping.h"

/* The pages of the mapping that requests are for. */
#define PAGES 4

/* Their frames, and how many these are at most. */
#define NUM		(PAGES * FRAMES_PER_PAGE)
#define MOST_NUM	(PAGES * MOST_FRAMES_PER_PAGE)

/* More than the driver hands to the hypervisor at a time, twice over. */
#define MANY 1100

/* More frames than the driver keeps on its stack, and than the mapping has. */
#define ON_HEAP (MOST_NUM + 1)

/* What version 2 says of a frame that the domain does not have. */
#define FRAME_ERROR (-EINVAL)

struct request {
	int version;
	int fd;
	domid_t dom;
};

/*
 * Makes a request of either version.  Answers what became of the frames; all
 * else must be as it was, or on success as the version defines it.
 */
static int map_batch_of_frames(const struct request *req, const void *addr,
			       unsigned int num, const xen_pfn_t *frames, int *failed)
{
	xen_pfn_t *arr = malloc(num * sizeof(*arr));
	int *err = malloc((num + 2) * sizeof(*err));
	int ret;

	memcpy(arr, frames, num * sizeof(*arr));
	memset(err, UNTOUCHED, (num + 2) * sizeof(*err));
	ret = req->version == 1 ?
	      map_batch_v1(req->fd, req->dom, addr, num, arr) :
	      map_batch_v2(req->fd, req->dom, addr, num, arr, err + 1);

	if (!is_untouched(err, sizeof(*err)) ||
	    !is_untouched(err + 1 + num, sizeof(*err)))
		ret = memory_changed("MMAPBATCH_V2, around its errors");
	for (unsigned int i = 0; i < num; i++) {
		bool marked = arr[i] == (frames[i] | PRIVCMD_MMAPBATCH_MFN_ERROR);

		if (arr[i] != frames[i] && !(marked && !ret && req->version == 1))
			ret = memory_changed("MMAPBATCH");
		failed[i] = req->version == 1 ? marked : err[i + 1];
	}
	free(arr);
	free(err);
	return ret;
}

/* The same with pages; each fails in all of its frames, or in none. */
static int map_batch(const struct request *req, const void *addr,
		     unsigned int num, const xen_pfn_t *pages, bool *failed)
{
	size_t nr = num * FRAMES_PER_PAGE;
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	int *of_frames = malloc(nr * sizeof(*of_frames));
	int *of_pages = malloc(num * sizeof(*of_pages));
	int ret;

	frames_of(pages, num, frames);
	ret = map_batch_of_frames(req, addr, nr, frames, of_frames);
	if (!ret && failed)
		ret = errors_of(of_frames, num, of_pages);
	for (unsigned int i = 0; !ret && failed && i < num; i++)
		failed[i] = of_pages[i];
	free(frames);
	free(of_frames);
	free(of_pages);
	return ret;
}

FIXTURE(batch)
{
	struct target target;
	struct request request;
	char *map;
};

FIXTURE_VARIANT(batch)
{
	int version;
};

FIXTURE_VARIANT_ADD(batch, v1) {
	.version = 1,
};

FIXTURE_VARIANT_ADD(batch, v2) {
	.version = 2,
};

FIXTURE_SETUP(batch)
{
	ASSERT_EQ(0, target_create(&self->target));
	self->request.version = variant->version;
	self->request.fd = self->target.fd;
	self->request.dom = self->target.dom;
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(batch)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	munmap(self->map, PAGES * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

static const xen_pfn_t good[PAGES] = { 3, 14, 0, 15 };

/* The pages show these frames, and NO_FRAME stands for none. */
static void expect_shown(struct __test_metadata *_metadata,
			 const struct target *target, char *map,
			 const xen_pfn_t *frames, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++) {
		char *page = map + i * PAGE;

		if (frames[i] == NO_FRAME) {
			EXPECT_TRUE(is_empty(page, 1));
			continue;
		}
		ASSERT_EQ(0, signal_of_reading(page)) {
			TH_LOG("page %u", i);
		}
		EXPECT_EQ(frames[i], number_of(page));
		EXPECT_TRUE(is_same_memory(page, target->view + frames[i] * PAGE));
		EXPECT_TRUE(is_same_memory(target->view + frames[i] * PAGE, page));
	}
}

/* Maps frames of which some do not exist. */
static void expect_mapped(struct __test_metadata *_metadata,
			  const struct request *request,
			  const struct target *target, char *map,
			  const xen_pfn_t *frames, unsigned int num)
{
	bool failed[MANY];

	ASSERT_EQ(0, map_batch(request, map, num, frames, failed));
	for (unsigned int i = 0; i < num; i++) {
		ASSERT_EQ(frames[i] == NO_FRAME, failed[i]) {
			TH_LOG("frame %u", i);
		}
	}
	expect_shown(_metadata, target, map, frames, num);
}

/* Refused, and the mapping can still be used as if nothing had been asked. */
static void expect_refused(struct __test_metadata *_metadata,
			   const struct request *request, char *map, int error,
			   const void *addr, unsigned int num)
{
	const xen_pfn_t frames[2 * PAGES] = {};

	EXPECT_EQ(error, map_batch(request, addr, num, frames, NULL)) {
		TH_LOG("%u pages at %p, the mapping is at %p", num, addr, map);
	}
	EXPECT_TRUE(is_empty(map, PAGES));
}

TEST_F(batch, shows_the_frames)
{
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

TEST_F(batch, shows_a_frame_as_often_as_named)
{
	const xen_pfn_t frames[PAGES] = { 5, 5, 7, 5 };

	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
	EXPECT_TRUE(is_same_memory(self->map, self->map + PAGE));
	EXPECT_TRUE(is_same_memory(self->map + 3 * PAGE, self->map));
	EXPECT_FALSE(is_same_memory(self->map, self->map + 2 * PAGE));
}

TEST_F(batch, says_which_frames_failed)
{
	const xen_pfn_t frames[PAGES] = { NO_FRAME, 1, NO_FRAME, 2 };

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
}

TEST_F(batch, says_when_all_frames_failed)
{
	const xen_pfn_t frames[PAGES] = { NO_FRAME, NO_FRAME, NO_FRAME, NO_FRAME };

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

/* They are empty for the kernel too, when it acts for the caller. */
TEST_F(batch, leaves_holes_that_cannot_be_accessed)
{
	const xen_pfn_t frames[PAGES] = { NO_FRAME, 1, NO_FRAME, NO_FRAME };
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int pipes[2];

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_LE(0, zero);
	ASSERT_EQ(0, pipe(pipes));
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
	for (unsigned int i = 0; i < PAGES; i++) {
		int expected = frames[i] == NO_FRAME ? -1 : 1;
		char *page = self->map + i * PAGE;

		errno = EFAULT;
		EXPECT_EQ(expected, write(pipes[1], page, 1));
		EXPECT_EQ(expected, read(zero, page, 1));
		EXPECT_EQ(EFAULT, errno);
	}
	close(zero);
}

TEST_F(batch, says_which_of_many_frames_failed)
{
	const unsigned int bad[] = { 0, 1, 511, 512, 600, 1023, 1024, MANY - 1 };
	char *map = map_file(self->target.fd, MANY);
	xen_pfn_t frames[MANY];

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_NE(NULL, map);
	for (unsigned int i = 0; i < MANY; i++)
		frames[i] = i * 7 % FRAMES;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		frames[bad[i]] = NO_FRAME;
	expect_mapped(_metadata, &self->request, &self->target, map, frames,
		      MANY);
	EXPECT_TRUE(neighbours_are_untouched(map, MANY));
	EXPECT_EQ(0, munmap(map, MANY * PAGE));
}

TEST_F(batch, fills_holes)
{
	const xen_pfn_t frames[PAGES] = { 1, NO_FRAME, NO_FRAME, 2 };
	const xen_pfn_t one_more[] = { NO_FRAME, 9 };
	const xen_pfn_t rest[] = { 8 };
	const xen_pfn_t full[PAGES] = { 1, 8, 9, 2 };

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
	expect_mapped(_metadata, &self->request, &self->target,
		      self->map + PAGE, one_more, 2);
	expect_mapped(_metadata, &self->request, &self->target,
		      self->map + PAGE, rest, 1);
	expect_shown(_metadata, &self->target, self->map, full, PAGES);
}

/* Neither into what is mapped already, nor past the end. */
TEST_F(batch, fills_nothing_but_holes)
{
	const xen_pfn_t frames[PAGES] = { 1, NO_FRAME, 2, NO_FRAME };
	const xen_pfn_t more[PAGES + 1] = { 4, 5, 6, 7, 8 };

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
	for (unsigned int first = 0; first < PAGES; first++) {
		for (unsigned int num = 1; num <= PAGES + 1; num++) {
			if (num == 1 && frames[first] == NO_FRAME)
				continue;
			EXPECT_EQ(-EINVAL,
				  map_batch(&self->request,
					    self->map + first * PAGE, num, more,
					    NULL)) {
				TH_LOG("%u pages from page %u on", num, first);
			}
		}
	}
	expect_shown(_metadata, &self->target, self->map, frames, PAGES);
}

TEST_F(batch, is_refused_where_something_is_mapped)
{
	const xen_pfn_t others[PAGES] = { 4, 5, 6, 7 };

	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
	EXPECT_EQ(-EINVAL, map_batch(&self->request, self->map, PAGES, others,
				     NULL));
	EXPECT_EQ(-EINVAL, map_batch(&self->request, self->map, 1, others,
				     NULL));
	EXPECT_EQ(-EINVAL, map_batch(&self->request, self->map + 3 * PAGE, 1,
				     others, NULL));
	/* The same frames make no difference. */
	EXPECT_EQ(-EINVAL, map_batch(&self->request, self->map, PAGES, good,
				     NULL));
	expect_shown(_metadata, &self->target, self->map, good, PAGES);
}

/* The first one has to fill the mapping. */
TEST_F(batch, of_another_size_is_refused)
{
	for (unsigned int num = 1; num < 2 * PAGES; num++) {
		if (num != PAGES)
			expect_refused(_metadata, &self->request, self->map,
				       -EINVAL, self->map, num);
	}
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

TEST_F(batch, at_another_place_is_refused)
{
	const ssize_t offsets[] = {
		PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE, 1, 2048,
		PAGE - 1, 3 * PAGE + 1, -1, -PAGE, -5 * PAGE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		const char *addr = self->map + offsets[i];

		for (unsigned int num = 1; num <= PAGES + 2; num++)
			expect_refused(_metadata, &self->request, self->map,
				       -EINVAL, addr, num);
	}
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

/* Where the kernel's search for what is there finds the mapping above. */
TEST_F(batch, below_a_mapping_is_refused)
{
	char *below = self->map - PAGE;

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_EQ(0, munmap(below, PAGE));
	for (unsigned int num = 1; num <= PAGES + 1; num++)
		expect_refused(_metadata, &self->request, self->map, -EINVAL,
			       below, num);
	/* Also when the mapping has holes to be filled. */
	ASSERT_EQ(0, map_batch(&self->request, self->map, PAGES,
			       (xen_pfn_t[PAGES]) { NO_FRAME, 1, 2, 3 }, NULL));
	EXPECT_EQ(-EINVAL, map_batch(&self->request, below, 1, good, NULL));
	EXPECT_EQ(-EINVAL, map_batch(&self->request, below, 2, good, NULL));
	EXPECT_TRUE(is_empty(self->map, 1));
	EXPECT_EQ(SIGSEGV, signal_of_reading(below));

	ASSERT_EQ(below, mmap(below, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(below, UNTOUCHED, PAGE);
}

TEST_F(batch, beyond_all_addresses_is_refused)
{
	const uintptr_t addrs[] = {
		-PAGE, -PAGES * PAGE, -1UL, 1UL << 63, 1UL << 47, 1UL << 52,
		0xffff800000000000, 0xffffffff81000000, 0, PAGE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		expect_refused(_metadata, &self->request, self->map, -EINVAL,
			       (void *)addrs[i], PAGES);
		expect_refused(_metadata, &self->request, self->map, -EINVAL,
			       (void *)addrs[i], 1);
	}
}

TEST_F(batch, across_two_mappings_is_refused)
{
	char *next = self->map + 2 * PAGE;

	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	ASSERT_EQ(self->map, mmap(self->map, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->target.fd, 0));
	ASSERT_EQ(next, mmap(next, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, self->target.fd, 0));
	expect_refused(_metadata, &self->request, self->map, -EINVAL, self->map,
		       PAGES);
	expect_refused(_metadata, &self->request, self->map, -EINVAL,
		       self->map + PAGE, 2);
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      2);
	EXPECT_TRUE(is_empty(next, 2));
	expect_mapped(_metadata, &self->request, &self->target, next, good + 2,
		      2);
}

/* The rest of the address within its page does not count, as ever. */
TEST_F(batch, into_a_hole_need_not_be_aligned)
{
	const xen_pfn_t frames[PAGES] = { 1, NO_FRAME, 2, NO_FRAME };
	const xen_pfn_t full[PAGES] = { 1, 3, 2, NO_FRAME };

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      frames, PAGES);
	EXPECT_EQ(0, map_batch(&self->request, self->map + PAGE + 5, 1, good,
			       NULL));
	EXPECT_EQ(-EINVAL, map_batch(&self->request, self->map + 3 * PAGE + 5,
				     1, good, NULL));
	expect_shown(_metadata, &self->target, self->map, full, PAGES);
}

/* A page of another kind of memory must not be taken for a privcmd mapping. */
TEST_F(batch, into_other_memory_is_refused)
{
	char *others[OTHER_MEMORIES];

	ASSERT_TRUE(map_others(others, PAGES));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		for (unsigned int num = 1; num <= PAGES; num++)
			expect_refused(_metadata, &self->request, self->map,
				       -EINVAL, others[i], num);
		EXPECT_TRUE(is_untouched(others[i] - PAGE, (PAGES + 2) * PAGE));
		EXPECT_EQ(0, munmap(others[i], PAGES * PAGE));
	}
}

/* The driver's mappings are all alike, whichever file they are of. */
TEST_F(batch, into_a_mapping_of_another_file)
{
	int proc = open("/proc/xen/privcmd", O_RDWR | O_CLOEXEC);
	int fd = privcmd_open();
	char *map;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, proc);
	ASSERT_EQ(0, restrict_to(fd, 0));
	map = map_file(fd, PAGES);
	ASSERT_NE(NULL, map);
	expect_mapped(_metadata, &self->request, &self->target, map, good,
		      PAGES);
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));

	map = map_file(proc, PAGES);
	ASSERT_NE(NULL, map);
	expect_mapped(_metadata, &self->request, &self->target, map, good,
		      PAGES);
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	close(fd);
	close(proc);
}

TEST_F(batch, of_no_frames_is_refused)
{
	expect_refused(_metadata, &self->request, self->map, -EINVAL, self->map,
		       0);
	expect_refused(_metadata, &self->request, self->map, -EINVAL, NULL, 0);
}

/* Makes a request with arrays wherever they are; version 2 clears its errors. */
static int map_arrays(const struct request *req, const void *addr,
		      unsigned int num, const void *frames)
{
	static const int read_only;
	static int err[PAGES];

	return req->version == 1 ?
	       map_batch_v1(req->fd, req->dom, addr, num, (void *)frames) :
	       map_batch_v2(req->fd, req->dom, addr, num, frames,
			    num <= PAGES ? err : (int *)&read_only);
}

/* That they end early comes first. */
TEST_F(batch, of_too_many_frames_is_refused)
{
	const unsigned int many[] = { 1U << 20, 1U << 31, -2U, -1U };
	xen_pfn_t *frames = (void *)map_file_as(-1, 1, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS);

	ASSERT_NE(NULL, frames);
	ASSERT_EQ(0, munmap(frames + PAGE / sizeof(*frames), PAGE));
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		EXPECT_EQ(-EFAULT, map_arrays(&self->request, self->map,
					      many[i], frames)) {
			TH_LOG("%#x frames", many[i]);
		}
	}
	EXPECT_TRUE(is_empty(self->map, PAGES));
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

/* Frames for long requests, all in the page of zeroes. */
#define LONG 0x20000000U

static void *map_long_array(void)
{
	return mmap(NULL, LONG * sizeof(xen_pfn_t), PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* Nothing must be held for a request that cannot succeed. */
TEST_F(batch, of_more_frames_than_there_is_memory_holds_none)
{
	void *frames;

	if (host_is_at_risk())
		SKIP(return, "the stock driver eats up all memory");
	frames = map_long_array();
	ASSERT_NE(MAP_FAILED, frames);
	/* The errors of version 2 are in read-only memory. */
	EXPECT_EQ(variant->version == 1 ? -EINVAL : -EFAULT,
		  map_arrays(&self->request, self->map, LONG / 2, frames));
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

TEST_F(batch, of_very_many_frames_ends_when_killed)
{
	void *frames;
	pid_t child;

	if (host_is_at_risk())
		SKIP(return, "the stock driver eats up all memory");
	frames = map_long_array();
	ASSERT_NE(MAP_FAILED, frames);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(map_arrays(&self->request, self->map, LONG, frames));
	EXPECT_TRUE(can_be_killed(child));
}

TEST_F(batch, with_frames_at_a_bad_pointer)
{
	char *page = map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS);
	char *end = page + PAGE;
	const void *bad[] = {
		NULL, (void *)1, end, end - 8, end - 3 * 8 - 1,
		(void *)0xffffffff81000000, (void *)(1UL << 63), (void *)-8UL,
	};

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, munmap(end, PAGE));
	memset(page, 0, PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, map_arrays(&self->request, self->map, PAGES,
					      bad[i])) {
			TH_LOG("frames at %p", bad[i]);
		}
	}
	EXPECT_TRUE(is_empty(self->map, PAGES));
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

TEST_F(batch, with_a_bad_argument)
{
	unsigned int cmd = variant->version == 1 ? IOCTL_PRIVCMD_MMAPBATCH :
						   IOCTL_PRIVCMD_MMAPBATCH_V2;

	EXPECT_EQ(-EFAULT, request(self->target.fd, cmd, NULL));
	EXPECT_EQ(-EFAULT, request(self->target.fd, cmd,
				   (void *)0xffffffff81000000));
	ASSERT_EQ(0, restrict_to(self->target.fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EFAULT, request(self->target.fd, cmd, NULL));
}

TEST_F(batch, of_no_such_domain_fails_in_each_frame)
{
	bool failed[PAGES] = {};

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	self->request.dom = NO_SUCH_DOMAIN;
	EXPECT_EQ(0, map_batch(&self->request, self->map, PAGES, good, failed));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_TRUE(failed[i]);
	EXPECT_TRUE(is_empty(self->map, PAGES));
}

/* What is left of such a number is another frame.  The page's others exist. */
TEST_F(batch, of_frames_that_no_page_table_entry_holds_fails_in_each)
{
	xen_pfn_t frames[MOST_FRAMES_PER_PAGE];
	int failed[MOST_FRAMES_PER_PAGE];

	if (on_stock_driver())
		SKIP(return, CUT_BY_STOCK);
	expect_mapped(_metadata, &self->request, &self->target, self->map,
		      (const xen_pfn_t[]) { 1, NO_FRAME, NO_FRAME, 2 }, PAGES);
	for (size_t i = 0; i < ARRAY_SIZE(too_high_frames); i++) {
		frames_of(good, 1, frames);
		frames[i % FRAMES_PER_PAGE] = too_high_frames[i];
		ASSERT_EQ(0, map_batch_of_frames(&self->request, self->map + PAGE,
						 FRAMES_PER_PAGE, frames, failed));
		for (size_t j = 0; j < FRAMES_PER_PAGE; j++) {
			ASSERT_TRUE(failed[j]) {
				TH_LOG("frame %#lx", too_high_frames[i]);
			}
		}
		EXPECT_TRUE(is_empty(self->map + PAGE, 1));
	}
}

TEST_F(batch, of_a_pv_domain)
{
	char *map = map_file(self->target.fd, PAGES);
	xen_pfn_t frames[PAGES];
	bool failed[PAGES];
	int dom;

	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	dom = domain_create(DOMAIN_PV, 1);
	ASSERT_LT(0, dom);
	ASSERT_EQ(0, domain_populate(dom, PAGES, frames));
	ASSERT_NE(NULL, map);
	self->request.dom = dom;
	ASSERT_EQ(0, map_batch(&self->request, self->map, PAGES, frames,
			       failed));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_FALSE(failed[i]);
	ASSERT_EQ(0, map_batch(&self->request, map, PAGES, frames, failed));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_TRUE(is_same_memory(self->map + i * PAGE,
					   map + i * PAGE));
	/* Its frames are no other's. */
	self->request.dom = self->target.dom;
	ASSERT_EQ(0, munmap(map, PAGES * PAGE));
	map = map_file(self->target.fd, PAGES);
	EXPECT_EQ(0, map_batch(&self->request, map, PAGES, frames, failed));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_TRUE(failed[i]);
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	EXPECT_EQ(0, domain_destroy(dom));
}

TEST_F(batch, on_a_restricted_file_is_for_its_domain)
{
	ASSERT_EQ(0, restrict_to(self->target.fd, self->target.dom));
	self->request.dom = 0;
	expect_refused(_metadata, &self->request, self->map, -EPERM, self->map,
		       PAGES);
	self->request.dom = NO_SUCH_DOMAIN;
	expect_refused(_metadata, &self->request, self->map, -EPERM, self->map,
		       PAGES);
	self->request.dom = DOMID_SELF;
	expect_refused(_metadata, &self->request, self->map, -EPERM, self->map,
		       PAGES);
	self->request.dom = self->target.dom;
	expect_mapped(_metadata, &self->request, &self->target, self->map, good,
		      PAGES);
}

TEST_F(batch, on_a_file_for_another_domain_is_refused)
{
	ASSERT_EQ(0, restrict_to(self->target.fd, NO_SUCH_DOMAIN));
	expect_refused(_metadata, &self->request, self->map, -EPERM, self->map,
		       PAGES);
	/* Whatever else is wrong. */
	expect_refused(_metadata, &self->request, self->map, -EPERM, self->map,
		       0);
	expect_refused(_metadata, &self->request, self->map, -EPERM, NULL, 1);
	EXPECT_EQ(-EPERM, map_arrays(&self->request, self->map, PAGES, NULL));
	EXPECT_EQ(-EPERM, map_arrays(&self->request, self->map, -1U, good));
}

/* The array's place where the errors go is looked at first, as ever. */
TEST_F(batch, with_errors_in_kernel_memory_is_refused_first)
{
	const uintptr_t bad[] = {
		0xffffffff81000000, 1UL << 63, 0xffff800000000000,
	};

	ASSERT_EQ(0, restrict_to(self->target.fd, NO_SUCH_DOMAIN));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int ret = variant->version == 1 ?
			  map_batch_v1(self->target.fd, self->target.dom,
				       self->map, PAGES, (void *)bad[i]) :
			  map_batch_v2(self->target.fd, self->target.dom,
				       self->map, PAGES, good, (void *)bad[i]);

		EXPECT_EQ(-EFAULT, ret) {
			TH_LOG("at %#lx", (unsigned long)bad[i]);
		}
	}
}

/* A domain of which one page's first frame is paged out. */
FIXTURE(paged)
{
	struct request request;
	char *map;
};

FIXTURE_VARIANT(paged)
{
	int version;
};

FIXTURE_VARIANT_ADD(paged, v1) {
	.version = 1,
};

FIXTURE_VARIANT_ADD(paged, v2) {
	.version = 2,
};

#define PAGED_OUT 5

FIXTURE_SETUP(paged)
{
	struct request *request = &self->request;
	int ret;

	request->version = variant->version;
	request->fd = privcmd_open();
	ASSERT_LE(0, request->fd);
	ret = domain_create(DOMAIN_PVH, 1);
	ASSERT_LT(0, ret);
	request->dom = ret;
	ASSERT_EQ(0, populate(request->dom));
	ret = domain_page_out(request->dom, PAGED_OUT * FRAMES_PER_PAGE);
	/* Xen for Arm takes the whole operation for none: EINVAL. */
	if (ret == -ENOSYS || ret == -EOPNOTSUPP || ret == -EINVAL)
		SKIP_FIXTURE(return, "this Xen pages nothing out, for want of MEM_PAGING");
	ASSERT_EQ(0, ret);
	if (on_stock_driver())
		SKIP_FIXTURE(return, "the stock driver says that all is well");
	self->map = map_file(request->fd, MANY);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(paged)
{
	munmap(self->map, MANY * PAGE);
	close(self->request.fd);
	EXPECT_EQ(0, domain_destroy(self->request.dom));
}

/* Of either version, with its errors as those of version 2. */
static int map_with_errors(const struct request *req, const char *map,
			   const xen_pfn_t *pages, int *err)
{
	const unsigned int nr = MANY * FRAMES_PER_PAGE;
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	xen_pfn_t *arr = malloc(nr * sizeof(*arr));
	int *errors = calloc(nr, sizeof(*errors));
	int ret;

	frames_of(pages, MANY, frames);
	memcpy(arr, frames, nr * sizeof(*arr));
	ret = req->version == 2 ?
	      map_batch_v2(req->fd, req->dom, map, nr, arr, errors) :
	      map_batch_v1(req->fd, req->dom, map, nr, arr);
	for (unsigned int i = 0; i < nr; i++) {
		if (arr[i] == frames[i])
			continue;
		errors[i] = arr[i] == (frames[i] | PRIVCMD_MMAPBATCH_PAGED_ERROR) ?
			    -ENOENT : FRAME_ERROR;
	}
	ret = errors_of(errors, MANY, err) ?: ret;
	free(frames);
	free(arr);
	free(errors);
	return ret;
}

/* A batch that is handed to the hypervisor in parts; one of its pages is paged out. */
static void fill_in_paged(xen_pfn_t *pages, unsigned int place)
{
	for (unsigned int i = 0; i < MANY; i++)
		pages[i] = i == place ? PAGED_OUT : 2;
}

/* Wherever in the batch it is. */
TEST_F(paged, frame_is_told_from_one_that_does_not_exist)
{
	const unsigned int places[] = { 0, 1, 15, 16, 511, 512, 600, MANY - 1 };
	xen_pfn_t pages[MANY];
	int err[MANY];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		unsigned int place = places[i], bad = place ? place - 1 : 1;

		fill_in_paged(pages, place);
		pages[bad] = NO_FRAME;
		EXPECT_EQ(-ENOENT, map_with_errors(&self->request, self->map, pages, err)) {
			TH_LOG("page %u of the batch", place);
		}
		for (unsigned int j = 0; j < MANY; j++) {
			int expected = j == place ? -ENOENT : j == bad ? FRAME_ERROR : 0;

			ASSERT_EQ(expected, err[j]);
			ASSERT_EQ(expected ? SIGBUS : 0,
				  signal_of_reading(self->map + j * PAGE));
		}
		ASSERT_EQ(0, munmap(self->map, MANY * PAGE));
		self->map = map_file(self->request.fd, MANY);
	}
}

/* The caller tries again until it is there. */
TEST_F(paged, frame_can_be_mapped_when_it_is_there)
{
	char *content = aligned_alloc(XC_PAGE_SIZE, XC_PAGE_SIZE);
	xen_pfn_t pages[MANY], page = PAGED_OUT;
	int err[MANY];
	bool failed;

	memset(content, UNTOUCHED, XC_PAGE_SIZE);
	fill_in_paged(pages, 3);
	EXPECT_EQ(-ENOENT, map_with_errors(&self->request, self->map, pages, err));
	ASSERT_EQ(0, domain_page_in(self->request.dom, PAGED_OUT * FRAMES_PER_PAGE,
				    content));
	EXPECT_EQ(0, map_batch(&self->request, self->map + 3 * PAGE, 1, &page, &failed));
	EXPECT_FALSE(failed);
	EXPECT_TRUE(is_untouched(self->map + 3 * PAGE, XC_PAGE_SIZE));
	free(content);
}

FIXTURE(errors)
{
	struct target target;
	char *map;
	/* Frames that all exist, and of which some pages do not. */
	xen_pfn_t good[MOST_NUM];
	xen_pfn_t some_bad[MOST_NUM];
	/* Arrays, at the start of a page that can be made read-only. */
	char *page;
};

static const xen_pfn_t some_bad[PAGES] = { 1, NO_FRAME, 2, NO_FRAME };

FIXTURE_SETUP(errors)
{
	ASSERT_EQ(0, target_create(&self->target));
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
	self->page = map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS);
	ASSERT_NE(NULL, self->page);
	memset(self->page, UNTOUCHED, PAGE);
	frames_of(good, PAGES, self->good);
	frames_of(some_bad, PAGES, self->some_bad);
}

FIXTURE_TEARDOWN(errors)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	EXPECT_TRUE(neighbours_are_untouched(self->page, 1));
	munmap(self->map, PAGES * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* Whether a frame is of a page that the domain does not have. */
static bool is_bad(unsigned int frame)
{
	return some_bad[frame / FRAMES_PER_PAGE] == NO_FRAME;
}

TEST_F(errors, of_v2_are_the_hypervisors)
{
	int err[MOST_NUM];

	memset(err, UNTOUCHED, sizeof(err));
	ASSERT_EQ(0, map_batch_v2(self->target.fd, self->target.dom, self->map,
				  NUM, self->some_bad, err));
	for (unsigned int i = 0; i < NUM; i++)
		EXPECT_EQ(is_bad(i) ? FRAME_ERROR : 0, err[i]);
}

/* Each has its own, and harms no page but its own. */
TEST_F(errors, of_v2_tell_of_frames_that_no_page_table_entry_holds)
{
	const size_t num = ARRAY_SIZE(too_high_frames), nr = 2 * num * FRAMES_PER_PAGE;
	xen_pfn_t frames[2 * ARRAY_SIZE(too_high_frames) * MOST_FRAMES_PER_PAGE];
	int err[2 * ARRAY_SIZE(too_high_frames) * MOST_FRAMES_PER_PAGE];
	int of_pages[2 * ARRAY_SIZE(too_high_frames)];
	xen_pfn_t pages[2 * ARRAY_SIZE(too_high_frames)];
	char *map = map_file(self->target.fd, 2 * num);

	if (on_stock_driver())
		SKIP(return, CUT_BY_STOCK);
	ASSERT_NE(NULL, map);
	for (size_t i = 0; i < 2 * num; i++)
		pages[i] = i / 2 % FRAMES;
	frames_of(pages, 2 * num, frames);
	for (size_t i = 0; i < num; i++)
		frames[(2 * i + 1) * FRAMES_PER_PAGE + i % FRAMES_PER_PAGE] = too_high_frames[i];
	ASSERT_EQ(0, map_batch_v2(self->target.fd, self->target.dom, map, nr, frames, err));
	ASSERT_EQ(0, errors_of(err, 2 * num, of_pages));
	for (size_t i = 0; i < num; i++) {
		EXPECT_EQ(0, of_pages[2 * i]);
		EXPECT_EQ(i % FRAMES, number_of(map + 2 * i * PAGE));
		EXPECT_EQ(FRAME_ERROR, of_pages[2 * i + 1]) {
			TH_LOG("frame %#lx", too_high_frames[i]);
		}
		EXPECT_TRUE(is_empty(map + (2 * i + 1) * PAGE, 1));
	}
	EXPECT_EQ(0, munmap(map, 2 * num * PAGE));
}

TEST_F(errors, of_v2_tell_that_there_is_no_such_domain)
{
	int err[MOST_NUM] = {};

	ASSERT_EQ(0, map_batch_v2(self->target.fd, NO_SUCH_DOMAIN, self->map,
				  NUM, self->good, err));
	for (unsigned int i = 0; i < NUM; i++)
		EXPECT_EQ(-ESRCH, err[i]);
}

TEST_F(errors, of_v2_are_cleared_on_success)
{
	int *err = (int *)self->page;

	ASSERT_EQ(0, map_batch_v2(self->target.fd, self->target.dom, self->map,
				  NUM, self->good, err));
	for (unsigned int i = 0; i < NUM; i++)
		EXPECT_EQ(0, err[i]);
	EXPECT_TRUE(is_untouched(err + NUM, PAGE - NUM * sizeof(*err)));
}

TEST_F(errors, of_v2_are_cleared_even_if_there_is_no_mapping)
{
	const xen_pfn_t frames[ON_HEAP] = {};
	const int clear[ON_HEAP] = {};
	int *err = (int *)self->page;

	EXPECT_EQ(-EINVAL, map_batch_v2(self->target.fd, self->target.dom,
					self->map + PAGE, NUM, self->good, err));
	EXPECT_EQ(0, memcmp(err, clear, NUM * sizeof(*err)));
	EXPECT_TRUE(is_untouched(err + NUM, PAGE - NUM * sizeof(*err)));
	EXPECT_EQ(-EINVAL, map_batch_v2(self->target.fd, self->target.dom,
					self->map, ON_HEAP, frames, err));
	EXPECT_EQ(0, memcmp(err, clear, sizeof(clear)));
	EXPECT_TRUE(is_untouched(err + ON_HEAP, PAGE - sizeof(clear)));
}

TEST_F(errors, of_v2_are_left_alone_if_the_frames_end_early)
{
	char *frames = map_file_as(-1, 1, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS);
	const unsigned int nums[] = { NUM, ON_HEAP };

	ASSERT_NE(NULL, frames);
	ASSERT_EQ(0, munmap(frames + PAGE, PAGE));
	for (unsigned int i = 0; i < 2; i++)
		EXPECT_EQ(-EFAULT, map_batch_v2(self->target.fd, self->target.dom,
						self->map, nums[i],
						(xen_pfn_t *)(frames + PAGE) - nums[i] + 1,
						(int *)self->page));
	EXPECT_TRUE(is_untouched(self->page, PAGE));
}

TEST_F(errors, of_v2_are_left_alone_on_a_restricted_file)
{
	int *err = (int *)self->page;

	ASSERT_EQ(0, restrict_to(self->target.fd, NO_SUCH_DOMAIN));
	EXPECT_EQ(-EPERM, map_batch_v2(self->target.fd, self->target.dom,
				       self->map, NUM, self->good, err));
	EXPECT_TRUE(is_untouched(err, PAGE));
}

TEST_F(errors, of_v2_at_a_bad_pointer)
{
	int *const end = (int *)(self->page + PAGE);
	int *const bad[] = {
		NULL, end - NUM / 2, (int *)0xffffffff81000000,
		(int *)(1UL << 63), (int *)-8UL,
	};

	ASSERT_EQ(0, mprotect(end, PAGE, PROT_READ));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, map_batch_v2(self->target.fd,
						self->target.dom, self->map,
						NUM, self->good, bad[i])) {
			TH_LOG("errors at %p", bad[i]);
		}
	}
	EXPECT_TRUE(is_empty(self->map, PAGES));
	/* Nothing was mapped, and the mapping can be used. */
	EXPECT_EQ(0, map_frames(self->target.fd, self->target.dom, self->map, 0,
				PAGES));
}

TEST_F(errors, of_v2_in_read_only_memory)
{
	int *err = (int *)self->page;

	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, map_batch_v2(self->target.fd, self->target.dom,
					self->map, NUM, self->good, err));
	EXPECT_TRUE(is_untouched(self->page, PAGE));
	EXPECT_TRUE(is_empty(self->map, PAGES));
	EXPECT_EQ(0, map_frames(self->target.fd, self->target.dom, self->map, 0,
				PAGES));
}

/* They are for reading only. */
TEST_F(errors, of_v2_do_not_go_to_the_frames)
{
	xen_pfn_t *frames = (xen_pfn_t *)self->page;
	int err[MOST_NUM] = {};

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	memcpy(frames, self->some_bad, sizeof(self->some_bad));
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ));
	EXPECT_EQ(0, map_batch_v2(self->target.fd, self->target.dom, self->map,
				  NUM, frames, err));
	for (unsigned int i = 0; i < NUM; i++)
		EXPECT_EQ(is_bad(i) ? FRAME_ERROR : 0, err[i]);
	EXPECT_TRUE(is_empty(self->map + PAGE, 1));
	EXPECT_EQ(2, number_of(self->map + 2 * PAGE));
}

TEST_F(errors, of_v1_keep_the_frame_in_their_low_bits)
{
	xen_pfn_t *frames = (xen_pfn_t *)self->page;

	/* The last page's frames are such as no machine has. */
	for (unsigned int i = NUM - FRAMES_PER_PAGE; i < NUM; i++)
		self->some_bad[i] = 0x123456789abUL;
	memcpy(frames, self->some_bad, NUM * sizeof(*frames));
	ASSERT_EQ(0, map_batch_v1(self->target.fd, self->target.dom, self->map,
				  NUM, frames));
	for (unsigned int i = 0; i < NUM; i++) {
		xen_pfn_t error = is_bad(i) ? PRIVCMD_MMAPBATCH_MFN_ERROR : 0;

		EXPECT_EQ(self->some_bad[i] | error, frames[i]);
	}
	EXPECT_TRUE(is_untouched(frames + NUM, PAGE - NUM * sizeof(*frames)));
}

/* What is only read may be read-only: without errors nothing is written. */
TEST_F(errors, of_v1_in_read_only_memory)
{
	xen_pfn_t *frames = (xen_pfn_t *)self->page;
	char *map = map_file(self->target.fd, PAGES);

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_NE(NULL, map);
	memcpy(frames, self->good, NUM * sizeof(*frames));
	memcpy(frames + NUM, self->some_bad, NUM * sizeof(*frames));
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ));
	EXPECT_EQ(0, map_batch_v1(self->target.fd, self->target.dom, self->map,
				  NUM, frames));
	EXPECT_EQ(good[1], number_of(self->map + PAGE));

	/* It fails with some frames mapped, as it always did. */
	EXPECT_EQ(-EFAULT, map_batch_v1(self->target.fd, self->target.dom, map,
					NUM, frames + NUM));
	EXPECT_EQ(0, memcmp(frames + NUM, self->some_bad, NUM * sizeof(*frames)));
	EXPECT_EQ(1, number_of(map));
	EXPECT_TRUE(is_empty(map + PAGE, 1));
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
}

TEST_HARNESS_MAIN
