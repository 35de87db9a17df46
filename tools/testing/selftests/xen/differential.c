// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a fixed sequence of requests and prints a line for each: its name, a
 * tab, and what came of it: the return value or errno, and what changed in the
 * caller's memory.  Run on two drivers, the lines show where they differ.
 *
 * Left out is what harms a kernel with Linux's own driver; the selftests have
 * that.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xendevicemodel.h>

#include "domain.h"
#include "requests.h"

#define FRAMES 16
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define RESOURCE_IOREQ_SERVER 0
#define RESOURCE_GRANT_TABLE 1

/* The domains. */
static int target, other, pv, dead;
static int any, own, foreign;

struct file {
	const char *name;
	const int *fd;
};

static const struct file files[] = {
	{ "any", &any }, /* not restricted */
	{ "own", &own }, /* restricted to the target */
	{ "foreign", &foreign }, /* restricted to another domain */
};

struct dom {
	const char *name;
	const int *dom;
};

static const int self = 0, none = 0x7fef;
static const int domid_self = 0x7ff0, domid_io = 0x7ff1, domid_xen = 0x7ff2;
static const int domid_invalid = 0x7ff4, domid_idle = 0x7fff, domid_max = 0xffff;

static const struct dom doms[] = {
	{ "target", &target },	{ "other", &other },
	{ "dead", &dead },	{ "dom0", &self },
	{ "none", &none },	{ "SELF", &domid_self },
	{ "IO", &domid_io },	{ "XEN", &domid_xen },
	{ "INVALID", &domid_invalid }, { "IDLE", &domid_idle },
	{ "0xffff", &domid_max },
	/* There are none on Arm. */
	{ "pv", &pv },
};

static size_t num_doms = ARRAY_SIZE(doms);

/*
 * With pages of its own Linux's own driver harms the kernel when a resource does
 * not fill a mapping, or when somebody looks at a frame that is not there.
 */
static bool auto_translated;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void check(int failed, const char *what)
{
	if (failed)
		die(what);
}

static const char *result_name(int ret)
{
	static char number[16];

	if (ret < 0)
		return strerrorname_np(-ret) ?: "?";
	snprintf(number, sizeof(number), "%d", ret);
	return number;
}

static void vrecord(int ret, const char *also, const char *name, va_list args)
{
	vprintf(name, args);
	printf("\t%s%s%s\n", result_name(ret), *also ? " " : "", also);
}

/* One line; @also is what else came of the request. */
static void record(int ret, const char *also, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	vrecord(ret, also, name, args);
	va_end(args);
}

/* Memory of known contents, and what became of it. */
struct memory {
	unsigned char *start;
	unsigned char *before;
	size_t size;
};

static struct memory memory_make(void *start, size_t size)
{
	struct memory memory = { start, malloc(size), size };

	check(!memory.before, "malloc");
	memcpy(memory.before, start, size);
	return memory;
}

static const char *memory_changes(struct memory *memory)
{
	static char text[64];
	size_t first = memory->size, last = 0, sum = 0;

	for (size_t i = 0; i < memory->size; i++) {
		if (memory->start[i] == memory->before[i])
			continue;
		if (first == memory->size)
			first = i;
		last = i;
		sum = sum * 31 + memory->start[i];
	}
	free(memory->before);
	if (first == memory->size)
		return "";
	snprintf(text, sizeof(text), "wrote %zu..%zu %zx", first, last, sum);
	return text;
}

static void *map_anonymous(size_t size, int prot)
{
	void *start = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(start == MAP_FAILED, "mmap");
	return start;
}

/*
 * A page, and behind it one that cannot be touched: objects end at its start.  Where
 * the kernel would put it, an array of 2^32 - 1 may or may not end in user space.
 */
