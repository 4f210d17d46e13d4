"""A raster workflow between stores: from a public bucket, unsigned, to a partner's, signed."""

import httpx
import pytest

from tests.api.partner import BUCKET, OPEN, Partner
from tests.api.seaweed import real_store
from tests.e2e.rasters import NAIP, own_mosaic
from tests.engine.tables import write_tile_index

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def partner(tmp_path_factory):
    with real_store(tmp_path_factory.mktemp("partner")) as store:
        yield Partner.of(store)


def test_rasters_of_a_public_bucket_become_a_mosaic_at_a_partner(
    platform, partner, tmp_path, monkeypatch
):
    index = write_tile_index(
        tmp_path / "index.parquet", [NAIP], url=[f"s3://{OPEN}/image.tif"], year=[2020]
    )
    partner.store.put(OPEN, "image.tif", NAIP.read_bytes())
    partner.store.put(OPEN, "index.parquet", index.read_bytes())
    keys = partner.allow(
        "maker",
        [
            *(f"{verb}:{BUCKET}/made/*" for verb in ("Read", "Write", "List")),
            f"List:{BUCKET}/made",
        ],
    )
    connection = platform.connection
    headers = {"X-API-Key": connection["WHEROBOTS_API_KEY"]}
    for name, path, more in (
        ("the public", f"s3://{OPEN}", {}),
        ("the partner", f"s3://{BUCKET}/made", keys),
    ):
        body = {"name": name, "path": path, "endpointUrl": partner.endpoint, **more}
        answer = httpx.post(f"{connection['LANDLOOM_URL']}/storage", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
    for name, value in connection.items():
        monkeypatch.setenv(name, value)
    made_at = f"s3://{BUCKET}/made/mosaics"
    mosaic = own_mosaic(f"s3://{OPEN}/index.parquet", bucket=made_at)
    assert str(mosaic).startswith(f"s3://{BUCKET}/made/mosaics/")
    made = partner.names()
    assert any(key.endswith("zarr.json") for key in made)
    assert all(key.startswith("made/mosaics/") for key in made)
    assert partner.names(OPEN) == {"image.tif", "index.parquet"}
