"""A prediction from mosaic to Zarr against the bare model: the fastest runtime, patches in memory.

    python bench/predict.py [CASE ...] [--side PIXELS] [--rounds N]      cases: cpu gpu

Model and mosaic are those of `network.py`; patches of 256 px overlap by 64 and are blended.

Ours is `predict_mosaic`, from store to store, model placed and loops compiled before. The limit is
the fastest of torch, ONNX Runtime and OpenVINO on patches of the same mosaic that lie in memory
(`bare.py`), each with its best of batches of 1 and 4 (and streams; found once, before), two
threads. It does nothing but the model, on fewer patches: rates are compared, computed pixels a
second, where those are patches times 256 times 256. `vs_limit_by_cpu` compares the processor's
seconds, which other work on the machine moves less; `km2_s` is the ground that ours covers at 10 m
a pixel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bare import GPU_BATCH, RUNTIMES, THREADS, prepare_bare, prepare_gpu_bare, prepare_ways
from harness import (
    Run,
    Sample,
    add_cases,
    cold,
    main_or_variant,
    measure,
    memory,
    report,
    sample_once,
)
from network import (
    CLIP,
    FEATURES,
    FOLDER,
    LABELS,
    PATCH,
    SCALE,
    Patches,
    model_file,
    mosaic,
    network,
    onnx_file,
)

PIXELS = PATCH * PATCH
GPU_PATCHES = 1024
AGREE = 1e-5


@dataclass
class Counted:
    """A runtime that counts its batches."""

    runtime: Any
    patches: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)

    def run(self, batch: Patches) -> Patches:
        self.patches += len(batch)
        found: Patches = self.runtime.run(batch)
        return found


def prepare_ours(side: str, device: str = "cpu") -> Run:
    """Predict a mosaic, from store to store."""
    from landloom.raster.execute.local import LocalExecutor  # noqa: PLC0415
    from landloom.raster.predict.mosaic import predict_mosaic  # noqa: PLC0415
    from landloom.raster.prediction import ready_model  # noqa: PLC0415
    from landloom.wire.requests import Inference  # noqa: PLC0415

    started = time.perf_counter()
    inference = Inference(
        model_path=str(model_file()), patch_size=PATCH, clip_size=CLIP, features=FEATURES,
        labels=LABELS, max_batch_size=GPU_BATCH, device=device,
    )  # fmt: skip
    ready = ready_model(inference, None, None, FOLDER / "models")
    runner = ready.prepare(inference, 1)
    start_s = time.perf_counter() - started
    counted = Counted(runner.runtime)

    def predict(pixels: int) -> dict[str, Any]:
        out = FOLDER / f"prediction-{pixels}.zarr"
        shutil.rmtree(out, ignore_errors=True)
        counted.patches = 0
        predict_mosaic(
            mosaic(pixels),
            inference,
            ready.model,
            str(out),
            executor=LocalExecutor(THREADS),
            report=lambda *_: None,
            warn=lambda _, message: print(message, file=sys.stderr),
            cancelled=lambda: False,
            prepare=lambda *_: replace(runner, runtime=counted),
        )
        return {"patches": counted.patches, "runtime": runner.runtime.name, "start_s": start_s}

    if "NUMBA_CACHE_DIR" not in os.environ:
        predict(256)
    return lambda: predict(int(side))


def prepare_agree(device: str) -> Run:
    """Compare ours with torch, patch by patch where one patch alone has a say."""
    predict = prepare_ours("1024", device)
    return lambda: {"agree": _difference(predict)}


def _difference(predict: Run) -> float:
    import torch  # noqa: PLC0415

    from landloom.raster.grid import Window, lattice_origin  # noqa: PLC0415
    from landloom.raster.predict.lattice import PatchLattice  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415

    predict()
    source = mosaic(1024)
    output = CubeStore.open(str(FOLDER / "prediction-1024.zarr"))
    lattice = PatchLattice(PATCH, CLIP, blended=True)
    (gy, gx), net = lattice_origin(source.geobox), network()
    worst = 0.0
    for step in (1, 2, 3):
        y = lattice.first_pixel(gy // lattice.stride + step) - gy
        x = lattice.first_pixel(gx // lattice.stride + step) - gx
        given = source.read(0, FEATURES, Window(y, x, y + PATCH, x + PATCH))
        with torch.inference_mode():
            wanted = torch.softmax(net(torch.from_numpy(given)[None] / SCALE), 1)[0].numpy()
        inner = 2 * CLIP
        found = output.read(
            0, None, Window(y + inner, x + inner, y + PATCH - inner, x + PATCH - inner)
        )
        worst = max(worst, float(np.abs(found - wanted[:, inner:-inner, inner:-inner]).max()))
    return worst


def rate(samples: list[Sample], *, cpu: bool = False) -> float:
    """Return the median of computed kilopixels a second, of the clock or of one processor."""
    seconds = [sample.cpu_s if cpu else sample.wall_s for sample in samples]
    pixels = [sample.fields["patches"] * PIXELS / 1000 for sample in samples]
    return float(np.median(np.divide(pixels, seconds)))


def run_cpu(side: int, rounds: int) -> None:
    """Measure on the CPU."""
    onnx_file()
    for pixels in (256, 1024, 2048, side):
        mosaic(pixels)
    difference = sample_once(__file__, "agree", ["cpu"]).fields["agree"]
    ways = {name: sample_once(__file__, "ways", [name]).fields["way"] for name in RUNTIMES}
    found = measure(
        __file__,
        {"ours": [side], **{name: [name, way] for name, way in ways.items()}},
        rounds=rounds,
        names=dict.fromkeys(RUNTIMES, "bare"),
    )
    shutil.rmtree(FOLDER / "models", ignore_errors=True)
    first = cold(__file__, "ours", ["256"])
    ours, rates = found["ours"], {name: rate(found[name]) for name in RUNTIMES}
    fastest = max(rates, key=lambda name: rates[name])
    report(
        "predict",
        ours=rate(ours),
        limit=rates[fastest],
        peers=rates,
        agree=difference <= AGREE,
        rounds=rounds,
        rate=True,
        unit="computed kpx/s",
        difference=difference,
        limit_is=f"{fastest}, {ways[fastest]}",
        runtime=ours[-1].fields["runtime"],
        side=side,
        wall_s=float(np.median([sample.wall_s for sample in ours])),
        km2_s=float(np.median([(side / 100) ** 2 / sample.wall_s for sample in ours])),
        vs_limit_by_cpu=rate(found[fastest], cpu=True) / rate(ours, cpu=True),
        cpu_share=float(np.median([s.cpu_s / s.wall_s / THREADS for s in ours])),
        peak_mb=memory(ours) / 1e6,
        start_s=float(np.median([sample.fields["start_s"] for sample in ours])),
        cold_start_s=first.fields["start_s"],
        cold_s=first.wall_s,
    )


def run_gpu(side: int, rounds: int) -> None:
    """Measure on a GPU, or say why not."""
    import torch  # noqa: PLC0415

    if not torch.cuda.is_available():
        print(json.dumps({"name": "predict_gpu", "skipped": "there is no CUDA device here"}))
        return
    for pixels in (256, 1024, 2048, side):
        mosaic(pixels)
    difference = sample_once(__file__, "agree", ["cuda"]).fields["agree"]
    found = measure(
        __file__,
        {"ours": [side, "cuda"], "gpu_bare": [GPU_PATCHES]},
        rounds=rounds,
    )
    ours = found["ours"]
    report(
        "predict_gpu",
        ours=rate(ours),
        limit=rate(found["gpu_bare"]),
        peers={},
        agree=difference <= AGREE,
        rounds=rounds,
        rate=True,
        unit="computed kpx/s",
        difference=difference,
        device=torch.cuda.get_device_name(),
        km2_s=float(np.median([(side / 100) ** 2 / sample.wall_s for sample in ours])),
    )


CASES: Mapping[str, Callable[[int, int], None]] = {"cpu": run_cpu, "gpu": run_gpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_cases(parser, CASES)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    model_file()
    for case in said.cases or CASES:
        CASES[case](said.side, said.rounds)


VARIANTS = {
    "ours": prepare_ours,
    "ways": prepare_ways,
    "bare": prepare_bare,
    "gpu_bare": prepare_gpu_bare,
    "agree": prepare_agree,
}

if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
