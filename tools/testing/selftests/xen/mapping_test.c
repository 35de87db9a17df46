// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of a mapping of /dev/xen/privcmd: it is whole or gone, stays
 * where it is, and belongs to one process.
 */

#include "mapping.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/uio.h>

/* Debian 11's libc is older than these. */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGES 4

/* What our driver's mappings have for their offset in the file. */
#define MAPPING_OFFSET ((off_t)(-1UL / 2 & ~(PAGE - 1)))

/* What is mapped into a mapping. */
enum content {
	EMPTY,
	BATCH,
	RUN,
	RESOURCE,
};

/* Answers with 0, or with a negative errno. */
static int fill(int fd, domid_t dom, const char *map, enum content content)
{
	switch (content) {
	case BATCH:
		return map_frames(fd, dom, map, 4, PAGES);
	case RUN:
		return map_run(fd, dom, map, 4, PAGES);
	case RESOURCE:
		return map_grants(fd, dom, map, 0, PAGES);
	case EMPTY:
		break;
	}
	return 0;
}

FIXTURE(mapping)
{
	struct target target;
	char *map;
	/* Shows the same. */
	char *other;
};

FIXTURE_VARIANT(mapping)
{
	enum content content;
};

FIXTURE_VARIANT_ADD(mapping, empty) {
	.content = EMPTY,
};

FIXTURE_VARIANT_ADD(mapping, batch) {
	.content = BATCH,
};

FIXTURE_VARIANT_ADD(mapping, run) {
	.content = RUN,
};

FIXTURE_VARIANT_ADD(mapping, resource) {
	.content = RESOURCE,
};

FIXTURE_SETUP(mapping)
{
	struct target *target = &self->target;

	if (variant->content == RUN && on_auto_translated())
		SKIP_FIXTURE(return, FOR_PV_CALLERS);
	ASSERT_EQ(0, target_create(target));
	self->map = map_file(target->fd, PAGES);
	ASSERT_NE(NULL, self->map);
	self->other = map_file(target->fd, PAGES);
	ASSERT_NE(NULL, self->other);
	ASSERT_EQ(0, fill(target->fd, target->dom, self->map,
			  variant->content));
	ASSERT_EQ(0, fill(target->fd, target->dom, self->other,
			  variant->content));
}

FIXTURE_TEARDOWN(mapping)
{
	EXPECT_TRUE(neighbours_are_untouched(self->other, PAGES));
	munmap(self->map, PAGES * PAGE);
	munmap(self->other, PAGES * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* Each page of it shows what it showed. */
static bool is_whole(char *map, char *other, enum content content)
{
	if (content == EMPTY)
		return is_empty(map, PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		char *page = map + i * PAGE;

		if (signal_of_writing(page) ||
		    !is_same_memory(page, other + i * PAGE) ||
		    !is_same_memory(other + i * PAGE, page))
			return false;
	}
	return true;
}

TEST_F(mapping, cannot_be_unmapped_in_part)
{
	for (size_t first = 0; first < PAGES; first++) {
		for (size_t num = 1; first + num <= PAGES; num++) {
			if (num == PAGES)
				continue;
			EXPECT_EQ(-1, munmap(self->map + first * PAGE,
					     num * PAGE));
			EXPECT_EQ(EINVAL, errno);
		}
	}
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));

	/* With a part of its neighbours. */
	EXPECT_EQ(-1, munmap(self->map - PAGE, 2 * PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(self->map + (PAGES - 1) * PAGE, 2 * PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

TEST_F(mapping, can_be_unmapped_as_a_whole)
{
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->map));
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->map + (PAGES - 1) * PAGE));
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	EXPECT_TRUE(is_whole(self->other, self->other, variant->content));
	/* Along with what is around it. */
	ASSERT_EQ(0, munmap(self->other - PAGE, (PAGES + 2) * PAGE));
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->other));

	/* For the teardown. */
	self->other = map_file(self->target.fd, PAGES);
}

TEST_F(mapping, cannot_be_mapped_over_in_part)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(MAP_FAILED, mmap(self->map + i * PAGE, PAGE,
					   PROT_READ | PROT_WRITE, flags, -1,
					   0));
		/* ENOMEM on Linux 6.1; 6.12 and 7.2 pass on the refusal itself. */
		EXPECT_TRUE(errno == ENOMEM || errno == EINVAL);
	}
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));

	ASSERT_EQ(self->map, mmap(self->map, PAGES * PAGE,
				  PROT_READ | PROT_WRITE, flags, -1, 0));
	for (size_t i = 0; i < PAGES; i++)
		EXPECT_EQ(0, load(self->map + i * PAGE));
	EXPECT_TRUE(is_whole(self->other, self->other, variant->content));
}

TEST_F(mapping, cannot_be_protected_in_part)
{
	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(-1, mprotect(self->map + i * PAGE, PAGE, PROT_READ));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, mprotect(self->map + i * PAGE, PAGE, PROT_NONE));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(-1, mprotect(self->map, 2 * PAGE, PROT_READ));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

/* Xen crashes an auto-translated domain that executes a frame of another one. */
static int protect(char *map, int prot)
{
	bool refused = (prot & PROT_EXEC) && on_auto_translated() && !on_stock_driver();
	int ret = mprotect(map, PAGES * PAGE, prot) ? -errno : 0;

	if (refused)
		return ret == -EACCES ? 0 : -EPERM;
	return ret;
}

/*
 * A PV kernel cannot change the page table entries of foreign frames, and the
 * stock driver has it try.  Others can.
 */
