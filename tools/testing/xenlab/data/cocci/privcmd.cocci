// SPDX-License-Identifier: GPL-2.0-only
// Gives a kernel's own privcmd.c IOCTL_PRIVCMD_DM_NR_VCPUS; the rest of the
// patch is made by upstream.py, which also puts white space right.

@@
@@
+#include <linux/compat.h>
 #include <linux/kernel.h>

@@
@@
 #include <xen/xen.h>
+#include <xen/dm-op.h>

@@
attribute name __user;
identifier file, cmd, data;
@@
+static long privcmd_ioctl_dm_nr_vcpus(struct file *file, void __user *udata)
+{
+	struct privcmd_dm_nr_vcpus __user *answer = udata;
+	struct privcmd_data *data = file->private_data;
+	struct privcmd_dm_nr_vcpus query;
+	int err;
+
+	if (copy_from_user(&query, udata, sizeof(query)))
+		return -EFAULT;
+
+	if (data->domid != DOMID_INVALID && data->domid != query.dom)
+		return -EPERM;
+
+	if (query.pad)
+		return -EINVAL;
+
+	err = xen_dm_nr_vcpus(query.dom, &query.vcpus);
+	if (err)
+		return err;
+
+	return put_user(query.vcpus, &answer->vcpus);
+}
+
 static long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long data)
 {
 	...
 }

@@
attribute name __user;
@@
+/* Only what is the same for 32 and 64 bit. */
+static long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long data)
+{
+	if (cmd != IOCTL_PRIVCMD_RESTRICT && cmd != IOCTL_PRIVCMD_DM_NR_VCPUS)
+		return -ENOTTY;
+
+	return privcmd_ioctl(file, cmd, (unsigned long)compat_ptr(data));
+}
+
 static int privcmd_open(...)
 {
 	...
 }

// The break is written anew so that what follows it begins a line.
@@
identifier cmd, file, udata;
expression ret;
@@
 switch (cmd) {
 case IOCTL_PRIVCMD_RESTRICT:
 	ret = privcmd_ioctl_restrict(file, udata);
-	break;
+	break;
+
+case IOCTL_PRIVCMD_DM_NR_VCPUS:
+	ret = privcmd_ioctl_dm_nr_vcpus(file, udata);
+	break;
 }

@@
@@
 struct file_operations xen_privcmd_fops = {
 	.unlocked_ioctl = privcmd_ioctl,
+	.compat_ioctl = privcmd_compat_ioctl,
 };
