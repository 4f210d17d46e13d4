"""The supervising process of one workload: standard library and psutil only."""
