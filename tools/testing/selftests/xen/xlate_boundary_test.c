// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a file that is restricted to its domain can do to a dom0 that is
 * auto-translated: it needs a place in its own address space for each foreign
 * frame, and the hypervisor stops halfway when one of many is refused.
 */

#include "mapping.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <xendevicemodel.h>

/* Xen's, of the grant table of the domains here, all of which can be mapped. */
#define GRANT_FRAMES	64

/* The driver's step between two looks at other tasks and at signals, in pages. */
#define STEP		512

/* The pages that frames of Xen's take; they begin with a page. */
static size_t pages_of(size_t frames)
{
	return (frames + FRAMES_PER_PAGE - 1) / FRAMES_PER_PAGE;
}

/*
 * The error that a system call gets which reads a byte there, and one that writes it
 * back, or 0.  It is the kernel's own access that there must be something behind.
 */
static int error_of_system_calls(char *byte)
{
	int read_error, write_error, pipes[2];
	char other = 0;

	if (pipe(pipes))
		return -1;
	read_error = write(pipes[1], byte, 1) == 1 ? 0 : errno;
	if (read_error && write(pipes[1], &other, 1) != 1)
		return -1;
	write_error = read(pipes[0], byte, 1) == 1 ? 0 : errno;
	close(pipes[0]);
	close(pipes[1]);
	return read_error == write_error ? read_error : -1;
}

/* In none of the pages' frames anything can be reached, by nobody. */
static void expect_empty(struct __test_metadata *_metadata, char *map, size_t pages)
{
	for (size_t i = 0; i < pages * FRAMES_PER_PAGE; i++) {
		ASSERT_EQ(SIGBUS, signal_of_reading(map + i * XC_PAGE_SIZE)) {
			TH_LOG("frame %zu", i);
		}
		ASSERT_EQ(EFAULT, error_of_system_calls(map + i * XC_PAGE_SIZE)) {
			TH_LOG("frame %zu", i);
		}
	}
}

/* All of the pages' frames can be reached, by the caller and by the kernel for it. */
static void expect_there(struct __test_metadata *_metadata, char *map, size_t pages)
{
	for (size_t i = 0; i < pages * FRAMES_PER_PAGE; i++) {
		ASSERT_EQ(0, signal_of_reading(map + i * XC_PAGE_SIZE)) {
			TH_LOG("frame %zu", i);
		}
		ASSERT_EQ(0, error_of_system_calls(map + i * XC_PAGE_SIZE)) {
			TH_LOG("frame %zu", i);
		}
	}
}

/* Why the tests cannot run here, or NULL. */
static const char *why_not(void)
{
	if (!on_auto_translated())
		return ON_PV;
	return stock_does_harm() ? HARMED_BY_STOCK : NULL;
}

/* As target_create(), with a file that is for its domain alone. */
static int target_create_restricted(struct target *target)
{
	return target_create(target) ?: restrict_to(target->fd, target->dom);
}

