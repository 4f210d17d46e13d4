"""A recipe: a model, the mosaics it wants and the way it is run, as a typed value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from landloom.errors import CatalogProblem, InvalidInput
from landloom.raster.catalog.section import Section
from landloom.wire.enums import MergeModeEnum, MosaicToMosaicActorEnum
from landloom.wire.requests import Inference


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a recipe's weights are."""

    href: str
    """A path or URL that ends in `.pt2`."""
    sha256: str | None
    """Checksum that somebody saw; None pins the file on first download."""
    verified: bool
    """Whether somebody fetched the file from this very place."""


@dataclass(frozen=True, slots=True)
class VectorDefaults:
    """How this model's predictions are turned into polygons, unless a request says otherwise."""

    features: tuple[str, ...]
    """Labels."""
    threshold: float
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model together with the mosaics it wants and the way it is run."""

    name: str
    datasets: tuple[str, ...]
    inference: Inference
    model: ModelSource
    vector: VectorDefaults
    feature_order_verified: bool
    """Whether the order of `inference.features` was seen to be the one the model was trained on."""
    answers: tuple[str, ...]
    """Other recipe names that this one stands in for."""
    about: str


def read_recipe(name: str, section: Section) -> Recipe:
    """Return the recipe that a table describes.

    Raises:
        CatalogProblem: A key is missing, unknown or wrong; the message names file, entry and key.
    """
    model = read_model(section.section("model"))
    inference = _read_inference(section, model.href)
    recipe = Recipe(
        name=name,
        datasets=section.texts("datasets"),
        inference=inference,
        model=model,
        vector=_read_vector(section.optional_section("vector"), inference.labels),
        feature_order_verified=section.flag("feature_order_verified", default=False),
        answers=tuple(answer.upper() for answer in section.texts("answers", ())),
        about=section.text("about", name),
    )
    section.close()
    return recipe


def read_model(section: Section) -> ModelSource:
    """Return where the weights are, as a `model` table says it."""
    model = ModelSource(
        href=section.text("href"),
        sha256=section.optional_text("sha256"),
        verified=section.flag("verified", default=False),
    )
    section.close()
    return model


def _read_inference(section: Section, model_path: str) -> Inference:
    actor = section.text("actor", MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_PYTORCH.value)
    merge_mode = section.text("merge_mode", MergeModeEnum.WEIGHTED_AVERAGE.value)
    features, labels = section.texts("features"), section.texts("labels")
    try:
        return Inference(
            model_path=model_path,
            actor=MosaicToMosaicActorEnum.parse(actor),
            patch_size=section.integer("patch_size", minimum=1),
            clip_size=section.integer("clip_size"),
            features=list(features),
            labels=list(labels),
            device=section.text("device", "cpu"),
            max_batch_size=section.integer("max_batch_size", 8, minimum=1),
            merge_mode=MergeModeEnum.parse(merge_mode),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "patch_size"
        raise section.problem(where, f"is wrong: {first['msg']}") from error
    except CatalogProblem:
        raise
    except InvalidInput as error:
        raise CatalogProblem(f"{section.origin}: {error}") from error


def _read_vector(section: Section | None, labels: list[str]) -> VectorDefaults:
    if section is None:
        return VectorDefaults(tuple(labels[-1:]), 0.5)
    config = section.optional_section("config")
    defaults = VectorDefaults(
        features=section.texts("features"),
        threshold=section.number("threshold", 0.5),
        config={} if config is None else dict(config.table),
    )
    section.close()
    unknown = set(defaults.features) - set(labels)
    if unknown:
        raise section.problem("features", f"names {min(unknown)!r}, which is not a label")
    return defaults
