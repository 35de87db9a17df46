// SPDX-License-Identifier: GPL-2.0-only
/* The way of a command from the caller to its handler. */

#include <linux/align.h>
#include <linux/build_bug.h>
#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "privcmd.h"

/* User space compiled long ago relies on these. */
#define CHECK_ABI(_type, _size, _last, _last_offset)	\
	static_assert(sizeof(_type) == (_size) &&	\
		      offsetof(_type, _last) == (_last_offset))

CHECK_ABI(struct privcmd_hypercall, 48, arg, 8);
CHECK_ABI(struct privcmd_mmap_entry, 24, npages, 16);
CHECK_ABI(struct privcmd_mmap, 8 + sizeof(void *), entry, 8);
CHECK_ABI(struct privcmd_mmapbatch, ALIGN(16 + sizeof(void *), __alignof__(__u64)), arr, 16);
CHECK_ABI(struct privcmd_mmapbatch_v2, 16 + 2 * sizeof(void *), err, 16 + sizeof(void *));
CHECK_ABI(struct privcmd_dm_op_buf, 2 * sizeof(void *), size, sizeof(void *));
CHECK_ABI(struct privcmd_dm_op, 2 * sizeof(void *), ubufs, sizeof(void *));
CHECK_ABI(struct privcmd_mmap_resource, 32, addr, 24);
CHECK_ABI(struct privcmd_irqfd, 24, pad, 22);
CHECK_ABI(struct privcmd_ioeventfd, ALIGN(48, __alignof__(__u64)), pad, 46);
CHECK_ABI(struct privcmd_pcidev_get_gsi, 8, gsi, 4);
CHECK_ABI(struct privcmd_dm_nr_vcpus, 8, vcpus, 4);

/**
 * enum privcmd_access - What a command may do on a restricted file.
 * @PRIVCMD_TARGET: its argument names a domain, which must be the file's.
 * @PRIVCMD_UNRESTRICTED: nothing; EPERM before the argument is looked at.
 * @PRIVCMD_ANY: it reaches no domain, so it may run as it stands.
 *
 * The strictest that a row of the table can forget to set comes first.
 */
enum privcmd_access {
	PRIVCMD_TARGET,
	PRIVCMD_UNRESTRICTED,
	PRIVCMD_ANY,
};

/**
 * struct privcmd_command - One command of the device, a row of the table.
 * @cmd: its number, which also says how large its argument is.
 * @access: what it may do on a restricted file.
 * @available: why this kernel cannot run it at all, asked before the argument is
 *	looked at; 0 if it can.
 * @check: what is wrong with the argument before its target is looked at; 0 if
 *	nothing is, PRIVCMD_DONE if nothing is asked for.
 * @target: for PRIVCMD_TARGET: where in the argument the domid stands.
 * @out: where in the argument the result stands that a success copies out.
 * @out_size: its size in bytes; 0 for a command without one.
 * @compat: whether a 32-bit caller on a 64-bit kernel may use it, which takes
 *	an argument that is the same for both.
 * @run: does the work; gets the argument copied and the target checked.  If
 *	@out_size is not 0 it returns 0, PRIVCMD_DONE if there is no result, or a
 *	negative errno.
 */
struct privcmd_command {
	unsigned int cmd;
	enum privcmd_access access;
	int (*available)(void);
	int (*check)(const union privcmd_arg *arg);
	u8 target;
	u8 out;
	u8 out_size;
	bool compat;
	long (*run)(struct privcmd_file *file, union privcmd_arg *arg);
};

/* A kernel without XEN_PRIVCMD_EVENTFD knows the commands but cannot run them. */
static int privcmd_no_eventfds(void)
{
	return -EOPNOTSUPP;
}

