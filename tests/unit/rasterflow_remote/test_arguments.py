import json
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import box, shape

from landloom.errors import InvalidInput
from landloom.wire.enums import DatasetEnum, ModelRecipes
from landloom.wire.results import MosaicRow, WorkflowResult
from rasterflow_remote.arguments import (
    member_name,
    one_store,
    pass_over,
    portable_aoi,
    renamed,
    store_uris,
)
from rasterflow_remote.results import MosaicResult


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
    def test_a_frame_in_any_crs_becomes_geojson_in_degrees(self):
        frame = gpd.GeoDataFrame(geometry=[box(13.1, 48.2, 13.2, 48.3)], crs=4326).to_crs(32633)
        travelled = portable_aoi(frame)
        assert json.loads(json.dumps(travelled))["type"] == "FeatureCollection"
        bounds = shape(travelled["features"][0]["geometry"]).bounds
        assert bounds == pytest.approx((13.1, 48.2, 13.2, 48.3), abs=1e-8)

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
