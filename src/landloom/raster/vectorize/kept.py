"""Tiles that were traced, kept beside the output until it is whole: a restart need not trace again.

They are written by pickle, which packs arrays best, and read by an unpickler that knows arrays and
the shapes of this package and nothing else, so a file cannot name code to run.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Self

import imagecodecs

from landloom.errors import StoreProblem
from landloom.raster.grid import Tile
from landloom.raster.store import objects
from landloom.raster.store.companions import companion
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.tile import TilePolygons

type Place = tuple[int, int, int]
"""Time index, iy, ix."""

OURS = "landloom.raster.vectorize."
ARRAYS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
}


@dataclass(frozen=True, slots=True)
class KeptTiles:
    """Traced tiles of one vectorization, an object each."""

    uri: str

    @classmethod
    def of(cls, output_uri: str, source: CubeStore, config: VectorizeConfig, size: int) -> Self:
        """Return the tiles of a vectorization; any other one at the same place has others."""
        made_of = [source.uri, dict(source.attributes), asdict(config), size]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode())
        return cls(companion(output_uri, f"tiles/{digest.hexdigest()[:12]}"))

    def places(self) -> set[Place]:
        """Return what is kept, by one listing.

        Raises:
            StoreProblem: The store does not answer, or refuses.
        """
        names = (uri.removeprefix(self.uri).strip("/") for uri in objects.list_objects(self.uri))
        parts = (name.split("/") for name in names)
        # Anything else is what a killed writer left: an unfinished upload has another name.
        return {
            (int(part[0]), int(part[1]), int(part[2]))
            for part in parts
            if len(part) == 3 and all(each.isdigit() for each in part)  # noqa: PLR2004 - a Place
        }

    def put(self, time_index: int, tile: Tile, found: list[TilePolygons]) -> None:
        """Keep a tile; it is there whole or not at all.

        Raises:
            StoreProblem: It cannot be written.
        """
        packed = imagecodecs.zstd_encode(pickle.dumps(found, pickle.HIGHEST_PROTOCOL), level=1)
        objects.write_bytes(self._uri(time_index, tile), bytes(packed))

    def get(self, time_index: int, tile: Tile) -> list[TilePolygons]:
        """Return a tile that is kept.

        Raises:
            StoreProblem: It is not there, or cannot be read.
        """
        uri = self._uri(time_index, tile)
        packed = imagecodecs.zstd_decode(objects.read_bytes(uri))
        try:
            found: list[TilePolygons] = _Unpickler(io.BytesIO(packed)).load()
        except (pickle.UnpicklingError, EOFError) as error:
            raise StoreProblem(
                f"{uri} is no traced tile: {error}",
                suggestion="Delete it, or the whole output, and start again.",
            ) from error
        return found

    def clear(self) -> None:
        """Remove all tiles.

        Raises:
            StoreProblem: They cannot be removed.
        """
        objects.remove_objects(self.uri)

    def _uri(self, time_index: int, tile: Tile) -> str:
        return f"{self.uri}/{time_index}/{tile.iy}/{tile.ix}"


class _Unpickler(pickle.Unpickler):
    """Knows arrays and the values of this package."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in ARRAYS:
            return super().find_class(module_name, global_name)
        if module_name.startswith(OURS) and "." not in global_name:
            found = super().find_class(module_name, global_name)
            if isinstance(found, type) and is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
