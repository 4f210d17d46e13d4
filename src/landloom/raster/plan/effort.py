"""How much work a workflow is, from grids and scene tables alone; no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from odc.geo.geobox import GeoBox
from shapely import prepare

from landloom.raster.grid import footprint, patch_origin
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.plan.rates import Effort
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.store.layout import crs_of
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.requests import GeometryInference, Inference

UTM = frozenset({*range(32601, 32661), *range(32701, 32761)})
"""EPSG codes of the UTM zones: imagery that comes in one is not resampled in its own."""

CHANGE = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH


def mosaic_effort(plan: MosaicPlan) -> Effort:
    """Return the work of a mosaic: the pixels of its scenes within the grid, band by band."""
    place = footprint(plan.geobox)
    prepare(place)
    size = float(np.prod(plan.geobox.shape, dtype=float))
    pixels = 0.0
    for step in plan.tables:
        for dataset, table in zip(plan.datasets, step, strict=True):
            bands = len(dataset.bands) + (dataset.mask is not None)
            for scene in table.scenes:
                shared = scene.geometry.intersection(place).area / place.area
                pixels += min(shared, 1.0) * size * bands
    code = crs_of(plan.geobox).to_epsg()
    grid = "UTM" if code in UTM else f"EPSG:{code}"
    names = "+".join(sorted({dataset.name for dataset in plan.datasets}))
    return Effort("mosaic", f"{names} in {grid}", pixels)


def patches_of(geobox: GeoBox, steps: int, inference: Inference | GeometryInference) -> int:
    """Return how many patches a model is run on over a mosaic of so many time steps."""
    if isinstance(inference, Inference):
        lattice = PatchLattice.of(inference)
        runs = 1 if inference.actor is CHANGE else steps
    else:
        lattice = PatchLattice(inference.patch_size, inference.clip_size, blended=True)
        runs = steps * len(inference.text_prompt)
    rows, columns = (
        len(lattice.over(first, first + side))
        for first, side in zip(patch_origin(geobox), geobox.shape, strict=True)
    )
    return rows * columns * runs


def prediction_effort(patches: int, inference: Inference | GeometryInference) -> Effort:
    """Return the work of running a model over patches."""
    kind = "predict" if isinstance(inference, Inference) else "geometries"
    name = inference.model_path.rsplit("/", 1)[-1]
    return Effort(kind, f"{name} on {inference.device}", patches * inference.patch_size**2)


def cube_effort(kind: str, shape_yx: Sequence[int], layers: int) -> Effort:
    """Return the work of going once over a cube: `layers` are bands times time steps."""
    return Effort(kind, "stores", float(shape_yx[0]) * shape_yx[1] * layers)
