"""A model made ready for a request, and what it does: the one door to torch.

It stands apart from `workflow` because importing torch takes seconds that only predictions need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from landloom.raster.journal import Report
from landloom.raster.models.load import Model, load_model
from landloom.raster.models.registry import ModelRegistry
from landloom.raster.models.resolve import resolve_model
from landloom.raster.predict.mosaic import predict_mosaic
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import Inference
from landloom.wire.results import MosaicRow


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model and the way a request wants it run; the two fit."""

    inference: Inference
    model: Model

    def predict(
        self,
        source: CubeStore,
        output_uri: str,
        report: Report,
        cancelled: Callable[[], bool],
    ) -> MosaicRow:
        """Write the model's output over `source` to a store; see `predict_mosaic`."""
        return predict_mosaic(
            source, self.inference, self.model, output_uri, report=report, cancelled=cancelled
        )


def ready_model(
    inference: Inference, sha256: str | None, recipe: str | None, models: Path
) -> ReadyModel:
    """Fetch a model, load it and hold it against the request; no pixel is read.

    Args:
        inference: What the request says of the model.
        sha256: The checksum that the catalogue knows; None where nobody has seen the file.
        recipe: The recipe that asks, if one does.
        models: Folder of registered and downloaded model files.

    Raises:
        ModelUnavailable: It is not here and cannot be fetched.
        ModelRejected: It cannot be used, or does not fit the request.
    """
    file = resolve_model(inference.model_path, sha256, ModelRegistry(models), recipe)
    model = load_model(file, inference.device)
    model.check(inference)
    return ReadyModel(inference, model)
