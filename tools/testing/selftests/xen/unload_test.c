// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module stays as long as anybody has the device, and what it did for them
 * ends with them.
 *
 * It is the last program in alphabetical order: what is loaded again is what
 * modprobe finds.
 */

#include "eventfd.h"
#include "guest.h"
#include "modules.h"

#define MODULE		"xen_privcmd"

/* In seconds. */
#define TIME_LIMIT	120

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

/* Says its domain, then how often the guest has rung; does not come back. */
static void serve_doorbells(int output)
{
	char address[16], interrupt[16];
	struct guest guest;

	dup2(output, STDOUT_FILENO);
	if (guest_create(&guest, 2))
		_exit(1);
	guest.orders->start[1] = 1;
	guest.orders->work[0] = GUEST_TAKES_INTERRUPTS;
	guest.orders->work[1] = GUEST_RINGS_DOORBELLS;
	guest.orders->doorbell = DEVICE + NOTIFY;
	guest.orders->queues = 1;
	guest.orders->rounds = -1;
	printf("%d\n", guest.dom);
	fflush(stdout);
	snprintf(address, sizeof(address), "%#x", DEVICE);
	snprintf(interrupt, sizeof(interrupt), "%d", GUEST_INTERRUPT);
	if (!fork()) {
		execl(path_beside_program("doorbell"), "doorbell", guest.text, address,
		      interrupt, NULL);
		_exit(127);
	}
	/* What is accessed on Arm before it is there is a fault. */
	sleep(2);
	if (guest_run(&guest))
		_exit(2);
	for (;;)
		pause();
}

static bool says_more(FILE *output)
{
	int rings;

	for (int i = 0; i < 50; i++)
		if (fscanf(output, "%d", &rings) != 1)
			return false;
	return true;
}

TEST_F_TIMEOUT(unload, waits_for_doorbells_and_interrupts, TIME_LIMIT)
{
	int pipes[2], dom, ret;
	FILE *output;
	pid_t child;

	if (self->needed)
		SKIP(return, "%s", self->needed);
	if (!has_eventfds())
		SKIP(return, NO_EVENTFDS);
	if (!has_device_models())
		SKIP(return, NO_DEVICE_MODELS);
	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
	child = fork();
	if (!child) {
		setpgid(0, 0);
		serve_doorbells(pipes[1]);
	}
	close(pipes[1]);
	output = fdopen(pipes[0], "r");
	ASSERT_EQ(1, fscanf(output, "%d", &dom));
	EXPECT_TRUE(says_more(output));
	EXPECT_EQ(-EWOULDBLOCK, unload_module(MODULE));
	EXPECT_TRUE(says_more(output));

	kill(-child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	/* Its own children may take a moment more. */
	for (int i = 0; i < 500; i++) {
		ret = unload_module(MODULE);
		if (ret != -EWOULDBLOCK)
			break;
		usleep(10000);
	}
	EXPECT_EQ(0, ret);
	/* The guest rings on. */
	sleep(1);
	EXPECT_TRUE(load_modules());
	EXPECT_EQ(0, domain_destroy(dom));
	EXPECT_TRUE(domain_is_gone(dom));
}

TEST_HARNESS_MAIN
