"""Which runtime a model gets: the fastest that gives what torch gives."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from landloom.errors import ModelRejected
from landloom.raster.models.card import Card
from landloom.raster.models.compiled import CompiledFolder
from landloom.raster.models.options import Precision, RuntimeChoice
from landloom.raster.models.runtimes import openvino
from landloom.raster.models.runtimes.base import Runtime, Shape, Wanted

if TYPE_CHECKING:
    from landloom.raster.models.archive import Archive

log = logging.getLogger(__name__)


def choose(
    name: str,
    card: Card,
    archive: Callable[[], Archive],
    wanted: Wanted,
    folder: CompiledFolder | None,
) -> tuple[Runtime, list[str]]:
    """Place a model on its device and try it, so that nothing fails half way.

    Args:
        name: How to speak of the model.
        card: What it says of itself.
        archive: Opens it; not called where an earlier start compiled it.
        wanted: Shapes, device and options.
        folder: Where compiled models are kept; None keeps nothing.

    Returns:
        The runtime, and what the user should know about how it was chosen.

    Raises:
        ModelRejected: The model fails on a batch of the asked shape, or the runtime that was asked
            for by `LANDLOOM_RUNTIME` cannot run it.
    """
    notes: list[str] = []
    if wanted.device != "cpu":
        try:
            return _on_gpu(name, archive(), wanted, notes), notes
        except Exception as error:  # noqa: BLE001 - a graph bound to the CPU fails in any way
            notes.append(f"{name} does not run on {wanted.device}: {reason_of(error)}")
    choice = wanted.options.runtime
    if choice is not RuntimeChoice.TORCH and not (card.compiled and choice is RuntimeChoice.AUTO):
        try:
            return _by_openvino(name, archive, wanted, folder, notes), notes
        except openvino.NotConverted as reason:
            said = f"{name} does not run by OpenVINO: {reason}"
            if choice is RuntimeChoice.OPENVINO:
                raise ModelRejected(
                    f"{said}.", suggestion="Unset LANDLOOM_RUNTIME, or set it to torch."
                ) from reason
            notes.append(f"{said}; torch runs it, slower.")
            log.warning(notes[-1])
    return _by_torch(name, archive(), wanted), notes


def reason_of(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _by_openvino(
    name: str,
    archive: Callable[[], Archive],
    wanted: Wanted,
    folder: CompiledFolder | None,
    notes: list[str],
) -> Runtime:
    precision = wanted.options.precision
    try:
        if not openvino.can_compute(precision):
            notes.append(f"This processor has no {precision}: {name} is computed in fp32.")
            precision = Precision.FP32
    except ImportError as error:
        raise openvino.NotConverted("OpenVINO is not installed") from error
    shape = wanted.shape(1)
    try:
        return openvino.kept(folder, shape, precision)
    except KeyError:
        pass
    from landloom.raster.models.runtimes.pytorch import reference_of  # noqa: PLC0415
    from landloom.raster.models.runtimes.whole import assemble  # noqa: PLC0415 - both import torch

    opened = archive()
    if opened.packages:
        raise openvino.NotConverted("it is machine code")
    whole = assemble(opened, "cpu")
    try:
        reference = reference_of(whole, shape)
    except Exception as error:
        raise _fails(name, shape, error) from error
    return openvino.convert(whole, reference, shape, precision, folder)


def _by_torch(name: str, archive: Archive, wanted: Wanted) -> Runtime:
    from landloom.raster.models.runtimes.pytorch import (  # noqa: PLC0415 - imports torch
        CPU_BATCH_PIXELS,
        TorchRuntime,
    )
    from landloom.raster.models.runtimes.whole import assemble  # noqa: PLC0415 - imports torch

    shape = wanted.shape(CPU_BATCH_PIXELS // wanted.patch**2)
    try:
        return TorchRuntime(assemble(archive, "cpu"), shape, "cpu", wanted.options.precision)
    except Exception as error:
        raise _fails(name, shape, error) from error


def _on_gpu(name: str, archive: Archive, wanted: Wanted, notes: list[str]) -> Runtime:
    """Place a model on a GPU with the largest batch, halved until it fits."""
    import torch  # noqa: PLC0415 - what runs on a CPU may not need it

    from landloom.raster.models.runtimes.pytorch import TorchRuntime  # noqa: PLC0415 - as above
    from landloom.raster.models.runtimes.whole import assemble  # noqa: PLC0415 - as above

    whole = assemble(archive, wanted.device)
    patches = wanted.largest_batch
    while True:
        shape = wanted.shape(patches)
        try:
            return TorchRuntime(whole, shape, wanted.device, wanted.options.precision)
        except torch.cuda.OutOfMemoryError:
            if shape[0] <= max(1, wanted.smallest_batch):
                raise
        torch.cuda.empty_cache()
        patches = shape[0] // 2
        notes.append(f"{name}: {shape[0]} patches at a time do not fit into the GPU's memory.")


def _fails(name: str, shape: Shape, error: Exception) -> ModelRejected:
    return ModelRejected(
        f"{name} fails on a batch of shape {shape}: {reason_of(error)}",
        suggestion="Check patch_size, features and the model's export.",
    )
