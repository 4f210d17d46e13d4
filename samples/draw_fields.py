"""Draw what a field-boundary job made: both seasons, the class probabilities, the polygons.

    set -a; . DIR/connection.env; set +a
    python samples/draw_fields.py MOSAIC PREDICTION VECTORS OUT.png

Prints one JSON line: the share of pixels with a value in every season, and the polygon count.
"""

from __future__ import annotations

import colorsys
import json
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from PIL import Image

PAPER, INK, FAINT = "#11151c", "#f2efe6", "#9aa3b2"
CLASS_COLOURS = {
    "non_field_background": "#1d2735",
    "field": "#6fbf73",
    "field_boundaries": "#ffb454",
}
LARGEST_SIDE = 1600
"""Pixels of a mosaic that are drawn along its longer side."""

type Pixels = NDArray[np.float32]


def main(mosaic_uri: str, prediction_uri: str, vectors_uri: str, out: Path) -> dict[str, Any]:
    """Draw the picture and return what was seen on the way."""
    mosaic = thinned(xr.open_zarr(mosaic_uri)["variables"].isel(time=0))
    prediction = thinned(xr.open_zarr(prediction_uri)["variables"].isel(time=0))
    fields = gpd.read_parquet(vectors_uri)
    seasons = {prefix: true_colour(mosaic, prefix) for prefix in prefixes(mosaic)}
    figure = draw(seasons, prediction, fields, extent_of(mosaic))
    save(figure, out)
    return {
        "valid": {
            prefix: round(float(np.isfinite(image).all(axis=-1).mean()), 4)
            for prefix, image in seasons.items()
        },
        "n_polygons": len(fields),
    }


