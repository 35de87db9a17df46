// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random requests, mappings and forks, from restricted and unrestricted files,
 * in several threads and processes at once:
 *
 *	random [--seed N] [--seconds S] [--threads T] [--operations N]
 *
 * With --operations each worker stops after so many, and a number is printed
 * that is the same for the same choices.
 *
 * Of requests from files that workers share no result is right or wrong; what is
 * wrong is that the kernel reports a defect, that a process hangs, or that something
 * is left over at the end: a file, a frame of a domain, memory.  A file that a worker
 * limits for itself has a model: it says which of the file's requests are EPERM.
 *
 * The run consists of rounds with new domains and new processes.  In each round
 * one domain is destroyed while it is in use; in every other one the processes
 * are killed in the middle.  What a worker does depends on the seed and the
 * worker's number alone: neither on results nor on the time.
 *
 * Nothing may reach what dom0 itself lives on.  HYPERCALL is made only with
 * hypercalls that are harmless or do not exist.  A request for what is not a
 * test's domain names no place where something could be mapped, since memory
 * that is mapped is also written to.
 */

#include "kselftest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "domain.h"
#include "requests.h"

#include <xenevtchn.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#define PROCESSES	2
#define MAX_THREADS	16
#define ROUND_SECONDS	20
#define END_SECONDS	60

/* Each domain's memory, in frames; their numbers are below it. */
#define DOMAINS		3
#define FRAMES		32

/* The numbers of the files, out of the way of the program's own; then eventfds. */
#define FILES		16
#define FIRST_FILE	100
#define EVENTS		8
#define FIRST_EVENT	(FIRST_FILE + FILES)

/*
 * Where all mappings go that outlast their operation, far from what the kernel
 * places itself.  It consists of lots; mostly a mapping begins with a lot and
 * has that lot's own number of pages, so that requests and mappings fit.
 */
#define ARENA		0x10000000000UL
#define LOT_PAGES	16
#define LOTS		16
#define ARENA_PAGES	(LOTS * LOT_PAGES)

/* Each worker's arguments: a read-only page, arrays, and the request, its end
 * at the end of the memory.
 */
#define SCRATCH		0x20000000000UL
#define SCRATCH_STRIDE	0x100000UL
#define ARRAY_PAGES	16
#define ERRORS_PAGES	8
#define SCRATCH_PAGES	(1 + ARRAY_PAGES + ERRORS_PAGES + 1)

/* As many frames as an array has room for. */
#define MANY		(ARRAY_PAGES * PAGE / sizeof(__u64))

/* By how much the kernel's memory may differ at the end of a round. */
#define MEMORY_SLACK_KIB 32768
/* What foreign frames may take in dom0's address space: two sections. */
#define PLACES_LIMIT	(2UL << 27)

enum kind {
#define ROW(name, ...) name,
#include "commands.h"
	UNKNOWN,
	DO_MMAP, DO_MUNMAP, DO_MREMAP, DO_MPROTECT, DO_MADVISE, DO_OPEN, DO_CLOSE,
	DO_DUP, DO_FORK, DO_TOUCH, DO_OTHER, LIMITED,
	KINDS
};

static struct {
	const char *name;
	/* The run is worth nothing if it never comes out so. */
	bool done, refused;
} kinds[KINDS] = {
	[HYPERCALL] = { "HYPERCALL", true, true },
	[MMAP] = { "MMAP", false, true },
	[MMAPBATCH] = { "MMAPBATCH", true, true },
	[MMAPBATCH_V2] = { "MMAPBATCH_V2", true, true },
	[DM_OP] = { "DM_OP", false, true },
	[RESTRICT] = { "RESTRICT", true, true },
	[MMAP_RESOURCE] = { "MMAP_RESOURCE", true, true },
	[IRQFD] = { "IRQFD", false, true },
	[IOEVENTFD] = { "IOEVENTFD", false, true },
	[PCIDEV_GET_GSI] = { "PCIDEV_GET_GSI", false, true },
	[DM_NR_VCPUS] = { "DM_NR_VCPUS", false, true },
	[LIMIT] = { "LIMIT", true, true },
	[UNKNOWN] = { "unknown", false, true },
	[DO_MMAP] = { "mmap", true, true },
	[DO_MUNMAP] = { "munmap", true, true },
	[DO_MREMAP] = { "mremap", false, true },
	[DO_MPROTECT] = { "mprotect", true, true },
	[DO_MADVISE] = { "madvise", true, true },
	[DO_OPEN] = { "open", true, false },
	[DO_CLOSE] = { "close", true, false },
	[DO_DUP] = { "dup", true, false },
	[DO_FORK] = { "fork", true, false },
	[DO_TOUCH] = { "access", true, true },
	[DO_OTHER] = { "other", false, true },
	/* Those that a model answers for; refused is what it says is gone. */
	[LIMITED] = { "limited", true, true },
};

/* Shared by all processes. */
static struct {
	atomic_bool stop;
	atomic_ulong done[KINDS], refused[KINDS];
	atomic_ulong operations, choices, mismatches;
	/* By kind: why the kernel cannot run the command at all; 0 if it can. */
	int unavailable[UNKNOWN];
} *shared;

static struct {
	__u64 seed;
	unsigned int seconds, threads;
	unsigned long operations;
} options = { .seconds = 60, .threads = 2, .operations = ULONG_MAX };

static int doms[DOMAINS];

/* Each process has an ioreq server of its own, of a domain with so many vCPUs. */
static struct {
	int dom;
	ioservid_t id;
	unsigned int vcpus;
	__u32 ports[DOMAINS];
} served;

struct worker {
	unsigned int number;
	__u64 random;
	char *scratch;
	bool is_child;
	/* Changes with each choice. */
	__u64 choices;
};

/* A number of 64 bits of which all look random (splitmix64). */
static __u64 mix(__u64 value)
{
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

static __u64 draw(struct worker *worker)
{
	worker->random += 0x9e3779b97f4a7c15;
	return mix(worker->random);
}

static __u64 below(struct worker *worker, __u64 limit)
{
	return draw(worker) % limit;
}

static bool one_in(struct worker *worker, unsigned int times)
{
	return !below(worker, times);
}

#define PICK(_worker, _type, ...) ({					\
	const _type _choices[] = { __VA_ARGS__ };			\
	_choices[below(_worker, ARRAY_SIZE(_choices))];			\
})

static void note(enum kind kind, long ret)
{
	atomic_fetch_add(ret < 0 ? &shared->refused[kind] : &shared->done[kind],
			 1);
}

/* ---- Accesses that may fail ---- */

static __thread sigjmp_buf access_return;
static __thread atomic_bool in_access;

static void access_failed(int signal)
{
	if (in_access)
		siglongjmp(access_return, 1);
	/* A defect of the program itself: die of it. */
	sigaction(signal, &(struct sigaction) { .sa_handler = SIG_DFL }, NULL);
}

static void access_byte(char *byte, bool write)
{
	int failed = sigsetjmp(access_return, 1);

	if (!failed) {
		in_access = true;
		/* As a domid, if ever it is read as one, it is of no domain. */
		if (write)
			__atomic_store_n(byte, 0x6e, __ATOMIC_RELAXED);
		else
			__atomic_load_n(byte, __ATOMIC_RELAXED);
	}
	in_access = false;
	note(DO_TOUCH, failed ? -1 : 0);
}

/* ---- Places and numbers ---- */

static char *arena_page(__u64 page)
{
	return (char *)ARENA + page * PAGE;
}

static char *any_page(struct worker *worker)
{
	return arena_page(below(worker, ARENA_PAGES));
}

