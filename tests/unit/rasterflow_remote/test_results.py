import copy
import pickle

import geopandas as gpd
import pytest
from shapely.geometry import box

from landloom.errors import InvalidInput
from landloom.wire.results import MosaicRow, WorkflowResult
from rasterflow_remote import MosaicResult, UriResult

ROW = MosaicRow(
    location="s3://landloom/org/a.zarr",
    crs="EPSG:3857",
    shape_yx=(2, 3),
    bbox=(0, 0, 1, 1),
    bands=["a"],
)


class TestMosaicResult:
    def test_is_the_string_of_its_first_store(self):
        result = MosaicResult(WorkflowResult(mosaics=[ROW], index_uri="s3://landloom/i.parquet"))
        assert result == "s3://landloom/org/a.zarr"
        assert result[5:] == "landloom/org/a.zarr"
        assert result.removeprefix("s3://") == "landloom/org/a.zarr"
        assert f"{result}" == str(result) == result.first_row_mosaic
        assert isinstance(result, str)

    def test_has_the_attributes_of_every_generation(self, tmp_path):
        index = tmp_path / "index.parquet"
        frame = gpd.GeoDataFrame({"location": [ROW.location]}, geometry=[box(0, 0, 1, 1)], crs=4326)
        frame.to_parquet(index)
        result = MosaicResult(WorkflowResult(mosaics=[ROW], index_uri=str(index)))
        assert result.uri == result.mosaic_index_uri == str(index)
        assert list(result.mosaic_index_gdf["location"]) == [ROW.location]
        assert list(result.mosaics["location"]) == [ROW.location]

    def test_of_a_dry_run_is_empty_and_false(self):
        assert not MosaicResult(WorkflowResult())

    @pytest.mark.parametrize("name", ["mosaic_index_gdf", "mosaics", "mosaic_index_df"])
    def test_of_a_dry_run_says_so_where_it_is_used(self, name):
        with pytest.raises(InvalidInput, match="result of a dry run"):
            getattr(MosaicResult(WorkflowResult()), name)

    @pytest.mark.parametrize(
        "travel",
        [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))],  # noqa: S301
    )
    def test_survives_copies_and_pickles_with_its_attributes(self, travel):
        result = MosaicResult(WorkflowResult(mosaics=[ROW], index_uri="s3://landloom/i.parquet"))
        assert travel(result) == result
        assert travel(result).uri == result.uri


class TestUriResult:
    def test_is_its_uri_and_knows_a_map_page(self):
        result = UriResult(
            WorkflowResult(uri="s3://landloom/v.parquet", count=3), "http://127.0.0.1:8000/"
        )
        assert result == result.uri == "s3://landloom/v.parquet"
        assert result.map_url.startswith("http://127.0.0.1:8000/map?l0.src=s3%3A%2F%2Flandloom")

    def test_has_no_map_page_without_a_server(self):
        assert UriResult(WorkflowResult(uri="/tmp/v.parquet")).map_url == ""
