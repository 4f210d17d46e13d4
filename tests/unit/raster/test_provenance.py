"""What lies beside each output, and that it is enough to make the output again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from shapely.geometry import box, mapping, shape
from tests.engine.geometry_models import BrightFinder, blob_finder
from tests.engine.imagery import SAMPLES
from tests.engine.tables import write_tile_index
from tests.engine.workflows import PLACE, do, engine, fields, mosaic, pixels, polygons

from landloom.errors import ModelRejected, StoreProblem
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.provenance import (
    InputStore,
    Origin,
    UsedModel,
    differences,
    identify,
    read_provenance,
    read_scenes,
    versions,
)
from landloom.raster.rerun import rerun
from landloom.raster.settings import EngineSettings
from landloom.raster.store.zarr import CubeStore
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import (
    BuildGtiMosaics,
    BuildZarrMultiscales,
    GeometryInference,
    PredictGeometries,
    RunMosaicsChange,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineSettings, dict[str, str]]:
    """Settings, and the URI of a mosaic, its prediction and its polygons."""
    settings = engine(tmp_path_factory.mktemp("provenance"), cache=None)
    result, _ = do(fields(), settings, "fields")
    uri = do(polygons(result.mosaics[0].location), settings, "vectors")[0].uri
    assert uri is not None
    return settings, {
        "mosaic": result.inputs[0].location,
        "prediction": result.mosaics[0].location,
        "polygons": uri,
    }


def again(
    settings: EngineSettings, uri: str, output: Path | None = None
) -> tuple[str, list[ProgressEvent]]:
    told: list[ProgressEvent] = []
    target = None if output is None else str(output)
    return rerun(uri, target, settings=settings, show=told.append).uri, told


@contextmanager
def altered(store: Path) -> Iterator[dict[str, Any]]:
    """Yield what an output says of how it was made, for others to find as it is left."""
    file = store / "_landloom" / "provenance.json"
    record = json.loads(file.read_text())
    yield record
    file.write_text(json.dumps(record))


def validate(document: dict[str, Any]) -> None:
    """Hold an item against the schemas of STAC core that pystac brings along."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources(
        [(uri, Resource.from_contents(schema)) for uri, schema in schemas.items()]
    )
    (item_schema,) = (schema for uri, schema in schemas.items() if uri.endswith("/item.json"))
    jsonschema.Draft7Validator(item_schema, registry=registry).validate(document)


class TestRecord:
    def test_a_mosaic_says_what_it_is_made_of(self, made) -> None:
        _, uris = made
        record = read_provenance(uris["mosaic"])
        assert record is not None
        assert record.origin.what == "mosaic"
        assert record.request["model_recipe"] == "SAMPLE_FIELDS"
        assert record.seed == "fields"
        assert record.catalogue["recipe"]["inference"]["patch_size"] == 256
        assert {"engine", "landloom", "python", "numpy", "numba", "torch", "gdal"} <= set(
            record.versions
        )
        plan = MosaicPlan.from_json(read_scenes(uris["mosaic"]))
        assert plan.scenes == {"SAMPLE_PLANTING": 1, "SAMPLE_HARVEST": 1}
        attributes = CubeStore.open(uris["mosaic"]).attributes
        assert attributes["landloom:provenance"] == record.digest
        assert attributes["landloom:engine"] == record.versions["engine"]
        assert attributes["landloom:skipped_rasters"] == 0

    def test_a_prediction_names_its_model_and_its_mosaic_by_content(self, made) -> None:
        _, uris = made
        record = read_provenance(uris["prediction"])
        mosaic = read_provenance(uris["mosaic"])
        assert (
            record.origin.model.sha256
            == CubeStore.open(uris["prediction"]).attributes["landloom:model_sha256"]
        )
        assert record.origin.inputs == (InputStore(uris["mosaic"], mosaic.digest),)
        assert record.inputs[0]["digest"] == mosaic.digest
        assert read_scenes(uris["prediction"])["inputs"][0] == read_scenes(uris["mosaic"])

    def test_polygons_carry_the_whole_line_and_readers_pass_it_over(self, made) -> None:
        _, uris = made
        record = read_provenance(uris["polygons"])
        assert record.origin.parameters["features"] == ["field"]
        assert record.inputs[0]["inputs"][0]["origin"]["what"] == "mosaic"
        assert len(gpd.read_parquet(uris["polygons"])) > 0

    def test_an_engine_refuses_a_record_of_a_later_format(self, made, tmp_path: Path) -> None:
        _, uris = made
        copy = Path(shutil.copytree(uris["mosaic"], tmp_path / "m.zarr"))
        with altered(copy) as record:
            record["format"] = 99
        with pytest.raises(StoreProblem, match="format 99"):
            read_provenance(str(copy))