TEST_F(mapping, keeps_its_protection_once_it_is_used)
{
	const int other[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC,
		PROT_READ | PROT_WRITE | PROT_EXEC,
	};

	if (variant->content == EMPTY) {
		for (size_t i = 0; i < ARRAY_SIZE(other); i++)
			EXPECT_EQ(0, protect(self->map, other[i]));
		ASSERT_EQ(0, mprotect(self->map, PAGES * PAGE,
				      PROT_READ | PROT_WRITE));
		EXPECT_EQ(0, map_frames(self->target.fd, self->target.dom,
					self->map, 0, PAGES));
		EXPECT_EQ(0, signal_of_writing(self->map));
		return;
	}
	EXPECT_EQ(0, mprotect(self->map, PAGES * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	if (on_auto_translated()) {
		for (size_t i = 0; i < ARRAY_SIZE(other); i++)
			EXPECT_EQ(0, protect(self->map, other[i]));
		EXPECT_EQ(0, mprotect(self->map, PAGES * PAGE,
				      PROT_READ | PROT_WRITE));
		EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
		return;
	}
	if (host_is_at_risk())
		SKIP(return, "the stock driver has the kernel warn without end");
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		EXPECT_EQ(-1, mprotect(self->map, PAGES * PAGE, other[i])) {
			TH_LOG("protection %d", other[i]);
		}
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

/* Room to move a mapping to. */
static char *reserve(size_t pages)
{
	return mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
}

TEST_F(mapping, cannot_be_moved)
{
	char *to = reserve(PAGES);

	ASSERT_NE(MAP_FAILED, to);
	if (on_stock_driver() && variant->content == EMPTY) {
		EXPECT_EQ(to, mremap(self->map, PAGES * PAGE, PAGES * PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		EXPECT_TRUE(is_empty(to, PAGES));
		self->map = to;
		return;
	}
	if (host_is_at_risk())
		SKIP(return, "the stock driver has the kernel warn");
	EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE, PAGES * PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SIGSEGV, signal_of_reading(to));
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	/* It can still be filled, or is full. */
	EXPECT_EQ(variant->content == EMPTY ? 0 : -EINVAL,
		  map_frames(self->target.fd, self->target.dom, self->map, 0,
			     PAGES));
}

TEST_F(mapping, cannot_be_moved_in_part)
{
	char *to = reserve(PAGES);

	ASSERT_NE(MAP_FAILED, to);
	for (size_t first = 0; first < PAGES; first++) {
		for (size_t num = 1; first + num <= PAGES; num++) {
			if (num == PAGES)
				continue;
			EXPECT_EQ(MAP_FAILED,
				  mremap(self->map + first * PAGE, num * PAGE,
					 num * PAGE,
					 MREMAP_MAYMOVE | MREMAP_FIXED, to));
			EXPECT_EQ(EINVAL, errno);
		}
	}
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

TEST_F(mapping, cannot_be_moved_and_left)
{
	char *to = reserve(PAGES);

	ASSERT_NE(MAP_FAILED, to);
	EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE, PAGES * PAGE,
				     MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE, PAGES * PAGE,
				     MREMAP_MAYMOVE | MREMAP_DONTUNMAP |
				     MREMAP_FIXED, to));
	EXPECT_EQ(EINVAL, errno);
	/* Another way to have it twice. */
	EXPECT_EQ(MAP_FAILED, mremap(self->map, 0, PAGES * PAGE,
				     MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

TEST_F(mapping, can_neither_grow_nor_shrink)
{
	const size_t larger[] = { PAGES + 1, 2 * PAGES, 100000 };

	for (size_t i = 0; i < ARRAY_SIZE(larger); i++) {
		EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE,
					     larger[i] * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE,
					     larger[i] * PAGE, 0));
		EXPECT_EQ(EFAULT, errno);
	}
	for (size_t pages = 1; pages < PAGES; pages++) {
		EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE,
					     pages * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(MAP_FAILED, mremap(self->map, PAGES * PAGE, 0,
				     MREMAP_MAYMOVE));
	EXPECT_EQ(EINVAL, errno);
	/* Its own size changes nothing. */
	EXPECT_EQ(self->map, mremap(self->map, PAGES * PAGE, PAGES * PAGE,
				    MREMAP_MAYMOVE));
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
}

TEST_F(mapping, takes_no_advice_that_would_drop_or_copy_it)
{
	const int refused[] = {
		MADV_DOFORK, MADV_DONTNEED, MADV_DODUMP, MADV_POPULATE_WRITE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		EXPECT_EQ(-1, madvise(self->map, PAGES * PAGE, refused[i])) {
			TH_LOG("advice %d", refused[i]);
		}
		EXPECT_EQ(EINVAL, errno) {
			TH_LOG("advice %d", refused[i]);
		}
		EXPECT_EQ(-1, madvise(self->map + PAGE, PAGE, refused[i]));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

/* Advice for a part of it would split it. */
TEST_F(mapping, takes_no_advice_for_a_part)
{
	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(-1, madvise(self->map + i * PAGE, PAGE, MADV_RANDOM));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(0, madvise(self->map, PAGES * PAGE, MADV_RANDOM));
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

/* It ends in the child with the access. */
TEST_F(mapping, is_not_the_childs)
{
	int status;
	pid_t child;

	for (size_t i = 0; i < PAGES; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			signal(SIGSEGV, SIG_DFL);
			__atomic_load_n(self->map + i * PAGE, __ATOMIC_RELAXED);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	}

	/* Nor can the child do anything to it. */
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		munmap(self->map, PAGES * PAGE);
		_exit(map_frames(self->target.fd, self->target.dom, self->map,
				 0, PAGES) != -EINVAL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

TEST_F(mapping, outlives_the_file)
{
	ASSERT_EQ(0, close(self->target.fd));
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	self->target.fd = privcmd_open();
	ASSERT_LE(0, self->target.fd);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
}

/* Made before: what it shows stays. */
TEST_F(mapping, outlives_the_restriction)
{
	ASSERT_EQ(0, restrict_to(self->target.fd, NO_SUCH_DOMAIN));
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
	EXPECT_EQ(-EPERM, map_frames(self->target.fd, self->target.dom,
				     self->map, 0, PAGES));
}

/* As the kernel's own helpers see it that look at a process. */
TEST_F(mapping, is_not_for_pinning)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char byte;
	struct iovec own = { &byte, 1 }, foreign = { self->map, 1 };

	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pread(mem, &byte, 1, (uintptr_t)self->map));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pwrite(mem, &byte, 1, (uintptr_t)self->map));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, process_vm_readv(getpid(), &own, 1, &foreign, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_writev(getpid(), &own, 1, &foreign, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	close(mem);
}

/* The domain stays, as a zombie, until the mapping is gone. */
TEST_F(mapping, outlives_the_domain)
{
	struct target *target = &self->target;
	domid_t dom = target->dom;

	ASSERT_EQ(0, munmap(target->view, FRAMES * PAGE));
	ASSERT_EQ(0, domain_destroy(dom));
	target->dom = 0;
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	if (variant->content != EMPTY)
		EXPECT_EQ(3, ask(target->fd, dom));
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	EXPECT_TRUE(is_whole(self->other, self->other, variant->content));
	ASSERT_EQ(0, munmap(self->other, PAGES * PAGE));
	EXPECT_TRUE(domain_is_gone(dom));
	EXPECT_EQ(-ESRCH, ask(target->fd, dom));

	/* For the teardown. */
	self->other = map_file(target->fd, PAGES);
}

/* Maps as the fixture does, tells it and waits for its end. */
static void map_and_wait(const struct target *target, enum content content,
			 int ready)
{
	char *map = map_file(target->fd, PAGES);

	if (map && !fill(target->fd, target->dom, map, content) &&
	    write(ready, "", 1) == 1)
		pause();
	_exit(1);
}

/* Nothing of it is left, so that the domain can go. */
TEST_F(mapping, goes_with_its_process)
{
	struct target *target = &self->target;
	domid_t dom = target->dom;
	int ready[2], status;
	char byte;
	pid_t child;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		map_and_wait(target, variant->content, ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	ASSERT_EQ(0, munmap(target->view, FRAMES * PAGE));
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	ASSERT_EQ(0, munmap(self->other, PAGES * PAGE));
	ASSERT_EQ(0, domain_destroy(dom));
	target->dom = 0;
	if (variant->content != EMPTY)
		EXPECT_TRUE(domain_exists(dom));

	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_TRUE(domain_is_gone(dom));

	/* For the teardown. */
	self->map = map_file(target->fd, PAGES);
	self->other = map_file(target->fd, PAGES);
}

TEST_F(mapping, goes_when_its_process_exits)
{
	struct target *target = &self->target;
	domid_t dom = target->dom;
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *map = map_file(target->fd, PAGES);

		_exit(!map || fill(target->fd, target->dom, map,
				   variant->content));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_TRUE(is_whole(self->map, self->other, variant->content));
	ASSERT_EQ(0, munmap(target->view, FRAMES * PAGE));
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	ASSERT_EQ(0, munmap(self->other, PAGES * PAGE));
	ASSERT_EQ(0, domain_destroy(dom));
	target->dom = 0;
	EXPECT_TRUE(domain_is_gone(dom));

	/* For the teardown. */
	self->map = map_file(target->fd, PAGES);
	self->other = map_file(target->fd, PAGES);
}

/* Each page shows this one; answers with the mapping, or NULL. */
static char *map_many(const struct target *target, size_t nr, xen_pfn_t page)
{
	xen_pfn_t *pages = malloc(nr * sizeof(*pages));
	int *err = malloc(nr * sizeof(*err));
	char *map = map_file(target->fd, nr);

	for (size_t i = 0; i < nr; i++)
		pages[i] = page;
	if (!map || map_pages(target->fd, target->dom, map, nr, pages, err))
		return NULL;
	for (size_t i = 0; i < nr; i++)
		if (err[i] || number_of(map + i * PAGE) != page)
			return NULL;
	free(pages);
	free(err);
	return map;
}

/* Maps without end. */
static void map_for_ever(const struct target *target, size_t nr, int ready)
{
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;) {
		char *map = map_many(target, nr, 1);

		if (!map)
			_exit(1);
		munmap(map, nr * PAGE);
	}
}

TEST(killed_in_the_middle_leaves_nothing)
{
	struct target target;
	int ready[2], status;
	domid_t dom;
	char byte;

	ASSERT_EQ(0, target_create(&target));
	ASSERT_EQ(0, pipe(ready));
	for (unsigned int i = 0; i < 12; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child)
			map_for_ever(&target, 16384, ready[1]);
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		usleep(17000 * i);
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	for (size_t i = 0; i < FRAMES; i++)
		EXPECT_EQ(i, number_of(target.view + i * PAGE));

	dom = target.dom;
	EXPECT_EQ(0, target_destroy(&target));
	target.fd = privcmd_open();
	EXPECT_TRUE(domain_is_gone(dom));
	close(target.fd);
}

#define MANY 2048

/* Maps, over and over, and once more with kills. */
static void borrow_and_return(struct __test_metadata *_metadata,
			      const struct target *target, unsigned int rounds)
{
	int ready[2], status;
	char byte;

	ASSERT_EQ(0, pipe(ready));
	for (unsigned int i = 0; i < rounds; i++) {
		char *map = map_many(target, MANY, i % FRAMES);
		pid_t child;

		ASSERT_NE(NULL, map);
		ASSERT_EQ(0, munmap(map, MANY * PAGE));

		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			map_for_ever(target, MANY, ready[1]);
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		usleep(50000 * i);
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	close(ready[0]);
	close(ready[1]);
}

/* As many pages are mapped as are set up to be borrowed: it takes long. */
FIXTURE(borrowed)
{
};

FIXTURE_SETUP(borrowed)
{
}

FIXTURE_TEARDOWN(borrowed)
{
}

/* One that is never returned is lost; one that is returned twice is lent twice. */
TEST_F(borrowed, pages_are_returned_once)
{
	struct target target;
	char *map, *other, *rest;
	unsigned long before, nr;

	if (!on_auto_translated())
		SKIP(return, ON_PV);
	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_EQ(0, target_create(&target));
	map = map_many(&target, MANY, 1);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, munmap(map, MANY * PAGE));
	before = borrowable_bytes();
	if (!before) {
		EXPECT_EQ(0, target_destroy(&target));
		SKIP(return, "this kernel lends what was never populated, and shows no count");
	}
	ASSERT_LT(3 * MANY * PAGE, before);
	/* Few are left then, and what is lost is missed soon. */
	nr = before / PAGE - 3 * MANY;
	rest = map_many(&target, nr, 3);
	ASSERT_NE(NULL, rest);

	borrow_and_return(_metadata, &target, 6);
	EXPECT_EQ(before, borrowable_bytes());

	map = map_many(&target, MANY, 1);
	other = map_many(&target, MANY, 2);
	ASSERT_NE(NULL, map);
	ASSERT_NE(NULL, other);
	for (size_t i = 0; i < MANY; i++)
		ASSERT_EQ(1, number_of(map + i * PAGE));
	for (size_t i = 0; i < nr; i++)
		ASSERT_EQ(3, number_of(rest + i * PAGE));
	EXPECT_EQ(0, munmap(map, MANY * PAGE));
	EXPECT_EQ(0, munmap(other, MANY * PAGE));
	EXPECT_EQ(0, munmap(rest, nr * PAGE));
	EXPECT_EQ(0, target_destroy(&target));
}

/*
 * The driver may help with the end of a large mapping.  It has others at both sides,
 * all within what a single page table reaches, so that this one stays.
 */
#define LARGE		128
#define TABLE_REACH	(PAGE / sizeof(__u64) * PAGE)

FIXTURE(large)
{
	struct target target;
	char *around;
	char *before;
	char *map;
	char *behind;
};

static char *map_file_at(int fd, char *place, size_t pages)
{
	return mmap(place, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

/* All pages but the odd ones show the same one. */
static int fill_half(const struct target *target, const char *map)
{
	xen_pfn_t pages[LARGE];
	int err[LARGE];

	for (unsigned int i = 0; i < LARGE; i++)
		pages[i] = i % 2 ? NO_FRAME : 5;
	return map_pages(target->fd, target->dom, map, LARGE, pages, err);
}

static bool shows_half(char *map)
{
	for (unsigned int i = 0; i < LARGE; i++) {
		if (i % 2 ? signal_of_reading(map + i * PAGE) != SIGBUS :
			    number_of(map + i * PAGE) != 5)
			return false;
	}
	return true;
}

FIXTURE_SETUP(large)
{
	struct target *target = &self->target;

	if (stock_does_harm())
		SKIP_FIXTURE(return, HARMED_BY_STOCK);
	ASSERT_EQ(0, target_create(target));
	self->around = mmap(NULL, 3 * TABLE_REACH, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->around);
	self->before = self->around - (uintptr_t)self->around % TABLE_REACH + TABLE_REACH;
	self->map = self->before + PAGE;
	self->behind = self->map + LARGE * PAGE;
	self->before = map_file_at(target->fd, self->before, 1);
	self->map = map_file_at(target->fd, self->map, LARGE);
	self->behind = map_file_at(target->fd, self->behind, 1);
	ASSERT_EQ(0, map_frames(target->fd, target->dom, self->before, 1, 1));
	ASSERT_EQ(0, map_frames(target->fd, target->dom, self->behind, 2, 1));
	ASSERT_EQ(0, fill_half(target, self->map));
	ASSERT_TRUE(shows_half(self->map));
}

FIXTURE_TEARDOWN(large)
{
	munmap(self->around, 3 * TABLE_REACH);
	EXPECT_EQ(0, target_destroy(&self->target));
}

TEST_F(large, is_gone_at_once)
{
	for (unsigned int round = 0; round < 20; round++) {
		ASSERT_EQ(0, munmap(self->map, LARGE * PAGE));
		for (unsigned int i = 0; i < LARGE; i++)
			ASSERT_EQ(SIGSEGV, signal_of_reading(self->map + i * PAGE));
		self->map = map_file_at(self->target.fd, self->map, LARGE);
		ASSERT_TRUE(is_empty(self->map, LARGE));
		ASSERT_EQ(0, fill_half(&self->target, self->map));
		ASSERT_TRUE(shows_half(self->map));
	}
	EXPECT_EQ(1, number_of(self->before));
	EXPECT_EQ(2, number_of(self->behind));
}

/* Page tables that follow each other are not neighbours in the machine. */
TEST_F(large, goes_over_to_the_next_page_table)
{
	char *map = self->before + TABLE_REACH - LARGE / 2 * PAGE;

	for (unsigned int round = 0; round < 2; round++) {
		ASSERT_EQ(map, map_file_at(self->target.fd, map, LARGE));
		ASSERT_EQ(0, fill_half(&self->target, map));
		ASSERT_TRUE(shows_half(map));
		ASSERT_EQ(0, munmap(map, LARGE * PAGE));
		for (unsigned int i = 0; i < LARGE; i++)
			ASSERT_EQ(SIGSEGV, signal_of_reading(map + i * PAGE));
	}
	EXPECT_TRUE(shows_half(self->map));
}

/* A thread that makes no system call, so that nothing else can have it forget. */
static struct {
	char *page;
	atomic_bool reads, gone, read_after;
} reader;

static void *read_until_gone(void *unused)
{
	int failed = sigsetjmp(fault_return, 1);

	(void)unused;
	while (!failed) {
		bool gone = atomic_load(&reader.gone);

		load(reader.page);
		if (gone) {
			atomic_store(&reader.read_after, true);
			break;
		}
		atomic_store(&reader.reads, true);
	}
	return NULL;
}

TEST_F(large, is_gone_for_all_threads)
{
	const struct sigaction action = { .sa_handler = return_from_fault };
	struct sigaction before;

	reader.page = self->map + (LARGE - 2) * PAGE;
	for (unsigned int round = 0; round < 30; round++) {
		pthread_t thread;

		sigaction(SIGSEGV, &action, &before);
		atomic_store(&reader.reads, false);
		atomic_store(&reader.gone, false);
		ASSERT_EQ(0, pthread_create(&thread, NULL, read_until_gone, NULL));
		while (!atomic_load(&reader.reads))
			sched_yield();
		ASSERT_EQ(0, munmap(self->map, LARGE * PAGE));
		atomic_store(&reader.gone, true);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		sigaction(SIGSEGV, &before, NULL);
		ASSERT_FALSE(atomic_load(&reader.read_after));
		self->map = map_file_at(self->target.fd, self->map, LARGE);
		ASSERT_EQ(0, fill_half(&self->target, self->map));
	}
}

/* In pages, by a line of the process' status; the kernel does not count to the page. */
static long pages_of(const char *what)
{
	FILE *file = fopen("/proc/self/status", "r");
	size_t length = strlen(what);
	long kib = -1;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, what, length))
			kib = atol(line + length);
	if (file)
		fclose(file);
	return kib * 1024 / PAGE;
}

/* What is written to a private mapping goes to pages of the process. */
TEST_F(large, gives_back_what_was_written_to_a_private_one)
{
	const unsigned int nr = 2048;
	xen_pfn_t *pages = malloc(nr * sizeof(*pages));
	int *err = malloc(nr * sizeof(*err));
	long before, most;
	char *map;

	for (unsigned int i = 0; i < nr; i++)
		pages[i] = 5;
	map = map_file_as(self->target.fd, nr, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, map_pages(self->target.fd, self->target.dom, map, nr, pages, err));
	before = pages_of("RssAnon:");
	for (unsigned int i = 0; i < nr; i++)
		store(map + i * PAGE, i);
	most = pages_of("RssAnon:");
	EXPECT_LT(before + nr / 2, most);
	ASSERT_EQ(0, munmap(map, nr * PAGE));
	EXPECT_GT(most - nr / 2, pages_of("RssAnon:"));
	free(pages);
	free(err);
}

/* Page tables are for what is mapped. */
TEST_F(large, has_no_page_tables_when_it_was_refused)
{
	const size_t nr = 64 * TABLE_REACH / PAGE;
	long before;
	char *map;

	if (on_stock_driver())
		SKIP(return, "the stock driver has no part in the end");
	if (on_auto_translated())
		SKIP(return, "dom0 is auto-translated here");
	map = map_file(self->target.fd, nr);
	ASSERT_NE(NULL, map);
	before = pages_of("VmPTE:");
	/* What Xen says to so many depends on its version. */
	EXPECT_GT(0, map_grants(self->target.fd, self->target.dom, map, 0, nr));
	/* Of the first step. */
	EXPECT_LE(pages_of("VmPTE:"), before + 4);
	EXPECT_EQ(0, munmap(map, nr * PAGE));
	EXPECT_LE(pages_of("VmPTE:"), before + 2);
}

/* In seconds. */
static double end_of_a_page(struct __test_metadata *_metadata, const struct target *target,
			    size_t size)
{
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			 target->fd, 0);
	double start;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, map_grants(target->fd, target->dom, map, 0, 1));
	start = now();
	ASSERT_EQ(0, munmap(map, size));
	return now() - start;
}

/* Nobody walks through what was never there, or makes page tables for it. */
TEST_F(large, of_which_little_is_used_ends_as_fast)
{
	double small = INFINITY, large = INFINITY;

	/* With pages of its own the kernel holds an array of them. */
	if (on_auto_translated())
		SKIP(return, "dom0 is auto-translated here");
	/* The machine may have other things to do, twice. */
	for (unsigned int round = 0; round < 3; round++) {
		double page = end_of_a_page(_metadata, &self->target, PAGE);
		double all = end_of_a_page(_metadata, &self->target, 1UL << 36);

		small = page < small ? page : small;
		large = all < large ? all : large;
	}
	/* Both are nothing to a clock that ticks with the timer only. */
	EXPECT_TRUE(large <= 100 * small) {
		TH_LOG("a page takes %.6f s, and one of %lu %.6f s", small, (1UL << 36) / PAGE,
		       large);
	}
}

/* Nothing of it is left, so that the domain can go. */
TEST_F(large, goes_with_its_last_frame)
{
	struct target *target = &self->target;
	domid_t dom = target->dom;

	ASSERT_EQ(0, munmap(target->view, FRAMES * PAGE));
	ASSERT_EQ(0, munmap(self->before, PAGE));
	ASSERT_EQ(0, munmap(self->behind, PAGE));
	ASSERT_EQ(0, domain_destroy(dom));
	target->dom = 0;
	EXPECT_TRUE(shows_half(self->map));
	EXPECT_TRUE(domain_exists(dom));
	/* What is not its own goes at the same time. */
	ASSERT_EQ(0, munmap(self->around, 3 * TABLE_REACH));
	EXPECT_TRUE(domain_is_gone(dom));
}

/* With other protections and flags than the rest of the tests use. */
FIXTURE(special)
{
	struct target target;
	char *map;
};

FIXTURE_VARIANT(special)
{
	enum content content;
};

FIXTURE_VARIANT_ADD(special, batch) {
	.content = BATCH,
};

FIXTURE_VARIANT_ADD(special, run) {
	.content = RUN,
};

FIXTURE_VARIANT_ADD(special, resource) {
	.content = RESOURCE,
};

FIXTURE_SETUP(special)
{
	if (variant->content == RUN && on_auto_translated())
		SKIP_FIXTURE(return, FOR_PV_CALLERS);
	ASSERT_EQ(0, target_create(&self->target));
}

FIXTURE_TEARDOWN(special)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, PAGES));
	munmap(self->map, PAGES * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

TEST_F(special, read_only)
{
	struct target *target = &self->target;

	self->map = map_file_as(target->fd, PAGES, PROT_READ, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, fill(target->fd, target->dom, self->map,
			  variant->content));
	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, signal_of_reading(self->map + i * PAGE));
		EXPECT_EQ(SIGSEGV, signal_of_writing(self->map + i * PAGE));
	}
	if (variant->content != RESOURCE) {
		EXPECT_EQ(4, number_of(self->map));
		store(target->view + 4 * PAGE, 12345);
		EXPECT_EQ(12345, load(self->map));
	}
	if (on_auto_translated()) {
		EXPECT_EQ(0, mprotect(self->map, PAGES * PAGE,
				      PROT_READ | PROT_WRITE));
		EXPECT_EQ(0, signal_of_writing(self->map));
		return;
	}
	if (on_stock_driver())
		return;
	EXPECT_EQ(-1, mprotect(self->map, PAGES * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SIGSEGV, signal_of_writing(self->map));
}

/* As it was; with access, it can be filled. */
static void expect_no_entries(struct __test_metadata *_metadata,
			      const struct target *target, char *map,
			      enum content content)
{
	ASSERT_EQ(0, mprotect(map, PAGES * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_empty(map, PAGES));
	EXPECT_EQ(0, fill(target->fd, target->dom, map, content));
	for (size_t i = 0; i < PAGES; i++)
		EXPECT_EQ(0, signal_of_writing(map + i * PAGE));
}

/*
 * A page table entry of a PV kernel would hold the number of a frame that is not
 * present, and that number is the caller's choice.
 */
static void expect_no_access(struct __test_metadata *_metadata,
			     const struct target *target, char *map,
			     enum content content)
{
	bool refused = !on_auto_translated() && !on_stock_driver();

	ASSERT_EQ(refused ? -EINVAL : 0,
		  fill(target->fd, target->dom, map, content));
	for (size_t i = 0; i < PAGES; i++)
		EXPECT_EQ(SIGSEGV, signal_of_reading(map + i * PAGE));
	if (refused)
		expect_no_entries(_metadata, target, map, content);
	EXPECT_EQ(-EINVAL, map_frames(target->fd, target->dom, map, 0, PAGES));
}

TEST_F(special, without_access)
{
	self->map = map_file_as(self->target.fd, PAGES, PROT_NONE, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	expect_no_access(_metadata, &self->target, self->map, variant->content);
}

TEST_F(special, whose_access_was_taken_away)
{
	self->map = map_file(self->target.fd, PAGES);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, mprotect(self->map, PAGES * PAGE, PROT_NONE));
	expect_no_access(_metadata, &self->target, self->map, variant->content);
}

/* Any is enough. */
TEST_F(special, with_a_single_access)
{
	const int prots[] = { PROT_READ, PROT_WRITE, PROT_EXEC };
	struct target *target = &self->target;

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		char *map = map_file_as(target->fd, PAGES, prots[i], MAP_SHARED);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(0, fill(target->fd, target->dom, map, variant->content)) {
			TH_LOG("protection %d", prots[i]);
		}
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	}
	self->map = map_file(target->fd, PAGES);
}

/* Runs what a page has; does not return if that works. */
static void run_page(char *page)
{
#ifdef __aarch64__
	const unsigned int code = 0xd65f03c0; /* ret */
#else
	const unsigned int code = 0xc3c3c3c3; /* ret */
#endif

	__atomic_store_n((unsigned int *)page, code, __ATOMIC_SEQ_CST);
	__builtin___clear_cache(page, page + sizeof(code));
	((void (*)(void))page)();
	_exit(0);
}

/* Xen has such a dom0 crash, and the host with it. */
TEST_F(special, cannot_be_executed_in_an_auto_translated_domain)
{
	const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
	struct target *target = &self->target;
	int status;
	pid_t child;

	self->map = map_file_as(target->fd, PAGES, all, MAP_SHARED);
	ASSERT_NE(NULL, self->map);
	if (!on_auto_translated())
		SKIP(return, ON_PV);
	if (host_is_at_risk())
		SKIP(return, "the stock driver lets a process crash dom0");
	ASSERT_EQ(0, munmap(self->map, PAGES * PAGE));
	child = fork();
	if (!child) {
		char *map = map_file_as(target->fd, PAGES, all, MAP_SHARED);

		if (map && !fill(target->fd, target->dom, map, variant->content))
			run_page(map);
		_exit(1);
	}
	ASSERT_LT(0, child);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	self->map = map_file(target->fd, PAGES);
}

/* What is written to it stays with the writer. */
TEST_F(special, private)
{
	struct target *target = &self->target;
	char *other = map_file(target->fd, PAGES);

	self->map = map_file_as(target->fd, PAGES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE);
	ASSERT_NE(NULL, self->map);
	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, fill(target->fd, target->dom, self->map,
			  variant->content));
	ASSERT_EQ(0, fill(target->fd, target->dom, other, variant->content));
	for (size_t i = 0; i < PAGES; i++) {
		char *mine = self->map + i * PAGE;
		char *shared = other + i * PAGE;

		store(shared, 100 + i);
		ASSERT_EQ(100 + i, load(mine));
		store(mine, 200 + i);
		EXPECT_EQ(100 + i, load(shared));
		store(shared, 300 + i);
		EXPECT_EQ(200 + i, load(mine));
	}
	EXPECT_EQ(-EINVAL, map_frames(target->fd, target->dom, self->map, 0,
				      PAGES));
	EXPECT_EQ(0, munmap(other, PAGES * PAGE));
}

/* A caller can tell what is not there yet from what is not its own. */
TEST(empty_mapping_raises_sigbus)
{
	int fd = privcmd_open();
	char *map = map_file(fd, PAGES);
	int pipes[2];

	ASSERT_NE(NULL, map);
	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(SIGBUS, signal_of_reading(map + i * PAGE));
		EXPECT_EQ(SIGBUS, signal_of_writing(map + i * PAGE));
	}
	/* The kernel's own accesses fail. */
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, write(pipes[1], map, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-EFAULT, request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, map));
	EXPECT_EQ(-EFAULT, request(fd, IOCTL_PRIVCMD_RESTRICT, map));
	EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	close(fd);
}

/* There is nothing in the file that an offset could lead to. */
TEST(offset_means_nothing)
{
	const off_t offsets[] = { PAGE, 1UL << 40, MAPPING_OFFSET - PAGE };
	struct target target;

	ASSERT_EQ(0, target_create(&target));
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		char *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED, target.fd, offsets[i]);

		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(0, map_frames(target.fd, target.dom, map, 3, PAGES));
		EXPECT_EQ(4, number_of(map + PAGE));
		EXPECT_EQ(0, munmap(map, PAGES * PAGE));
	}
	EXPECT_EQ(0, target_destroy(&target));
}

