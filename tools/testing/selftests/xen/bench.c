// SPDX-License-Identifier: GPL-2.0-only
/*
 * What calls cost, by the processor's counter.  It counts instructions where the
 * machine is an emulator that ties its clock to them (QEMU's -icount).
 *
 * Prints a line for each figure, "name count", or "name - reason"
 * for what this driver or this machine cannot do.  With the argument "throughput"
 * it prints how many requests processes make at the same time instead, as
 * "name requests-per-second".
 */

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xendevicemodel.h>

#include "bench.h"
#include "domain.h"
#include "requests.h"

#define VCPUS		3

/* The most frames that a domain is given, and that are mapped. */
#define MANY_FRAMES	65536
#define MOST_FRAMES	262144

/* In a frame's number: no machine has so many. */
#define NO_FRAME	0x1000000000UL

#define MAX_SAMPLES	1000

/* From so many frames on a sample has one call. */
#define SINGLE_CALLS	1024

/* What the last level of page tables maps, with pages of 4 KiB. */
#define PAGE_TABLE_REACH	(2UL << 20)

/* Modules that make bare hypercalls. */
#define DM_OP_MODULE	"test_xen_dm_op"
#define FRAMES_MODULE	"test_xen_frames"

#define PARAMETER(_module, _name)	"/sys/module/" _module "/parameters/" _name

/* So many calls are behind one reading of the module's parameter. */
#define TICKS_CALLS	64

#define THROUGHPUT_SECONDS	2
#define MOST_PROCESSES		4

#define UNKNOWN_COMMAND	_IO('P', 0xff)

#if defined(__x86_64__)

/* Its frames are the machine's: the hypervisor has no table to look them up in. */
#define FRAMES_OF	DOMAIN_PV

#elif defined(__aarch64__)

#define FRAMES_OF	DOMAIN_HVM

#endif

/* A step answers with a negative errno if it failed. */
typedef int (*step)(void);

struct operation {
	/* What is not named is not reported. */
	const char *name;
	const char *undo_name;
	step prepare;
	step call;
	step undo;
	unsigned int samples;
	/* In one sample; 0 is as many as the counter needs. */
	unsigned int calls;
};

static uint64_t call_ticks[MAX_SAMPLES];
static uint64_t undo_ticks[MAX_SAMPLES];

static int fd, hypercall_fd, fresh_fd, limited_fd;
static domid_t dom, frames_dom, logged_dom;
static xc_interface *xch;
static xendevicemodel_handle *dmod;

static xen_pfn_t *frames;
static int *errors;
static unsigned int nr_frames;
static void *addr, *place;
static pid_t child;

/* A device-model operation that reads a second buffer, of 64 KiB in all. */
#define NR_EXTENTS	4096

static struct xen_dm_op dirty;
static struct xen_dm_op_modified_memory_extent extents[NR_EXTENTS];
static size_t extents_size;

/* What each process counted, in a page of its own so that none slows another. */
static char *counts;

static uint64_t *calls_by(unsigned int process)
{
	return (uint64_t *)(counts + process * XC_PAGE_SIZE);
}

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

static int ask_parent(void)
{
	return syscall(SYS_getppid) < 0 ? -errno : 0;
}

static int ask_unknown(void)
{
	return ioctl(fd, UNKNOWN_COMMAND, NULL) == -1 && errno == ENOTTY ? 0 : -EPROTO;
}

static int open_fresh(void)
{
	fresh_fd = privcmd_open();
	return fresh_fd;
}

static int close_fresh(void)
{
	return result(close(fresh_fd));
}

static int open_and_close(void)
{
	int ret = open_fresh();

	return ret < 0 ? ret : close_fresh();
}

static int restrict_fresh(void)
{
	return result(ioctl(fresh_fd, IOCTL_PRIVCMD_RESTRICT, &dom));
}

static int call_xen_version(void)
{
	struct privcmd_hypercall arg = { .op = HYPERCALL_XEN_VERSION };

	return result(ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &arg));
}

