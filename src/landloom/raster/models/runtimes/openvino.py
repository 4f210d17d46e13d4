"""The fast runtime of CPUs: OpenVINO, where it converts a model and gives what torch gives.

Each core runs its own patch: one stream a core, one thread a stream. No thread waits for another
within a layer, a patch's result cannot depend on its neighbours in a batch, and reading and
blending find their share of time between.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import queue
import sys
import threading
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled
from landloom.raster.execute.local import available_cores
from landloom.raster.models.compiled import CompiledFolder, processor, versions
from landloom.raster.models.options import Precision
from landloom.raster.models.runtimes.base import TOLERANCE, Shape, deviation, sample

if TYPE_CHECKING:
    from landloom.raster.models.runtimes.whole import Whole

STREAM_PIXELS = 16 * 1024 * 1024
"""Pixels of all patches in work at a time. A stream needs about 1 kB a pixel for its activations,
so this bounds them to 16 GB on machines of many cores; there, cores share streams."""

HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16"}
CAPABILITIES = {Precision.BF16: "BF16", Precision.FP16: "FP16"}


class NotConverted(Exception):
    """The model does not run here, or gives something else; the message is the reason."""


class OpenVinoRuntime:
    """Runs batches by OpenVINO on the CPU."""

    def __init__(self, compiled: Any, shape: Shape, precision: Precision) -> None:
        self.takes = shape
        self.gives = tuple(int(each) for each in compiled.outputs[0].get_shape())
        self.name = f"{versions('openvino')}, cpu, {precision}"
        self.streams = _streams(shape)
        self._every = [compiled.create_infer_request() for _ in range(self.streams)]
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in self._every:
            self._free.put(request)
        self._stopped = threading.Event()

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the raw output of one batch; see `Runtime.run`."""
        tensor = _openvino().Tensor(batch, shared_memory=True)
        request = self._free.get()
        try:
            if self._stopped.is_set():
                raise Cancelled("The prediction was cancelled.")
            request.set_input_tensor(tensor)
            request.start_async()
            request.wait()
            found: NDArray[np.float32] = np.array(request.get_output_tensor(0).data, np.float32)
        except RuntimeError:
            if self._stopped.is_set():
                raise Cancelled("The prediction was cancelled.") from None
            raise
        else:
            return found
        finally:
            self._free.put(request)

    def stop(self) -> None:
        """End batches that are at work, between two layers."""
        self._stopped.set()
        for request in self._every:
            with suppress(RuntimeError):
                request.cancel()


def kept(folder: CompiledFolder | None, shape: Shape, precision: Precision) -> OpenVinoRuntime:
    """Return the runtime that an earlier start compiled.

    Raises:
        KeyError: There is none, or it does not give what it gave then.
        NotConverted: An earlier start found that the model does not convert.
    """
    key = _key(shape, precision)
    note = folder.note(key) if folder else None
    if note is None or folder is None:
        raise KeyError(key)
    if note["rejected"]:
        raise NotConverted(note["rejected"])
    blob = folder.blob(key)
    if blob is None:
        raise KeyError(key)
    try:
        runtime = _imported(blob, shape, precision)
        digest = _digest(runtime.run(sample(shape)))
    except RuntimeError as error:
        raise KeyError(key) from error
    if digest != note["digest"]:
        raise KeyError(key)
    return runtime


def convert(
    whole: Whole,
    reference: NDArray[np.float32],
    shape: Shape,
    precision: Precision,
    folder: CompiledFolder | None,
) -> OpenVinoRuntime:
    """Convert a model, hold it against torch, and keep it for later starts.

    Args:
        whole: The model.
        reference: What torch gives for `sample(shape)` in single precision.
        shape: Of a batch.
        precision: In which to compute.
        folder: Where to keep what was compiled; None keeps nothing.

    Raises:
        NotConverted: It does not run, or gives something else.
    """
    key = _key(shape, precision)
    try:
        blob = _compiled(whole, shape, precision)
        # What is kept is what runs, so that a restart gives the same bits.
        runtime = _imported(blob, shape, precision)
        found = runtime.run(sample(shape))
        share = deviation(found, reference)
        if share > TOLERANCE[precision]:
            raise NotConverted(f"its output differs by {share:.1e} of the largest")
    except Exception as error:
        reason = _reason(error)
        if folder:
            folder.keep_note(key, {"rejected": reason})
        raise NotConverted(reason) from error
    if folder:
        folder.keep_blob(key, blob)
        folder.keep_note(key, {"rejected": "", "digest": _digest(found), "deviation": share})
    return runtime


def can_compute(precision: Precision) -> bool:
    """Return whether this processor has the arithmetic."""
    wanted = CAPABILITIES.get(precision)
    capabilities = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return wanted is None or wanted in capabilities


def _compiled(whole: Whole, shape: Shape, precision: Precision) -> bytes:
    import torch  # noqa: PLC0415 - seconds that a model compiled before does not need

    openvino = _openvino()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(whole, (torch.from_numpy(sample(shape)),))
        model = openvino.convert_model(program)
    model.reshape(list(shape))
    compiled = openvino.Core().compile_model(model, "CPU", _configuration(shape, precision))
    return bytes(compiled.export_model().getvalue())


def _imported(blob: bytes, shape: Shape, precision: Precision) -> OpenVinoRuntime:
    compiled = _openvino().Core().import_model(blob, "CPU", _configuration(shape, precision))
    return OpenVinoRuntime(compiled, shape, precision)


def _configuration(shape: Shape, precision: Precision) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": _streams(shape),
        "INFERENCE_NUM_THREADS": available_cores(),
        # Pinned threads cannot make way for reading and blending.
        "ENABLE_CPU_PINNING": False,
    }


def _streams(shape: Shape) -> int:
    batch, _, height, width = shape
    return max(1, min(available_cores(), STREAM_PIXELS // (batch * height * width)))


def _reason(error: Exception) -> str:
    """Return the line that tells: the last one, where a converter lists what it does not know."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line.lstrip("- ") for line in lines if "No conversion rule" in line), lines[0])


def _key(shape: Shape, precision: Precision) -> str:
    return json.dumps([versions("openvino", "torch"), processor(), shape, precision])


def _digest(values: NDArray[np.float32]) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def _openvino() -> Any:
    """Import OpenVINO without its telemetry, which calls home from a forked process at import.

    A None among the modules makes Python say that there is no such module; OpenVINO does without.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")  # only models on a CPU need it
