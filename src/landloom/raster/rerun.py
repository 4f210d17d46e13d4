"""Make an output again from its record: the same scenes without a search, the same model file.

On one machine with the same versions the result is equal to the last bit. An input that is gone, or
has changed, is made again first, of its own record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from landloom.errors import StoreProblem
from landloom.raster.execute.selection import executor_of
from landloom.raster.journal import Journal
from landloom.raster.made import Made
from landloom.raster.methods.keeping import keep
from landloom.raster.methods.making import (
    COMPUTING,
    computing,
    inference_of,
    make_change,
    make_geometries,
    make_mosaic,
    make_multiscales,
    make_polygons,
    make_prediction,
)
from landloom.raster.methods.predictions import load
from landloom.raster.methods.work import Work
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.mosaic.read import shared_reader
from landloom.raster.provenance import (
    InputStore,
    Origin,
    Provenance,
    differences,
    digest_of,
    engine_version,
    identify,
    read_provenance,
    read_scenes,
    versions,
)
from landloom.raster.provenance.origin import OWN_RASTERS
from landloom.raster.provenance.rasters import changed_rasters, own_rasters
from landloom.raster.provenance.record import Scenes
from landloom.raster.settings import EngineSettings
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import workflow_request

NAMED = 5
"""Changed rasters that are named one by one; more are counted."""


def rerun(
    uri: str,
    output: str | None = None,
    *,
    settings: EngineSettings,
    show: Callable[[ProgressEvent], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> Made:
    """Make the output at `uri` again, elsewhere.

    Args:
        uri: A store or folder that carries its record.
        output: Where to; None is beside it, with `-rerun` in its name.
        settings: The engine's surroundings.
        show: Called with every progress event. Versions that differ are warnings.
        cancelled: Asked between pieces of work.

    Raises:
        StoreProblem: There is no record, its scenes were altered, or an input is gone for good.
        ModelUnavailable: The model cannot be had.
        ModelRejected: The model is here, with another checksum.
    """
    record = read_provenance(uri)
    if record is None:
        raise StoreProblem(
            f"{uri} carries no record of how it was made.",
            suggestion="Pass the URI of a store or folder that Landloom made.",
        )
    shared_reader().renew()
    target = output or re.sub(r"(\.\w+)?/*$", r"-rerun\1", uri, count=1)
    request = workflow_request.validate_python({**record.request, "cache": False})
    journal = Journal(show)
    for difference in differences(dict(record.versions), versions()):
        journal.warn("search", f"Made by other versions: {difference}")
    if record.skipped_rasters:
        journal.warn("search", f"{record.skipped_rasters} rasters were left out then")
    with closing(executor_of(settings, partial(journal.report, "predict"))) as executor:
        work = Work(settings, record.seed, journal, cancelled, executor, request)
        return _remake(work, record, read_scenes(uri), target)


def _remake(work: Work, record: Provenance, scenes: Scenes | None, uri: str) -> Made:
    """Carry out a record, its missing inputs first."""
    inputs = tuple(
        _input(work, record, scenes, number, uri) for number in range(len(record.origin.inputs))
    )
    origin = replace(record.origin, engine=engine_version(), inputs=inputs)
    origin = _as_things_are(work, origin, scenes)
    return keep(
        work,
        origin,
        uri,
        lambda: _make(work, origin, scenes, uri),
        number=record.number,
        catalogue=record.catalogue,
    )


def _as_things_are(work: Work, origin: Origin, scenes: Scenes | None) -> Origin:
    """Return an origin that says what is used now, and warn where that is something else."""
    said = dict(origin.parameters)
    if COMPUTING in said and said[COMPUTING] != computing():
        then, now = said[COMPUTING], computing()
        work.journal.warn("search", f"Models were run by {then} then and are run by {now} here")
        said[COMPUTING] = now
    if OWN_RASTERS in said:
        found = own_rasters(_plan(origin, scenes))
        sentence = _changes(said[OWN_RASTERS] or {}, found)
        if sentence:
            work.journal.warn("search", f"{sentence}: the result may be another one")
        said[OWN_RASTERS] = found
    return replace(origin, parameters=said)


def _changes(then: Any, now: Mapping[str, str | None]) -> str | None:
    """Return what became of the caller's own rasters, if anything did."""
    if not isinstance(then, Mapping):
        return "An earlier version made it, and whether the caller's own rasters changed is unknown"
    changed = changed_rasters(then, now)
    if not changed:
        return None
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return f"{len(changed)} of the caller's own rasters changed since: " + (
        ", ".join(changed[:NAMED]) + more
    )


def _input(
    work: Work, record: Provenance, scenes: Scenes | None, number: int, uri: str
) -> InputStore:
    """Return an input as it was: the very one if it is still there, or else made again."""
    known, said = record.origin.inputs[number], record.inputs[number]
    try:
        found = identify(known.uri)
    except StoreProblem:
        found = None
    if found is not None and found.digest == known.digest:
        return found
    state = "is gone" if found is None else "is not what it was"
    if said is None:
        raise StoreProblem(
            f"{known.uri}, of which the output was made, {state}, and no record says how it was"
            " made.",
            suggestion="Bring it back to its place.",
        )
    work.journal.report("search", f"{known.uri} {state}: it is made again first")
    stem = re.sub(r"(\.\w+)?/*$", "", uri, count=1)
    of_input = None if scenes is None else scenes["inputs"][number]
    made = _remake(work, Provenance.from_json(said), of_input, f"{stem}-input-{number}.zarr")
    return identify(made.uri)


def _make(work: Work, origin: Origin, scenes: Scenes | None, uri: str) -> Made:
    match origin.what:
        case "mosaic":
            return make_mosaic(work, origin, uri, _plan(origin, scenes), origin.digest)
        case "prediction":
            model = origin.model
            assert model is not None  # noqa: S101 - prediction_origin takes one
            return make_prediction(
                work, origin, uri, lambda: load(work, inference_of(origin), model)
            )
        case "polygons":
            return make_polygons(work, origin, uri)
        case "geometries":
            return make_geometries(work, origin, uri)
        case "change":
            return make_change(work, origin, uri)
        case "multiscales":
            return make_multiscales(work, origin, uri)


def _plan(origin: Origin, scenes: Scenes | None) -> MosaicPlan:
    """Return the frozen plan, held against its checksum."""
    # The file's own words, not what this engine would write: later engines may have more to say.
    said = {name: value for name, value in (scenes or {}).items() if name != "key"}
    if not said or digest_of(said) != origin.scenes_sha256:
        state = "were altered" if said else "are gone"
        raise StoreProblem(
            f"The frozen scenes of the mosaic {state}.",
            suggestion="Build it with a search: landloom raster mosaic.",
        )
    return MosaicPlan.from_json(said)