static inline int ask_file_with_dm_op(int file)
{
	struct nr_vcpus_op op = { .op = DM_OP_NR_VCPUS };
	struct privcmd_dm_op_buf buf = { .uptr = &op, .size = sizeof(op) };
	struct privcmd_dm_op arg = { .dom = dom, .num = 1, .ubufs = &buf };

	return result(ioctl(file, IOCTL_PRIVCMD_DM_OP, &arg));
}

static int ask_with_dm_op(void)
{
	return ask_file_with_dm_op(fd);
}

static int ask_limited_with_dm_op(void)
{
	return ask_file_with_dm_op(limited_fd);
}

static int ask_library(void)
{
	unsigned int vcpus;

	return result(xendevicemodel_nr_vcpus(dmod, dom, &vcpus));
}

/* Xen 4.18 renamed it. */
static int ask_libxenctrl(void)
{
#if XEN_DOMCTL_INTERFACE_VERSION < 0x16
	xc_dominfo_t info;

	return xc_domain_getinfo(xch, dom, 1, &info) == 1 ? 0 : -errno;
#else
	xc_domaininfo_t info;

	return result(xc_domain_getinfo_single(xch, dom, &info));
#endif
}

static inline int ask_file_with_command(int file)
{
	struct privcmd_dm_nr_vcpus arg = { .dom = dom };

	return result(ioctl(file, IOCTL_PRIVCMD_DM_NR_VCPUS, &arg));
}

static int ask_with_command(void)
{
	return ask_file_with_command(fd);
}

static int ask_limited_with_command(void)
{
	return ask_file_with_command(limited_fd);
}

static int mark_dirty(void)
{
	struct privcmd_dm_op_buf bufs[2] = {
		{ .uptr = &dirty, .size = sizeof(dirty) },
		{ .uptr = extents, .size = extents_size },
	};
	struct privcmd_dm_op arg = { .dom = logged_dom, .num = 2, .ubufs = bufs };

	memset(&dirty, 0, sizeof(dirty));
	dirty.op = XEN_DMOP_modified_memory;
	dirty.u.modified_memory.nr_extents = extents_size / sizeof(extents[0]);
	return result(ioctl(fd, IOCTL_PRIVCMD_DM_OP, &arg));
}

/*
 * Where mappings go: behind a page at the start of a page table, with room up to
 * what else is mapped.  How many page tables a mapping takes must not depend on
 * where the kernel happens to put it.
 */
static int set_up_place(void)
{
	size_t room = 2 * (size_t)MOST_FRAMES * XC_PAGE_SIZE;
	char *found = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);

	if (found == MAP_FAILED || munmap(found, room))
		return -errno;
	found += -(uintptr_t)found % PAGE_TABLE_REACH;
	found = mmap(found, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0);
	place = found + PAGE;
	return found == MAP_FAILED ? -errno : 0;
}

static int make_mapping(void)
{
	addr = mmap(place, (size_t)nr_frames * XC_PAGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	return addr == MAP_FAILED ? -errno : 0;
}

static int end_mapping(void)
{
	return result(munmap(addr, (size_t)nr_frames * XC_PAGE_SIZE));
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

	return result(ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &arg)) ?: errors[nr_frames - 1];
}

/* Every other one fails. */
static int map_half_of_frames(void)
{
	int ret = map_frames();

	if (!errors[0] && ret == errors[1])
		return ret ? 0 : -EPROTO;
	return ret;
}

/* Makes of every other frame one that there is not, or takes that back. */
static void change_frames(void)
{
	for (unsigned int i = 1; i < MOST_FRAMES; i += 2)
		frames[i] ^= NO_FRAME;
}

static int start_process(void)
{
	int status;

	child = fork();
	if (!child) {
		if (make_mapping() < 0 || map_frames() < 0)
			_exit(EXIT_FAILURE);
		raise(SIGSTOP);
	}
	if (child < 0 || waitpid(child, &status, WUNTRACED) < 0)
		return -errno;
	return WIFSTOPPED(status) ? 0 : -EPROTO;
}

static int end_process(void)
{
	return result(kill(child, SIGKILL)) ?: result(waitpid(child, NULL, 0));
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

	return result(ioctl(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg));
}

static int make_buffer(void)
{
	addr = mmap(NULL, XC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, hypercall_fd, 0);
	return addr == MAP_FAILED ? -errno : 0;
}

