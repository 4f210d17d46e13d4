"""How far a number may be off, and why. Nothing else in the tests is compared by a tolerance."""

STATISTICS_RELATIVE = 1e-12
"""Mean and deviation of a band: sums in float64 whose order follows the shards."""

PROJECTED_DEGREES = 1e-10
"""Corners of polygons are interpolated between exact nodes: off by at most 1e-6 of a 10 m pixel."""

WARPED_NUMBERS = 1
"""Bytes or digital numbers between our bilinear warp and GDAL's exact one: two roundings of one
value, and a source position that is interpolated between nodes 32 px apart."""

PREDICTED = 1e-5
"""Between tiled and one-shot inference: convolutions whose sums run in another order for another
image size."""