/* A large mapping, with nothing around it. */
static char *map_alone(int fd, size_t pages)
{
	char *map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* The domain goes although the test still has mappings. */
static bool goes_at_once(struct target *target)
{
	domid_t dom = target->dom;

	munmap(target->view, FRAMES * PAGE);
	target->dom = 0;
	return !domain_destroy(dom) && domain_is_gone(dom);
}

/*
 * Requests for a resource of which some frames do not exist.  The file is not restricted:
 * it would hold the domain, and what a request leaves behind would not show.
 */
FIXTURE(refused)
{
	struct target target;
	xendevicemodel_handle *dmod;
	ioservid_t server;
	char *map;
};

FIXTURE_VARIANT(refused)
{
	bool ioreqs;
	/* A frame of Xen's, as all numbers here. */
	unsigned int first;
	/* How many are asked for, and how many of them exist. */
	unsigned int num;
	unsigned int there;
};

/* Xen enters 32 frames at a time. */
FIXTURE_VARIANT_ADD(refused, after_one_part) {
	.first = GRANT_FRAMES - 32,
	.num = 33,
	.there = 32,
};

FIXTURE_VARIANT_ADD(refused, after_two_parts) {
	.first = 0,
	.num = GRANT_FRAMES + 1,
	.there = GRANT_FRAMES,
};

FIXTURE_VARIANT_ADD(refused, within_a_part) {
	.first = GRANT_FRAMES - 48,
	.num = 60,
	.there = 48,
};

FIXTURE_VARIANT_ADD(refused, of_ioreqs) {
	.ioreqs = true,
	.first = XENMEM_resource_ioreq_server_frame_ioreq(0),
	.num = 2,
	.there = 1,
};

FIXTURE_SETUP(refused)
{
	int buffered = HVM_IOREQSRV_BUFIOREQ_OFF;

	if (why_not())
		SKIP_FIXTURE(return, why_not());
	if (variant->ioreqs && !has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	ASSERT_EQ(0, target_create(&self->target));
	if (variant->ioreqs) {
		self->dmod = xendevicemodel_open(NULL, 0);
		ASSERT_NE(NULL, self->dmod);
		ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->dmod, self->target.dom,
								buffered, &self->server));
	}
	self->map = map_file(self->target.fd, pages_of(variant->num));
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(refused)
{
	munmap(self->map, pages_of(variant->num) * PAGE);
	if (self->dmod)
		xendevicemodel_close(self->dmod);
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* Frames of the variant's resource, from its first one on. */
static int map_part(const struct _test_data_refused *self,
		    const struct _fixture_variant_refused *variant, const char *addr,
		    unsigned int first, unsigned int num)
{
	if (!variant->ioreqs)
		return map_grant_frames(self->target.fd, self->target.dom, addr,
					variant->first + first, num);
	return map_resource(self->target.fd, (struct privcmd_mmap_resource) {
		.dom = self->target.dom,
		.type = XENMEM_resource_ioreq_server,
		.id = self->server,
		.idx = variant->first + first,
		.num = num,
		.addr = (uintptr_t)addr,
	});
}

static void expect_refused(struct __test_metadata *_metadata,
			   const struct _test_data_refused *self,
			   const struct _fixture_variant_refused *variant)
{
	EXPECT_EQ(-EINVAL, map_part(self, variant, self->map, 0, variant->num));
	EXPECT_TRUE(neighbours_are_untouched(self->map, pages_of(variant->num)));
}

/* Maps a part of the resource, which shows what another mapping shows. */
static void expect_mapped(struct __test_metadata *_metadata,
			  const struct _test_data_refused *self,
			  const struct _fixture_variant_refused *variant, char *addr,
			  unsigned int first, unsigned int num)
{
	char *other = map_file(self->target.fd, pages_of(num));

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, map_part(self, variant, addr, first, num));
	ASSERT_EQ(0, map_part(self, variant, other, first, num));
	expect_there(_metadata, addr, pages_of(num));
	for (size_t i = 0; i < pages_of(num); i++) {
		EXPECT_TRUE(is_same_memory(addr + i * PAGE, other + i * PAGE)) {
			TH_LOG("page %zu", i);
		}
	}
	EXPECT_EQ(0, munmap(other, pages_of(num) * PAGE));
}

TEST_F(refused, shows_none_of_it)
{
	expect_refused(_metadata, self, variant);
	expect_empty(_metadata, self->map, pages_of(variant->num));
}

/* What a place still held would hold the domain. */
TEST_F(refused, leaves_the_address_space_as_it_was)
{
	expect_refused(_metadata, self, variant);
	EXPECT_TRUE(goes_at_once(&self->target));
	expect_empty(_metadata, self->map, pages_of(variant->num));
}

/* Another one than the first that was refused with the others. */
TEST_F(refused, is_followed_by_a_single_frame)
{
	expect_refused(_metadata, self, variant);
	expect_mapped(_metadata, self, variant, self->map, variant->there - 1, 1);
	expect_empty(_metadata, self->map + PAGE, pages_of(variant->num) - 1);
}

TEST_F(refused, is_followed_by_what_exists)
{
	for (unsigned int i = 0; i < 3; i++)
		expect_refused(_metadata, self, variant);
	expect_mapped(_metadata, self, variant, self->map, 0, variant->there);
}

/* In the other order. */
TEST_F(refused, is_followed_by_two_halves)
{
	unsigned int first = variant->there - variant->there / 2;
	unsigned int second = variant->there / 2;

	expect_refused(_metadata, self, variant);
	if (second)
		expect_mapped(_metadata, self, variant, self->map, first, second);
	expect_mapped(_metadata, self, variant, self->map + pages_of(second) * PAGE, 0, first);
}

TEST_F(refused, is_followed_by_a_batch)
{
	const size_t num = pages_of(variant->num);
	xen_pfn_t pages[2 * GRANT_FRAMES];
	int err[2 * GRANT_FRAMES];

	expect_refused(_metadata, self, variant);
	for (size_t i = 0; i < num; i++)
		pages[i] = i * 7 % FRAMES;
	ASSERT_EQ(0, map_pages(self->target.fd, self->target.dom, self->map, num, pages, err));
	for (size_t i = 0; i < num; i++) {
		ASSERT_EQ(0, err[i]);
		EXPECT_EQ(pages[i], number_of(self->map + i * PAGE));
	}
}

TEST_F(refused, does_not_touch_another_mapping)
{
	const struct target *target = &self->target;
	char *other = map_file(target->fd, FRAMES);

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, map_frames(target->fd, target->dom, other, 0, FRAMES));
	expect_refused(_metadata, self, variant);
	munmap(self->map, pages_of(variant->num) * PAGE);
	for (size_t i = 0; i < FRAMES; i++) {
		EXPECT_EQ(i, number_of(other + i * PAGE));
		EXPECT_EQ(i, number_of(target->view + i * PAGE));
		EXPECT_TRUE(is_same_memory(other + i * PAGE, target->view + i * PAGE));
	}
	EXPECT_EQ(0, munmap(other, FRAMES * PAGE));
}

/* The places are used again, for somebody else's frames. */
TEST_F(refused, is_followed_by_frames_of_another_domain)
{
	struct target other;

	expect_refused(_metadata, self, variant);
	EXPECT_TRUE(goes_at_once(&self->target));
	EXPECT_GT(0, map_part(self, variant, self->map, 0, 1));
	munmap(self->map, pages_of(variant->num) * PAGE);

	ASSERT_EQ(0, target_create(&other));
	for (size_t i = 0; i < FRAMES; i++)
		EXPECT_EQ(i, number_of(other.view + i * PAGE));
	EXPECT_EQ(0, target_destroy(&other));
}

/* Batches of frames that do not exist. */
FIXTURE(missing)
{
	struct target target;
};

FIXTURE_SETUP(missing)
{
	if (why_not())
		SKIP_FIXTURE(return, why_not());
	ASSERT_EQ(0, target_create(&self->target));
}

FIXTURE_TEARDOWN(missing)
{
	EXPECT_EQ(0, target_destroy(&self->target));
}

static void run_on_first_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Makes no system call: QEMU's emulated SVM mishandles an interrupt of one now and then. */
static void spin(void)
{
	for (unsigned int i = 0; i < 1000000; i++)
		asm volatile("");
}

/* What would run all the time, if it could. */
static pid_t start_competitor(void)
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			spin();
	}
	return child;
}

