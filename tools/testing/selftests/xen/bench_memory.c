// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory the kernel takes for calls, by its own trace of allocations.
 *
 * Prints a line for each call, "name held most": how many bytes of what the call
 * allocated were still there after it, and how many there were at most at a time.
 * Page tables and what the rest of the kernel allocates for the call count too.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>
#include <xenctrl.h>

#include "domain.h"
#include "requests.h"

#define TRACING		"/sys/kernel/tracing/"
#define EVENTS		TRACING "events/kmem/"

#define MANY_FRAMES	1024

/* The least of so many calls: a slab that runs out in between only adds. */
#define SAMPLES		20

#define MAX_BLOCKS	4096

struct block {
	unsigned long long id;
	unsigned long size;
};

struct usage {
	unsigned long held;
	unsigned long most;
};

static struct block blocks[MAX_BLOCKS];
static unsigned int nr_blocks;

static int fd, fresh_fd, hypercall_fd, switch_fd;
static domid_t dom, frames_dom;
static xen_pfn_t frames[MANY_FRAMES];
static int errors[MANY_FRAMES];
static unsigned int nr_frames;
static void *addr;

static void check(const char *what, bool good)
{
	if (good)
		return;
	fprintf(stderr, "bench_memory: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void set(const char *path, const char *value)
{
	FILE *file = fopen(path, "w");

	check(path, file && fputs(value, file) >= 0);
	check(path, !fclose(file));
}

/* Kernels differ in which events they have. */
static void trace(const char *event)
{
	char path[128];

	snprintf(path, sizeof(path), EVENTS "%s/enable", event);
	if (!access(path, W_OK))
		set(path, "1");
}

/* Nothing is allocated for this. */
static void trace_on(bool on)
{
	check("tracing_on", write(switch_fd, on ? "1" : "0", 1) == 1);
}

static void set_up_trace(void)
{
	char pid[16];

	check("tracefs", !mount("tracefs", TRACING, "tracefs", 0, NULL) || errno == EBUSY);
	snprintf(pid, sizeof(pid), "%d", getpid());
	switch_fd = open(TRACING "tracing_on", O_WRONLY | O_CLOEXEC);
	trace_on(false);
	/* A hash of an address, which others are shown, may not be known yet. */
	set(TRACING "trace_options", "nohash-ptr");
	set(TRACING "set_event_pid", pid);
	trace("kmalloc");
	trace("kmalloc_node");
	trace("kmem_cache_alloc");
	trace("kmem_cache_alloc_node");
	trace("kfree");
	trace("kmem_cache_free");
	trace("mm_page_alloc");
	trace("mm_page_free");
}

static unsigned long long field(const char *line, const char *name, int base)
{
	const char *found = strstr(line, name);

	return found ? strtoull(found + strlen(name), NULL, base) : 0;
}

/* Some kernels tell of a large allocation twice. */
static void add(unsigned long long id, unsigned long size)
{
	for (unsigned int i = 0; i < nr_blocks; i++) {
		if (blocks[i].id == id)
			return;
	}
	check("more allocations than expected", nr_blocks < MAX_BLOCKS);
	blocks[nr_blocks++] = (struct block) { .id = id, .size = size };
}

static void drop(unsigned long long id)
{
	for (unsigned int i = 0; i < nr_blocks; i++) {
		if (blocks[i].id == id) {
			blocks[i] = blocks[--nr_blocks];
			return;
		}
	}
}

/*
 * The pages of a slab are counted by what is taken from it, and large allocations
 * have an event of their own.  Page tables are compound pages too on newer kernels,
 * of a single zeroed page; slabs are not asked to be zeroed.
 */
static bool is_page_itself(const char *line)
{
	return !strstr(line, "__GFP_COMP") ||
	       (strstr(line, "__GFP_ZERO") && strstr(line, "order=0 "));
}

static void account(const char *line)
{
	if (strstr(line, "mm_page_alloc:") && is_page_itself(line))
		add(field(line, "pfn=", 0), PAGE << field(line, "order=", 10));
	else if (strstr(line, "mm_page_free:"))
		drop(field(line, "pfn=", 0));
	else if (strstr(line, "bytes_alloc="))
		add(field(line, "ptr=", 16), field(line, "bytes_alloc=", 10));
	else if (strstr(line, "free: "))
		drop(field(line, "ptr=", 16));
}

static struct usage read_trace(void)
{
	FILE *file = fopen(TRACING "trace", "r");
	struct usage usage = {};
	char line[512];

	check(TRACING "trace", file);
	nr_blocks = 0;
	while (fgets(line, sizeof(line), file)) {
		if (line[0] == '#')
			continue;
		account(line);
		usage.held = 0;
		for (unsigned int i = 0; i < nr_blocks; i++)
			usage.held += blocks[i].size;
		if (usage.held > usage.most)
			usage.most = usage.held;
	}
	fclose(file);
	return usage;
}

static int nothing(void)
{
	return 0;
}

static int open_fresh(void)
{
	fresh_fd = privcmd_open();
	return fresh_fd;
}

static int close_fresh(void)
{
	return close(fresh_fd);
}

static int make_mapping(void)
{
	addr = mmap(NULL, (size_t)nr_frames * XC_PAGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	return addr == MAP_FAILED ? -errno : 0;
}

static int end_mapping(void)
{
	return munmap(addr, (size_t)nr_frames * XC_PAGE_SIZE);
}

static int make_buffer(void)
{
	addr = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, hypercall_fd, 0);
	return addr == MAP_FAILED ? -errno : 0;
}

static int map_frames(void)
{
	struct privcmd_mmapbatch_v2 arg = {
		.num = nr_frames,
		.dom = frames_dom,
		.addr = (uintptr_t)addr,
		.arr = frames,
		.err = errors,
	};

	return request(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &arg) ?: errors[nr_frames - 1];
}

static int map_grants(void)
{
	struct privcmd_mmap_resource arg = {
		.dom = dom,
		.type = XENMEM_resource_grant_table,
		.id = XENMEM_resource_grant_table_id_shared,
		.num = nr_frames,
		.addr = (uintptr_t)addr,
	};

	return request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg);
}

static int ask_with_dm_op(void)
{
	struct nr_vcpus_op op = { .op = DM_OP_NR_VCPUS };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };

	return dm_op(fd, dom, 1, &buf);
}

