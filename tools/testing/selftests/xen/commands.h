/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The list of commands: name, on which files it may be used, and whether by 32-bit callers
 * too.  Whoever includes this file defines ROW(name, access, compat) for its own use.
 */

ROW(HYPERCALL, UNRESTRICTED_ONLY, false)
ROW(MMAP, OWN_DOMAIN_ONLY, false)
ROW(MMAPBATCH, OWN_DOMAIN_ONLY, false)
ROW(MMAPBATCH_V2, OWN_DOMAIN_ONLY, false)
ROW(DM_OP, OWN_DOMAIN_ONLY, false)
ROW(RESTRICT, ANY_FILE, true)
ROW(MMAP_RESOURCE, OWN_DOMAIN_ONLY, false)
ROW(IRQFD, OWN_DOMAIN_ONLY, false)
ROW(IOEVENTFD, OWN_DOMAIN_ONLY, false)
ROW(PCIDEV_GET_GSI, UNRESTRICTED_ONLY, false)
ROW(DM_NR_VCPUS, OWN_DOMAIN_ONLY, true)
ROW(LIMIT, ANY_FILE, true)

#undef ROW