static void *edge(void)
{
	static char *page;

	if (!page) {
		page = mmap((void *)0x10000000, 2 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		check(page == MAP_FAILED, "mmap");
		check(mprotect(page + PAGE, PAGE, PROT_NONE), "mprotect");
	}
	return page + PAGE;
}

static void *read_only(const void *data, size_t size)
{
	static char *page;

	if (!page)
		page = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
	check(mprotect(page, PAGE, PROT_READ | PROT_WRITE), "mprotect");
	memcpy(page, data, size);
	check(mprotect(page, PAGE, PROT_READ), "mprotect");
	return page;
}

/* Pointers that are bad in some way, for an argument of a size. */
struct pointer {
	const char *name;
	const void *p;
};

#define BAD_POINTERS(size)                                             \
	{                                                              \
		{ "null", NULL }, { "unmapped", (void *)0x1000 },      \
			{ "kernel", (void *)0xffff800000000000 },      \
			{ "last", (void *)-1UL },                      \
			{ "straddling", (char *)edge() - (size) / 2 }, \
	}

static void known_command(const struct file *file, unsigned int cmd)
{
	struct pointer bad[] = BAD_POINTERS(_IOC_SIZE(cmd));

	for (size_t p = 0; p < ARRAY_SIZE(bad); p++)
		record(request(*file->fd, cmd, bad[p].p), "", "command %u, argument %s, file %s",
		       _IOC_NR(cmd), bad[p].name, file->name);
	record(request(*file->fd, cmd + (1 << _IOC_SIZESHIFT), NULL), "",
	       "command %u, one byte larger, file %s", _IOC_NR(cmd), file->name);
	record(request(*file->fd, cmd | (_IOC_READ << _IOC_DIRSHIFT), NULL), "",
	       "command %u, another direction, file %s", _IOC_NR(cmd), file->name);
}

static void commands(void)
{
	static const unsigned int unknown[] = {
		0, 1, 0x5001, 0x500c, 0x50ff, 0xffffffff,
	};

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		int fd = *files[f].fd;

		for (size_t i = 0; i < ARRAY_SIZE(all_commands); i++)
			if (_IOC_NR(all_commands[i]) < FIRST_OF_OURS)
				known_command(&files[f], all_commands[i]);
		for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
			record(request(fd, unknown[i], NULL), "",
			       "command number 0x%x, file %s", unknown[i], files[f].name);
	}
	record(read(any, &any, 1) < 0 ? -errno : 0, "", "read");
	record(write(any, &any, 1) < 0 ? -errno : 0, "", "write");
	record(lseek(any, 0, SEEK_SET) < 0 ? -errno : 0, "", "lseek");
}

static void restrictions(void)
{
	for (size_t d = 0; d < num_doms; d++) {
		int fd = privcmd_open();
		domid_t dom = *doms[d].dom;

		record(restrict_to(fd, dom), "", "RESTRICT to %s", doms[d].name);
		record(restrict_to(fd, dom), "", "RESTRICT to %s, again", doms[d].name);
		record(restrict_to(fd, target), "", "RESTRICT to target after %s",
		       doms[d].name);
		record(restrict_to(fd, other), "",
		       "RESTRICT to other after %s and target", doms[d].name);
		record(hypercall_xen_version(fd) > 0, "",
		       "HYPERCALL after RESTRICT to %s", doms[d].name);
		record(dm_op_nr_vcpus(fd, other), "",
		       "DM_OP for other after RESTRICT to %s", doms[d].name);
		close(fd);
	}
}

/* What takes nothing away: there is no more to compare where stock has no limits. */
static void limits(void)
{
	for (size_t f = 0; f < ARRAY_SIZE(files); f++)
		record(limit_commands(*files[f].fd, ~0ULL), "", "LIMIT to all, file %s",
		       files[f].name);
}

static void hypercalls(void)
{
	static const __u64 numbers[] = {
		HYPERCALL_XEN_VERSION,
		HYPERCALL_XEN_VERSION | 1ULL << 32,
		63,
		1000,
		-1ULL,
	};

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
			struct privcmd_hypercall arg = { .op = numbers[i] };
			struct memory memory = memory_make(&arg, sizeof(arg));
			int ret = request(*files[f].fd, IOCTL_PRIVCMD_HYPERCALL, &arg);

			record(ret, memory_changes(&memory), "HYPERCALL %#llx, file %s",
			       (unsigned long long)numbers[i], files[f].name);
		}
	}
}