class TestIdentity:
    ORIGIN = Origin(
        "prediction",
        "1.0",
        {"labels": ["a", "b"]},
        (InputStore("s3://b/one.zarr", "digest"),),
        UsedModel("s3://b/m.pt2", "sum"),
    )

    def test_places_have_no_say(self) -> None:
        moved = replace(
            self.ORIGIN,
            inputs=(InputStore("elsewhere.zarr", "digest"),),
            model=UsedModel("m.pt2", "sum", "RECIPE"),
        )
        assert moved.digest == self.ORIGIN.digest

    @pytest.mark.parametrize(
        "change",
        [
            {"engine": "1.1"},
            {"parameters": {"labels": ["b", "a"]}},
            {"inputs": (InputStore("s3://b/one.zarr", "other"),)},
            {"model": UsedModel("s3://b/m.pt2", "other")},
            {"scenes_sha256": "scenes"},
            {"what": "change"},
        ],
    )
    def test_content_has(self, change: dict[str, Any]) -> None:
        assert replace(self.ORIGIN, **change).digest != self.ORIGIN.digest

    def test_json_keeps_everything(self) -> None:
        assert Origin.from_json(json.loads(json.dumps(self.ORIGIN.to_json()))) == self.ORIGIN

    def test_a_store_of_others_changes_with_any_object(self, made, tmp_path: Path) -> None:
        _, uris = made
        copy = Path(shutil.copytree(uris["mosaic"], tmp_path / "m.zarr"))
        shutil.rmtree(copy / "_landloom")
        before = identify(str(copy))
        assert before == identify(str(copy))
        assert before.certain
        shard = copy / "variables" / "c" / "0" / "0" / "0" / "0"
        shard.write_bytes(shard.read_bytes()[::-1])
        assert identify(str(copy)).digest != before.digest

    def test_nothing_has_no_identity(self, tmp_path: Path) -> None:
        with pytest.raises(StoreProblem, match="no store"):
            identify(str(tmp_path / "none.zarr"))

    def test_versions_that_differ_are_both_named(self) -> None:
        now = versions()
        then = now | {"numpy": "1.0"}
        (sentence,) = differences(then, now)
        assert sentence == f"numpy was 1.0 and is {now['numpy']} here"


class TestItem:
    @pytest.mark.parametrize("what", ["mosaic", "prediction", "polygons"])
    def test_is_valid_stac_at_the_right_place_and_time(self, made, what: str) -> None:
        _, uris = made
        path = Path(uris[what]) / "_landloom" / "item.json"
        document = json.loads(path.read_text())
        validate(document)
        item = pystac.Item.from_file(str(path))
        assert shape(item.geometry).buffer(1e-9).covers(shape(PLACE))
        assert box(*item.bbox).area < 4 * shape(PLACE).area
        assert item.properties["start_datetime"] == "2021-01-01T00:00:00Z"
        assert item.properties["end_datetime"] == "2022-01-01T00:00:00Z"
        assert item.properties["proj:code"] == "EPSG:32633"
        assert Path(item.assets["data"].get_absolute_href()) == Path(uris[what])
        assert Path(item.assets["provenance"].get_absolute_href()).is_file()
        assert Path(item.assets["scenes"].get_absolute_href()).is_file()

    def test_the_bands_are_those_of_the_store(self, made) -> None:
        _, uris = made
        document = json.loads((Path(uris["prediction"]) / "_landloom" / "item.json").read_text())
        bands = [band["name"] for band in document["assets"]["data"]["bands"]]
        assert bands == list(CubeStore.open(uris["prediction"]).bands)
        assert document["properties"]["mlm:tasks"] == ["semantic-segmentation"]
        assert document["assets"]["model"]["href"].endswith("fields.pt2")
        (link,) = document["links"]
        assert Path(link["href"]).is_file()