/* In ns of a process' time on processors. */
static __u64 time_of(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* How often the kernel took the processor away. */
static long turns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nivcsw;
}

/* By the last batch, or what was looked at otherwise. */
static struct {
	__u64 time;
	long turns;
} spent;

static void spent_begin(void)
{
	spent.time = time_of(CLOCK_PROCESS_CPUTIME_ID);
	spent.turns = turns();
}

static void spent_end(void)
{
	spent.turns = turns() - spent.turns;
	spent.time = time_of(CLOCK_PROCESS_CPUTIME_ID) - spent.time;
}

/* All the same page.  Answers with the mapping, which is filled, or NULL. */
static char *map_same(const struct target *target, xen_pfn_t page, size_t pages, int error)
{
	size_t nr = pages * FRAMES_PER_PAGE;
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	int *err = malloc(nr * sizeof(*err));
	char *map = map_alone(target->fd, pages);
	int ret = -ENOMEM;

	for (size_t i = 0; frames && i < nr; i++)
		frames[i] = page * FRAMES_PER_PAGE + i % FRAMES_PER_PAGE;
	spent_begin();
	if (map && frames && err)
		ret = map_batch_v2(target->fd, target->dom, map, nr, frames, err);
	spent_end();
	if (ret)
		fprintf(stderr, "# a batch of %zu frames: %d\n", nr, ret);
	for (size_t i = 0; !ret && i < nr; i++)
		if (err[i] != error)
			ret = -1;
	free(frames);
	free(err);
	return ret ? NULL : map;
}

static char *map_missing(const struct target *target, size_t pages)
{
	return map_same(target, NO_FRAME, pages, -EINVAL);
}

/* As often as from a process that never calls the kernel, or not much less. */
static void expect_turns(struct __test_metadata *_metadata, const char *what)
{
	__u64 end = time_of(CLOCK_PROCESS_CPUTIME_ID) + spent.time;
	long fair = turns();

	while (time_of(CLOCK_PROCESS_CPUTIME_ID) < end)
		spin();
	fair = turns() - fair;
	EXPECT_LE(fair / 32, spent.turns) {
		TH_LOG("%ld turns in %s, %ld in as much time elsewhere", spent.turns, what, fair);
	}
}

/* Pages of more frames than take a moment; the kernel sets up as many at a time. */
#define MANY		(32768 / FRAMES_PER_PAGE)

TEST_F(missing, frames_leave_the_processor_to_others)
{
	pid_t competitor;
	char *map;

	run_on_first_processor();
	competitor = start_competitor();
	ASSERT_LT(0, competitor);
	map = map_missing(&self->target, MANY);
	ASSERT_NE(NULL, map);
	expect_turns(_metadata, "a batch");
	spent_begin();
	ASSERT_EQ(0, munmap(map, MANY * PAGE));
	spent_end();
	expect_turns(_metadata, "munmap()");
	kill(competitor, SIGKILL);
	ASSERT_EQ(competitor, waitpid(competitor, NULL, 0));
}

/*
 * Runs a batch in a child, which is killed when it has used so much time, if it
 * still is there.  Answers with the time that it has used in all.
 */
static __u64 time_of_batch(const struct target *target, __u64 limit)
{
	struct rusage usage = {};
	clockid_t clock;
	pid_t child;

	child = fork();
	if (!child)
		_exit(!map_missing(target, MANY));
	clock_getcpuclockid(child, &clock);
	while (!wait4(child, NULL, WNOHANG, &usage)) {
		if (time_of(clock) >= limit)
			kill(child, SIGKILL);
		usleep(1000);
	}
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ULL +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ULL;
}

/* Neither the rest of it is done then, nor much undone. */
TEST_F(missing, frames_end_soon_when_killed)
{
	__u64 whole, killed;

	/* The address space is set up. */
	ASSERT_NE(NULL, map_missing(&self->target, STEP));
	time_of_batch(&self->target, -1ULL);
	whole = time_of_batch(&self->target, -1ULL);
	killed = time_of_batch(&self->target, whole / 8);
	EXPECT_GT(whole / 2, killed) {
		TH_LOG("%llu us in all, %llu us when killed after %llu us",
		       whole / 1000, killed / 1000, whole / 8000);
	}
}

/* What failed has no use for a place. */
TEST_F(missing, frames_keep_no_pages)
{
	unsigned long before;

	ASSERT_NE(NULL, map_missing(&self->target, STEP));
	before = borrowable_bytes();
	for (unsigned int i = 0; i < 3; i++) {
		ASSERT_NE(NULL, map_missing(&self->target, MANY));
		EXPECT_EQ(before, borrowable_bytes());
	}
}

/* On either side of a step's end, and the first and the last one. */
TEST_F(missing, frames_can_be_added_one_by_one)
{
	const size_t holes[] = { 0, STEP - 1, STEP, 2 * STEP - 1, 2 * STEP, 2 * STEP + 75 };
	const size_t num = 2 * STEP + 76, nr = num * FRAMES_PER_PAGE;
	const struct target *target = &self->target;
	char *map = map_alone(target->fd, num);
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	int *err = malloc(nr * sizeof(*err));
	int of_pages[2 * STEP + 76];
	xen_pfn_t pages[2 * STEP + 76];

	ASSERT_NE(NULL, map);
	for (size_t i = 0; i < num; i++)
		pages[i] = i * 7 % FRAMES;
	frames_of(pages, num, frames);
	for (size_t i = 0; i < ARRAY_SIZE(holes); i++)
		frames[holes[i] * FRAMES_PER_PAGE] = NO_FRAME;
	ASSERT_EQ(0, map_batch_v2(target->fd, target->dom, map, nr, frames, err));
	ASSERT_EQ(0, errors_of(err, num, of_pages));
	for (size_t i = 0; i < ARRAY_SIZE(holes); i++) {
		char *page = map + holes[i] * PAGE;

		expect_empty(_metadata, page, 1);
		EXPECT_EQ(-EINVAL, of_pages[holes[i]]);
		ASSERT_EQ(0, map_frames(target->fd, target->dom, page, i, 1));
		pages[holes[i]] = i;
		of_pages[holes[i]] = 0;
	}
	for (size_t i = 0; i < num; i++) {
		ASSERT_EQ(0, of_pages[i]);
		ASSERT_EQ(0, signal_of_reading(map + i * PAGE));
		ASSERT_EQ(pages[i], number_of(map + i * PAGE));
	}
	free(frames);
	free(err);
}