def thinned(cube: xr.DataArray) -> xr.DataArray:
    """Return every n-th pixel of (band, y, x), so that a county fits in a picture."""
    step = max(1, -(-max(cube.sizes["y"], cube.sizes["x"]) // LARGEST_SIDE))
    return cube.isel(y=slice(None, None, step), x=slice(None, None, step)).load()


def prefixes(mosaic: xr.DataArray) -> list[str]:
    """Return the datasets of a mosaic, whose bands are labelled `<dataset>:<band>`."""
    labels = [str(label) for label in mosaic["band"].values]
    return list(dict.fromkeys(label.partition(":")[0] for label in labels))


def true_colour(mosaic: xr.DataArray, prefix: str) -> Pixels:
    """Return (y, x, rgb) from 0 to 1, stretched between percentiles; NaN where there is nothing."""
    bands = [mosaic.sel(band=f"{prefix}:{name}").to_numpy() for name in ("B04", "B03", "B02")]
    stacked: Pixels = np.stack(bands, axis=-1).astype(np.float32)
    low = np.nanpercentile(stacked, 1, axis=(0, 1))
    # One white for all bands: a white of each band's own would tint water and soil.
    high = np.nanpercentile(stacked, 98.5)
    bright = np.clip((stacked - low) / np.maximum(high - low, 1e-6), 0, 1) ** 0.7
    return np.asarray(bright, dtype=np.float32)


def extent_of(cube: xr.DataArray) -> tuple[float, float, float, float]:
    """Return left, right, bottom, top of the outer pixel edges, in the cube's own CRS."""
    x, y = cube["x"].to_numpy(), cube["y"].to_numpy()
    half_x, half_y = abs(x[1] - x[0]) / 2, abs(y[1] - y[0]) / 2
    return x.min() - half_x, x.max() + half_x, y.min() - half_y, y.max() + half_y


def draw(
    seasons: dict[str, Pixels],
    prediction: xr.DataArray,
    fields: gpd.GeoDataFrame,
    extent: tuple[float, float, float, float],
) -> Figure:
    """Return the figure: a season each in the upper row, what the model made of them below."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    left, right, bottom, top = extent
    ratio = (top - bottom) / (right - left)
    width = 13.0
    figure, axes = plt.subplots(2, 2, figsize=(width, width * ratio + 1.15), facecolor=PAPER)
    figure.subplots_adjust(0.012, 0.012, 0.988, 0.905, wspace=0.02, hspace=0.09)
    crs = prediction.rio.crs if hasattr(prediction, "rio") else None
    crs = crs or prediction["spatial_ref"].attrs["crs_wkt"]
    outlines = fields.to_crs(crs)
    for axis, (prefix, image) in zip(axes[0], seasons.items(), strict=False):
        axis.imshow(np.nan_to_num(image), extent=extent)
        caption(axis, f"{prefix.rpartition('_')[2]} season", "composite, true colour")
    probabilities(axes[1, 0], prediction, extent)
    last = list(seasons.values())[-1]
    axes[1, 1].imshow(np.nan_to_num(last) * 0.55, extent=extent)
    polygons(axes[1, 1], outlines)
    caption(axes[1, 1], f"{len(fields):,} fields", "polygons, probability 0.5 and more")
    for axis in axes.flat:
        axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
        axis.set_facecolor(PAPER)
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.text(0.014, 0.962, "Field boundaries", color=INK, size=21, weight="bold", va="center")
    figure.text(
        0.986,
        0.962,
        "from satellite scenes to polygons, by a job run on Landloom",
        color=FAINT,
        size=12.5,
        va="center",
        ha="right",
    )
    return figure


def caption(axis: Axes, title: str, note: str) -> None:
    """Write a panel's title and, fainter, what it shows."""
    axis.set_title(title, loc="left", color=INK, size=12, pad=5)
    axis.set_title(note, loc="right", color=FAINT, size=10.5, pad=5)


def probabilities(
    axis: Axes, prediction: xr.DataArray, extent: tuple[float, float, float, float]
) -> None:
    """Mix the colours of the classes by their probabilities."""
    labels = [str(label) for label in prediction["band"].values]
    chosen = [CLASS_COLOURS.get(label, FAINT) for label in labels]
    colours = np.array([to_rgb(colour) for colour in chosen], dtype=np.float32)
    image = np.einsum("kyx,kc->yxc", np.nan_to_num(prediction.to_numpy()), colours)
    axis.imshow(np.clip(image, 0, 1), extent=extent)
    caption(axis, "class probabilities", "")
    for label, colour, place in zip(labels, chosen, (0.45, 0.685, 1.0), strict=False):
        shown = FAINT if label == "non_field_background" else colour
        axis.annotate(
            f"\u25a0 {label.replace('_', ' ')}",
            (place, 1.0),
            xytext=(0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            color=shown,
            size=10.5,
            ha="right" if place == 1.0 else "center",
        )


def polygons(axis: Axes, outlines: gpd.GeoDataFrame) -> None:
    """Fill each polygon with a quiet colour of its own and draw its edge."""
    patches, faces = [], []
    for number, geometry in enumerate(outlines.geometry):
        # The golden angle keeps the colours of neighbours apart.
        hue = (0.11 + number * 0.61803) % 1.0
        for part in getattr(geometry, "geoms", [geometry]):
            rings = [part.exterior, *part.interiors]
            path = Outline.make_compound_path(*(Outline(np.array(ring.coords)) for ring in rings))
            patches.append(PathPatch(path))
            faces.append((*colorsys.hls_to_rgb(hue, 0.64, 0.75), 0.5))
    axis.add_collection(
        PatchCollection(patches, facecolor=faces, edgecolor="#fff6d8", linewidth=0.7)
    )


def save(figure: Figure, out: Path) -> None:
    """Write a PNG of 256 colours: a third of the size, and no difference to the eye."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    rgba = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba[..., :3]).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(
        out, optimize=True
    )
    plt.close(figure)


if __name__ == "__main__":
    mpl.use("Agg")
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    mosaic_uri, prediction_uri, vectors_uri, out = sys.argv[1:]
    print(json.dumps(main(mosaic_uri, prediction_uri, vectors_uri, Path(out))))
