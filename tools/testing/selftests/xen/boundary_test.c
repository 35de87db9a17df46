// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that are lawful in themselves and would do harm by their size, or by
 * how long they take: what is not the caller's stays as it is, and goes on.
 */

#include "eventfd.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#define PAGES 4

/* More frames than the driver keeps on its stack; they fill pages of any size. */
#define ON_HEAP 64

/* What a request reads and writes, in a single page. */
struct memory {
	struct privcmd_mmap_entry entries[2];
	union argument arg;
	xen_pfn_t frames[ON_HEAP];
	int err[ON_HEAP];
	struct privcmd_dm_op_buf buf;
	union {
		struct nr_vcpus_op nr_vcpus;
		struct xen_dm_op msi;
		char bytes[256];
	} op;
	__u32 ports[VCPUS];
};

/* A request, and the memory of it that is slow to come. */
struct slow {
	int fd;
	domid_t dom;
	struct server *server;
	int event;
	/* What the request maps to. */
	char *map;
	/* What is to be in the slow page, and at once, at the same place, in another. */
	struct memory *quick;
	struct memory *slow;
	const void *arg;
	/* Answers with what the command does. */
	int ret;
};

/* Each fills in a request. */
static void version(struct slow *slow)
{
	slow->quick->arg.hypercall.op = HYPERCALL_XEN_VERSION;
}

static void runs(struct slow *slow, struct privcmd_mmap_entry *entries, int num)
{
	char *map = slow->map;

	slow->quick->entries[0] = (struct privcmd_mmap_entry) { (uintptr_t)map, 1, 1 };
	slow->quick->entries[1] = (struct privcmd_mmap_entry) { (uintptr_t)map + PAGE, 2, 1 };
	slow->quick->arg.mmap = (struct privcmd_mmap) { num, slow->dom, entries };
}

static void quick_runs(struct slow *slow)
{
	runs(slow, slow->quick->entries, 2);
}

static void slow_runs(struct slow *slow)
{
	runs(slow, slow->slow->entries, 2);
}

/* The first one is read at once. */
static void slow_second_run(struct slow *slow)
{
	struct privcmd_mmap_entry *first = slow->slow->entries - 1;

	runs(slow, first, 2);
	*first = slow->quick->entries[0];
	slow->quick->entries[0] = slow->quick->entries[1];
}

static void slow_runs_that_do_not_fit(struct slow *slow)
{
	runs(slow, slow->slow->entries, 2);
	slow->quick->entries[0].va += PAGE;
}

static void frames(struct slow *slow, unsigned int num, xen_pfn_t *arr, int *err)
{
	for (unsigned int i = 0; i < num; i++)
		slow->quick->frames[i] = i % FRAMES;
	if (err)
		slow->quick->arg.batch_v2 = (struct privcmd_mmapbatch_v2) {
			num, slow->dom, (uintptr_t)slow->map, arr, err,
		};
	else
		slow->quick->arg.batch = (struct privcmd_mmapbatch) {
			num, slow->dom, (uintptr_t)slow->map, arr,
		};
}

static void quick_frames(struct slow *slow)
{
	frames(slow, ON_HEAP, slow->quick->frames, NULL);
}

static void slow_frames(struct slow *slow)
{
	frames(slow, ON_HEAP, slow->slow->frames, NULL);
}

static void slow_frames_that_do_not_fit(struct slow *slow)
{
	frames(slow, ON_HEAP - FRAMES_PER_PAGE, slow->slow->frames, NULL);
}

static void quick_frames_v2(struct slow *slow)
{
	frames(slow, ON_HEAP, slow->quick->frames, slow->quick->err);
}

static void slow_frames_v2(struct slow *slow)
{
	frames(slow, ON_HEAP, slow->slow->frames, slow->quick->err);
}

static void slow_errors(struct slow *slow)
{
	frames(slow, ON_HEAP, slow->quick->frames, slow->slow->err);
	slow->quick->frames[2] = NO_FRAME;
}

