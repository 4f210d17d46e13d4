"""Keep what is made: take it from the cache, or make it, put its record beside it, remember it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python
from shapely.geometry.base import BaseGeometry

from landloom.errors import StoreProblem
from landloom.raster.made import Made
from landloom.raster.methods.work import Work
from landloom.raster.plan.rates import Effort
from landloom.raster.provenance import (
    InputStore,
    Origin,
    Provenance,
    changed_since,
    digest_of,
    publish,
    read_provenance,
    valid_record,
)
from landloom.raster.provenance.record import read_document, write_document
from landloom.raster.store import objects
from landloom.raster.store.companions import companion
from landloom.raster.store.index import write_index
from landloom.wire.progress import Stage
from landloom.wire.results import MosaicRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NOUNS = {
    "mosaic": "Mosaic",
    "prediction": "Prediction",
    "polygons": "Polygons",
    "geometries": "Geometries",
    "change": "Change",
    "multiscales": "Multiscales",
}

BEGUN = "begun.json"
"""Companion that is there before any pixel: what the output that was begun there is made of."""


def keep(
    work: Work,
    origin: Origin,
    uri: str,
    make: Callable[[], Made],
    *,
    number: int = 0,
    catalogue: Mapping[str, Any] | None = None,
    effort: Callable[[], Effort] | None = None,
) -> Made:
    """Return the output that `origin` describes: one of an earlier workflow, or made now.

    The order makes kills harmless: the output is finished, its record is written, and only then
    is it remembered. It is not where its inputs changed while they were read.

    Args:
        work: The workflow.
        origin: What the output is made of.
        uri: Where it goes if it is made.
        make: Makes it there; started again, it goes on.
        number: Which of the workflow's outputs of this kind it is.
        catalogue: Entries of the catalogue that were used, for the record.
        effort: Tells how much work it is, whose time is remembered; None remembers none. Not asked
            where an output is there, or an earlier start left something of it.

    Raises:
        StoreProblem: What lies at `uri` was begun of other things.
    """
    earlier = remembered(work, origin)
    if earlier is not None:
        tell(work, origin, earlier)
        return earlier
    afresh = _claim(uri, origin)
    asked = effort() if effort is not None and afresh else None
    started = time.monotonic()
    made = make()
    if asked is not None:
        seconds = time.monotonic() - started
        work.rates().learn(asked, seconds, work.executor.workers)
    record = None if afresh else valid_record(made.uri)
    if record is None or record.origin.digest != origin.digest:
        record = Provenance(
            origin,
            request=work.request.model_dump(mode="json"),
            seed=work.seed,
            number=number,
            catalogue=catalogue or {},
            inputs=tuple(_record_of(each) for each in origin.inputs),
            skipped=tuple(made.skipped),
            skipped_rasters=made.skipped_rasters,
            changed=(*made.changed, *changed_since(origin.inputs)),
        )
        publish(made.uri, record)
    _remember(work, made, record)
    tell(work, origin, made)
    return made


def begun_otherwise(uri: str, origin: Origin) -> bool:
    """Tell whether what lies at `uri`, whole or not, was begun of other things than `origin` says.

    Raises:
        StoreProblem: The store does not answer.
    """
    return _begun(uri) not in {None, origin.digest}


def remembered(work: Work, origin: Origin) -> Made | None:
    """Return the output of an earlier workflow that is made of the same things, if there is one."""
    cache = work.cache()
    if cache is None or not origin.certain:
        return None
    return cache.find(_key(work, origin))


def keep_index(
    work: Work,
    rows: Sequence[MosaicRow],
    geometries: Sequence[BaseGeometry],
    datasets: Sequence[str] = (),
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """Return the URI of the index of stores: an earlier one of the very same, or written now."""
    said = [row.model_dump(mode="json") for row in rows]
    places = [geometry.wkb_hex for geometry in geometries]
    window = [None if moment is None else moment.isoformat() for moment in (start, end)]
    key = digest_of(["index", said, places, list(datasets), window, work.request.bucket])
    cache = work.cache()
    earlier = None if cache is None else cache.find(key)
    if earlier is not None:
        return earlier.uri
    uri = work.uri("index", ".parquet")
    write_index(uri, rows, geometries, datasets=datasets, start=start, end=end)
    if cache is not None:
        cache.put(key, Made(uri=uri))
    return uri


def rows_of(made: Iterable[Made]) -> list[MosaicRow]:
    """Return stores as rows of an index."""
    return [each.row for each in made if each.row is not None]


def catalogue_of(
    datasets: Sequence[str], recipe: DataclassInstance | None = None
) -> dict[str, Any]:
    """Return the entries of the catalogue that were used; scenes hold the datasets in full."""
    said: dict[str, Any] = {"datasets": list(datasets)}
    return said if recipe is None else {**said, "recipe": to_jsonable_python(asdict(recipe))}


def tell(work: Work, origin: Origin, made: Made) -> None:
    """Report a finished output."""
    how = ", from the cache: an earlier workflow made it of the same things" if made.cached else ""
    count = "" if made.count is None else f"{made.count} "
    stage: Stage = "publish"
    noun = NOUNS[origin.what]
    work.journal.report(stage, f"{count}{noun.lower() if count else noun} at {made.uri}{how}")


def _claim(uri: str, origin: Origin) -> bool:
    """Say at an output what it will be made of; return whether nothing of it is there yet.

    Raises:
        StoreProblem: What lies there was begun of other things.
    """
    begun = _begun(uri)
    if begun not in {None, origin.digest}:
        raise StoreProblem(
            f"What lies at {uri} was made of other things, or by another version.",
            suggestion="Choose another output, or delete it.",
        )
    if begun is None:
        write_document(companion(uri, BEGUN), {"digest": origin.digest})
    return begun is None


def _begun(uri: str) -> str | None:
    """Return the digest of what was begun at `uri`: empty where none tells, None where none is."""
    said = read_document(companion(uri, BEGUN))
    if said is not None:
        return str(said.get("digest"))
    return None if next(objects.list_objects(uri), None) is None else ""


def _remember(work: Work, made: Made, record: Provenance) -> None:
    """Put an output into the cache, unless nobody knows what exactly was read for it."""
    for name in record.changed:
        work.journal.warn("publish", f"{name} changed while it was read: run this again")
    cache = work.cache()
    if cache is None or record.changed or made.skipped_rasters or not record.origin.certain:
        return
    cache.put(_key(work, record.origin), made, record.digest)


def _key(work: Work, origin: Origin) -> str:
    """Return the cache's key: who names a bucket wants the output there, not elsewhere."""
    return digest_of([origin.digest, work.request.bucket])


def _record_of(store: InputStore) -> dict[str, Any] | None:
    """Return the record that an input is known by; None where it is known by what lies there."""
    record = read_provenance(store.uri)
    return record.to_json() if record is not None and record.digest == store.digest else None
