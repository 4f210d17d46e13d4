"""A prediction is that of one shot over the whole mosaic, however the work is cut."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.engine.cubes import ORIGIN_YX, all_pixels, cube, never, unheard
from tests.engine.exported import Dividing, Echo, Net, Tenth, exported
from tests.engine.tolerances import PREDICTED
from tests.engine.travelling import Travelling

from landloom.errors import Cancelled, InvalidInput, ModelRejected, StoreProblem
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.models.load import Model, load_model
from landloom.raster.predict import shards
from landloom.raster.predict.mosaic import RUNTIMES, WRITTEN_BEFORE, predict_mosaic
from landloom.raster.prediction import ready_model
from landloom.raster.store.zarr import CubeStore
from landloom.wire.enums import MergeModeEnum, MosaicToMosaicActorEnum
from landloom.wire.requests import Inference
from landloom.wire.results import MosaicRow

HEIGHT, WIDTH = 150, 170
REGRESSION = MosaicToMosaicActorEnum.REGRESSION_PYTORCH
CHANGE = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("net") / "net.pt2"
    return load_model(exported(path, Net(), transforms=Tenth()), models=path.parent)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("echo") / "echo.pt2"
    return load_model(exported(path, Echo()), models=path.parent)


@pytest.fixture(scope="module")
def imagery() -> NDArray[np.float32]:
    """Noise with holes: some in one band, a corner in both, a patch and more of nothing."""
    values = np.random.default_rng(2).random((2, HEIGHT, WIDTH)).astype(np.float32) * 10
    values[0, 20:30, 40:90] = np.nan
    values[:, 90:, 100:] = np.nan
    return values


def request(**more: Any) -> Inference:
    said = {
        "model_path": "m.pt2",
        "patch_size": 32,
        "clip_size": 4,
        "features": ["b0", "b1"],
        "labels": ["ground", "field", "edge"],
        "max_batch_size": 4,
    }
    return Inference(**(said | more))


def run(
    source: CubeStore, model: Model, output: Path, inference: Inference, **more: Any
) -> MosaicRow:
    said = {"report": unheard, "warn": unheard, "cancelled": never, "block": 64}
    with closing(LocalExecutor(2)) as executor:
        return predict_mosaic(
            source, inference, model, str(output), **({"executor": executor} | said | more)
        )


def predicted(
    source: CubeStore, model: Model, output: Path, *, block: int = 64, **more: Any
) -> tuple[MosaicRow, NDArray[np.float32]]:
    row = run(source, model, output, request(**more), block=block)
    return row, all_pixels(CubeStore.open(str(output)))


def one_shot(imagery: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the net once over the whole image."""
    with torch.inference_mode():
        pixels = torch.from_numpy(np.nan_to_num(imagery))[None] / 10
        found = torch.softmax(Net().eval()(pixels), 1)[0].numpy()
    found[:, np.isnan(imagery).any(axis=0)] = np.nan
    return np.asarray(found)