/* In one place after the other, what failed and what takes its place. */
TEST_F(missing, frames_can_be_followed_by_a_resource)
{
	const struct target *target = &self->target;
	char *map = map_missing(target, 2);

	ASSERT_NE(NULL, map);
	EXPECT_EQ(-EINVAL, map_grant_frames(target->fd, target->dom, map, GRANT_FRAMES, 1));
	expect_empty(_metadata, map, 2);
	ASSERT_EQ(0, map_grants(target->fd, target->dom, map, 0, 1));
	ASSERT_EQ(0, map_frames(target->fd, target->dom, map + PAGE, 0, 1));
	expect_there(_metadata, map, 2);
}

/* Its memory stays while somebody maps it, but there is no more to map. */
TEST_F(missing, frames_of_a_domain_that_has_gone)
{
	const struct target *target = &self->target;
	const xen_pfn_t pages[FRAMES] = {};
	int err[FRAMES] = {};
	domid_t dom = target->dom;
	char *map = map_file(target->fd, FRAMES);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, domain_destroy(dom));
	self->target.dom = 0;
	EXPECT_EQ(0, map_pages(target->fd, dom, map, FRAMES, pages, err));
	for (size_t i = 0; i < FRAMES; i++)
		EXPECT_GT(0, err[i]);
	EXPECT_GT(0, map_grants(target->fd, dom, map, 0, 1));
	expect_empty(_metadata, map, FRAMES);
	ASSERT_EQ(0, munmap(target->view, FRAMES * PAGE));
	EXPECT_TRUE(domain_is_gone(dom));
}

static __u64 free_pages_of_xen(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xc_physinfo_t info = {};

	if (!xch || xc_physinfo(xch, &info))
		info.free_pages = 0;
	xc_interface_close(xch);
	return info.free_pages;
}

/* What stands behind a name in /proc/meminfo. */
static long meminfo_kib(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "r");
	const size_t length = strlen(name);
	char line[128];
	long kib = -1;

	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			kib = atol(line + length + 1);
	if (file)
		fclose(file);
	return kib;
}

static long available_kib(void)
{
	return meminfo_kib("MemAvailable");
}

/* Of which the balloon has taken pages; some foreign frames go where such a page was. */
static long own_kib(void)
{
	return meminfo_kib("MemTotal");
}

/* What a test allocates itself, and what happens beside it. */
#define NOISE_KIB	8192

/* The pages of the address space that a restricted file may use, in these tests. */
#define BOUND		100
#define BOUND_AT_FIRST	8388608
#define BOUND_FILE	"/sys/module/xen_privcmd/parameters/max_unpopulated_pages"
#define BOUND_OF_ALL	"/sys/module/xen_privcmd/parameters/max_unpopulated_pages_all"

/* Answers with 0 if there is none. */
static unsigned long read_bound(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned long value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static bool write_bound(const char *path, unsigned long value)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return false;
	fprintf(file, "%lu", value);
	return !fclose(file) && read_bound(path) == value;
}

FIXTURE(bound)
{
	struct target target;
	unsigned long before;
	unsigned long before_of_all;
	/* What is counted; the target's view is of another one. */
	int fd;
};

FIXTURE_SETUP(bound)
{
	if (!on_auto_translated())
		SKIP_FIXTURE(return, ON_PV);
	if (on_stock_driver())
		SKIP_FIXTURE(return, "the stock driver has no bound");
	self->before = read_bound(BOUND_FILE);
	ASSERT_NE(0, self->before);
	self->before_of_all = read_bound(BOUND_OF_ALL);
	ASSERT_NE(0, self->before_of_all);
	ASSERT_EQ(0, target_create(&self->target));
	self->fd = privcmd_open();
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(write_bound(BOUND_FILE, BOUND));
}

FIXTURE_TEARDOWN(bound)
{
	EXPECT_TRUE(write_bound(BOUND_FILE, self->before));
	EXPECT_TRUE(write_bound(BOUND_OF_ALL, self->before_of_all));
	close(self->fd);
	EXPECT_EQ(0, target_destroy(&self->target));
}

#ifdef __aarch64__
/* What an eighth of the memory has room for, with 64 bytes for each page. */
#define TIMES_MEMORY	(PAGE / 64 / 8)
#else
#define TIMES_MEMORY	2
#endif

/* Fills pages with one page after the other, from the first one on. */
static int fill_pages(const struct _test_data_bound *self, int fd, const char *map,
		      size_t pages)
{
	size_t nr = pages * FRAMES_PER_PAGE, there = FRAMES * FRAMES_PER_PAGE;
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	int ret;

	for (size_t i = 0; i < nr; i++)
		frames[i] = i % there;
	ret = map_batch_v1(fd, self->target.dom, map, nr, frames);
	for (size_t i = 0; i < nr; i++)
		if (frames[i] != i % there)
			ret = memory_changed("MMAPBATCH");
	free(frames);
	return ret;
}

