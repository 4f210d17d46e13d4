"""The client of Landloom's raster workflows, under the name that existing scripts import."""