static int end_buffer(void)
{
	return result(munmap(addr, XC_PAGE_SIZE));
}

static int timed(step step, uint64_t *ticks)
{
	uint64_t start;
	int ret;

	if (!step)
		return 0;
	start = counter();
	ret = step();
	*ticks += counter() - start;
	return ret;
}

/* Moves the next call to another place between two ticks. */
static void shift(unsigned int instructions)
{
	while (instructions--)
		asm volatile("");
}

static int sample(const struct operation *op, uint64_t *call, uint64_t *undo)
{
	unsigned int calls = op->calls ?: CALLS_IN_SAMPLE;
	int undone, ret = 0;

	*call = 0;
	*undo = 0;
	for (unsigned int i = 0; i < calls && ret >= 0; i++) {
		shift(i);
		if (op->prepare)
			ret = op->prepare();
		if (ret < 0)
			break;
		ret = timed(op->call, call);
		/* Also of a call that failed: what was prepared is in the next one's way. */
		undone = timed(op->undo, undo);
		ret = ret < 0 ? ret : undone;
	}
	return ret;
}

static void measure(const struct operation *op)
{
	unsigned int warm = op->samples / 10 + 1;
	int ret = 0;

	for (unsigned int i = 0; i < warm + op->samples && ret >= 0; i++) {
		unsigned int at = i < warm ? 0 : i - warm;

		ret = sample(op, &call_ticks[at], &undo_ticks[at]);
	}
	if (ret < 0) {
		report_missing(op->name, strerrorname_np(-ret) ?: "?");
		report_missing(op->undo_name, strerrorname_np(-ret) ?: "?");
		return;
	}
	report(op->name, call_ticks, op->samples, op->calls ?: CALLS_IN_SAMPLE);
	report(op->undo_name, undo_ticks, op->samples, op->calls ?: CALLS_IN_SAMPLE);
}

static void measure_call(const char *name, step call)
{
	measure(&(struct operation) {
		.name = name,
		.call = call,
		.samples = MAX_SAMPLES,
	});
}

/* A page that an auto-translated dom0 borrows takes it long: fewer will do there. */
static unsigned int mapping_samples(unsigned int nr)
{
	bool slow = on_auto_translated();

	if (nr < 64)
		return slow ? 20 : MAX_SAMPLES;
	if (nr < SINGLE_CALLS)
		return slow ? 10 : 300;
	if (nr < 16384)
		return slow ? 10 : 50;
	return slow ? 1 : 3;
}

/* The more a call takes, the less it matters between which ticks it begins. */
static unsigned int mapping_calls(unsigned int nr)
{
	return nr < SINGLE_CALLS ? CALLS_IN_SAMPLE : 1;
}

/* Mapping, and the end of the mapping, for a number of frames. */
static void measure_mapping(const char *what, const char *undo, step map, unsigned int nr)
{
	struct operation op = {
		.prepare = make_mapping,
		.call = map,
		.undo = end_mapping,
		.samples = mapping_samples(nr),
		.calls = mapping_calls(nr),
	};
	char name[64], undo_name[64];

	snprintf(name, sizeof(name), "%s_%u", what, nr);
	snprintf(undo_name, sizeof(undo_name), "%s_%u", undo, nr);
	op.name = name;
	op.undo_name = undo_name;
	nr_frames = nr;
	measure(&op);
}

static int write_parameter(const char *path, unsigned int value)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return -errno;
	fprintf(file, "%u\n", value);
	return fclose(file) ? -errno : 0;
}

static int load_module(const char *name)
{
	char file[64];
	char path[PATH_MAX] = "";
	char *directory;
	int module, ret;

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return -errno;
	directory = dirname(path);
	if (chdir(directory))
		return -errno;
	snprintf(file, sizeof(file), "%s.ko", name);
	module = open(file, O_RDONLY | O_CLOEXEC);
	if (module < 0)
		return -errno;
	ret = syscall(SYS_finit_module, module, "", 0) ? -errno : 0;
	close(module);
	return ret;
}

