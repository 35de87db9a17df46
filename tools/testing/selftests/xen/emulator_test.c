// SPDX-License-Identifier: GPL-2.0-only
/*
 * samples/xen/emulator serves a guest that runs: all its vCPUs, and until its end
 * or the guest's, whatever that is.
 */

#include "common.h"
#include "emulator.h"
#include "guest.h"

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <xendevicemodel.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

static bool is_one_line(const char *output)
{
	const char *newline = strchr(output, '\n');

	return newline && newline > output && !newline[1];
}

static unsigned int lines(const char *output)
{
	unsigned int n = 0;

	while ((output = strchr(output, '\n'))) {
		output++;
		n++;
	}
	return n;
}

/* What it says where it lacks something, and nothing else does. */
static bool said_what_is_missing(const struct emulator *emulator)
{
	if (!on_stock_driver())
		return !emulator->err[0];
	return lines(emulator->err) == 2 && strstr(emulator->err, "without LIMIT") &&
	       strstr(emulator->err, "xendevicemodel_nr_vcpus()");
}

FIXTURE(program)
{
	struct emulator emulator;
};

FIXTURE_SETUP(program)
{
}

FIXTURE_TEARDOWN(program)
{
}

/* As the dynamic linker lists them, also those that others need. */
TEST_F(program, loads_xens_stable_libraries_only)
{
	static const char *const stable[] = {
		"libxencall.so.1", "libxendevicemodel.so.1", "libxenevtchn.so.1",
		"libxenforeignmemory.so.1", "libxentoolcore.so.1",
		"libxentoollog.so.1",
	};
	unsigned int found = 0;
	char *name;

	ASSERT_EQ(0, setenv("LD_TRACE_LOADED_OBJECTS", "1", 1));
	EMULATOR_START(&self->emulator, NULL);
	ASSERT_EQ(0, unsetenv("LD_TRACE_LOADED_OBJECTS"));
	ASSERT_EQ(0, self->emulator.status);
	for (name = strtok(self->emulator.out, "\n\t "); name;
	     name = strtok(NULL, "\n\t ")) {
		bool is_stable = false;

		if (strncmp(name, "libxen", 6))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(stable); i++)
			is_stable |= !strcmp(name, stable[i]);
		EXPECT_TRUE(is_stable) {
			TH_LOG("%s", name);
		}
		found++;
	}
	EXPECT_LT(0, found);
}