/* What a mapping shows: the first byte of each page, or that it is not there. */
static const char *shown(char *start, unsigned int pages)
{
	static char text[128];
	int pipefd[2];
	char *p = text;

	check(pipe(pipefd), "pipe");
	for (unsigned int i = 0; i < pages; i++) {
		char byte;

		/* The kernel reads for us and says EFAULT where we would get SIGBUS. */
		if (write(pipefd[1], start + i * PAGE, 1) == 1 &&
		    read(pipefd[0], &byte, 1) == 1)
			p += sprintf(p, "%02x", byte & 0xff);
		else
			p += sprintf(p, "--");
	}
	close(pipefd[0]);
	close(pipefd[1]);
	return text;
}

static void *map_privcmd(int fd, size_t pages)
{
	void *start = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	check(start == MAP_FAILED, "mmap of privcmd");
	return start;
}

struct batch {
	unsigned long addr;
	unsigned int num;
	domid_t dom;
	int version;
	const void *arr;
	void *err;
};

static int map_batch(int fd, const struct batch *b)
{
	if (b->version == 1) {
		struct privcmd_mmapbatch arg = {
			.num = b->num,
			.dom = b->dom,
			.addr = b->addr,
			.arr = (void *)b->arr,
		};

		return request(fd, IOCTL_PRIVCMD_MMAPBATCH, &arg);
	}

	struct privcmd_mmapbatch_v2 arg = {
		.num = b->num,
		.dom = b->dom,
		.addr = b->addr,
		.arr = b->arr,
		.err = b->err,
	};

	return request(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &arg);
}

/* The arrays of the next batch, with @missing of the frames not in the domain. */
static xen_pfn_t gfns[64];
static int errors[64];

static void set_gfns(unsigned int missing)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(gfns); i++)
		gfns[i] = i % FRAMES;
	for (unsigned int i = 0; i < missing; i++)
		gfns[2 * i + 1] = 0x100000 + i;
	memset(errors, 0x11, sizeof(errors));
}

static void record_batch(int fd, const struct batch *b, const char *name, ...)
{
	struct memory g = memory_make(gfns, sizeof(gfns));
	struct memory e = memory_make(errors, sizeof(errors));
	int ret = map_batch(fd, b);
	va_list args;
	char also[160];
	int length;

	length = snprintf(also, sizeof(also), "frames %s", memory_changes(&g));
	snprintf(also + length, sizeof(also) - length, " errors %s", memory_changes(&e));
	va_start(args, name);
	vrecord(ret, also, name, args);
	va_end(args);
}

static struct batch batch_of(const void *addr, unsigned int num, domid_t dom, int version)
{
	return (struct batch){
		.addr = (unsigned long)addr,
		.num = num,
		.dom = dom,
		.version = version,
		.arr = gfns,
		.err = errors,
	};
}

