"""Model files: fetch, check, load, run."""
