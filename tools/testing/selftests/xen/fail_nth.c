// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests whose every allocation, and every copy from and to the caller's
 * memory, fails once, each in a run of its own: the error is clean, the
 * caller's memory is as it was, and the same request succeeds afterwards.
 *
 * Needs a kernel with fault injection (CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC,
 * CONFIG_FAULT_INJECTION_USERCOPY, CONFIG_FAULT_INJECTION_DEBUG_FS).
 */

#include "eventfd.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define DEBUGFS		"/sys/kernel/debug/"

#define PAGES		4
/* No call has as many points at which it can fail. */
#define MAX_FAULTS	1000

/*
 * Where the requests map: nothing else is near, so page tables are allocated
 * each time.
 */
#define MAP_ADDRESS	((void *)0x30000000000)

/* All that a request reads or writes but mappings. */
struct memory {
	char before[64];
	union argument arg;
	char between[64];
	struct privcmd_mmap_entry entry;
	xen_pfn_t frames[PAGES * MOST_FRAMES_PER_PAGE];
	int err[PAGES * MOST_FRAMES_PER_PAGE];
	struct privcmd_dm_op_buf buf;
	struct nr_vcpus_op op;
	char after[64];
};

/* ---- Fault injection ---- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/*
 * Only the caller hears of the failures.  Allocations that may sleep fail too,
 * or only the copies do.
 */
static bool set_up_injection(bool allocations)
{
	const char *ignore = allocations ? "N" : "Y";

	return !access(FAIL_NTH, W_OK) &&
	       write_text(DEBUGFS "failslab/verbose", "0") &&
	       write_text(DEBUGFS "failslab/ignore-gfp-wait", ignore) &&
	       write_text(DEBUGFS "fail_page_alloc/verbose", "0") &&
	       write_text(DEBUGFS "fail_page_alloc/ignore-gfp-wait", ignore) &&
	       write_text(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", ignore) &&
	       write_text(DEBUGFS "fail_page_alloc/min-order", "0") &&
	       write_text(DEBUGFS "fail_usercopy/verbose", "0");
}

/* The nth point from here on at which this thread can fail does. */
static void inject(int fd, unsigned int nth)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fd, text, size, 0) != size)
		abort();
}

/* Ends that; says whether the failure has come. */
static bool was_injected(int fd)
{
	char text[16] = "";
	/* If it is this that fails, nothing did before. */
	ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
	bool injected = size > 0 && atoi(text) == 0;

	/* This can be what fails, once. */
	if (pwrite(fd, "0", 1, 0) != 1 && pwrite(fd, "0", 1, 0) != 1)
		abort();
	return injected;
}

/* ---- Requests ---- */

static struct target target;
/* Of a domain of its own, where there are eventfds and device models. */
static struct server server = { .fd = -1 };
static struct memory *memory;
static int file, event;

static bool can_inject;
/* Where faults are asked for. */
static int nth_fd;
/* The memory before the request, and after it was made undisturbed. */
static struct memory before, after;
/* Of the undisturbed request. */
static int result;

/* What is at MAP_ADDRESS after the request, and before it. */
enum effect {
	NOTHING,
	MAPS,
	UNMAPS,
};

struct request {
	const char *name;
	/* Fills in the request. */
	void (*prepare)(void);
	/* Answers with 0 or with a negative errno. */
	int (*make)(void);
	unsigned int cmd;
	/* What comes without a failure; some kernels or hypervisors refuse. */
	int result, or_result;
	/* Any error will do that comes without a failure. */
	bool is_refused;
	enum effect effect;
	/* Some frames may be mapped when it fails to tell the errors of others. */
	bool may_map_some;
	/* On failure the errors may be cleared already. */
	bool may_clear;
	/*
	 * At least as many allocations that may sleep can fail (if 0, none), and
	 * copies; those of 2, 4 or 8 bytes cannot be made to.
	 */
	unsigned int allocations, copies;
};

