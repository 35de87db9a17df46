// SPDX-License-Identifier: GPL-2.0-only
// Has libxendevicemodel ask by IOCTL_PRIVCMD_DM_NR_VCPUS first, and limit handles; the
// rest of the patch is made by upstream.py, which also puts white space right and
// makes directives of the comments that hold one.

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

@@
typedef xendevicemodel_handle, domid_t, uint64_t;
identifier dmod, domid;
@@
 int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
 {
     ...
 }
+int xendevicemodel_limit(xendevicemodel_handle *dmod, uint64_t operations)
+{
+    return osdep_xendevicemodel_limit(dmod, operations);
+}

// common.c is for FreeBSD too, which has no such commands.
@@
typedef xendevicemodel_handle, domid_t, uint64_t;
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

@@
typedef xendevicemodel_handle, domid_t, uint64_t;
identifier dmod, domid;
@@
+int osdep_xendevicemodel_limit(xendevicemodel_handle *dmod,
+                               uint64_t operations)
+{
+    /*#ifdef IOCTL_PRIVCMD_LIMIT*/
+    if (dmod->fd >= 0) {
+        struct privcmd_limit limit = {
+            .commands = 1ULL << _IOC_NR(IOCTL_PRIVCMD_LIMIT),
+            .dm_ops = operations,
+        };
+
+        if (operations)
+            limit.commands |= 1ULL << _IOC_NR(IOCTL_PRIVCMD_DM_OP);
+        if (operations & 1ULL << XEN_DMOP_nr_vcpus)
+            limit.commands |= 1ULL << _IOC_NR(IOCTL_PRIVCMD_DM_NR_VCPUS);
+        return ioctl(dmod->fd, IOCTL_PRIVCMD_LIMIT, &limit);
+    }
+    /*#endif*/
+    errno = EOPNOTSUPP;
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
typedef xendevicemodel_handle, domid_t, uint64_t;
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

@@
typedef xendevicemodel_handle, domid_t, uint64_t;
identifier dmod, domid;
@@
+int osdep_xendevicemodel_limit(xendevicemodel_handle *dmod,
+                               uint64_t operations)
+{
+    errno = EOPNOTSUPP;
+    return -1;
+}
+
 int osdep_xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
 {
     errno = EOPNOTSUPP;
     return -1;
 }
