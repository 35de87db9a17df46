// SPDX-License-Identifier: GPL-2.0-only
/*
 * xen_dm_nr_vcpus(), which other parts of the kernel call.  The test module
 * does that in each context that they may: its parameter "ask" takes a domain,
 * and "answer" then has a line for each context.  Its parameter "hold" takes a domain
 * for xen_dm_domain_get(), and -1 for xen_dm_domain_put().
 */

#include "modules.h"

#define MODULE "test_xen_dm_op"
#define PARAMETERS "/sys/module/" MODULE "/parameters/"

/* What the module's variable holds before it asks. */
#define UNTOUCHED 12345

FIXTURE(context)
{
	int dom;
};

FIXTURE_VARIANT(context)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(context, process) {
	.name = "process",
};

FIXTURE_VARIANT_ADD(context, irqs_off) {
	.name = "irqs-off",
};

FIXTURE_VARIANT_ADD(context, softirq) {
	.name = "softirq",
};

FIXTURE_VARIANT_ADD(context, hardirq) {
	.name = "hardirq",
};

FIXTURE_SETUP(context)
{
	if (on_stock_driver())
		return;
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, load_test_module(MODULE ".ko")) {
		TH_LOG(MODULE ".ko must be beside this program");
	}
}

FIXTURE_TEARDOWN(context)
{
	if (on_stock_driver())
		return;
	EXPECT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
}

/*
 * Answers with the number of vCPUs or a negative errno, like nr_vcpus(), or
 * with MEMORY_CHANGED if there was an error and yet a number.
 */
static int ask_in_context(const char *context, domid_t dom)
{
	char name[16];
	FILE *file;
	int ret, vcpus;
	int answer = -ENODATA;

	file = fopen(PARAMETERS "ask", "w");
	if (!file)
		return -errno;
	fprintf(file, "%u\n", dom);
	if (fclose(file))
		return -errno;

	file = fopen(PARAMETERS "answer", "r");
	if (!file)
		return -errno;
	while (fscanf(file, "%15s %d %d", name, &ret, &vcpus) == 3) {
		if (strcmp(name, context))
			continue;
		answer = ret ?: vcpus;
		if (ret && vcpus != UNTOUCHED)
			answer = memory_changed("xen_dm_nr_vcpus()");
	}
	fclose(file);
	return answer;
}

TEST_F(context, answers_as_the_command_does)
{
	int pvh;

	if (on_stock_driver()) {
		ASSERT_EQ(-1, access("/sys/module/xen_dm_op", F_OK));
		SKIP(return, "xen-dm-op.ko is not there with the stock driver");
	}
	pvh = domain_create(DOMAIN_PVH, 128);
	ASSERT_LT(0, pvh);

	EXPECT_EQ(by_nr_vcpus(3), ask_in_context(variant->name, self->dom));
	EXPECT_EQ(by_nr_vcpus(128), ask_in_context(variant->name, pvh));
	EXPECT_EQ(by_nr_vcpus(-EPERM), ask_in_context(variant->name, 0));
	EXPECT_EQ(by_nr_vcpus(-ESRCH),
		  ask_in_context(variant->name, NO_SUCH_DOMAIN));
	for (domid_t dom = DOMID_FIRST_RESERVED; dom <= DOMID_IDLE; dom++) {
		EXPECT_EQ(by_nr_vcpus(-ESRCH),
			  ask_in_context(variant->name, dom)) {
			TH_LOG("domain %#x", dom);
		}
	}

	EXPECT_EQ(0, domain_destroy(pvh));
	EXPECT_EQ(by_nr_vcpus(-ESRCH), ask_in_context(variant->name, pvh));
}

TEST_F(context, answers_for_a_pv_domain)
{
	int pv;

	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	if (on_stock_driver())
		SKIP(return, "xen-dm-op.ko is not there with the stock driver");
	pv = domain_create(DOMAIN_PV, 2);
	ASSERT_LT(0, pv);
	EXPECT_EQ(-EINVAL, ask_in_context(variant->name, pv));
	EXPECT_EQ(0, domain_destroy(pv));
	EXPECT_EQ(-ESRCH, ask_in_context(variant->name, pv));
}

FIXTURE(hold)
{
	int dom;
};

FIXTURE_SETUP(hold)
{
	if (on_stock_driver())
		SKIP_FIXTURE(return, "xen-dm-op.ko is not there with the stock driver");
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	ASSERT_EQ(0, load_test_module(MODULE ".ko"));
}

FIXTURE_TEARDOWN(hold)
{
	if (self->dom <= 0)
		return;
	if (domain_nr_vcpus(self->dom) > 0)
		EXPECT_EQ(0, domain_destroy(self->dom));
	EXPECT_EQ(0, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
}

/* Answers with 0 or a negative errno. */
static int hold(int dom)
{
	FILE *file = fopen(PARAMETERS "hold", "w");

	if (!file)
		return -errno;
	fprintf(file, "%d\n", dom);
	return fclose(file) ? -errno : 0;
}

/* Xen lets go of what is left of a domain some time after the last user did. */
static bool is_soon_gone(domid_t dom)
{
	for (int ms = 0; domain_exists(dom) && ms < 20000; ms += 10)
		usleep(10000);
	return !domain_exists(dom);
}

TEST_F(hold, keeps_the_number_of_a_domain_that_died)
{
	ASSERT_EQ(0, hold(self->dom));
	ASSERT_EQ(0, domain_destroy(self->dom));
	/* Xen lets go of others at once. */
	sleep(1);
	EXPECT_TRUE(domain_exists(self->dom));
	EXPECT_EQ(by_nr_vcpus(3), ask_in_context("process", self->dom));

	ASSERT_EQ(0, hold(-1));
	EXPECT_TRUE(is_soon_gone(self->dom));
	EXPECT_EQ(by_nr_vcpus(-ESRCH), ask_in_context("process", self->dom));
}

TEST_F(hold, of_two_takes_both_to_let_go)
{
	int fd = privcmd_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, restrict_to(fd, self->dom));
	ASSERT_EQ(0, hold(self->dom));
	ASSERT_EQ(0, domain_destroy(self->dom));
	close(fd);
	sleep(1);
	EXPECT_TRUE(domain_exists(self->dom));
	ASSERT_EQ(0, hold(-1));
	EXPECT_TRUE(is_soon_gone(self->dom));
}

TEST_F(hold, is_refused_for_what_is_no_other_domain)
{
	EXPECT_EQ(-EPERM, hold(0));
	EXPECT_EQ(-ESRCH, hold(NO_SUCH_DOMAIN));
	for (domid_t dom = DOMID_FIRST_RESERVED; dom <= DOMID_IDLE; dom++) {
		EXPECT_EQ(-ESRCH, hold(dom)) {
			TH_LOG("domain %#x", dom);
		}
	}
}

TEST_HARNESS_MAIN
