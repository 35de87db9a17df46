/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests that map what belongs to other domains, and mappings to put it in.
 */

#ifndef SELFTESTS_XEN_MAPPING_H
#define SELFTESTS_XEN_MAPPING_H

#include "common.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/*
 * The memory of the domains here, in pages; their numbers are below it.  Page N has
 * the frames from N * FRAMES_PER_PAGE on, and a mapping's page shows all of them.
 */
#define FRAMES		16

/* The number of no page or frame: of no machine, and of no domain. */
#define NO_FRAME	0xfffffffUL

/* More than a page table entry of x86 holds; the low bits are those of real ones. */
static const xen_pfn_t too_high_frames[] = {
	1UL << 40, 1UL << 40 | 3, 1UL << 41 | 3, 1UL << 51 | 3, (1UL << 52) - 1,
	1UL << 52, 1UL << 52 | 3, 1UL << 63, 1UL << 63 | 3, -1UL,
};

#define CUT_BY_STOCK \
	"the stock driver maps the frame whose number is left in a page table entry"

/* What fills memory that must not change. */
#define UNTOUCHED	0x5a

#define ON_PV \
	"dom0 is PV here"

/* MMAP. */
#define FOR_PV_CALLERS \
	"the command is for PV callers, and dom0 is auto-translated here"

/*
 * With pages of its own the stock driver harms the kernel as soon as a mapping
 * is not filled by one request, from its start to its end.
 */
#define HARMED_BY_STOCK \
	"the stock driver of an auto-translated dom0 harms the kernel"

static inline bool stock_does_harm(void)
{
	return host_is_at_risk() && on_auto_translated();
}

/* Requests that write nothing into their argument. */
static inline int const_request(int fd, unsigned int cmd, void *arg, size_t size)
{
	char before[64];
	int ret;

	memcpy(before, arg, size);
	ret = request(fd, cmd, arg);
	return memcmp(before, arg, size) ? memory_changed("the request") : ret;
}

static inline int map_entries(int fd, domid_t dom, int num,
			      const struct privcmd_mmap_entry *entries)
{
	struct privcmd_mmap arg = {
		.num = num,
		.dom = dom,
		.entry = (void *)entries,
	};

	return const_request(fd, IOCTL_PRIVCMD_MMAP, &arg, sizeof(arg));
}

/* A single run of frames. */
static inline int map_run(int fd, domid_t dom, const void *addr, __u64 first,
			  __u64 pages)
{
	struct privcmd_mmap_entry entry = {
		.va = (uintptr_t)addr,
		.mfn = first,
		.npages = pages,
	};

	return map_entries(fd, dom, 1, &entry);
}

static inline int map_batch_v1(int fd, domid_t dom, const void *addr,
			       unsigned int num, xen_pfn_t *frames)
{
	struct privcmd_mmapbatch arg = {
		.num = num,
		.dom = dom,
		.addr = (uintptr_t)addr,
		.arr = frames,
	};

	return const_request(fd, IOCTL_PRIVCMD_MMAPBATCH, &arg, sizeof(arg));
}

static inline int map_batch_v2(int fd, domid_t dom, const void *addr,
			       unsigned int num, const xen_pfn_t *frames,
			       int *err)
{
	struct privcmd_mmapbatch_v2 arg = {
		.num = num,
		.dom = dom,
		.addr = (uintptr_t)addr,
		.arr = frames,
		.err = err,
	};

	return const_request(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &arg, sizeof(arg));
}

/* The frames of pages. */
static inline void frames_of(const xen_pfn_t *pages, unsigned int num, xen_pfn_t *frames)
{
	for (size_t i = 0; i < num * FRAMES_PER_PAGE; i++)
		frames[i] = pages[i / FRAMES_PER_PAGE] * FRAMES_PER_PAGE + i % FRAMES_PER_PAGE;
}

/* What became of pages, by what became of their frames: of one page's all the same. */
static inline int errors_of(const int *frames, unsigned int num, int *pages)
{
	for (size_t i = 0; i < num * FRAMES_PER_PAGE; i++) {
		if (i % FRAMES_PER_PAGE == 0)
			pages[i / FRAMES_PER_PAGE] = frames[i];
		if (pages[i / FRAMES_PER_PAGE] == frames[i])
			continue;
		fprintf(stderr, "# frame %zu has error %d, its page's first one %d\n", i,
			frames[i], pages[i / FRAMES_PER_PAGE]);
		return MEMORY_CHANGED;
	}
	return 0;
}