static int read_ticks(uint64_t *ticks)
{
	FILE *file = fopen(PARAMETER(DM_OP_MODULE, "ticks"), "r");
	unsigned long long value;
	int ret;

	if (!file)
		return -errno;
	ret = fscanf(file, "%llu", &value) == 1 ? 0 : -EIO;
	fclose(file);
	*ticks = value;
	return ret;
}

static bool can_measure(const char *name, int set_up)
{
	if (set_up < 0)
		report_missing(name, strerrorname_np(-set_up) ?: "?");
	return set_up >= 0;
}

/* The hypercall alone, made by a module within the kernel. */
static void measure_kernel(void)
{
	const unsigned int nr = 100;
	int ret = load_module(DM_OP_MODULE);

	if (!ret)
		ret = write_parameter(PARAMETER(DM_OP_MODULE, "ask"), dom);
	for (unsigned int i = 0; i < nr && !ret; i++)
		ret = read_ticks(&call_ticks[i]);
	if (can_measure("kernel_dm_op", ret))
		report("kernel_dm_op", call_ticks, nr, TICKS_CALLS);
}

/* What the module answers with, in this order. */
enum part { COPY, WALK, MAP, WALK_AGAIN, UNMAP, NR_PARTS };

/* Maps and unmaps frames by bare hypercalls, a batch with each, and notes what is less. */
static int map_bare(unsigned int batch, uint64_t *least)
{
	FILE *file = fopen(PARAMETER(FRAMES_MODULE, "frames"), "w");
	unsigned long long ticks[NR_PARTS];
	int ret;

	if (!file)
		return -errno;
	fprintf(file, "%u %u %u %lx %lx %lx\n", frames_dom, nr_frames, batch,
		(unsigned long)frames, (unsigned long)errors, (unsigned long)addr);
	if (fclose(file))
		return -errno;

	file = fopen(PARAMETER(FRAMES_MODULE, "frames"), "r");
	if (!file)
		return -errno;
	ret = fscanf(file, "%llu %llu %llu %llu %llu", &ticks[COPY], &ticks[WALK], &ticks[MAP],
		     &ticks[WALK_AGAIN], &ticks[UNMAP]) == NR_PARTS ? 0 : -EIO;
	fclose(file);
	for (unsigned int i = 0; i < NR_PARTS && !ret; i++)
		least[i] = ticks[i] < least[i] ? ticks[i] : least[i];
	return ret;
}

/* Of batches, those that take the least count. */
static int find_least(unsigned int samples, uint64_t *least)
{
	static const unsigned int batches[] = { 1, 32, 128, 512 };
	int undone, ret = 0;

	for (unsigned int i = 0; i < samples && !ret; i++) {
		for (unsigned int j = 0; j < sizeof(batches) / sizeof(*batches) && !ret; j++) {
			ret = make_mapping();
			if (ret)
				break;
			ret = map_bare(batches[j], least);
			undone = end_mapping();
			ret = ret ?: undone;
		}
	}
	return ret;
}

static void report_limit(const char *what, const char *name, unsigned int nr, int ret,
			 uint64_t ticks)
{
	char text[64];

	snprintf(text, sizeof(text), "%s_%s_%u", what, name, nr);
	if (can_measure(text, ret))
		report(text, &ticks, 1, 1);
}

/* The least that a number of frames can take: the hypercalls, and all that there has to be. */
static void measure_limit(const char *what, const char *undo, unsigned int nr, int loaded)
{
	uint64_t least[NR_PARTS];
	int ret;

	memset(least, 0xff, sizeof(least));
	nr_frames = nr;
	ret = loaded ?: find_least(nr < 16384 ? 10 : 1, least);
	report_limit("kernel", what, nr, ret, least[MAP]);
	report_limit("kernel", undo, nr, ret, least[UNMAP]);
	report_limit("limit", what, nr, ret, least[COPY] + least[WALK] + least[MAP]);
	report_limit("limit", undo, nr, ret, least[WALK_AGAIN] + least[UNMAP]);
}