static void dm_ops(void)
{
	char *area = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
	struct nr_vcpus_op op = { .op = DM_OP_NR_VCPUS };
	struct privcmd_dm_op_buf bad_array[] = { { &op, sizeof(op) } };
	struct pointer bad[] = BAD_POINTERS(sizeof(op));
	struct pointer arrays[] = BAD_POINTERS(sizeof(bad_array));

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		int fd = *files[f].fd;

		for (size_t d = 0; d < num_doms; d++) {
			domid_t dom = *doms[d].dom;

			record(dm_op_nr_vcpus(fd, dom), "",
			       "DM_OP nr_vcpus of %s, file %s", doms[d].name,
			       files[f].name);
			record(dm_op(fd, dom, 0, NULL), "",
			       "DM_OP of %s without buffers, file %s", doms[d].name,
			       files[f].name);
			record(dm_op(fd, dom, 17, NULL), "",
			       "DM_OP of %s, 17 bad buffers, file %s", doms[d].name,
			       files[f].name);
		}
		for (size_t p = 0; p < ARRAY_SIZE(arrays); p++)
			record(dm_op(fd, target, 1, arrays[p].p), "",
			       "DM_OP, array %s, file %s", arrays[p].name, files[f].name);
		for (size_t p = 0; p < ARRAY_SIZE(bad); p++) {
			struct privcmd_dm_op_buf buf = { (void *)bad[p].p, sizeof(op) };

			record(dm_op(fd, target, 1, &buf), "",
			       "DM_OP, buffer %s, file %s", bad[p].name, files[f].name);
		}
	}

	/* Those that only ask, and numbers that no operation has. */
	for (unsigned int number = 19; number < 64; number++) {
		memset(area, 0, 64);
		memcpy(area, &number, sizeof(number));
		struct privcmd_dm_op_buf buf = { area, 64 };
		struct memory memory = memory_make(area, PAGE);
		int ret = dm_op(any, target, 1, &buf);

		record(ret, memory_changes(&memory), "DM_OP operation %u", number);
	}

	for (unsigned int num = 1; num <= 18; num++) {
		struct privcmd_dm_op_buf bufs[18];

		for (unsigned int i = 0; i < num; i++)
			bufs[i] = (struct privcmd_dm_op_buf){ &op, sizeof(op) };
		record(dm_op(any, target, num, bufs), "",
		       "DM_OP, %u times the same buffer", num);
	}

	static const size_t sizes[] = {
		0, 1, 4, 7, 8, 11, 12, 13, 64, 4095, 4096, 4097, 1UL << 32, -1UL,
	};
	const size_t offsets[] = { 0, 1, 8, PAGE - 12, PAGE - 8, PAGE - 1 };

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (size_t o = 0; o < ARRAY_SIZE(offsets); o++) {
			struct privcmd_dm_op_buf buf = { area + offsets[o], sizes[s] };
			struct memory memory;
			int ret;

			/* Linux's own driver writes past an array of its own. */
			if (!sizes[s] && !offsets[o])
				continue;
			memset(area, 0, 4 * PAGE);
			memcpy(area + offsets[o], &op, sizeof(op));
			memory = memory_make(area, 4 * PAGE);
			ret = dm_op(any, target, 1, &buf);
			record(ret, memory_changes(&memory),
			       "DM_OP, buffer of %zu at offset %zu", sizes[s],
			       offsets[o]);
			/* A second buffer is not read by this operation. */
			struct privcmd_dm_op_buf two[] = { { &op, sizeof(op) }, buf };

			record(dm_op(any, target, 2, two), "",
			       "DM_OP, second buffer of %zu at offset %zu", sizes[s],
			       offsets[o]);
		}
	}

	/* In memory of another domain. */
	char *m = map_privcmd(any, 1);
	struct batch b = batch_of(m, 1, target, 2);
	struct privcmd_dm_op_buf foreign_buf = { m, sizeof(op) };

	record(dm_op(any, target, 1, &foreign_buf), "",
	       "DM_OP, buffer in an empty mapping");
	set_gfns(0);
	check(map_batch(any, &b), "MMAPBATCH");
	memcpy(m, &op, sizeof(op));
	record(dm_op(any, target, 1, &foreign_buf), "",
	       "DM_OP, buffer in a foreign page");
	foreign_buf.size = PAGE;
	record(dm_op(any, target, 1, &foreign_buf), "",
	       "DM_OP, large buffer in a foreign page");
	munmap(m, PAGE);

	struct privcmd_dm_op_buf ro = { read_only(&op, sizeof(op)), sizeof(op) };

	record(dm_op(any, target, 1, &ro), "", "DM_OP, buffer read-only");
	record(dm_op(foreign, target, 1, &ro), "",
	       "DM_OP, buffer read-only, file foreign");
	munmap(area, 4 * PAGE);
}

/* Maps @num frames @offset bytes into a mapping of four that is new or full. */
static void batch_into(long offset, unsigned int num, bool full, int version)
{
	/* Nothing else shall be mapped nearby. */
	char *around = map_anonymous(16 * PAGE, PROT_NONE);
	char *m = mmap(around + 8 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, any, 0);
	struct batch b = batch_of(m, 4, target, version);

	set_gfns(0);
	if (full)
		check(map_batch(any, &b), "mapping four frames");
	b.addr += offset;
	b.num = num;
	record_batch(any, &b,
		     "MMAPBATCH v%d of %u at byte %ld of a %s mapping of 4 pages",
		     version, num, offset, full ? "full" : "new");
	printf("... shows\t%s\n", shown(m, 4));
	munmap(around, 16 * PAGE);
}

