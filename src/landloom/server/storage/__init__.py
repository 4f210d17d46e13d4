"""Managed storage: its layout and the environment through which jobs reach it."""