static unsigned int lot_size(unsigned int lot)
{
	return 1 + lot % LOT_PAGES;
}

struct range {
	char *start;
	size_t pages;
};

static struct range lot_range(unsigned int lot)
{
	return (struct range) { arena_page(lot * LOT_PAGES), lot_size(lot) };
}

/* Mostly what a lot holds; sometimes a part of that, several lots or less. */
static struct range any_range(struct worker *worker)
{
	struct range range = lot_range(below(worker, LOTS));
	size_t first;

	switch (below(worker, 8)) {
	case 0:
		first = below(worker, ARENA_PAGES);
		return (struct range) {
			arena_page(first),
			1 + below(worker, ARENA_PAGES - first),
		};
	case 1:
		first = below(worker, range.pages);
		return (struct range) {
			range.start + first * PAGE,
			1 + below(worker, range.pages - first),
		};
	case 2:
		/* All of a lot, whatever it holds. */
		range.pages = LOT_PAGES;
		return range;
	default:
		return range;
	}
}

static char *array_of(struct worker *worker)
{
	return worker->scratch + PAGE;
}

static char *errors_of(struct worker *worker)
{
	return array_of(worker) + ARRAY_PAGES * PAGE;
}

static char *end_of(struct worker *worker)
{
	return worker->scratch + SCRATCH_PAGES * PAGE;
}

/* Nothing is ever mapped there that can be written to. */
static void *no_memory(struct worker *worker)
{
	return (void *)PICK(worker, __u64, 0, 8, PAGE, ARENA - PAGE,
			    ARENA + ARENA_PAGES * PAGE, (__u64)end_of(worker),
			    0x7ffffffff000, 0x800000000000,
			    0x1000000000000, 0xffff800000000000,
			    0xffff888000001000, 0xffffffff81000000,
			    -PAGE, -1, draw(worker) | 1UL << 63);
}

/* Memory that a request cannot be read from or written to, or not wholly. */
static void *bad_memory(struct worker *worker, size_t size)
{
	switch (below(worker, 5)) {
	case 0:
		return worker->scratch;
	case 1:
		return end_of(worker) - 1 - below(worker, size - 1);
	case 2:
		return worker->scratch - 1 - below(worker, size);
	case 3:
		return any_page(worker) + below(worker, PAGE);
	default:
		return no_memory(worker);
	}
}

static void *memory_or_bad(struct worker *worker, void *memory)
{
	return one_in(worker, 16) ? bad_memory(worker, 64) : memory;
}

static __u64 any_number(struct worker *worker)
{
	switch (below(worker, 4)) {
	case 0:
		return below(worker, 64);
	case 1:
		return PICK(worker, __u64, 511, 512, 513, 1023, 1024, 1025,
			    MANY, 65536, 1 << 20, 1 << 29, 1 << 30, INT_MAX,
			    1UL << 31, UINT_MAX, 1UL << 32, 1UL << 52,
			    1UL << 61, 1UL << 63, -PAGE, -1);
	case 2:
		return 1UL << below(worker, 64);
	default:
		return draw(worker) >> below(worker, 64);
	}
}

static domid_t any_test_domain(struct worker *worker)
{
	return doms[below(worker, DOMAINS)];
}

static domid_t any_domain(struct worker *worker)
{
	if (!one_in(worker, 6))
		return any_test_domain(worker);
	/* dom0, no domain, SELF, IO, XEN, COW, INVALID, IDLE; no other exists. */
	return PICK(worker, domid_t, 0, 0x7fef, 0x7ff0, 0x7ff1, 0x7ff2, 0x7ff3,
		    0x7ff4, 0x7fff, 0x8000 | draw(worker));
}

static bool is_test_domain(domid_t domid)
{
	for (int i = 0; i < DOMAINS; i++)
		if (doms[i] == domid)
			return true;
	return false;
}

static int any_file(struct worker *worker)
{
	return FIRST_FILE + below(worker, FILES);
}

static int any_event(struct worker *worker)
{
	return one_in(worker, 16) ? any_file(worker) : (int)(FIRST_EVENT + below(worker, EVENTS));
}

/* ---- Requests ---- */

/* The place in memory of a request, which does not survive the next one. */
static void *place(struct worker *worker, const void *arg, size_t size)
{
	char *good = end_of(worker) - size;

	if (one_in(worker, 32))
		return bad_memory(worker, size);
	if (one_in(worker, 8))
		good -= below(worker, 64);
	return memcpy(good, arg, size);
}

static void make(struct worker *worker, enum kind kind, int fd, unsigned int cmd,
		 const void *arg, size_t size)
{
	note(kind, ioctl(fd, cmd, place(worker, arg, size)));
}

static unsigned int fill_frames(struct worker *worker, unsigned int num)
{
	xen_pfn_t *frames = (void *)array_of(worker);
	bool good = !one_in(worker, 3);

	if (num > MANY)
		num = MANY;
	for (unsigned int i = 0; i < num; i++) {
		frames[i] = i % FRAMES;
		if (!good && one_in(worker, 4))
			frames[i] = PICK(worker, xen_pfn_t, FRAMES, 0xfffffff,
					 1UL << 40, -1, draw(worker));
	}
	return num;
}

/*
 * The place for a request.  What belongs to no test domain must not get one
 * where something can be mapped.
 */
static __u64 place_for(struct worker *worker, domid_t domid, struct range range)
{
	__u64 addr = (__u64)range.start;

	if (!is_test_domain(domid))
		return (__u64)no_memory(worker);
	if (one_in(worker, 16))
		return (__u64)any_page(worker);
	if (one_in(worker, 16))
		return addr + below(worker, PAGE);
	if (one_in(worker, 16))
		return (__u64)bad_memory(worker, 64);
	return addr;
}

static __u64 size_for(struct worker *worker, struct range range)
{
	return one_in(worker, 8) ? any_number(worker) : range.pages * FRAMES_PER_PAGE;
}

static void request_batch(struct worker *worker, int fd, struct range range)
{
	domid_t domid = any_domain(worker);
	struct privcmd_mmapbatch arg = {
		.num = size_for(worker, range),
		.dom = domid,
		.addr = place_for(worker, domid, range),
		.arr = memory_or_bad(worker, array_of(worker)),
	};

	fill_frames(worker, arg.num);
	make(worker, MMAPBATCH, fd, IOCTL_PRIVCMD_MMAPBATCH, &arg, sizeof(arg));
}

static void request_batch_v2(struct worker *worker, int fd, struct range range)
{
	domid_t domid = any_domain(worker);
	struct privcmd_mmapbatch_v2 arg = {
		.num = size_for(worker, range),
		.dom = domid,
		.addr = place_for(worker, domid, range),
		.arr = memory_or_bad(worker, array_of(worker)),
		.err = memory_or_bad(worker, errors_of(worker)),
	};

	fill_frames(worker, arg.num);
	make(worker, MMAPBATCH_V2, fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &arg,
	     sizeof(arg));
}

static void request_runs(struct worker *worker, int fd, struct range range)
{
	struct privcmd_mmap_entry *entries = (void *)array_of(worker);
	domid_t domid = any_domain(worker);
	__u64 addr = place_for(worker, domid, range);
	unsigned int num = 1 + below(worker, 4);
	struct privcmd_mmap arg = {
		.num = one_in(worker, 8) ? any_number(worker) : num,
		.dom = domid,
		.entry = memory_or_bad(worker, entries),
	};

	memset(entries, 0, ARRAY_PAGES * PAGE);
	for (unsigned int i = 0; i < num; i++) {
		entries[i].va = addr;
		entries[i].mfn = below(worker, FRAMES);
		entries[i].npages = i == num - 1 ? range.pages - i : 1;
		if (one_in(worker, 16))
			entries[i].npages = any_number(worker);
		addr += entries[i].npages * PAGE;
	}
	make(worker, MMAP, fd, IOCTL_PRIVCMD_MMAP, &arg, sizeof(arg));
}