#define COMMAND(_name, _member, _run, ...)					\
	[_IOC_NR(IOCTL_PRIVCMD_##_name)] = {					\
		.cmd = IOCTL_PRIVCMD_##_name +					\
		       BUILD_BUG_ON_ZERO(_IOC_SIZE(IOCTL_PRIVCMD_##_name) !=	\
					 sizeof_field(union privcmd_arg, _member)), \
		.run = _run,							\
		__VA_ARGS__							\
	}

static const struct privcmd_command privcmd_commands[] = {
	COMMAND(HYPERCALL, hypercall, privcmd_hypercall,
		.access = PRIVCMD_UNRESTRICTED),
	COMMAND(MMAP, mmap, privcmd_mmap_entries,
		.available = privcmd_mmap_available,
		.target = offsetof(struct privcmd_mmap, dom)),
	COMMAND(MMAPBATCH, mmapbatch, privcmd_mmapbatch,
		.check = privcmd_mmapbatch_check,
		.target = offsetof(struct privcmd_mmapbatch, dom)),
	COMMAND(MMAPBATCH_V2, mmapbatch_v2, privcmd_mmapbatch_v2,
		.check = privcmd_mmapbatch_v2_check,
		.target = offsetof(struct privcmd_mmapbatch_v2, dom)),
	COMMAND(DM_OP, dm_op, privcmd_dm_op,
		.check = privcmd_dm_op_check,
		.target = offsetof(struct privcmd_dm_op, dom)),
	COMMAND(RESTRICT, restrict_to, privcmd_restrict,
		.access = PRIVCMD_ANY,
		.compat = true),
	COMMAND(MMAP_RESOURCE, mmap_resource, privcmd_mmap_resource,
		.target = offsetof(struct privcmd_mmap_resource, dom),
		.out = offsetof(struct privcmd_mmap_resource, num),
		.out_size = sizeof_field(struct privcmd_mmap_resource, num)),
	COMMAND(IRQFD, irqfd, NULL,
		.available = privcmd_no_eventfds),
	COMMAND(IOEVENTFD, ioeventfd, NULL,
		.available = privcmd_no_eventfds),
	COMMAND(PCIDEV_GET_GSI, pcidev_get_gsi, privcmd_pcidev_get_gsi,
		.available = privcmd_pcidev_available,
		.access = PRIVCMD_UNRESTRICTED,
		.out = offsetof(struct privcmd_pcidev_get_gsi, gsi),
		.out_size = sizeof_field(struct privcmd_pcidev_get_gsi, gsi)),
	COMMAND(DM_NR_VCPUS, dm_nr_vcpus, privcmd_dm_nr_vcpus,
		.target = offsetof(struct privcmd_dm_nr_vcpus, dom),
		.out = offsetof(struct privcmd_dm_nr_vcpus, vcpus),
		.out_size = sizeof_field(struct privcmd_dm_nr_vcpus, vcpus),
		.compat = true),
};

static const struct privcmd_command *privcmd_find(unsigned int cmd)
{
	const struct privcmd_command *command;
	unsigned int nr = _IOC_NR(cmd);

	if (nr >= ARRAY_SIZE(privcmd_commands))
		return NULL;

	command = &privcmd_commands[array_index_nospec(nr, ARRAY_SIZE(privcmd_commands))];
	return command->cmd == cmd ? command : NULL;
}

static long privcmd_run(struct privcmd_file *file,
			const struct privcmd_command *command, void __user *uarg)
{
	union privcmd_arg arg;
	const domid_t *target = (void *)&arg + command->target;
	long ret = 0;

	if (command->available)
		ret = command->available();
	if (ret)
		return ret;

	if (command->access == PRIVCMD_UNRESTRICTED && privcmd_restricted(file))
		return -EPERM;

	/* COMMAND() sees to it that it fits. */
	if (copy_from_user(&arg, uarg, _IOC_SIZE(command->cmd)))
		return -EFAULT;

	if (command->check)
		ret = command->check(&arg);
	if (ret)
		return ret == PRIVCMD_DONE ? 0 : ret;

	if (command->access == PRIVCMD_TARGET && !privcmd_may_target(file, *target))
		return -EPERM;

	ret = command->run(file, &arg);

	if (!command->out_size || ret < 0)
		return ret;
	if (ret == PRIVCMD_DONE)
		return 0;

	if (copy_to_user(uarg + command->out, (void *)&arg + command->out, command->out_size))
		return -EFAULT;
	return 0;
}

long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct privcmd_command *command = privcmd_find(cmd);

	if (!command)
		return -ENOTTY;

	return privcmd_run(file->private_data, command, (void __user *)arg);
}

#ifdef CONFIG_COMPAT
long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct privcmd_command *command = privcmd_find(cmd);

	if (!command || !command->compat)
		return -ENOTTY;

	return privcmd_run(file->private_data, command, compat_ptr(arg));
}
#endif
