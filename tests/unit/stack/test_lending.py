"""Temporary keys, tried raw against the store: what they reach, and that they end."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from botocore.exceptions import ClientError
from tests.unit.stack.conftest import SESSION_SECONDS

from landloom.errors import InvalidInput, Unavailable
from landloom.server.storage.clients import s3_client
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.roles import Role
from landloom.server.storage.scopes import LONGEST_POLICY, Scope
from landloom.stack.identities import ADMIN
from landloom.stack.storeadmin import EmbeddedStoreAdmin
from landloom.stack.weed import LENDING_ARN, REGION

BUCKET = "landloom"
MINE = "lending/data/customer-ann/"
DATA = MINE + "results/"
OUTSIDE = (MINE, MINE + "results2/", "lending/data/customer-ben/", "lending/data/", "other/shared/")
DEADLINE_SECONDS = 60
TRIES = 5


def access(store, keys):
    return StoreAccess(store.config.endpoint_url, REGION, keys)


def client(store, keys):
    return s3_client(access(store, keys), attempts=1)


def admin(store):
    return client(store, store.config.credentials(ADMIN))


@pytest.fixture(scope="module")
def filled(store):
    """The store with an object in each of the places that are tried."""
    writer = admin(store)
    for folder in (DATA, *OUTSIDE):
        writer.put_object(Bucket=BUCKET, Key=folder + "seen.txt", Body=folder.encode())
    return store


async def lend(store, *keys, writable=False, seconds=900):
    return await EmbeddedStoreAdmin(store).lend(Scope(BUCKET, keys, writable), seconds=seconds)


def outcome(attempt):
    """Return "allowed", or the store's word for its refusal."""
    try:
        attempt()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"


class TestWhatTheyReach:
    async def test_read_and_write_in_the_folder(self, filled):
        mine = client(filled, await lend(filled, DATA, writable=True))
        mine.put_object(Bucket=BUCKET, Key=DATA + "new.txt", Body=b"new")
        assert mine.get_object(Bucket=BUCKET, Key=DATA + "new.txt")["Body"].read() == b"new"
        listed = mine.list_objects_v2(Bucket=BUCKET, Prefix=DATA)
        assert [each["Key"] for each in listed["Contents"]] == [DATA + "new.txt", DATA + "seen.txt"]
        upload = mine.create_multipart_upload(Bucket=BUCKET, Key=DATA + "parts")["UploadId"]
        named = {"Bucket": BUCKET, "Key": DATA + "parts", "UploadId": upload}
        part = mine.upload_part(**named, PartNumber=1, Body=b"part")
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        mine.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        mine.delete_object(Bucket=BUCKET, Key=DATA + "parts")
        mine.delete_object(Bucket=BUCKET, Key=DATA + "new.txt")

    async def test_to_read_is_not_to_write(self, filled):
        reader = client(filled, await lend(filled, DATA))
        body = reader.get_object(Bucket=BUCKET, Key=DATA + "seen.txt")["Body"].read()
        assert body == DATA.encode()
        key = {"Bucket": BUCKET, "Key": DATA + "seen.txt"}
        attempts = {
            "put": lambda: reader.put_object(**key, Body=b""),
            "delete": lambda: reader.delete_object(**key),
            "multipart": lambda: reader.create_multipart_upload(**key),
            "many": lambda: one_of(
                reader.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key["Key"]}]})
            ),
        }
        assert {name: outcome(each) for name, each in attempts.items()} == dict.fromkeys(
            attempts, "AccessDenied"
        )
        assert admin(filled).get_object(**key)["Body"].read() == DATA.encode()

    @pytest.mark.parametrize("writable", [False, True])
    async def test_nothing_else_is_reached(self, filled, writable):
        lent = client(filled, await lend(filled, DATA, writable=writable))
        refused = {}
        for folder in OUTSIDE:
            key = {"Bucket": BUCKET, "Key": folder + "seen.txt"}
            source = {"CopySource": key, "Bucket": BUCKET, "Key": DATA + "stolen"}
            refused |= {
                f"get {folder}": outcome(lambda key=key: lent.get_object(**key)),
                f"put {folder}": outcome(lambda key=key: lent.put_object(**key, Body=b"")),
                f"delete {folder}": outcome(lambda key=key: lent.delete_object(**key)),
                f"copy {folder}": outcome(lambda source=source: lent.copy_object(**source)),
                f"list {folder}": outcome(
                    lambda folder=folder: lent.list_objects_v2(Bucket=BUCKET, Prefix=folder)
                ),
            }
        refused |= {
            "list all": outcome(lambda: lent.list_objects_v2(Bucket=BUCKET)),
            "list by delimiter": outcome(lambda: lent.list_objects(Bucket=BUCKET, Delimiter="/")),
            "new bucket": outcome(lambda: lent.create_bucket(Bucket="lent-bucket")),
            "remove bucket": outcome(lambda: lent.delete_bucket(Bucket=BUCKET)),
            "other bucket": outcome(lambda: lent.list_objects_v2(Bucket="another")),
            "set policy": outcome(lambda: lent.put_bucket_policy(Bucket=BUCKET, Policy="{}")),
        }
        assert {name: said for name, said in refused.items() if said != "AccessDenied"} == {}

    async def test_an_object_or_a_folder_of_that_name(self, filled):
        name = DATA.rstrip("/")
        lent = client(filled, await lend(filled, name))
        assert outcome(lambda: lent.get_object(Bucket=BUCKET, Key=f"{name}/seen.txt")) == "allowed"
        beside = f"{name}2/seen.txt"
        assert outcome(lambda: lent.get_object(Bucket=BUCKET, Key=beside)) == "AccessDenied"
        listing = {"Bucket": BUCKET, "Prefix": f"{name}2"}
        assert outcome(lambda: lent.list_objects_v2(**listing)) == "AccessDenied"

    async def test_dots_lead_nowhere(self, filled):
        lent = client(filled, await lend(filled, DATA, writable=True))
        ann = await EmbeddedStoreAdmin(filled).ensure_user("eve", bucket=BUCKET, read_write=[MINE])
        theirs = "customer-ben/seen.txt"
        for keys, way in (
            (lent, f"{DATA}../../{theirs}"),
            (client(filled, ann), f"{MINE}../{theirs}"),
        ):
            for attempt in (
                lambda keys=keys, way=way: keys.get_object(Bucket=BUCKET, Key=way),
                lambda keys=keys, way=way: keys.put_object(Bucket=BUCKET, Key=way, Body=b"!"),
                lambda keys=keys, way=way: keys.delete_object(Bucket=BUCKET, Key=way),
                lambda keys=keys, way=way: keys.list_objects_v2(
                    Bucket=BUCKET, Prefix=way.removesuffix("seen.txt")
                )["Contents"],
            ):
                with pytest.raises((ClientError, KeyError)):
                    attempt()
        key = {"Bucket": BUCKET, "Key": f"lending/data/{theirs}"}
        assert admin(filled).get_object(**key)["Body"].read() == b"lending/data/customer-ben/"

    async def test_no_further_keys_can_be_made_of_them(self, filled):
        lent = await lend(filled, DATA)
        everything = Scope(BUCKET, (MINE,), writable=True)
        with pytest.raises(Unavailable):
            Role(LENDING_ARN, access(filled, lent)).lend(everything)

    async def test_a_users_own_keys_cannot_take_the_role(self, filled):
        ann = await EmbeddedStoreAdmin(filled).ensure_user("eve", bucket=BUCKET, read_write=[MINE])
        with pytest.raises(Unavailable):
            Role(LENDING_ARN, access(filled, ann)).lend(Scope(BUCKET, (MINE,)))


