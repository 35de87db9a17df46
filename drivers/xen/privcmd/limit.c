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
 * @priv: the file, which nobody else can see yet.
 */
void privcmd_limit_open(struct privcmd_file *priv)
{
	seqlock_init(&priv->limit_lock);
	priv->limit = (struct privcmd_limit) {
		.commands = U64_MAX,
		.dm_ops = U64_MAX,
		.resources = U32_MAX,
	};
}

/**
 * privcmd_limit() - LIMIT: take commands, operations and resources away for good.
 * @priv: the file; all its duplicates share what is left.
 * @arg: what stays.
 *
 * Requests that begin when this has returned find it.
 *
 * Return: 0; -EINVAL for unknown flags: nothing is taken away then.
 */
long privcmd_limit(struct privcmd_file *priv, union privcmd_arg *arg)
{
	const struct privcmd_limit *stays = &arg->limit;

	if (stays->flags & ~PRIVCMD_LIMIT_READ_ONLY)
		return -EINVAL;

	write_seqlock(&priv->limit_lock);
	priv->limit.commands &= stays->commands;
	priv->limit.dm_ops &= stays->dm_ops;
	priv->limit.resources &= stays->resources;
	priv->limit.flags |= stays->flags;
	atomic_or(PRIVCMD_LIMITED, &priv->domid);
	write_sequnlock(&priv->limit_lock);
	return 0;
}
