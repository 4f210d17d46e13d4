"""Things become rows of a GeoParquet folder, in one order that depends on the things alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched

import numpy as np
import pyarrow as pa

from landloom.raster.geometries.merge import Thing
from landloom.raster.geometries.outline import box_shapes, outlines
from landloom.raster.store.geoparquet import GeoParquetFolder, bounds_column
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.project import Projection, output_crs
from landloom.raster.vectorize.spill import Layer, Spill, Stretch
from landloom.wire.requests import GeometryInference

SCORE = "bbox_score"

PLACE = "found"
"""Column that orders things at one place: their number in lattice order."""

TOGETHER = 2048
"""Things that go to the spill at a time."""


class RowWriting:
    """Writes the things of one mosaic after the other."""

    def __init__(
        self, uri: str, sources: Sequence[CubeStore], inference: GeometryInference, target_crs: int
    ) -> None:
        """Prepare a folder for the things of all `sources`.

        Raises:
            InvalidInput: There is no such CRS.
        """
        self.rows = 0
        self._parts = 0
        self._prompts = inference.text_prompt
        self._boxes = inference.output == "boxes"
        crs = output_crs(target_crs)
        cut = any(Projection(each.geobox, crs).crosses_antimeridian for each in sources)
        self._multipart = cut or not self._boxes
        kind = "MultiPolygon" if self._multipart else "Polygon"
        self._folder = GeoParquetFolder(uri, crs, kind, ((SCORE, pa.float64()),))

    def write(self, source: CubeStore, things: Iterable[tuple[int, Thing]]) -> None:
        """Write the things of a mosaic.

        Args:
            source: The mosaic.
            things: Time step and thing, in lattice order.

        Raises:
            InvalidInput: A geometry has no place in the CRS.
            StoreProblem: A part cannot be written.
        """
        with Spill(source.shape_yx, (PLACE,)) as spill:
            for found in batched(enumerate(things), TOGETHER):
                self._spill(spill, [(number, *each) for number, each in found])
            projection = Projection(source.geobox, self._folder.crs, self._multipart)
            for stretches in spill.parts():
                self._folder.write_part(
                    self._parts, self._row_groups(source, projection, stretches)
                )
                self._parts += 1
            self.rows += spill.rows

    def finish(self) -> None:
        """End the folder: it has at least one part, and none of an earlier writing."""
        if not self._parts:
            self._folder.write_part(0, [])
        self._folder.remove_beyond(max(self._parts, 1))

    def _spill(self, spill: Spill, found: list[tuple[int, int, Thing]]) -> None:
        draw = box_shapes if self._boxes else outlines
        layers: dict[Layer, list[tuple[int, Thing]]] = {}
        for number, time_index, thing in found:
            layers.setdefault(Layer(time_index, thing.prompt), []).append((number, thing))
        for layer, things in layers.items():
            further = {
                SCORE: np.array([thing.score for _, thing in things]),
                PLACE: np.array([number for number, _ in things]),
            }
            spill.add(layer, draw([thing for _, thing in things]), further)

    def _row_groups(
        self, source: CubeStore, projection: Projection, stretches: list[Stretch]
    ) -> Iterator[dict[str, pa.Array]]:
        for stretch in stretches:
            rows = stretch.read()
            time = source.times[stretch.layer.time_index].astype("datetime64[us]")
            found = projection.geometries(rows.shapes)
            yield {
                "geometry": found.wkb,
                "time": pa.array(np.full(len(rows), time)),
                "label": pa.repeat(self._prompts[stretch.layer.feature_index], len(rows)),
                "bbox": bounds_column(found.bounds),
                SCORE: pa.array(rows.columns[SCORE]),
            }