static void expect_filled(struct __test_metadata *_metadata, const char *map, size_t pages)
{
	for (size_t i = 0; i < pages; i++) {
		ASSERT_EQ(0, signal_of_reading(map + i * PAGE));
		ASSERT_EQ(i % FRAMES, number_of(map + i * PAGE));
	}
}

/* A mapping of the file that is filled to the last page. */
static char *expect_room(struct __test_metadata *_metadata,
			 const struct _test_data_bound *self, int fd, size_t pages)
{
	char *map = map_alone(fd, pages);

	EXPECT_NE(NULL, map);
	EXPECT_EQ(0, fill_pages(self, fd, map, pages)) {
		TH_LOG("%zu pages", pages);
	}
	expect_filled(_metadata, map, pages);
	return map;
}

/* Answers with the mapping that stays empty. */
static char *expect_no_room(struct __test_metadata *_metadata,
			    const struct _test_data_bound *self, int fd, size_t pages)
{
	char *map = map_alone(fd, pages);

	EXPECT_NE(NULL, map);
	EXPECT_EQ(-ENOMEM, fill_pages(self, fd, map, pages)) {
		TH_LOG("%zu pages", pages);
	}
	expect_empty(_metadata, map, pages);
	return map;
}

TEST_F(bound, is_large_at_first)
{
	EXPECT_EQ(BOUND_AT_FIRST, self->before);
}

TEST_F(bound, is_for_all_mappings_of_a_file)
{
	char *first, *refused;

	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	first = expect_room(_metadata, self, self->fd, BOUND - 40);
	refused = expect_no_room(_metadata, self, self->fd, 41);
	expect_room(_metadata, self, self->fd, 40);
	expect_no_room(_metadata, self, self->fd, 1);
	expect_filled(_metadata, first, BOUND - 40);
	expect_empty(_metadata, refused, 41);

	ASSERT_EQ(0, munmap(first, (BOUND - 40) * PAGE));
	EXPECT_EQ(0, fill_pages(self, self->fd, refused, 41));
	expect_filled(_metadata, refused, 41);
	expect_no_room(_metadata, self, self->fd, BOUND - 80);
	expect_room(_metadata, self, self->fd, BOUND - 81);
}

/* One of the files alone has not reached its own. */
TEST_F(bound, is_for_all_files_too)
{
	int second = privcmd_open();

	ASSERT_LE(0, second);
	/* The target's view counts, too. */
	ASSERT_TRUE(write_bound(BOUND_OF_ALL, FRAMES + BOUND + 50));
	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	ASSERT_EQ(0, restrict_to(second, self->target.dom));
	expect_room(_metadata, self, self->fd, BOUND - 10);
	expect_no_room(_metadata, self, second, 61);
	expect_room(_metadata, self, second, 60);
	close(second);
}

static bool kernel_has(const char *symbol)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[512], name[512];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %*s %s", name) == 1 && !strcmp(name, symbol);
	if (file)
		fclose(file);
	return found;
}

/* What the balloon may have to give at once, which it took for earlier tests. */
#define SPARE	(16 * STEP)

/* Without address space of its own a frame takes the place of a page of dom0's memory. */
static bool frames_take_memory(const struct _test_data_bound *self, int fd)
{
	char *map = map_alone(fd, SPARE);
	long before = own_kib(), taken;

	/* Where the balloon is all that there is, it may have much to spare on x86. */
	if (!kernel_has("xen_alloc_unpopulated_pages"))
		return true;
	if (!map || fill_pages(self, fd, map, SPARE))
		return false;
	taken = before - own_kib();
	munmap(map, SPARE * PAGE);
	/* The balloon gives it back by and by, and has some to spare until then. */
	return taken > NOISE_KIB && SOON(own_kib() > before - NOISE_KIB);
}

/* The balloon may have changed that a little since the module was loaded. */
TEST_F(bound, of_all_files_goes_by_memory)
{
	unsigned long bound = read_bound(BOUND_OF_ALL);
	unsigned long memory = sysconf(_SC_PHYS_PAGES);

	if (frames_take_memory(self, self->fd))
		memory /= 2;
	else
		memory *= TIMES_MEMORY;
	EXPECT_LE(memory / 4 * 3, bound);
	EXPECT_GE(memory / 4 * 5, bound);
}

TEST_F(bound, leaves_half_of_the_memory)
{
	const long before = own_kib(), pages = before / (long)(PAGE / 1024);
	long mapped = 0;
	char *map;

	if (!frames_take_memory(self, self->fd))
		SKIP(return, "a foreign frame takes no memory of dom0");
	ASSERT_TRUE(write_bound(BOUND_FILE, self->before));
	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	while (mapped < pages) {
		map = map_alone(self->fd, STEP);
		ASSERT_NE(NULL, map);
		if (fill_pages(self, self->fd, map, STEP))
			break;
		mapped += STEP;
	}
	TH_LOG("%ld of %ld pages were mapped, %ld of %ld KiB are left", mapped, pages, own_kib(),
	       before);
	EXPECT_LT(0, mapped);
	EXPECT_LE(before / 2 - NOISE_KIB, own_kib());
}

