# SPDX-License-Identifier: GPL-2.0-only
#
# What the driver uses of the newest kernel's API and an older kernel lacks is
# in include/.  Which of it is lacking is seen in the kernel's own headers, so
# that a distribution's backports count too.

# $(call compat-lacks,MACRO,regular expression,header)
compat-lacks = $(shell grep -qs -e '$2' $(srctree)/include/$3 || echo -DCOMPAT_NO_$1)

compat-flags := \
	$(call compat-lacks,FREE_KVFREE,DEFINE_FREE.kvfree\>,linux/slab.h) \
	$(call compat-lacks,KMALLOC_OBJ,define kmalloc_obj\>,linux/slab.h) \
	$(call compat-lacks,VM_FLAGS_SET,\<vm_flags_set\>,linux/mm.h) \
	$(call compat-lacks,VMA_IS_SHARED_MAYWRITE,\<vma_is_shared_maywrite\>,linux/mm.h) \
	$(call compat-lacks,ZAP_SPECIAL_VMA_RANGE,\<zap_special_vma_range\>,linux/mm.h) \
	$(call compat-lacks,MM_GET_UNMAPPED_AREA,\<mm_get_unmapped_area\>,linux/sched/mm.h) \
	$(call compat-lacks,MM_GET_UNMAPPED_AREA_OF_FILE,\<mm_get_unmapped_area.struct file\>,linux/sched/mm.h) \
	$(call compat-lacks,LOCKDOWN_XEN_USER_ACTIONS,\<LOCKDOWN_XEN_USER_ACTIONS\>,linux/security.h) \
	$(call compat-lacks,IOREQ,struct ioreq,xen/interface/hvm/ioreq.h)

# The driver of a kernel without the lookup does not know PCIDEV_GET_GSI at all.
compat-flags += $(if $(call compat-lacks,,\<xen_acpi_get_gsi_from_sbdf\>,xen/acpi.h),-DPRIVCMD_GSI_ERROR=-ENOTTY)

# From Linux 6.8 on the kernel can share an event channel that user space has
# bound, and has the eventfd_signal() of today.
compat-has-eventfds := $(if $(call compat-lacks,,\<eventfd_signal(struct eventfd_ctx [*]ctx),linux/eventfd.h),,y)