class TestRerun:
    def test_a_mosaic_is_equal_to_the_last_bit_and_nothing_is_searched(
        self, made, tmp_path: Path
    ) -> None:
        settings, uris = made
        nowhere = replace(settings, catalog=tmp_path / "no-catalogue.toml")
        uri, told = again(nowhere, uris["mosaic"], tmp_path / "m.zarr")
        np.testing.assert_array_equal(pixels(uri), pixels(uris["mosaic"]))
        assert read_provenance(uri).digest == read_provenance(uris["mosaic"]).digest
        assert not [event for event in told if event.level == "warning"]

    def test_a_prediction_is_equal_to_the_last_bit(self, made, tmp_path: Path) -> None:
        settings, uris = made
        uri, _ = again(settings, uris["prediction"], tmp_path / "p.zarr")
        np.testing.assert_array_equal(pixels(uri), pixels(uris["prediction"]))

    def test_polygons_are_equal(self, made, tmp_path: Path) -> None:
        settings, uris = made
        uri, _ = again(settings, uris["polygons"], tmp_path / "p.parquet")
        assert gpd.read_parquet(uri).equals(gpd.read_parquet(uris["polygons"]))

    def test_inputs_that_are_gone_are_made_again_first(self, made, tmp_path: Path) -> None:
        settings, uris = made
        polygons_alone = Path(shutil.copytree(uris["polygons"], tmp_path / "kept.parquet"))
        for name in ("provenance", "scenes"):
            file = polygons_alone / "_landloom" / f"{name}.json"
            text = file.read_text()
            for what in ("prediction", "mosaic"):
                text = text.replace(json.dumps(uris[what])[1:-1], f"{tmp_path}/gone-{what}.zarr")
            file.write_text(text)
        uri, told = again(settings, str(polygons_alone))
        assert uri == str(tmp_path / "kept-rerun.parquet")
        assert gpd.read_parquet(uri).equals(gpd.read_parquet(uris["polygons"]))
        assert sum("is made again first" in event.message for event in told) == 2

    def test_other_versions_are_a_warning_with_both(self, made, tmp_path: Path) -> None:
        settings, uris = made
        copy = Path(shutil.copytree(uris["mosaic"], tmp_path / "m.zarr"))
        with altered(copy) as record:
            record["versions"]["numba"] = "0.1"
        _, told = again(settings, str(copy))
        (warning,) = [event.message for event in told if event.level == "warning"]
        assert "numba was 0.1 and is " in warning

    def test_another_model_behind_the_same_name_is_refused(self, made, tmp_path: Path) -> None:
        settings, uris = made
        copy = Path(shutil.copytree(uris["prediction"], tmp_path / "p.zarr"))
        with altered(copy) as record:
            record["origin"]["model"]["sha256"] = "0" * 64
        with pytest.raises(ModelRejected, match="000000"):
            again(settings, str(copy))

    def test_altered_scenes_are_refused(self, made, tmp_path: Path) -> None:
        settings, uris = made
        copy = Path(shutil.copytree(uris["mosaic"], tmp_path / "m.zarr"))
        file = copy / "_landloom" / "scenes.json"
        file.write_text(file.read_text().replace("SAMPLE_PLANTING", "SAMPLE_PLANTIN"))
        with pytest.raises(StoreProblem, match="altered"):
            again(settings, str(copy))

    def test_what_landloom_did_not_make_is_refused(self, made, tmp_path: Path) -> None:
        settings, _ = made
        with pytest.raises(StoreProblem, match="no record"):
            again(settings, str(tmp_path / "foreign.zarr"))


WISCONSIN = SAMPLES / "imagery" / "naip" / "wisconsin-native" / "2020-09-02" / "image.tif"


