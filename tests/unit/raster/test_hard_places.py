"""Places and scenes where mosaics go wrong: each built of real files, held against rasterio."""

from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import map_coordinates
from tests.engine.cubes import all_pixels, never
from tests.engine.imagery import dataset, write_items, write_tiff
from tests.engine.stac_api import StacApi, serve
from tests.engine.tolerances import EDGES_AND_TIES, WARPED_NUMBERS

from landloom.errors import CatalogProblem
from landloom.raster.aoi import AoiRow, read_aoi
from landloom.raster.catalog import Band, MaskRule, Source, load_catalog
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.grid import footprint, geobox_for
from landloom.raster.mosaic.build import build_mosaic
from landloom.raster.mosaic.plan import plan_mosaic
from landloom.raster.store.zarr import CubeStore

IN_2023 = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)


def ramp(height=200, width=200, low=100, high=4000):
    """Smooth numbers, so that a wrong place shows and interpolation does not."""
    return np.linspace(low, high, height * width).reshape(height, width).astype(np.uint16)


def item(path, name=None, when="2023-06-01T10:00:00Z", outline=None, **properties):
    """Return an item with the asset `v`; its outline is the file's, split where it has to be."""
    with rasterio.open(path) as file:
        place = footprint(GeoBox(file.shape, file.transform, file.crs.to_wkt()))
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name or path.stem, "links": [],
        "collection": "scenes", "geometry": shapely.geometry.mapping(outline or place),
        "properties": {"datetime": when, "grid:code": path.stem, **properties},
        "assets": {"v": {"href": str(path), "type": "image/tiff"}},
    }  # fmt: skip


def one_band(source, **changes):
    return dataset("", **{
        "source": source, "bands": (Band("v", ("v",)),), "mask": None, "count_band": None,
    } | changes)  # fmt: skip


class Builder:
    """Builds mosaics and keeps what was told."""

    def __init__(self, folder):
        self.folder = folder
        self.told = []
        self.made = 0

    def items(self, *items):
        return Source("static", str(write_items(self.folder / "items.json", items)), None)

    def __call__(self, what, place, *, crs=None, window=IN_2023, on_error="raise"):
        self.made += 1
        (row,) = read_aoi(shapely.geometry.mapping(place))
        made = build_mosaic(
            lambda: plan_mosaic([what], row, *window, crs, on_error),
            str(self.folder / f"{self.made}.zarr"), LocalExecutor(1),
            lambda *event: self.told.append(event), never, key="", on_error=on_error,
        )  # fmt: skip
        return CubeStore.open(made.location)


@pytest.fixture
def build(tmp_path):
    return Builder(tmp_path)


def warped(path, store, resampling=Resampling.bilinear):
    """Return a file on a store's grid as GDAL has it, exactly placed; NaN where it has nothing."""
    out = np.full(store.shape_yx, np.nan, np.float32)
    with rasterio.open(path) as file:
        reproject(
            file.read(1).astype(np.float32), out, src_transform=file.transform, src_crs=file.crs,
            src_nodata=file.nodata, dst_transform=store.geobox.affine, dst_nodata=np.nan,
            dst_crs=store.geobox.crs.to_wkt(), resampling=resampling, tolerance=0,
        )  # fmt: skip
    return out


def placed(path, store):
    """Return a file on a store's grid, interpolated at places that pyproj gives pixel by pixel.

    Near a pole GDAL's own bilinear warp is off by more than a number, with any tolerance.
    """
    columns, rows = np.meshgrid(*(np.arange(side) + 0.5 for side in store.shape_yx[::-1]))
    x, y = store.geobox.affine @ (columns, rows)
    with rasterio.open(path) as file:
        transformer = Transformer.from_crs(store.geobox.crs.proj, file.crs.to_wkt(), always_xy=True)
        column, row = ~file.transform @ transformer.transform(x, y)
        pixels = file.read(1).astype(np.float64)
    values = map_coordinates(pixels, [row - 0.5, column - 0.5], order=1, mode="nearest")
    height, width = pixels.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(inside, values, np.nan)


