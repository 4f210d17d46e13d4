"""`python -m landloom.raster.models`: the model files of this machine."""

from __future__ import annotations

from landloom.raster.models.commands import main

if __name__ == "__main__":
    main()
