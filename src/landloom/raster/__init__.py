"""The engine: scenes to mosaics to predictions to polygons. A library of its own."""

from landloom.raster.memory import settle_allocators

settle_allocators()