static void batch_places(int version)
{
	static const long pages[] = { -1, 0, 1, 2, 4, 8 };
	static const long bytes[] = { 0, 1, 8, 4095 };
	static const unsigned int nums[] = { 0, 1, 3, 4, 5, 8 };

	for (size_t p = 0; p < ARRAY_SIZE(pages); p++) {
		for (size_t b = 0; b < ARRAY_SIZE(bytes); b++) {
			for (size_t n = 0; n < ARRAY_SIZE(nums); n++) {
				long offset = pages[p] * (long)PAGE + bytes[b];

				batch_into(offset, nums[n], false, version);
				batch_into(offset, nums[n], true, version);
			}
		}
	}
}

/* Places that are no mapping of the device. */
static void batch_elsewhere(int version)
{
	char *anonymous = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
	struct pointer places[] = {
		{ "null", NULL },
		{ "anonymous memory", anonymous },
		{ "the stack", (void *)((unsigned long)&places & -PAGE) },
		{ "the kernel", (void *)0xffff800000000000 },
		{ "the last page", (void *)-PAGE },
	};

	for (size_t p = 0; p < ARRAY_SIZE(places); p++) {
		struct batch b = batch_of(places[p].p, 1, target, version);

		set_gfns(0);
		record_batch(any, &b, "MMAPBATCH v%d into %s", version, places[p].name);
	}
	munmap(anonymous, 4 * PAGE);
}

static void batch_domains(int version)
{
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		for (size_t d = 0; d < num_doms; d++) {
			int fd = *files[f].fd;
			char *m = map_privcmd(fd, 4);
			struct batch b = batch_of(m, 4, *doms[d].dom, version);

			/* dom0's and the hypervisor's frames differ from boot to boot. */
			if (*doms[d].dom != self && *doms[d].dom != domid_self &&
			    *doms[d].dom != domid_io && *doms[d].dom != domid_xen &&
			    *doms[d].dom != domid_invalid) {
				set_gfns(0);
				record_batch(fd, &b, "MMAPBATCH v%d of %s, file %s",
					     version, doms[d].name, files[f].name);
				if (!auto_translated || *doms[d].dom == target)
					printf("... shows\t%s\n", shown(m, 4));
			}
			munmap(m, 4 * PAGE);
		}
	}
}

/* Frames that are not there, and the holes they leave. */
static void batch_holes(int version)
{
	for (unsigned int missing = 0; missing <= 2; missing++) {
		char *m = map_privcmd(any, 4);
		struct batch b = batch_of(m, 4, target, version);

		set_gfns(missing);
		record_batch(any, &b, "MMAPBATCH v%d with %u missing", version, missing);
		for (unsigned int page = 0; page < 4; page++) {
			set_gfns(0);
			b = batch_of(m + page * PAGE, 1, target, version);
			record_batch(any, &b,
				     "MMAPBATCH v%d into page %u after %u missing",
				     version, page, missing);
		}
		munmap(m, 4 * PAGE);
	}
}

static void batch_arrays(int version)
{
	struct pointer bad[] = BAD_POINTERS(4 * sizeof(xen_pfn_t));

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		for (size_t p = 0; p < ARRAY_SIZE(bad); p++) {
			int fd = *files[f].fd;
			char *m = map_privcmd(fd, 4);
			struct batch b = batch_of(m, 4, target, version);

			set_gfns(0);
			b.arr = bad[p].p;
			record_batch(fd, &b, "MMAPBATCH v%d, frames %s, file %s", version,
				     bad[p].name, files[f].name);
			if (version == 2) {
				b.arr = gfns;
				b.err = (void *)bad[p].p;
				record_batch(fd, &b, "MMAPBATCH v2, errors %s, file %s",
					     bad[p].name, files[f].name);
			}
			printf("... shows\t%s\n", shown(m, 4));

			/* More than the mapping has pages. */
			set_gfns(0);
			b.num = 8;
			b.arr = bad[p].p;
			b.err = errors;
			record_batch(fd, &b, "MMAPBATCH v%d of 8, frames %s, file %s",
				     version, bad[p].name, files[f].name);
			b.num = -1;
			record_batch(fd, &b,
				     "MMAPBATCH v%d of 2^32 - 1, frames %s, file %s",
				     version, bad[p].name, files[f].name);
			munmap(m, 4 * PAGE);
		}
	}
}

