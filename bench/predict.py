"""A prediction from mosaic to Zarr against the bare model: the fastest runtime, patches in memory.

    python bench/predict.py [CASE ...] [--side PIXELS] [--rounds N]      cases: cpu gpu

The model has the architecture of Fields of The World (U-Net on EfficientNet-B3, 8 channels, 3
classes) with seeded random weights, exported with an open batch size. The mosaic is real pixels:
two dates of the scenes that `scenes.py` makes. Patches of 256 px overlap by 64 and are blended.

Ours is `predict_mosaic`, from store to store, model placed and loops compiled before. The limit is
the fastest of torch, ONNX Runtime and OpenVINO on patches of the same mosaic that lie in memory,
each with its best of batches of 1 and 4 (and streams; found once, before), two threads. It does
nothing but the model, on fewer patches: rates are compared, computed pixels a second, where those
are patches times 256 times 256. `vs_limit_by_cpu` compares the processor's seconds, which other
work on the machine moves less; `km2_s` is the ground that ours covers at 10 m a pixel.
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from harness import BUILD, Run, Sample, cold, main_or_variant, measure, memory, report, sample_once
from scenes import BANDS, bench_scenes

PATCH, CLIP = 256, 32
PIXELS = PATCH * PATCH
LABELS = ["non_field_background", "field", "field_boundaries"]
FEATURES = [f"{season}:{band}" for season in ("planting", "harvest") for band in BANDS]
SCALE = 3000.0
THREADS = 2
LIMIT_PATCHES = 48
TRIED_PATCHES = 8
GPU_BATCH = 64
GPU_PATCHES = 1024
AGREE = 1e-5
FOLDER = BUILD / "predict"
RUNTIMES = ("torch", "onnxruntime", "openvino")

type Patches = NDArray[np.float32]
type Bare = Callable[[Patches], None]
type Way = Callable[[], Bare]


def model_file() -> Path:
    """Return the archive; the first call exports it."""
    path = FOLDER / "ftw.pt2"
    if path.is_file():
        return path
    import torch  # noqa: PLC0415 - not what is timed
    from torch.export import Dim, export  # noqa: PLC0415
    from torch.export.pt2_archive._package import package_pt2  # noqa: PLC0415

    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / SCALE

    given = torch.rand(2, len(FEATURES), PATCH, PATCH)
    batch = ({0: Dim("batch", min=1, max=1024)},)
    programs = {
        "transforms": export(Scaled(), (given,), dynamic_shapes=batch),
        "model": export(network(), (given,), dynamic_shapes=batch),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    package_pt2(path, exported_programs=programs)
    return path


def onnx_file() -> Path:
    """Return the same network for ONNX Runtime; the first call exports it."""
    path = FOLDER / "ftw.onnx"
    if not path.is_file():
        import torch  # noqa: PLC0415

        FOLDER.mkdir(parents=True, exist_ok=True)
        given = torch.rand(2, len(FEATURES), PATCH, PATCH)
        shapes = ({0: torch.export.Dim("batch", min=1, max=1024)},)
        torch.onnx.export(network(), (given,), str(path), dynamo=True, dynamic_shapes=shapes)
    return path


def network() -> Any:
    """Return the network with its seeded weights."""
    import segmentation_models_pytorch as smp  # noqa: PLC0415
    import torch  # noqa: PLC0415

    torch.manual_seed(0)
    return smp.Unet(
        "efficientnet-b3", encoder_weights=None, in_channels=len(FEATURES), classes=len(LABELS)
    ).eval()


def mosaic(side: int) -> Any:
    """Return a mosaic store of `side` px a side; the first call writes it."""
    from affine import Affine  # noqa: PLC0415
    from odc.geo.geobox import GeoBox  # noqa: PLC0415

    from landloom.raster.grid import tiles  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415

    uri = str(FOLDER / f"mosaic-{side}.zarr")
    if Path(uri, "zarr.json").is_file() and CubeStore.open(uri).complete:
        return CubeStore.open(uri)
    shutil.rmtree(uri, ignore_errors=True)
    store = CubeStore.create(
        uri,
        geobox=GeoBox((side, side), Affine(10, 0, 400_000, 0, -10, 5_400_000), "EPSG:32633"),
        bands=FEATURES,
        times=[np.datetime64("2023-01-01")],
        attributes={},
    )
    pixels = np.stack([_band(feature, side) for feature in range(len(FEATURES))])
    for tile in tiles(store.shape_yx, store.shard):
        rows, columns = tile.window.slices()
        store.write_shard(0, tile.iy, tile.ix, [(tile.window, pixels[:, rows, columns])])
    return store.finish({})


def _band(feature: int, side: int) -> Patches:
    paths = sorted(bench_scenes().rglob(f"{BANDS[feature % len(BANDS)]}.tif"))
    with rasterio.open(paths[feature // len(BANDS)]) as file:
        values: Patches = file.read(1).astype(np.float32)
    return np.pad(values, [(0, max(0, side - size)) for size in values.shape], "symmetric")[
        :side, :side
    ]


def patches(count: int) -> Patches:
    """Return (n, channel, y, x) of the mosaic, where the lattice has them."""
    from landloom.raster.grid import Window  # noqa: PLC0415

    store = mosaic(2048)
    stride, across = PATCH - 2 * CLIP, 10
    origins = [(stride * (n // across % across), stride * (n % across)) for n in range(count)]
    whole = store.read(0, FEATURES, Window(0, 0, *store.shape_yx))
    return np.stack([whole[:, y : y + PATCH, x : x + PATCH] for y, x in origins]) / SCALE


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
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
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
