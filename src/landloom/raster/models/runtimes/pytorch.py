"""The runtime that every model has: torch itself."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from landloom.errors import Cancelled
from landloom.raster.models.options import Precision
from landloom.raster.models.runtimes.base import TOLERANCE, Shape, deviation, sample
from landloom.raster.models.runtimes.whole import Whole

CPU_BATCH_PIXELS = 4 * 256 * 256
"""Pixels of one batch on a CPU. Batches of four 256 px patches took a sixth less time a patch than
single ones; larger ones only need more memory, about 1 GB per patch of 1024 px."""

DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


class TorchRuntime:
    """Runs batches by torch on one device, all its cores on one batch."""

    def __init__(self, whole: Whole, shape: Shape, device: str, precision: Precision) -> None:
        """Place the model and try it.

        Raises:
            Exception: Whatever torch raises on a batch of that shape.
        """
        self.takes = shape
        self.name = f"torch {torch.__version__}, {device}, {precision}"
        self.streams = 1 if device == "cpu" else 2
        self._whole = whole
        self._device = device
        self._dtype = DTYPES.get(precision)
        self._layout = torch.contiguous_format
        self._stopped = threading.Event()
        self._computing = threading.Lock()
        if device != "cpu":
            _be_exact()
        tried = sample(shape)
        reference = self._compute(tried)
        self.gives = reference.shape
        self._try_channels_last(tried, reference)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the raw output of one batch; see `Runtime.run`."""
        if self._stopped.is_set():
            raise Cancelled("The prediction was cancelled.")
        return self._compute(batch)

    def stop(self) -> None:
        """Let no further batch begin: torch cannot end one."""
        self._stopped.set()

    def _compute(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            given = torch.from_numpy(batch)
            if self._device == "cpu":
                return self._forward(given).contiguous().numpy()
            return self._on_gpu(given)

    def _forward(self, given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._whole_in_precision(given)
        return found.float()

    def _whole_in_precision(self, given: torch.Tensor) -> torch.Tensor:
        precision: AbstractContextManager[object] = nullcontext()
        if self._dtype is not None:
            precision = torch.autocast(torch.device(self._device).type, self._dtype)
        with precision:
            found: torch.Tensor = self._whole(given.contiguous(memory_format=self._layout))
        return found

    def _on_gpu(self, given: torch.Tensor) -> NDArray[np.float32]:
        """Copy to and fro beside the computing of the other thread's batch, on streams of its own.

        Batches are computed on one stream, so that only one needs memory for its activations.
        """
        computing = torch.cuda.default_stream(self._device)
        copying = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(copying):
            there = given.pin_memory().to(self._device, non_blocking=True)
            with self._computing, torch.cuda.stream(computing):
                computing.wait_stream(copying)
                there.record_stream(computing)
                found = self._forward(there).contiguous()
                done = computing.record_event()
            copying.wait_event(done)
            found.record_stream(copying)
            back = torch.empty(found.shape, dtype=torch.float32, pin_memory=True)
            back.copy_(found, non_blocking=True)
            copying.synchronize()
        return back.numpy()

    def _try_channels_last(
        self, tried: NDArray[np.float32], reference: NDArray[np.float32]
    ) -> None:
        """Turn the weights to channels-last, a quarter faster; turn back if outputs differ.

        An exported graph may have its layout baked in.
        """
        tolerance = TOLERANCE[Precision.FP32]
        try:
            self._turn(torch.channels_last)
            if deviation(self._compute(tried), reference) <= tolerance:
                return
        except RuntimeError:  # a view that needs the old layout
            pass
        self._turn(torch.contiguous_format)

    def _turn(self, layout: torch.memory_format) -> None:
        self._layout = layout
        self._whole.to(memory_format=layout)


def reference_of(whole: Whole, shape: Shape) -> NDArray[np.float32]:
    """Return what a module gives for the batch that models are tried on, on the CPU."""
    with torch.no_grad():  # not inference mode: its tensors cannot be exported later
        found: torch.Tensor = whole(torch.from_numpy(sample(shape)))
        return found.contiguous().numpy()


def _be_exact() -> None:
    """Make a GPU agree with other machines to 1e-5, and with itself to the last bit."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