static void batches(int version)
{
	batch_places(version);
	batch_elsewhere(version);
	batch_domains(version);
	batch_holes(version);
	batch_arrays(version);
}

static int map_runs(int fd, domid_t dom, int num,
		    const struct privcmd_mmap_entry *entries)
{
	struct privcmd_mmap arg = { .num = num, .dom = dom, .entry = (void *)entries };

	return request(fd, IOCTL_PRIVCMD_MMAP, &arg);
}

static void runs(void)
{
	struct pointer arrays[] = BAD_POINTERS(sizeof(struct privcmd_mmap_entry));

	/* Runs of each length from each page, all of frames that are not there. */
	for (int first = 0; first <= 4; first++) {
		for (int length = 0; length <= 5; length++) {
			for (int gap = -1; gap <= 1; gap++) {
				char *m = map_privcmd(any, 4);
				__u64 va = (unsigned long)m + first * PAGE;
				struct privcmd_mmap_entry entries[] = {
					{ va, 0x100000, length },
					{ va + (length + gap) * PAGE, 0x100000, 1 },
				};

				if (first == 4) {
					munmap(m, 4 * PAGE);
					continue;
				}
				record(map_runs(any, target, 2, entries), "",
				       "MMAP of %d frames at page %d, one more %d behind",
				       length, first, gap);
				record(map_runs(any, target, 1, entries), "",
				       "... again");
				munmap(m, 4 * PAGE);
			}
		}
	}

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		for (size_t p = 0; p < ARRAY_SIZE(arrays); p++)
			record(map_runs(*files[f].fd, target, 1, arrays[p].p), "",
			       "MMAP, entries %s, file %s", arrays[p].name,
			       files[f].name);
		for (size_t d = 0; d < num_doms; d++) {
			record(map_runs(*files[f].fd, *doms[d].dom, 0, NULL), "",
			       "MMAP of nothing of %s, file %s", doms[d].name,
			       files[f].name);
			record(map_runs(*files[f].fd, *doms[d].dom, 1, NULL), "",
			       "MMAP of a bad run of %s, file %s", doms[d].name,
			       files[f].name);
		}
	}

	/* More runs than the mapping has pages. */
	for (size_t p = 0; p < ARRAY_SIZE(arrays); p++) {
		record(map_runs(any, target, 8, arrays[p].p), "",
		       "MMAP of 8 entries %s", arrays[p].name);
		record(map_runs(any, target, -1, arrays[p].p), "",
		       "MMAP of -1 entries %s", arrays[p].name);
	}
	for (int num = 4; num <= 6; num++) {
		char *m = map_privcmd(any, 4);
		struct privcmd_mmap_entry empty[6];

		for (int i = 0; i < num; i++)
			empty[i] = (struct privcmd_mmap_entry){ (unsigned long)m, 0, 0 };
		record(map_runs(any, target, num, empty), "", "MMAP of %d empty runs",
		       num);
		munmap(m, 4 * PAGE);
	}

	static const __u64 lengths[] = {
		5, 1ULL << 32, 1ULL << 51, 1ULL << 52, 1ULL << 63, -1ULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *m = map_privcmd(any, 4);
		struct privcmd_mmap_entry entry = { (unsigned long)m, 0, lengths[i] };

		record(map_runs(any, target, 1, &entry), "", "MMAP of %#llx frames",
		       (unsigned long long)lengths[i]);
		entry.va += 1;
		entry.npages = 1;
		record(map_runs(any, target, 1, &entry), "", "... unaligned");
		munmap(m, 4 * PAGE);
	}
}

static struct privcmd_mmap_resource resource_of(domid_t dom, __u32 type, __u32 id)
{
	return (struct privcmd_mmap_resource){ .dom = dom, .type = type, .id = id };
}

static void record_resource(int fd, struct privcmd_mmap_resource *arg, const char *name, ...)
{
	struct memory memory = memory_make(arg, sizeof(*arg));
	int ret = request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, arg);
	va_list args;

	va_start(args, name);
	vrecord(ret, memory_changes(&memory), name, args);
	va_end(args);
}