static inline int map_pages(int fd, domid_t dom, const void *addr, unsigned int num,
			    const xen_pfn_t *pages, int *err)
{
	size_t nr = num * FRAMES_PER_PAGE;
	xen_pfn_t *frames = malloc(nr * sizeof(*frames));
	int *errors = calloc(nr, sizeof(*errors));
	int ret;

	frames_of(pages, num, frames);
	ret = map_batch_v2(fd, dom, addr, nr, frames, errors) ?:
	      errors_of(errors, num, err);
	free(frames);
	free(errors);
	return ret;
}

/* Pages that all exist, from the first one on. */
static inline int map_frames(int fd, domid_t dom, const void *addr,
			     xen_pfn_t first, unsigned int num)
{
	xen_pfn_t pages[FRAMES];
	int err[FRAMES] = {};
	int ret;

	for (unsigned int i = 0; i < num; i++)
		pages[i] = first + i;
	ret = map_pages(fd, dom, addr, num, pages, err);
	for (unsigned int i = 0; !ret && i < num; i++)
		ret = err[i];
	return ret;
}

static inline int map_resource(int fd, struct privcmd_mmap_resource arg)
{
	return const_request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg, sizeof(arg));
}

/* Frames of a domain's grant table. */
static inline int map_grant_frames(int fd, domid_t dom, const void *addr, __u32 first,
				   __u64 num)
{
	return map_resource(fd, (struct privcmd_mmap_resource) {
		.dom = dom,
		.type = XENMEM_resource_grant_table,
		.id = XENMEM_resource_grant_table_id_shared,
		.idx = first,
		.num = num,
		.addr = (uintptr_t)addr,
	});
}

/* Pages of it. */
static inline int map_grants(int fd, domid_t dom, const void *addr, __u32 first,
			     __u64 num)
{
	return map_grant_frames(fd, dom, addr, first * FRAMES_PER_PAGE,
				num * FRAMES_PER_PAGE);
}

/*
 * Maps a file between two pages of ordinary memory, which must not change.
 * Answers NULL if that fails.
 */
static inline char *map_file_as(int fd, size_t pages, int prot, int flags)
{
	size_t guard = sysconf(_SC_PAGESIZE);
	size_t all = pages * PAGE + 2 * guard;
	char *start = mmap(NULL, all, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	memset(start, UNTOUCHED, all);
	start = mmap(start + guard, pages * PAGE, prot, flags | MAP_FIXED, fd, 0);
	return start == MAP_FAILED ? NULL : start;
}

/* Mappings that are none of the driver's: memory, a file's, and a hypercall buffer. */
#define OTHER_MEMORIES 4

static inline bool map_others(char *others[OTHER_MEMORIES], size_t pages)
{
	const int prot = PROT_READ | PROT_WRITE;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int hypercall = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	bool mapped = true;

	others[0] = map_file_as(-1, pages, prot, MAP_PRIVATE | MAP_ANONYMOUS);
	others[1] = map_file_as(-1, pages, prot, MAP_SHARED | MAP_ANONYMOUS);
	others[2] = map_file_as(file, pages, prot, MAP_PRIVATE);
	others[3] = map_file_as(hypercall, pages, prot, MAP_SHARED);
	close(file);
	close(hypercall);
	for (int i = 0; i < OTHER_MEMORIES; i++) {
		mapped &= !!others[i];
		if (others[i])
			memset(others[i], UNTOUCHED, pages * PAGE);
	}
	return mapped;
}

static inline char *map_file(int fd, size_t pages)
{
	return map_file_as(fd, pages, PROT_READ | PROT_WRITE, MAP_SHARED);
}

static inline bool is_untouched(const void *memory, size_t size)
{
	const char *bytes = memory;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] != UNTOUCHED)
			return false;
	return true;
}

static inline bool neighbours_are_untouched(const char *start, size_t pages)
{
	return is_untouched(start - PAGE, PAGE) &&
	       is_untouched(start + pages * PAGE, PAGE);
}

static sigjmp_buf fault_return;

static inline void return_from_fault(int signal)
{
	siglongjmp(fault_return, signal);
}

