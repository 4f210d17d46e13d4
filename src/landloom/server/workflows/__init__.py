"""Raster workflows as workloads: submit, follow, cancel, in a capacity pool of their own."""
