"""Integrations with a second real store: tested, read, written, from jobs and over the API."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.partner import BUCKET, OPEN, SECRET, Partner
from tests.api.platform import Platform
from tests.api.seaweed import real_store

ALL = {"listAccess", "getAccess", "putAccess", "deleteAccess"}
FIELDS = f"s3://{BUCKET}/fields"
WRITER = [f"{verb}:{BUCKET}/fields/*" for verb in ("Read", "Write", "List")]


@pytest.fixture(scope="session")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partner]:
    with real_store(tmp_path_factory.mktemp("partner")) as store:
        yield Partner.of(store)


@pytest.fixture(scope="session")
def writer(partner: Partner) -> dict[str, str]:
    return partner.allow("writer", [*WRITER, f"List:{BUCKET}/fields"])


def register(platform: Platform, partner: Partner, path: str, **fields: Any) -> dict[str, Any]:
    """Register a place under a name of its own."""
    name = fields.pop("name", f"p-{uuid.uuid4().hex[:8]}")
    body = {"name": name, "path": path, "endpointUrl": partner.endpoint, **fields}
    answer = platform.client.post("/storage", json=body)
    assert answer.status_code == 201, answer.text
    assert SECRET not in answer.text
    found: dict[str, Any] = answer.json()
    return found


def rights(platform: Platform, integration: dict[str, Any], kind: str = "access") -> set[str]:
    answer = platform.client.post(f"/storage/{integration['id']}/{kind}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    missing = len(ALL) - sum(found[name] for name in ALL)
    assert bool(found["problems"]) == bool(missing)
    return {name for name in ALL if found[name]}


class TestAccess:
    def test_who_may_do_all(
        self, stored: Platform, partner: Partner, writer: dict[str, str]
    ) -> None:
        assert rights(stored, register(stored, partner, FIELDS, **writer)) == ALL
        assert not any("access-test" in key for key in partner.names())

    @pytest.mark.parametrize(
        ("verbs", "possible"),
        [
            (("Read", "List"), {"listAccess", "getAccess"}),
            (("List",), {"listAccess"}),
            (("Read",), {"getAccess"}),
            (("Write",), {"putAccess", "deleteAccess"}),
        ],
    )
    def test_each_right_by_itself(
        self, stored: Platform, partner: Partner, verbs: tuple[str, ...], possible: set[str]
    ) -> None:
        place = "-".join(verbs) + uuid.uuid4().hex[:4]
        partner.store.put(BUCKET, f"{place}/a.txt", b"a")
        keys = partner.allow(place, [f"{verb}:{BUCKET}/{place}/*" for verb in verbs])
        assert rights(stored, register(stored, partner, f"s3://{BUCKET}/{place}", **keys)) == (
            possible
        )
        assert partner.names() >= {f"{place}/a.txt"}

    def test_a_read_only_one_is_not_written_to(
        self, stored: Platform, partner: Partner, writer: dict[str, str]
    ) -> None:
        partner.store.put(BUCKET, "fields/there.txt", b"x")
        read = register(stored, partner, FIELDS, accessType="READ", **writer)
        assert rights(stored, read) == {"listAccess", "getAccess"}

    def test_wrong_keys_may_nothing(self, stored: Platform, partner: Partner) -> None:
        wrong = {"accessKeyId": "AKwrong", "secretAccessKey": SECRET}
        assert rights(stored, register(stored, partner, FIELDS, **wrong)) == set()

    def test_a_role_is_assumed(self, stored: Platform, partner: Partner) -> None:
        role = register(stored, partner, FIELDS, **partner.role())
        assert rights(stored, role) == ALL
        listed = {each["id"]: each for each in stored.client.get("/storage").json()}
        assert listed[role["id"]]["roleArn"] == role["roleArn"] == partner.role()["roleArn"]

    def test_a_role_that_trusts_others(
        self, stored: Platform, partner: Partner, writer: dict[str, str]
    ) -> None:
        role = register(stored, partner, FIELDS, **{**partner.role(), **writer})
        answer = stored.client.post(f"/storage/{role['id']}/access").json()
        assert not any(answer[name] for name in ALL)
        assert "cannot be assumed" in answer["problems"][0]

    def test_who_may_read_what(
        self, stored: Platform, partner: Partner, writer: dict[str, str]
    ) -> None:
        register(stored, partner, f"s3://{OPEN}")
        register(stored, partner, FIELDS, **writer)
        partner.store.put(OPEN, "a/b.txt", b"x")
        for path, kind in {
            f"s3://{OPEN}": "free",
            f"s3://{OPEN}/a/": "free",
            f"s3://{OPEN}/a/b.txt": "free",
            f"{FIELDS}/": "private",
        }.items():
            answer = stored.client.get("/storage/s3-access-type", params={"s3_path": path})
            assert answer.json() == {"accessType": kind}, path


class TestFiles:
    def test_an_integration_is_a_place_of_files(
        self, stored: Platform, partner: Partner, writer: dict[str, str]
    ) -> None:
        partner.store.put(BUCKET, "fields/season/2024.csv", b"a,b\n")
        place = register(stored, partner, FIELDS, **writer)
        listed = stored.client.get("/storage").json()
        mine = next(each for each in listed if each["id"] == place["id"])
        assert (mine["type"], mine["path"]) == ("INTEGRATION", f"{FIELDS}/")
        assert SECRET not in json.dumps(listed)
        folder = stored.client.get(
            "/files/integration-dir", params={"integration_id": place["id"], "dir": "/season/"}
        )
        assert "2024.csv" in folder.text, folder.text


SCRIPT = """
import io, json, os, sys, zipfile
import boto3
from botocore import UNSIGNED
from botocore.config import Config
import greeting
profile = sys.argv[1]
theirs = boto3.Session(profile_name=profile).client("s3")
print("theirs", theirs.get_object(Bucket="partner", Key="fields/in.txt")["Body"].read().decode())
theirs.put_object(Bucket="partner", Key="fields/out/boto3.txt", Body=b"by boto3")
import s3fs
files = s3fs.S3FileSystem(profile=profile)
with files.open("s3://partner/fields/out/s3fs.txt", "w") as file:
    file.write("by s3fs")
