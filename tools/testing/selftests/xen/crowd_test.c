// SPDX-License-Identifier: GPL-2.0-only
/*
 * What virtio's backends do: many requests at once, each for a whole guest's memory,
 * and very many small ones while the guest balloons.
 *
 * COUNT is how often memory is mapped and unmapped; a guest's memory has an eighth of
 * that in frames.
 */

#include "mapping.h"
#include "proc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include <xenforeignmemory.h>

/* Unless COUNT says so. */
#define COUNT		10240
#define FRAMES_AT_LEAST	32768

/* Pages that come and go for other reasons; the frames that one page of page tables has. */
#define NOISE			64
#define FRAMES_PER_TABLE	512

/* The frames of a step of a batch. */
#define STEP		(PAGE / sizeof(xen_pfn_t))

/* Xen gives back what a domain had some time after its end. */
static bool host_pages_become(long before, long more_or_less)
{
	return SOON(labs(host_pages() - before) <= more_or_less);
}

/* ---- A whole guest's memory ---- */

#define PROCESSES	4

/* Shared by the processes. */
struct backend {
	atomic_bool begins, ends;
	int ret;
	/* By frame; each step has a bad one, whose error is there before the next one. */
	int *errors;
};

static int create_guest(unsigned int nr)
{
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int dom = domain_create(DOMAIN_PVH, 1);
	int ret = dom < 0 ? dom : 0;

	/* Without a vCPU Xen refuses room for more page tables. */
	if (!ret && xc_domain_max_vcpus(xch, dom, 1))
		ret = -errno;
	ret = ret ?: domain_populate(dom, nr, frames);
	xc_interface_close(xch);
	free(frames);
	return ret ?: dom;
}