static int open_and_close(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int open_privcmd(void)
{
	return open_and_close(PRIVCMD_DEVICE);
}

static int open_proc(void)
{
	return open_and_close("/proc/xen/privcmd");
}

static int open_buffers(void)
{
	return open_and_close("/dev/xen/hypercall");
}

static int map_there(const char *path, bool populate)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return -errno;
	map = mmap(MAP_ADDRESS, PAGES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), fd, 0);
	close(fd);
	return map == MAP_FAILED ? -errno : 0;
}

static int mmap_privcmd(void)
{
	return map_there(PRIVCMD_DEVICE, false);
}

static int mmap_proc(void)
{
	return map_there("/proc/xen/privcmd", true);
}

static int mmap_buffers(void)
{
	return map_there("/dev/xen/hypercall", false);
}

static void fill(void)
{
	map_frames(file, target.dom, MAP_ADDRESS, 0, PAGES);
}

static int unmap(void)
{
	return munmap(MAP_ADDRESS, PAGES * PAGE) ? -errno : 0;
}

static void version(void)
{
	memory->arg.hypercall = (struct privcmd_hypercall) {
		.op = HYPERCALL_XEN_VERSION,
	};
}

static void runs(void)
{
	memory->entry = (struct privcmd_mmap_entry) {
		.va = (uintptr_t)MAP_ADDRESS,
		.npages = PAGES,
	};
	memory->arg.mmap = (struct privcmd_mmap) {
		.num = 1,
		.dom = target.dom,
		.entry = &memory->entry,
	};
}

static void batch_of(const xen_pfn_t *pages)
{
	frames_of(pages, PAGES, memory->frames);
	memory->arg.batch = (struct privcmd_mmapbatch) {
		.num = PAGES * FRAMES_PER_PAGE,
		.dom = target.dom,
		.addr = (uintptr_t)MAP_ADDRESS,
		.arr = memory->frames,
	};
}

static void batch(void)
{
	batch_of((xen_pfn_t[PAGES]) { 0, 1, 2, 3 });
}

static void batch_with_error(void)
{
	batch_of((xen_pfn_t[PAGES]) { 0, NO_FRAME, 2, 3 });
}

static void batch_v2_of(const xen_pfn_t *pages)
{
	batch_of(pages);
	memory->arg.batch_v2 = (struct privcmd_mmapbatch_v2) {
		.num = PAGES * FRAMES_PER_PAGE,
		.dom = target.dom,
		.addr = (uintptr_t)MAP_ADDRESS,
		.arr = memory->frames,
		.err = memory->err,
	};
}

static void batch_v2(void)
{
	batch_v2_of((xen_pfn_t[PAGES]) { 0, 1, 2, 3 });
}

static void batch_v2_with_error(void)
{
	batch_v2_of((xen_pfn_t[PAGES]) { 0, NO_FRAME, 2, 3 });
}

static void grants(void)
{
	memory->arg.resource = (struct privcmd_mmap_resource) {
		.dom = target.dom,
		.type = XENMEM_resource_grant_table,
		.num = PAGES * FRAMES_PER_PAGE,
		.addr = (uintptr_t)MAP_ADDRESS,
	};
}

static void grants_size(void)
{
	grants();
	memory->arg.resource.num = 0;
	memory->arg.resource.addr = 0;
}

static void untyped(void)
{
	memory->op = (struct nr_vcpus_op) { .op = DM_OP_NR_VCPUS };
	memory->buf = (struct privcmd_dm_op_buf) {
		.uptr = &memory->op,
		.size = sizeof(memory->op),
	};
	memory->arg.dm_op = (struct privcmd_dm_op) {
		.dom = target.dom,
		.num = 1,
		.ubufs = &memory->buf,
	};
}

/* So large a buffer is not copied to the stack. */
static void untyped_large(void)
{
	untyped();
	memory->buf.size = 200;
}

static void typed(void)
{
	memory->arg.nr_vcpus = (struct privcmd_dm_nr_vcpus) {
		.dom = target.dom,
	};
}

