// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a file may still do, besides the domain to which it is restricted.
 *
 * LIMIT only takes away.  The driver compares numbers: it need not know what an
 * operation does, so that those of a later Xen can be taken away as well.
 */

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/seqlock.h>

#include "privcmd_private.h"

/**
 * privcmd_limit_open() - Give a new file all there is.
 * @file: the file, which nobody else can see yet.
 */
void privcmd_limit_open(struct privcmd_file *file)
{
	seqlock_init(&file->limit_lock);
	file->limit = (struct privcmd_limit) {
		.commands = U64_MAX,
		.dm_ops = U64_MAX,
		.resources = U32_MAX,
	};
}

/**
 * privcmd_limit() - LIMIT: take commands, operations and resources away for good.
 * @file: the file; all its duplicates share what is left.
 * @arg: what stays.
 *
 * Requests that begin when this has returned find it.
 *
 * Return: 0; -EINVAL for unknown flags: nothing is taken away then.
 */
long privcmd_limit(struct privcmd_file *file, union privcmd_arg *arg)
{
	const struct privcmd_limit *stays = &arg->limit;

	if (stays->flags & ~PRIVCMD_LIMIT_READ_ONLY)
		return -EINVAL;

	write_seqlock(&file->limit_lock);
	file->limit.commands &= stays->commands;
	file->limit.dm_ops &= stays->dm_ops;
	file->limit.resources &= stays->resources;
	file->limit.flags |= stays->flags;
	atomic_or(PRIVCMD_LIMITED, &file->domid);
	write_sequnlock(&file->limit_lock);
	return 0;
}
