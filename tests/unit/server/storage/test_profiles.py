"""Profiles, GDAL's options and the list of places: what a job is told of each integration."""

import configparser
import json
import stat
from datetime import UTC, datetime

import pytest

from landloom.errors import InvalidInput
from landloom.server.runs.spark import spark_environment
from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import INTEGRATION, Source, StoreAccess
from landloom.server.storage.profiles import write_profiles

MANAGED = StoreAccess("http://127.0.0.1:8333", "us-east-1", Credentials("AK", "managed-secret"))
AT = datetime(2026, 1, 1, tzinfo=UTC)


def place(profile, bucket, credentials, *, endpoint="https://s3.partner.example", prefix=""):
    return Source(
        id=f"i{profile}",
        name=profile,
        kind=INTEGRATION,
        bucket=bucket,
        prefix=prefix,
        access=StoreAccess(endpoint, "eu-1", credentials, "virtual"),
        read_only=False,
        created_at=AT,
        updated_at=AT,
        region="eu-1",
        profile=profile,
    )


KEYS = place("keys", "one", Credentials("AK1", "secret/1%"), prefix="fields/")
ROLE = place("role", "two", Credentials("AK2", "secret2", "token2"))
PUBLIC = place("public", "three", None, endpoint="http://127.0.0.1:9000")


def ini(path):
    parser = configparser.RawConfigParser()
    parser.read(path)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_without_integrations_there_is_the_managed_storage_alone(tmp_path):
    variables = write_profiles(MANAGED, [], tmp_path / "p")
    assert set(variables) == {"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
    assert ini(variables["AWS_CONFIG_FILE"]).keys() == {"default"}


def test_each_place_is_a_profile_with_its_own_keys(tmp_path):
    variables = write_profiles(MANAGED, [KEYS, ROLE, PUBLIC], tmp_path / "p")
    config = ini(variables["AWS_CONFIG_FILE"])
    assert config["profile keys"]["endpoint_url"] == "https://s3.partner.example"
    assert config["profile keys"]["region"] == "eu-1"
    assert "addressing_style = virtual" in config["profile keys"]["s3"]
    credentials = ini(variables["AWS_SHARED_CREDENTIALS_FILE"])
    assert credentials["default"]["aws_secret_access_key"] == "managed-secret"
    assert credentials["keys"]["aws_secret_access_key"] == "secret/1%"
    assert "aws_session_token" not in credentials["keys"]
    assert credentials["role"]["aws_session_token"] == "token2"
    assert "public" not in credentials


def test_gdal_has_options_by_path_and_leaves_the_public_unsigned(tmp_path):
    variables = write_profiles(MANAGED, [KEYS, PUBLIC], tmp_path / "p")
    gdal = ini(variables["GDAL_CONFIG_FILE"])
    assert gdal[".ikeys"]["path"] == "/vsis3/one/fields/"
    assert gdal[".ikeys"]["aws_https"] == "YES"
    assert gdal[".ikeys"]["aws_virtual_hosting"] == "TRUE"
    assert gdal[".ipublic"]["aws_no_sign_request"] == "YES"
    assert gdal[".ipublic"]["aws_s3_endpoint"] == "127.0.0.1:9000"
    assert "aws_access_key_id" not in gdal[".ipublic"]


def test_gdal_is_told_the_path_of_an_endpoint_too(tmp_path):
    below = place("below", "four", None, endpoint="https://gate.example:9000/s3/")
    gdal = ini(write_profiles(MANAGED, [below], tmp_path / "p")["GDAL_CONFIG_FILE"])
    assert gdal[".ibelow"]["aws_s3_endpoint"] == "gate.example:9000/s3"


def test_the_list_of_places_says_all(tmp_path):
    listed = json.loads(write_profiles(MANAGED, [ROLE, PUBLIC], tmp_path)["LANDLOOM_BUCKETS"])
    assert [each["bucket"] for each in listed] == ["two", "three"]
    assert listed[0]["session_token"] == "token2"
    assert listed[1]["access_key_id"] is None


def test_nobody_else_reads_the_files(tmp_path):
    write_profiles(MANAGED, [KEYS], tmp_path / "p")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "p").iterdir()}
    assert modes == dict.fromkeys(("aws-config", "aws-credentials", "gdal-config"), 0o600)


def test_a_line_end_in_a_key_is_refused(tmp_path):
    broken = place("broken", "one", Credentials("AK", "a\n[default]"))
    with pytest.raises(InvalidInput):
        write_profiles(MANAGED, [broken], tmp_path)


def test_spark_gets_settings_by_bucket_that_nobody_else_reads(tmp_path):
    spark_environment(
        tmp_path / "spark",
        configs={"spark.hadoop.fs.s3a.bucket.one.endpoint.region": "mine"},
        jars=[],
        python=tmp_path / "bin" / "python",
        executors=0,
        buckets=[KEYS, ROLE, PUBLIC, place("again", "one", None)],
    )
    file = tmp_path / "spark" / "spark-defaults.conf"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    conf = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    s3a = "spark.hadoop.fs.s3a.bucket"
    assert conf[f"{s3a}.one.secret.key"] == "secret/1%"
    assert conf[f"{s3a}.one.endpoint.region"] == "mine", "a run's own settings win"
    assert conf[f"{s3a}.one.aws.credentials.provider"].endswith("SimpleAWSCredentialsProvider")
    assert conf[f"{s3a}.two.session.token"] == "token2"
    assert conf[f"{s3a}.three.aws.credentials.provider"].endswith("AnonymousAWSCredentialsProvider")
    assert conf[f"{s3a}.three.connection.ssl.enabled"] == "false"
    assert f"{s3a}.three.access.key" not in conf
