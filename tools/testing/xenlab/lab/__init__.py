# SPDX-License-Identifier: GPL-2.0-only
"""What makes a machine, and what runs in it; this room imports nothing of the others."""
