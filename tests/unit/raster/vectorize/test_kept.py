import pickle

import imagecodecs
import numpy as np
import pytest
from tests.engine.cubes import cube

from landloom.errors import StoreProblem
from landloom.raster.grid import Tile, Window
from landloom.raster.store import objects
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.kept import KeptTiles
from landloom.raster.vectorize.tile import Seams, polygonize_tile

TILE = Tile(2, 3, Window(64, 96, 96, 128))


@pytest.fixture
def kept(tmp_path):
    source = cube(tmp_path / "p.zarr", np.zeros((1, 40, 40), np.float32), bands=["field"])
    config = VectorizeConfig.parse({}, ["field"], 0.5)
    return KeptTiles.of(str(tmp_path / "v.parquet"), source, config, 32)


def test_a_tile_comes_back_as_it_was(kept):
    rng = np.random.default_rng(5)
    scores = rng.random((32, 32)).astype(np.float32)
    found = polygonize_tile(
        (scores > 0.6).astype(np.uint8), scores, seams=Seams(east=True, south=True)
    )
    kept.put(1, TILE, [found])
    assert kept.places() == {(1, 2, 3)}
    (again,) = kept.get(1, TILE)
    assert pickle.dumps(again) == pickle.dumps(found)
    np.testing.assert_array_equal(again.closed.vertices, found.closed.vertices)
    assert again.open.borders.keys() == found.open.borders.keys()


def test_cleared_there_is_nothing(kept):
    kept.put(0, TILE, [])
    kept.clear()
    assert kept.places() == set()


def test_a_file_that_names_code_is_refused(kept):
    class Evil:
        def __reduce__(self):
            return eval, ("1",)

    kept.put(0, TILE, [])
    packed = imagecodecs.zstd_encode(pickle.dumps(Evil()))
    objects.write_bytes(f"{kept.uri}/0/2/3", bytes(packed))
    with pytest.raises(StoreProblem, match=r"builtins\.eval"):
        kept.get(0, TILE)