/* The signal that an access to a byte raises, or 0. */
static inline int signal_of_access(char *byte, bool write)
{
	struct sigaction action = { .sa_handler = return_from_fault };
	struct sigaction bus, segv;
	int signal;

	sigaction(SIGBUS, &action, &bus);
	sigaction(SIGSEGV, &action, &segv);
	signal = sigsetjmp(fault_return, 1);
	if (!signal) {
		char value = __atomic_load_n(byte, __ATOMIC_SEQ_CST);

		if (write)
			__atomic_store_n(byte, value, __ATOMIC_SEQ_CST);
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return signal;
}

static inline int signal_of_reading(const char *byte)
{
	return signal_of_access((char *)byte, false);
}

static inline int signal_of_writing(char *byte)
{
	return signal_of_access(byte, true);
}

/* Nothing is mapped there, but something may be. */
static inline bool is_empty(const char *start, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (signal_of_reading(start + i * PAGE) != SIGBUS)
			return false;
	return true;
}

/*
 * Memory may be the same at two addresses, which the compiler must not rely on
 * being different.
 */
static inline __u64 load(const void *addr)
{
	return __atomic_load_n((const __u64 *)addr, __ATOMIC_SEQ_CST);
}

static inline void store(void *addr, __u64 value)
{
	__atomic_store_n((__u64 *)addr, value, __ATOMIC_SEQ_CST);
}

/* What is written into a frame of a page. */
static inline __u64 numbered(__u64 page, size_t frame)
{
	return page | (__u64)frame << 32;
}

/* Writes a number into each page that tells it from the others. */
static inline void number_pages(char *start, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		for (size_t frame = 0; frame < FRAMES_PER_PAGE; frame++)
			store(start + i * PAGE + frame * XC_PAGE_SIZE, numbered(i, frame));
}

/* The number that was written into a page, all of whose frames are at their places. */
static inline __u64 number_of(const char *page)
{
	__u64 number = load(page);

	for (size_t frame = 1; frame < FRAMES_PER_PAGE; frame++)
		if (load(page + frame * XC_PAGE_SIZE) != numbered(number, frame))
			return -1;
	return number;
}

/* Two frames are the same memory: what is written to one is read from the other. */
static inline bool is_same_frame(char *one, char *other)
{
	const __u64 value = 0x0123456789abcdef;
	__u64 *first = (__u64 *)(one + XC_PAGE_SIZE) - 1;
	__u64 *second = (__u64 *)(other + XC_PAGE_SIZE) - 1;

	store(first, value);
	if (load(second) != value)
		return false;
	store(second, 0);
	return load(first) == 0;
}

/* Two pages are, in each of their frames. */
static inline bool is_same_memory(char *one, char *other)
{
	for (size_t offset = 0; offset < PAGE; offset += XC_PAGE_SIZE)
		if (!is_same_frame(one + offset, other + offset))
			return false;
	return true;
}

/* Gives a domain its memory.  Answers with 0, or with a negative errno. */
static inline int populate(domid_t dom)
{
	xen_pfn_t frames[FRAMES * MOST_FRAMES_PER_PAGE];

	return domain_populate(dom, FRAMES * FRAMES_PER_PAGE, frames);
}

/*
 * A domain with memory, all of which is mapped for the test to look at; each
 * page holds its own number.
 */
struct target {
	int fd;
	int dom;
	char *view;
};

/* Answers with 0, or with a negative errno. */
static inline int target_create(struct target *target)
{
	int ret;

	memset(target, 0, sizeof(*target));
	target->fd = privcmd_open();
	if (target->fd < 0)
		return target->fd;
	target->dom = domain_create(DOMAIN_PVH, 3);
	if (target->dom < 0)
		return target->dom;
	ret = populate(target->dom);
	if (ret)
		return ret;
	target->view = map_file(target->fd, FRAMES);
	if (!target->view)
		return -errno;
	ret = map_frames(target->fd, target->dom, target->view, 0, FRAMES);
	if (!ret)
		number_pages(target->view, FRAMES);
	return ret;
}

/* Answers with 0, or with a negative errno. */
static inline int target_destroy(struct target *target)
{
	munmap(target->view, FRAMES * PAGE);
	close(target->fd);
	return target->dom > 0 ? domain_destroy(target->dom) : 0;
}

/*
 * The size of the address space that an auto-translated kernel has set up for
 * other domains' frames.  It grows, by a whole section of memory at a time, when
 * no page of it is free.
 */
static inline unsigned long borrowable_bytes(void)
{
	FILE *file = fopen("/proc/iomem", "r");
	unsigned long start, end, sum = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "Xen scratch") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			sum += end - start + 1;
	if (file)
		fclose(file);
	return sum;
}

/* Whether a child that is in the middle of a long request can be killed. */
static inline bool can_be_killed(pid_t child)
{
	int status;

	usleep(50000);
	kill(child, SIGKILL);
	for (int i = 0; i < 300; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFSIGNALED(status);
		usleep(10000);
	}
	waitpid(child, &status, 0);
	return false;
}

/* Whether nothing holds a destroyed domain any more; that may take a moment. */
static inline bool domain_is_gone(domid_t dom)
{
	return SOON(!domain_exists(dom));
}

#endif /* SELFTESTS_XEN_MAPPING_H */