/* The size, and requests that name neither a size nor a place. */
static void resource_sizes(int fd, const char *file, const struct dom *dom)
{
	for (__u32 type = 0; type <= 3; type++) {
		struct privcmd_mmap_resource arg = resource_of(*dom->dom, type, 0);

		record_resource(fd, &arg, "size of resource %u of %s, file %s", type,
				dom->name, file);
		arg = resource_of(*dom->dom, type, 0);
		arg.num = 1;
		record_resource(fd, &arg, "resource %u of %s without address, file %s",
				type, dom->name, file);
		arg.num = 0;
		arg.addr = PAGE;
		record_resource(fd, &arg, "resource %u of %s without number, file %s",
				type, dom->name, file);
	}
}

static void resources(ioservid_t server)
{
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		int fd = *files[f].fd;

		/* dom0's own differ from boot to boot. */
		for (size_t d = 0; d < num_doms; d++)
			if (*doms[d].dom != self && *doms[d].dom != domid_self)
				resource_sizes(fd, files[f].name, &doms[d]);

		for (__u32 id = 0; id < 4; id++) {
			for (__u32 idx = 0; idx < 20; idx++) {
				size_t pages = auto_translated ? 1 : 2;
				char *m = map_privcmd(fd, pages);
				struct privcmd_mmap_resource arg =
					resource_of(target, RESOURCE_GRANT_TABLE, id);

				arg.idx = idx;
				arg.num = 1;
				arg.addr = (unsigned long)m;
				record_resource(fd, &arg,
						"grant table %u frame %u, file %s", id,
						idx, files[f].name);
				munmap(m, pages * PAGE);

				m = map_privcmd(fd, pages);
				arg = resource_of(target, RESOURCE_IOREQ_SERVER,
						  server + id);
				arg.idx = idx;
				arg.num = 1;
				arg.addr = (unsigned long)m + (pages - 1) * PAGE;
				record_resource(fd, &arg,
						"ioreq server %u frame %u, file %s", id,
						idx, files[f].name);
				printf("... shows\t%s\n", shown(m, pages));
				munmap(m, pages * PAGE);
			}
		}
	}

	/* Places; on PV a mapping may be filled in parts. */
	for (__u64 num = auto_translated ? 4 : 1; num <= 4; num++) {
		for (long page = 0; page < 4; page++) {
			char *m = map_privcmd(any, 4);
			struct privcmd_mmap_resource arg =
				resource_of(target, RESOURCE_GRANT_TABLE, 0);

			arg.num = num;
			arg.addr = (unsigned long)m + page * PAGE;
			if (page + num <= 4)
				record_resource(any, &arg,
						"grant table of %llu at page %ld",
						(unsigned long long)num, page);
			munmap(m, 4 * PAGE);
		}
	}

	char *anonymous = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
	struct privcmd_mmap_resource arg = resource_of(target, RESOURCE_GRANT_TABLE, 0);

	arg.num = 1;
	arg.addr = (unsigned long)anonymous;
	record_resource(any, &arg, "grant table into anonymous memory");
	arg.addr = -PAGE;
	record_resource(any, &arg, "grant table into the last page");
	munmap(anonymous, PAGE);

	static const __u64 many[] = { 1ULL << 32, 1ULL << 52, 1ULL << 63, -1ULL };

	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		char *m = map_privcmd(any, 2);

		arg.addr = (unsigned long)m;
		arg.num = many[i];
		record_resource(any, &arg, "grant table of %#llx frames",
				(unsigned long long)many[i]);
		munmap(m, 2 * PAGE);
	}
}

