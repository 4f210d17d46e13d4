"""The answer to a dry run: what would be read, run and made. Nothing of it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from odc.geo.geobox import GeoBox

from landloom.raster.grid import tile_count
from landloom.raster.methods.work import Work
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.plan.effort import (
    cube_effort,
    mosaic_effort,
    patches_of,
    prediction_effort,
)
from landloom.raster.plan.rates import Effort
from landloom.raster.plan.reading import bytes_to_read
from landloom.raster.provenance import contents_of
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import CubeStore
from landloom.wire.plan import Plan, PlannedMosaic
from landloom.wire.requests import GeometryInference, Inference

type AnyInference = Inference | GeometryInference


@dataclass(slots=True)
class _Sum:
    """Adds up a plan."""

    work: Work
    mosaics: list[PlannedMosaic] = field(default_factory=list)
    patches: int = 0
    bytes: int = 0
    seconds: float = 0.0
    notes: dict[str, None] = field(default_factory=dict)
    """An ordered set."""

    def add(self, effort: Effort) -> float:
        """Count the time of a piece of work and return it, seconds."""
        estimate = self.work.rates().estimate(effort, self.work.executor.workers)
        self.notes[f"seconds: {estimate.basis}"] = None
        self.seconds += estimate.seconds
        return estimate.seconds

    def add_model(self, geobox: GeoBox, steps: int, inference: AnyInference) -> float:
        """Count a model's patches over a grid and return their time, seconds."""
        patches = patches_of(geobox, steps, inference)
        self.patches += patches
        return self.add(prediction_effort(patches, inference))

    def add_store(
        self,
        geobox: GeoBox,
        steps: int,
        shard: int,
        size: int,
        seconds: float,
        scenes: dict[str, int] | None = None,
    ) -> None:
        """Add one store to the table."""
        height, width = (int(side) for side in geobox.shape)
        epsg = crs_of(geobox).to_epsg()
        self.bytes += size
        self.mosaics.append(
            PlannedMosaic(
                crs=crs_of(geobox).name if epsg is None else f"EPSG:{epsg}",
                shape_yx=(height, width),
                resolution=float(geobox.affine.a),
                scenes=scenes or {},
                tiles=tile_count((height, width), shard) * steps,
                bytes_to_read=size,
                seconds=seconds,
            )
        )

    def plan(self, inference: AnyInference | None) -> Plan:
        """Return the plan."""
        return Plan(
            mosaics=self.mosaics,
            model=None if inference is None else inference.model_path,
            patches=self.patches,
            bytes_to_read=self.bytes,
            seconds=self.seconds,
            notes=list(self.notes),
        )


def plan_of(
    work: Work,
    plans: Iterable[MosaicPlan],
    inference: AnyInference | None = None,
    notes: Sequence[str] = (),
) -> Plan:
    """Return what building these mosaics would take, and what running a model over them would.

    Args:
        work: The workflow.
        plans: The mosaics; they are gone through once.
        inference: The model's run, if one follows.
        notes: What else there is to say.
    """
    total = _Sum(work, notes=dict.fromkeys(notes))
    for plan in plans:
        reading = bytes_to_read(plan)
        total.notes[reading.note] = None
        seconds = total.add(mosaic_effort(plan))
        if inference is not None:
            seconds += total.add_model(plan.geobox, len(plan.tables), inference)
        total.add_store(
            plan.geobox, len(plan.tables), work.settings.shard, reading.bytes, seconds, plan.scenes
        )
    return total.plan(inference)


def plan_over(
    work: Work,
    stores: Sequence[CubeStore],
    kind: str,
    *,
    bands: int | None = None,
    inference: AnyInference | None = None,
) -> Plan:
    """Return what going over stores that are there would take.

    Args:
        work: The workflow.
        stores: What would be read.
        kind: Of the work; see `rates.DEFAULTS`.
        bands: How many bands of each store would be read; None is all.
        inference: The model's run, if it is one.
    """
    total = _Sum(work)
    for store in stores:
        steps, read = len(store.times), len(store.bands) if bands is None else bands
        size = round(contents_of(store.uri).bytes * read / len(store.bands))
        total.notes["bytes: the size of the stores, by the share of bands that is read"] = None
        if inference is None:
            seconds = total.add(cube_effort(kind, store.shape_yx, read * steps))
        else:
            seconds = total.add_model(store.geobox, steps, inference)
        total.add_store(store.geobox, steps, store.shard, size, seconds)
    return total.plan(inference)