static void measure_limits(void)
{
	const unsigned int sizes[] = { 1024, on_auto_translated() ? 16384 : MOST_FRAMES };
	int loaded = load_module(FRAMES_MODULE);

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		measure_limit("mmapbatch_v2", "munmap", sizes[i], loaded);
	change_frames();
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		measure_mapping("mmapbatch_v2_half", "munmap_half", map_half_of_frames, sizes[i]);
		measure_limit("mmapbatch_v2_half", "munmap_half", sizes[i], loaded);
	}
	change_frames();
}

static void measure_dm_op(const char *name, size_t size, int set_up)
{
	if (!can_measure(name, set_up))
		return;
	extents_size = size;
	measure(&(struct operation) {
		.name = name,
		.call = mark_dirty,
		.samples = 50,
	});
}

/* Maps more frames than the domain has by mapping each of them several times. */
static int set_up_frames(void)
{
	int ret = domain_create(FRAMES_OF, VCPUS);

	if (ret < 0)
		return ret;
	frames_dom = ret;
	frames = malloc(MOST_FRAMES * sizeof(*frames));
	errors = malloc(MOST_FRAMES * sizeof(*errors));
	if (!frames || !errors)
		return -ENOMEM;
	/* Memory that nobody wrote to yet would cost the first request more. */
	memset(errors, 0xff, MOST_FRAMES * sizeof(*errors));
	ret = domain_populate(frames_dom, MANY_FRAMES, frames);
	for (unsigned int i = MANY_FRAMES; i < MOST_FRAMES; i++)
		frames[i] = frames[i - MANY_FRAMES];
	return ret;
}

/* Xen looks at the extents only when somebody wants to know what is dirty. */
static int set_up_logged(void)
{
	xen_pfn_t pages[2];
	int ret = domain_create(DOMAIN_HVM, VCPUS);

	if (ret < 0)
		return ret;
	logged_dom = ret;
	/* Xen refuses an extent that ends with the domain's last page. */
	ret = domain_populate(logged_dom, 2, pages);
	if (!ret)
		ret = result(xc_domain_max_vcpus(xch, logged_dom, VCPUS));
	if (ret)
		return ret;
	for (unsigned int i = 0; i < NR_EXTENTS; i++)
		extents[i].nr = 1;
	return result(xc_shadow_control(xch, logged_dom,
					XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY,
					NULL, 0));
}

/* As an emulator has it that only asks. */
static int set_up_limited(void)
{
	const struct privcmd_limit limit = {
		.commands = COMMAND(IOCTL_PRIVCMD_DM_OP) | COMMAND(IOCTL_PRIVCMD_DM_NR_VCPUS),
		.dm_ops = 1ULL << DM_OP_NR_VCPUS,
	};

	limited_fd = privcmd_open();
	return limited_fd < 0 ? limited_fd :
	       restrict_to(limited_fd, dom) ?: limit_file(limited_fd, limit);
}

static void measure_limited(const char *name, step call, int set_up)
{
	if (can_measure(name, set_up))
		measure_call(name, call);
}

static void check(const char *what, int ret)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-ret));
	exit(EXIT_FAILURE);
}