static void slow_errors_that_do_not_fit(struct slow *slow)
{
	frames(slow, ON_HEAP - FRAMES_PER_PAGE, slow->quick->frames, slow->slow->err);
}

static void grants(struct slow *slow)
{
	slow->quick->arg.resource = (struct privcmd_mmap_resource) {
		.dom = slow->dom,
		.type = XENMEM_resource_grant_table,
		.num = PAGES,
		.addr = (uintptr_t)slow->map,
	};
}

static void operation(struct slow *slow, const struct privcmd_dm_op_buf *bufs, void *op,
		      size_t size)
{
	slow->quick->op.nr_vcpus.op = DM_OP_NR_VCPUS;
	slow->quick->buf = (struct privcmd_dm_op_buf) { op, size };
	slow->quick->arg.dm_op = (struct privcmd_dm_op) { slow->dom, 1, bufs };
}

static void quick_operation(struct slow *slow)
{
	operation(slow, &slow->quick->buf, &slow->quick->op, sizeof(struct nr_vcpus_op));
}

static void slow_buffers(struct slow *slow)
{
	operation(slow, &slow->slow->buf, &slow->quick->op, sizeof(struct nr_vcpus_op));
}

static void slow_small_buffer(struct slow *slow)
{
	operation(slow, &slow->quick->buf, &slow->slow->op, sizeof(struct nr_vcpus_op));
}

static void slow_large_buffer(struct slow *slow)
{
	operation(slow, &slow->quick->buf, &slow->slow->op, sizeof(slow->slow->op));
}

static void target(struct slow *slow)
{
	slow->quick->arg.restrict_to = slow->dom;
}

static void question(struct slow *slow)
{
	slow->quick->arg.nr_vcpus.dom = slow->dom;
}

static void interrupt(struct slow *slow, const void *op)
{
	slow->quick->op.msi.op = XEN_DMOP_inject_msi;
	slow->quick->arg.irqfd = (struct privcmd_irqfd) {
		.dm_op = (uintptr_t)op,
		.size = sizeof(struct xen_dm_op),
		.fd = slow->event,
		.dom = slow->dom,
	};
}

static void quick_interrupt(struct slow *slow)
{
	interrupt(slow, &slow->quick->op);
}

static void slow_interrupt(struct slow *slow)
{
	interrupt(slow, &slow->slow->op);
}

static void ring(struct slow *slow, const __u32 *ports)
{
	memcpy(slow->quick->ports, slow->server->ports, sizeof(slow->quick->ports));
	slow->quick->arg.ioeventfd = doorbell(slow->server, slow->event, 0);
	slow->quick->arg.ioeventfd.ports = (uintptr_t)ports;
}

static void quick_ring(struct slow *slow)
{
	ring(slow, slow->quick->ports);
}

static void slow_ports(struct slow *slow)
{
	ring(slow, slow->slow->ports);
}

FIXTURE(memory)
{
	struct server server;
	struct slow slow;
	int uffd;
};

FIXTURE_VARIANT(memory)
{
	unsigned int cmd;
	void (*prepare)(struct slow *slow);
	/* It is the argument itself that is slow. */
	bool argument;
	int result;
};

FIXTURE_VARIANT_ADD(memory, hypercall) {
	.cmd = IOCTL_PRIVCMD_HYPERCALL,
	.prepare = version,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, mmap) {
	.cmd = IOCTL_PRIVCMD_MMAP,
	.prepare = quick_runs,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, mmap_entries) {
	.cmd = IOCTL_PRIVCMD_MMAP,
	.prepare = slow_runs,
};

FIXTURE_VARIANT_ADD(memory, mmap_second_entry) {
	.cmd = IOCTL_PRIVCMD_MMAP,
	.prepare = slow_second_run,
};