static void map_whole_guest(struct backend *backend, domid_t dom, unsigned int nr, int start)
{
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	int fd = privcmd_open();
	char *map = mmap(NULL, nr * XC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char byte;

	if (map == MAP_FAILED)
		_exit(1);
	for (unsigned int i = 0; i < nr; i++)
		frames[i] = i % STEP ? i : NO_FRAME;
	/* All at once: it ends when nobody has the other end any more. */
	if (read(start, &byte, 1))
		_exit(2);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	atomic_store(&backend->begins, true);
	backend->ret = map_batch_v2(fd, dom, map, nr, frames, backend->errors);
	atomic_store(&backend->ends, true);
	/* It keeps them until it is killed: two that unmap at once wait for each other in Xen. */
	for (;;)
		pause();
}

/* How many of its steps a batch has behind it. */
static unsigned int steps_done(const struct backend *backend, unsigned int nr)
{
	unsigned int step = 0;

	while (step < nr / STEP && __atomic_load_n(&backend->errors[step * STEP], __ATOMIC_SEQ_CST))
		step++;
	return step;
}

static bool is_at_work(struct backend *backend)
{
	return atomic_load(&backend->begins) && !atomic_load(&backend->ends);
}

/* To the end; answers with the number of lines. */
static unsigned int read_maps(pid_t pid)
{
	unsigned int lines = 0;
	char path[64], line[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		lines++;
	fclose(file);
	return lines;
}

FIXTURE(batches)
{
};

FIXTURE_SETUP(batches)
{
}

FIXTURE_TEARDOWN(batches)
{
}

/* Whoever reads gets through in between, and a kill ends a batch after its step. */
TEST_F(batches, for_whole_guests_let_others_through)
{
	const unsigned int count = wanted_count(COUNT) / 8 / STEP * STEP;
	const unsigned int nr = count < FRAMES_AT_LEAST ? FRAMES_AT_LEAST : count;
	const unsigned int steps = nr / STEP;
	unsigned int reads[PROCESSES] = {}, all_reads = 0, worst = 0, left, killed_at = 0;
	struct backend *backends;
	pid_t pids[PROCESSES];
	int start[2], dom;
	long before;

	if (on_stock_driver())
		SKIP(return, "the stock driver has no steps");
	before = host_pages();
	dom = create_guest(nr);
	ASSERT_LT(0, dom);
	backends = mmap(NULL, PROCESSES * sizeof(*backends), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, backends);
	ASSERT_EQ(0, pipe2(start, O_CLOEXEC));
	for (unsigned int i = 0; i < PROCESSES; i++) {
		backends[i].errors = mmap(NULL, nr * sizeof(int), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		ASSERT_NE(MAP_FAILED, backends[i].errors);
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			close(start[1]);
			map_whole_guest(&backends[i], dom, nr, start[0]);
		}
	}
	close(start[1]);

	do {
		left = 0;
		for (unsigned int i = 0; i < PROCESSES; i++) {
			bool at_work = is_at_work(&backends[i]);
			unsigned int first = steps_done(&backends[i], nr), waited;

			left += !atomic_load(&backends[i].ends);
			if (!at_work || !read_maps(pids[i]) || !is_at_work(&backends[i]))
				continue;
			reads[i]++;
			waited = steps_done(&backends[i], nr) - first;
			if (waited > worst)
				worst = waited;
		}
		if (steps_done(&backends[0], nr) >= steps / 4 && !killed_at) {
			unsigned int after;

			ASSERT_EQ(0, kill(pids[0], SIGKILL));
			killed_at = steps_done(&backends[0], nr);
			ASSERT_EQ(pids[0], waitpid(pids[0], NULL, 0));
			after = steps_done(&backends[0], nr);
			EXPECT_GE(killed_at + 1, after);
			EXPECT_GT(steps, after);
			atomic_store(&backends[0].ends, true);
		}
	} while (left);

	EXPECT_LT(0, killed_at);
	for (unsigned int i = 1; i < PROCESSES; i++) {
		ASSERT_EQ(0, kill(pids[i], SIGKILL));
		ASSERT_EQ(pids[i], waitpid(pids[i], NULL, 0));
		EXPECT_EQ(steps, steps_done(&backends[i], nr));
		EXPECT_EQ(0, backends[i].ret);
		all_reads += reads[i];
	}
	/* How often is up to a machine that has other work, too. */
	EXPECT_LT(0, all_reads);
	EXPECT_GT(steps / 2, worst);
	fprintf(stderr, "# crowd_test: %u frames in %u steps, one killed after %u\n", nr, steps,
		killed_at);
	fprintf(stderr, "# crowd_test: a reader got through %u %u %u times, at worst in %u steps\n",
		reads[1], reads[2], reads[3], worst);
	ASSERT_EQ(0, domain_destroy(dom));
	/* Xen keeps an auto-translated dom0's page tables for addresses used once. */
	EXPECT_TRUE(host_pages_become(before, NOISE + PROCESSES * nr / FRAMES_PER_TABLE)) {
		TH_LOG("Xen and dom0 had %ld pages, and have %ld", before, host_pages());
	}
}

/* ---- Small ones ---- */

#define THREADS		4
#define MOST_AT_ONCE	8

/* Those that stay, and those that come and go with the balloon. */
#define STAYING		64
#define ALL		128

static struct {
	int dom;
	xenforeignmemory_handle *fmem;
	atomic_bool stop;
	atomic_uint mapped, refused, wrong, moves;
} small;

static bool shows(const char *map, xen_pfn_t first, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (load(map + i * XC_PAGE_SIZE) != first + i)
			return false;
	return true;
}

static void *map_some(unsigned int nr, const xen_pfn_t *frames)
{
	const int prot = PROT_READ | PROT_WRITE;

	return xenforeignmemory_map(small.fmem, small.dom, prot, nr, frames, NULL);
}

static void *map_and_unmap(void *data)
{
	const unsigned int rounds = wanted_count(COUNT) / THREADS;
	unsigned int seed = (uintptr_t)data;

	for (unsigned int n = 0; n < rounds; n++) {
		unsigned int nr = 1 + n % MOST_AT_ONCE;
		xen_pfn_t first, frames[MOST_AT_ONCE];
		char *map;

		seed = seed * 1664525 + 1013904223;
		first = (seed >> 16) % (ALL - MOST_AT_ONCE);
		for (unsigned int i = 0; i < nr; i++)
			frames[i] = first + i;
		map = map_some(nr, frames);
		atomic_fetch_add(map ? &small.mapped : &small.refused, 1);
		if (first + nr <= STAYING && (!map || !shows(map, first, nr)))
			atomic_fetch_add(&small.wrong, 1);
		if (map && xenforeignmemory_unmap(small.fmem, map, nr))
			atomic_fetch_add(&small.wrong, 1);
	}
	return NULL;
}

/* As a guest's balloon has Xen do it. */
static void *balloon(void *unused)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_pfn_t frames[MOST_AT_ONCE];

	(void)unused;
	for (unsigned int n = 0; !atomic_load(&small.stop); n++) {
		for (unsigned int i = 0; i < MOST_AT_ONCE; i++)
			frames[i] = STAYING + n * MOST_AT_ONCE % (ALL - STAYING) + i;
		if (xc_domain_decrease_reservation_exact(xch, small.dom, MOST_AT_ONCE, 0, frames) ||
		    xc_domain_populate_physmap_exact(xch, small.dom, MOST_AT_ONCE, 0, 0, frames)) {
			atomic_fetch_add(&small.wrong, 1);
			break;
		}
		atomic_fetch_add(&small.moves, 1);
	}
	xc_interface_close(xch);
	return NULL;
}

static long available_kib(void)
{
	return atol(proc_line("/proc/meminfo", "MemAvailable"));
}

static void map_from_threads(struct __test_metadata *_metadata)
{
	pthread_t threads[THREADS], ballooner;

	atomic_store(&small.stop, false);
	ASSERT_EQ(0, pthread_create(&ballooner, NULL, balloon, NULL));
	for (uintptr_t i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, map_and_unmap, (void *)i));
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&small.stop, true);
	pthread_join(ballooner, NULL);
}