static void to_the_target(void)
{
	memory->arg.restrict_to = target.dom;
}

static int on_new_file(unsigned int cmd)
{
	int fd = privcmd_open(), ret;

	if (fd < 0)
		return fd;
	ret = request(fd, cmd, &memory->arg);
	close(fd);
	return ret;
}

static int restrict_new_file(void)
{
	return on_new_file(IOCTL_PRIVCMD_RESTRICT);
}

/* All stays: the file is used again. */
static void limits(void)
{
	memory->arg.limit = (struct privcmd_limit) {
		.commands = ~0ULL, .dm_ops = ~0ULL, .resources = ~0U,
	};
}

static int limit_new_file(void)
{
	return on_new_file(IOCTL_PRIVCMD_LIMIT);
}

/* What the file has left is what the requests take. */
static int on_limited_file(unsigned int cmd)
{
	int fd = privcmd_open(), ret;

	if (fd < 0)
		return fd;
	ret = limit_file(fd, (struct privcmd_limit) {
		.commands = COMMAND(cmd),
		.dm_ops = 1ULL << DM_OP_NR_VCPUS | 1ULL << DM_OP_SET_IRQ_LEVEL,
		.resources = 1U << XENMEM_resource_grant_table,
	}) ?: request(fd, cmd, &memory->arg);
	close(fd);
	return ret;
}

static int dm_op_on_limited_file(void)
{
	return on_limited_file(IOCTL_PRIVCMD_DM_OP);
}

static int typed_on_limited_file(void)
{
	return on_limited_file(IOCTL_PRIVCMD_DM_NR_VCPUS);
}

static int resource_on_limited_file(void)
{
	return on_limited_file(IOCTL_PRIVCMD_MMAP_RESOURCE);
}

static int batch_v2_on_limited_file(void)
{
	return on_limited_file(IOCTL_PRIVCMD_MMAPBATCH_V2);
}

static int irqfd_on_limited_file(void)
{
	return on_limited_file(IOCTL_PRIVCMD_IRQFD);
}

static int irqfd_on_new_file(void)
{
	return on_new_file(IOCTL_PRIVCMD_IRQFD);
}

static void an_irqfd(void)
{
	memory->op = (struct nr_vcpus_op) { .op = DM_OP_SET_IRQ_LEVEL };
	memory->arg.irqfd = (struct privcmd_irqfd) {
		.dm_op = (uintptr_t)&memory->op,
		.size = sizeof(memory->op),
		.fd = event,
		.dom = target.dom,
	};
}

static int ioeventfd_on_new_file(void)
{
	return on_new_file(IOCTL_PRIVCMD_IOEVENTFD);
}

static void a_doorbell(void)
{
	memory->arg.ioeventfd = doorbell(&server, event, 0);
}

static void gsi(void)
{
	memory->arg.gsi = (struct privcmd_pcidev_get_gsi) { .sbdf = 0x1f };
}

/* ---- What a failure may leave behind ---- */

static bool is_mapped(void)
{
	for (int i = 0; i < PAGES; i++)
		if (signal_of_reading((char *)MAP_ADDRESS + i * PAGE))
			return false;
	return true;
}

/* Fills in the request anew, and the mapping it is for. */
static bool prepare(const struct request *request)
{
	void *map = mmap(MAP_ADDRESS, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, file, 0);

	memset(memory, UNTOUCHED, PAGE);
	if (request->prepare)
		request->prepare();
	return map == MAP_ADDRESS &&
	       is_mapped() == (request->effect == UNMAPS);
}

static int make(const struct request *request)
{
	int ret;

	if (request->make)
		return request->make();
	ret = ioctl(file, request->cmd, &memory->arg);
	return ret < 0 ? -errno : 0;
}

/* After a request that was not disturbed. */
static bool has_effect(const struct request *request)
{
	switch (request->effect) {
	case MAPS:
		return is_mapped();
	case UNMAPS:
		return signal_of_reading(MAP_ADDRESS) == SIGSEGV;
	default:
		return true;
	}
}