FIXTURE_VARIANT_ADD(memory, mmap_misfit) {
	.cmd = IOCTL_PRIVCMD_MMAP,
	.prepare = slow_runs_that_do_not_fit,
	.result = -EINVAL,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH,
	.prepare = quick_frames,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch_frames) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH,
	.prepare = slow_frames,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch_misfit) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH,
	.prepare = slow_frames_that_do_not_fit,
	.result = -EINVAL,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch_v2) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH_V2,
	.prepare = quick_frames_v2,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch_v2_frames) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH_V2,
	.prepare = slow_frames_v2,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch_v2_errors) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH_V2,
	.prepare = slow_errors,
};

FIXTURE_VARIANT_ADD(memory, mmapbatch_v2_misfit) {
	.cmd = IOCTL_PRIVCMD_MMAPBATCH_V2,
	.prepare = slow_errors_that_do_not_fit,
	.result = -EINVAL,
};

FIXTURE_VARIANT_ADD(memory, mmap_resource) {
	.cmd = IOCTL_PRIVCMD_MMAP_RESOURCE,
	.prepare = grants,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, dm_op) {
	.cmd = IOCTL_PRIVCMD_DM_OP,
	.prepare = quick_operation,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, dm_op_buffers) {
	.cmd = IOCTL_PRIVCMD_DM_OP,
	.prepare = slow_buffers,
};

FIXTURE_VARIANT_ADD(memory, dm_op_small_buffer) {
	.cmd = IOCTL_PRIVCMD_DM_OP,
	.prepare = slow_small_buffer,
};

FIXTURE_VARIANT_ADD(memory, dm_op_large_buffer) {
	.cmd = IOCTL_PRIVCMD_DM_OP,
	.prepare = slow_large_buffer,
};

FIXTURE_VARIANT_ADD(memory, restrict) {
	.cmd = IOCTL_PRIVCMD_RESTRICT,
	.prepare = target,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, dm_nr_vcpus) {
	.cmd = IOCTL_PRIVCMD_DM_NR_VCPUS,
	.prepare = question,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, irqfd) {
	.cmd = IOCTL_PRIVCMD_IRQFD,
	.prepare = quick_interrupt,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, irqfd_operation) {
	.cmd = IOCTL_PRIVCMD_IRQFD,
	.prepare = slow_interrupt,
};

FIXTURE_VARIANT_ADD(memory, ioeventfd) {
	.cmd = IOCTL_PRIVCMD_IOEVENTFD,
	.prepare = quick_ring,
	.argument = true,
};

FIXTURE_VARIANT_ADD(memory, ioeventfd_ports) {
	.cmd = IOCTL_PRIVCMD_IOEVENTFD,
	.prepare = slow_ports,
};

static bool is_of_eventfds(unsigned int cmd)
{
	return cmd == IOCTL_PRIVCMD_IRQFD || cmd == IOCTL_PRIVCMD_IOEVENTFD;
}

/* Answers with a descriptor by which the pages of memory come, or a negative errno. */
static int slow_down(void *memory)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (uintptr_t)memory, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range))
		return -errno;
	return uffd;
}

