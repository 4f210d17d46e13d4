"""Job runs: create, read, list, cancel, and the reconciler that moves them."""
