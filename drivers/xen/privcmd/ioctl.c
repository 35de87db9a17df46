// SPDX-License-Identifier: GPL-2.0-only
/* The way of a command from the caller to its handler. */

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/nospec.h>
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
CHECK_ABI(struct privcmd_limit, 24, flags, 20);

/**
 * enum privcmd_access - What a command may do on a restricted file.
 * @PRIVCMD_UNRESTRICTED: nothing; EPERM before the argument is looked at.
 * @PRIVCMD_TARGET: its argument names a domain, which must be the file's.
 * @PRIVCMD_ANY: it reaches no domain, so it may run as it stands.
 *
 * The strictest, which a row gets that says nothing, comes first.
 */
enum privcmd_access {
	PRIVCMD_UNRESTRICTED,
	PRIVCMD_TARGET,
	PRIVCMD_ANY,
};

/**
 * struct privcmd_command - One command of the device, a row of the table.
 * @cmd: the command, all of it.
 * @size: its argument's size in bytes.
 * @access: what it may do on a restricted file.
 * @target: for PRIVCMD_TARGET: where in the argument the domid stands.
 * @out: where in the argument the result stands that a success copies out.
 * @out_size: its size in bytes; 0 for a command without one.
 * @compat: whether a 32-bit caller on a 64-bit kernel may use it, which takes
 *	an argument that is the same for both.
 * @available: why this kernel cannot run it at all, which @run says as well; 0 if it
 *	can.  It counts before all that is wrong with the argument.
 * @check: what is wrong with the argument before its target is looked at; 0 if
 *	nothing is, PRIVCMD_DONE if nothing is asked for.
 * @run: does the work; gets the argument copied and the target checked.  If
 *	@out_size is not 0 it returns 0, PRIVCMD_DONE if there is no result, or a
 *	negative errno.
 * @limited: runs in its stead on a file with limits, for a command for which these
 *	are more than whether it is there.
 */
struct privcmd_command {
	unsigned int cmd;
	u8 size;
	u8 access;
	u8 target;
	u8 out;
	u8 out_size;
	bool compat;
	int (*available)(void);
	int (*check)(const union privcmd_arg *arg);
	long (*run)(struct privcmd_file *priv, union privcmd_arg *arg);
	long (*limited)(struct privcmd_file *priv, union privcmd_arg *arg,
			const struct privcmd_limit *limit);
};

/* The arguments' sizes in bytes; 12 is one on 32 bit. */
#define IS_COPIED(_size)							\
	((_size) == 2 || (_size) == 8 || (_size) == 12 || (_size) == 16 ||	\
	 (_size) == 24 || (_size) == 32 || (_size) == 48)

/*
 * Sizes that the processor reads at once take less than a copy; and where a copy's size
 * is no constant the kernel looks where it goes.
 */
static __always_inline int copy_in(union privcmd_arg *arg, const void __user *uarg, size_t size)
{
	unsigned long left = size;

	switch (size) {
	case 2:
		return get_user(*(u16 *)arg, (const u16 __user *)uarg);
	case 8:
		return get_user(*(u64 *)arg, (const u64 __user *)uarg);
	case 12:
		left = copy_from_user(arg, uarg, 12);
		break;
	case 16:
		left = copy_from_user(arg, uarg, 16);
		break;
	case 24:
		left = copy_from_user(arg, uarg, 24);
		break;
	case 32:
		left = copy_from_user(arg, uarg, 32);
		break;
	case 48:
		left = copy_from_user(arg, uarg, 48);
		break;
	}

	return left ? -EFAULT : 0;
}

static __always_inline int copy_out(void __user *uout, const void *out, size_t size)
{
	return size == sizeof(u64) ? put_user(*(const u64 *)out, (u64 __user *)uout) :
				     put_user(*(const u32 *)out, (u32 __user *)uout);
}

