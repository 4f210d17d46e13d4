"""The object store, killed while eight uploads in parts are under way.

An upload that was acknowledged is there, whole; any other is not there at all; none is torn.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from landloom.server.storage.clients import s3_client
from landloom.stack.identities import ADMIN
from tests.api.platform import eventually
from tests.api.seaweed import Seaweed, real_store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

UPLOADS = 8
PART_BYTES = 5 << 20
"""The smallest that S3 allows but for the last one."""
DEADLINE_SECONDS = 120


@dataclass
class Upload:
    """One object on its way."""

    key: str
    parts: list[bytes] = field(repr=False)
    acknowledged: bool = False
    completing: bool = False
    """Whether the last word was sent: without an answer to it, either end is right."""

    def run(self, store: Seaweed) -> None:
        named = {"Bucket": "landloom", "Key": self.key}
        # One attempt each: what is tried again after the kill would be acknowledged by the next.
        client = s3_client(store.store.config.access(ADMIN), attempts=1, read_seconds=60)
        try:
            named["UploadId"] = client.create_multipart_upload(**named)["UploadId"]
            done = []
            for number, body in enumerate(self.parts, 1):
                tag = client.upload_part(**named, PartNumber=number, Body=body)["ETag"]
                done.append({"PartNumber": number, "ETag": tag})
            self.completing = True
            client.complete_multipart_upload(**named, MultipartUpload={"Parts": done})
        except (BotoCoreError, ClientError):
            return
        self.acknowledged = True

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(self.parts)).hexdigest()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with real_store(tmp_path_factory.mktemp("killed")) as made:
        yield made


def stored(store: Seaweed) -> dict[str, tuple[int, str]]:
    """Return bytes and digest of every object below `killed/`, as a listing and reads tell."""
    client: Any = store.client()
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(
        Bucket="landloom", Prefix="killed/"
    ):
        for each in page.get("Contents", ()):
            body = client.get_object(Bucket="landloom", Key=each["Key"])["Body"].read()
            assert len(body) == each["Size"], each["Key"]
            found[each["Key"]] = (len(body), hashlib.sha256(body).hexdigest())
    return found


def make(prefix: str, chance: random.Random) -> list[Upload]:
    sizes = [(PART_BYTES, chance.randint(1, PART_BYTES)) for _ in range(UPLOADS)]
    return [
        Upload(f"{prefix}{number}", [chance.randbytes(size) for size in each])
        for number, each in enumerate(sizes)
    ]


def begin(store: Seaweed, uploads: list[Upload]) -> list[threading.Thread]:
    threads = [threading.Thread(target=each.run, args=(store,)) for each in uploads]
    for thread in threads:
        thread.start()
    return threads


def finish(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive(), "an upload never came to an end"


def wait_for(uploads: list[Upload], enough: int) -> None:
    """Wait until so many are acknowledged: the kill is to find some that are, some that are not."""
    eventually(lambda: sum(each.acknowledged for each in uploads) >= enough, bool, DEADLINE_SECONDS)


def seconds_undisturbed(store: Seaweed) -> float:
    """Return how long as many uploads take when nothing happens."""
    uploads = make("undisturbed/", random.Random(0))
    begun = time.monotonic()
    finish(begin(store, uploads))
    assert all(each.acknowledged for each in uploads)
    return time.monotonic() - begun


def test_what_it_acknowledged_is_whole_and_nothing_is_torn(
    store: Seaweed, rounds: list[random.Random], record_property: Any
) -> None:
    span = seconds_undisturbed(store)
    expected: dict[str, tuple[int, str]] = {}
    counts = {"acknowledged": 0, "absent": 0, "unanswered": 0}
    for number, chance in enumerate(rounds):
        uploads = make(f"killed/{number}/", chance)
        threads = begin(store, uploads)
        wait_for(uploads, chance.randrange(UPLOADS))
        time.sleep(chance.uniform(0, span / UPLOADS))
        process = store.store.process
        assert process is not None
        found = process.process()
        assert found is not None
        found.kill()
        store.store.ensure()
        finish(threads)
        seen = stored(store)
        for upload in uploads:
            whole = (sum(map(len, upload.parts)), upload.digest)
            if upload.acknowledged:
                expected[upload.key] = whole
                counts["acknowledged"] += 1
            elif upload.completing and upload.key in seen:
                # The answer was lost with the store; what it had done is done.
                expected[upload.key] = whole
                counts["unanswered"] += 1
            else:
                counts["absent"] += 1
        assert seen == expected, f"round {number}"
    record_property("uploads", counts)
    print(counts)
