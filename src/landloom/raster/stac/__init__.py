"""STAC, as far as the engine needs it: where items are found and what of an item matters."""
