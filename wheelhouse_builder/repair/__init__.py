"""Repair: a raw wheel becomes a musllinux wheel in canonical form, or the reason why it cannot be one."""
