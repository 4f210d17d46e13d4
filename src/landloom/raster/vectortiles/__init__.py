"""Vector tiles for maps: features as GeoJSON lines, cut into a PMTiles archive by tippecanoe."""