static bool is_memory(const struct memory *expected)
{
	return !memcmp(memory, expected, sizeof(*expected)) &&
	       is_untouched(memory + 1, PAGE - sizeof(*memory));
}

/* After a request that failed, where nothing may have come of it. */
static bool is_as_before(const struct request *request)
{
	struct memory expected = before;

	if (request->may_clear && memory->err[0] == 0)
		memset(expected.err, 0, PAGES * FRAMES_PER_PAGE * sizeof(*expected.err));
	if (request->effect == UNMAPS && !is_mapped())
		return false;
	if (request->effect == MAPS && !request->may_map_some &&
	    !is_empty(MAP_ADDRESS, PAGES))
		return false;
	return is_memory(&expected);
}

/* ---- The tests ---- */

FIXTURE(fail_nth)
{
};

FIXTURE_VARIANT(fail_nth)
{
	struct request request;
};

FIXTURE_SETUP(fail_nth)
{
	const struct request *request = &variant->request;

	can_inject = set_up_injection(true);
	if (!can_inject)
		return;
	nth_fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, nth_fd);
	ASSERT_EQ(0, target_create(&target));
	file = privcmd_open();
	ASSERT_LE(0, file);
	event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, event);
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, memory);
	if (has_eventfds() && has_device_models())
		ASSERT_EQ(0, server_create(&server, shell_create()));

	ASSERT_TRUE(prepare(request));
	before = *memory;
	result = make(request);
	after = *memory;
	if (request->is_refused)
		ASSERT_GT(0, result);
	if (!request->is_refused && result != request->or_result)
		ASSERT_EQ(request->result, result);
	if (!result)
		ASSERT_TRUE(has_effect(request));
}

FIXTURE_TEARDOWN(fail_nth)
{
	if (!can_inject)
		return;
	munmap(MAP_ADDRESS, PAGES * PAGE);
	close(file);
	close(event);
	close(nth_fd);
	server_destroy(&server);
	if (server.dom)
		EXPECT_EQ(0, domain_destroy(server.dom));
	if (target.dom)
		EXPECT_EQ(0, target_destroy(&target));
}