FIXTURE_SETUP(memory)
{
	struct slow *slow = &self->slow;
	char *pages;

	if (variant->cmd == IOCTL_PRIVCMD_MMAP && on_auto_translated())
		SKIP_FIXTURE(return, FOR_PV_CALLERS);
	if (stock_does_harm())
		SKIP_FIXTURE(return, HARMED_BY_STOCK);
	if (variant->cmd == IOCTL_PRIVCMD_DM_NR_VCPUS && on_stock_driver())
		SKIP_FIXTURE(return, NOT_ON_STOCK);
	if (is_of_eventfds(variant->cmd) && !has_eventfds())
		SKIP_FIXTURE(return, NO_EVENTFDS);
	if (is_of_eventfds(variant->cmd) && !has_device_models())
		SKIP_FIXTURE(return, NO_DEVICE_MODELS);
	pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	ASSERT_NE(MAP_FAILED, pages);
	slow->quick = (void *)pages;
	slow->slow = (void *)(pages + 2 * PAGE);
	self->uffd = slow_down(slow->slow);
	if (self->uffd == -ENOSYS)
		SKIP_FIXTURE(return, "this kernel has no userfaultfd");
	ASSERT_LE(0, self->uffd);

	slow->dom = shell_create();
	ASSERT_LT(0, slow->dom);
	slow->fd = privcmd_open();
	ASSERT_LE(0, slow->fd);
	if (has_eventfds() && has_device_models()) {
		ASSERT_EQ(0, server_create(&self->server, slow->dom));
		slow->server = &self->server;
	}
	slow->event = new_eventfd();
	slow->map = map_file(slow->fd, ON_HEAP / FRAMES_PER_PAGE);
	ASSERT_NE(NULL, slow->map);
	variant->prepare(slow);
	slow->arg = variant->argument ? &slow->slow->arg : &slow->quick->arg;
}

FIXTURE_TEARDOWN(memory)
{
	EXPECT_TRUE(neighbours_are_untouched(self->slow.map, ON_HEAP / FRAMES_PER_PAGE));
	munmap(self->slow.map, ON_HEAP / FRAMES_PER_PAGE * PAGE);
	close(self->slow.fd);
	if (self->slow.server)
		server_destroy(&self->server);
	EXPECT_EQ(0, domain_destroy(self->slow.dom));
}

struct slow_request {
	struct slow *slow;
	unsigned int cmd;
};

static void *make_request(void *data)
{
	struct slow_request *req = data;
	int ret = request(req->slow->fd, req->cmd, req->slow->arg);

	req->slow->ret = ret > 0 ? 0 : ret;
	return NULL;
}

/* Takes the fault of whoever waits for the page. */
static bool somebody_waits(int uffd)
{
	struct pollfd poll_fd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg message;

	return poll(&poll_fd, 1, limit_ms()) == 1 &&
	       read(uffd, &message, sizeof(message)) == sizeof(message) &&
	       message.event == UFFD_EVENT_PAGEFAULT;
}

static bool bring(int uffd, const struct slow *slow)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)slow->slow,
		.src = (uintptr_t)slow->quick,
		.len = PAGE,
	};

	return !ioctl(uffd, UFFDIO_COPY, &copy);
}

/* By the same file, in the same memory.  Answers with what failed, or NULL. */
static void *do_all_else(void *data)
{
	const struct slow *slow = data;
	int event = new_eventfd();
	char *map = map_file(slow->fd, PAGES);

	if (!map || map_frames(slow->fd, slow->dom, map, 4, PAGES))
		return "a batch";
	if (munmap(map, PAGES * PAGE))
		return "unmapping a batch";
	map = map_file(slow->fd, PAGES);
	if (!map || map_grants(slow->fd, slow->dom, map, 0, PAGES))
		return "a resource";
	if (munmap(map, PAGES * PAGE))
		return "unmapping a resource";
	if (dm_op_nr_vcpus(slow->fd, slow->dom) != by_dm_op(VCPUS))
		return "a device-model operation";
	if (slow->server) {
		const struct xen_dm_op msi = { .op = XEN_DMOP_inject_msi };

		if (irqfd(slow->fd, slow->dom, event, &msi, sizeof(msi)) ||
		    no_irqfd(slow->fd, slow->dom, event))
			return "an irqfd";
		if (ioeventfd(slow->fd, doorbell(slow->server, event, 1)) ||
		    ioeventfd(slow->fd, no_doorbell(slow->server, event)))
			return "an ioeventfd";
	}
	close(event);
	return NULL;
}

/* Whether the thread ends in time; what it says then. */
static bool ends(pthread_t thread, void **answer)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 10;
	return !pthread_timedjoin_np(thread, answer, &limit);
}

