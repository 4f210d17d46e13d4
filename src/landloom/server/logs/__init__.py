"""The lines that runs printed: written once, read by cursor."""
