"""`landloom up` on an object store that somebody else runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from landloom.stack.connection import read_connection
from landloom.stack.weed import LENDING_ARN
from tests.api.partner import Partner
from tests.api.platform import eventually
from tests.api.seaweed import Seaweed, real_store
from tests.e2e.conftest import landloom, plain_environment, samples_environment
from tests.e2e.host_proxy import host_proxy
from tests.e2e.rasters import NAIP, own_mosaic
from tests.engine.tables import write_tile_index

pytestmark = pytest.mark.e2e

BUCKET = "given"
HOST = "somebody.test"
SCRIPT = """
import os
import boto3
s3 = boto3.client("s3")
bucket, _, prefix = os.environ["USER_S3_PATH"].removeprefix("s3://").partition("/")
s3.put_object(Bucket=bucket, Key=prefix + "out.txt", Body=b"made")
print(s3.get_object(Bucket=bucket, Key=prefix + "out.txt")["Body"].read().decode())
for key in (prefix.split("/")[0] + "/data/customer-other/x", "elsewhere"):
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        print("reached", key)
    except s3.exceptions.ClientError as problem:
        print(problem.response["Error"]["Code"])
import rasterio
with rasterio.open(os.environ["USER_S3_PATH"] + "image.tif") as raster:
    print(raster.count, "bands")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with real_store(tmp_path_factory.mktemp("given"), domains=(HOST,)) as found:
        yield found


def environment(store: Seaweed, **changes: str) -> dict[str, str]:
    keys = Partner(store).role()
    return {
        **plain_environment(),
        **samples_environment(),
        "LANDLOOM_S3_ENDPOINT": store.endpoint,
        "LANDLOOM_BUCKET": BUCKET,
        "LANDLOOM_ADMIN_ACCESS_KEY": keys["accessKeyId"],
        "LANDLOOM_ADMIN_SECRET_KEY": keys["secretAccessKey"],
        **changes,
    }


def api(connection: dict[str, str]) -> httpx.Client:
    headers = {"X-API-Key": connection["WHEROBOTS_API_KEY"]}
    return httpx.Client(base_url=connection["LANDLOOM_URL"], headers=headers, timeout=30)


def upload(client: httpx.Client, name: str, body: bytes) -> str:
    """Upload into one's own folder by the files API; return the URI."""
    asked = client.post(f"/storage/user_files/file-upload-url/{name}").json()
    # By the proxy that the environment names, which knows the store's hosts.
    assert httpx.put(asked["uploadUrl"], content=body).status_code == 200
    return asked["destination"]


def test_buckets_are_hosts_and_users_have_their_own_keys(
    store: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files API, a run with its log, and a mosaic: nothing but the host names a bucket."""
    data = tmp_path / "data"
    endpoint = f"http://{HOST}:{store.store.config.ports.s3}"
    with host_proxy() as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        env = environment(
            store,
            LANDLOOM_S3_ENDPOINT=endpoint,
            LANDLOOM_S3_ADDRESSING="virtual",
            LANDLOOM_S3_ROLE_ARN=LENDING_ARN,
        )
        try:
            started = landloom("up", f"--data={data}", "--detach", env=env)
            assert started.returncode == 0, started.stderr
            connection = read_connection(data / "connection.env")
            assert connection["AWS_ENDPOINT_URL_S3"] == endpoint
            assert not (data / "store").exists()
            with api(connection) as client:
                image = upload(client, "image.tif", NAIP.read_bytes())
                script = upload(client, "job.py", SCRIPT.encode())
                assert run(client, script) == ["made", "AccessDenied", "AccessDenied", "4 bands"]
                index = write_tile_index(
                    tmp_path / "index.parquet", [NAIP], url=[image], year=[2020]
                )
                tiles = upload(client, "index.parquet", index.read_bytes())
            for name, value in connection.items():
                monkeypatch.setenv(name, value)
            mosaic = make_mosaic(tiles)
            assert str(mosaic).startswith(connection["USER_S3_PATH"])
            made = store.client().list_objects_v2(
                Bucket=BUCKET, Prefix=str(mosaic).removeprefix(f"s3://{BUCKET}/")
            )
            assert any(each["Key"].endswith("zarr.json") for each in made["Contents"])
            assert any(host.startswith(f"{BUCKET}.") for host, _ in proxy.asked)
            # The store would have taken that as well.
            assert [path for _, path in proxy.asked if path.startswith(f"/{BUCKET}")] == []
        finally:
            landloom("down", f"--data={data}")


def test_without_a_role_one_user_works_and_a_second_is_refused(
    store: Seaweed, tmp_path: Path
) -> None:
    data, script = tmp_path / "data", tmp_path / "script.py"
    script.write_text(SCRIPT.partition("import rasterio")[0])
    env = environment(store)
    try:
        started = landloom("up", f"--data={data}", "--detach", env=env)
        assert started.returncode == 0, started.stderr
        assert "LANDLOOM_S3_ROLE_ARN" in started.stdout
        connection = read_connection(data / "connection.env")
        ran = landloom("run", str(script), "--name=on-anothers", env=env | connection)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout.splitlines()[0] == "made"
        with api(connection) as client:
            refused = client.post(
                "/organization/users", json={"name": "second", "email": "second@example.org"}
            )
        assert refused.status_code == 403
        assert "same keys" in refused.text
        assert "LANDLOOM_TRUST_USERS" in refused.text
    finally:
        landloom("down", f"--data={data}")
    assert store.client().get_bucket_location(Bucket=BUCKET)


def run(client: httpx.Client, script: str) -> list[str]:
    """Run a script and return its log."""
    body = {"name": "on-anothers", "runtime": "micro", "runPython": {"uri": script}}
    made = client.post("/runs", json=body)
    assert made.status_code == 201, made.text
    identity = made.json()["id"]
    eventually(
        lambda: client.get(f"/runs/{identity}").json()["status"],
        lambda status: status not in {"PENDING", "RUNNING"},
        120,
    )
    page = client.get(f"/runs/{identity}/logs", params={"size": 1000}).json()
    return [item["raw"] for item in page["items"]]


def make_mosaic(index: str) -> object:
    assert os.environ["http_proxy"]
    return own_mosaic(index)