def own_rasters(folder: Path, **more: Any) -> BuildGtiMosaics:
    """Ask for a mosaic of two of the caller's rasters, of which the later is on top."""
    with rasterio.open(WISCONSIN) as file:
        pixels = file.read(window=((0, 150), (0, 150)))
        profile = {**file.profile, "height": 150, "width": 150, "tiled": False}
    rasters = []
    for year, dimmed in ((2019, pixels), (2020, pixels // 2)):
        rasters.append(folder / f"{year}.tif")
        with rasterio.open(rasters[-1], "w", **profile) as file:
            file.write(dimmed)
    index = write_tile_index(folder / "index.parquet", rasters, year=[2020, 2019])
    place = gpd.read_parquet(index).union_all()
    said = {"bands": ["r", "g", "b", "ir"], "location_field": "url", "sort_field": "year", **more}
    return BuildGtiMosaics(gti=str(index), aoi=mapping(place), nodata=0.0, **said)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineSettings, dict[str, str]]:
    """Settings, and the URIs of a mosaic of own rasters and of what a model found in it."""
    folder = tmp_path_factory.mktemp("own")
    settings = engine(folder, cache=None)
    store = do(own_rasters(folder), settings, "own")[0].mosaics[0].location
    finder = blob_finder(folder / "finder.pt2", side=32, model=BrightFinder())
    uri = do(find(store, finder.path), settings, "found")[0].uri
    assert uri is not None
    return settings, {"mosaic": store, "geometries": uri}


def find(store: str, model: Path, **more: Any) -> PredictGeometries:
    asked = GeometryInference(
        model_path=str(model), features=["r", "g", "b"], text_prompt=["red", "green"],
        confidence_threshold=0.1, patch_size=64, clip_size=16,
    )  # fmt: skip
    return PredictGeometries(mosaics=[store], inference=asked, **more)


class TestOwnRasters:
    """Mosaics of the caller's own rasters, and geometries: made again of their records."""

    def test_a_mosaic_is_made_again_without_its_index(self, own, tmp_path: Path) -> None:
        settings, uris = own
        index = Path(read_provenance(uris["mosaic"]).request["gti"])
        hidden = index.rename(tmp_path / "index.parquet")
        try:
            uri, told = again(settings, uris["mosaic"], tmp_path / "again.zarr")
        finally:
            hidden.rename(index)
        np.testing.assert_array_equal(pixels(uri), pixels(uris["mosaic"]))
        assert pixels(uri).max() > 0
        assert read_provenance(uri).digest == read_provenance(uris["mosaic"]).digest
        assert not [event for event in told if event.level == "warning"]

    def test_a_raster_that_changed_since_is_told(self, own, tmp_path: Path) -> None:
        settings, uris = own
        raster = Path(read_scenes(uris["mosaic"])["steps"][0][0]["scenes"][0]["bands"][0]["href"])
        kept = raster.read_bytes()
        with rasterio.open(raster, "r+") as file:
            file.write(file.read() // 3)
        try:
            uri, told = again(settings, uris["mosaic"], tmp_path / "again.zarr")
        finally:
            raster.write_bytes(kept)
        assert [event.message for event in told if event.level == "warning"] == [
            f"1 of the caller's own rasters changed since: {raster}: the result may be another one"
        ]
        assert read_provenance(uri).digest != read_provenance(uris["mosaic"]).digest

    def test_geometries_are_equal(self, own, tmp_path: Path) -> None:
        settings, uris = own
        uri, told = again(settings, uris["geometries"], tmp_path / "g.parquet")
        ours = gpd.read_parquet(uri)
        assert len(ours) > 0
        assert ours.equals(gpd.read_parquet(uris["geometries"]))
        assert read_provenance(uri).digest == read_provenance(uris["geometries"]).digest
        assert not [event for event in told if event.level == "warning"]

    def test_geometries_whose_mosaic_is_gone_are_made_of_a_new_one(
        self, own, tmp_path: Path
    ) -> None:
        settings, uris = own
        alone = Path(shutil.copytree(uris["geometries"], tmp_path / "kept.parquet"))
        file = alone / "_landloom" / "provenance.json"
        gone = json.dumps(f"{tmp_path}/gone.zarr")[1:-1]
        file.write_text(file.read_text().replace(json.dumps(uris["mosaic"])[1:-1], gone))
        uri, told = again(settings, str(alone))
        assert gpd.read_parquet(uri).equals(gpd.read_parquet(uris["geometries"]))
        assert sum("is made again first" in event.message for event in told) == 1

    def test_another_model_file_is_refused(self, own, tmp_path: Path) -> None:
        settings, uris = own
        copy = Path(shutil.copytree(uris["geometries"], tmp_path / "g.parquet"))
        with altered(copy) as record:
            record["origin"]["model"]["sha256"] = "0" * 64
        with pytest.raises(ModelRejected, match="000000"):
            again(settings, str(copy))

    def test_the_rate_of_a_search_is_learned_for_the_next_plan(self, own) -> None:
        settings, uris = own
        model = read_provenance(uris["geometries"]).origin.model.href
        plan = do(find(uris["mosaic"], Path(model), dry_run=True), settings, "plan")[0].plan
        assert plan is not None
        assert [note for note in plan.notes if "as measured here for finder.pt2" in note]


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineSettings, list[str]]:
    settings = engine(tmp_path_factory.mktemp("derived"), cache=None)
    two_years = mosaic(start="2020-01-01", overviews=True)
    store = do(two_years, settings, "mosaic")[0].mosaics[0].location
    change = RunMosaicsChange(mosaics=[store], features=["sample_planting:B04"])
    uris = [
        store,
        do(change, settings, "change")[0].mosaics[0].location,
        do(BuildZarrMultiscales(source_store=store), settings, "scales")[0].uri or "",
    ]
    return settings, uris


class TestEveryKind:
    """Outputs that are made of stores: each carries the same things and can be made again."""

    @pytest.mark.parametrize("number", range(3))
    def test_carries_its_record_and_is_made_again_equal(
        self, derived, number: int, tmp_path: Path
    ) -> None:
        settings, uris = derived
        record = read_provenance(uris[number])
        assert record is not None
        assert record.origin.what == ("mosaic", "change", "multiscales")[number]
        assert read_scenes(uris[number]) is not None
        validate(json.loads((Path(uris[number]) / "_landloom" / "item.json").read_text()))
        uri, _ = again(settings, uris[number], tmp_path / "again.zarr")
        np.testing.assert_array_equal(pixels(uri), pixels(uris[number]))
        assert identify(uri).digest == identify(uris[number]).digest