TEST_F(memory, that_is_slow_keeps_nobody_else_waiting)
{
	struct slow_request req = { &self->slow, variant->cmd };
	pthread_t waiting, other;
	void *failed = NULL;
	int expected = variant->result;
	bool waits, others_end;

	if (variant->cmd == IOCTL_PRIVCMD_DM_OP)
		expected = by_dm_op(0);
	if (variant->cmd == IOCTL_PRIVCMD_DM_NR_VCPUS)
		expected = by_nr_vcpus(0);
	ASSERT_EQ(0, pthread_create(&waiting, NULL, make_request, &req));
	waits = somebody_waits(self->uffd);
	EXPECT_TRUE(waits);
	if (waits) {
		ASSERT_EQ(0, pthread_create(&other, NULL, do_all_else, &self->slow));
		others_end = ends(other, &failed);
		EXPECT_TRUE(others_end);
		EXPECT_EQ(NULL, failed) {
			TH_LOG("%s failed", (const char *)failed);
		}
		/* Nobody has brought the page, so the request cannot have ended. */
		EXPECT_EQ(EBUSY, pthread_tryjoin_np(waiting, NULL));
		EXPECT_TRUE(bring(self->uffd, &self->slow));
		if (!others_end)
			EXPECT_TRUE(ends(other, NULL));
	}
	ASSERT_TRUE(ends(waiting, NULL));
	EXPECT_EQ(expected, self->slow.ret);
}

/* A batch of two steps.  Between them it tells an error, which is slow to be written. */
FIXTURE(between)
{
	struct target target;
	xen_pfn_t *frames;
	char *map;
	int uffd;
	pthread_t thread;
	int ret;
};

#define STEP		(PAGE / sizeof(xen_pfn_t))
#define TWO_STEPS	(2 * STEP)

static int set_protection(int uffd, void *memory, size_t size, __u64 mode)
{
	struct uffdio_writeprotect protection = { { (uintptr_t)memory, size }, mode };

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &protection) ? -errno : 0;
}

/* Answers with a descriptor by which writes are let pass, or a negative errno. */
static int hold_writes(void *memory, size_t size)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register range = {
		.range = { (uintptr_t)memory, size },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range))
		return -errno;
	return set_protection(uffd, memory, size, UFFDIO_WRITEPROTECT_MODE_WP) ?: uffd;
}

static void *make_batch(void *data)
{
	struct _test_data_between *self = data;

	self->ret = map_batch_v1(self->target.fd, self->target.dom, self->map, TWO_STEPS,
				 self->frames);
	return NULL;
}

FIXTURE_SETUP(between)
{
	const size_t size = TWO_STEPS * sizeof(*self->frames);

	if (on_auto_translated())
		SKIP_FIXTURE(return, "a step is of as many pages only where dom0 is PV");
	if (on_stock_driver())
		SKIP_FIXTURE(return, "the stock driver has no steps");
	ASSERT_EQ(0, target_create(&self->target));
	self->map = map_file(self->target.fd, TWO_STEPS);
	ASSERT_NE(NULL, self->map);
	self->frames = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	ASSERT_NE(MAP_FAILED, self->frames);
	for (size_t i = 0; i < TWO_STEPS; i++)
		self->frames[i] = i ? i % FRAMES : NO_FRAME;
	self->uffd = hold_writes(self->frames, size);
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, make_batch, self));
	ASSERT_TRUE(somebody_waits(self->uffd));
}

FIXTURE_TEARDOWN(between)
{
	EXPECT_TRUE(neighbours_are_untouched(self->map, TWO_STEPS));
	munmap(self->map, TWO_STEPS * PAGE);
	close(self->uffd);
	EXPECT_EQ(0, target_destroy(&self->target));
}

