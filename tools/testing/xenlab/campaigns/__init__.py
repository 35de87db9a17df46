# SPDX-License-Identifier: GPL-2.0-only
"""What is done with the lab: one module for each command, and what they share."""
