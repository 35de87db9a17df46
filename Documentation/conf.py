# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx settings.

Sources of the reference parts are the comments in the code.  The kernel's own extension takes
them over; KERNEL_TREE names a kernel source that has it, such as Debian's linux-source-6.1.
"""

import os
import pathlib
import sys

from sphinx.errors import ConfigError

top = pathlib.Path(__file__).resolve().parents[1]
kernel_tree = pathlib.Path(os.environ.get("KERNEL_TREE", "")).resolve()

for part in ("Documentation/sphinx/kerneldoc.py", "scripts/kernel-doc"):
    if "KERNEL_TREE" not in os.environ or not (kernel_tree / part).exists():
        raise ConfigError(f"set KERNEL_TREE to a kernel source tree that has {part}")

sys.path.insert(0, str(kernel_tree / "Documentation" / "sphinx"))
# Warnings of scripts/kernel-doc fail the build as Sphinx's own do with -W.
os.environ["KDOC_WERROR"] = "1"

project = "xen-privcmd"
extensions = ["kerneldoc"]
kerneldoc_bin = str(kernel_tree / "scripts" / "kernel-doc")
kerneldoc_srctree = str(top)

primary_domain = "c"
highlight_language = "none"
# Types that belong to others: without them each mention in a prototype is a broken reference.
nitpicky = True
nitpick_ignore = [("c:identifier", name) for name in ("__u16", "__u32", "__u64", "domid_t")]

html_theme = "alabaster"
# Room for 95 columns of a terminal: the pictures are text.
html_theme_options = {"page_width": "1160px", "body_max_width": "920px"}
html_show_copyright = False
html_show_sourcelink = False
