// SPDX-License-Identifier: GPL-2.0-only
// Has libxendevicemodel ask by IOCTL_PRIVCMD_DM_NR_VCPUS first; the rest of the
// patch is made by upstream.py, which also puts white space right and makes
// directives of the comments that hold one.

// core.c
@@
typedef xendevicemodel_handle, domid_t;
identifier dmod, domid, vcpus, op, rc;
initializer list init;
@@
 int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod, domid_t domid, unsigned int *vcpus)
 {
     struct xen_dm_op op = { init };
-    int rc = xendevicemodel_op(dmod, domid, 1, &op, sizeof(op));
+    int rc = osdep_xendevicemodel_nr_vcpus(dmod, domid, vcpus);
+
+    if ( !rc || errno != ENOTTY )
+        return rc;
+
+    rc = xendevicemodel_op(dmod, domid, 1, &op, sizeof(op));
     ...
 }

// common.c is for FreeBSD too, which has no such command.
@@
typedef xendevicemodel_handle, domid_t;
identifier dmod, domid;
@@
+int osdep_xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod,
+                                  domid_t domid, unsigned int *vcpus)
+{
+    /*#ifdef IOCTL_PRIVCMD_DM_NR_VCPUS*/
+    if (dmod->fd >= 0) {
+        struct privcmd_dm_nr_vcpus query;
+
+        query.dom = domid;
+        query.pad = 0;
+        if (ioctl(dmod->fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &query))
+            return -1;
+        *vcpus = query.vcpus;
+        return 0;
+    }
+    /*#endif*/
+    errno = ENOTTY;
+    return -1;
+}
+
 int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
 {
     ...
     return ioctl(...);
 }

// compat.c
@@
typedef xendevicemodel_handle, domid_t;
identifier dmod, domid;
@@
+int osdep_xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod,
+                                  domid_t domid, unsigned int *vcpus)
+{
+    errno = ENOTTY;
+    return -1;
+}
+
 int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
 {
     errno = EOPNOTSUPP;
     return -1;
 }
