"""A model made ready for a request, and what it does: the one door to torch.

It stands apart from `workflow` because importing torch takes seconds that only predictions need.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from landloom.raster.execute.base import Executor
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.journal import Report
from landloom.raster.models.load import Model, Runner, load_model
from landloom.raster.models.registry import ModelRegistry
from landloom.raster.models.resolve import resolve_model
from landloom.raster.predict.mosaic import predict_mosaic
from landloom.raster.store.zarr import CubeStore
from landloom.wire.progress import Stage
from landloom.wire.requests import Inference
from landloom.wire.results import MosaicRow


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model and the way a request wants it run; the two fit.

    It is placed once for all mosaics of a request. On its way to another process it leaves the
    model behind and is made ready there anew, from that machine's models folder or by download.
    """

    inference: Inference
    model: Model
    recipe: str | None
    """The recipe that asks, if one does."""
    models: Path
    """Folder of registered and downloaded model files."""
    _placed: dict[int, Runner] = field(default_factory=dict, repr=False, compare=False)

    def predict(
        self,
        source: CubeStore,
        output_uri: str,
        report: Report,
        cancelled: Callable[[], bool],
        *,
        executor: Executor | None = None,
        warn: Callable[[Stage, str], None] | None = None,
    ) -> MosaicRow:
        """Write the model's output over `source` to a store; see `predict_mosaic`.

        Args:
            source: The mosaic.
            output_uri: The store to make or go on with.
            report: Is told how far it has come.
            cancelled: Asked often.
            executor: Where the model runs; None is here.
            warn: Is told what the user should know; None reports it.
        """
        # A caller's executor has other work to do after this.
        own = closing(LocalExecutor(1)) if executor is None else nullcontext(executor)
        with own as chosen:
            return predict_mosaic(
                source,
                self.inference,
                self.model,
                output_uri,
                executor=chosen,
                report=report,
                warn=warn or report,
                cancelled=cancelled,
                prepare=self.prepare,
            )

    def prepare(self, inference: Inference, steps: int) -> Runner:
        """Return the model, placed for so many time steps; the first call takes seconds."""
        if steps not in self._placed:
            self._placed[steps] = self.model.prepare(inference, steps)
        return self._placed[steps]

    def __reduce__(self) -> tuple[Callable[..., ReadyModel], tuple[object, ...]]:
        return ready_model, (self.inference, self.model.file.sha256, self.recipe, self.models)


def ready_model(
    inference: Inference, sha256: str | None, recipe: str | None, models: Path
) -> ReadyModel:
    """Fetch a model, load it and hold it against the request; no pixel is read.

    Args:
        inference: What the request says of the model.
        sha256: The checksum that the catalogue knows; None where nobody has seen the file.
        recipe: The recipe that asks, if one does.
        models: Folder of registered and downloaded model files; compiled ones are kept there too.

    Raises:
        ModelUnavailable: It is not here and cannot be fetched.
        ModelRejected: It cannot be used, or does not fit the request.
    """
    file = resolve_model(inference.model_path, sha256, ModelRegistry(models), recipe)
    model = load_model(file, inference.device, models=models)
    model.check(inference)
    return ReadyModel(inference, model, recipe, models)
