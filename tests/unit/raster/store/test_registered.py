"""Objects of registered buckets are asked for where they are registered, signed as registered."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from landloom.errors import StoreProblem
from landloom.raster.store import buckets, objects
from landloom.raster.store.registered import registered_buckets


@pytest.fixture
def asked():
    """A server that answers anything, and notes path, keys and token of what it is asked."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            signed = self.headers.get("authorization", "").partition("Credential=")[2]
            token = self.headers.get("x-amz-security-token")
            seen.append((self.headers["host"], self.path, signed.partition("/aws4")[0], token))
            self.send_response(200)
            for name, value in {
                "content-length": "1",
                "etag": '"a"',
                "last-modified": "Sun, 22 Nov 2026 18:10:00 GMT",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"x")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen.append(f"http://127.0.0.1:{server.server_port}")
        yield seen
        server.shutdown()


@pytest.fixture
def register(monkeypatch, asked):
    endpoint = asked.pop()
    # A job's own surroundings, none of which is for registered buckets.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "ambient")

    def entries(*given):
        listed = [{"endpoint_url": endpoint, "prefix": "", **each} for each in given]
        monkeypatch.setenv("LANDLOOM_BUCKETS", json.dumps(listed))

    return entries


def keys(name, **others):
    return {"access_key_id": name, "secret_access_key": "s", "region": "eu-1", **others}


def test_its_own_keys_sign_and_the_ambient_token_stays_away(register, asked):
    register({"bucket": "partner", **keys("K1")})
    assert objects.read_bytes("s3://partner/a/b.tif") == b"x"
    (_, path, signed, token) = asked[0]
    assert path == "/partner/a/b.tif"
    assert signed.startswith("K1/")
    assert signed.endswith("/eu-1/s3")
    assert token is None


def test_a_role_s_token_goes_along(register, asked):
    register({"bucket": "partner", **keys("K2", session_token="theirs")})
    objects.read_bytes("s3://partner/x")
    assert asked[0][3] == "theirs"


def test_a_public_one_is_asked_unsigned(register, asked):
    register({"bucket": "open", "region": "eu-2"})
    objects.read_bytes("s3://open/x")
    assert asked[0][1:] == ("/open/x", "", None)


def test_the_longest_prefix_decides(register, asked):
    register(
        {"bucket": "both", **keys("outer")},
        {"bucket": "both", "prefix": "a/b/", **keys("inner")},
    )
    for key in ("a/b/x", "a/bc/x"):
        objects.read_bytes(f"s3://both/{key}")
    assert [each[2].partition("/")[0] for each in asked] == ["inner", "outer"]


def test_a_bucket_may_stand_in_the_host(register):
    endpoint = {"endpoint_url": "http://stores.example:9000"}
    register({"bucket": "virtual", "addressing": "virtual", **keys("K3"), **endpoint})
    config = objects.resolve("s3://virtual/x").store.config
    assert config["endpoint"] == "http://virtual.stores.example:9000"
    assert config["virtual_hosted_style_request"] == "true"


def test_another_bucket_is_none_of_them(register, monkeypatch):
    register({"bucket": "partner", "prefix": "a/", **keys("K")})
    monkeypatch.setenv("LANDLOOM_MANAGED_BUCKETS", "mine,partner")
    for uri in ("s3://mine/x", "s3://partner/b/x"):
        assert objects.resolve(uri).store.config["endpoint"] == "http://127.0.0.1:9"
    assert registered_buckets() == {"partner"}


def test_a_public_bucket_of_aws_is_not_looked_for_at_the_ambient_endpoint(register, monkeypatch):
    register()
    monkeypatch.setattr(buckets, "_bucket_region", lambda _: "eu-central-1")
    config = objects.resolve("s3://sentinel-cogs/x").store.config
    assert config["endpoint_url_s3"] == "https://s3.eu-central-1.amazonaws.com"
    assert config["skip_signature"] == "true"


def test_what_cannot_be_read_is_told_without_showing_it(monkeypatch):
    monkeypatch.setenv("LANDLOOM_BUCKETS", '[{"secret_access_key": "hush"}]')
    with pytest.raises(StoreProblem) as caught:
        objects.resolve("s3://any/x")
    assert "hush" not in str(caught.value)
