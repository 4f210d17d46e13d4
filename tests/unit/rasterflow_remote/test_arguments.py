import json
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from pyproj import Transformer
from shapely.geometry import box, shape

from landloom.errors import InvalidInput
from landloom.raster.aoi import read_aoi
from landloom.wire.enums import DatasetEnum, ModelRecipes
from landloom.wire.results import MosaicRow, WorkflowResult
from rasterflow_remote.arguments import (
    dataset_names,
    member_name,
    one_store,
    pass_over,
    portable_aoi,
    renamed,
    store_uris,
)
from rasterflow_remote.results import MosaicResult, UriResult


class TestRenamed:
    def test_either_name_will_do(self):
        assert renamed("f", ("crs_epsg", 3857), ("target_crs", None)) == 3857
        assert renamed("f", ("crs_epsg", None), ("target_crs", 3857)) == 3857

    def test_both_names_at_once_are_a_type_error_that_names_them(self):
        with pytest.raises(TypeError, match="'crs_epsg' and 'target_crs'"):
            renamed("f", ("crs_epsg", 1), ("target_crs", 1))


class TestMemberName:
    @pytest.mark.parametrize("given", [ModelRecipes.FTW, "FTW", "ftw", "Ftw"])
    def test_takes_member_name_and_value_in_any_case(self, given):
        assert member_name(ModelRecipes, given) == "FTW"

    def test_lets_names_of_an_operators_catalogue_pass(self):
        assert member_name(DatasetEnum, "SAMPLE_PLANTING") == "SAMPLE_PLANTING"

    def test_refuses_what_is_no_name(self):
        with pytest.raises(InvalidInput, match="neither"):
            member_name(DatasetEnum, 7)


class TestPortableAoi:
    def test_a_frame_in_degrees_becomes_geojson(self):
        place = box(13.1, 48.2, 13.2, 48.3)
        travelled = portable_aoi(gpd.GeoDataFrame(geometry=[place], crs=4326))
        assert json.loads(json.dumps(travelled))["type"] == "FeatureCollection"
        assert "crs" not in travelled
        assert shape(travelled["features"][0]["geometry"]).equals(place)

    @pytest.mark.parametrize(
        "crs", [32633, 3857, 31287, "ESRI:102031", "+proj=laea +lat_0=48 +lon_0=13 +ellps=GRS80"]
    )
    def test_a_frame_in_another_crs_keeps_it_and_the_engine_knows_it(self, crs):
        place = box(13.1, 48.2, 13.2, 48.3)
        frame = gpd.GeoDataFrame(geometry=[place], crs=4326).to_crs(crs)
        travelled = json.loads(json.dumps(portable_aoi(frame)))
        assert shape(travelled["features"][0]["geometry"]).equals(frame.geometry.iloc[0])
        (row,) = read_aoi(travelled)
        # Edges that are straight in that CRS bulge in degrees: by a metre.
        assert row.geometry.bounds == pytest.approx(place.bounds, abs=2e-5)

    def test_a_frame_across_the_antimeridian_is_the_same_as_a_file_of_it(self, tmp_path):
        to_pacific = Transformer.from_crs(4326, 3832, always_xy=True)
        (west, north), (east, south) = (
            to_pacific.transform(*corner) for corner in ((179.98, -17.0), (-179.98, -17.04))
        )
        frame = gpd.GeoDataFrame(geometry=[box(west, south, east, north)], crs=3832)
        frame.to_parquet(tmp_path / "aoi.parquet")
        (here,), (there,) = read_aoi(portable_aoi(frame)), read_aoi(str(tmp_path / "aoi.parquet"))
        assert here.geometry.equals(there.geometry)
        assert here.geometry.bounds[0::2] == (-180, 180)

    def test_a_frame_without_geometries_is_told_so(self):
        frame = gpd.GeoDataFrame({"a": [1]})
        with pytest.raises(InvalidInput, match="no active geometry column"):
            portable_aoi(frame)
        named = gpd.GeoDataFrame({"place": gpd.GeoSeries([box(0, 0, 1, 1)])})
        with pytest.raises(InvalidInput, match="set_geometry"):
            portable_aoi(named)

    def test_a_frame_without_crs_is_refused_with_the_way_out(self):
        with pytest.raises(InvalidInput, match="set_crs"):
            portable_aoi(gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)]))

    def test_urls_and_paths_stay_as_they_are(self):
        assert portable_aoi("s3://b/a.parquet") == "s3://b/a.parquet"
        assert portable_aoi(Path("a.geojson")) == "a.geojson"

    def test_a_shape_becomes_geojson(self):
        assert portable_aoi(box(0, 0, 1, 1))["type"] == "Polygon"

    def test_other_things_are_refused_by_type(self):
        with pytest.raises(InvalidInput, match="int"):
            portable_aoi(5)