static void expect_end(struct __test_metadata *_metadata, struct _test_data_between *self,
		       int expected)
{
	ASSERT_EQ(0, set_protection(self->uffd, self->frames,
				    TWO_STEPS * sizeof(*self->frames), 0));
	ASSERT_TRUE(ends(self->thread, NULL));
	EXPECT_EQ(expected, self->ret);
}

TEST_F(between, two_steps_the_mapping_is_closed)
{
	const struct target *target = &self->target;

	EXPECT_EQ(-EBUSY, map_frames(target->fd, target->dom, self->map, 3, 1));
	EXPECT_EQ(-EBUSY, map_grants(target->fd, target->dom, self->map + STEP * PAGE, 0, 1));
	expect_end(_metadata, self, 0);
	EXPECT_TRUE(is_empty(self->map, 1));
	for (size_t i = 1; i < TWO_STEPS; i++)
		ASSERT_EQ(i % FRAMES, number_of(self->map + i * PAGE));
	EXPECT_EQ(0, map_frames(target->fd, target->dom, self->map, 3, 1));
	EXPECT_EQ(3, number_of(self->map));
}

/* The second step is not for the mapping that is there now, although it has room. */
TEST_F(between, two_steps_the_mapping_can_be_replaced)
{
	const struct target *target = &self->target;

	ASSERT_EQ(self->map, mmap(self->map, TWO_STEPS * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, target->fd, 0));
	ASSERT_EQ(0, map_grants(target->fd, target->dom, self->map, 0, 1));
	expect_end(_metadata, self, -EINVAL);
	EXPECT_EQ(0, signal_of_reading(self->map));
	EXPECT_TRUE(is_empty(self->map + PAGE, TWO_STEPS - 1));
}

TEST_F(between, two_steps_the_mapping_can_go)
{
	ASSERT_EQ(0, munmap(self->map, TWO_STEPS * PAGE));
	expect_end(_metadata, self, -EINVAL);
	EXPECT_EQ(SIGSEGV, signal_of_reading(self->map));
}

/* Numbers of pages that some integer of a kernel's helper cuts off. */
static const __u64 lengths[] = {
	1UL << 15, 1UL << 16, (1UL << 31) - 1, 1UL << 31, (1UL << 31) + 1,
	(1UL << 32) - 1, 1UL << 32, (1UL << 32) + 3,
};

/* Mappings of up to 16 TiB, which take no memory. */
FIXTURE(huge)
{
	struct target target;
};

FIXTURE_VARIANT(huge)
{
	unsigned long place;
};

/* 8 TiB, as a negative number of bytes, lead to below 0 from here, */
FIXTURE_VARIANT_ADD(huge, low) {
	.place = 1UL << 40,
};

/* and not from there. */
FIXTURE_VARIANT_ADD(huge, high) {
	.place = 16UL << 40,
};

FIXTURE_SETUP(huge)
{
	if (on_auto_translated())
		SKIP_FIXTURE(return, FOR_PV_CALLERS);
	if (host_is_at_risk())
		SKIP_FIXTURE(return, "the stock driver overwrites dom0's kernel stack");
	ASSERT_EQ(0, target_create(&self->target));
}

FIXTURE_TEARDOWN(huge)
{
	EXPECT_EQ(0, target_destroy(&self->target));
}