static void request_resource(struct worker *worker, int fd, struct range range)
{
	domid_t domid = any_domain(worker);
	struct privcmd_mmap_resource arg = {
		.dom = domid,
		.type = one_in(worker, 4) ? below(worker, 4) :
					    XENMEM_resource_grant_table,
		.id = one_in(worker, 4) ? any_number(worker) : 0,
		.idx = one_in(worker, 4) ? any_number(worker) : 0,
		.num = size_for(worker, range),
		.addr = place_for(worker, domid, range),
	};

	if (one_in(worker, 8)) {
		arg.num = 0;
		arg.addr = 0;
	}
	make(worker, MMAP_RESOURCE, fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg,
	     sizeof(arg));
}

static void (*const map_requests[])(struct worker *, int, struct range) = {
	request_batch, request_batch_v2, request_batch_v2, request_runs,
	request_resource, request_resource,
};

static void request_map(struct worker *worker, int fd, struct range range)
{
	map_requests[below(worker, ARRAY_SIZE(map_requests))](worker, fd, range);
}

static void request_dm_op(struct worker *worker)
{
	struct privcmd_dm_op_buf *bufs = (void *)array_of(worker);
	__u32 *op = (void *)errors_of(worker);
	unsigned int num = 1 + below(worker, 3);
	struct privcmd_dm_op arg = {
		.dom = any_domain(worker),
		.num = one_in(worker, 8) ? any_number(worker) : num,
		.ubufs = memory_or_bad(worker, bufs),
	};

	memset(op, 0, PAGE);
	op[0] = one_in(worker, 2) ? DM_OP_NR_VCPUS : below(worker, 24);
	for (int i = 2; i < 16; i++)
		op[i] = one_in(worker, 4) ? any_number(worker) : below(worker, 4);
	memset(bufs, 0, PAGE);
	for (unsigned int i = 0; i < 20; i++) {
		bufs[i].uptr = op + below(worker, 4 * i + 1) * 16;
		bufs[i].size = 64;
		if (one_in(worker, 16))
			bufs[i].uptr = bad_memory(worker, PAGE);
		if (one_in(worker, 16))
			bufs[i].size = any_number(worker);
	}
	make(worker, DM_OP, any_file(worker), IOCTL_PRIVCMD_DM_OP, &arg,
	     sizeof(arg));
}

static void request_nr_vcpus(struct worker *worker)
{
	struct privcmd_dm_nr_vcpus arg = {
		.dom = any_domain(worker),
		.pad = one_in(worker, 8) ? draw(worker) : 0,
	};

	make(worker, DM_NR_VCPUS, any_file(worker), IOCTL_PRIVCMD_DM_NR_VCPUS,
	     &arg, sizeof(arg));
}

static void request_restrict(struct worker *worker)
{
	domid_t domid = any_domain(worker);

	make(worker, RESTRICT, any_file(worker), IOCTL_PRIVCMD_RESTRICT, &domid,
	     sizeof(domid));
}

static __u32 any_flags(struct worker *worker)
{
	return one_in(worker, 16) ? any_number(worker) : one_in(worker, 4);
}

/* Most of what there is stays, for the file is used on. */
static __u64 any_mask(struct worker *worker)
{
	return one_in(worker, 8) ? any_number(worker) :
	       one_in(worker, 2) ? ~0ULL : ~(1ULL << below(worker, 64));
}

static void request_limit(struct worker *worker)
{
	struct privcmd_limit arg = {
		.commands = any_mask(worker),
		.dm_ops = any_mask(worker),
		.resources = any_mask(worker),
		.flags = one_in(worker, 8) ? any_flags(worker) : 0,
	};

	make(worker, LIMIT, any_file(worker), IOCTL_PRIVCMD_LIMIT, &arg, sizeof(arg));
}

/* Its argument is always the one made here: the file may be unrestricted. */
static void request_hypercall(struct worker *worker)
{
	struct privcmd_hypercall *arg = (void *)end_of(worker);

	arg--;
	memset(arg, 0, sizeof(*arg));
	/* xen_version's first command takes no pointer. */
	arg->op = HYPERCALL_XEN_VERSION;
	if (one_in(worker, 3)) {
		arg->op = PICK(worker, __u64, 63, 64, 127, 128, 0x7fffffff,
			       0x80000000, 0xffffffff, 1UL << 32 | 0xffffff00);
		for (int i = 0; i < 5; i++)
			arg->arg[i] = any_number(worker);
	}
	note(HYPERCALL, ioctl(any_file(worker), IOCTL_PRIVCMD_HYPERCALL,
			      one_in(worker, 16) ? no_memory(worker) : arg));
}

static void request_irqfd(struct worker *worker)
{
	__u32 *op = (void *)array_of(worker);
	struct privcmd_irqfd arg = {
		.dm_op = (__u64)memory_or_bad(worker, op),
		.size = one_in(worker, 8) ? any_number(worker) : 64,
		.fd = any_event(worker),
		.flags = any_flags(worker),
		.dom = any_domain(worker),
	};

	memset(op, 0, 64);
	op[0] = one_in(worker, 8) ? below(worker, 24) :
		PICK(worker, __u32, XEN_DMOP_inject_msi, DM_OP_SET_IRQ_LEVEL);
	op[2] = any_number(worker);
	make(worker, IRQFD, any_file(worker), IOCTL_PRIVCMD_IRQFD, &arg,
	     sizeof(arg));
}

/* With slots that the caller has mapped there, or tried to. */
static void request_ioeventfd(struct worker *worker, const char *slots)
{
	__u32 *ports = (void *)array_of(worker);
	struct privcmd_ioeventfd arg = {
		.ioreq = (__u64)memory_or_bad(worker, (void *)slots),
		.ports = (__u64)memory_or_bad(worker, ports),
		.addr = one_in(worker, 16) ? any_number(worker) : 0,
		.addr_len = one_in(worker, 16) ? any_number(worker) : 4,
		.event_fd = any_event(worker),
		.vcpus = one_in(worker, 16) ? any_number(worker) : served.vcpus,
		.vq = below(worker, 4),
		.flags = any_flags(worker),
		.dom = one_in(worker, 16) ? any_domain(worker) : served.dom,
	};

	memcpy(ports, served.ports, sizeof(served.ports));
	if (one_in(worker, 16))
		ports[0] = any_number(worker);
	make(worker, IOEVENTFD, any_file(worker), IOCTL_PRIVCMD_IOEVENTFD, &arg,
	     sizeof(arg));
}

static void request_gsi(struct worker *worker)
{
	struct privcmd_pcidev_get_gsi arg = { .sbdf = any_number(worker) };

	make(worker, PCIDEV_GET_GSI, any_file(worker),
	     IOCTL_PRIVCMD_PCIDEV_GET_GSI, &arg, sizeof(arg));
}

/* Commands that do not exist, among them those with another size or direction. */
static void request_unknown(struct worker *worker)
{
	unsigned int cmd = _IOC(_IOC_NONE, 'P', 1 + below(worker, 255),
				below(worker, 1 << 14));

	if (one_in(worker, 4))
		cmd = 0x50ff;
	if (one_in(worker, 4))
		cmd |= below(worker, 4) << _IOC_DIRSHIFT;
	note(UNKNOWN, ioctl(any_file(worker), cmd,
			    one_in(worker, 2) ? no_memory(worker) : NULL));
}

