"""Where the sightings of finished pieces of work lie, until all are there.

Each piece is one object beside the output, so a workflow that was killed goes on with what is
missing, and results come back in lattice order whatever order they were made in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import obstore
import pyarrow as pa
from obstore.exceptions import BaseError

from landloom.errors import StoreProblem
from landloom.raster.geometries.sighting import Sighting
from landloom.raster.grid import Window
from landloom.raster.store import objects

WINDOW = pa.list_(pa.int32(), 4)
"""y0, x0, y1, x1."""

SCHEMA = pa.schema(
    [
        ("ky", pa.int32()),
        ("kx", pa.int32()),
        ("number", pa.int32()),
        ("prompt", pa.int32()),
        ("score", pa.float64()),
        ("window", WINDOW),
        ("bits", pa.binary()),
        ("box", WINDOW),
        ("cut", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder of pieces. It belongs to one question: its name says which."""

    uri: str

    def names(self) -> set[str]:
        """Return the pieces that are there.

        Raises:
            StoreProblem: The folder cannot be listed.
        """
        return {uri.rsplit("/", 1)[-1] for uri in objects.list_objects(self.uri)}

    def put(self, name: str, sightings: Iterable[Sighting]) -> None:
        """Keep a piece; it appears at once or not at all.

        Raises:
            StoreProblem: It cannot be written.
        """
        rows = [
            {
                "ky": each.key[0][0],
                "kx": each.key[0][1],
                "number": each.key[1],
                "prompt": each.prompt,
                "score": each.score,
                "window": _numbers(each.window),
                "bits": each.bits.tobytes(),
                "box": _numbers(each.box),
                "cut": each.cut,
            }
            for each in sightings
        ]
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        objects.write_bytes(f"{self.uri}/{name}", sink.getvalue().to_pybytes())

    def get(self, name: str) -> list[Sighting]:
        """Return a piece.

        Raises:
            StoreProblem: It is not there or cannot be read.
        """
        with pa.ipc.open_stream(objects.read_bytes(f"{self.uri}/{name}")) as stream:
            rows = stream.read_all().to_pylist()
        return [
            Sighting(
                ((row["ky"], row["kx"]), row["number"]),
                row["prompt"],
                row["score"],
                Window(*row["window"]),
                np.frombuffer(row["bits"], np.uint8),
                Window(*row["box"]),
                row["cut"],
            )
            for row in rows
        ]

    def clear(self) -> None:
        """Delete every piece.

        Raises:
            StoreProblem: One cannot be deleted.
        """
        for uri in list(objects.list_objects(self.uri)):
            location = objects.resolve(uri)
            try:
                obstore.delete(location.store, location.path)
            except (BaseError, OSError) as error:
                raise StoreProblem(
                    f"Cannot delete {uri}: {error}", suggestion="Delete it by hand."
                ) from error


def _numbers(window: Window) -> list[int]:
    return [window.y0, window.x0, window.y1, window.x1]
