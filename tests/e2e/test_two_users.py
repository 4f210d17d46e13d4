"""Two users of one platform: what a job of one reaches of the other's, by S3, by API, on disk."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.api.platform import eventually
from tests.e2e.conftest import Platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux", reason="only root keeps users' jobs apart"
    ),
]

SCRIPT = """
import json, os, sys, urllib.request
import boto3
given = json.loads(sys.argv[1])
s3 = boto3.client("s3")
bucket, _, prefix = os.environ["USER_S3_PATH"].removeprefix("s3://").partition("/")
shared = os.environ["USER_S3_SHARED_PATH"].removeprefix(f"s3://{bucket}/")

def attempt(name, do):
    try:
        do()
    except Exception as error:
        print(name, "refused", type(error).__name__, flush=True)
    else:
        print(name, "done", flush=True)

def ask(path, body=None):
    request = urllib.request.Request(
        os.environ["LANDLOOM_URL"] + path,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"X-API-Key": os.environ["WHEROBOTS_API_KEY"], "Content-Type": "application/json"},
    )
    return urllib.request.urlopen(request, timeout=30).read()

theirs = given["prefix"]
attempt("own", lambda: s3.put_object(Bucket=bucket, Key=prefix + "x", Body=b"1"))
attempt("shared", lambda: s3.put_object(Bucket=bucket, Key=shared + "x", Body=b"1"))
attempt("own-lent", lambda: ask("/storage/credentials", {"path": f"s3://{bucket}/{prefix}"}))
attempt("s3-get", lambda: s3.get_object(Bucket=bucket, Key=theirs + "seen"))
attempt("s3-list", lambda: s3.list_objects_v2(Bucket=bucket, Prefix=theirs))
attempt("s3-put", lambda: s3.put_object(Bucket=bucket, Key=theirs + "y", Body=b"1"))
attempt("api-lent", lambda: ask("/storage/credentials", {"path": f"s3://{bucket}/{theirs}"}))
attempt("api-upload", lambda: ask(f"/files/upload-url?key={bucket}/{theirs}z", {}))
attempt("disk-list", lambda: os.listdir(given["workload"]))
attempt("disk-script", lambda: os.listdir(given["workload"] + "/script"))
for name in ("secret", "connection.env", "db/landloom.sqlite", "store-conf/s3.json"):
    attempt("disk-" + name, lambda: open(os.path.join(given["data"], name)).close())
attempt("disk-store", lambda: os.listdir(given["data"] + "/store"))
attempt("process", lambda: open(f"/proc/{given['server']}/environ").close())
"""


@dataclass
class Someone:
    """A user with a connection."""

    id: str
    client: httpx.Client


@pytest.fixture(scope="module")
def ben(platform: Platform) -> Someone:
    known = platform.connection
    url, headers = known["LANDLOOM_URL"], {"X-API-Key": known["WHEROBOTS_API_KEY"]}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as admin:
        made = admin.post("/organization/users", json={"name": "Ben", "email": "ben@example.org"})
        assert made.status_code == 201, made.text
        body = {"name": "bens", "expiresAt": "2999-01-01T00:00:00Z", "ownedById": made.json()["id"]}
        key = admin.post("/apikey", json=body).json()["key"]
    return Someone(
        made.json()["id"], httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=30)
    )


def upload(someone: Someone, key: str, text: str) -> None:
    link = someone.client.post("/files/upload-url", params={"key": key})
    assert link.status_code in {200, 201}, link.text
    assert httpx.put(link.json()["uploadUrl"], content=text.encode()).is_success


def run(someone: Someone, key: str, *arguments: str) -> tuple[str, list[str]]:
    body = {
        "name": "two-users",
        "runtime": "micro",
        "runPython": {"uri": f"s3://{key}", "args": list(arguments)},
    }
    made = someone.client.post("/runs", json=body)
    assert made.status_code == 201, made.text
    identity = made.json()["id"]
    eventually(
        lambda: someone.client.get(f"/runs/{identity}").json()["status"],
        lambda status: status not in {"PENDING", "RUNNING"},
        120,
    )
    page = someone.client.get(f"/runs/{identity}/logs", params={"size": 1000}).json()
    return identity, [item["raw"] for item in page["items"]]


def test_a_job_reaches_nothing_of_another_user(platform: Platform, ben: Someone) -> None:

    known = platform.connection
    bucket, _, mine = known["USER_S3_PATH"].removeprefix("s3://").partition("/")
    headers = {"X-API-Key": known["WHEROBOTS_API_KEY"]}
    admin = Someone("", httpx.Client(base_url=known["LANDLOOM_URL"], headers=headers, timeout=30))
    upload(admin, f"{bucket}/{mine}seen", "mine")
    upload(admin, f"{bucket}/{mine}quiet.py", "print('up')")
    workload, said = run(admin, f"{bucket}/{mine}quiet.py")
    assert said == ["up"]

    organization = mine.split("/")[0]
    own = f"{bucket}/{organization}/data/customer-{ben.id}/script.py"
    upload(ben, own, SCRIPT)
    lock = json.loads((platform.folder / "lock").read_text())
    given = {
        "prefix": mine,
        "workload": str(platform.folder / "workloads" / workload),
        "data": str(platform.folder),
        "server": lock["pid"],
    }
    _, lines = run(ben, own, json.dumps(given))
    outcomes = dict(line.split(" ")[:2] for line in lines)
    assert [name for name, end in outcomes.items() if end == "done"] == [
        "own",
        "shared",
        "own-lent",
    ]
    assert len(outcomes) == 16, lines
    users = json.loads((platform.folder / "job-users.json").read_text())
    assert len(set(users.values())) == len(users) >= 2
    owners = {(Path(given["data"]) / "homes" / str(uid)).stat().st_uid for uid in users.values()}
    assert owners == set(users.values())