static domid_t target_of(const struct privcmd_command *command, const union privcmd_arg *arg)
{
	return *(const domid_t *)((const void *)arg + command->target);
}

static __always_inline long finish(const struct privcmd_command *command,
				   const union privcmd_arg *arg, void __user *uarg, long ret)
{
	if (!command->out_size || ret < 0)
		return ret;
	if (ret == PRIVCMD_DONE)
		return 0;

	return copy_out(uarg + command->out, (const void *)arg + command->out,
			command->out_size);
}

/* Limits say nothing about the domain. */
static __always_inline int refusal(struct privcmd_file *priv, domid_t domid)
{
	return privcmd_may_target(priv, domid, PRIVCMD_LIMITED) ? 0 : privcmd_refusal(priv, domid);
}

/* What is wrong with the argument before its target is looked at, or PRIVCMD_DONE. */
static __always_inline long get_arg(const struct privcmd_command *command, union privcmd_arg *arg,
				    const void __user *uarg)
{
	if (copy_in(arg, uarg, command->size))
		return -EFAULT;

	return command->check ? command->check(arg) : 0;
}

/*
 * All that there is to ask, in the order in which the answers count.  An argument that
 * is there already has nothing wrong with it, and is not read twice.
 */
static noinline long run_checked(struct privcmd_file *priv, const struct privcmd_command *command,
				 void __user *uarg, union privcmd_arg *arg, bool is_there)
{
	struct privcmd_limit limit;
	long ret = 0;

	privcmd_limit_get(priv, &limit);
	if (!(limit.commands & BIT_ULL(_IOC_NR(command->cmd))))
		return -EPERM;

	if (command->available)
		ret = command->available();
	if (ret)
		return ret;

	if (command->access == PRIVCMD_UNRESTRICTED && privcmd_restricted(priv))
		return -EPERM;

	if (!is_there)
		ret = get_arg(command, arg, uarg);
	if (ret)
		return ret == PRIVCMD_DONE ? 0 : ret;

	if (command->access == PRIVCMD_TARGET)
		ret = refusal(priv, target_of(command, arg));
	if (ret)
		return ret;

	ret = command->limited ? command->limited(priv, arg, &limit) : command->run(priv, arg);
	return finish(command, arg, uarg, ret);
}

#ifdef CONFIG_XEN_PRIVCMD_EVENTFD
#define EVENTFD_HANDLERS(_run) _run, .check = _run##_check, .limited = _run##_limited
#else
/* A kernel without it knows the commands but cannot run them. */
static int no_eventfds(void)
{
	return -EOPNOTSUPP;
}

static long run_no_eventfd(struct privcmd_file *priv, union privcmd_arg *arg)
{
	return no_eventfds();
}

#define EVENTFD_HANDLERS(...) run_no_eventfd, .available = no_eventfds
#endif

/* A member of the argument must be what the table takes it for. */
#define OFFSET(_member, _field, _type)							\
	(offsetof(union privcmd_arg, _member._field) +					\
	 BUILD_BUG_ON_ZERO(!__same_type(((union privcmd_arg *)0)->_member._field, _type)))

