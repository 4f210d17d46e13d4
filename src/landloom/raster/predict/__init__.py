"""A model over a mosaic: patches, batches, blend."""
