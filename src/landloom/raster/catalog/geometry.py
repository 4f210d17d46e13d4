"""A geometry recipe: a model that answers text prompts, the mosaics it wants, the way it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import ValidationError

from landloom.raster.catalog.recipe import ModelSource, read_model
from landloom.raster.catalog.section import Section
from landloom.wire.requests import GeometryInference

ANY_PROMPT = "anything"
"""Stands for the caller's prompts while an entry is checked."""


@dataclass(frozen=True, slots=True)
class GeometryRecipe:
    """A geometry model together with the mosaics it wants and the way it is run."""

    name: str
    datasets: tuple[str, ...]
    features: tuple[str, ...]
    """Bands of the mosaic in the order of the model's input channels."""
    model: ModelSource
    output: Literal["polygons", "boxes"]
    patch_size: int
    clip_size: int
    confidence_threshold: float
    """Least score, where the caller says nothing."""
    device: str
    max_batch_size: int
    feature_order_verified: bool
    """Whether the order of `features` was seen to be the one the model was trained on."""
    answers: tuple[str, ...]
    """Other recipe names that this one stands in for."""
    about: str

    def inference(
        self, text_prompt: Sequence[str], confidence_threshold: float | None = None
    ) -> GeometryInference:
        """Return how the model is run for a caller's prompts.

        Args:
            text_prompt: What to look for.
            confidence_threshold: Least score; None is the recipe's own.
        """
        least = self.confidence_threshold if confidence_threshold is None else confidence_threshold
        return GeometryInference(
            model_path=self.model.href,
            features=list(self.features),
            text_prompt=list(text_prompt),
            confidence_threshold=least,
            output=self.output,
            patch_size=self.patch_size,
            clip_size=self.clip_size,
            device=self.device,
            max_batch_size=self.max_batch_size,
        )


def read_geometry_recipe(name: str, section: Section) -> GeometryRecipe:
    """Return the geometry recipe that a table describes.

    Raises:
        CatalogProblem: A key is missing, unknown or wrong; the message names file, entry and key.
    """
    output = section.choice("output", ("polygons", "boxes"), "polygons")
    recipe = GeometryRecipe(
        name=name,
        datasets=section.texts("datasets"),
        features=section.texts("features"),
        model=read_model(section.section("model")),
        output=cast("Literal['polygons', 'boxes']", output),
        patch_size=section.integer("patch_size", minimum=1),
        clip_size=section.integer("clip_size"),
        confidence_threshold=section.number("confidence_threshold", 0.5),
        device=section.text("device", "cpu"),
        max_batch_size=section.integer("max_batch_size", 1, minimum=1),
        feature_order_verified=section.flag("feature_order_verified", default=False),
        answers=tuple(answer.upper() for answer in section.texts("answers", ())),
        about=section.text("about", name),
    )
    section.close()
    try:
        recipe.inference([ANY_PROMPT])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "patch_size"
        raise section.problem(where, f"is wrong: {first['msg']}") from error
    return recipe