/* ---- Mappings ---- */

static int any_protection(struct worker *worker)
{
	return PICK(worker, int, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		    PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE, PROT_WRITE,
		    PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void map_range(struct worker *worker, struct range range, int fd)
{
	int flags = one_in(worker, 8) ? MAP_PRIVATE : MAP_SHARED;
	int prot = one_in(worker, 4) ? any_protection(worker) :
				       PROT_READ | PROT_WRITE;
	off_t offset = 0;
	char *map;

	if (one_in(worker, 8)) {
		fd = -1;
		flags |= MAP_ANONYMOUS;
	}
	if (one_in(worker, 16))
		flags |= PICK(worker, int, MAP_POPULATE, MAP_LOCKED,
			      MAP_NORESERVE);
	if (one_in(worker, 16))
		offset = any_number(worker) * PAGE;
	map = mmap(range.start, range.pages * PAGE, prot, flags | MAP_FIXED, fd,
		   offset);
	note(DO_MMAP, map == MAP_FAILED ? -1 : 0);
}

static void unmap_range(struct range range)
{
	note(DO_MUNMAP, munmap(range.start, range.pages * PAGE));
}

static void touch_range(struct worker *worker, struct range range)
{
	for (unsigned int i = 0; i < 4; i++)
		access_byte(range.start + below(worker, range.pages * PAGE),
			    one_in(worker, 2));
}

/* The whole life of a mapping; others interfere. */
static void map_and_use(struct worker *worker)
{
	struct range range = lot_range(below(worker, LOTS));
	int fd = any_file(worker);

	if (!one_in(worker, 4))
		unmap_range((struct range) { range.start, LOT_PAGES });
	map_range(worker, range, fd);
	request_map(worker, one_in(worker, 4) ? any_file(worker) : fd, range);
	touch_range(worker, range);
	if (one_in(worker, 2))
		unmap_range(range);
}

/* A doorbell, of slots that may go again, and that others write to. */
static void map_and_serve(struct worker *worker)
{
	struct range range = lot_range(below(worker, LOTS));
	struct privcmd_mmap_resource arg = {
		.dom = served.dom,
		.type = XENMEM_resource_ioreq_server,
		.id = served.id,
		.idx = XENMEM_resource_ioreq_server_frame_ioreq(0),
		.num = 1,
		.addr = (__u64)range.start,
	};
	int fd = any_file(worker);

	if (one_in(worker, 2)) {
		unmap_range((struct range) { range.start, LOT_PAGES });
		map_range(worker, range, fd);
		make(worker, MMAP_RESOURCE, fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg, sizeof(arg));
	}
	for (int i = 0; i < 3; i++)
		request_ioeventfd(worker, range.start);
	if (one_in(worker, 4))
		unmap_range(range);
}

/* More frames than go to the hypervisor at a time. */
static void map_many(struct worker *worker)
{
	int fd = any_file(worker);
	size_t pages = PICK(worker, size_t, 511, 512, 513, 1024, 1025);
	struct range range = {
		.start = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0),
		.pages = pages,
	};

	/* What failed is used as well: the worker's choices depend on no result. */
	note(DO_MMAP, range.start == MAP_FAILED ? -1 : 0);
	request_map(worker, fd, range);
	touch_range(worker, range);
	unmap_range(range);
}

/* More than there is; not even address space is lost if it succeeds. */
static void map_too_much(struct worker *worker)
{
	size_t size = PICK(worker, size_t, 1UL << 32, 1UL << 40, 1UL << 46,
			   1UL << 62, -PAGE);
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 any_file(worker), 0);

	note(DO_MMAP, map == MAP_FAILED ? -1 : 0);
	if (map != MAP_FAILED)
		munmap(map, size);
}

static void map(struct worker *worker)
{
	struct range range = any_range(worker);

	map_range(worker, range, any_file(worker));
}

static void request_for_any_range(struct worker *worker)
{
	struct range range = any_range(worker);

	request_map(worker, any_file(worker), range);
}

static void unmap(struct worker *worker)
{
	unmap_range(any_range(worker));
}

static void touch(struct worker *worker)
{
	touch_range(worker, any_range(worker));
}

static void move(struct worker *worker)
{
	struct range old = any_range(worker);
	struct range new = any_range(worker);
	int flags = PICK(worker, int, 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE,
			 MREMAP_MAYMOVE | MREMAP_FIXED,
			 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP);
	char *map;

	if (one_in(worker, 2))
		new.pages = old.pages;
	if (one_in(worker, 16))
		old.pages = 0;
	map = mremap(old.start, old.pages * PAGE, new.pages * PAGE, flags,
		     new.start);
	note(DO_MREMAP, map == MAP_FAILED ? -1 : 0);
	if (map != MAP_FAILED && (map < arena_page(0) ||
				  map >= arena_page(ARENA_PAGES)))
		munmap(map, new.pages * PAGE);
}

static void protect(struct worker *worker)
{
	struct range range = any_range(worker);

	note(DO_MPROTECT, mprotect(range.start, range.pages * PAGE,
				   any_protection(worker)));
}

static void advise(struct worker *worker)
{
	struct range range = any_range(worker);
	int advice = PICK(worker, int, MADV_NORMAL, MADV_DONTNEED, MADV_FREE,
			  MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK,
			  MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE,
			  MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP,
			  MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_WILLNEED,
			  MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ,
			  MADV_POPULATE_WRITE);

	note(DO_MADVISE, madvise(range.start, range.pages * PAGE, advice));
}

/* What else makes the kernel look at or into a mapping. */
static void other_use(struct worker *worker)
{
	struct range range = any_range(worker);
	size_t size = range.pages * PAGE;
	struct iovec remote = { range.start, size };
	struct iovec local = { array_of(worker), PAGE };
	long ret = -1;

	switch (below(worker, 6)) {
	case 0:
		ret = mlock(range.start, size);
		break;
	case 1:
		ret = munlock(range.start, size);
		break;
	case 2:
		ret = msync(range.start, size, MS_SYNC);
		break;
	case 3:
		ret = mincore(range.start, size, (void *)errors_of(worker));
		break;
	case 4:
		ret = syscall(SYS_remap_file_pages, range.start, size, 0,
			      below(worker, 4), 0);
		break;
	case 5:
		ret = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
		break;
	}
	note(DO_OTHER, ret);
}

/* ---- Files ---- */

static void put_file(int fd, unsigned int slot)
{
	if (fd < 0)
		return;
	dup3(fd, FIRST_FILE + slot, O_CLOEXEC);
	close(fd);
}

static void open_slot(unsigned int slot, const char *path, int domid)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	note(DO_OPEN, fd);
	if (fd >= 0 && domid >= 0)
		note(RESTRICT, restrict_to(fd, domid));
	put_file(fd, slot);
}

static void open_file(struct worker *worker)
{
	const char *path = PICK(worker, char *, PRIVCMD_DEVICE, PRIVCMD_DEVICE,
				PRIVCMD_DEVICE, PRIVCMD_DEVICE,
				"/proc/xen/privcmd", "/dev/xen/hypercall");
	unsigned int slot = below(worker, FILES);
	int domid = any_domain(worker);

	open_slot(slot, path, one_in(worker, 3) ? domid : -1);
}

static void close_file(struct worker *worker)
{
	note(DO_CLOSE, close(any_file(worker)));
}