/* Our driver tells by this one that a mapping is being moved. */
TEST(offset_of_mappings_cannot_be_asked_for)
{
	int fd = privcmd_open();
	char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, MAPPING_OFFSET);

	ASSERT_LE(0, fd);
	if (on_stock_driver()) {
		EXPECT_NE(MAP_FAILED, map);
		return;
	}
	EXPECT_EQ(MAP_FAILED, map);
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

/* What the threads of a race share. */
static struct {
	struct target target;
	char *map;
	atomic_uint rounds;
	atomic_uint wins;
	atomic_bool stop;
	atomic_bool failed;
} race;

static void note_failure(const char *what, int ret)
{
	fprintf(stderr, "# %s: %d\n", what, ret);
	atomic_store(&race.failed, true);
}

static const enum content contents[] = { EMPTY, BATCH, RESOURCE, RUN };

static size_t num_contents(void)
{
	return ARRAY_SIZE(contents) - (on_auto_translated() ? 1 : 0);
}

/* Whole mappings come and go. */
static void *map_and_unmap(void *unused)
{
	const struct target *target = &race.target;

	(void)unused;
	for (unsigned int i = 0; !atomic_load(&race.stop); i++) {
		enum content content = contents[i % num_contents()];
		char *map = map_file(target->fd, PAGES);
		int ret;

		ret = map ? fill(target->fd, target->dom, map, content) : -errno;
		if (ret)
			note_failure("mapping", ret);
		if (content == BATCH && number_of(map + PAGE) != 5)
			note_failure("content", number_of(map + PAGE));
		if (map && munmap(map - PAGE, (PAGES + 2) * PAGE))
			note_failure("unmapping", -errno);
		atomic_fetch_add(&race.rounds, 1);
	}
	return NULL;
}

