"""The plan of a mosaic: its grid and its scenes, frozen, so that a mosaic can be made again.

A plan holds all that a mosaic depends on: the datasets as the catalogue had them, and for each time
step and dataset the scenes that a search found. It lies beside the pixels from the first moment on;
a workflow that is started again, or a rerun, reads it and never searches.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from affine import Affine
from odc.geo.geobox import GeoBox
from pydantic import TypeAdapter

from landloom.raster.aoi import AoiRow
from landloom.raster.catalog.dataset import Dataset
from landloom.raster.grid import footprint, geobox_for
from landloom.raster.scenes import OnError, SceneTable, search_scenes, time_steps
from landloom.raster.store.layout import crs_of

_datasets: TypeAdapter[tuple[Dataset, ...]] = TypeAdapter(tuple[Dataset, ...])


@dataclass(frozen=True, slots=True)
class MosaicPlan:
    """What a mosaic is made of."""

    geobox: GeoBox
    datasets: tuple[Dataset, ...]
    """Their bands stand side by side in the store, in this order."""
    tables: tuple[tuple[SceneTable, ...], ...]
    """Per time step, per dataset."""

    @property
    def scenes(self) -> dict[str, int]:
        """Scenes per dataset over all time steps."""
        counts: dict[str, int] = {}
        for step in self.tables:
            for table in step:
                counts[table.dataset] = counts.get(table.dataset, 0) + len(table)
        return counts

    @property
    def missing_bands(self) -> dict[str, int]:
        """How many scenes lack a band, by its label in the store; bands that none lacks aside."""
        counts: Counter[str] = Counter()
        for step in self.tables:
            for dataset, table in zip(self.datasets, step, strict=True):
                for scene in table.scenes:
                    pairs = zip(dataset.labels, scene.bands, strict=False)  # the count band aside
                    counts.update(label for label, asset in pairs if asset is None)
        return dict(counts)

    @property
    def labels(self) -> list[str]:
        """The bands of the store, in order."""
        return [label for dataset in self.datasets for label in dataset.labels]

    @property
    def dtype(self) -> str:
        """How the store keeps pixels: as bytes where all datasets are bytes."""
        as_bytes = all(each.dtype == "uint8" and not each.count_band for each in self.datasets)
        return "uint8" if as_bytes else "float32"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        crs = crs_of(self.geobox)
        epsg = crs.to_epsg()
        return {
            "crs": crs.to_wkt() if epsg is None else f"EPSG:{epsg}",
            "shape": [int(side) for side in self.geobox.shape],
            "transform": list(self.geobox.affine)[:6],
            "datasets": _datasets.dump_python(self.datasets, mode="json"),
            "steps": [[table.to_json() for table in step] for step in self.tables],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Return the plan that `to_json` wrote."""
        height, width = document["shape"]
        return cls(
            geobox=GeoBox((height, width), Affine(*document["transform"]), document["crs"]),
            # By way of JSON text: only there may a list stand for a tuple in strict types.
            datasets=_datasets.validate_json(json.dumps(document["datasets"])),
            tables=tuple(
                tuple(SceneTable.from_json(table) for table in step) for step in document["steps"]
            ),
        )


def plan_mosaic(
    datasets: Sequence[Dataset],
    row: AoiRow,
    start: datetime,
    end: datetime,
    target_crs: int | None,
    on_error: OnError = "raise",
) -> MosaicPlan:
    """Return the grid and the scenes of a mosaic.

    Without a target CRS the grid has the first dataset's own; its pixel is the finest of all. The
    search covers the whole grid, not the AOI's outline alone: a pixel in the grid's corner has
    the scenes that it would have in any other mosaic.

    Raises:
        InvalidInput: The AOI has no place in the target CRS.
        CatalogProblem: An item lacks its assets and may not be left out (`on_error`).
        Unavailable: A STAC API fails.
        StoreProblem: A static catalogue cannot be read.
    """
    resolution = min(each.resolution for each in datasets)
    geobox = geobox_for(row.geometry, target_crs, resolution, datasets[0].datum, row.drawn)
    place = footprint(geobox)
    tables = tuple(
        tuple(search_scenes(dataset, place, low, high, on_error) for dataset in datasets)
        for low, high in time_steps(start, end)
    )
    return MosaicPlan(geobox, tuple(datasets), tables)
