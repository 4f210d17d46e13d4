"""Who says what a warped mosaic should be: GDAL with exact coordinates, and odc-stac with them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
from pyproj import Transformer
from rasterio.warp import Resampling, reproject

from scenes import BANDS, DROPPED, bench_scenes, stac_items

TILE_PX = 1024
"""Pixels a side of the tiles in which a peer's differences are counted."""

TIE_PX = 2e-4
"""A centre this close to the edge of two mask pixels may fall to either: twice the error of
interpolated coordinates, in mask pixels."""


class Referee:
    """GDAL's warp with exact coordinates (`tolerance=0`), median by numpy.

    One warp of a raster of pixel numbers says which mask pixel holds the centre of each pixel of
    the output. Where that centre lies on the edge of two mask pixels (TIE_PX), either is right:
    such pixels are counted apart, whatever they hold. All others must be equal.
    """

    def __init__(self, box: Any) -> None:
        """Find the mask pixels and the ties."""
        self._box = box
        folder = bench_scenes()
        self._days = sorted(path for path in folder.iterdir() if path.is_dir())
        with rasterio.open(self._days[0] / "SCL.tif") as file:
            shape, place, crs = file.shape, file.transform, file.crs
        numbers = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
        index, _ = reproject(
            numbers, np.full(box.shape, -1, np.int32), src_crs=crs, src_transform=place,
            dst_crs="EPSG:3857", dst_transform=box.affine, dst_nodata=-1, tolerance=0,
            resampling=Resampling.nearest,
        )  # fmt: skip
        kept = []
        for day in self._days:
            with rasterio.open(day / "SCL.tif") as file:
                stays = ~np.isin(file.read(1).ravel(), DROPPED)
            kept.append(stays[index] & (index >= 0))
        self._kept = np.stack(kept)
        height, width = box.shape
        to_scene = Transformer.from_crs(3857, crs, always_xy=True)
        self._ties = np.zeros(box.shape, np.bool_)
        for row in range(height):
            centres = box.affine @ (np.arange(width) + 0.5, np.full(width, row + 0.5))
            at = np.stack(~place @ to_scene.transform(*centres))
            self._ties[row] = (np.abs(at - np.rint(at)) < TIE_PX).any(axis=0)

    def compare_masks(
        self, ours: np.ndarray[Any, Any], peer: np.ndarray[Any, Any]
    ) -> dict[str, Any]:
        """Compare where there is a value: ours, the peer's, and the peer's with exact coordinates.

        The last in the tile of the peer that differs most, as proof that it is GDAL's default
        tolerance of 1/8 px by which it differs, and nothing else.
        """
        exact = self._kept.any(axis=0)
        mine, theirs = np.isfinite(ours).all(axis=0), np.isfinite(peer).all(axis=0)
        wrong = (mine != exact) & ~self._ties
        off = theirs != exact
        tiles = {
            (y, x): int(off[y : y + TILE_PX, x : x + TILE_PX].sum())
            for y in range(0, exact.shape[0], TILE_PX)
            for x in range(0, exact.shape[1], TILE_PX)
        }
        y, x = max(tiles, key=lambda place: tiles[place])
        part = self._box[y : y + TILE_PX, x : x + TILE_PX]
        window = slice(y, y + TILE_PX), slice(x, x + TILE_PX)
        again = (_odc_mask(part) != exact[window]) & ~self._ties[window]
        return {
            "valid_mask_equal": not bool(wrong.any()),
            "valid_mask_px": exact.size,
            "valid_mask_ties_px": int(self._ties.sum()),
            "valid_mask_ties_that_differ_px": int(((mine != exact) & self._ties).sum()),
            "odc_stac_mask_differs_px": int(off.sum()),
            "odc_stac_mask_differs_in_a_tile_px": tiles[y, x],
            "odc_stac_mask_differs_there_at_tolerance_0_px": int(again.sum()),
        }

    def compare_values(self, ours: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Compare the values of four tiles."""
        side, worst, compared, ties, beyond = 512, 0.0, 0, 0, 0
        for y, x in ((400, 400), (1500, 900), (800, 2200), (2400, 1700)):
            window = slice(y, y + side), slice(x, x + side)
            place, tie = self._box[window], self._ties[window]
            for band, name in enumerate(BANDS):
                stack = np.empty((len(self._days), side, side), np.float32)
                for pixels, day, kept in zip(stack, self._days, self._kept, strict=True):
                    with rasterio.open(day / f"{name}.tif") as file:
                        warped, _ = reproject(
                            rasterio.band(file, 1), np.zeros((side, side), file.dtypes[0]),
                            dst_crs="EPSG:3857", dst_transform=place.affine, tolerance=0,
                            resampling=Resampling.bilinear, src_nodata=0, dst_nodata=0,
                        )  # fmt: skip
                    pixels[:] = np.where(kept[window] & (warped != 0), warped, np.nan)
                with np.errstate(all="ignore"):
                    theirs = np.nanmedian(stack, axis=0)
                off = np.abs(ours[(band, *window)] - theirs)
                off[np.isnan(theirs) & np.isnan(ours[(band, *window)])] = 0
                off = np.nan_to_num(off, nan=np.inf)  # a value on one side only
                worst = max(worst, float(off[~tie].max()))
                beyond += int((off[tie] > 1).sum())
                ties, compared = ties + int(tie.sum()), compared + off.size
        return {
            "gdal_max_difference": worst,
            "gdal_within_1_dn": worst <= 1,
            "gdal_px": compared,
            "gdal_ties_px": ties,
            "gdal_ties_that_differ_px": beyond,
        }


def _odc_mask(box: Any) -> np.ndarray[Any, Any]:
    """Return where odc-stac keeps any date's pixel if GDAL is told to warp exactly."""
    from odc.stac import load  # noqa: PLC0415

    usual = rasterio.warp.reproject
    rasterio.warp.reproject = partial(usual, tolerance=0)
    try:
        loaded = load(
            stac_items(), bands=["SCL"], geobox=box, groupby="id", chunks=None, nodata=0,
            resampling="nearest", pool=None, progress=None,
        )  # fmt: skip
    finally:
        rasterio.warp.reproject = usual
    return np.asarray(~np.isin(loaded["SCL"].values, DROPPED)).any(axis=0)