static void mappings(void)
{
	static const int flags[] = { MAP_SHARED, MAP_PRIVATE };
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	static const int advice[] = {
		MADV_NORMAL, MADV_WILLNEED, MADV_DONTNEED,  MADV_DONTFORK, MADV_DOFORK,
		MADV_REMOVE, MADV_FREE,	    MADV_MERGEABLE, MADV_HUGEPAGE, MADV_DODUMP,
	};
	int buffers = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);

	check(buffers < 0, "/dev/xen/hypercall");
	for (int device = 0; device < 2; device++) {
		int fd = device ? buffers : any;
		const char *of = device ? "hypercall" : "privcmd";

		for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
			for (size_t j = 0; j < ARRAY_SIZE(prots); j++) {
				char *m = mmap(NULL, 4 * PAGE, prots[j], flags[i], fd, 0);

				record(m == MAP_FAILED ? -errno : 0, "",
				       "mmap of %s, flags %d, protection %d", of,
				       flags[i], prots[j]);
				if (m == MAP_FAILED)
					continue;
				printf("... shows\t%s\n", shown(m, 4));
				record(munmap(m + PAGE, PAGE) ? -errno : 0, "",
				       "... unmap a part");
				record(mprotect(m, PAGE, PROT_NONE) ? -errno : 0, "",
				       "... protect a part");
				record(mremap(m, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE) ==
						       MAP_FAILED ?
					       -errno :
					       0,
				       "", "... grow");
				record(mremap(m, 4 * PAGE, 2 * PAGE, 0) == MAP_FAILED ?
					       -errno :
					       0,
				       "", "... shrink");
				record(munmap(m, 4 * PAGE) ? -errno : 0, "", "... unmap");
			}
		}
		for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
			char *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
				       fd, 0);

			record(madvise(m, 4 * PAGE, advice[i]) ? -errno : 0, "",
			       "madvise %d of %s", advice[i], of);
			munmap(m, 4 * PAGE);
		}
		char *m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		char *elsewhere = map_anonymous(PAGE, PROT_NONE);

		record(mremap(m, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) ==
				       MAP_FAILED ?
			       -errno :
			       0,
		       "", "mremap of %s to another place", of);
		munmap(m, PAGE);
		munmap(elsewhere, PAGE);
		record(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE) == MAP_FAILED ?
			       -errno :
			       0,
		       "", "mmap of %s at an offset", of);
		record(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1UL << 40) ==
				       MAP_FAILED ?
			       -errno :
			       0,
		       "", "mmap of %s at a large offset", of);
	}
	record(request(buffers, IOCTL_PRIVCMD_HYPERCALL, NULL), "",
	       "HYPERCALL on hypercall");
	close(buffers);
}

static void populate(domid_t dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_pfn_t frames[FRAMES];
	char *m = map_privcmd(any, FRAMES);
	struct batch b = {
		.addr = (unsigned long)m,
		.num = FRAMES,
		.dom = dom,
		.version = 2,
		.arr = gfns,
		.err = errors,
	};

	for (unsigned int i = 0; i < FRAMES; i++)
		frames[i] = i;
	check(!xch, "libxenctrl");
	check(xc_domain_setmaxmem(xch, dom, 4 * FRAMES + 1024), "setting the maximum");
	check(xc_domain_populate_physmap_exact(xch, dom, FRAMES, 0, 0, frames), "populating");
	xc_interface_close(xch);

	/* So that one frame can be told from another. */
	set_gfns(0);
	check(map_batch(any, &b), "mapping all frames");
	for (unsigned int i = 0; i < FRAMES; i++)
		memset(m + i * PAGE, i + 1, PAGE);
	munmap(m, FRAMES * PAGE);
}

static int create(enum domain_type type)
{
	int dom = domain_create(type, 3);

	check(dom < 0, "creating a domain");
	return dom;
}

int main(void)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	ioservid_t server = 0;

	/* A crash must not take lines with it. */
	setlinebuf(stdout);

	auto_translated = on_auto_translated();
	any = privcmd_open();
	own = privcmd_open();
	foreign = privcmd_open();
	check(any < 0 || own < 0 || foreign < 0, PRIVCMD_DEVICE);

	target = create(DOMAIN_HVM);
	other = create(DOMAIN_HVM);
	if (domain_can_be(DOMAIN_PV))
		pv = create(DOMAIN_PV);
	else
		num_doms--;
	dead = create(DOMAIN_HVM);
	check(domain_destroy(dead), "destroying a domain");
	populate(target);
	check(!dmod || (xendevicemodel_create_ioreq_server(dmod, target, 1, &server) &&
			errno != ENOSYS),
	      "creating an ioreq server");

	check(restrict_to(own, target) || restrict_to(foreign, other), "RESTRICT");

	commands();
	restrictions();
	hypercalls();
	dm_ops();
	batches(1);
	batches(2);
	runs();
	resources(server);
	mappings();
	limits();

	xendevicemodel_close(dmod);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
