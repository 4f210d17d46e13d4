"""The network of the prediction benchmarks, and what it looks at.

It has the architecture of Fields of The World (U-Net on EfficientNet-B3, 8 channels, 3 classes)
with seeded random weights, exported with an open batch size. The mosaic is real pixels: two dates
of the scenes that `scenes.py` makes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from harness import BUILD
from scenes import BANDS, bench_scenes

PATCH, CLIP = 256, 32
LABELS = ["non_field_background", "field", "field_boundaries"]
FEATURES = [f"{season}:{band}" for season in ("planting", "harvest") for band in BANDS]
SCALE = 3000.0
FOLDER = BUILD / "predict"

type Patches = NDArray[np.float32]
"""(n, channel, y, x)."""


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
