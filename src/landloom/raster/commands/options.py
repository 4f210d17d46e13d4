"""Options that several commands share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from landloom.errors import InvalidInput
from landloom.raster.settings import EngineSettings

Aoi = Annotated[str, typer.Option("--aoi", help="GeoJSON or GeoParquet file or URL; any CRS.")]
Start = Annotated[str, typer.Option("--start", help="First day of the window, YYYY-MM-DD.")]
End = Annotated[str, typer.Option("--end", help="End of the window, YYYY-MM-DD, exclusive.")]
Crs = Annotated[
    int | None, typer.Option("--crs", help="EPSG code of the output; the imagery's own by default.")
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="A recipe of the catalogue.")]
Output = Annotated[
    str | None, typer.Option("--output", "-o", help="Folder or s3:// prefix for the outputs.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Make it anew, also if it was made before (no cache).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take; do nothing.")]
Skip = Annotated[
    bool,
    typer.Option("--skip", help="Leave out, and count, rasters that cannot be read."),
]
Overviews = Annotated[
    bool, typer.Option("--overviews", help="Write overviews and statistics while building.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Tiles at a time; the machine's cores by default.")
]
Catalog = Annotated[
    Path | None,
    typer.Option("--catalog", help="TOML file of datasets and recipes (LANDLOOM_CATALOG)."),
]


def settings_of(output: str | None, workers: int | None, catalog: Path | None) -> EngineSettings:
    """Return the settings of the environment with what was typed laid over them.

    Raises:
        InvalidInput: A number of workers is none.
    """
    settings = EngineSettings.from_environment()
    if workers is not None:
        if workers < 1:
            raise InvalidInput(f"--workers {workers} is not a positive number.")
        settings = replace(settings, workers=workers)
    if catalog is not None:
        settings = replace(settings, catalog=catalog)
    if output is not None:
        folder = output if "://" in output else str(Path(output).expanduser().absolute())
        # The cache goes with the outputs: another folder is asked for to have the outputs there.
        settings = replace(settings.writing_to(folder), cache=f"{folder.rstrip('/')}/cache/")
    return settings


def window(
    aoi: str, start: str, end: str, crs: int | None, *, skip: bool, overviews: bool
) -> dict[str, Any]:
    """Return what requests for imagery of a place and a time have in common."""
    return {
        "aoi": absolute([aoi])[0],
        "start": start,
        "end": end,
        "target_crs": crs,
        "on_error": "skip" if skip else "raise",
        "overviews": overviews,
    }


def absolute(given: list[str]) -> list[str]:
    """Return URIs, with paths made absolute: records must not depend on where one stands."""
    return [uri if "://" in uri else str(Path(uri).expanduser().absolute()) for uri in given]
