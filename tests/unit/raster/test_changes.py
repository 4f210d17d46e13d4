"""What changed since is noticed: rasters, stores of others, and stores of our own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401 - the accessor `rio`
import xarray as xr
import zarr
from tests.engine.imagery import write_tiff
from tests.engine.tables import write_tile_index
from tests.engine.workflows import do, engine, pixels, polygons

from landloom.errors import Cancelled, StoreProblem
from landloom.raster.provenance import identify, read_provenance
from landloom.raster.rerun import rerun
from landloom.raster.settings import EngineSettings
from landloom.raster.workflow import run
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import BuildGtiMosaics, VectorizeMosaic
from landloom.wire.results import WorkflowResult

X0 = 500_000.0
SIDE = 200
"""Pixels a side of the raster: sixteen tiles of 64 px."""


def write(folder: Path, values: np.ndarray, *, x0: float = X0) -> Path:
    return write_tiff(
        folder / "a.tif",
        values.astype(np.float32),
        x0=x0,
        y0=5_000_000.0,
        nodata=None,
        compress="none",
        predictor=1,
    )


def fields_of(*places: int) -> np.ndarray:
    """Return scores with a field of 20 x 20 px at each place on the diagonal."""
    values = np.zeros((SIDE, SIDE), np.float32)
    for place in places:
        values[place : place + 20, place : place + 20] = 0.9
    return values


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    write(tmp_path, fields_of(20, 120))
    write_tile_index(tmp_path / "index.parquet", [tmp_path / "a.tif"])
    return engine(tmp_path)


def wanted(folder: Path, **more: Any) -> BuildGtiMosaics:
    place = {"type": "Polygon", "coordinates": [ring(folder)]}
    return BuildGtiMosaics(
        gti=str(folder / "index.parquet"),
        aoi=place,
        bands=["field"],
        location_field="url",
        target_crs=32633,
        resolution=10.0,
        **more,
    )


def ring(folder: Path) -> list[tuple[float, float]]:
    outline = gpd.read_parquet(folder / "index.parquet").geometry[0]
    return [(x, y) for x, y in outline.exterior.coords]


def first(result: WorkflowResult) -> str:
    return result.mosaics[0].location


def rows(result: WorkflowResult) -> gpd.GeoDataFrame:
    return gpd.read_parquet(result.uri)


def warnings(told: list[ProgressEvent]) -> list[str]:
    return [event.message for event in told if event.level == "warning"]


class TestRasters:
    def test_a_header_that_a_plan_read_is_read_anew(
        self, settings: EngineSettings, tmp_path: Path
    ) -> None:
        assert do(wanted(tmp_path, dry_run=True), settings, "plan")[0].plan is not None
        write(tmp_path, fields_of(20, 120), x0=X0 + 100)
        made = pixels(first(do(wanted(tmp_path), settings, "made")[0]))
        fresh = pixels(first(do(wanted(tmp_path, cache=False), settings, "fresh")[0]))
        np.testing.assert_array_equal(made, fresh)
        columns = np.flatnonzero((made[0, 0] == np.float32(0.9)).any(axis=0))
        write(tmp_path, fields_of(20, 120))
        moved = pixels(first(do(wanted(tmp_path), settings, "back")[0]))
        assert columns[0] == np.flatnonzero((moved[0, 0] == np.float32(0.9)).any(axis=0))[0] + 10

    def test_one_that_changes_while_it_is_read_is_told_and_not_remembered(
        self, settings: EngineSettings, tmp_path: Path
    ) -> None:
        overwrite = once_begun(lambda: write(tmp_path, fields_of(60)), after=4)
        result = run(
            wanted(tmp_path),
            settings=settings,
            seed="torn",
            show=lambda _: None,
            cancelled=overwrite,
        )
        (warning,) = result.warnings
        assert str(tmp_path / "a.tif") in warning
        record = read_provenance(first(result))
        assert record is not None
        assert record.changed == (str(tmp_path / "a.tif"),)
        # Nothing that is made of it is taken for what is made of the whole one.
        assert record.digest != record.origin.digest
        again, _ = do(wanted(tmp_path), settings, "again")
        assert not again.cached
        assert np.nanmax(pixels(first(again))[0, 0, 65:75, 65:75]) == np.float32(0.9)
        assert np.nanmax(pixels(first(again))[0, 0, 25:35, 25:35]) == 0

    def test_what_was_begun_of_another_one_is_not_gone_on_with(
        self, settings: EngineSettings, tmp_path: Path
    ) -> None:
        with pytest.raises(Cancelled):
            cut(wanted(tmp_path), settings, after=12)
        begun = list(Path(settings.output_uri).glob("*.zarr/variables/c/**/0"))
        assert [path for path in begun if path.is_file()]
        write(tmp_path, fields_of(60))
        result = run(wanted(tmp_path), settings=settings, seed="cut", show=lambda _: None)
        there = pixels(first(result))[0, 0]
        assert np.flatnonzero((there == np.float32(0.9)).any(axis=0))[0] == 60
        assert (there == np.float32(0.9)).sum() == 400
        assert do(wanted(tmp_path), settings, "again")[0].cached

    def test_what_was_begun_of_the_same_is_gone_on_with(
        self, settings: EngineSettings, tmp_path: Path
    ) -> None:
        with pytest.raises(Cancelled):
            cut(wanted(tmp_path), settings, after=12)
        begun = {path for path in tmp_path.glob("out/*.zarr/variables/c/**/0") if path.is_file()}
        states = {path: path.stat().st_mtime_ns for path in begun}
        assert states
        run(wanted(tmp_path), settings=settings, seed="cut", show=lambda _: None)
        assert states == {path: path.stat().st_mtime_ns for path in begun}
        assert len(list(tmp_path.glob("out/*.zarr"))) == 1

    def test_a_rerun_names_those_that_changed(
        self, settings: EngineSettings, tmp_path: Path
    ) -> None:
        store = first(do(wanted(tmp_path), settings, "made")[0])
        write(tmp_path, fields_of(60))
        told: list[ProgressEvent] = []
        rerun(store, settings=settings, show=told.append)
        (warning,) = warnings(told)
        assert str(tmp_path / "a.tif") in warning


class TestStoresOfOurs:
    @pytest.fixture
    def store(self, settings: EngineSettings, tmp_path: Path) -> Path:
        return Path(first(do(wanted(tmp_path), settings, "mosaic")[0]))

    def test_one_changed_in_place_is_another_input(
        self, settings: EngineSettings, store: Path
    ) -> None:
        before, _ = do(polygons(str(store)), settings, "before")
        zarr.open_array(f"{store}/variables", mode="r+")[0, 0, 100:, 100:] = 0
        after, _ = do(polygons(str(store)), settings, "after")
        assert (len(rows(before)), len(rows(after)), after.cached) == (2, 1, False)
        assert do(polygons(str(store)), settings, "again")[0].cached

    def test_one_changed_in_place_is_no_hit_though_its_size_is_the_same(
        self, settings: EngineSettings, store: Path, tmp_path: Path
    ) -> None:
        assert do(wanted(tmp_path), settings, "again")[0].cached
        shard = store / "variables" / "c" / "0" / "0" / "0" / "0"
        shard.write_bytes(shard.read_bytes())
        again, _ = do(wanted(tmp_path), settings, "anew")
        assert not again.cached
        assert do(wanted(tmp_path), settings, "and again")[0].mosaics == again.mosaics

    def test_a_copy_that_was_edited_is_another_input(
        self, settings: EngineSettings, store: Path, tmp_path: Path
    ) -> None:
        do(polygons(str(store)), settings, "before")
        copy = Path(shutil.copytree(store, tmp_path / "copy.zarr"))
        zarr.open_array(f"{copy}/variables", mode="r+")[0, 0, 100:, 100:] = 0
        after, _ = do(polygons(str(copy)), settings, "after")
        assert (len(rows(after)), after.cached) == (1, False)

    def test_a_record_of_an_earlier_version_vouches_for_nothing(
        self, settings: EngineSettings, store: Path, tmp_path: Path
    ) -> None:
        digest = identify(str(store)).digest
        file = store / "_landloom" / "provenance.json"
        record = json.loads(file.read_text())
        assert record["digest"] == digest
        for name in ("listing", "changed"):
            del record[name]
        file.write_text(json.dumps(record))
        assert read_provenance(str(store)) is not None
        assert identify(str(store)).digest != digest
        assert not do(wanted(tmp_path), settings, "again")[0].cached

    def test_one_that_changes_while_it_is_read_is_told_and_not_remembered(
        self, settings: EngineSettings, store: Path
    ) -> None:
        def edit() -> None:
            zarr.open_array(f"{store}/variables", mode="r+")[0, 0, 100:, 100:] = 0

        result = run(
            polygons(str(store)),
            settings=settings,
            seed="torn",
            show=lambda _: None,
            cancelled=once_begun(edit, after=3),
        )
        (warning,) = result.warnings
        assert str(store) in warning
        again, _ = do(polygons(str(store)), settings, "again")
        assert (len(rows(again)), again.cached) == (1, False)

    def test_a_rerun_makes_an_input_anew_that_changed_since(
        self, settings: EngineSettings, store: Path
    ) -> None:
        before, _ = do(polygons(str(store)), settings, "before")
        zarr.open_array(f"{store}/variables", mode="r+")[0, 0, 100:, 100:] = 0
        told: list[ProgressEvent] = []
        made = rerun(str(before.uri), settings=settings, show=told.append)
        assert any(f"{store} is not what it was" in event.message for event in told)
        assert gpd.read_parquet(made.uri).equals(rows(before))

    def test_a_rerun_does_not_take_the_record_of_one_for_its_edited_self(
        self, settings: EngineSettings, store: Path
    ) -> None:
        zarr.open_array(f"{store}/variables", mode="r+")[0, 0, 100:, 100:] = 0
        after, _ = do(polygons(str(store)), settings, "after")
        shutil.rmtree(store)
        with pytest.raises(StoreProblem, match=r"is gone.*no record"):
            rerun(str(after.uri), settings=settings, show=lambda _: None)

    def test_an_output_made_of_other_things_is_not_made_over(
        self, settings: EngineSettings, store: Path
    ) -> None:
        before, _ = do(polygons(str(store)), settings, "before")
        with pytest.raises(StoreProblem, match="made of other things"):
            rerun(str(before.uri), str(store), settings=settings, show=lambda _: None)

    def test_an_index_that_was_edited_is_written_anew(
        self, settings: EngineSettings, store: Path, tmp_path: Path
    ) -> None:
        index = do(wanted(tmp_path), settings, "second")[0].index_uri
        assert do(wanted(tmp_path), settings, "third")[0].index_uri == index
        frame = gpd.read_parquet(index)
        frame["location"] = "elsewhere.zarr"
        frame.to_parquet(index)
        anew = do(wanted(tmp_path), settings, "fourth")[0].index_uri
        assert list(gpd.read_parquet(anew)["location"]) == [str(store)]


def write_foreign(store: Path, x0: float, *places: int) -> None:
    """Write a store as others do: scores with fields, whose west edge is `x0`."""
    centres = 10 * (np.arange(SIDE) + 0.5)
    said = xr.Dataset(
        {"field": (("y", "x"), fields_of(*places))},
        coords={"y": 5_000_000 - centres, "x": x0 + centres},
    ).rio.write_crs(32633)
    shutil.rmtree(store, ignore_errors=True)
    said.to_zarr(store, zarr_format=2)


def test_a_store_of_others_that_was_written_anew_is_described_anew(
    settings: EngineSettings, tmp_path: Path
) -> None:
    store = tmp_path / "foreign.zarr"
    request = VectorizeMosaic(mosaic=str(store), features=["field"], target_crs=32633)
    write_foreign(store, X0, 20, 120)
    assert rows(do(request, settings, "before")[0]).total_bounds[0] == X0 + 200
    write_foreign(store, X0 + 100_000, 20)
    after, _ = do(request, settings, "after")
    assert not after.cached
    assert len(rows(after)) == 1
    assert rows(after).total_bounds[0] == X0 + 100_200


def cut(request: BuildGtiMosaics, settings: EngineSettings, *, after: int) -> WorkflowResult:
    """Run a workflow that is cancelled when it has asked so many times whether it is."""
    asked = iter([False] * after)
    return run(
        request,
        settings=settings,
        seed="cut",
        show=lambda _: None,
        cancelled=lambda: next(asked, True),
    )


def once_begun(do_it: Callable[[], object], *, after: int) -> Callable[[], bool]:
    """Return what is asked whether a workflow is cancelled: it never is, but something happens."""
    asked = iter([*[False] * after, True])

    def cancelled() -> bool:
        if next(asked, False):
            do_it()
        return False

    return cancelled
