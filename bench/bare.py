"""The model alone: the runtimes that a prediction is held against, on patches in memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from harness import Run
from network import FEATURES, PATCH, Patches, network, onnx_file, patches

THREADS = 2
LIMIT_PATCHES = 48
TRIED_PATCHES = 8
GPU_BATCH = 64
RUNTIMES = ("torch", "onnxruntime", "openvino")

type Bare = Callable[[Patches], None]
type Way = Callable[[], Bare]


def prepare_ways(runtime: str) -> Run:
    """Find the fastest of a runtime's batches and streams."""
    given = patches(TRIED_PATCHES)

    def tried() -> dict[str, Any]:
        seconds: dict[str, float] = {}
        for name, make in WAYS[runtime]().items():
            run = make()
            run(given)
            started = time.perf_counter()
            run(given)
            seconds[name] = time.perf_counter() - started
        return {"way": min(seconds, key=lambda name: seconds[name])}

    return tried


def prepare_bare(runtime: str, way: str) -> Run:
    """Run a runtime alone over patches in memory, in one of its ways."""
    given, run = patches(LIMIT_PATCHES), WAYS[runtime]()[way]()
    run(given[:TRIED_PATCHES])

    def timed() -> dict[str, Any]:
        run(given)
        return {"patches": len(given), "way": way}

    return timed


def prepare_gpu_bare(count: str) -> Run:
    """Run torch alone on a GPU over patches that lie there."""
    import torch  # noqa: PLC0415

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    net = network().to("cuda", memory_format=torch.channels_last)
    given = torch.from_numpy(patches(GPU_BATCH)).to("cuda")
    given = given.contiguous(memory_format=torch.channels_last)
    rounds = int(count) // GPU_BATCH

    def run() -> dict[str, Any]:
        with torch.inference_mode():
            for _ in range(rounds):
                net(given)
            torch.cuda.synchronize()
        return {"patches": rounds * GPU_BATCH, "way": f"batch {GPU_BATCH}"}

    run()
    return run


def _torch() -> dict[str, Way]:
    import torch  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    net = network().to(memory_format=torch.channels_last)

    def way(batch: int) -> Bare:
        def run(given: Patches) -> None:
            with torch.inference_mode():
                for part in np.split(given, len(given) // batch):
                    net(torch.from_numpy(part).contiguous(memory_format=torch.channels_last))

        return run

    return {f"batch {batch}": partial(way, batch) for batch in (1, 4)}


def _onnxruntime() -> dict[str, Way]:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(onnx_file(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def way(batch: int) -> Bare:
        def run(given: Patches) -> None:
            for part in np.split(given, len(given) // batch):
                session.run(None, {name: part})

        return run

    return {f"batch {batch}": partial(way, batch) for batch in (1, 4)}


def _openvino() -> dict[str, Way]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino  # noqa: PLC0415

    def way(batch: int, streams: int) -> Bare:
        network = openvino.Core().read_model(onnx_file())
        network.reshape([batch, len(FEATURES), PATCH, PATCH])
        compiled = openvino.Core().compile_model(
            network,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": THREADS,
            },
        )
        queue = openvino.AsyncInferQueue(compiled, streams)

        def run(given: Patches) -> None:
            for part in np.split(given, len(given) // batch):
                queue.start_async({0: part}, share_inputs=True)
            queue.wait_all()

        return run

    pairs = [(1, 1), (4, 1), (1, 2), (4, 2)]
    return {
        f"batch {batch}, streams {streams}": partial(way, batch, streams)
        for batch, streams in pairs
    }


WAYS: Mapping[str, Callable[[], dict[str, Way]]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