/* One mapping is fought for; another thread takes it away all the time. */
static void *fill_the_same(void *unused)
{
	const struct target *target = &race.target;

	(void)unused;
	for (unsigned int i = 0; !atomic_load(&race.stop); i++) {
		enum content content = contents[1 + i % (num_contents() - 1)];
		int ret = fill(target->fd, target->dom, race.map, content);

		if (ret == 0)
			atomic_fetch_add(&race.wins, 1);
		else if (ret != -EINVAL)
			note_failure("mapping", ret);
	}
	return NULL;
}

static void *exchange_the_mapping(void *unused)
{
	(void)unused;
	while (!atomic_load(&race.stop)) {
		if (mmap(race.map, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, race.target.fd, 0) != race.map)
			note_failure("mmap", -errno);
		atomic_fetch_add(&race.rounds, 1);
	}
	return NULL;
}

#define THREADS 3

/* Runs threads for a while, and until a count of theirs is no longer small. */
static int run_threads(void *(*const functions[THREADS])(void *), atomic_uint *count)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, functions[i], NULL))
			return -EAGAIN;
	sleep(2);
	while (atomic_load(count) <= 10)
		usleep(10000);
	atomic_store(&race.stop, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* Neither in the mappings nor, when all are gone, in the domain. */
TEST(threads_leave_nothing_behind)
{
	domid_t dom;

	ASSERT_EQ(0, target_create(&race.target));
	ASSERT_EQ(0, run_threads((void *(*const[THREADS])(void *)) {
		map_and_unmap, map_and_unmap, map_and_unmap,
	}, &race.rounds));
	EXPECT_FALSE(atomic_load(&race.failed));
	for (size_t i = 0; i < FRAMES; i++)
		EXPECT_EQ(i, number_of(race.target.view + i * PAGE));

	dom = race.target.dom;
	EXPECT_EQ(0, target_destroy(&race.target));
	race.target.fd = privcmd_open();
	EXPECT_TRUE(domain_is_gone(dom));
	close(race.target.fd);
}

TEST(threads_fight_for_one_mapping)
{
	domid_t dom;

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_EQ(0, target_create(&race.target));
	race.map = map_file(race.target.fd, PAGES);
	ASSERT_NE(NULL, race.map);
	ASSERT_EQ(0, run_threads((void *(*const[THREADS])(void *)) {
		fill_the_same, fill_the_same, exchange_the_mapping,
	}, &race.wins));
	EXPECT_FALSE(atomic_load(&race.failed));
	TH_LOG("%u mappings, %u filled", race.rounds, race.wins);
	EXPECT_TRUE(neighbours_are_untouched(race.map, PAGES));
	EXPECT_EQ(0, munmap(race.map, PAGES * PAGE));

	dom = race.target.dom;
	EXPECT_EQ(0, target_destroy(&race.target));
	race.target.fd = privcmd_open();
	EXPECT_TRUE(domain_is_gone(dom));
	close(race.target.fd);
}

/*
 * The rest are the last ones: where they fail, a processor is lost to a process that
 * nothing can end.
 */

/* When the kernel is told to forget what was written, before or after the request. */
enum forgotten {
	NEVER,
	BEFORE,
	AFTER,
};

static void forget_writes(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "4", 1) != 1)
		_exit(101);
	close(fd);
}

