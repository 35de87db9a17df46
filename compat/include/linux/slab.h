/* SPDX-License-Identifier: GPL-2.0-only */

#include_next <linux/slab.h>

#ifndef __XEN_PRIVCMD_COMPAT_SLAB_H
#define __XEN_PRIVCMD_COMPAT_SLAB_H

#ifdef COMPAT_NO_FREE_KVFREE
#include <linux/cleanup.h>
DEFINE_FREE(kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kvfree(_T))
#endif

#ifdef COMPAT_NO_KMALLOC_OBJ
#define kzalloc_obj(obj, gfp) kzalloc(sizeof(obj), gfp)
#define kvzalloc_obj(obj, gfp) kvzalloc(sizeof(obj), gfp)
#endif

#endif /* __XEN_PRIVCMD_COMPAT_SLAB_H */
