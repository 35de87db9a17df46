// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device: 32 bytes of registers, little-endian, which the guest finds both
 * at I/O ports and in memory.
 *
 *	0x00  4 bytes  read-only   identification: "XEMU"
 *	0x04  4 bytes  read-only   accesses so far, by all vCPUs, this one included
 *	0x08  4 bytes  read-only   number of the vCPU that reads
 *	0x10  8 bytes  read-write  scratch, each vCPU its own; 0 at first
 *	0x18  1 byte   write-only  interrupts the vCPU that writes, with the vector
 *				   that it writes: 16 or more, else nothing happens
 *
 * Bytes between and after them read as 0xff.  Any access of 1, 2, 4 or 8 bytes
 * will do, aligned or not; what it writes to read-only bytes is ignored, and
 * write-only bytes read as 0xff too.
 *
 * Nothing here knows of Xen: this is the file to replace.
 */

#include <string.h>

#include "emulator.h"

enum {
	ID	  = 0x00,
	ACCESSES  = 0x04,
	VCPU	  = 0x08,
	SCRATCH	  = 0x10,
	INTERRUPT = 0x18,
};

/* Those below are the processor's own. */
#define FIRST_VECTOR 16

static const char id[4] = "XEMU";

__u64 device_read(struct device *device, unsigned int vcpu,
		  unsigned int offset, unsigned int size)
{
	__u8 registers[DEVICE_LENGTH];
	const __u32 number = vcpu;
	__u64 value = 0;

	device->accesses++;
	memset(registers, 0xff, sizeof(registers));
	memcpy(registers + ID, id, sizeof(id));
	memcpy(registers + ACCESSES, &device->accesses, sizeof(device->accesses));
	memcpy(registers + VCPU, &number, sizeof(number));
	memcpy(registers + SCRATCH, &device->scratch[vcpu], sizeof(*device->scratch));
	memcpy(&value, registers + offset, size);
	return value;
}

__u8 device_write(struct device *device, unsigned int vcpu,
		  unsigned int offset, unsigned int size, __u64 value)
{
	__u8 *scratch = (__u8 *)&device->scratch[vcpu];
	__u8 vector = 0;

	device->accesses++;
	for (unsigned int end = offset + size; offset < end; offset++) {
		if (offset >= SCRATCH &&
		    offset < SCRATCH + sizeof(*device->scratch))
			scratch[offset - SCRATCH] = value;
		else if (offset == INTERRUPT)
			vector = value;
		value >>= 8;
	}
	return vector < FIRST_VECTOR ? 0 : vector;
}