@pytest.fixture(scope="module")
def reference(
    net: Model, imagery: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> NDArray[np.float32]:
    folder = tmp_path_factory.mktemp("reference")
    source = cube(folder / "s.zarr", imagery, shard=256)
    return predicted(source, net, folder / "p.zarr", block=256)[1]


class TestOneShot:
    @pytest.mark.parametrize("merge_mode", list(MergeModeEnum))
    def test_is_equalled_where_no_padding_is_seen(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path, merge_mode: MergeModeEnum
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery)
        _, found = predicted(source, net, tmp_path / "p.zarr", merge_mode=merge_mode)
        inner = (slice(None), slice(2, -2), slice(2, -2))  # the net looks 2 px far
        np.testing.assert_allclose(found[inner], one_shot(imagery)[inner], atol=1e-5)

    def test_echo_of_a_gradient_is_the_gradient(self, echo: Model, tmp_path: Path) -> None:
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        gradient = (np.stack([y, x]) / WIDTH).astype(np.float32)
        source = cube(tmp_path / "s.zarr", gradient)
        _, found = predicted(source, echo, tmp_path / "p.zarr", actor=REGRESSION, labels=["y", "x"])
        np.testing.assert_allclose(found, gradient, atol=1e-6)


class TestInvariance:
    @pytest.mark.parametrize(
        ("shard", "block", "kept_bytes"),
        [(32, 32, 1 << 20), (64, 32, 1 << 20), (128, 64, 1 << 20), (128, 64, 40_000), (64, 64, 0)],
    )
    def test_shards_blocks_and_memory_change_no_bit(
        self,
        net: Model,
        imagery: NDArray[np.float32],
        reference: NDArray[np.float32],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        shard: int,
        block: int,
        kept_bytes: int,
    ) -> None:
        monkeypatch.setattr(shards, "KEPT_BYTES", kept_bytes)
        source = cube(tmp_path / "s.zarr", imagery, shard=shard)
        _, found = predicted(source, net, tmp_path / "p.zarr", block=block)
        np.testing.assert_array_equal(found, reference)

    def test_batch_sizes_agree_to_1e_5(
        self,
        net: Model,
        imagery: NDArray[np.float32],
        reference: NDArray[np.float32],
        tmp_path: Path,
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery)
        _, found = predicted(source, net, tmp_path / "p.zarr", max_batch_size=7)
        np.testing.assert_allclose(found, reference, atol=1e-5)

    def test_overlapping_mosaics_agree_a_patch_away_from_their_edges(
        self,
        net: Model,
        imagery: NDArray[np.float32],
        reference: NDArray[np.float32],
        tmp_path: Path,
    ) -> None:
        dy, dx = 17, 23
        origin = ORIGIN_YX[0] + dy, ORIGIN_YX[1] + dx
        source = cube(tmp_path / "s.zarr", imagery[:, dy:, dx:], origin_yx=origin)
        _, found = predicted(source, net, tmp_path / "p.zarr")
        np.testing.assert_array_equal(
            found[:, 32:-32, 32:-32], reference[:, dy + 32 : -32, dx + 32 : -32]
        )


class TestHoles:
    def test_stay_holes_and_nothing_else_becomes_one(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        row, found = predicted(cube(tmp_path / "s.zarr", imagery), net, tmp_path / "p.zarr")
        holes = np.isnan(imagery).any(axis=0)
        np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(holes, found.shape))
        assert row.valid_fraction == pytest.approx(1 - holes.mean())
        np.testing.assert_allclose(found[:, ~holes].sum(axis=0), 1, atol=1e-5)

    def test_pixels_without_a_number_from_the_model_have_no_data_and_are_warned_of(
        self, tmp_path: Path
    ) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Dividing(), channels=1))
        values = np.random.default_rng(3).random((1, 100, 120)).astype(np.float32)
        values[0, 50, 60], values[0, 10:12, 33], values[0, 90, 90] = 7, 8, np.nan
        warned: list[str] = []
        row = run(
            cube(tmp_path / "s.zarr", values),
            model,
            tmp_path / "p.zarr",
            request(actor=REGRESSION, features=["b0"], labels=["height"]),
            warn=lambda _stage, message: warned.append(message),
        )
        found = all_pixels(CubeStore.open(str(tmp_path / "p.zarr")))
        wanted = np.where(values >= 7, np.nan, values)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        assert row.valid_fraction == pytest.approx(1 - 4 / values.size)
        assert warned == [
            "The model gave no number (NaN or infinity) for 3 pixels: they have no data."
        ]

    def test_an_empty_mosaic_gives_an_empty_prediction(self, net: Model, tmp_path: Path) -> None:
        empty = np.full((2, 40, 40), np.nan, np.float32)
        row, found = predicted(cube(tmp_path / "s.zarr", empty), net, tmp_path / "p.zarr")
        assert np.isnan(found).all()
        assert row.valid_fraction == 0


class TestSmallAndMany:
    @pytest.mark.parametrize("shape", [(1, 1), (5, 7), (31, 200)])
    def test_mosaics_smaller_than_a_patch_work(
        self, net: Model, tmp_path: Path, shape: tuple[int, int]
    ) -> None:
        values = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
        _, found = predicted(cube(tmp_path / "s.zarr", values), net, tmp_path / "p.zarr")
        assert found.shape == (3, *shape)
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)

    def test_every_time_step_is_predicted(
        self, echo: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        source = cube(tmp_path / "s.zarr", np.stack([imagery, imagery + 1]))
        predicted(source, echo, tmp_path / "p.zarr", actor=REGRESSION, labels=["a", "b"])
        output = CubeStore.open(str(tmp_path / "p.zarr"))
        assert output.complete
        assert [str(time)[:4] for time in output.times] == ["2023", "2024"]
        np.testing.assert_allclose(all_pixels(output, 1), all_pixels(output, 0) + 1, rtol=1e-5)

    def test_change_sees_all_steps_at_once(
        self, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Net(channels=4), channels=4))
        source = cube(tmp_path / "s.zarr", np.stack([imagery, imagery + 1]))
        _, found = predicted(source, model, tmp_path / "p.zarr", actor=CHANGE)
        stacked = np.concatenate([imagery, imagery + 1])  # all features of the first step first
        with torch.inference_mode():
            pixels = torch.from_numpy(np.nan_to_num(stacked))[None]
            wanted = torch.softmax(Net(channels=4)(pixels), 1)[0].numpy()
        there = ~np.isnan(stacked).any(axis=0)[2:-2, 2:-2]
        np.testing.assert_allclose(
            found[:, 2:-2, 2:-2][:, there], wanted[:, 2:-2, 2:-2][:, there], atol=PREDICTED
        )
        with xr.open_zarr(tmp_path / "p.zarr") as opened:
            ends = opened["time"] + opened["time_delta"]
            assert str(opened["time"].values[0])[:10] == "2023-01-01"
            assert str(ends.values[0])[:10] == "2024-01-01"

    def test_a_single_label_is_a_yes_or_no(
        self, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Net(labels=1)))
        source = cube(tmp_path / "s.zarr", imagery)
        _, found = predicted(source, model, tmp_path / "p.zarr", labels=["road"])
        assert np.nanstd(found) > 0
        assert 0 < np.nanmin(found) < np.nanmax(found) < 1