static void duplicate_file(struct worker *worker)
{
	int old = any_file(worker), new = any_file(worker);

	note(DO_DUP, dup3(old, new, O_CLOEXEC));
}

static void open_event(unsigned int number)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return;
	dup3(fd, FIRST_EVENT + number, O_CLOEXEC);
	close(fd);
}

static void use_event(struct worker *worker)
{
	__u64 value = 1 + below(worker, 2);
	unsigned int number = below(worker, EVENTS);
	long ret = 0;

	switch (below(worker, 4)) {
	case 0:
		open_event(number);
		break;
	case 1:
		ret = read(FIRST_EVENT + number, &value, sizeof(value));
		break;
	default:
		ret = write(FIRST_EVENT + number, &value, sizeof(value));
	}
	note(DO_OTHER, ret);
}

/* ---- Files with limits ---- */

#define MISMATCHES_SHOWN 20

/* Of a file that only this worker uses: nobody else changes what is left. */
struct rights {
	int fd;
	/* -1 if it is not restricted. */
	int dom;
	struct privcmd_limit left;
};

/* A request, and what the model has to know of it. */
struct asked {
	enum kind kind;
	unsigned int cmd;
	union argument arg;
	bool bad_pointer;
	domid_t dom;
	/* Of a DM_OP or an IRQFD. */
	__u32 operation;
	/* Where a request can map, and whether it asks for that. */
	char *map;
	bool fills, writable;
};

enum answer { ANY_BUT_EPERM = 1 };

static bool stays(__u64 mask, unsigned int bits, __u64 number)
{
	return mask == ~0ULL >> (64 - bits) || (number < bits && mask & 1ULL << number);
}

static bool operation_stays(const struct rights *rights, const struct asked *asked)
{
	return stays(rights->left.dm_ops, 64, asked->operation);
}

static bool resource_stays(const struct rights *rights, __u32 type)
{
	return stays(rights->left.resources, 32, type);
}

static int answer_of_restrict(const struct rights *rights, const struct asked *asked)
{
	if (asked->dom >= 0x7ff0)
		return -EINVAL;
	if (rights->dom < 0)
		return ANY_BUT_EPERM;
	return rights->dom == asked->dom ? 0 : -EINVAL;
}

/* What is wrong with a request before its domain is looked at. */
static int answer_of_checks(const struct rights *rights, const struct asked *asked)
{
	switch (asked->kind) {
	case RESTRICT:
		return answer_of_restrict(rights, asked);
	case LIMIT:
		return asked->arg.limit.flags & ~PRIVCMD_LIMIT_READ_ONLY ? -EINVAL : 0;
	case DM_OP:
		return asked->arg.dm_op.num ? ANY_BUT_EPERM : 0;
	case IRQFD:
		return asked->arg.irqfd.flags & ~1U ? -EINVAL : ANY_BUT_EPERM;
	case IOEVENTFD:
		return asked->arg.ioeventfd.flags & ~1U ? -EINVAL : ANY_BUT_EPERM;
	default:
		return ANY_BUT_EPERM;
	}
}

/* Up to where the domain is looked at. */
static int early_answer(const struct rights *rights, const struct asked *asked)
{
	if (asked->kind == UNKNOWN)
		return -ENOTTY;
	if (!(rights->left.commands & COMMAND(asked->cmd)))
		return -EPERM;
	if (shared->unavailable[asked->kind])
		return shared->unavailable[asked->kind];
	if (command_facts[asked->kind].access == UNRESTRICTED_ONLY && rights->dom >= 0)
		return -EPERM;
	if (asked->bad_pointer)
		return -EFAULT;
	return answer_of_checks(rights, asked);
}

/* What the command itself finds gone. */
static int late_answer(const struct rights *rights, const struct asked *asked)
{
	bool reads_only = rights->left.flags & PRIVCMD_LIMIT_READ_ONLY;
	bool gone = asked->fills && asked->writable && reads_only;

	switch (asked->kind) {
	case DM_OP:
		if (rights->left.dm_ops != ~0ULL &&
		    asked->arg.dm_op.ubufs[0].size < sizeof(asked->operation))
			return -EINVAL;
		gone = !operation_stays(rights, asked);
		break;
	case IRQFD:
		gone = !asked->arg.irqfd.flags && !operation_stays(rights, asked);
		break;
	case IOEVENTFD:
		gone = !asked->arg.ioeventfd.flags &&
		       (reads_only || !resource_stays(rights, XENMEM_resource_ioreq_server));
		break;
	case MMAP_RESOURCE:
		gone = gone || !resource_stays(rights, asked->arg.resource.type);
		break;
	default:
		break;
	}
	return gone ? -EPERM : ANY_BUT_EPERM;
}

static bool is_answer(int expected, int ret)
{
	return expected == ANY_BUT_EPERM ? ret != -EPERM : ret == expected;
}

/* A restricted file's domain can die, and be found gone, at any time. */
static bool is_right(const struct rights *rights, const struct asked *asked, int ret)
{
	int early = early_answer(rights, asked);

	if (early != ANY_BUT_EPERM || command_facts[asked->kind].access != OWN_DOMAIN_ONLY)
		return is_answer(early, ret);
	if (rights->dom >= 0 && rights->dom != asked->dom)
		return ret == -EPERM;
	if (rights->dom >= 0 && ret == -ESRCH)
		return true;
	return is_answer(late_answer(rights, asked), ret);
}

/* Of the test's own, or, where the file's restriction is in the way, of any. */
static domid_t domain_for(struct worker *worker, const struct rights *rights)
{
	domid_t test = any_test_domain(worker), any = any_domain(worker);
	bool own = !one_in(worker, 4);

	if (rights->dom < 0)
		return test;
	return own ? rights->dom : any;
}

/*
 * Where an ioreq server's pages are mapped as a resource Xen itself answers EPERM to who
 * asks for their frame numbers, and the other way round: nobody does either here.
 */
static __u32 any_operation(struct worker *worker)
{
	__u32 operation = below(worker, 24);

	if (one_in(worker, 8))
		return PICK(worker, __u32, 64 + DM_OP_NR_VCPUS, 84, 1U << 31, -1U);
	return operation == XEN_DMOP_get_ioreq_server_info || one_in(worker, 2) ?
		DM_OP_NR_VCPUS : operation;
}

#define NO_SERVER 0xffff

/* One page, where nobody else maps. */
static void make_map(struct worker *worker, const struct rights *rights, struct asked *asked)
{
	int flags = one_in(worker, 4) ? MAP_PRIVATE : MAP_SHARED;

	asked->writable = one_in(worker, 2);
	asked->map = mmap(NULL, PAGE, PROT_READ | (asked->writable ? PROT_WRITE : 0), flags,
			  rights->fd, 0);
	asked->fills = asked->map != MAP_FAILED;
}

static void fill_dm_op(struct worker *worker, struct asked *asked)
{
	struct privcmd_dm_op_buf *buf = (void *)array_of(worker);
	__u32 *op = (void *)errors_of(worker);

	asked->operation = any_operation(worker);
	op[0] = asked->operation;
	for (int i = 1; i < 16; i++)
		op[i] = below(worker, 4);
	buf->uptr = op;
	buf->size = one_in(worker, 8) ? below(worker, sizeof(*op)) : 64;
	asked->arg.dm_op = (struct privcmd_dm_op) {
		.dom = asked->dom,
		.num = !one_in(worker, 8),
		.ubufs = buf,
	};
}