def result(*stores: str) -> MosaicResult:
    rows = [
        MosaicRow(location=uri, crs="EPSG:3857", shape_yx=(1, 1), bbox=(0, 0, 1, 1), bands=[])
        for uri in stores
    ]
    return MosaicResult(WorkflowResult(mosaics=rows, index_uri="s3://b/i.parquet"))


class TestStoreUris:
    def test_takes_every_form_of_mosaics(self):
        two = result("s3://b/a.zarr", "s3://b/b.zarr")
        assert store_uris(two) == ["s3://b/a.zarr", "s3://b/b.zarr"]
        assert store_uris("s3://b/a.zarr") == ["s3://b/a.zarr"]
        assert store_uris(["s3://b/c.zarr", two])[0::2] == ["s3://b/c.zarr", "s3://b/b.zarr"]
        assert store_uris(pd.DataFrame({"location": ["s3://b/c.zarr"]})) == ["s3://b/c.zarr"]

    def test_refuses_what_names_no_store(self):
        with pytest.raises(InvalidInput, match="float"):
            store_uris(1.5)
        with pytest.raises(InvalidInput, match="dict"):
            store_uris({"s3://b/a.zarr": 1})

    @pytest.mark.parametrize("kind", [MosaicResult, UriResult])
    def test_refuses_what_a_dry_run_did_not_make(self, kind):
        nothing = kind(WorkflowResult())
        for given in (nothing, [nothing]):
            with pytest.raises(InvalidInput, match="result of a dry run"):
                store_uris(given)

    def test_refuses_a_table_that_is_no_index_by_its_columns(self):
        frame = gpd.GeoDataFrame({"label": ["field"]}, geometry=[box(0, 0, 1, 1)], crs=4326)
        with pytest.raises(InvalidInput, match="without a column `location`; it has label, geom"):
            one_store("vectorize_mosaic", frame)


class TestDatasetNames:
    def test_one_may_stand_alone(self):
        assert dataset_names("naip_30cm") == dataset_names([DatasetEnum.NAIP_30CM]) == ["NAIP_30CM"]

    @pytest.mark.parametrize("wrong", [None, 7, {"NAIP_30CM": 1}])
    def test_what_is_no_list_is_refused(self, wrong):
        with pytest.raises(InvalidInput, match=f"datasets is a {type(wrong).__name__}"):
            dataset_names(wrong)


class TestOneStore:
    def test_is_the_first_and_the_others_are_told(self):
        several = result("s3://b/a.zarr", "s3://b/b.zarr")
        with pytest.warns(UserWarning, match=r"given 2: it takes s3://b/a\.zarr"):
            assert one_store("vectorize_mosaic", several) == "s3://b/a.zarr"

    @pytest.mark.filterwarnings("error")
    def test_one_is_no_news(self):
        assert one_store("vectorize_mosaic", result("s3://b/a.zarr")) == "s3://b/a.zarr"
        assert one_store("vectorize_mosaic", "s3://b/a.zarr") == "s3://b/a.zarr"

    def test_none_is_refused(self):
        with pytest.raises(InvalidInput, match="no mosaic"):
            one_store("vectorize_mosaic", [])


class TestEnvs:
    def test_some_are_told_to_have_no_effect(self):
        with pytest.warns(UserWarning, match=r"no environment of their caller's \(GDAL_X\)"):
            pass_over({"GDAL_X": "1"})

    @pytest.mark.filterwarnings("error")
    def test_none_are_no_news(self):
        pass_over(None)
        pass_over({})