#define ROW(_name, _member, _run, ...)							\
	[_IOC_NR(IOCTL_PRIVCMD_##_name)] = {						\
		.cmd = IOCTL_PRIVCMD_##_name,						\
		.size = _IOC_SIZE(IOCTL_PRIVCMD_##_name) +				\
			BUILD_BUG_ON_ZERO(_IOC_SIZE(IOCTL_PRIVCMD_##_name) !=		\
					  sizeof_field(union privcmd_arg, _member)) +	\
			BUILD_BUG_ON_ZERO(!IS_COPIED(_IOC_SIZE(IOCTL_PRIVCMD_##_name))), \
		.run = _run,								\
		__VA_ARGS__								\
	}

/* A command whose argument names its domain. */
#define TARGETED(_name, _member, _dom, _run, ...)					\
	ROW(_name, _member, _run,							\
	    .access = PRIVCMD_TARGET,							\
	    .target = OFFSET(_member, _dom, domid_t), ##__VA_ARGS__)

#define RESULT(_member, _field, _type)							\
	.out = OFFSET(_member, _field, _type),						\
	.out_size = sizeof(_type) +							\
		    BUILD_BUG_ON_ZERO(sizeof(_type) != 4 && sizeof(_type) != 8)

static const struct privcmd_command commands[] = {
	ROW(HYPERCALL, hypercall, privcmd_hypercall),
	TARGETED(MMAP, mmap, dom, privcmd_mmap_entries,
		 .available = privcmd_mmap_available,
		 .limited = privcmd_mmap_entries_limited),
	TARGETED(MMAPBATCH, mmapbatch, dom, privcmd_mmapbatch,
		 .check = privcmd_mmapbatch_check,
		 .limited = privcmd_mmapbatch_limited),
	TARGETED(MMAPBATCH_V2, mmapbatch_v2, dom, privcmd_mmapbatch_v2,
		 .check = privcmd_mmapbatch_v2_check,
		 .limited = privcmd_mmapbatch_v2_limited),
	TARGETED(DM_OP, dm_op, dom, privcmd_dm_op,
		 .check = privcmd_dm_op_check,
		 .limited = privcmd_dm_op_limited),
	ROW(RESTRICT, restrict_to, privcmd_restrict,
	    .access = PRIVCMD_ANY,
	    .compat = true),
	TARGETED(MMAP_RESOURCE, mmap_resource, dom, privcmd_mmap_resource,
		 .limited = privcmd_mmap_resource_limited,
		 RESULT(mmap_resource, num, __u64)),
	TARGETED(IRQFD, irqfd, dom, EVENTFD_HANDLERS(privcmd_irqfd)),
	TARGETED(IOEVENTFD, ioeventfd, dom, EVENTFD_HANDLERS(privcmd_ioeventfd)),
	ROW(PCIDEV_GET_GSI, pcidev_get_gsi, privcmd_pcidev_get_gsi,
	    .available = privcmd_pcidev_available,
	    RESULT(pcidev_get_gsi, gsi, __u32)),
	TARGETED(DM_NR_VCPUS, dm_nr_vcpus, dom, privcmd_dm_nr_vcpus,
		 RESULT(dm_nr_vcpus, vcpus, __u32),
		 .compat = true),
	ROW(LIMIT, limit, privcmd_limit,
	    .access = PRIVCMD_ANY,
	    .compat = true),
};

static const struct privcmd_command *find_command(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);
	const struct privcmd_command *command;

	if (nr >= ARRAY_SIZE(commands))
		return NULL;

	/* An empty row's 0 is no command: number 0 has one. */
	command = &commands[array_index_nospec(nr, ARRAY_SIZE(commands))];
	return command->cmd == cmd ? command : NULL;
}

static long run_command(struct privcmd_file *priv, const struct privcmd_command *command,
			void __user *uarg)
{
	union privcmd_arg arg;
	bool is_there;

	is_there = (command->access == PRIVCMD_TARGET || privcmd_plain(priv)) &&
		   !get_arg(command, &arg, uarg);
	if (likely(is_there && (command->access != PRIVCMD_TARGET ||
				privcmd_may_target(priv, target_of(command, &arg), 0))))
		return finish(command, &arg, uarg, command->run(priv, &arg));

	return run_checked(priv, command, uarg, &arg, is_there);
}

long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct privcmd_command *command = find_command(cmd);

	if (!command)
		return -ENOTTY;

	return run_command(file->private_data, command, (void __user *)arg);
}

#ifdef CONFIG_COMPAT
long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct privcmd_command *command = find_command(cmd);

	if (!command || !command->compat)
		return -ENOTTY;

	return run_command(file->private_data, command, compat_ptr(arg));
}
#endif