static void fill_irqfd(struct worker *worker, struct asked *asked)
{
	__u32 *op = (void *)array_of(worker);

	asked->operation = PICK(worker, __u32, XEN_DMOP_set_pci_intx_level,
				XEN_DMOP_set_isa_irq_level, XEN_DMOP_inject_msi,
				DM_OP_SET_IRQ_LEVEL);
	memset(op, 0, 64);
	op[0] = asked->operation;
	asked->arg.irqfd = (struct privcmd_irqfd) {
		.dm_op = (__u64)op,
		.size = 64,
		.fd = any_event(worker),
		.flags = any_flags(worker),
		.dom = asked->dom,
	};
}

static void fill_resource(struct worker *worker, struct asked *asked)
{
	bool size = one_in(worker, 4);
	__u32 type = one_in(worker, 8) ? PICK(worker, __u32, 32, 33, 1U << 31, -1U) :
					 below(worker, 4);

	asked->arg.resource = (struct privcmd_mmap_resource) {
		.dom = asked->dom,
		.type = type,
		.id = type == XENMEM_resource_ioreq_server ? NO_SERVER : 0,
		.num = size ? 0 : FRAMES_PER_PAGE,
		.addr = size ? 0 : (__u64)asked->map,
	};
	asked->fills = asked->fills && !size;
}

static void fill_run(struct worker *worker, struct asked *asked)
{
	struct privcmd_mmap_entry *run = (void *)array_of(worker);

	*run = (struct privcmd_mmap_entry) {
		.va = (__u64)asked->map,
		.mfn = below(worker, FRAMES / FRAMES_PER_PAGE),
		.npages = 1,
	};
	asked->arg.mmap = (struct privcmd_mmap) {
		.num = 1, .dom = asked->dom, .entry = run,
	};
}

/* Version 1's argument begins as that of version 2 does. */
static void fill_batch(struct worker *worker, struct asked *asked)
{
	xen_pfn_t *frames = (void *)array_of(worker);

	for (unsigned int i = 0; i < FRAMES_PER_PAGE; i++)
		frames[i] = i;
	asked->arg.batch_v2 = (struct privcmd_mmapbatch_v2) {
		.num = FRAMES_PER_PAGE,
		.dom = asked->dom,
		.addr = (__u64)asked->map,
		.arr = frames,
		.err = (void *)errors_of(worker),
	};
}

/* About three quarters stay. */
static __u64 some_mask(struct worker *worker)
{
	return one_in(worker, 3) ? any_mask(worker) : draw(worker) | draw(worker);
}

static void fill_limit(struct worker *worker, struct asked *asked)
{
	asked->arg.limit = (struct privcmd_limit) {
		.commands = some_mask(worker) | (one_in(worker, 2) ? ~0U : 0),
		.dm_ops = some_mask(worker),
		.resources = some_mask(worker),
		.flags = any_flags(worker),
	};
}

static void fill_asked(struct worker *worker, const struct rights *rights, struct asked *asked)
{
	asked->dom = domain_for(worker, rights);
	switch (asked->kind) {
	case HYPERCALL:
		asked->arg.hypercall.op = HYPERCALL_XEN_VERSION;
		break;
	case MMAP:
		make_map(worker, rights, asked);
		fill_run(worker, asked);
		break;
	case MMAPBATCH:
	case MMAPBATCH_V2:
		make_map(worker, rights, asked);
		fill_batch(worker, asked);
		break;
	case DM_OP:
		fill_dm_op(worker, asked);
		break;
	case RESTRICT:
		asked->dom = PICK(worker, domid_t, asked->dom, asked->dom, 0x7ff0, 0x8000);
		asked->arg.restrict_to = asked->dom;
		break;
	case MMAP_RESOURCE:
		make_map(worker, rights, asked);
		fill_resource(worker, asked);
		break;
	case IRQFD:
		fill_irqfd(worker, asked);
		break;
	case IOEVENTFD:
		asked->arg.ioeventfd = (struct privcmd_ioeventfd) {
			.addr_len = 4,
			.event_fd = any_event(worker),
			.vcpus = 1,
			.flags = any_flags(worker),
			.dom = asked->dom,
		};
		break;
	case PCIDEV_GET_GSI:
		asked->arg.gsi.sbdf = any_number(worker);
		break;
	case DM_NR_VCPUS:
		asked->arg.nr_vcpus.dom = asked->dom;
		break;
	case LIMIT:
		fill_limit(worker, asked);
		break;
	default:
		break;
	}
}

/* What was mapped for reading stays so. */
static bool is_for_reading(const struct rights *rights, const struct asked *asked)
{
	if (!(rights->left.flags & PRIVCMD_LIMIT_READ_ONLY))
		return true;
	return mprotect(asked->map, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES;
}

static void report_mismatch(const struct rights *rights, const struct asked *asked, int ret)
{
	if (atomic_fetch_add(&shared->mismatches, 1) >= MISMATCHES_SHOWN)
		return;
	ksft_print_msg("random: %s %#x of domain %d, operation %u: %d; a file of domain %d has\n",
		       kinds[asked->kind].name, asked->cmd, asked->dom, asked->operation, ret,
		       rights->dom);
	ksft_print_msg("random:   commands %#llx, dm_ops %#llx, resources %#x, flags %#x\n",
		       rights->left.commands, rights->left.dm_ops, rights->left.resources,
		       rights->left.flags);
}

static void apply(struct rights *rights, const struct asked *asked)
{
	if (asked->kind == RESTRICT)
		rights->dom = asked->dom;
	if (asked->kind != LIMIT)
		return;
	rights->left.commands &= asked->arg.limit.commands;
	rights->left.dm_ops &= asked->arg.limit.dm_ops;
	rights->left.resources &= asked->arg.limit.resources;
	rights->left.flags |= asked->arg.limit.flags;
}

static void ask_limited(struct worker *worker, struct rights *rights, enum kind kind)
{
	struct asked asked = {
		.kind = kind,
		.cmd = kind < UNKNOWN ? all_commands[kind] :
		       PICK(worker, unsigned int, 0x50ff, 0xc008500b, 0x5022),
		.bad_pointer = one_in(worker, 16),
	};
	union argument *arg = (void *)(end_of(worker) - sizeof(*arg));
	void *bad = no_memory(worker);
	char op[64];
	int ret;

	fill_asked(worker, rights, &asked);
	memcpy(arg, &asked.arg, sizeof(*arg));
	memcpy(op, errors_of(worker), sizeof(op));
	ret = request(rights->fd, asked.cmd, asked.bad_pointer ? bad : arg);
	if (!is_right(rights, &asked, ret) ||
	    (kind == DM_OP && ret == -EPERM && memcmp(op, errors_of(worker), sizeof(op))) ||
	    (asked.fills && !ret && !is_for_reading(rights, &asked)))
		report_mismatch(rights, &asked, ret);
	if (!ret)
		apply(rights, &asked);
	if (asked.map && asked.map != MAP_FAILED)
		munmap(asked.map, PAGE);
	note(LIMITED, ret == -EPERM ? -1 : 0);
}

/* The life of a file that gets limits, mostly once more, and a restriction. */
static void use_limited(struct worker *worker)
{
	struct rights rights = {
		.fd = privcmd_open(),
		.dom = -1,
		.left = { .commands = ~0ULL, .dm_ops = ~0ULL, .resources = ~0U },
	};

	if (rights.fd < 0)
		return;
	if (one_in(worker, 2))
		ask_limited(worker, &rights, RESTRICT);
	for (int i = 0; i < 16; i++)
		ask_limited(worker, &rights, i % 8 ? below(worker, UNKNOWN + 1) : LIMIT);
	close(rights.fd);
}

/* ---- Processes ---- */

static void operate(struct worker *worker);

/*
 * A child does some operations and ends, or goes on until it is killed.  It
 * inherits the files and no mapping of theirs.
 */
static void fork_child(struct worker *worker)
{
	unsigned int operations = 1 + below(worker, 16);
	unsigned int delay = below(worker, 20000);
	bool kill_it = one_in(worker, 2);
	__u64 random = draw(worker);
	pid_t pid;

	if (worker->is_child)
		return;
	pid = fork();
	note(DO_FORK, pid);
	if (pid < 0)
		return;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		worker->is_child = true;
		worker->random = random;
		while (operations-- || kill_it)
			operate(worker);
		_exit(0);
	}
	if (kill_it) {
		usleep(delay);
		kill(pid, SIGKILL);
	}
	waitpid(pid, NULL, 0);
}