/* Also where others have much of it in use. */
TEST_F(bound, leaves_memory_that_others_need)
{
	const long memory = own_kib();
	long available = meminfo_kib("MemAvailable"), mapped = 0, least;
	char *map;

	if (!frames_take_memory(self, self->fd))
		SKIP(return, "a foreign frame takes no memory of dom0");
	ASSERT_TRUE(write_bound(BOUND_FILE, self->before));
	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	/* Unless a large RAM disk has taken that much already. */
	if (available > memory / 5 * 2)
		ASSERT_NE(MAP_FAILED, mmap(NULL, (available - memory / 5 * 2) * 1024,
					   PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
	available = meminfo_kib("MemAvailable");
	while (mapped < memory) {
		map = map_alone(self->fd, STEP);
		ASSERT_NE(NULL, map);
		if (fill_pages(self, self->fd, map, STEP))
			break;
		mapped += STEP;
	}
	TH_LOG("%ld pages were mapped, %ld of %ld KiB are available, which were %ld", mapped,
	       meminfo_kib("MemAvailable"), own_kib(), available);
	if (available > memory / 4 + NOISE_KIB)
		EXPECT_LT(0, mapped);
	/* A quarter of what is left, if there was that much; the balloon goes on for a while. */
	least = available < own_kib() / 4 ? available : own_kib() / 4;
	EXPECT_LE(least - 4 * NOISE_KIB, meminfo_kib("MemAvailable"));
}

/* What was mapped before it was found that there is no room is removed again. */
TEST_F(bound, ends_a_long_batch)
{
	const size_t pages = 2 * STEP + 50;
	char *map;

	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	ASSERT_TRUE(write_bound(BOUND_FILE, pages - 1));
	map = expect_no_room(_metadata, self, self->fd, pages);
	ASSERT_TRUE(write_bound(BOUND_FILE, pages));
	EXPECT_EQ(0, fill_pages(self, self->fd, map, pages));
	expect_filled(_metadata, map, pages);
	expect_no_room(_metadata, self, self->fd, 1);
}

TEST_F(bound, leaves_no_frame_of_what_it_ended)
{
	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	expect_no_room(_metadata, self, self->fd, STEP + BOUND);
	expect_room(_metadata, self, self->fd, BOUND);
}

TEST_F(bound, is_for_resources_too)
{
	const size_t pages = pages_of(GRANT_FRAMES);
	const domid_t dom = self->target.dom;
	char *map = map_alone(self->fd, pages);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, restrict_to(self->fd, dom));
	ASSERT_TRUE(write_bound(BOUND_FILE, pages - 1));
	EXPECT_EQ(-ENOMEM, map_grant_frames(self->fd, dom, map, 0, GRANT_FRAMES));
	expect_empty(_metadata, map, pages);
	ASSERT_TRUE(write_bound(BOUND_FILE, pages));
	EXPECT_EQ(0, map_grant_frames(self->fd, dom, map, 0, GRANT_FRAMES));
	expect_there(_metadata, map, pages);
	expect_no_room(_metadata, self, self->fd, 1);
}

TEST_F(bound, is_not_for_an_unrestricted_file)
{
	expect_room(_metadata, self, self->fd, BOUND + 1);
	expect_room(_metadata, self, self->fd, BOUND + 1);
}

TEST_F(bound, is_for_what_a_file_had_before_its_restriction_too)
{
	char *map = expect_room(_metadata, self, self->fd, BOUND - 40);

	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	expect_no_room(_metadata, self, self->fd, 41);
	expect_room(_metadata, self, self->fd, 40);
	expect_filled(_metadata, map, BOUND - 40);
}

TEST_F(bound, is_for_each_file)
{
	int other = privcmd_open();

	ASSERT_LE(0, other);
	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	ASSERT_EQ(0, restrict_to(other, self->target.dom));
	expect_room(_metadata, self, self->fd, BOUND);
	expect_room(_metadata, self, other, BOUND);
	expect_no_room(_metadata, self, self->fd, 1);
	expect_no_room(_metadata, self, other, 1);
	close(other);
}

TEST_F(bound, is_not_for_frames_that_failed)
{
	const domid_t dom = self->target.dom;
	char *map = map_alone(self->fd, BOUND);
	xen_pfn_t pages[BOUND];
	int err[BOUND];

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, restrict_to(self->fd, dom));
	for (size_t i = 0; i < BOUND; i++)
		pages[i] = i < 10 ? i % FRAMES : NO_FRAME;
	ASSERT_EQ(0, map_pages(self->fd, dom, map, BOUND, pages, err));
	expect_filled(_metadata, map, 10);
	expect_no_room(_metadata, self, self->fd, BOUND - 9);
	expect_room(_metadata, self, self->fd, BOUND - 10);
}

/* So often that some are killed while Xen has entered frames and not all. */
#define KILLED		60

/* Of the grant table, with some that do not exist. */
#define TOO_MANY	(GRANT_FRAMES + FRAMES_PER_PAGE)

struct too_many {
	int fd;
	domid_t dom;
	char *map;
};

static int ask_for_too_many(void *arg)
{
	const struct too_many *ask = arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		map_grant_frames(ask->fd, ask->dom, ask->map, 0, TOO_MANY);
	return 0;
}

/* In a process of its own, with the memory of this one. */
static pid_t start_asking(struct too_many *ask, char *stack, size_t size)
{
	return clone(ask_for_too_many, stack + size, CLONE_VM | SIGCHLD, ask);
}

/*
 * Who shares memory with a process that was killed in the middle of a request can make the
 * same one: no page is lost by that, and none that the file still has to pay for.
 */
TEST_F(bound, is_not_used_up_by_those_who_were_killed)
{
	const size_t pages = 4 * pages_of(TOO_MANY), size = 65536;
	struct too_many ask = { .fd = self->fd, .dom = self->target.dom };
	char *stack = aligned_alloc(16, size);

	ASSERT_NE(NULL, stack);
	ASSERT_TRUE(write_bound(BOUND_FILE, pages));
	ASSERT_EQ(0, restrict_to(self->fd, self->target.dom));
	ask.map = map_alone(self->fd, pages);
	ASSERT_NE(NULL, ask.map);
	for (unsigned int i = 0; i < KILLED; i++) {
		pid_t child = start_asking(&ask, stack, size);

		ASSERT_LT(0, child);
		usleep(1000 + i * 331 % 3000);
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, NULL, 0));
	}
	expect_empty(_metadata, ask.map, 1);
	ASSERT_EQ(0, munmap(ask.map, pages * PAGE));
	expect_room(_metadata, self, self->fd, pages);
	free(stack);
}

