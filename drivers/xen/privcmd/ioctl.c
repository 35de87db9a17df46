// SPDX-License-Identifier: GPL-2.0-only
/* The way of a command from the caller to its handler. */

#include <linux/align.h>
#include <linux/build_bug.h>
#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/uaccess.h>

#include "privcmd_private.h"

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
 * @size: its argument's size in bytes.
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
	u8 size;
	enum privcmd_access access;
	int (*available)(void);
	int (*check)(const union privcmd_arg *arg);
	u8 target;
	u8 out;
	u8 out_size;
	bool compat;
	long (*run)(struct privcmd_file *file, union privcmd_arg *arg);
};

/* Sizes that the processor reads at once take less than a copy. */
static __always_inline int copy_in(union privcmd_arg *arg, const void __user *uarg, size_t size)
{
	switch (size) {
	case sizeof(u16):
		return get_user(*(u16 *)arg, (const u16 __user *)uarg);
	case sizeof(u64):
		return get_user(*(u64 *)arg, (const u64 __user *)uarg);
	default:
		return copy_from_user(arg, uarg, size) ? -EFAULT : 0;
	}
}

static __always_inline int copy_out(void __user *uout, const void *out, size_t size)
{
	switch (size) {
	case sizeof(u32):
		return put_user(*(const u32 *)out, (u32 __user *)uout);
	case sizeof(u64):
		return put_user(*(const u64 *)out, (u64 __user *)uout);
	default:
		return copy_to_user(uout, out, size) ? -EFAULT : 0;
	}
}

/* Inlined for each row, which is a constant: what the row leaves out costs nothing. */
static __always_inline long privcmd_run(struct privcmd_file *file,
					const struct privcmd_command *command,
					void __user *uarg)
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

	if (copy_in(&arg, uarg, command->size))
		return -EFAULT;

	if (command->check)
		ret = command->check(&arg);
	if (ret)
		return ret == PRIVCMD_DONE ? 0 : ret;

	if (command->access == PRIVCMD_TARGET && !privcmd_may_target(file, *target)) {
		ret = privcmd_refusal(file, *target);
		if (ret)
			return ret;
	}

	ret = command->run(file, &arg);

	if (!command->out_size || ret < 0)
		return ret;
	if (ret == PRIVCMD_DONE)
		return 0;

	return copy_out(uarg + command->out, (void *)&arg + command->out, command->out_size);
}

#ifndef CONFIG_XEN_PRIVCMD_EVENTFD
/* A kernel without it knows the commands but cannot run them. */
static int privcmd_no_eventfds(void)
{
	return -EOPNOTSUPP;
}
#endif

/* The value of a row of the table. */
#define COMMAND(_name, _member, _run, ...)					\
({										\
	static const struct privcmd_command command = {				\
		.size = _IOC_SIZE(IOCTL_PRIVCMD_##_name),			\
		.run = _run,							\
		__VA_ARGS__							\
	};									\
										\
	static_assert(_IOC_SIZE(IOCTL_PRIVCMD_##_name) ==			\
		      sizeof_field(union privcmd_arg, _member));		\
	compat && !command.compat ? -ENOTTY : privcmd_run(file, &command, uarg); \
})

/* The table of commands. */
static long privcmd_dispatch(struct privcmd_file *file, unsigned int cmd, void __user *uarg,
			     bool compat)
{
	switch (cmd) {
	case IOCTL_PRIVCMD_HYPERCALL:
		return COMMAND(HYPERCALL, hypercall, privcmd_hypercall,
			       .access = PRIVCMD_UNRESTRICTED);
	case IOCTL_PRIVCMD_MMAP:
		return COMMAND(MMAP, mmap, privcmd_mmap_entries,
			       .available = privcmd_mmap_available,
			       .target = offsetof(struct privcmd_mmap, dom));
	case IOCTL_PRIVCMD_MMAPBATCH:
		return COMMAND(MMAPBATCH, mmapbatch, privcmd_mmapbatch,
			       .check = privcmd_mmapbatch_check,
			       .target = offsetof(struct privcmd_mmapbatch, dom));
	case IOCTL_PRIVCMD_MMAPBATCH_V2:
		return COMMAND(MMAPBATCH_V2, mmapbatch_v2, privcmd_mmapbatch_v2,
			       .check = privcmd_mmapbatch_v2_check,
			       .target = offsetof(struct privcmd_mmapbatch_v2, dom));
	case IOCTL_PRIVCMD_DM_OP:
		return COMMAND(DM_OP, dm_op, privcmd_dm_op,
			       .check = privcmd_dm_op_check,
			       .target = offsetof(struct privcmd_dm_op, dom));
	case IOCTL_PRIVCMD_RESTRICT:
		return COMMAND(RESTRICT, restrict_to, privcmd_restrict,
			       .access = PRIVCMD_ANY,
			       .compat = true);
	case IOCTL_PRIVCMD_MMAP_RESOURCE:
		return COMMAND(MMAP_RESOURCE, mmap_resource, privcmd_mmap_resource,
			       .target = offsetof(struct privcmd_mmap_resource, dom),
			       .out = offsetof(struct privcmd_mmap_resource, num),
			       .out_size = sizeof_field(struct privcmd_mmap_resource, num));
#ifdef CONFIG_XEN_PRIVCMD_EVENTFD
	case IOCTL_PRIVCMD_IRQFD:
		return COMMAND(IRQFD, irqfd, privcmd_irqfd,
			       .check = privcmd_irqfd_check,
			       .target = offsetof(struct privcmd_irqfd, dom));
	case IOCTL_PRIVCMD_IOEVENTFD:
		return COMMAND(IOEVENTFD, ioeventfd, privcmd_ioeventfd,
			       .check = privcmd_ioeventfd_check,
			       .target = offsetof(struct privcmd_ioeventfd, dom));
#else
	case IOCTL_PRIVCMD_IRQFD:
		return COMMAND(IRQFD, irqfd, NULL,
			       .available = privcmd_no_eventfds);
	case IOCTL_PRIVCMD_IOEVENTFD:
		return COMMAND(IOEVENTFD, ioeventfd, NULL,
			       .available = privcmd_no_eventfds);
#endif
	case IOCTL_PRIVCMD_PCIDEV_GET_GSI:
		return COMMAND(PCIDEV_GET_GSI, pcidev_get_gsi, privcmd_pcidev_get_gsi,
			       .available = privcmd_pcidev_available,
			       .access = PRIVCMD_UNRESTRICTED,
			       .out = offsetof(struct privcmd_pcidev_get_gsi, gsi),
			       .out_size = sizeof_field(struct privcmd_pcidev_get_gsi, gsi));
	case IOCTL_PRIVCMD_DM_NR_VCPUS:
		return COMMAND(DM_NR_VCPUS, dm_nr_vcpus, privcmd_dm_nr_vcpus,
			       .target = offsetof(struct privcmd_dm_nr_vcpus, dom),
			       .out = offsetof(struct privcmd_dm_nr_vcpus, vcpus),
			       .out_size = sizeof_field(struct privcmd_dm_nr_vcpus, vcpus),
			       .compat = true);
	default:
		return -ENOTTY;
	}
}

long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return privcmd_dispatch(file->private_data, cmd, (void __user *)arg, false);
}

#ifdef CONFIG_COMPAT
long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return privcmd_dispatch(file->private_data, cmd, compat_ptr(arg), true);
}
#endif
