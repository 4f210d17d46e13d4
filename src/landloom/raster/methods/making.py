"""Carry out an origin: make an output of exactly what it names.

Requests come here once it is known what they mean, and reruns with what a record says; so a rerun
cannot differ from the first making.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from landloom.raster.change import change_mosaics
from landloom.raster.made import Made
from landloom.raster.memory import return_free_memory
from landloom.raster.methods.work import Work
from landloom.raster.models.device import settled
from landloom.raster.models.options import ModelOptions
from landloom.raster.mosaic.build import Sizes, build_mosaic
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.multiscales import build_multiscales
from landloom.raster.provenance import InputStore, Origin, UsedModel, digest_of, engine_version
from landloom.raster.provenance.origin import OWN_RASTERS
from landloom.raster.provenance.rasters import changed_rasters, own_rasters
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.wire.progress import Stage
from landloom.wire.requests import GeometryInference, Inference

if TYPE_CHECKING:
    from landloom.raster.prediction import ReadyModel

SKIPPED = "landloom:skipped_rasters"
"""Attribute of a mosaic: how many rasters were left out."""

COMPUTING = "computing"
"""Parameter of a prediction: how this machine runs models."""

LEFT_OUT = "Left out: "
"""How a warning begins that names a raster that was left out."""


def mosaic_origin(plan: MosaicPlan, sizes: Sizes, *, on_error: str, overviews: bool) -> Origin:
    """Return what a mosaic is made of: its plan, its rasters and the way it is cut."""
    said = {
        "sizes": asdict(sizes),
        "on_error": on_error,
        "overviews": overviews,
        OWN_RASTERS: own_rasters(plan),
    }
    return Origin("mosaic", engine_version(), said, scenes_sha256=digest_of(plan.to_json()))


def make_mosaic(work: Work, origin: Origin, uri: str, plan: MosaicPlan, key: str) -> Made:
    """Build a mosaic of a plan; `key` names what was asked for, see `build_mosaic`."""
    skipped: list[str] = []

    def warn(stage: Stage, message: str) -> None:
        if message.startswith(LEFT_OUT):
            skipped.append(message.removeprefix(LEFT_OUT))
        work.journal.warn(stage, message)

    row = build_mosaic(
        lambda: plan,
        uri,
        work.executor,
        work.journal.report,
        work.cancelled,
        key=key,
        warn=warn,
        sizes=Sizes(**origin.parameters["sizes"]),
        on_error=origin.parameters["on_error"],
        overviews=origin.parameters["overviews"],
    )
    return_free_memory()
    count = int(CubeStore.open(row.location).attributes.get(SKIPPED, 0))
    changed = changed_rasters(origin.parameters[OWN_RASTERS], own_rasters(plan))
    return Made(uri=row.location, row=row, skipped=skipped, skipped_rasters=count, changed=changed)


def prediction_origin(inference: Inference, model: UsedModel, source: InputStore) -> Origin:
    """Return what a prediction is made of: the machine's arithmetic has a say in the last bits."""
    # Where there is no GPU, what asks for one is the same as what asks for none.
    device, _ = settled(inference.device)
    said = {**_said(inference), "device": device, COMPUTING: computing()}
    return _origin("prediction", said, source, model=model)


def computing() -> dict[str, str]:
    """Return which library and precision models are run in here."""
    options = ModelOptions.from_environment()
    return {"runtime": options.runtime.value, "precision": options.precision.value}


def make_prediction(work: Work, origin: Origin, uri: str, model: Callable[[], ReadyModel]) -> Made:
    """Run a model over a mosaic."""
    source = CubeStore.open(origin.inputs[0].uri)
    row = model().predict(
        source,
        uri,
        work.journal.report,
        work.cancelled,
        executor=work.executor,
        warn=work.journal.warn,
    )
    return Made(uri=row.location, row=row)


def polygons_origin(parameters: dict[str, Any], source: InputStore) -> Origin:
    """Return what polygons are made of; parameters are those of `VectorizeMosaic`."""
    return _origin("polygons", parameters, source)


def make_polygons(work: Work, origin: Origin, uri: str) -> Made:
    """Turn a prediction into polygons."""
    # Arrow and all that makes shapes of it are nothing that pixels need.
    from landloom.raster.vectorize.mosaic import vectorize_mosaic  # noqa: PLC0415

    said = origin.parameters
    made, count = vectorize_mosaic(
        CubeStore.open(origin.inputs[0].uri),
        VectorizeConfig.parse(said["vectorize_config"], said["features"], said["threshold"]),
        uri,
        said["target_crs"],
        executor=work.executor,
        report=work.journal.report,
        warn=work.journal.warn,
        cancelled=work.cancelled,
    )
    return Made(uri=made, count=count)


def change_origin(features: list[str] | None, sources: list[InputStore]) -> Origin:
    """Return what a change product is made of."""
    return _origin("change", {"features": features}, *sources)


def make_change(work: Work, origin: Origin, uri: str) -> Made:
    """Subtract each time step from the next one."""
    row = change_mosaics(
        [CubeStore.open(each.uri) for each in origin.inputs],
        origin.parameters["features"],
        uri,
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
    )
    return Made(uri=row.location, row=row)


def multiscales_origin(source: InputStore) -> Origin:
    """Return what a multiscale store is made of."""
    return _origin("multiscales", {}, source)


def make_multiscales(work: Work, origin: Origin, uri: str) -> Made:
    """Copy a store into one with overviews and statistics."""
    made = build_multiscales(
        CubeStore.open(origin.inputs[0].uri),
        uri,
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
    )
    return Made(uri=made)


def geometries_origin(
    inference: GeometryInference, target_crs: int, model: UsedModel, sources: list[InputStore]
) -> Origin:
    """Return what the answer to text prompts is made of."""
    said = {**_said(inference), "target_crs": target_crs}
    return _origin("geometries", said, *sources, model=model)


def make_geometries(work: Work, origin: Origin, uri: str) -> Made:
    """Ask a model for geometries."""
    # Only models pay the seconds that torch takes to import.
    from landloom.raster.geometries.prediction import predict_geometries  # noqa: PLC0415

    assert origin.model is not None  # noqa: S101 - geometries_origin takes one
    made, count = predict_geometries(
        [CubeStore.open(each.uri) for each in origin.inputs],
        GeometryInference(model_path=origin.model.href, **origin.parameters),
        uri,
        models=work.settings.models,
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
        target_crs=origin.parameters["target_crs"],
        sha256=origin.model.sha256,
        recipe=origin.model.recipe,
    )
    return Made(uri=made, count=count)


def inference_of(origin: Origin) -> Inference:
    """Return how a prediction's model was run."""
    assert origin.model is not None  # noqa: S101 - prediction_origin takes one
    said = {name: value for name, value in origin.parameters.items() if name != COMPUTING}
    return Inference(model_path=origin.model.href, **said)


def _origin(what: Any, parameters: dict[str, Any], *sources: InputStore, **more: Any) -> Origin:
    return Origin(what, engine_version(), parameters, tuple(sources), **more)


def _said(inference: Inference | GeometryInference) -> dict[str, Any]:
    """Return all that is said of a model's run but where the file is: its content stands for it."""
    return inference.model_dump(mode="json", exclude={"model_path"})
