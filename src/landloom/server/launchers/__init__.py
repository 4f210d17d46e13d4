"""Launchers start workloads; runtimes say how large each may be."""
