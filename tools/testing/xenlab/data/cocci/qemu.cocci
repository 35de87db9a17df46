// SPDX-License-Identifier: GPL-2.0-only
// Has QEMU size what it keeps for each vCPU of its domain by what Xen says; the rest
// of the patch is made by upstream.py, which also counts what each rule has added.
// Until 8.0 the places of xen-hvm-common.c are in xen-hvm.c.

@@
typedef CPUState, ioreq_t, XenIOState;
identifier state;
@@
+/* The command line can be wrong, or say nothing. */
+static unsigned int xen_nr_vcpus(unsigned int max_cpus)
+{
+    unsigned int vcpus;
+
+    if (xendevicemodel_nr_vcpus(xen_dmod, xen_domid, &vcpus)) {
+        return max_cpus;
+    }
+    if (vcpus != max_cpus) {
+        warn_report("xen: domain %u has %u vCPUs, not %u",
+                    xen_domid, vcpus, max_cpus);
+    }
+    return vcpus;
+}
+
+static unsigned long xen_ioreq_frames(const XenIOState *state)
+{
+    return DIV_ROUND_UP(state->nr_vcpus, XC_PAGE_SIZE / sizeof(ioreq_t));
+}
+
 static int xen_map_ioreq_server(XenIOState *state)
 {
     ...
 }

@@
identifier state, ms, max_cpus;
@@
 static ioreq_t *cpu_get_ioreq(XenIOState *state)
 {
-    MachineState *ms = MACHINE(qdev_get_machine());
-    unsigned int max_cpus = ms->smp.max_cpus;
+    unsigned int max_cpus = state->nr_vcpus;
     ...
 }

// Until 9.1 both kinds of pages are always there.
@@
identifier state;
@@
 xenforeignmemory_map_resource(xen_fmem, xen_domid, XENMEM_resource_ioreq_server,
                               state->ioservid, 0,
-                              2,
+                              1 + xen_ioreq_frames(state),
                               ...)

@@
identifier state;
@@
-unsigned long num_frames = 1;
+unsigned long num_frames = xen_ioreq_frames(state);
 ...
 if (state->has_bufioreq) {
     frame = 0;
-    num_frames = 2;
+    num_frames++;
 }

@@
identifier state, rc, max_cpus;
@@
+state->nr_vcpus = xen_nr_vcpus(max_cpus);
 rc = xen_map_ioreq_server(state);
 ...
 state->cpu_by_vcpu_id = g_new0(CPUState *, max_cpus);

// CPU states are put in by their own numbers.
@@
identifier state, max_cpus;
@@
-state->cpu_by_vcpu_id = g_new0(CPUState *, max_cpus);
+state->cpu_by_vcpu_id = g_new0(CPUState *, MAX(max_cpus, state->nr_vcpus));

@@
identifier state, max_cpus;
expression type;
@@
 state->ioreq_local_port = g_new0(type,
-max_cpus
+state->nr_vcpus
 )

@@
identifier state, i, rc, bind, max_cpus;
@@
 for (i = 0; i <
-max_cpus
+state->nr_vcpus
 ; i++) {
     rc = bind(state->xce_handle, xen_domid, ...);
     ...
 }

// A vCPU that QEMU has no state for has no registers to take.
@@
identifier state, req;
@@
 static void handle_vmport_ioreq(XenIOState *state, ioreq_t *req)
 {
     ...
     current_cpu = state->cpu_by_vcpu_id[state->send_vcpu];
+    if (!current_cpu) {
+        req->data = ~0;
+        return;
+    }
     ...
 }
