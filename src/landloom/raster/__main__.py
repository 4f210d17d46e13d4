"""`python -m landloom.raster`: the engine's commands, for people without a server."""

from __future__ import annotations

from landloom.raster.commands.program import main

if __name__ == "__main__":
    main()
