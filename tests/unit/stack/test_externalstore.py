"""A store that Landloom did not start: users by AssumeRole, or one user where it has none."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr
from tests.unit.stack.conftest import make_store

from landloom.errors import SetupProblem, Unavailable
from landloom.server.accounts.admission import Admission
from landloom.server.settings import Settings
from landloom.server.storage.clients import s3_client
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.scopes import Scope
from landloom.stack.externalstore import ExternalStore
from landloom.stack.identities import ADMIN
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.weed import LENDING_ARN

BUCKET = "somebodys"
HOST = "somebody.localhost"
SESSION_SECONDS = 43_200


@pytest.fixture(scope="module")
def somebodys(tmp_path_factory):
    """A SeaweedFS of somebody else's, which takes buckets as paths and as hosts."""
    made = make_store(tmp_path_factory.mktemp("somebodys"), domains=(HOST,))
    made.ensure()
    yield made
    made.end()


@pytest.fixture(autouse=True)
def hosts(monkeypatch):
    """Let every host below `HOST` be this machine, as a name server would."""
    lookup = socket.getaddrinfo

    def mapped(name, *rest, **more):
        known = isinstance(name, str) and name.endswith(HOST)
        return lookup("127.0.0.1" if known else name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", mapped)


def settings(store: EmbeddedStore, tmp_path, **changes) -> Settings:
    secret = store.config.secret
    values = {
        "data_dir": tmp_path,
        "s3_endpoint": f"http://{HOST}:{store.config.ports.s3}",
        "s3_role_arn": LENDING_ARN,
        "bucket": BUCKET,
        "admin_access_key": SecretStr(secret.access_key(ADMIN)),
        "admin_secret_key": SecretStr(secret.secret_key(ADMIN)),
        **changes,
    }
    return Settings(_env_file=None, **values)


_tried: dict[str, ExternalStore] = {}


def external(store, tmp_path, **changes) -> ExternalStore:
    """Return the store with these settings, tried out once."""
    key = str(sorted(changes.items()))
    if key not in _tried:
        made = ExternalStore(settings(store, tmp_path, **changes))
        made.ensure()
        _tried[key] = made
    return _tried[key]


def client(store: ExternalStore, keys):
    found = store.settings
    return s3_client(
        StoreAccess(found.s3_endpoint, found.s3_region, keys, found.s3_addressing), attempts=1
    )


def user(store: ExternalStore, *prefixes):
    return asyncio.run(store.ensure_user(prefixes[0], bucket=BUCKET, read_write=prefixes))


def is_refused(attempt) -> bool:
    try:
        attempt()
    except ClientError as problem:
        return problem.response["Error"]["Code"] == "AccessDenied"
    return False


@pytest.mark.parametrize("addressing", ["path", "virtual"])
class TestUsers:
    def test_each_has_its_prefixes_and_no_other(self, somebodys, tmp_path, addressing):
        store = external(somebodys, tmp_path, s3_addressing=addressing)
        assert store.can_scope, store.obstacle
        ann, ben = (
            client(store, user(store, f"o/{name}/", "o/shared/")) for name in ("ann", "ben")
        )
        for s3, name in ((ann, "ann"), (ben, "ben")):
            s3.put_object(Bucket=BUCKET, Key=f"o/{name}/x y+%.txt", Body=name.encode())
        ann.put_object(Bucket=BUCKET, Key="o/shared/x", Body=b"all")
        assert ben.get_object(Bucket=BUCKET, Key="o/shared/x")["Body"].read() == b"all"
        listed = ben.list_objects_v2(Bucket=BUCKET, Prefix="o/ben/")
        assert [each["Key"] for each in listed["Contents"]] == ["o/ben/x y+%.txt"]
        theirs = {"Bucket": BUCKET, "Key": "o/ann/x y+%.txt"}
        attempts = {
            "get": lambda: ben.get_object(**theirs),
            "put": lambda: ben.put_object(**theirs, Body=b""),
            "delete": lambda: ben.delete_object(**theirs),
            "list": lambda: ben.list_objects_v2(Bucket=BUCKET, Prefix="o/ann/"),
            "list all": lambda: ben.list_objects_v2(Bucket=BUCKET),
            "bucket": lambda: ben.create_bucket(Bucket="bens-own"),
        }
        assert [name for name, each in attempts.items() if not is_refused(each)] == []

    def test_the_trial_leaves_nothing_behind(self, somebodys, tmp_path, addressing):
        store = external(somebodys, tmp_path, s3_addressing=addressing)
        listed = client(store, store.operator).list_objects_v2(Bucket=BUCKET, Prefix=".landloom/")
        assert listed["KeyCount"] == 0


class TestKeys:
    def test_they_last_as_long_as_asked_and_are_made_once(self, somebodys, tmp_path):
        store = external(somebodys, tmp_path)
        first = user(store, "o/carl/")
        assert user(store, "o/carl/") is first
        left = first.expires_at - datetime.now(UTC)
        assert left > timedelta(seconds=SESSION_SECONDS - 100)

    def test_when_half_their_life_is_over_there_are_new_ones(self, somebodys, tmp_path):
        store = external(somebodys, tmp_path, s3_session_seconds=900)
        first = user(store, "o/carl/")
        store.settings = settings(somebodys, tmp_path, s3_session_seconds=SESSION_SECONDS)
        assert user(store, "o/carl/") != first

    def test_lent_ones_reach_their_path(self, somebodys, tmp_path):
        store = external(somebodys, tmp_path)
        lent = client(store, asyncio.run(store.lend(Scope(BUCKET, ("o/lent/",), writable=True))))
        lent.put_object(Bucket=BUCKET, Key="o/lent/x", Body=b"")
        assert is_refused(lambda: lent.put_object(Bucket=BUCKET, Key="o/lent2/x", Body=b""))


class TestWithdrawing:
    def test_who_comes_back_gets_other_keys_and_the_old_ones_go_on_to_their_end(
        self, somebodys, tmp_path
    ):
        store = external(somebodys, tmp_path)
        first = user(store, "o/emil/")
        url = client(store, first).generate_presigned_url(
            "put_object", {"Bucket": BUCKET, "Key": "o/emil/x"}
        )
        asyncio.run(store.withdraw_user("o/emil/"))
        # What AssumeRole gave cannot be taken back: this is what withdrawing does not do.
        assert httpx.put(url, content=b"x", trust_env=False).status_code == 200
        client(store, first).delete_object(Bucket=BUCKET, Key="o/emil/x")
        again = user(store, "o/emil/")
        assert again.access_key != first.access_key
        assert user(store, "o/emil/") is again

    def test_nobody_else_is_touched(self, somebodys, tmp_path):
        store = external(somebodys, tmp_path)
        # Ids that are parts of one another, and a folder that both reach.
        fritz, fri = user(store, "o/fritz/", "o/shared/"), user(store, "o/fri", "o/shared/")
        asyncio.run(store.withdraw_user("o/fri"))
        assert user(store, "o/fritz/", "o/shared/") is fritz
        assert user(store, "o/fri", "o/shared/") is not fri

    def test_who_was_never_known_does_not_matter(self, somebodys, tmp_path):
        asyncio.run(external(somebodys, tmp_path).withdraw_user("nobody"))

    def test_other_prefixes_mean_other_keys(self, somebodys, tmp_path):
        store = external(somebodys, tmp_path)
        narrow = asyncio.run(store.ensure_user("gil", bucket=BUCKET, read_write=["o/gil/"]))
        wide = asyncio.run(
            store.ensure_user("gil", bucket=BUCKET, read_write=["o/gil/", "o/shared/"])
        )
        client(store, wide).put_object(Bucket=BUCKET, Key="o/shared/gil", Body=b"")
        assert is_refused(
            lambda: client(store, narrow).put_object(Bucket=BUCKET, Key="o/shared/gil", Body=b"")
        )


class TestAStoreThatCannotScope:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"s3_role_arn": ""}, "LANDLOOM_S3_ROLE_ARN"),
            ({"s3_role_arn": "arn:aws:iam::000000000000:role/Absent"}, "no temporary keys"),
            ({"s3_sts_endpoint": "http://127.0.0.1:9"}, "no temporary keys"),
        ],
    )
    def test_it_has_one_user_with_the_operators_keys(self, somebodys, tmp_path, changes, reason):
        store = external(somebodys, tmp_path, **changes)
        assert not store.can_scope
        assert reason in store.obstacle
        assert user(store, "o/dora/") == store.operator
        admission = Admission.of(store.settings, isolated=True, scoped=store.can_scope)
        admission.require_at_start(1)
        with pytest.raises(SetupProblem, match="same keys"):
            admission.require_at_start(2)

    def test_one_that_ignores_the_policy_is_found_out(self, somebodys, tmp_path, monkeypatch):
        store = ExternalStore(settings(somebodys, tmp_path))
        everything = Scope(BUCKET, ("o/", ".landloom/trial-"), writable=True)
        monkeypatch.setattr(Scope, "policy", lambda _scope: _all_of(everything.bucket))
        store.ensure()
        assert "does not hold temporary keys" in store.obstacle


class TestMistakes:
    def test_without_keys(self, somebodys, tmp_path):
        with pytest.raises(SetupProblem, match="no keys") as problem:
            external(somebodys, tmp_path, admin_access_key=SecretStr(""))
        assert "LANDLOOM_ADMIN_ACCESS_KEY" in problem.value.suggestion

    def test_with_wrong_keys(self, somebodys, tmp_path):
        with pytest.raises(SetupProblem, match="does not store"):
            external(somebodys, tmp_path, admin_secret_key=SecretStr("wrong" * 8))

    def test_where_there_is_no_store(self, somebodys, tmp_path):
        with pytest.raises(SetupProblem, match="does not store"):
            external(somebodys, tmp_path, s3_endpoint="http://127.0.0.1:9")

    def test_lending_without_sts_is_unavailable(self, somebodys, tmp_path):
        store = external(somebodys, tmp_path, s3_role_arn="")
        with pytest.raises(Unavailable):
            asyncio.run(store.lend(Scope(BUCKET, ("o/x/",))))


def _all_of(bucket: str) -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
