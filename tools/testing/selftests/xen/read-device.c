// SPDX-License-Identifier: GPL-2.0-only
/*
 * read-device VCPU ADDRESS COUNT: reads 32 bits of a device that QEMU emulates, so many
 * times, on one vCPU of the guest in which it runs.  It says how often which number came.
 */

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long addr, count, same = 0, page = sysconf(_SC_PAGESIZE);
	uint32_t *reg, first = 0;
	cpu_set_t cpus;
	char *map;
	int file;

	if (argc != 4)
		errx(2, "usage: read-device VCPU ADDRESS COUNT");
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	addr = strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "there is no vCPU %s", argv[1]);
	file = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	map = mmap(NULL, page, PROT_READ, MAP_SHARED, file, addr / page * page);
	if (map == MAP_FAILED)
		err(1, "/dev/mem");
	reg = (uint32_t *)(map + addr % page);
	for (unsigned long i = 0; i < count; i++) {
		uint32_t value = __atomic_load_n(reg, __ATOMIC_RELAXED);

		if (!i)
			first = value;
		same += value == first;
	}
	printf("vCPU %s: %lu times %#x\n", argv[1], same, first);
	return same != count;
}
