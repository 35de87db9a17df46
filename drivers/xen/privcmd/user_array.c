// SPDX-License-Identifier: GPL-2.0-only
/* Arrays in the caller's memory, which may be of any length. */

#include <linux/errno.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "privcmd_private.h"

static int walk_array(void __user *user, size_t size,
		      size_t (*part)(char __user *user, size_t size))
{
	size_t chunk;

	if (!access_ok(user, size))
		return -EFAULT;

	for (; size; user += chunk, size -= chunk) {
		if (fatal_signal_pending(current))
			return -EINTR;

		chunk = min_t(size_t, size, SZ_1M);
		if (part(user, chunk))
			return -EFAULT;

		cond_resched();
	}

	return 0;
}

static size_t read_part(char __user *user, size_t size)
{
	return fault_in_readable(user, size);
}

static size_t clear_part(char __user *user, size_t size)
{
	return clear_user(user, size);
}

/**
 * privcmd_array_check() - Can all of an array be read?
 * @user: the array.
 * @size: its size in bytes.
 *
 * Context: May sleep; ends early on a fatal signal.
 * Return: 0, -EFAULT or -EINTR.
 */
int privcmd_array_check(const void __user *user, size_t size)
{
	return walk_array((void __user *)user, size, read_part);
}

/**
 * privcmd_array_clear() - Fill an array with zeroes.
 * @user: the array.
 * @size: its size in bytes.
 *
 * Context: May sleep; ends early on a fatal signal.
 * Return: 0, -EFAULT or -EINTR; some of it may be cleared all the same.
 */
int privcmd_array_clear(void __user *user, size_t size)
{
	return walk_array(user, size, clear_part);
}
