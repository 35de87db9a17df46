// SPDX-License-Identifier: GPL-2.0-only
/* /proc/PID/fdinfo/FD: what a file may do. */

#include <linux/fs.h>
#include <linux/seq_file.h>

#include "privcmd_private.h"

/**
 * privcmd_show_fdinfo() - Show what a file may do, a line each.
 * @m: where it goes.
 * @file: the file.
 */
void privcmd_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct privcmd_file *data = file->private_data;
	struct privcmd_limit limit;

	privcmd_limit_get(data, &limit);
	seq_printf(m, "commands:\t%#llx\n", limit.commands);
	seq_printf(m, "dm_ops:\t%#llx\n", limit.dm_ops);
	seq_printf(m, "resources:\t%#x\n", limit.resources);
	seq_printf(m, "limit_flags:\t%#x\n", limit.flags);
}