TEST_F(program, takes_no_bad_arguments)
{
	static const char *const bad[][EMULATOR_MAX_ARGS] = {
		{}, { "" }, { "x" }, { "0" }, { "1x" }, { " 1" }, { "+1" }, { "-1" },
		{ "1", "2" }, { "32752" }, { "99999999999999999999" },
		{ "-u", "0", "1" }, { "-u", "4294967295", "1" }, { "-u" },
		{ "--ports=0xffe1", "1" }, { "--ports=", "1" },
		{ "--memory=0xfffffffffffff", "1" }, { "--memory=-1", "1" },
		{ "--adopt=65536", "1" }, { "--adopt=x", "1" }, { "--adopt" },
		{ "--no-such-option", "1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		emulator_start(&self->emulator, bad[i]);
		EXPECT_EQ(EMULATOR_BAD_USAGE, self->emulator.status) {
			TH_LOG("arguments no. %zu", i);
		}
		EXPECT_STREQ("", self->emulator.out);
		EXPECT_TRUE(is_one_line(self->emulator.err)) {
			TH_LOG("arguments no. %zu: %s", i, self->emulator.err);
		}
	}
}

TEST_F(program, has_help)
{
	EMULATOR_START(&self->emulator, "--help");
	EXPECT_EQ(0, self->emulator.status);
	EXPECT_EQ(0, strncmp(self->emulator.out, "Usage: emulator ", 16));
	EXPECT_NE(NULL, strstr(self->emulator.out, "Exit status: "));
	EXPECT_STREQ("", self->emulator.err);
}

static bool is_refused(struct emulator *emulator, const char *why)
{
	const char *last = strrchr(emulator->err, '\n');

	/* What is missing is said before. */
	while (last > emulator->err && last[-1] != '\n')
		last--;
	return emulator->status == EMULATOR_NOT_STARTED && !emulator->out[0] &&
	       last && is_one_line(last) && strstr(last, why);
}

TEST_F(program, says_why_it_does_not_start)
{
	int pv = domain_create(DOMAIN_PV, 2);
	int hvm = domain_create(DOMAIN_HVM, 2);
	char text[16];

	ASSERT_LT(0, pv);
	ASSERT_LT(0, hvm);
	snprintf(text, sizeof(text), "%d", pv);
	EMULATOR_START(&self->emulator, text);
	EXPECT_TRUE(is_refused(&self->emulator, "PV domain")) {
		TH_LOG("%s", self->emulator.err);
	}

	snprintf(text, sizeof(text), "%d", hvm);
	EMULATOR_START(&self->emulator, "--adopt=3", text);
	EXPECT_TRUE(is_refused(&self->emulator, "no such ioreq server")) {
		TH_LOG("%s", self->emulator.err);
	}
	EXPECT_EQ(0, domain_destroy(hvm));
	EMULATOR_START(&self->emulator, text);
	EXPECT_TRUE(is_refused(&self->emulator, "no such domain")) {
		TH_LOG("%s", self->emulator.err);
	}
	EXPECT_EQ(0, domain_destroy(pv));
}

TEST_F(program, does_not_interrupt_on_a_driver_without_limits)
{
	static const char *const interrupts[EMULATOR_MAX_ARGS] = { "32751" };

	emulator_start_as_told(&self->emulator, interrupts);
	if (!on_stock_driver()) {
		EXPECT_TRUE(is_refused(&self->emulator, "no such domain"));
		return;
	}
	EXPECT_TRUE(is_one_line(self->emulator.err) &&
		    is_refused(&self->emulator, "--no-interrupts"));
}

FIXTURE(vcpus)
{
	struct guest guest;
	struct emulator emulator;
};

FIXTURE_VARIANT(vcpus)
{
	unsigned int number;
	unsigned int rounds;
};

FIXTURE_VARIANT_ADD(vcpus, just_1)
{
	.number = 1,
	.rounds = 3,
};

FIXTURE_VARIANT_ADD(vcpus, all_3)
{
	.number = 3,
	.rounds = 3,
};

/* Some 3,000 requests: in QEMU on a busy machine that may take half a minute. */
FIXTURE_VARIANT_ADD(vcpus, all_128)
{
	.number = 128,
	.rounds = 1,
};

FIXTURE_SETUP(vcpus)
{
	ASSERT_EQ(0, guest_create(&self->guest, variant->number));
	self->guest.orders->rounds = variant->rounds;
	self->guest.orders->scratch = 1;
	self->guest.orders->interrupts = !on_stock_driver();
	for (unsigned int i = 0; i < variant->number; i++)
		self->guest.orders->start[i] = 1;
	EMULATOR_START(&self->emulator, self->guest.text);
}

FIXTURE_TEARDOWN(vcpus)
{
	emulator_end(&self->emulator, SIGKILL);
	EXPECT_EQ(0, guest_destroy(&self->guest));
}

TEST_F(vcpus, are_served_each_through_its_own_slot)
{
	ASSERT_TRUE(self->emulator.ready) {
		TH_LOG("%s", self->emulator.err);
	}
	EXPECT_EQ(self->guest.dom, self->emulator.dom);
	EXPECT_EQ(variant->number, self->emulator.vcpus);
	EXPECT_TRUE(said_what_is_missing(&self->emulator));
	ASSERT_EQ(0, guest_run(&self->guest));
	EXPECT_TRUE(guest_finishes(&self->guest));
	for (unsigned int i = 0; i < variant->number; i++) {
		struct guest_report *report = &self->guest.reports[i];

		EXPECT_EQ(variant->rounds, report->rounds) {
			TH_LOG("vCPU %u", i);
		}
		EXPECT_EQ(0, report->wrong) {
			TH_LOG("vCPU %u: first at %#x: %#x, not %#x", i,
			       report->where, report->got, report->expected);
		}
		EXPECT_LE(on_stock_driver() ? 0 : 2 * variant->rounds,
			  report->interrupts);
	}
	EXPECT_EQ(EMULATOR_DONE, emulator_end(&self->emulator, SIGTERM));
}

/* The register is there, and that is all. */
TEST(does_without_interrupts)
{
	struct emulator emulator;
	struct guest guest;

	ASSERT_EQ(0, guest_create(&guest, 1));
	guest.orders->rounds = 1;
	guest.orders->interrupts = 1;
	EMULATOR_START(&emulator, "--no-interrupts", guest.text);
	EXPECT_TRUE(emulator.ready) {
		TH_LOG("%s", emulator.err);
	}
	EXPECT_EQ(0, guest_run(&guest));
	EXPECT_TRUE(guest_finishes(&guest));
	EXPECT_EQ(0, guest.reports[0].interrupts);
	/* By a port and by memory. */
	EXPECT_EQ(2, guest.reports[0].wrong);
	EXPECT_EQ(EMULATOR_DONE, emulator_end(&emulator, SIGTERM));
	EXPECT_EQ(0, guest_destroy(&guest));
}

/* A guest of three vCPUs that goes on for good, and its emulator. */
FIXTURE(served)
{
	struct guest guest;
	struct emulator emulator;
	char server[32];
	xendevicemodel_handle *dmod;
	/* The ioreq server's page, as the emulator maps it. */
	struct ioreq *slots;
};

#define VCPUS 3

FIXTURE_SETUP(served)
{
	xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
	void *addr = NULL;

	ASSERT_NE(NULL, fmem);
	self->dmod = xendevicemodel_open(NULL, 0);
	ASSERT_NE(NULL, self->dmod);
	ASSERT_EQ(0, guest_create(&self->guest, VCPUS));
	memset(self->guest.orders->start, 1, VCPUS);
	EMULATOR_START(&self->emulator, self->guest.text);
	ASSERT_TRUE(self->emulator.ready) {
		TH_LOG("%s", self->emulator.err);
	}
	snprintf(self->server, sizeof(self->server), "--adopt=%u",
		 self->emulator.server);
	ASSERT_NE(NULL, xenforeignmemory_map_resource(fmem, self->guest.dom,
						      XENMEM_resource_ioreq_server,
						      self->emulator.server,
						      XENMEM_resource_ioreq_server_frame_ioreq(0),
						      1, &addr,
						      PROT_READ | PROT_WRITE, 0));
	self->slots = addr;
	ASSERT_EQ(0, guest_run(&self->guest));
	ASSERT_TRUE(guest_goes_on(&self->guest, 2));
}

FIXTURE_TEARDOWN(served)
{
	emulator_end(&self->emulator, SIGKILL);
	EXPECT_EQ(0, guest_destroy(&self->guest));
}

static bool server_exists(xendevicemodel_handle *dmod,
			  const struct emulator *emulator)
{
	return !xendevicemodel_get_ioreq_server_info(dmod, emulator->dom,
						     emulator->server, NULL,
						     NULL, NULL);
}

static bool all_was_right(const struct guest *guest)
{
	for (unsigned int i = 0; i < VCPUS; i++)
		if (guest->reports[i].wrong)
			return false;
	return true;
}

static bool all_wait(const struct ioreq *slots)
{
	for (unsigned int i = 0; i < VCPUS; i++)
		if (slots[i].state != STATE_IOREQ_READY)
			return false;
	return true;
}

/* Stops the process that serves.  Each vCPU comes to wait for it. */
static bool stop_serving(const struct emulator *emulator,
			 const struct ioreq *slots)
{
	if (kill(emulator->worker, SIGSTOP))
		return false;
	return SOON(all_wait(slots));
}

/* The guest finds nothing there then, but does not hang. */
TEST_F(served, until_sigterm)
{
	ASSERT_TRUE(server_exists(self->dmod, &self->emulator));
	ASSERT_TRUE(stop_serving(&self->emulator, self->slots));
	EXPECT_TRUE(all_was_right(&self->guest));
	ASSERT_EQ(0, kill(self->emulator.pid, SIGTERM));
	sleep(1);
	EXPECT_FALSE(emulator_has_ended(&self->emulator));
	ASSERT_EQ(0, kill(self->emulator.worker, SIGCONT));
	EXPECT_EQ(EMULATOR_DONE, emulator_wait(&self->emulator));
	EXPECT_FALSE(server_exists(self->dmod, &self->emulator));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_TRUE(guest_goes_on(&self->guest, 2));
	EXPECT_FALSE(all_was_right(&self->guest));
}

TEST_F(served, until_sigint)
{
	EXPECT_EQ(EMULATOR_DONE, emulator_end(&self->emulator, SIGINT));
	EXPECT_FALSE(server_exists(self->dmod, &self->emulator));
}

TEST_F(served, until_the_domain_is_destroyed)
{
	domid_t dom = self->guest.dom;
	int fd = privcmd_open();

	ASSERT_EQ(0, kill(self->emulator.pid, SIGSTOP));
	munmap(self->slots, XC_PAGE_SIZE);
	guest_unmap(&self->guest);
	ASSERT_EQ(0, domain_destroy(dom));
	self->guest.dom = 0;
	/* It maps a page of the domain, and is the last to do so. */
	EXPECT_EQ(VCPUS, ask(fd, dom));
	ASSERT_EQ(0, kill(self->emulator.pid, SIGCONT));
	EXPECT_EQ(EMULATOR_DOMAIN_GONE, emulator_wait(&self->emulator));
	EXPECT_TRUE(SOON(ask(fd, dom) == -ESRCH));
}

static bool is_left_to_adopt(struct emulator *emulator)
{
	return emulator_wait(emulator) == EMULATOR_WORKER_DIED &&
	       strstr(emulator->err, "--adopt");
}

/* It is killed before it has taken the requests of any vCPU. */
TEST_F(served, by_a_new_emulator_when_killed_before_it_took_a_request)
{
	ASSERT_TRUE(stop_serving(&self->emulator, self->slots));
	ASSERT_EQ(0, kill(self->emulator.worker, SIGKILL));
	ASSERT_TRUE(is_left_to_adopt(&self->emulator));
	EXPECT_TRUE(server_exists(self->dmod, &self->emulator));
	EXPECT_TRUE(all_wait(self->slots));
	EXPECT_TRUE(guest_waits(&self->guest));

	EMULATOR_START(&self->emulator, self->server, self->guest.text);
	ASSERT_TRUE(self->emulator.ready);
	EXPECT_TRUE(guest_goes_on(&self->guest, 2));
	EXPECT_TRUE(all_was_right(&self->guest));
	EXPECT_EQ(EMULATOR_DONE, emulator_end(&self->emulator, SIGTERM));
	EXPECT_FALSE(server_exists(self->dmod, &self->emulator));
}

static int vcpu_in_process(struct ioreq *slots)
{
	for (int i = 0; i < VCPUS; i++)
		if (slots[i].state == STATE_IOREQ_INPROCESS)
			return i;
	return -1;
}

static bool stop(pid_t worker)
{
	int status;

	return !ptrace(PTRACE_SEIZE, worker, NULL, NULL) &&
	       !ptrace(PTRACE_INTERRUPT, worker, NULL, NULL) &&
	       waitpid(worker, &status, __WALL) == worker && WIFSTOPPED(status);
}

/*
 * Lets the process that serves go on, instruction by instruction, until it has
 * taken a request that it has not answered yet; or, if there is one, until it
 * has answered it.  Answers with the request's vCPU, or -1.
 */
static int step(pid_t worker, struct ioreq *slots)
{
	int before = vcpu_in_process(slots), now = before, status;

	for (int i = 0; i < 200000 && now == before; i++) {
		if (ptrace(PTRACE_SINGLESTEP, worker, NULL, NULL) ||
		    waitpid(worker, &status, __WALL) != worker ||
		    !WIFSTOPPED(status))
			return -1;
		now = vcpu_in_process(slots);
	}
	return now;
}

/* What is written to a slot once a request was taken has no effect. */
TEST_F(served, from_its_own_copy_of_a_request)
{
	pid_t worker = self->emulator.worker;

	ASSERT_TRUE(stop(worker));
	for (int i = 0; i < 2; i++) {
		int vcpu = step(worker, self->slots);

		ASSERT_LE(0, vcpu);
		self->slots[vcpu].addr = ~0ULL;
		self->slots[vcpu].size = 0x80000000;
		self->slots[vcpu].count = 0x80000000;
		self->slots[vcpu].type = 0xff;
		self->slots[vcpu].dir = !self->slots[vcpu].dir;
		self->slots[vcpu].data_is_ptr = 1;
		ASSERT_EQ(-1, step(worker, self->slots));
	}
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, worker, NULL, NULL));
	EXPECT_TRUE(guest_goes_on(&self->guest, 2));
	EXPECT_TRUE(all_was_right(&self->guest));
	EXPECT_EQ(EMULATOR_DONE, emulator_end(&self->emulator, SIGTERM));
}