/* Pages that take several frames, where the kernel's are larger than Xen's. */
FIXTURE(page)
{
	struct target target;
	char *map;
};

FIXTURE_SETUP(page)
{
	if (why_not())
		SKIP_FIXTURE(return, why_not());
	ASSERT_EQ(0, target_create_restricted(&self->target));
	self->map = map_file(self->target.fd, 3);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(page)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, 3));
	munmap(self->map, 3 * PAGE);
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* The rest of a page shows its last frame: there must be something behind it. */
static void expect_repeated(struct __test_metadata *_metadata, char *map, size_t frames)
{
	char *last = map + (frames - 1) * XC_PAGE_SIZE;

	expect_there(_metadata, map, pages_of(frames));
	for (size_t i = frames; i < pages_of(frames) * FRAMES_PER_PAGE; i++) {
		EXPECT_TRUE(is_same_frame(last, map + i * XC_PAGE_SIZE)) {
			TH_LOG("frame %zu", i);
		}
	}
	if (frames > 1)
		EXPECT_FALSE(is_same_frame(last, last - XC_PAGE_SIZE));
}

/* Frames of the domain, from any one on. */
static void fill_in(xen_pfn_t *frames, size_t nr, size_t first)
{
	for (size_t i = 0; i < nr; i++)
		frames[i] = (first + i) % (FRAMES * FRAMES_PER_PAGE);
}

static void expect_numbered(struct __test_metadata *_metadata, const char *map,
			    const xen_pfn_t *frames, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		EXPECT_EQ(numbered(frames[i] / FRAMES_PER_PAGE, frames[i] % FRAMES_PER_PAGE),
			  load(map + i * XC_PAGE_SIZE)) {
			TH_LOG("frame %zu", i);
		}
	}
}

/* Another mapping takes the place of the test's own, and is empty. */
static void renew_mapping(struct __test_metadata *_metadata,
			  const struct _test_data_page *self)
{
	ASSERT_EQ(self->map, mmap(self->map, 3 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, self->target.fd, 0));
}

/* With as many frames in it as can be. */
TEST_F(page, is_whole_when_a_resource_ends_in_it)
{
	const struct target *target = &self->target;

	for (size_t num = 1; num <= 2 * FRAMES_PER_PAGE; num++) {
		ASSERT_EQ(0, map_grant_frames(target->fd, target->dom, self->map, 1, num));
		expect_repeated(_metadata, self->map, num);
		expect_empty(_metadata, self->map + pages_of(num) * PAGE, 3 - pages_of(num));
		renew_mapping(_metadata, self);
	}
}

TEST_F(page, is_whole_when_a_batch_ends_in_it)
{
	const struct target *target = &self->target;
	xen_pfn_t frames[3 * MOST_FRAMES_PER_PAGE];
	int err[3 * MOST_FRAMES_PER_PAGE];

	for (size_t nr = 2 * FRAMES_PER_PAGE + 1; nr <= 3 * FRAMES_PER_PAGE; nr++) {
		fill_in(frames, nr, 3);
		ASSERT_EQ(0, map_batch_v2(target->fd, target->dom, self->map, nr, frames, err));
		for (size_t i = 0; i < nr; i++)
			EXPECT_EQ(0, err[i]);
		expect_numbered(_metadata, self->map, frames, nr);
		expect_repeated(_metadata, self->map, nr);
		renew_mapping(_metadata, self);
	}
}

/* Errors tell what is there: with one frame of a page all of them have failed. */
static void expect_page_empty(struct __test_metadata *_metadata,
			      const struct _test_data_page *self, size_t nr, size_t bad)
{
	const size_t empty = bad / FRAMES_PER_PAGE;
	const struct target *target = &self->target;
	xen_pfn_t frames[3 * MOST_FRAMES_PER_PAGE];
	int err[3 * MOST_FRAMES_PER_PAGE];

	fill_in(frames, nr, 3);
	frames[bad] = NO_FRAME;
	ASSERT_EQ(0, map_batch_v2(target->fd, target->dom, self->map, nr, frames, err));
	for (size_t i = 0; i < nr; i++) {
		EXPECT_EQ(i / FRAMES_PER_PAGE == empty ? -EINVAL : 0, err[i]) {
			TH_LOG("frame %zu of %zu, bad is %zu", i, nr, bad);
		}
	}
	for (size_t i = 0; i < 3; i++) {
		if (i == empty)
			expect_empty(_metadata, self->map + i * PAGE, 1);
		else
			expect_there(_metadata, self->map + i * PAGE, 1);
	}

	/* It can be filled, and then is as any other. */
	ASSERT_EQ(0, map_frames(target->fd, target->dom, self->map + empty * PAGE, 5, 1));
	expect_there(_metadata, self->map, 3);
	EXPECT_EQ(5, number_of(self->map + empty * PAGE));
	renew_mapping(_metadata, self);
}

TEST_F(page, is_empty_when_one_of_its_frames_failed)
{
	const size_t nr = 3 * FRAMES_PER_PAGE;

	for (size_t bad = 0; bad < nr; bad++)
		expect_page_empty(_metadata, self, nr, bad);
}

/* What would be repeated is not there, or stands before what is. */
TEST_F(page, is_empty_when_a_frame_of_a_batch_that_ends_in_it_failed)
{
	for (size_t nr = 2 * FRAMES_PER_PAGE + 1; nr <= 3 * FRAMES_PER_PAGE; nr++)
		for (size_t bad = 2 * FRAMES_PER_PAGE; bad < nr; bad++)
			expect_page_empty(_metadata, self, nr, bad);
}

