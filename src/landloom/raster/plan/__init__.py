"""What a workflow would take: bytes, patches, seconds. Nothing is run and nothing written."""
