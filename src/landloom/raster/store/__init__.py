"""Where pixels and polygons are kept: object URLs, Zarr, GeoParquet."""