/* ---- Rounds ---- */

static const struct {
	unsigned int weight;
	void (*run)(struct worker *worker);
} operations[] = {
	{ 30, map_and_use },
	{ 10, request_for_any_range },
	{ 8, map },
	{ 8, unmap },
	{ 8, touch },
	{ 5, move },
	{ 5, protect },
	{ 5, advise },
	{ 3, other_use },
	{ 1, map_many },
	{ 1, map_too_much },
	{ 5, request_dm_op },
	{ 4, request_nr_vcpus },
	{ 1, request_restrict },
	{ 1, request_limit },
	{ 4, use_limited },
	{ 3, request_hypercall },
	{ 3, request_irqfd },
	{ 4, use_event },
	{ 3, map_and_serve },
	{ 1, request_gsi },
	{ 2, request_unknown },
	{ 5, open_file },
	{ 2, close_file },
	{ 2, duplicate_file },
	{ 1, fork_child },
};

static void operate(struct worker *worker)
{
	__u64 choice, random = draw(worker);
	/* What comes next must not depend on how much this one draws. */
	__u64 next = worker->random;
	unsigned int total = 0;

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		total += operations[i].weight;
	worker->random = random;
	choice = below(worker, total);
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		if (choice < operations[i].weight) {
			operations[i].run(worker);
			break;
		}
		choice -= operations[i].weight;
	}
	worker->choices = mix(worker->choices ^ worker->random);
	worker->random = next;
	atomic_fetch_add(&shared->operations, 1);
}

static void *work(void *arg)
{
	struct worker worker = {
		.number = (uintptr_t)arg,
		.random = mix(options.seed + mix((uintptr_t)arg + 1)),
	};
	char *place = (char *)SCRATCH +
		      worker.number % (PROCESSES * MAX_THREADS) * SCRATCH_STRIDE;

	worker.scratch = mmap(place, SCRATCH_PAGES * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			      -1, 0);
	if (worker.scratch != place ||
	    mprotect(worker.scratch, PAGE, PROT_READ)) {
		perror("# no memory for a worker");
		exit(1);
	}
	for (unsigned long i = 0; i < options.operations && !shared->stop; i++)
		operate(&worker);
	atomic_fetch_xor(&shared->choices, worker.choices);
	return NULL;
}

/*
 * Leaves the ioreq server's handles open, which end with the process.  Where there
 * are no device models, or no more servers, nobody can register a doorbell.
 */
static bool serve(int index)
{
	int dom = doms[index], fd = privcmd_open();
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
	struct privcmd_mmap_resource arg = {
		.dom = dom,
		.type = XENMEM_resource_ioreq_server,
		.idx = XENMEM_resource_ioreq_server_frame_ioreq(0),
		.num = 1,
	};
	struct ioreq *slots;
	bool good;

	served.dom = dom;
	served.vcpus = 1 + index;
	if (fd < 0 || !dmod || !xce ||
	    xendevicemodel_create_ioreq_server(dmod, dom, HVM_IOREQSRV_BUFIOREQ_OFF, &served.id))
		return false;
	slots = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	arg.id = served.id;
	arg.addr = (uintptr_t)slots;
	good = !request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg) &&
	       !xendevicemodel_set_ioreq_server_state(dmod, dom, served.id, 1);
	for (unsigned int i = 0; good && i < served.vcpus; i++) {
		int port = xenevtchn_bind_interdomain(xce, dom, slots[i].vp_eport);

		good = port >= 0;
		served.ports[i] = port;
	}
	munmap(slots, PAGE);
	close(fd);
	return good;
}

/* One process of a round; does not return. */
static void run_process(unsigned int index, unsigned int first_worker)
{
	const struct sigaction action = {
		.sa_handler = access_failed,
		.sa_flags = SA_NODEFER,
	};
	pthread_t threads[MAX_THREADS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	for (unsigned int slot = 0; slot < FILES; slot++)
		open_slot(slot, PRIVCMD_DEVICE,
			  slot % 2 ? doms[slot / 2 % DOMAINS] : -1);
	for (unsigned int number = 0; number < EVENTS; number++)
		open_event(number);
	if (!serve(index) && kinds[IOEVENTFD].done) {
		fprintf(stderr, "# no ioreq server\n");
		exit(1);
	}
	for (unsigned int i = 0; i < options.threads; i++) {
		void *number = (void *)(uintptr_t)(first_worker + i);

		if (pthread_create(&threads[i], NULL, work, number)) {
			perror("# no thread");
			exit(1);
		}
	}
	for (unsigned int i = 0; i < options.threads; i++)
		pthread_join(threads[i], NULL);
	exit(0);
}

static int create_domains(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_pfn_t frames[FRAMES];
	int ret = 0;

	for (int i = 0; i < DOMAINS && !ret; i++) {
		doms[i] = domain_create(DOMAIN_PVH, 1 + i);
		ret = doms[i] < 0 ? doms[i] :
				    domain_populate(doms[i], FRAMES, frames);
		if (!ret && xc_domain_max_vcpus(xch, doms[i], 1 + i))
			ret = -errno;
	}
	xc_interface_close(xch);
	return ret;
}

/* Whether nothing holds a destroyed domain any more; that may take a moment. */
static bool domain_is_gone(domid_t domid)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = 0;

	for (int i = 0; xch && i < 1000 && !ret; i++) {
		ret = xc_domain_destroy(xch, domid);
		if (!ret)
			usleep(10000);
	}
	ret = ret ? errno : 0;
	xc_interface_close(xch);
	return ret == ESRCH;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Waits until all processes, and all of theirs, have ended: not forever. */
static bool all_ended(bool killed)
{
	double limit = now() + END_SECONDS;
	bool good = true;
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0)
			return good;
		if (pid == 0) {
			if (now() > limit) {
				ksft_print_msg("random: a process does not end\n");
				return false;
			}
			usleep(10000);
		} else if (!killed && status) {
			ksft_print_msg("random: process %d ended with status %#x\n",
				       pid, status);
			good = false;
		}
	}
}

/* What was found at the end of any round. */
static struct {
	bool unfinished, held, open, failed;
} wrong;

/* Answers with the number after a word in a file, or with -1. */
static long number_in(const char *path, const char *word)
{
	char line[256];
	FILE *file = fopen(path, "r");
	long number = -1;

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, word, strlen(word))) {
			number = strtol(line + strlen(word), NULL, 0);
			break;
		}
	}
	if (file)
		fclose(file);
	return number;
}

static long module_users(void)
{
	return number_in("/sys/module/xen_privcmd/refcnt", "");
}

