"""`landloom raster inspect|rerun`: what an output is, and to make it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from landloom.display import WorkflowDisplay
from landloom.display.plan import size
from landloom.errors import LandloomError
from landloom.raster import inspection
from landloom.raster.commands.options import Json, Workers, settings_of
from landloom.raster.commands.session import interruptible
from landloom.raster.rerun import rerun as make_again

SHOWN = 12
"""Bands or times that are listed one by one."""


def inspect(
    uri: Annotated[str, typer.Argument(help="A store, a folder of polygons, or an index.")],
    as_json: Json = False,
) -> None:
    """Say what an output is and where it comes from.

    \b
      landloom raster inspect s3://bucket/rasterflow/1a2b3c.zarr
    """
    found = inspection.inspect(uri)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    lines = _table_lines(found) if "rows" in found else _store_lines(found)
    for line in [uri, *lines, *_story_lines(found["provenance"])]:
        typer.echo(line)


def rerun(
    uri: Annotated[str, typer.Argument(help="An output that Landloom made.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Where to; beside it by default.")
    ] = None,
    workers: Workers = None,
) -> None:
    """Make an output again from its record.

    \b
      landloom raster rerun prediction.zarr --output again.zarr
    """
    settings = settings_of(None, workers, None)
    console = Console(stderr=True, highlight=False)
    source = uri if "://" in uri else str(Path(uri).expanduser().absolute())
    with interruptible() as cancelled, WorkflowDisplay("rerun", console) as display:
        try:
            made = make_again(
                source, output, settings=settings, show=display.show, cancelled=cancelled
            )
        except LandloomError:
            display.finish("FAILED")
            raise
    display.finish("COMPLETED")
    typer.echo(made.uri)


def _store_lines(found: dict[str, Any]) -> Iterator[str]:
    height, width = found["shape_yx"]
    state = {True: "complete", False: "not complete", None: "made by others"}[found["complete"]]
    yield f"  store     {state}, {size(found['bytes'])} in {found['objects']:,} objects"
    yield f"  grid      {height:,} x {width:,} px of {found['resolution']:g} in {found['crs']}"
    west, south, east, north = found["bbox_degrees"]
    yield f"  place     {west:.5f} {south:.5f} {east:.5f} {north:.5f} (west south east north)"
    yield f"  times     {_listed(found['times'])}"
    if found["valid_fraction"] is not None:
        yield f"  valid     {found['valid_fraction']:.1%} of pixels in every band"
    yield f"  overviews {'yes' if found['overviews'] else 'no'}"
    statistics = found["statistics"]
    yield f"  bands     minimum, mean and maximum of {statistics['of']}:"
    for label in found["bands"]:
        said = statistics["bands"].get(label, {})
        numbers = " ".join(
            f"{said[key]:>11.5g}" for key in ("minimum", "mean", "maximum") if key in said
        )
        yield f"    {label:<34} {numbers or 'no values'}"


def _table_lines(found: dict[str, Any]) -> Iterator[str]:
    if found["kind"] == "index":
        yield f"  index     of {found['rows']:,} stores"
        yield from (f"    {location}" for location in found["locations"])
    else:
        yield f"  polygons  {found['rows']:,} in {found['parts']:,} parts, {size(found['bytes'])}"
        yield from (f"    {label:<34} {count:>11,}" for label, count in found["labels"].items())
    yield "  columns   " + ", ".join(
        f"{name} ({kind})"
        for name, kind in found["columns"].items()
        if not kind.startswith("struct")
    )


def _story_lines(story: dict[str, Any] | None) -> Iterator[str]:
    if story is None:
        yield "  record    none: how it was made is not known"
        return
    yield f"  made      {story['made_at']} by {story['by']}, engine {story['versions']['engine']}"
    if story["recipe"] or story["datasets"]:
        yield f"  of        {story['recipe'] or ', '.join(story['datasets'])}"
    if story["model"]:
        yield f"  model     {story['model']['href']}, sha256 {story['model']['sha256'][:12]}"
    yield from (f"  from      {uri}" for uri in story["inputs"])
    if story["skipped_rasters"]:
        yield f"  left out  {story['skipped_rasters']} rasters that could not be read"
    yield f"  identity  {story['digest']}"


def _listed(items: list[str]) -> str:
    if len(items) <= SHOWN:
        return ", ".join(items)
    return f"{len(items)}, from {items[0]} to {items[-1]}"