/* Answers NULL if that fails. */
static char *map_huge(int fd, unsigned long place, __u64 pages)
{
	char *map = mmap((void *)place, pages * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* It is as if nothing had been asked, and a request that can be met is. */
static void expect_unused(struct __test_metadata *_metadata,
			  const struct target *target, char *map, __u64 pages)
{
	EXPECT_TRUE(is_empty(map, FRAMES + 1));
	EXPECT_TRUE(is_empty(map + (pages - PAGES) * PAGE, PAGES));
	EXPECT_EQ(0, map_run(target->fd, target->dom, map, 6, PAGES));
	for (unsigned int i = 0; i < PAGES; i++) {
		int signal = signal_of_reading(map + i * PAGE);

		EXPECT_EQ(0, signal);
		if (!signal)
			EXPECT_EQ(6 + i, number_of(map + i * PAGE));
	}
	EXPECT_TRUE(is_empty(map + PAGES * PAGE, FRAMES));
}

/* Those that the domain has come first. */
TEST_F(huge, run_ends_at_the_first_frame_that_does_not_exist)
{
	const struct target *target = &self->target;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *map = map_huge(target->fd, variant->place, lengths[i]);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_run(target->fd, target->dom, map, 0,
					   lengths[i])) {
			TH_LOG("%#llx pages", lengths[i]);
		}
		expect_unused(_metadata, target, map, lengths[i]);
		ASSERT_EQ(0, munmap(map, lengths[i] * PAGE));
	}
}

TEST_F(huge, run_of_a_domain_without_memory_fails)
{
	int dom = domain_create(DOMAIN_PVH, 1);

	ASSERT_LT(0, dom);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *map = map_huge(self->target.fd, variant->place, lengths[i]);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_run(self->target.fd, dom, map, 0, lengths[i])) {
			TH_LOG("%#llx pages", lengths[i]);
		}
		expect_unused(_metadata, &self->target, map, lengths[i]);
		ASSERT_EQ(0, munmap(map, lengths[i] * PAGE));
	}
	EXPECT_EQ(0, domain_destroy(dom));
}

TEST_F(huge, run_of_no_such_domain_fails)
{
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *map = map_huge(self->target.fd, variant->place, lengths[i]);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-ESRCH, map_run(self->target.fd, NO_SUCH_DOMAIN, map, 0,
					  lengths[i])) {
			TH_LOG("%#llx pages", lengths[i]);
		}
		expect_unused(_metadata, &self->target, map, lengths[i]);
		ASSERT_EQ(0, munmap(map, lengths[i] * PAGE));
	}
}

/* Whose it is does not come to matter. */
TEST_F(huge, run_longer_than_the_mapping_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *map = map_huge(self->target.fd, variant->place, lengths[i]);

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_run(self->target.fd, NO_SUCH_DOMAIN, map, 0,
					   lengths[i] + 1)) {
			TH_LOG("%#llx pages", lengths[i]);
		}
		expect_unused(_metadata, &self->target, map, lengths[i]);
		ASSERT_EQ(0, munmap(map, lengths[i] * PAGE));
	}
}

/* What came before it is undone. */
TEST_F(huge, run_after_another_one_fails)
{
	const struct target *target = &self->target;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *map = map_huge(target->fd, variant->place, lengths[i] + 2);
		const struct privcmd_mmap_entry entries[] = {
			{ (uintptr_t)map, 3, 2 },
			{ (uintptr_t)map + 2 * PAGE, NO_FRAME, lengths[i] },
		};

		ASSERT_NE(NULL, map);
		EXPECT_EQ(-EINVAL, map_entries(target->fd, target->dom, 2, entries)) {
			TH_LOG("%#llx pages", lengths[i]);
		}
		expect_unused(_metadata, target, map, lengths[i] + 2);
		ASSERT_EQ(0, munmap(map, (lengths[i] + 2) * PAGE));
	}
}

/* For want of memory, or as Xen has no such frames. */
TEST_F(huge, resource_fails)
{
	const struct target *target = &self->target;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *map = map_huge(target->fd, variant->place, lengths[i]);
		int ret;

		ASSERT_NE(NULL, map);
		ret = map_grants(target->fd, target->dom, map, 0, lengths[i]);
		EXPECT_TRUE(ret == -ENOMEM || ret == -EINVAL || ret == -E2BIG) {
			TH_LOG("%#llx pages: %d", lengths[i], ret);
		}
		expect_unused(_metadata, target, map, lengths[i]);
		ASSERT_EQ(0, munmap(map, lengths[i] * PAGE));
	}
}

TEST_HARNESS_MAIN
