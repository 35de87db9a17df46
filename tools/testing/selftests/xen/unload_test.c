// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module stays as long as anybody has the device, and what it did for them
 * ends with them.
 *
 * It is the last program in alphabetical order: what is loaded again is what
 * modprobe finds.
 */

#include "eventfd.h"
#include "modules.h"

#define MODULE		"xen_privcmd"

static unsigned int users(void)
{
	FILE *file = fopen("/sys/module/" MODULE "/refcnt", "r");
	unsigned int number = -1;

	if (!file)
		return number;
	if (fscanf(file, "%u", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

/* Why it cannot be unloaded, or NULL. */
static const char *needed(void)
{
	if (access("/sys/module/" MODULE "/refcnt", F_OK))
		return "the driver is built into the kernel";
	if (unload_xenfs() || users())
		return "others have the device";
	return NULL;
}

static bool there_is_a_device(void)
{
	return !access("/dev/xen/privcmd", F_OK);
}

FIXTURE(unload)
{
	const char *needed;
};

FIXTURE_SETUP(unload)
{
	self->needed = needed();
}

FIXTURE_TEARDOWN(unload)
{
	if (access(XENFS "/privcmd", F_OK))
		EXPECT_TRUE(load_modules());
}

TEST_F(unload, waits_for_a_file)
{
	int fd = privcmd_open();

	if (self->needed)
		SKIP(close(fd); return, "%s", self->needed);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EWOULDBLOCK, unload_module(MODULE));
	EXPECT_EQ(-ENOTTY, request(fd, 0, NULL));
	close(fd);
	ASSERT_EQ(0, unload_module(MODULE));
	EXPECT_FALSE(there_is_a_device());
	EXPECT_TRUE(load_modules());
	EXPECT_TRUE(there_is_a_device());
}

TEST_F(unload, waits_for_a_mapping)
{
	int fd = privcmd_open();
	void *addr;

	if (self->needed)
		SKIP(close(fd); return, "%s", self->needed);
	addr = (void *)map_file(fd, 1);
	ASSERT_NE(MAP_FAILED, addr);
	close(fd);
	EXPECT_EQ(-EWOULDBLOCK, unload_module(MODULE));
	munmap(addr, PAGE);
	EXPECT_EQ(0, unload_module(MODULE));
}

/* The last file is closed while the kernel would look at its domain again in a second. */
TEST_F(unload, ends_what_goes_on_by_itself)
{
	int fd = privcmd_open(), dom;

	if (self->needed)
		SKIP(close(fd); return, "%s", self->needed);
	ASSERT_LE(0, fd);
	dom = domain_create(DOMAIN_PVH, 1);
	ASSERT_LT(0, dom);
	ASSERT_EQ(0, restrict_to(fd, dom));
	close(fd);
	ASSERT_EQ(0, unload_module(MODULE));
	sleep(3);
	EXPECT_TRUE(load_modules());
	EXPECT_EQ(0, domain_destroy(dom));
	EXPECT_TRUE(domain_is_gone(dom));
}

static bool says_more(FILE *output)
{
	int rings;

	for (int i = 0; i < 50; i++)
		if (fscanf(output, "%d", &rings) != 1)
			return false;
	return true;
}

TEST_F(unload, waits_for_doorbells_and_interrupts)
{
	struct guest guest;
	FILE *output;
	pid_t child;

	if (self->needed)
		SKIP(return, "%s", self->needed);
	if (!has_eventfds())
		SKIP(return, NO_EVENTFDS);
	if (!has_device_models())
		SKIP(return, NO_DEVICE_MODELS);
	output = sample_start(&guest, -1, &child);
	ASSERT_NE(NULL, output);
	/* From here on the sample alone has the device. */
	guest_unmap(&guest);
	ASSERT_EQ(0, guest_run(&guest));
	EXPECT_TRUE(says_more(output));
	EXPECT_EQ(-EWOULDBLOCK, unload_module(MODULE));
	EXPECT_TRUE(says_more(output));

	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	EXPECT_EQ(0, unload_module(MODULE));
	/* A last event may come: the guest waits for an answer to its next write. */
	sleep(1);
	EXPECT_TRUE(load_modules());
	EXPECT_EQ(0, guest_destroy(&guest));
	EXPECT_TRUE(domain_is_gone(guest.dom));
}

TEST_HARNESS_MAIN
