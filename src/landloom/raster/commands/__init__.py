"""`landloom raster`: what the engine does, by command, in this process and without a server."""