static void run_round(unsigned int round, double seconds)
{
	unsigned int workers = PROCESSES * options.threads;
	bool kill_them = round % 2;
	pid_t pids[PROCESSES];
	long users = module_users();

	int err = create_domains();

	if (err) {
		ksft_print_msg("random: cannot create the domains: %s\n", strerror(-err));
		wrong.failed = true;
		return;
	}
	shared->stop = false;
	for (unsigned int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			run_process(i, round * workers + i * options.threads);
	}
	usleep(seconds / 2 * 1e6);
	domain_destroy(doms[0]);
	usleep(seconds / 2 * 1e6);
	for (unsigned int i = 0; kill_them && i < PROCESSES; i++)
		kill(pids[i], SIGKILL);
	shared->stop = true;

	if (!all_ended(kill_them)) {
		wrong.unfinished = true;
		return;
	}
	for (int i = 0; i < DOMAINS; i++) {
		if (i)
			domain_destroy(doms[i]);
		if (!domain_is_gone(doms[i])) {
			ksft_print_msg("random: domain %d is still held\n", doms[i]);
			wrong.held = true;
		}
	}
	if (module_users() != users) {
		ksft_print_msg("random: %ld users of the module, before the round %ld\n",
			       module_users(), users);
		wrong.open = true;
	}
}

/* ---- Memory ---- */

static long free_kib(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd >= 0) {
		if (write(fd, "3", 1) != 1)
			ksft_print_msg("random: the caches stay\n");
		close(fd);
	}
	return number_in("/proc/meminfo", "MemFree:");
}

/* The part of the address space that the balloon driver lends pages from. */
static unsigned long places(void)
{
	unsigned long first, last, total = 0;
	char line[256];
	FILE *file = fopen("/proc/iomem", "r");

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "Xen scratch") &&
		    sscanf(line, "%lx-%lx", &first, &last) == 2)
			total += last - first + 1;
	if (file)
		fclose(file);
	return total;
}

static long ballooned_kib(void)
{
	return number_in("/sys/devices/system/xen_memory/xen_memory0/info/current_kb",
			 "");
}

static void set_balloon_target(long kib)
{
	FILE *file = fopen("/sys/devices/system/xen_memory/xen_memory0/target_kb", "w");

	if (!file)
		return;
	fprintf(file, "%ld", kib);
	fclose(file);
	usleep(500000);
}

/*
 * On PV a domain that is held takes a page, which goes to the balloon afterwards.  Linux
 * may leave it there for the next one, until its target changes.
 */
static void deflate_balloon(long ballooned_before)
{
	if (ballooned_kib() == ballooned_before)
		return;
	set_balloon_target(ballooned_before - 4);
	set_balloon_target(ballooned_before);
}

static bool is_memory_back(long free_before, long ballooned_before,
			   unsigned long places_before)
{
	long lost = free_before - free_kib();
	unsigned long taken = places() - places_before;
	bool back = true;

	ksft_print_msg("random: %ld KiB of memory less than after the first round\n",
		       lost);
	ksft_print_msg("random: %lu MiB more of address space for foreign frames\n",
		       taken >> 20);
	if (lost > MEMORY_SLACK_KIB)
		back = false;
	if (taken > PLACES_LIMIT)
		back = false;
	if (ballooned_kib() != ballooned_before) {
		ksft_print_msg("random: dom0 has %ld KiB, before %ld\n", ballooned_kib(),
			       ballooned_before);
		back = false;
	}
	return back;
}

/* ---- The program ---- */

static bool come_out_both_ways(void)
{
	bool good = true;

	for (int i = 0; i < KINDS; i++) {
		bool lacks = (kinds[i].done && !shared->done[i]) ||
			     (kinds[i].refused && !shared->refused[i]);

		ksft_print_msg("random: %-14s %8lu done %8lu refused%s\n", kinds[i].name,
			       shared->done[i], shared->refused[i],
			       lacks ? ": not enough" : "");
		good = good && !lacks;
	}
	return good;
}

static unsigned long number_from(const char *option, const char *text,
				 unsigned long limit)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 0);
	if (errno || *end || !isdigit(*text) || number < 1 || number > limit) {
		fprintf(stderr, "random: --%s %s: not a number from 1 to %lu\n",
			option, text, limit);
		exit(2);
	}
	return number;
}

static void read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "threads", required_argument, NULL, 'n' },
		{ "operations", required_argument, NULL, 'o' },
		{},
	};
	int option, index;

	if (getrandom(&options.seed, sizeof(options.seed), 0) < 0)
		options.seed = time(NULL);
	options.seed &= UINT_MAX;
	while ((option = getopt_long(argc, argv, "", known, &index)) != -1) {
		switch (option) {
		case 's':
			options.seed = number_from("seed", optarg, ULONG_MAX);
			break;
		case 't':
			options.seconds = number_from("seconds", optarg, 86400);
			break;
		case 'n':
			options.threads = number_from("threads", optarg,
						      MAX_THREADS);
			break;
		case 'o':
			options.operations = number_from("operations", optarg,
							 ULONG_MAX);
			break;
		default:
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "random: %s: not an option\n", argv[optind]);
		exit(2);
	}
}

/* A command that the kernel has looks at its argument. */
static void find_unavailable(void)
{
	int fd = privcmd_open();

	for (int kind = 0; kind < UNKNOWN; kind++) {
		int ret = request(fd, all_commands[kind], NULL);

		shared->unavailable[kind] = ret == -EFAULT ? 0 : ret;
	}
	close(fd);
}

/* Both commands have to succeed now and then, where the kernel and Xen have them. */
static void expect_eventfds(void)
{
	struct privcmd_irqfd arg = { .flags = ~0 };
	int fd = privcmd_open();

	kinds[IRQFD].done = request(fd, IOCTL_PRIVCMD_IRQFD, &arg) == -EINVAL;
	kinds[IOEVENTFD].done = kinds[IRQFD].done && dm_op_nr_vcpus(fd, 0) != -ENOSYS;
	close(fd);
}

int main(int argc, char **argv)
{
	long free_before = 0, ballooned_before = ballooned_kib();
	unsigned long places_before = places();
	unsigned int round;
	double end;

	read_options(argc, argv);
	expect_eventfds();
	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
	ksft_set_plan(6);
	ksft_print_msg("random: --seed %llu --seconds %u --threads %u\n", options.seed,
		       options.seconds, options.threads);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		ksft_exit_fail_msg("no memory: %s\n", strerror(errno));
	find_unavailable();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

	end = now() + options.seconds;
	for (round = 0; now() < end && !wrong.unfinished && !wrong.failed; round++) {
		double left = end - now();

		run_round(round, left < ROUND_SECONDS ? left : ROUND_SECONDS);
		if (round == 0)
			free_before = free_kib();
	}
	ksft_print_msg("random: %lu operations in %u rounds\n", shared->operations,
		       round);
	if (options.operations != ULONG_MAX)
		ksft_print_msg("random: choices %016lx\n", shared->choices);

	/* So much cannot be asked of a run that somebody has cut short. */
	ksft_test_result((come_out_both_ways() ||
			  options.operations != ULONG_MAX) && !wrong.failed,
			 "requests_come_out_both_ways\n");
	ksft_test_result(!shared->mismatches, "limits_hold\n");
	ksft_test_result(!wrong.unfinished, "workers_come_to_their_end\n");
	ksft_test_result(!wrong.held, "destroyed_domains_are_gone\n");
	ksft_test_result(!wrong.open, "files_are_closed\n");
	deflate_balloon(ballooned_before);
	ksft_test_result(is_memory_back(free_before, ballooned_before,
					places_before), "memory_is_back\n");
	ksft_finished();
}