TEST_F(served, by_a_new_emulator_when_killed_in_the_middle_of_a_request)
{
	pid_t worker = self->emulator.worker;
	int vcpu, status;

	ASSERT_TRUE(stop(worker));
	vcpu = step(worker, self->slots);
	ASSERT_LE(0, vcpu);
	ASSERT_EQ(0, kill(worker, SIGKILL));
	ASSERT_EQ(worker, waitpid(worker, &status, __WALL));
	ASSERT_TRUE(is_left_to_adopt(&self->emulator));
	EXPECT_EQ(vcpu, vcpu_in_process(self->slots));
	EXPECT_TRUE(guest_waits(&self->guest));

	EMULATOR_START(&self->emulator, self->server, self->guest.text);
	ASSERT_TRUE(self->emulator.ready);
	EXPECT_TRUE(guest_goes_on(&self->guest, 2));
	EXPECT_TRUE(all_was_right(&self->guest));
}

/* Then the process that serves ends too, and the rest is the same. */
TEST_F(served, by_a_new_emulator_when_the_keeper_is_killed)
{
	EXPECT_EQ(-1, emulator_end(&self->emulator, SIGKILL));
	EXPECT_TRUE(proc_ends(self->emulator.worker));
	EXPECT_TRUE(server_exists(self->dmod, &self->emulator));
	EXPECT_TRUE(guest_waits(&self->guest));

	EMULATOR_START(&self->emulator, self->server, self->guest.text);
	ASSERT_TRUE(self->emulator.ready);
	EXPECT_TRUE(guest_goes_on(&self->guest, 2));
	EXPECT_TRUE(all_was_right(&self->guest));
}

TEST_HARNESS_MAIN
