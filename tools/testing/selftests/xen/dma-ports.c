// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses ports that QEMU emulates, to be run in an HVM guest: each of three vCPUs
 * makes 500 accesses to a port of its own.  These are registers of the PC's DMA
 * controller that hold the byte last written to them.
 *
 * It is the kernel that makes them: an emulated processor's permission for a process to
 * do so was seen to be gone in a guest that had been restored.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VCPUS 3
/* An access to write and one to read. */
#define ROUNDS 250

/* The page registers of channels 0 to 2. */
static const unsigned short ports[VCPUS] = { 0x87, 0x83, 0x81 };

/* Answers with the number of wrong bytes that came back, or a negative errno. */
static int use(int vcpu)
{
	int file = open("/dev/port", O_RDWR | O_CLOEXEC);
	cpu_set_t cpus;
	int wrong = 0;

	CPU_ZERO(&cpus);
	CPU_SET(vcpu, &cpus);
	if (file < 0 || sched_setaffinity(0, sizeof(cpus), &cpus))
		return -errno;
	for (int i = 0; i < ROUNDS; i++) {
		unsigned char written = i + vcpu, found;

		if (pwrite(file, &written, 1, ports[vcpu]) != 1 ||
		    pread(file, &found, 1, ports[vcpu]) != 1)
			return -errno;
		wrong += found != written;
	}
	return wrong;
}

int main(void)
{
	int status, failed = 0;

	for (int i = 0; i < VCPUS; i++) {
		if (!fork()) {
			int ret = use(i);

			printf("vCPU %d: %d accesses to port %#x: %d wrong%s%s\n",
			       i, 2 * ROUNDS, ports[i], ret < 0 ? 0 : ret,
			       ret < 0 ? ", " : "", ret < 0 ? strerror(-ret) : "");
			fflush(stdout);
			_exit(ret != 0);
		}
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
