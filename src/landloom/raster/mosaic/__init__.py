"""Scenes to one composite: read, warp, mask, reduce."""