/* Maps in a process of its own, which a defect may make unkillable, and writes. */
static pid_t write_in_child(const struct target *target, enum content content,
			    enum forgotten forgotten, bool by_kernel)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	pid_t child = fork();
	char *map;

	if (child) {
		close(zero);
		return child;
	}
	map = map_file(target->fd, PAGES);
	if (!map)
		_exit(102);
	if (forgotten == BEFORE)
		forget_writes();
	if (fill(target->fd, target->dom, map, content))
		_exit(103);
	if (forgotten == AFTER)
		forget_writes();
	if (by_kernel)
		_exit(read(zero, map + PAGE, 1) != 1);
	store(map + PAGE, 12345);
	_exit(load(map + PAGE) != 12345);
}

/* Its status; -1 if it does not end by itself, and -2 if not even when killed. */
static int bounded_wait(pid_t child)
{
	int status, killed = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return killed ? -1 : status;
		if (i == 500) {
			killed = 1;
			kill(child, SIGKILL);
		}
		usleep(10000);
	}
	return -2;
}

static void expect_writable(struct __test_metadata *_metadata,
			    const struct target *target, enum content content,
			    bool by_kernel)
{
	for (enum forgotten when = NEVER; when <= AFTER; when++) {
		pid_t child = write_in_child(target, content, when, by_kernel);

		ASSERT_LT(0, child);
		ASSERT_EQ(0, bounded_wait(child)) {
			TH_LOG("-1: writes for ever; -2: unkillable, too; case %d", when);
		}
	}
	if (content != RESOURCE)
		EXPECT_EQ(by_kernel ? 0 : 12345, load(target->view + 5 * PAGE));
}

/* The kernel makes entries of shared mappings read-only to learn of writes. */
TEST_F(special, is_writable_whatever_the_kernel_forgets)
{
	self->map = map_file(self->target.fd, PAGES);
	if (host_is_at_risk())
		SKIP(return, "the stock driver has the kernel fault for ever");
	store(self->target.view + 5 * PAGE, 0);
	expect_writable(_metadata, &self->target, variant->content, false);
}

TEST_F(special, is_writable_for_the_kernel_whatever_it_forgets)
{
	self->map = map_file(self->target.fd, PAGES);
	if (host_is_at_risk())
		SKIP(return, "the stock driver has the kernel fault for ever");
	store(self->target.view + 5 * PAGE, 0xff);
	expect_writable(_metadata, &self->target, variant->content, true);
}

TEST_HARNESS_MAIN