FIXTURE_VARIANT_ADD(fail_nth, open_privcmd) {
	.request = {
		.name = "open_privcmd",
		.make = open_privcmd,
		.allocations = 3,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, open_proc_privcmd) {
	.request = {
		.name = "open_proc_privcmd",
		.make = open_proc,
		.allocations = 3,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, open_hypercall) {
	.request = {
		.name = "open_hypercall",
		.make = open_buffers,
		.allocations = 2,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmap_privcmd) {
	.request = {
		.name = "mmap_privcmd",
		.make = mmap_privcmd,
		.allocations = 4,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmap_proc_privcmd) {
	.request = {
		.name = "mmap_proc_privcmd",
		.make = mmap_proc,
		.allocations = 4,
		.copies = 1,
	},
};

/* Besides what the others take: page tables and the pages. */
FIXTURE_VARIANT_ADD(fail_nth, mmap_hypercall) {
	.request = {
		.name = "mmap_hypercall",
		.make = mmap_buffers,
		.allocations = 8,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, munmap) {
	.request = {
		.name = "munmap",
		.prepare = fill,
		.make = unmap,
		.effect = UNMAPS,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, hypercall) {
	.request = {
		.name = "hypercall",
		.prepare = version,
		.cmd = IOCTL_PRIVCMD_HYPERCALL,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmap) {
	.request = {
		.name = "mmap",
		.prepare = runs,
		.cmd = IOCTL_PRIVCMD_MMAP,
		.effect = MAPS,
		.or_result = -ENOSYS,
		.allocations = 3,
		.copies = 3,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmapbatch) {
	.request = {
		.name = "mmapbatch",
		.prepare = batch,
		.cmd = IOCTL_PRIVCMD_MMAPBATCH,
		.effect = MAPS,
		.allocations = 3,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmapbatch_with_error) {
	.request = {
		.name = "mmapbatch_with_error",
		.prepare = batch_with_error,
		.cmd = IOCTL_PRIVCMD_MMAPBATCH,
		.may_map_some = true,
		.allocations = 3,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmapbatch_v2) {
	.request = {
		.name = "mmapbatch_v2",
		.prepare = batch_v2,
		.cmd = IOCTL_PRIVCMD_MMAPBATCH_V2,
		.effect = MAPS,
		.may_clear = true,
		.allocations = 3,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmapbatch_v2_with_error) {
	.request = {
		.name = "mmapbatch_v2_with_error",
		.prepare = batch_v2_with_error,
		.cmd = IOCTL_PRIVCMD_MMAPBATCH_V2,
		.may_map_some = true,
		.may_clear = true,
		.allocations = 3,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, mmap_resource) {
	.request = {
		.name = "mmap_resource",
		.prepare = grants,
		.cmd = IOCTL_PRIVCMD_MMAP_RESOURCE,
		.effect = MAPS,
		.allocations = 3,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, resource_size) {
	.request = {
		.name = "resource_size",
		.prepare = grants_size,
		.cmd = IOCTL_PRIVCMD_MMAP_RESOURCE,
		.copies = 1,
	},
};

/* Without device-model support the hypervisor refuses in the end. */
FIXTURE_VARIANT_ADD(fail_nth, dm_op) {
	.request = {
		.name = "dm_op",
		.prepare = untyped,
		.cmd = IOCTL_PRIVCMD_DM_OP,
		.or_result = -ENOSYS,
		.copies = 3,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, dm_op_large) {
	.request = {
		.name = "dm_op_large",
		.prepare = untyped_large,
		.cmd = IOCTL_PRIVCMD_DM_OP,
		.or_result = -ENOSYS,
		.allocations = 1,
		.copies = 2,
	},
};

/* xen_dm_nr_vcpus() itself can fail for no want of memory. */
FIXTURE_VARIANT_ADD(fail_nth, dm_nr_vcpus) {
	.request = {
		.name = "dm_nr_vcpus",
		.prepare = typed,
		.cmd = IOCTL_PRIVCMD_DM_NR_VCPUS,
		.or_result = -EOPNOTSUPP,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, restrict) {
	.request = {
		.name = "restrict",
		.prepare = to_the_target,
		.make = restrict_new_file,
		.allocations = 3,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, restrict_again) {
	.request = {
		.name = "restrict_again",
		.prepare = to_the_target,
		.cmd = IOCTL_PRIVCMD_RESTRICT,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limit) {
	.request = {
		.name = "limit",
		.prepare = limits,
		.make = limit_new_file,
		.allocations = 3,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limit_again) {
	.request = {
		.name = "limit_again",
		.prepare = limits,
		.cmd = IOCTL_PRIVCMD_LIMIT,
		.copies = 1,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limited_dm_op) {
	.request = {
		.name = "limited_dm_op",
		.prepare = untyped_large,
		.make = dm_op_on_limited_file,
		.or_result = -ENOSYS,
		.allocations = 4,
		.copies = 4,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limited_dm_nr_vcpus) {
	.request = {
		.name = "limited_dm_nr_vcpus",
		.prepare = typed,
		.make = typed_on_limited_file,
		.or_result = -EOPNOTSUPP,
		.allocations = 3,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limited_mmap_resource) {
	.request = {
		.name = "limited_mmap_resource",
		.prepare = grants,
		.make = resource_on_limited_file,
		.effect = MAPS,
		.allocations = 6,
		.copies = 3,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limited_mmapbatch_v2) {
	.request = {
		.name = "limited_mmapbatch_v2",
		.prepare = batch_v2,
		.make = batch_v2_on_limited_file,
		.effect = MAPS,
		.may_clear = true,
		.allocations = 6,
		.copies = 4,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, limited_irqfd) {
	.request = {
		.name = "limited_irqfd",
		.prepare = an_irqfd,
		.make = irqfd_on_limited_file,
		.or_result = -EOPNOTSUPP,
		.allocations = 4,
		.copies = 3,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, irqfd) {
	.request = {
		.name = "irqfd",
		.prepare = an_irqfd,
		.make = irqfd_on_new_file,
		.or_result = -EOPNOTSUPP,
		.allocations = 4,
		.copies = 2,
	},
};

FIXTURE_VARIANT_ADD(fail_nth, ioeventfd) {
	.request = {
		.name = "ioeventfd",
		.prepare = a_doorbell,
		.make = ioeventfd_on_new_file,
		.or_result = -EOPNOTSUPP,
		.allocations = 6,
		.copies = 2,
	},
};

/* There is no such device, whatever the kernel and its PCI backend say of it. */
FIXTURE_VARIANT_ADD(fail_nth, pcidev_get_gsi) {
	.request = {
		.name = "pcidev_get_gsi",
		.prepare = gsi,
		.cmd = IOCTL_PRIVCMD_PCIDEV_GET_GSI,
		.is_refused = true,
	},
};

/*
 * Makes the request again and again, each time with another failure, until it
 * is not disturbed any more.  Answers with the number of failures.
 */
static unsigned int sweep(struct __test_metadata *_metadata,
			  const struct request *request, bool allocations)
{
	unsigned int nth;
	int ret;

	for (nth = 1; nth < MAX_FAULTS; nth++) {
		bool injected;

		ASSERT_TRUE(prepare(request));
		inject(nth_fd, nth);
		ret = make(request);
		injected = was_injected(nth_fd);

		if (ret == result) {
			/* Either it was not disturbed, or it could bear that. */
			ASSERT_TRUE(is_memory(&after)) {
				TH_LOG("fault %u: succeeds with another result", nth);
			}
			if (!ret)
				ASSERT_TRUE(has_effect(request)) {
					TH_LOG("fault %u: succeeds to no effect", nth);
				}
			if (!injected)
				break;
			continue;
		}

		ASSERT_TRUE(injected) {
			TH_LOG("without a failure: %s", strerror(-ret));
		}
		if (ret != -EFAULT)
			ASSERT_EQ(allocations ? -ENOMEM : -EFAULT, ret) {
				TH_LOG("fault %u", nth);
			}
		ASSERT_TRUE(is_as_before(request)) {
			TH_LOG("fault %u: fails and leaves something behind", nth);
		}

		/* The same once more, into the same mapping; if frames are there, anew. */
		if (request->may_map_some && !is_empty(MAP_ADDRESS, PAGES))
			ASSERT_TRUE(prepare(request));
		ret = make(request);
		ASSERT_EQ(result, ret) {
			TH_LOG("fault %u: cannot be repeated", nth);
		}
		ASSERT_TRUE(is_memory(&after));
		if (!ret)
			ASSERT_TRUE(has_effect(request));
	}
	return nth - 1;
}

TEST_F(fail_nth, of_each_point)
{
	const struct request *request = &variant->request;
	bool runs_through = result == request->result;
	unsigned int all, copies;

	if (!can_inject)
		SKIP(return, "this kernel cannot inject faults (CONFIG_FAILSLAB and others)");
	all = sweep(_metadata, request, true);
	ASSERT_TRUE(set_up_injection(false));
	copies = sweep(_metadata, request, false);
	EXPECT_LT(all, MAX_FAULTS - 1);
	/* What munmap() itself allocates and copies varies from run to run. */
	if (request->effect == UNMAPS)
		return;
	EXPECT_LE(copies, all);
	fprintf(stderr, "# fail_nth: %s: %u allocations, %u copies and the like\n",
		request->name, all - copies, copies);
	/* That the kernel does not know how is found out first. */
	if (!runs_through && request->cmd == IOCTL_PRIVCMD_MMAP)
		return;
	EXPECT_LE(request->copies, copies);
	EXPECT_LE(request->allocations, all - copies);
	if (!request->allocations)
		EXPECT_EQ(0, all - copies);
}

TEST_HARNESS_MAIN