class TestHowLongTheyLast:
    def test_they_end(self, filled):
        key = {"Bucket": BUCKET, "Key": DATA + "seen.txt"}
        # On a busy machine they may be over before they were used: then once more.
        for _ in range(TRIES):
            begun = time.monotonic()
            lent = asyncio.run(lend(filled, DATA, seconds=None))
            assert lent.expires_at <= datetime.now(UTC) + timedelta(seconds=SESSION_SECONDS)
            s3 = client(filled, lent)
            # Signed to be good for an hour: the keys' own end counts.
            link = s3.generate_presigned_url("get_object", Params=key, ExpiresIn=3600)
            told = httpx.get(link, timeout=DEADLINE_SECONDS).text
            if told == DATA or time.monotonic() < begun + SESSION_SECONDS - 1:
                break
        assert told == DATA
        while (said := outcome(lambda: s3.get_object(**key))) == "allowed":
            assert time.monotonic() < begun + DEADLINE_SECONDS
            time.sleep(0.2)
        assert time.monotonic() > begun + SESSION_SECONDS - 2
        assert said in {"ExpiredToken", "InvalidAccessKeyId"}
        assert httpx.get(link, timeout=DEADLINE_SECONDS).status_code in {400, 403}

    async def test_their_length_is_asked_for(self, filled):
        lent = await lend(filled, DATA, seconds=7200)
        left = lent.expires_at - datetime.now(UTC)
        assert timedelta(seconds=7100) < left <= timedelta(seconds=7200)


class TestScope:
    @pytest.mark.parametrize(
        "key", ["org/data/*", "org/da?a/", "org/${aws:username}/", "org/../", "", "/"]
    )
    def test_a_key_that_means_more_than_itself_is_refused(self, key):
        with pytest.raises(InvalidInput, match="cannot be lent"):
            Scope(BUCKET, (key,)).policy()

    def test_a_name_that_leaves_no_room_is_refused(self):
        with pytest.raises(InvalidInput, match="too long"):
            Scope(BUCKET, ("k" * 1000 + "/",), writable=True).policy()

    def test_all_places_of_a_user_fit(self):
        keys = tuple(f"{'o' * 20}/notebooks/customer-{'u' * 20}{n}/" for n in range(5))
        assert len(Scope("landloom", keys, writable=True).policy()) <= LONGEST_POLICY


def one_of(answer):
    """Raise what a batch says of its first object."""
    for error in answer.get("Errors", []):
        raise ClientError({"Error": {"Code": error["Code"]}}, "DeleteObjects")
