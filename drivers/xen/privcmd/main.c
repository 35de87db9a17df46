// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xen/privcmd: Xen's privileged interface for toolstacks and device
 * emulators.  Here: the module and its two devices.
 */

#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <xen/xen.h>

#include "../privcmd.h"
#include "mapping.h"
#include "privcmd_private.h"

static int privcmd_open(struct inode *inode, struct file *file)
{
	struct privcmd_file *priv;
	int err;

	priv = kzalloc_obj(*priv, GFP_KERNEL);
	if (!priv)
		return -ENOMEM;

	err = privcmd_restrict_open(priv);
	if (err) {
		kfree(priv);
		return err;
	}

	privcmd_limit_open(priv);
	privcmd_eventfds_open(priv);
	file->private_data = priv;
	return 0;
}

static int privcmd_release(struct inode *inode, struct file *file)
{
	struct privcmd_file *priv = file->private_data;

	privcmd_ioeventfds_release(priv);
	privcmd_irqfds_release(priv);
	privcmd_domain_unbind(priv);
	kfree(priv);
	return 0;
}

const struct file_operations xen_privcmd_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = privcmd_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = privcmd_compat_ioctl,
#endif
	.open = privcmd_open,
	.release = privcmd_release,
	.poll = privcmd_poll,
	.show_fdinfo = privcmd_show_fdinfo,
	.mmap = privcmd_mmap,
	.get_unmapped_area = privcmd_get_unmapped_area,
};
EXPORT_SYMBOL_GPL(xen_privcmd_fops);

static struct miscdevice privcmd_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen/privcmd",
	.fops = &xen_privcmd_fops,
};

static struct miscdevice hypercall_buffer_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen/hypercall",
	.fops = &xen_privcmdbuf_fops,
};

static int __init privcmd_init(void)
{
	int err;

	if (!xen_domain())
		return -ENODEV;

	err = privcmd_restrict_init();
	if (err)
		return err;

	privcmd_xlate_init();
	err = misc_register(&privcmd_device);
	if (err)
		goto err_restrict;

	err = misc_register(&hypercall_buffer_device);
	if (err)
		goto err_privcmd;

	return 0;

err_privcmd:
	misc_deregister(&privcmd_device);
	privcmd_domain_exit();
err_restrict:
	privcmd_restrict_exit();
	pr_err("cannot register the devices: %d\n", err);
	return err;
}

static void __exit privcmd_exit(void)
{
	misc_deregister(&hypercall_buffer_device);
	misc_deregister(&privcmd_device);
	privcmd_domain_exit();
	privcmd_restrict_exit();
}

module_init(privcmd_init);
module_exit(privcmd_exit);

MODULE_DESCRIPTION("Xen's privileged commands for toolstacks and device emulators");
MODULE_LICENSE("GPL");