def assert_equal(found, wanted):
    """Hold pixels against a reference."""
    both = ~np.isnan(found) & ~np.isnan(wanted)
    assert both.any()
    assert (np.isnan(found) != np.isnan(wanted)).mean() <= EDGES_AND_TIES
    assert np.abs(found - wanted)[both].max() <= WARPED_NUMBERS


def utm(folder, name, epsg, lon, lat, side=400, **options):
    """Write a scene of 10 m with its centre near a place."""
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    corner = {"x0": round(x / 10 - side / 2) * 10, "y0": round(y / 10 + side / 2) * 10}
    return write_tiff(
        folder / f"{name}.tif", ramp(side, side), crs=f"EPSG:{epsg}", **corner | options
    )


class TestAntimeridian:
    ACROSS = shapely.box(179.99, -17.01, 180.01, -17)

    @pytest.fixture
    def scenes(self, tmp_path):
        west = utm(tmp_path, "west", 32760, 179.985, -17.005)
        east = utm(tmp_path, "east", 32701, -179.985, -17.005)
        jumping = shapely.Polygon(
            [(179.97, -17.1), (-179.99, -17.1), (-179.99, -16.9), (179.97, -16.9)]
        )
        return [item(west, outline=jumping), item(east)]

    def test_scenes_of_both_sides_are_found_and_meet(self, build, scenes, tmp_path):
        store = build(one_band(build.items(*scenes)), self.ACROSS)
        assert store.geobox.crs.epsg in {32701, 32760}
        found = all_pixels(store)[0]
        assert not np.isnan(found).any()
        planes = [placed(tmp_path / f"{side}.tif", store) for side in ("west", "east")]
        assert all((~np.isnan(plane)).any() for plane in planes)
        assert_equal(found, np.nanmedian(planes, axis=0))

    def test_an_api_is_asked_for_both_sides(self, build, scenes):
        with serve(StacApi(scenes)) as api:
            store = build(one_band(Source("stac_api", api.url, "scenes")), self.ACROSS)
            asked = shapely.geometry.shape(api.searches[0]["intersects"])
        assert asked.geom_type == "MultiPolygon"
        assert asked.area < 0.01
        assert not np.isnan(all_pixels(store)).any()


class TestFarPlaces:
    def test_south_of_the_equator_pixels_are_copied(self, build, tmp_path):
        path = utm(tmp_path, "andes", 32719, -70.2, -33.4)
        place = shapely.box(-70.205, -33.405, -70.195, -33.395)
        store = build(one_band(build.items(item(path))), place)
        assert store.geobox.crs.epsg == 32719
        np.testing.assert_array_equal(all_pixels(store)[0], warped(path, store, Resampling.nearest))

    @pytest.mark.parametrize(("north", "epsg", "own"), [(True, 32661, 3413), (False, 32761, 3031)])
    def test_around_a_pole(self, build, tmp_path, north, epsg, own):
        path = write_tiff(
            tmp_path / "pole.tif", ramp(), crs=f"EPSG:{own}", x0=-20_000, y0=20_000, pixel=200,
        )  # fmt: skip
        cap = shapely.box(-180, 89.9, 180, 90) if north else shapely.box(-180, -90, 180, -89.9)
        outline = shapely.box(-180, 89.8, 180, 90) if north else shapely.box(-180, -90, 180, -89.8)
        store = build(one_band(build.items(item(path, outline=outline)), resolution=200.0), cap)
        assert store.geobox.crs.epsg == epsg
        assert_equal(all_pixels(store)[0], placed(path, store))

    def test_across_utm_zones_scenes_of_both_meet(self, build, tmp_path):
        paths = [utm(tmp_path, "32632", 32632, 11.99, 48), utm(tmp_path, "32633", 32633, 12.01, 48)]
        place = shapely.box(11.98, 47.995, 12.02, 48.005)
        store = build(one_band(build.items(*map(item, paths))), place)
        found = all_pixels(store)[0]
        assert not np.isnan(found).any()
        assert_equal(found, np.nanmedian([placed(path, store) for path in paths], axis=0))

    @pytest.mark.parametrize("crs", [None, 3857, 4326])
    def test_smaller_than_a_pixel_is_one_pixel(self, build, tmp_path, crs):
        path = utm(tmp_path, "here", 32633, 13, 48, side=100)
        store = build(one_band(build.items(item(path))), shapely.Point(13, 48), crs=crs)
        assert store.shape_yx == (1, 1)
        assert_equal(all_pixels(store)[0], placed(path, store))


