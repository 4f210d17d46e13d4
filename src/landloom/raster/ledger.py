"""What finished tasks said, noted down beside the output until all of them are done.

A task writes its note before its output appears. So whatever is killed when, an output that is
there has its note, and a workflow that goes on need neither do the task again nor look at pixels to
know what became of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from landloom.errors import StoreProblem
from landloom.raster.store import objects

READERS = 16
"""Notes that are fetched at a time: on an object store each takes a round trip."""

BATCH = 1024
"""Notes that are asked for together, so that few wait in memory."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A folder of notes, a small object each; any number of processes may write to it."""

    uri: str

    def note(self, name: str, what: Mapping[str, Any]) -> None:
        """Write a task's note, or write it anew.

        Raises:
            StoreProblem: It cannot be written.
        """
        objects.write_bytes(self._uri(name), json.dumps(what).encode())

    def notes(self, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield each task's note; None where there is none.

        Raises:
            StoreProblem: The store does not answer, or refuses.
        """
        waiting = iter(names)
        with ThreadPoolExecutor(READERS, thread_name_prefix="notes") as pool:
            while batch := [name for _, name in zip(range(BATCH), waiting, strict=False)]:
                yield from zip(batch, pool.map(self._read, batch), strict=True)

    def clear(self) -> None:
        """Remove all notes: the output itself now says what they said.

        Raises:
            StoreProblem: They cannot be removed.
        """
        objects.remove_objects(self.uri)

    def _read(self, name: str) -> dict[str, Any] | None:
        uri = self._uri(name)
        try:
            found: dict[str, Any] = json.loads(objects.read_bytes(uri))
        except StoreProblem:
            if objects.exists(uri):
                raise
            return None
        return found

    def _uri(self, name: str) -> str:
        return f"{self.uri.rstrip('/')}/{name}.json"
