"""Predictions to polygons: polygonize, seams, attributes."""
