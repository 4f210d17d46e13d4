"""Temporary keys to a path of the managed storage, for those who ask."""