/* The frames' numbers tell the same, of which version 1 has no more than a mark. */
TEST_F(page, is_empty_by_version_1_too)
{
	const size_t nr = 3 * FRAMES_PER_PAGE, bad = 2 * FRAMES_PER_PAGE - 1;
	const struct target *target = &self->target;
	xen_pfn_t frames[3 * MOST_FRAMES_PER_PAGE], arr[3 * MOST_FRAMES_PER_PAGE];

	fill_in(frames, nr, 3);
	frames[bad] = NO_FRAME;
	memcpy(arr, frames, nr * sizeof(*arr));
	ASSERT_EQ(0, map_batch_v1(target->fd, target->dom, self->map, nr, arr));
	for (size_t i = 0; i < nr; i++) {
		xen_pfn_t mark = i / FRAMES_PER_PAGE == 1 ? PRIVCMD_MMAPBATCH_MFN_ERROR : 0;

		EXPECT_EQ(frames[i] | mark, arr[i]);
	}
	expect_there(_metadata, self->map, 1);
	expect_empty(_metadata, self->map + PAGE, 1);
	expect_there(_metadata, self->map + 2 * PAGE, 1);
}

/* To the kernel, and what it was for to the hypervisor. */
TEST_F(page, comes_back_when_its_mapping_ends)
{
	const size_t pages = 4096 / FRAMES_PER_PAGE;
	unsigned long borrowable;
	__u64 xen_before;
	long kib_before;

	for (unsigned int i = 0; i < 20; i++) {
		char *map = map_same(&self->target, i % FRAMES, pages, 0);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(i % FRAMES, number_of(map));
		EXPECT_EQ(i % FRAMES, number_of(map + (pages - 1) * PAGE));
		ASSERT_EQ(0, munmap(map, pages * PAGE));
		if (i) {
			EXPECT_EQ(borrowable, borrowable_bytes());
			EXPECT_GE(xen_before, free_pages_of_xen() - 16);
			EXPECT_LE(xen_before, free_pages_of_xen() + 16);
			EXPECT_LE(kib_before, available_kib() + NOISE_KIB);
			continue;
		}
		borrowable = borrowable_bytes();
		xen_before = free_pages_of_xen();
		kib_before = available_kib();
		ASSERT_LT(0, xen_before);
	}
}

/* The largest of QEMU's mappings are that large. */
#define SPARSE		(16UL * 1024 * 1024 * 1024)
#define SPARSE_MAPPINGS	20

/* Puts the process into a group of its own with little memory, if the kernel has that. */
static void limit_memory(void)
{
	static const char *const files[][2] = {
		{ "/tmp/cgroup/cgroup.subtree_control", "+memory" },
		{ "/tmp/cgroup/small/memory.max", "16M" },
		{ "/tmp/cgroup/small/memory.swap.max", "0" },
		{ "/tmp/cgroup/small/cgroup.procs", "0" },
	};

	mkdir("/tmp/cgroup", 0700);
	mount("cgroup2", "/tmp/cgroup", "cgroup2", 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		FILE *file;

		if (i == 1)
			mkdir("/tmp/cgroup/small", 0700);
		file = fopen(files[i][0], "w");
		if (!file)
			continue;
		fputs(files[i][1], file);
		fclose(file);
	}
}

/* Answers with the number of mappings that show a frame; each is large. */
static int fill_sparsely(const struct target *target)
{
	long before = available_kib();
	int i;

	for (i = 0; i < SPARSE_MAPPINGS; i++) {
		char *map = map_alone(target->fd, SPARSE / PAGE);
		char *place = map + i * (SPARSE / SPARSE_MAPPINGS & -PAGE);

		if (!map || map_grant_frames(target->fd, target->dom, place, i, 1) ||
		    signal_of_writing(place))
			break;
		if (available_kib() < before - 4 * NOISE_KIB)
			break;
	}
	return i;
}

/* The kernel holds what is in proportion to it, not to the mapping. */
TEST_F(page, costs_no_more_in_a_large_mapping)
{
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		limit_memory();
		_exit(fill_sparsely(&self->target));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(SPARSE_MAPPINGS, WEXITSTATUS(status));
	umount2("/tmp/cgroup", MNT_DETACH);
}

/* Owns the machine's own memory, such as that of devices. */
#define DOMID_OF_MACHINE	0x7ff1

/* The last test, for some versions of Xen end with it on Arm. */
TEST_F(page, of_the_machine_is_refused)
{
	const domid_t dom = DOMID_OF_MACHINE;
	xen_pfn_t frames[MOST_FRAMES_PER_PAGE] = {};
	const size_t nr = FRAMES_PER_PAGE;
	int err[MOST_FRAMES_PER_PAGE];
	int fd = privcmd_open();

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EPERM, map_batch_v2(self->target.fd, dom, self->map, nr, frames, err));
	ASSERT_EQ(0, munmap(self->map, 3 * PAGE));
	ASSERT_EQ(self->map, mmap(self->map, PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0));
	EXPECT_EQ(-EINVAL, map_batch_v2(fd, dom, self->map, nr, frames, err));
	EXPECT_EQ(-EINVAL, map_batch_v1(fd, dom, self->map, nr, frames));
	for (size_t i = 0; i < nr; i++)
		EXPECT_EQ(0, frames[i]);
	expect_empty(_metadata, self->map, 1);
	EXPECT_EQ(0, map_frames(fd, self->target.dom, self->map, 0, 1));
	expect_there(_metadata, self->map, 1);
	close(fd);
}

TEST_HARNESS_MAIN
