"""What ended workloads leave on this machine's disk, and how long."""