static void set_up(void)
{
	int domain;

	fd = privcmd_open();
	check(PRIVCMD_DEVICE, fd);
	hypercall_fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	check("/dev/xen/hypercall", result(hypercall_fd));
	xch = xc_interface_open(NULL, NULL, 0);
	check("libxenctrl", xch ? 0 : -errno);
	dmod = xendevicemodel_open(NULL, 0);
	check("libxendevicemodel", dmod ? 0 : -errno);
	check("memory", set_up_place());
	domain = domain_create(DOMAIN_HVM, VCPUS);
	check("a domain", domain);
	dom = domain;
	check("parameter dm_op_buf_max_size",
	      write_parameter("/sys/module/xen_privcmd/parameters/dm_op_buf_max_size",
			      sizeof(extents)));
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

struct load {
	const char *name;
	step call;
	bool own_file;
};

/* One of several processes: calls until the time is over, and tells how often. */
static void call_until(double end, const struct load *load, uint64_t *calls)
{
	int err = 0;

	if (load->own_file) {
		fd = privcmd_open();
		err = fd < 0 ? fd : 0;
	}
	while (!err && seconds() < end) {
		for (unsigned int i = 0; i < 100 && !err; i++, ++*calls)
			err = load->call();
	}
	_exit(err ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void measure_throughput(const struct load *load, unsigned int processes)
{
	double start = seconds(), end = start + THROUGHPUT_SECONDS;
	uint64_t total = 0;
	int status, failed = 0;

	for (unsigned int i = 0; i < processes; i++)
		*calls_by(i) = 0;
	for (unsigned int i = 0; i < processes; i++) {
		pid_t child = fork();

		if (!child)
			call_until(end, load, calls_by(i));
		failed |= child < 0;
	}
	while (wait(&status) > 0)
		failed |= status;
	check(load->name, failed ? -EPROTO : 0);
	for (unsigned int i = 0; i < processes; i++)
		total += *calls_by(i);
	printf("%s_%u %.0f\n", load->name, processes, total / (seconds() - start));
}

static void measure_all_throughput(void)
{
	static const struct load loads[] = {
		{ "separate", ask_with_command, true },
		{ "same", ask_with_command, false },
		/* What the machine itself makes of so many processes. */
		{ "getppid", ask_parent, false },
		{},
	};

	counts = mmap(NULL, MOST_PROCESSES * XC_PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check("shared memory", counts == MAP_FAILED ? -errno : 0);
	for (unsigned int processes = 1; processes <= MOST_PROCESSES; processes *= 2) {
		for (const struct load *load = loads; load->name; load++)
			measure_throughput(load, processes);
	}
}

int main(int argc, char *argv[])
{
	int limited, logged;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	set_up();
	if (argc == 2 && !strcmp(argv[1], "throughput")) {
		measure_all_throughput();
		return EXIT_SUCCESS;
	}

	measure_call("getppid", ask_parent);
	measure_call("ioctl_unknown", ask_unknown);
	measure_call("open_close", open_and_close);
	measure(&(struct operation) {
		.name = "restrict",
		.prepare = open_fresh,
		.call = restrict_fresh,
		.undo = close_fresh,
		.samples = MAX_SAMPLES,
	});
	measure_call("hypercall_xen_version", call_xen_version);
	measure_call("dm_op_nr_vcpus", ask_with_dm_op);
	measure_call("xendevicemodel_nr_vcpus", ask_library);
	measure_call("xc_domain_getinfo", ask_libxenctrl);
	measure_call("dm_nr_vcpus", ask_with_command);
	limited = set_up_limited();
	measure_limited("limited_dm_op_nr_vcpus", ask_limited_with_dm_op, limited);
	measure_limited("limited_dm_nr_vcpus", ask_limited_with_command, limited);
	measure_kernel();
	logged = set_up_logged();
	measure_dm_op("dm_op_4k", 4096, logged);
	measure_dm_op("dm_op_64k", sizeof(extents), logged);
	measure(&(struct operation) {
		.name = "hypercall_buffer",
		.undo_name = "hypercall_buffer_munmap",
		.call = make_buffer,
		.undo = end_buffer,
		.samples = MAX_SAMPLES,
	});
	measure_mapping("mmap_resource", "munmap_resource", map_grants, 1);
	measure_mapping("mmap_resource", "munmap_resource", map_grants, 32);
	check("a domain with memory", set_up_frames());
	/* An auto-translated dom0 of the lab's size has no room for more. */
	for (unsigned int nr = 1; nr <= (on_auto_translated() ? MANY_FRAMES : MOST_FRAMES); nr *= 4)
		measure_mapping("mmapbatch_v2", "munmap", map_frames, nr);
	measure_limits();
	/* The end of a process that has a large mapping. */
	nr_frames = 4096;
	measure(&(struct operation) {
		.name = "exit_4096",
		.prepare = start_process,
		.call = end_process,
		.samples = mapping_samples(nr_frames),
		.calls = mapping_calls(nr_frames),
	});
	/* A process may pay for the end of large mappings at that of small ones. */
	nr_frames = 1;
	measure(&(struct operation) {
		.undo_name = "munmap_1_after_large",
		.prepare = make_mapping,
		.call = map_frames,
		.undo = end_mapping,
		.samples = mapping_samples(1),
	});
	return EXIT_SUCCESS;
}
