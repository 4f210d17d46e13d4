"""Ask a geometry model over mosaics: from stores to a GeoParquet folder.

Patches lie on the lattice of the CRS, as in a prediction; pieces of work are runs of patches along
it, and everything after the model happens in lattice order. So the folder holds the same rows in
the same order for any batch, any number of workers and after any restart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched, groupby

import numpy as np

from landloom.errors import Cancelled, InvalidInput
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.geometries.merge import Merger, Thing
from landloom.raster.geometries.model import GeometryModel
from landloom.raster.geometries.rows import RowWriting
from landloom.raster.geometries.shelf import Shelf
from landloom.raster.geometries.sighting import PatchGround, Sighting, sight
from landloom.raster.grid import Window, patch_origin
from landloom.raster.journal import Report
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.pixels import Pixels, hull, read_pixels
from landloom.raster.predict.plan import PatchKey, Planner
from landloom.raster.store.companions import companion
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import GeometryInference

PIECE_PIXELS = 8 << 20
"""Pixels of the patches of one piece of work: what is read, and lost by a kill, at a time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of patches along one row of the lattice: pure and restartable."""

    number: int
    """Of the source among all."""
    source: CubeStore
    time_index: int
    inference: GeometryInference
    planner: Planner
    patches: tuple[PatchKey, ...]
    shelf: Shelf
    name: str
    """Of its object on the shelf."""


def find_geometries(  # noqa: PLR0913 - all that the answer depends on
    sources: Sequence[CubeStore],
    inference: GeometryInference,
    make: Callable[[], GeometryModel],
    output_uri: str,
    *,
    identity: str,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
    target_crs: int = 4326,
    piece_pixels: int = PIECE_PIXELS,
) -> tuple[str, int]:
    """Write what a model finds in mosaics as polygons or boxes.

    Args:
        sources: Mosaics; their bands include `inference.features`.
        inference: Features, prompts, patches, least score, and what is written.
        make: Makes the model; called once in each worker.
        output_uri: Folder to write, by convention ending in `.parquet`.
        identity: Names the model's content: pieces that another one made are not used.
        executor: Runs the pieces.
        report: Is told how far it has come.
        cancelled: Asked before each batch.
        target_crs: EPSG code of the geometries.
        piece_pixels: See PIECE_PIXELS; the result does not depend on it.

    Returns:
        The folder's URI and how many geometries are in it.

    Raises:
        InvalidInput: A source lacks a feature, or there is no such CRS.
        StoreProblem: Reading or writing failed.
        Cancelled: `cancelled` said so; finished pieces are kept for the next start.
    """
    _check_patches(inference)
    for source in sources:
        source.require_bands(inference.features, "inference.features")
    question = _question(sources, inference, identity)
    shelf = Shelf(companion(output_uri, f"sightings-{question}"))
    pieces = [
        piece
        for number, source in enumerate(sources)
        for piece in _pieces(number, source, inference, shelf, piece_pixels)
    ]
    writing = RowWriting(output_uri, sources, inference, target_crs)
    _run(pieces, make, inference, executor, report, cancelled)
    for _, of_source in groupby(pieces, key=lambda piece: piece.number):
        own = list(of_source)
        report("vectorize", f"Outlining what was found in {own[0].source.uri}")
        writing.write(own[0].source, _things(own, cancelled))
    writing.finish()
    shelf.clear()
    return output_uri, writing.rows


def find_in_piece(model: GeometryModel, piece: Piece, cancelled: AskCancelled) -> None:
    """Run the model on the patches of a piece and put what it sees on the shelf."""
    if cancelled():
        raise Cancelled("The search for geometries was cancelled.")
    planner = piece.planner
    windows = {key: planner.patch_window(key) for key in piece.patches}
    pixels = read_pixels(
        piece.source, (piece.time_index,), piece.inference.features, hull(windows.values())
    )
    filled = [key for key, window in windows.items() if pixels.any_in(window)]
    sightings: list[Sighting] = []
    for batch in batched(filled, model.batch):
        if cancelled():
            raise Cancelled("The search for geometries was cancelled.")
        patches = np.stack([pixels.patch(windows[key]) for key in batch])
        found = model.find(patches, piece.inference.confidence_threshold)
        for key, instances in zip(batch, found, strict=True):
            ground = _ground(piece, key, pixels)
            seen = (sight(ground, number, each) for number, each in enumerate(instances))
            sightings += [each for each in seen if each is not None]
    piece.shelf.put(piece.name, sightings)


def _run(
    pieces: Sequence[Piece],
    make: Callable[[], GeometryModel],
    inference: GeometryInference,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
) -> None:
    """Bring every piece to the shelf that is not there yet."""
    there = pieces[0].shelf.names()
    missing = [piece for piece in pieces if piece.name not in there]
    done, total = len(pieces) - len(missing), len(pieces)
    asked = ", ".join(inference.text_prompt)
    report("predict", f"Looking for {asked}", done, total)
    gpus = 1.0 if inference.device.startswith("cuda") else 0.0
    for _ in executor.map_with(make, find_in_piece, missing, cancelled, gpus=gpus):
        done += 1
        report("predict", f"Looking for {asked}", done, total)


def _things(pieces: Sequence[Piece], cancelled: AskCancelled) -> Iterator[tuple[int, Thing]]:
    """Yield the time step and thing of all pieces of one source, in lattice order."""
    for time_index, of_time in groupby(pieces, key=lambda piece: piece.time_index):
        merger: Merger | None = None
        for piece in of_time:
            if cancelled():
                raise Cancelled("The search for geometries was cancelled.")
            merger = merger or Merger(piece.planner)
            sightings = piece.shelf.get(piece.name)
            by_patch = {
                key: list(own) for key, own in groupby(sightings, key=lambda each: each.key[0])
            }
            for key in piece.patches:
                for thing in merger.add(key, by_patch.get(key, [])):
                    yield time_index, thing
        if merger is not None:
            for thing in merger.finish():
                yield time_index, thing


def _pieces(
    number: int,
    source: CubeStore,
    inference: GeometryInference,
    shelf: Shelf,
    piece_pixels: int,
) -> Iterator[Piece]:
    """Yield the pieces of a mosaic, by time and then along the lattice."""
    lattice = PatchLattice(inference.patch_size, inference.clip_size, blended=True)
    gy, gx = patch_origin(source.geobox)
    height, width = source.shape_yx
    planner = Planner(lattice, (gy, gx), 0, 0)
    length = max(1, piece_pixels // inference.patch_size**2)
    for time_index in range(len(source.times)):
        for ky in lattice.over(gy, gy + height):
            for run in batched(lattice.over(gx, gx + width), length):
                keys = tuple((ky, kx) for kx in run)
                name = f"{number}-{time_index}-{ky}-{run[0]}-{len(run)}.arrow"
                yield Piece(number, source, time_index, inference, planner, keys, shelf, name)


def _ground(piece: Piece, key: PatchKey, pixels: Pixels) -> PatchGround:
    height, width = piece.source.shape_yx
    reach = piece.planner.reach_window(key)
    inside = reach.clipped(Window(0, 0, height, width))
    ends = (reach.y0 > 0, reach.x0 > 0, reach.y1 < height, reach.x1 < width)
    return PatchGround(key, piece.planner.patch_window(key), inside, ends, pixels.valid_in(inside))


def _check_patches(inference: GeometryInference) -> None:
    if not inference.clip_size:
        raise InvalidInput(
            "clip_size is 0: patches have no ground in common, so nothing could be told whole.",
            suggestion="Pass about an eighth of patch_size.",
            field="inference.clip_size",
        )
    if len(set(inference.text_prompt)) != len(inference.text_prompt):
        raise InvalidInput(
            "text_prompt names something twice.",
            suggestion="Name each thing once.",
            field="inference.text_prompt",
        )


def _question(sources: Sequence[CubeStore], inference: GeometryInference, identity: str) -> str:
    """Return the name of all that the sightings depend on."""
    ground = [
        [source.uri, source.shape_yx, list(source.geobox.affine), list(map(str, source.times))]
        for source in sources
    ]
    asked = inference.model_dump(mode="json", exclude={"device", "max_batch_size", "output"})
    said = json.dumps([ground, asked, identity], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
