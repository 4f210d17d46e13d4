"""A loaded model: checked against what a request wants of it, and run on patches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from landloom.errors import ModelRejected
from landloom.raster.models.archive import MODEL, TRANSFORMS, metadata_counts, open_archive
from landloom.raster.models.precision import is_half, widen
from landloom.raster.models.program import Signature, signature_of
from landloom.raster.models.registry import ModelFile
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.requests import Inference

log = logging.getLogger(__name__)

CPU_BATCH_PIXELS = 4 * 256 * 256
"""Pixels of one batch on a CPU. Batches of four 256 px patches kept two cores busy; a larger one
only needs more memory, about 1 GB per 256 px patch for the larger segmentation networks."""

LAYOUT_TOLERANCE = 1e-4
"""Share of the largest output by which channels-last may differ to be taken as equal: it is a
quarter faster for convolutions, but an exported graph may have its layout baked in."""

type Step = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Model:
    """A model archive in memory."""

    file: ModelFile
    programs: dict[str, ExportedProgram]
    signatures: dict[str, Signature]
    version: str
    """Of the archive."""
    metadata: str | None
    device: str
    """`cpu` or `cuda`: where it will be tried."""
    notes: tuple[str, ...] = ()
    """What the user should know about how it was loaded."""

    def check(self, inference: Inference, steps: int | None = None) -> None:
        """Compare the model with a request, by the sizes noted in the file: nothing is run.

        Args:
            inference: Features, labels and patch size.
            steps: Time steps whose features lie side by side in the input; None is one, or as many
                as the model takes if it detects changes.

        Raises:
            ModelRejected: A count or size differs; the message names both.
        """
        first = self.signatures[TRANSFORMS if TRANSFORMS in self.signatures else MODEL]
        wanted = len(inference.features) * (steps or _steps_of(first, inference))
        self._expect("input channels", first.input[1], wanted, "features")
        last = self.signatures[MODEL]
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
        batch = self._batch(inference)
        shape = (batch, len(inference.features) * steps, *(inference.patch_size,) * 2)
        notes = list(self.notes)
        runner = None
        if self.device != "cpu":
            try:
                runner = _tried(self.programs, self.device, shape)
            except Exception as error:  # noqa: BLE001 - a graph bound to the CPU fails in any way
                reason = str(error).strip().splitlines()[0]
                notes.append(f"{self.file.name} does not run on {self.device}: {reason}")
                batch = self._batch(inference, "cpu")
                shape = (batch, *shape[1:])
        if runner is None:
            try:
                runner = _tried(self.programs, "cpu", shape)
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ModelRejected(
                    f"{self.file.name} fails on a batch of shape {shape}: {reason}",
                    suggestion="Check patch_size, features and the model's export.",
                ) from error
        found = runner(np.zeros(shape, np.float32)).shape
        if found != (batch, len(inference.labels), *shape[2:]):
            raise ModelRejected(
                f"{self.file.name} turns {shape} into {found}.",
                suggestion=f"It should give {len(inference.labels)} channels, one per label.",
            )
        return Runner(batch, shape[1:], runner, tuple(notes))

    def _batch(self, inference: Inference, device: str | None = None) -> int:
        """Return the one batch size: within what was asked, the machine and the export allow."""
        batch = inference.max_batch_size
        if (device or self.device) == "cpu":
            batch = min(batch, max(1, CPU_BATCH_PIXELS // inference.patch_size**2))
        for signature in self.signatures.values():
            batch = min(batch, signature.largest_batch or batch)
        return max(batch, *(each.smallest_batch for each in self.signatures.values()))

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

    batch: int
    patch_shape: tuple[int, ...]
    """(channel, y, x) of one patch."""
    _run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    notes: tuple[str, ...]

    def run(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run up to `batch` patches, finite float32 (n, channel, y, x).

        Returns:
            float32 (n, K, y, x) of the same y, x: raw model output, resized if the model resizes.
        """
        count = len(patches)
        if count < self.batch:
            padding = np.zeros((self.batch - count, *self.patch_shape), np.float32)
            patches = np.concatenate([patches, padding])
        return self._run(patches)[:count]


def load_model(file: ModelFile, device: str = "cpu", threads: int | None = None) -> Model:
    """Load a model archive.

    Args:
        file: See `resolve_model`.
        device: `cpu`, or `cuda` to run there if there is one.
        threads: Cores that torch may use in this process; None leaves that to torch.

    Raises:
        ModelRejected: The file cannot be used.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    archive = open_archive(file)
    programs = {
        name: program for name, program in archive.programs.items() if name in (MODEL, TRANSFORMS)
    }
    signatures = {name: signature_of(name, program) for name, program in programs.items()}
    wanted = torch.device(device).type if device else "cpu"
    notes: tuple[str, ...] = ()
    if wanted == "cuda" and not torch.cuda.is_available():
        notes = ("There is no CUDA device here: the model runs on the CPU.",)
        log.warning(notes[0])
        wanted = "cpu"
    return Model(file, programs, signatures, archive.version, archive.metadata, wanted, notes)


def _steps_of(first: Signature, inference: Inference) -> int:
    """Return how many time steps fit a change model's input; 1 for any other model."""
    changes = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH
    if inference.actor is not changes:
        return 1
    return max(2, (first.input[1] or 0) // len(inference.features))


def _tried(
    programs: dict[str, ExportedProgram], device: str, shape: tuple[int, ...]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Place the programs on a device, choose a memory layout, return the whole way of a batch."""
    if device != "cpu":
        # Results must agree with other machines to 1e-5, which TensorFloat-32 does not.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        programs = {
            name: move_to_device_pass(program, device) for name, program in programs.items()
        }
    modules = {name: program.module() for name, program in programs.items()}
    for name, module in modules.items():
        if device == "cpu" and is_half(programs[name]):
            widen(module)
    generator = torch.Generator().manual_seed(0)
    sample = torch.rand(shape, generator=generator).mul(3000).to(device)  # like reflectances
    with torch.inference_mode():
        reference = _pass(modules, sample)
        layout = torch.contiguous_format
        if _equal_in_channels_last(modules, sample, reference):
            layout = torch.channels_last

    def run(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            given = torch.from_numpy(patches).to(device).contiguous(memory_format=layout)
            found = _pass(modules, given)
            result: NDArray[np.float32] = found.to("cpu", torch.float32).contiguous().numpy()
            return result

    return run


def _equal_in_channels_last(
    modules: Mapping[str, torch.nn.Module], sample: torch.Tensor, reference: torch.Tensor
) -> bool:
    """Turn the weights to channels-last; turn them back if the output is not the same."""
    try:
        for module in modules.values():
            module.to(memory_format=torch.channels_last)
        found = _pass(modules, sample.contiguous(memory_format=torch.channels_last))
        difference = (found - reference).abs().max()
        if bool(difference <= LAYOUT_TOLERANCE * reference.abs().max()):
            return True
    except RuntimeError:  # a view that needs the old layout
        pass
    for module in modules.values():
        module.to(memory_format=torch.contiguous_format)
    return False


def _pass(modules: Mapping[str, torch.nn.Module], batch: torch.Tensor) -> torch.Tensor:
    """Transform, run, and bring the output back to the size of the patch."""
    found = modules[TRANSFORMS](batch) if TRANSFORMS in modules else batch
    found = modules[MODEL](found).float()
    if found.shape[2:] != batch.shape[2:]:
        found = torch.nn.functional.interpolate(
            found, size=batch.shape[2:], mode="bilinear", align_corners=False
        )
    assert isinstance(found, torch.Tensor)  # noqa: S101 - the module is untyped
    return found
