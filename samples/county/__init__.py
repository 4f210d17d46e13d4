"""Scenes for a place that has none: real pixels and real cloud shapes, moved there."""
