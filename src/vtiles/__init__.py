"""Vector tiles from tables of geometries: the calls of the public notebooks.

    import vtiles

    vtiles.generate_pmtiles(df, "s3://bucket/fields.pmtiles")
    vtiles.show_pmtiles("s3://bucket/fields.pmtiles")

A table has a `geometry` column in longitude and latitude, within 85.0511 degrees of the equator. A
column `layer` names the layer of each row ("default" where there is none), a whole-numbered column
`id` its feature; all other columns become attributes. Of no rows an archive without tiles is made.
"""

from landloom.raster.vectortiles.config import GenerationConfig, PMTilesConfig
from vtiles.archive import PMTilesView, show_pmtiles
from vtiles.generate import generate, generate_pmtiles, generate_quick_pmtiles

__all__ = [
    "GenerationConfig",
    "PMTilesConfig",
    "PMTilesView",
    "generate",
    "generate_pmtiles",
    "generate_quick_pmtiles",
    "show_pmtiles",
]
