"""One workflow on a terminal: progress on standard error, the result on standard output."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console

from landloom.display import WorkflowDisplay, print_plan
from landloom.display.plan import size
from landloom.errors import InvalidInput, LandloomError
from landloom.raster.settings import EngineSettings
from landloom.raster.workflow import run
from landloom.wire.requests import WorkflowRequest, workflow_request
from landloom.wire.results import MosaicRow, WorkflowResult

SEED_DIGITS = 20

__all__ = ["finish", "interruptible", "request_of", "size", "work"]


def request_of(kind: str, **said: Any) -> WorkflowRequest:
    """Return the request that the options mean.

    Raises:
        InvalidInput: A value cannot be used; the message names the option.
    """
    try:
        return workflow_request.validate_python({"kind": kind, **said})
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "request"
        raise InvalidInput(f"{field}: {first['msg']}.") from problem


def work(request: WorkflowRequest, settings: EngineSettings) -> WorkflowResult:
    """Do a workflow, show its progress on standard error, and return what it made.

    Its id follows from the request, so the same command goes on where an earlier one was ended.
    """
    said = request.model_dump_json(exclude={"runtime", "cache", "dry_run"})
    seed = hashlib.sha256(said.encode()).hexdigest()[:SEED_DIGITS]
    own = settings.writing_to(f"{settings.output_uri}{seed}/")
    console = Console(stderr=True, highlight=False)
    with interruptible() as cancelled, WorkflowDisplay(request.kind, console) as display:
        display.begun(seed)
        try:
            result = run(request, settings=own, seed=seed, show=display.show, cancelled=cancelled)
        except LandloomError:
            display.finish("FAILED")
            raise
    display.finish("COMPLETED (cached)" if result.cached else "COMPLETED")
    return result


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C ask for the end of the work; a second one ends the process at once."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    before = [signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield stop.is_set
    finally:
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(each, handler)


def finish(result: WorkflowResult, *, as_json: bool) -> None:
    """Print a result: as JSON, or as lines to read and to paste."""
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    if result.plan is not None:
        print_plan(result.plan)
        return
    for row in result.mosaics:
        _print_store(row)
    if result.index_uri and len(result.mosaics) > 1:
        typer.echo(f"{result.index_uri}\n  index of {len(result.mosaics)} stores")
    if result.uri:
        count = "" if result.count is None else f"\n  {result.count:,} rows"
        typer.echo(f"{result.uri}{count}")
    if result.pmtiles_uri:
        typer.echo(f"{result.pmtiles_uri}\n  vector tiles")
    if result.skipped_rasters:
        typer.echo(f"{result.skipped_rasters} rasters could not be read and were left out.")
    typer.echo("\nPaste into Python:")
    for line in lines_to_paste(result):
        typer.echo(f"  {line}")


def lines_to_paste(result: WorkflowResult) -> list[str]:
    """Return Python that opens what was made."""
    lines = [f'import xarray as xr; xr.open_zarr("{row.location}")' for row in result.mosaics[:1]]
    if result.uri is not None and result.uri.rstrip("/").endswith(".zarr"):
        lines.append(f'import xarray as xr; xr.open_zarr("{result.uri}")')
    tables = [result.uri] if result.uri and not lines else []
    tables += [result.index_uri] if result.index_uri and len(result.mosaics) > 1 else []
    return lines + [f'import geopandas as gpd; gpd.read_parquet("{uri}")' for uri in tables]


def _print_store(row: MosaicRow) -> None:
    height, width = row.shape_yx
    valid = "" if row.valid_fraction is None else f", {row.valid_fraction:.1%} valid"
    typer.echo(f"{row.location}\n  {height:,} x {width:,} px in {row.crs}{valid}")
    typer.echo(f"  bands: {', '.join(row.bands)}")
