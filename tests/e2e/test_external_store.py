"""`landloom up` on an object store that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from landloom.stack.connection import read_connection
from landloom.stack.weed import LENDING_ARN
from tests.api.partner import Partner
from tests.api.seaweed import RealStore, real_store
from tests.e2e.conftest import landloom, plain_environment

BUCKET = "given"
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
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    with real_store(tmp_path_factory.mktemp("given")) as found:
        yield found


def environment(store: RealStore, **changes: str) -> dict[str, str]:
    keys = Partner(store).role()
    return {
        **plain_environment(),
        "LANDLOOM_S3_ENDPOINT": store.endpoint,
        "LANDLOOM_BUCKET": BUCKET,
        "LANDLOOM_ADMIN_ACCESS_KEY": keys["accessKeyId"],
        "LANDLOOM_ADMIN_SECRET_KEY": keys["secretAccessKey"],
        **changes,
    }


def add_user(connection: dict[str, str], name: str) -> httpx.Response:
    return httpx.post(
        f"{connection['LANDLOOM_URL']}/organization/users",
        json={"name": name, "email": f"{name}@example.org"},
        headers={"X-API-Key": connection["WHEROBOTS_API_KEY"]},
        timeout=20,
    )


def test_jobs_have_their_own_keys_to_it_and_one_user_goes_without(
    store: RealStore, tmp_path: Path
) -> None:
    data, script = tmp_path / "data", tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = environment(store, LANDLOOM_S3_ROLE_ARN=LENDING_ARN)
    try:
        started = landloom("up", f"--data={data}", "--detach", env=env)
        assert started.returncode == 0, started.stderr
        connection = read_connection(data / "connection.env")
        assert connection["AWS_ENDPOINT_URL_S3"] == store.endpoint
        assert not (data / "store").exists()
        ran = landloom("run", str(script), "--name=on-anothers", env=env | connection)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout.splitlines()[:3] == ["made", "AccessDenied", "AccessDenied"]
        landloom("down", f"--data={data}")

        # The same store without a role: one user works, a second is refused.
        env = environment(store)
        started = landloom("up", f"--data={data}", "--detach", env=env)
        assert started.returncode == 0, started.stderr
        assert "LANDLOOM_S3_ROLE_ARN" in started.stdout
        connection = read_connection(data / "connection.env")
        ran = landloom("run", str(script), "--name=on-anothers", env=env | connection)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        refused = add_user(connection, "second")
        assert refused.status_code == 403
        assert "same keys" in refused.text
        assert "LANDLOOM_TRUST_USERS" in refused.text
    finally:
        landloom("down", f"--data={data}")
    assert store.client().get_bucket_location(Bucket=BUCKET)
