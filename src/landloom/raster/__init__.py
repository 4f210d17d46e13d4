"""The engine: scenes to mosaics to predictions to polygons. A library of its own."""
