"""A loaded model: checked against what a request wants of it, and run on patches.

Nothing here imports torch before it must: a model that an earlier start compiled runs without.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landloom.errors import ModelRejected
from landloom.raster.models.card import Card
from landloom.raster.models.compiled import CompiledFolder, versions
from landloom.raster.models.device import settled
from landloom.raster.models.metadata import metadata_counts
from landloom.raster.models.options import ModelOptions
from landloom.raster.models.program import Signature
from landloom.raster.models.registry import ModelFile
from landloom.raster.models.runtimes import Runtime, Wanted, choose
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.requests import Inference

if TYPE_CHECKING:
    from landloom.raster.models.archive import Archive

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A model archive, ready to be placed."""

    file: ModelFile
    card: Card
    device: str
    """`cpu`, `cuda` or `cuda:N`: where it will be tried."""
    options: ModelOptions = field(default_factory=ModelOptions)
    folder: CompiledFolder | None = None
    """Where its compiled forms are kept; None keeps none."""
    notes: tuple[str, ...] = ()
    """What the user should know about how it was loaded."""
    _opened: list[Archive] = field(default_factory=list, repr=False, compare=False)

    @property
    def version(self) -> str:
        """Version of the archive's format."""
        return self.card.version

    @property
    def metadata(self) -> str | None:
        """The text of `mlm-metadata`."""
        return self.card.metadata

    @property
    def signatures(self) -> dict[str, Signature]:
        """Sizes of `model`, and of `transforms` if there is one."""
        return dict(self.card.signatures)

    def archive(self) -> Archive:
        """Return the open archive; the first call opens it."""
        if not self._opened:
            self._opened.append(_open(self.file))
        return self._opened[0]

    def check(self, inference: Inference, steps: int | None = None) -> None:
        """Compare the model with a request, by the sizes noted in the file: nothing is run.

        Args:
            inference: Features, labels and patch size.
            steps: Time steps whose features lie side by side in the input; None is one, or as many
                as the model takes if it detects changes.

        Raises:
            ModelRejected: A count or size differs; the message names both.
        """
        first = self.card.first
        wanted = len(inference.features) * (steps or _steps_of(first, inference))
        self._expect("input channels", first.input[1], wanted, "features")
        last = self.card.signatures["model"]
        self._expect("output channels", last.output[1], len(inference.labels), "labels")
        bands, classes = metadata_counts(self.metadata)
        self._expect("input bands in its metadata", bands, wanted, "features")
        self._expect("classes in its metadata", classes, len(inference.labels), "labels")
        for size in first.input[2:]:
            self._expect("pixels a side", size, inference.patch_size, "patch_size")

    def prepare(self, inference: Inference, steps: int = 1) -> Runner:
        """Place the model on its device and try it, so that nothing fails half way.

        Raises:
            ModelRejected: `check` does, or the model fails on a patch of the asked size.
        """
        self.check(inference, steps)
        wanted = self._wanted(inference, steps)
        name = self.file.name
        runtime, notes = choose(name, self.card, self.archive, wanted, self.folder)
        size = (inference.patch_size,) * 2
        if runtime.gives != (runtime.takes[0], len(inference.labels), *size):
            raise ModelRejected(
                f"{name} turns {runtime.takes} into {runtime.gives}.",
                suggestion=f"It should give {len(inference.labels)} channels, one per label.",
            )
        if self.card.sizes_unsaid:
            notes.append(
                f"{name} is machine code and nothing in it says what it takes: that"
                f" {wanted.channels} channels are right is taken on trust."
            )
        log.info("%s runs by %s, %d patches at a time", name, runtime.name, runtime.takes[0])
        self._opened.clear()  # the runtime holds what it needs
        return Runner(runtime, (*self.notes, *notes))

    def _wanted(self, inference: Inference, steps: int) -> Wanted:
        largest = inference.max_batch_size
        for signature in self.card.signatures.values():
            largest = min(largest, signature.largest_batch or largest)
        return Wanted(
            channels=len(inference.features) * steps,
            patch=inference.patch_size,
            smallest_batch=max(each.smallest_batch for each in self.card.signatures.values()),
            largest_batch=largest,
            device=self.device,
            options=self.options,
        )

    def _expect(self, what: str, found: int | None, wanted: int, field: str) -> None:
        if found is not None and found != wanted:
            raise ModelRejected(
                f"{self.file.name} has {found} {what}, but the request's {field} mean {wanted}.",
                suggestion=f"Change {field}, or use a model made for them.",
                field=f"inference.{field}",
            )


@dataclass(frozen=True, slots=True)
class Runner:
    """A model ready to run. Every batch has one shape, so that results never depend on batching."""

    runtime: Runtime
    notes: tuple[str, ...]
    """What the user should know about how the model is run."""

    @property
    def batch(self) -> int:
        """Patches in each batch."""
        return self.runtime.takes[0]

    @property
    def streams(self) -> int:
        """How many batches at once keep the device busy."""
        return self.runtime.streams

    def run(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run patches, finite float32 (n, channel, y, x), in batches; threads may call at once.

        Returns:
            float32 (n, K, y, x) of the same y, x: raw model output, resized if the model resizes.

        Raises:
            Cancelled: `stop` was called.
        """
        parts = [
            self._batch(patches[at : at + self.batch]) for at in range(0, len(patches), self.batch)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _batch(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        count = len(patches)
        if count == self.batch:
            return self.runtime.run(np.ascontiguousarray(patches))
        full = np.zeros(self.runtime.takes, np.float32)
        full[:count] = patches
        return self.runtime.run(full)[:count]

    def stop(self) -> None:
        """End the batches at work, where the runtime can; none begins after it."""
        self.runtime.stop()


def load_model(
    file: ModelFile,
    device: str = "cpu",
    *,
    options: ModelOptions | None = None,
    models: Path | None = None,
) -> Model:
    """Load a model archive.

    Args:
        file: See `resolve_model`.
        device: `cpu`, or `cuda` or `cuda:N` to run there if there is one.
        options: How the machine wants models run; None is its environment's say.
        models: The models folder, where compiled forms are kept; None keeps none.

    Raises:
        ModelRejected: The file cannot be used.
    """
    folder = CompiledFolder.of(models, file) if models else None
    archives: list[Archive] = []
    card = _card(file, folder, archives)
    wanted, notes = settled(device)
    for note in notes:
        log.warning(note)
    said = options or ModelOptions.from_environment()
    return Model(file, card, wanted, said, folder, notes, archives)


def _card(file: ModelFile, folder: CompiledFolder | None, archives: list[Archive]) -> Card:
    """Return a file's card: the one kept, or that of the archive, which then is open."""
    key = f"card, {versions('torch')}"
    kept = folder.note(key) if folder else None
    if kept is not None:
        return Card.from_json(kept)
    archives.append(_open(file))
    card = Card.of(archives[0])
    if folder and not card.compiled:  # machine code is held against the machine at every start
        folder.keep_note(key, card.to_json())
    return card


def _open(file: ModelFile) -> Archive:
    from landloom.raster.models.archive import open_archive  # noqa: PLC0415 - imports torch

    return open_archive(file)


def _steps_of(first: Signature, inference: Inference) -> int:
    """Return how many time steps fit a change model's input; 1 for any other model."""
    changes = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH
    if inference.actor is not changes:
        return 1
    return max(2, (first.input[1] or 0) // len(inference.features))