static int ask_with_command(void)
{
	struct privcmd_dm_nr_vcpus arg = { .dom = dom };

	return request(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &arg);
}

static void measure(const char *name, unsigned int nr, int (*prepare)(void),
		    int (*call)(void), int (*undo)(void))
{
	struct usage least = { .held = -1UL, .most = -1UL };

	nr_frames = nr;
	for (unsigned int i = 0; i < SAMPLES; i++) {
		struct usage usage;
		int ret;

		check(name, prepare() >= 0);
		set(TRACING "trace", "");
		trace_on(true);
		ret = call();
		trace_on(false);
		if (ret < 0) {
			printf("%s - %s\n", name, strerrorname_np(-ret) ?: "?");
			undo();
			return;
		}
		usage = read_trace();
		if (usage.most < least.most)
			least = usage;
		check(name, undo() >= 0);
	}
	printf("%s %lu %lu\n", name, least.held, least.most);
}

int main(void)
{
	int ret;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	fd = privcmd_open();
	hypercall_fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	check("the devices", fd >= 0 && hypercall_fd >= 0);
	ret = domain_create(DOMAIN_HVM, 3);
	check("a domain", ret >= 0);
	dom = ret;
	ret = domain_create(DOMAIN_HVM, 3);
	check("a domain", ret >= 0);
	frames_dom = ret;
	check("its memory", !domain_populate(frames_dom, MANY_FRAMES, frames));
	set_up_trace();

	measure("nothing", 0, nothing, nothing, nothing);
	measure("open", 0, nothing, open_fresh, close_fresh);
	measure("mmap_privcmd", 1, nothing, make_mapping, end_mapping);
	measure("mmap_hypercall", 1, nothing, make_buffer, end_mapping);
	measure("mmapbatch_v2_1", 1, make_mapping, map_frames, end_mapping);
	measure("mmapbatch_v2_16", 16, make_mapping, map_frames, end_mapping);
	measure("mmapbatch_v2_1024", MANY_FRAMES, make_mapping, map_frames, end_mapping);
	measure("mmap_resource_1", 1, make_mapping, map_grants, end_mapping);
	measure("mmap_resource_32", 32, make_mapping, map_grants, end_mapping);
	measure("dm_op_nr_vcpus", 0, nothing, ask_with_dm_op, nothing);
	measure("dm_nr_vcpus", 0, nothing, ask_with_command, nothing);
	return EXIT_SUCCESS;
}
