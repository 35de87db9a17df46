// SPDX-License-Identifier: GPL-2.0-only
// Has libxenforeignmemory limit handles; the rest of the patch is made by upstream.py,
// which also puts white space right.

// core.c
@@
typedef xenforeignmemory_handle, domid_t, uint32_t;
identifier fmem, domid;
@@
 int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
 {
     ...
 }
+int xenforeignmemory_limit(xenforeignmemory_handle *fmem, uint32_t resources,
+                           unsigned int flags)
+{
+    if ( flags & ~(XENFOREIGNMEMORY_LIMIT_READ_ONLY |
+                   XENFOREIGNMEMORY_LIMIT_NO_MAPPING) )
+    {
+        errno = EINVAL;
+        return -1;
+    }
+
+    return osdep_xenforeignmemory_limit(fmem, resources, flags);
+}

// linux.c
@@
typedef xenforeignmemory_handle, domid_t, uint32_t;
identifier fmem, domid;
@@
 int osdep_xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
 {
     return ioctl(...);
 }
+int osdep_xenforeignmemory_limit(xenforeignmemory_handle *fmem,
+                                 uint32_t resources, unsigned int flags)
+{
+    struct privcmd_limit limit = {
+        .commands = 1ULL << _IOC_NR(IOCTL_PRIVCMD_LIMIT),
+        .resources = resources,
+    };
+
+    /* MMAPBATCH, too: xenforeignmemory_map() falls back to it on EINVAL. */
+    if ( !(flags & XENFOREIGNMEMORY_LIMIT_NO_MAPPING) )
+        limit.commands |= 1ULL << _IOC_NR(IOCTL_PRIVCMD_MMAPBATCH) |
+                          1ULL << _IOC_NR(IOCTL_PRIVCMD_MMAPBATCH_V2) |
+                          1ULL << _IOC_NR(IOCTL_PRIVCMD_MMAP_RESOURCE);
+    if ( flags & XENFOREIGNMEMORY_LIMIT_READ_ONLY )
+        limit.flags = PRIVCMD_LIMIT_READ_ONLY;
+
+    return ioctl(fmem->fd, IOCTL_PRIVCMD_LIMIT, &limit);
+}