class TestElsewhere:
    """On an executor whose tasks leave the process: all that goes and comes back is pickled."""

    def test_gives_the_same_bits_in_several_runs_of_shards(
        self,
        net: Model,
        imagery: NDArray[np.float32],
        reference: NDArray[np.float32],
        tmp_path: Path,
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery, shard=32)
        told: list[tuple[int, int]] = []
        executor = Travelling(workers=2)
        row = run(
            source,
            net,
            tmp_path / "p.zarr",
            request(),
            executor=executor,
            report=lambda _stage, _message, done, total: told.append((done, total)),
        )
        found = all_pixels(CubeStore.open(str(tmp_path / "p.zarr")))
        np.testing.assert_array_equal(found, reference)
        assert executor.tasks == len(told) == 8
        assert executor.made == 1
        assert told[-1] == (30, 30)
        assert row.valid_fraction == pytest.approx(np.isfinite(reference[0]).mean())
        assert CubeStore.open(str(tmp_path / "p.zarr")).attributes[RUNTIMES]

    def test_a_ready_model_is_made_ready_there_and_placed_once_here(
        self, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        file = exported(tmp_path / "m.pt2", Net(), transforms=Tenth())
        ready = ready_model(
            request(model_path=str(file.path)), file.sha256, None, tmp_path / "models"
        )
        assert ready.prepare(ready.inference, 1) is ready.prepare(ready.inference, 1)
        source = cube(tmp_path / "s.zarr", imagery)
        found = []
        for name, executor in (("here", None), ("there", Travelling(workers=1))):
            output = str(tmp_path / f"{name}.zarr")
            ready.predict(source, output, unheard, never, executor=executor)
            found.append(all_pixels(CubeStore.open(output)))
        np.testing.assert_array_equal(found[0], found[1])


class TestGoingOn:
    def test_keeps_finished_shards_and_gives_the_same_bits(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery)
        whole, reference = predicted(source, net, tmp_path / "whole.zarr")
        path = tmp_path / "p.zarr"

        def after_two_shards() -> bool:
            there = (path / "zarr.json").exists()
            return there and len(CubeStore.open(str(path)).finished_shards()) >= 2

        with pytest.raises(Cancelled):
            run(source, net, path, request(), cancelled=after_two_shards)
        broken = CubeStore.open(str(path))
        written = len(broken.finished_shards())
        assert 2 <= written < 9
        assert not broken.complete
        told: list[str] = []
        row = run(
            source, net, path, request(), report=lambda _stage, message, *_: told.append(message)
        )
        assert told == [WRITTEN_BEFORE] * written + ["Running the model"] * (9 - written)
        np.testing.assert_array_equal(all_pixels(CubeStore.open(str(path))), reference)
        assert row.valid_fraction == whole.valid_fraction

    def test_refuses_to_go_on_with_another_prediction(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery)
        predicted(source, net, tmp_path / "p.zarr")
        with pytest.raises(StoreProblem, match="another mosaic"):
            predicted(source, net, tmp_path / "p.zarr", clip_size=6)

    def test_tells_how_far_it_is(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        told: list[tuple[int | None, int | None]] = []
        run(
            cube(tmp_path / "s.zarr", imagery),
            net,
            tmp_path / "p.zarr",
            request(),
            report=lambda _stage, _message, done, total: told.append((done, total)),
            block=32,
        )
        assert told == [(number, 30) for number in range(1, 31)]


class TestRefusals:
    def test_names_the_bands_there_are(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery)
        with pytest.raises(InvalidInput, match=r"'B08'.* bands are b0, b1"):
            predicted(source, net, tmp_path / "p.zarr", features=["b0", "B08"])

    def test_finds_a_wrong_model_before_any_output(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        source = cube(tmp_path / "s.zarr", imagery)
        with pytest.raises(ModelRejected, match="3 output channels"):
            predicted(source, net, tmp_path / "p.zarr", labels=["a", "b"])
        assert not (tmp_path / "p.zarr").exists()

    def test_change_wants_two_steps(
        self, net: Model, imagery: NDArray[np.float32], tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidInput, match="one time step"):
            predicted(cube(tmp_path / "s.zarr", imagery), net, tmp_path / "p.zarr", actor=CHANGE)


@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_no_tiling_changes_a_bit(
    net: Model,
    imagery: NDArray[np.float32],
    reference: NDArray[np.float32],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    shard = data.draw(st.sampled_from([32, 64, 96, 128, 192]), "shard")
    block = data.draw(
        st.sampled_from([size for size in (32, 64, 96) if shard % size == 0]), "block"
    )
    workers = data.draw(st.integers(1, 3), "workers")
    folder = tmp_path_factory.mktemp("tiling")
    source = cube(folder / "s.zarr", imagery, shard=shard)
    run(
        source, net, folder / "p.zarr", request(), block=block, executor=Travelling(workers=workers)
    )
    found = all_pixels(CubeStore.open(str(folder / "p.zarr")))
    np.testing.assert_array_equal(found, reference)
