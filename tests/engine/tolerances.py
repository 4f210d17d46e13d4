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

RUNTIMES = 1e-5
"""Between runtimes in single precision, as a share of the largest output: the order of sums."""

HALF_PRECISION = 5e-2
"""Between bfloat16 and single precision, as a share of the largest output: 8 bits a product."""

LEARNED = 1e-4
"""Between tiled and one-shot inference of a learned network of some 100 layers, in probability:
its sums run in another order, and what it sees beyond a patch is little but not nothing."""

EDGES_AND_TIES = 1e-3
"""Share of pixels: where a centre lies on the edge of two source pixels, or of the source, the last
bit of its coordinate decides, and GDAL computes it another way."""

AREA_RELATIVE = 1e-6
"""Areas of fields: their edges are straight in an equal-area projection, not geodesics."""

PERIMETER_RELATIVE = 1e-9
"""Lengths: the same geodesics, summed in another order."""

GEODESIC_AREA_M2 = 0.2
"""PROJ's geodesic areas are differences of areas down to the equator: good to a tenth or so."""

FLOAT_SUM_RELATIVE = 1e-12
"""Sums of areas of polygons with the same corners, taken in another order."""
