// SPDX-License-Identifier: GPL-2.0-only
/* What an open file tells of itself: by poll(), and in /proc/PID/fdinfo. */

#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/seq_file.h>

#include "privcmd_private.h"

/**
 * privcmd_poll() - poll(): is the file's domain gone?
 * @file: the file.
 * @wait: where to wait for it.
 *
 * Return: EPOLLHUP from then on, and nothing else.
 */
__poll_t privcmd_poll(struct file *file, struct poll_table_struct *wait)
{
	struct privcmd_file *priv = file->private_data;

	poll_wait(file, &priv->wait, wait);
	return privcmd_gone(priv) ? EPOLLHUP : 0;
}

static void show_domain(struct seq_file *m, const struct privcmd_file *priv)
{
	int domid = atomic_read(&priv->domid);

	if (domid & PRIVCMD_PENDING) {
		seq_puts(m, "state:\twaits for XenStore\n");
		return;
	}
	if ((domid_t)domid == DOMID_INVALID) {
		seq_puts(m, "state:\tfree\n");
		return;
	}

	seq_printf(m, "domid:\t%u\n", (domid_t)domid);
	seq_printf(m, "state:\t%s, %s by the kernel\n", domid & PRIVCMD_GONE ? "gone" : "bound",
		   privcmd_domain_is_held(priv) ? "held" : "not held");
}

static void show_limit(struct seq_file *m, struct privcmd_file *priv)
{
	struct privcmd_limit limit;

	privcmd_limit_get(priv, &limit);
	seq_printf(m, "commands:\t%#llx\n", limit.commands);
	seq_printf(m, "dm_ops:\t%#llx\n", limit.dm_ops);
	seq_printf(m, "resources:\t%#x\n", limit.resources);
	seq_printf(m, "limit_flags:\t%#x\n", limit.flags);
}

/**
 * privcmd_show_fdinfo() - Tell which domain the file is bound to, and what it may do.
 * @m: where to.
 * @file: the file.
 */
void privcmd_show_fdinfo(struct seq_file *m, struct file *file)
{
	show_domain(m, file->private_data);
	show_limit(m, file->private_data);
}
