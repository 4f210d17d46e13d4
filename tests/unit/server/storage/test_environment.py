"""The libraries themselves are asked where they would go; none of them goes anywhere."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from landloom import jobsite
from landloom.errors import InvalidInput
from landloom.server.storage.admin import Credentials
from landloom.server.storage.environment import (
    StorageAccess,
    ca_environment,
    job_environment,
    storage_environment,
)
from landloom.server.storage.layout import UserStorage
from landloom.server.storage.places import StoreAccess

KEYS = Credentials("AKEXAMPLE", "s%cr/et+")
STORE = StoreAccess("http://127.0.0.1:8333", "us-east-1", KEYS)
ACCESS = StorageAccess(STORE, UserStorage("landloom", "org", "u1"))


def at(**changes):
    return replace(ACCESS, store=replace(STORE, **changes))


@pytest.fixture
def storage(tmp_path):
    return storage_environment(ACCESS, tmp_path / "profile")


def ask(environment, code):
    """Run `code` in an interpreter with this environment; it prints JSON."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(ended.stdout.splitlines()[-1])


class TestStorage:
    def test_paths_end_in_a_slash(self, storage):
        for name in ("USER_S3_PATH", "USER_S3_SHARED_PATH", "USER_WAREHOUSE_PATH"):
            assert storage[name].startswith("s3://landloom/")
            assert storage[name].endswith("/")

    def test_every_library_finds_its_own_variable(self, storage):
        assert storage["AWS_ENDPOINT_URL"] == storage["AWS_ENDPOINT_URL_S3"] == STORE.endpoint_url
        assert storage["AWS_S3_ENDPOINT"] == "127.0.0.1:8333"
        assert (storage["AWS_HTTPS"], storage["AWS_ALLOW_HTTP"]) == ("NO", "true")
        assert storage["AWS_VIRTUAL_HOSTING"] == "FALSE"
        assert storage["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] == "false"
        assert storage["CPL_VSIL_USE_TEMP_FILE_FOR_RANDOM_WRITE"] == "YES"
        assert storage["AWS_EC2_METADATA_DISABLED"] == "true"

    def test_https_is_asked_for_where_the_store_speaks_it(self, tmp_path):
        secure = storage_environment(at(endpoint_url="https://store.example:9000"), tmp_path)
        assert (secure["AWS_HTTPS"], secure["AWS_ALLOW_HTTP"]) == ("YES", "false")
        assert secure["AWS_S3_ENDPOINT"] == "store.example:9000"

    def test_the_profile_is_for_its_owner_only(self, storage):
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            file = Path(storage[name])
            assert file.is_absolute()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
            assert len(list(file.parent.iterdir())) == 2

    def test_botocore_finds_all_in_the_profile_alone(self, storage):
        profile = {
            name: storage[name] for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
        }
        found = ask(
            profile,
            "import boto3, json\n"
            "session = boto3.Session(profile_name='default')\n"
            "client = session.client('s3')\n"
            "keys = session.get_credentials()\n"
            "url = client.generate_presigned_url('get_object', {'Bucket': 'b', 'Key': 'k'})\n"
            "print(json.dumps([client.meta.endpoint_url, session.region_name,"
            " keys.access_key, keys.secret_key, url.partition('?')[0]]))",
        )
        assert found == [
            *(STORE.endpoint_url, STORE.region, KEYS.access_key, KEYS.secret_key),
            f"{STORE.endpoint_url}/b/k",
        ]

    @pytest.mark.parametrize("value", ["a\nb", "a\r", "\0"])
    def test_a_key_that_would_break_the_profile_is_refused(self, tmp_path, value):
        with pytest.raises(InvalidInput):
            storage_environment(at(credentials=Credentials("AK", value)), tmp_path)

    @pytest.mark.parametrize("url", ["127.0.0.1:8333", "ftp://x", ""])
    def test_an_endpoint_that_is_no_url_is_refused(self, tmp_path, url):
        with pytest.raises(InvalidInput, match="endpoint"):
            storage_environment(at(endpoint_url=url), tmp_path)

    def test_the_secret_is_not_in_what_is_printed(self):
        assert KEYS.secret_key not in repr(ACCESS)


class TestJob:
    def job(self, storage, **options):
        defaults = {"api_key": "key", "landloom_url": "http://127.0.0.1:8080"}
        return job_environment(storage, **defaults | options)

    def test_carries_storage_key_and_addresses(self, storage):
        job = self.job(storage, run_id="r1")
        assert storage.items() <= job.items()
        assert job["WHEROBOTS_API_KEY"] == "key"
        assert job["LANDLOOM_URL"] == "http://127.0.0.1:8080"
        assert job["LANDLOOM_RUN_ID"] == "r1"
        assert job["PYTHONUNBUFFERED"] == "1"
        assert "LANDLOOM_RUN_ID" not in self.job(storage)

    def test_inherits_what_is_listed_and_nothing_else(self, storage):
        server = {
            "PATH": "/bin",
            "HOME": "/home/x",
            "LANDLOOM_CATALOG": "/c.toml",
            "LANDLOOM_DIVISIONS": "/d.parquet",
            "LANDLOOM_EXECUTOR": "ray",
            "LANDLOOM_PRECISION": "bf16",
            "LANDLOOM_RUNTIME": "torch",
            "RAY_ADDRESS": "10.0.0.1:6379",
            "RAY_AUTH_TOKEN": "no",
            "LANDLOOM_ADMIN_SECRET_KEY": "no",
            "AWS_SESSION_TOKEN": "no",
            "PYTHONHOME": "no",
            "LANDLOOM_WORKLOAD_ID": "no",
        }
        job = self.job(storage, server_environment=server)
        assert "no" not in job.values()
        assert job["LANDLOOM_CATALOG"] == "/c.toml"
        assert job["LANDLOOM_DIVISIONS"] == "/d.parquet"
        assert job["HOME"] == "/home/x"
        assert (job["LANDLOOM_EXECUTOR"], job["RAY_ADDRESS"]) == ("ray", "10.0.0.1:6379")
        assert (job["LANDLOOM_RUNTIME"], job["LANDLOOM_PRECISION"]) == ("torch", "bf16")

    def test_its_interpreter_comes_first_on_the_path(self, storage):
        job = self.job(storage, python=Path("/env/bin/python"), server_environment={"PATH": "/bin"})
        assert job["PATH"] == "/env/bin:/bin"

    def test_the_hook_comes_before_the_overlays(self, storage):
        job = self.job(storage, overlays=[Path("/one"), Path("/two")])
        assert job["PYTHONPATH"].split(os.pathsep) == [str(jobsite.hook_folder()), "/one", "/two"]

    def test_trusts_our_authority_where_there_is_one(self, storage):
        bundle = Path("/tls/bundle.pem")
        job = self.job(storage, ca_bundle=bundle)
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
            assert job[name] == str(bundle)
        assert ca_environment(None) == {}
