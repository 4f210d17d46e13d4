"""Models that answer text prompts with geometries."""