FIXTURE(library)
{
};

FIXTURE_SETUP(library)
{
}

FIXTURE_TEARDOWN(library)
{
}

/* In seconds, where COUNT asks for a million. */
#define LIMIT 2400

TEST_F_TIMEOUT(library, maps_without_errors_while_a_guest_balloons, LIMIT)
{
	const unsigned int all = wanted_count(COUNT) / THREADS * THREADS;
	xen_pfn_t frames[ALL];
	long xen_before, before;
	int fd = privcmd_open();
	char *map = map_file(fd, 1);

	if (stock_does_harm())
		SKIP(return, HARMED_BY_STOCK);
	ASSERT_NE(NULL, map);
	xen_before = host_pages();
	small.dom = domain_create(DOMAIN_PVH, 1);
	ASSERT_LT(0, small.dom);
	ASSERT_EQ(0, domain_populate(small.dom, ALL, frames));
	small.fmem = xenforeignmemory_open(NULL, 0);
	ASSERT_NE(NULL, small.fmem);
	/* The library has an array of its own where the caller has none. */
	EXPECT_EQ(-EFAULT, map_batch_v2(fd, small.dom, map, 1, frames, NULL));
	map = map_some(STAYING, frames);
	ASSERT_NE(NULL, map);
	for (unsigned int i = 0; i < STAYING; i++)
		store(map + i * XC_PAGE_SIZE, i);
	ASSERT_EQ(0, xenforeignmemory_unmap(small.fmem, map, STAYING));

	before = available_kib();
	map_from_threads(_metadata);
	EXPECT_LT(before - 4096, available_kib());
	EXPECT_EQ(0, small.wrong);
	EXPECT_EQ(all, small.mapped + small.refused);
	/* Some of each, or nothing was shown. */
	EXPECT_LT(all / 4, small.mapped);
	EXPECT_LT(all / 1000, small.refused);
	fprintf(stderr, "# crowd_test: %u mapped, %u refused, while %u frames came and went\n",
		small.mapped, small.refused, small.moves * MOST_AT_ONCE);
	fprintf(stderr, "# crowd_test: %ld KiB were available, and %ld are\n", before,
		available_kib());

	xenforeignmemory_close(small.fmem);
	ASSERT_EQ(0, domain_destroy(small.dom));
	EXPECT_TRUE(host_pages_become(xen_before, NOISE)) {
		TH_LOG("Xen and dom0 had %ld pages, and have %ld", xen_before, host_pages());
	}
}

TEST_HARNESS_MAIN