anybody = boto3.Session(profile_name=sys.argv[2]).client("s3", config=Config(
    signature_version=UNSIGNED))
print("open", anybody.get_object(Bucket="open-data", Key="in.txt")["Body"].read().decode())
own = os.environ["USER_S3_PATH"].removeprefix("s3://").partition("/")
boto3.client("s3").put_object(Bucket=own[0], Key=own[2] + "mine.txt", Body=b"mine")
import rasterio
with rasterio.open("s3://partner/fields/one.tif") as raster:
    print("raster", raster.read(1).sum())
with rasterio.open("s3://open-data/one.tif") as raster:
    print("open raster", raster.read(1).sum())
places = {each["profile"]: each for each in json.loads(os.environ["LANDLOOM_BUCKETS"])}
print("places", places[profile]["bucket"], places[sys.argv[2]]["access_key_id"])
print("conf", os.path.exists(os.environ["SPARK_CONF_DIR"] + "/spark-defaults.conf"))
print(greeting.TEXT)
"""


def test_a_job_lives_off_an_integration(
    stored: Platform, partner: Partner, writer: dict[str, str]
) -> None:
    """Script and zip lie there; data is read from there and the public, and written there."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("greeting.py", "TEXT = 'greetings from a zip'\n")
    partner.store.put(BUCKET, "fields/scripts/job.py", SCRIPT.encode())
    partner.store.put(BUCKET, "fields/scripts/greeting.zip", archive.getvalue())
    partner.store.put(BUCKET, "fields/in.txt", b"from the partner")
    partner.store.put(OPEN, "in.txt", b"for anybody")
    for bucket, key in ((BUCKET, "fields/one.tif"), (OPEN, "one.tif")):
        partner.store.put(bucket, key, small_raster())
    theirs = register(stored, partner, FIELDS, **writer)
    public = register(stored, partner, f"s3://{OPEN}/")
    dependency = {"sourceType": "FILE", "filePath": f"{FIELDS}/scripts/greeting.zip"}
    body = {
        "name": "partner-job",
        "runtime": "micro",
        "runPython": {
            "uri": f"{FIELDS}/scripts/job.py",
            "args": [theirs["profile"], public["profile"]],
        },
        "environment": {"dependencies": [dependency]},
    }
    answer = stored.client.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    run = stored.finished(answer.json()["id"], 120)
    lines = stored.lines(run["id"])
    assert run["status"] == "COMPLETED", lines
    assert lines == [
        "theirs from the partner",
        "open for anybody",
        "raster 16",
        "open raster 16",
        f"places {BUCKET} None",
        "conf True",
        "greetings from a zip",
    ]
    assert partner.get("fields/out/boto3.txt") == b"by boto3"
    assert partner.get("fields/out/s3fs.txt") == b"by s3fs"
    assert SECRET not in "\n".join(lines) + stored.stored()


def test_a_script_from_a_place_that_is_none_is_refused(stored: Platform) -> None:
    body = {"runPython": {"uri": "s3://unknown/job.py"}}
    answer = stored.client.post("/runs", json=body)
    assert answer.status_code == 422
    assert "integration" in answer.json()["errors"][0]["suggestion"]


def test_a_workflow_writes_to_no_read_only_place(
    stored: Platform, partner: Partner, writer: dict[str, str]
) -> None:
    register(stored, partner, f"s3://{BUCKET}/frozen", accessType="READ", **writer)
    request = {"kind": "build_mosaics", "aoi": f"{FIELDS}/aoi.parquet", "datasets": ["S2"]}
    request |= {"start": "2021-01-01", "end": "2022-01-01", "crs_epsg": 3857}
    answer = stored.client.post(
        "/rasterflow/runs", json={**request, "bucket": f"s3://{BUCKET}/frozen/out"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "bucket"


def small_raster() -> bytes:
    """Return a GeoTIFF of 4 x 4 ones."""
    import numpy as np
    from affine import Affine
    from rasterio.io import MemoryFile

    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    profile |= {"crs": "EPSG:3857", "transform": Affine(10, 0, 0, 0, -10, 0)}
    with MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(np.ones((1, 4, 4), np.uint8))
        return bytes(memory.read())
