"""Executors run tiles: on this machine, or on a cluster."""