class TestShapes:
    """A mosaic covers the box around its area: its pixels do not depend on the shape inside."""

    BOX = shapely.box(13, 48, 13.01, 48.006)

    @pytest.mark.parametrize(
        "shape",
        [
            BOX - shapely.box(13.002, 48.002, 13.008, 48.004),
            shapely.union_all(
                [shapely.box(13, 48, 13.002, 48.001), shapely.box(13.009, 48.005, 13.01, 48.006)]
            ),
            shapely.Polygon([(13, 48), (13.01, 48.006), (13.01, 48), (13, 48.006)]),
            BOX.exterior,
        ],
        ids=["a hole", "parts", "a bow tie", "a line"],
    )
    def test_any_shape_is_its_box(self, build, tmp_path, shape):
        path = utm(tmp_path, "here", 32633, 13.005, 48.003)
        what = one_band(build.items(item(path)))
        whole, found = build(what, self.BOX, crs=3857), build(what, shape, crs=3857)
        assert found.shape_yx == whole.shape_yx
        np.testing.assert_array_equal(all_pixels(found), all_pixels(whole))


class TestScenesThatDiffer:
    def test_in_crs_resolution_nodata_and_size(self, build, tmp_path):
        here = utm(tmp_path, "utm33", 32633, 13, 48)
        there = utm(tmp_path, "utm32", 32632, 13, 48, pixel=20.0, nodata=65535)
        degrees = write_tiff(
            tmp_path / "degrees.tif", ramp(300, 400), crs="EPSG:4326", pixel=1e-4, nodata=None,
            x0=12.99, y0=48.02,
        )  # fmt: skip
        holes = ramp(400, 400)
        holes[150:250, 150:250] = 0
        x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(13, 48)
        corner = {"x0": round(x / 10 - 200) * 10 + 3, "y0": round(y / 10 + 200) * 10 - 4}
        torn = write_tiff(tmp_path / "torn.tif", holes, **corner)
        paths = [here, there, degrees, torn]
        store = build(
            one_band(build.items(*map(item, paths)), count_band="N_VALID_PIXELS"),
            shapely.box(12.995, 47.995, 13.005, 48.005),
        )
        planes = np.stack([warped(path, store) for path in paths])
        values, counts = all_pixels(store)
        same = counts == (~np.isnan(planes)).sum(axis=0)
        assert same.mean() >= 1 - EDGES_AND_TIES
        assert {3, 4} <= set(np.unique(counts[same]).astype(int))
        assert np.abs(values - np.nanmedian(planes, axis=0))[same].max() <= WARPED_NUMBERS

    def test_an_item_without_an_asset_is_named_or_counted(self, build, tmp_path):
        whole = item(utm(tmp_path, "whole", 32633, 13, 48))
        lacking = {**item(utm(tmp_path, "lacking", 32633, 13, 48)), "assets": {}}
        what = one_band(build.items(whole, lacking))
        place = shapely.box(12.999, 47.999, 13.001, 48.001)
        with pytest.raises(CatalogProblem, match="lacking has no asset v"):
            build(what, place)
        store = build(what, place, on_error="skip")
        assert store.attributes["landloom:skipped_rasters"] == 1
        assert store.attributes["landloom:valid_fraction"] == 1
        assert any("Left out: The item lacking" in event[1] for event in build.told)

    def test_a_scene_without_a_band_counts_with_the_others(self, build, tmp_path):
        paths = [utm(tmp_path, name, 32633, 13, 48) for name in ("a", "b", "c")]
        with rasterio.open(paths[1], "r+") as file:
            file.write(file.read(1) // 2, 1)
        items = [item(path) for path in paths]
        for each, path in zip(items[:2], paths[:2], strict=True):
            each["assets"]["w"] = {"href": str(path), "type": "image/tiff"}
        two = (Band("v", ("v",)), Band("w", ("w",)))
        what = one_band(build.items(*items), bands=two, count_band="N_VALID_PIXELS")
        store = build(what, shapely.box(12.999, 47.999, 13.001, 48.001))
        v, w, counts = all_pixels(store)
        first, second, third = (warped(path, store) for path in paths)
        assert np.array_equal(v, np.median([first, second, third], axis=0))
        assert np.array_equal(w, np.mean([first, second], axis=0))
        assert np.unique(counts) == [2]  # scenes with a value in every band
        assert store.attributes["landloom:missing_bands"] == {"sample:w": 1}
        assert store.attributes["landloom:skipped_rasters"] == 0
        assert ("search", "1 scenes have no band sample:w: it lacks their values") in build.told

    def test_an_image_that_says_it_has_fewer_bands_counts_with_those(self, build, tmp_path):
        plain = utm(tmp_path, "plain", 32633, 13, 48)
        with rasterio.open(plain) as file:
            pixels, profile = file.read(1), file.profile
        items = []
        for day, bands in ((1, 3), (2, 2)):
            path = tmp_path / f"of_{bands}.tif"
            with rasterio.open(path, "w", **{**profile, "count": bands}) as file:
                for band in range(bands):
                    file.write(pixels + 100 * bands + band, band + 1)
            image = item(path, when=f"2023-06-{day:02d}T00:00:00Z")
            image["assets"]["v"]["eo:bands"] = [{"name": f"b{band}"} for band in range(bands)]
            items.append(image)
        two = (Band("red", ("v",)), Band("nir", ("v",), 2))
        what = one_band(build.items(*items), bands=two, reducer="last")
        store = build(what, shapely.box(12.999, 47.999, 13.001, 48.001))
        shown = warped(plain, store)
        assert np.array_equal(all_pixels(store), [shown + 200, shown + 302])

    def test_a_band_that_no_scene_has_is_an_error_or_stays_empty(self, build, tmp_path):
        two = (Band("v", ("v",)), Band("w", ("wrong",)))
        what = one_band(build.items(item(utm(tmp_path, "a", 32633, 13, 48))), bands=two)
        place = shapely.box(12.999, 47.999, 13.001, 48.001)
        with pytest.raises(CatalogProblem, match="has an asset wrong, of which w is made"):
            build(what, place)
        store = build(what, place, on_error="skip")
        assert np.isfinite(all_pixels(store)[0]).all()
        assert np.isnan(all_pixels(store)[1]).all()

    def test_old_and_new_processing_are_on_one_scale(self, build, tmp_path):
        old = utm(tmp_path, "old", 32633, 13, 48)
        with rasterio.open(old) as file:
            raised, profile = file.read(1) + np.uint16(1000), file.profile
        new = tmp_path / "new.tif"
        with rasterio.open(new, "w", **profile) as file:
            file.write(raised, 1)
        items = [
            item(old, **{"s2:processing_baseline": "03.01"}),
            item(new, **{"s2:processing_baseline": "05.09"}),
            item(old, "moved", "2023-07-01T10:00:00Z", **{
                "s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True,
            }),
        ]  # fmt: skip
        what = one_band(
            build.items(*items), radiometry="sentinel2_l2a", count_band="N_VALID_PIXELS"
        )
        place = shapely.box(12.999, 47.999, 13.001, 48.001)
        values, counts = all_pixels(build(what, place))
        assert np.unique(counts) == [3]
        wanted = warped(old, build(what, place), Resampling.nearest)
        np.testing.assert_array_equal(values, wanted)
        (alone,) = all_pixels(
            build(one_band(build.items(items[1]), radiometry="sentinel2_l2a"), place)
        )
        np.testing.assert_array_equal(alone, wanted)


class TestNothingToSee:
    PLACE = shapely.box(12.999, 47.999, 13.001, 48.001)

    def test_no_scenes_is_an_empty_mosaic_and_a_warning(self, build):
        store = build(one_band(build.items()), self.PLACE)
        assert np.isnan(all_pixels(store)).all()
        assert any("No scenes of SAMPLE" in event[1] for event in build.told)
        assert not any("No pixel has a value" in event[1] for event in build.told)

    def test_clouds_alone_are_no_values_and_a_count_of_0(self, build, tmp_path):
        scene = item(utm(tmp_path, "here", 32633, 13, 48))
        clouds = np.full((400, 400), 9, np.uint8)
        with rasterio.open(tmp_path / "here.tif") as file:
            corner = {"x0": file.transform.c, "y0": file.transform.f}
        scene["assets"]["SCL"] = {"href": str(write_tiff(tmp_path / "scl.tif", clouds, **corner))}
        rule = MaskRule(("SCL",), (0, 1, 3, 7, 8, 9, 10), ())
        what = one_band(build.items(scene), mask=rule, count_band="N_VALID_PIXELS")
        values, counts = all_pixels(build(what, self.PLACE))
        assert np.isnan(values).all()
        assert (counts == 0).all()
        assert any("No pixel has a value" in event[1] for event in build.told)


class TestAerialImages:
    PLACE = shapely.box(-116.3822, 32.9713, -116.3812, 32.9720)

    def write(self, folder, name, value, *, hole=False):
        x, y = Transformer.from_crs(4326, 26911, always_xy=True).transform(-116.3817, 32.97165)
        pixels = (
            np.full((4, 600, 600), value, np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None]
        )
        if hole:
            pixels[:, 280:320, 280:320] = 0
        path = folder / f"{name}.tif"
        transform = Affine(0.6, 0, round(x / 0.6 - 300) * 0.6, 0, -0.6, round(y / 0.6 + 300) * 0.6)
        with rasterio.open(
            path, "w", driver="GTiff", count=4, height=600, width=600, dtype="uint8",
            crs="EPSG:26911", transform=transform, tiled=True, interleave="pixel",
        ) as file:  # fmt: skip
            file.write(pixels)
        return path

    def items(self, folder):
        """Return three images of 60 cm and one of 1 m; the newest has a hole."""
        found = []
        for name, value, gsd, when in [
            ("old", 10, 0.6, "2023-04-01T00:00:00Z"), ("metre", 200, 1.0, "2023-12-01T00:00:00Z"),
            ("new", 90, 0.6, "2023-10-01T00:00:00Z"), ("mid", 50, 0.6, "2023-07-01T00:00:00Z"),
        ]:  # fmt: skip
            path = self.write(folder, name, value, hole=name == "new")
            image = item(path, when=when, gsd=gsd)
            image["assets"] = {"image": image["assets"].pop("v")}
            found.append({**image, "collection": "naip"})
        return found

    def naip(self, url, name="NAIP_60CM"):
        built_in = load_catalog().dataset(name)
        fields = {each: getattr(built_in, each) for each in built_in.__slots__}
        return type(built_in)(**fields | {"source": Source("stac_api", url, "naip")})

    def test_the_newest_of_one_resolution_is_on_top(self, build, tmp_path):
        with serve(StacApi(self.items(tmp_path))) as api:
            store = build(self.naip(api.url), self.PLACE)
        assert store.geobox.crs.epsg == 26911
        assert [band.split(":")[1] for band in store.bands] == ["red", "green", "blue", "nir"]
        pixels = all_pixels(store)
        for number in range(4):
            values, counts = np.unique(pixels[number], return_counts=True)
            assert values.tolist() == [50 + number, 90 + number]
            assert counts[0] == 40 * 40

    def test_none_of_the_resolution_is_an_empty_mosaic_and_a_warning(self, build, tmp_path):
        with serve(StacApi(self.items(tmp_path))) as api:
            store = build(self.naip(api.url, "NAIP_30CM"), self.PLACE)
        assert store.attributes["landloom:valid_fraction"] == 0
        assert np.isnan(all_pixels(store)).all()
        assert any("No scenes of NAIP_30CM" in event[1] for event in build.told)


def test_degrees_are_a_lattice_too(build, tmp_path):
    path = utm(tmp_path, "here", 32633, 13, 48)
    place = shapely.box(12.995, 47.995, 13.005, 48.005)
    store = build(one_band(build.items(item(path))), place, crs=4326)
    assert store.geobox == geobox_for(AoiRow(place, "").geometry, 4326, 10)
    assert_equal(all_pixels(store)[0], placed(path, store))
