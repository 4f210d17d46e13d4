"""Links to objects by the function that public notebooks import."""

import json
import subprocess
import sys
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

import wherobots
from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.store import buckets
from wherobots.tools.utility.s3_utils import get_url


@pytest.fixture
def job(monkeypatch):
    """The environment of a job, as far as signing looks at it."""
    for name in [name for name in buckets.os.environ if name.startswith(("AWS_", "USER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.test:8333")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("USER_S3_PATH", "s3://landloom/org/data/customer-1/")


@pytest.mark.usefixtures("job")
class TestGetUrl:
    def test_an_object_gets_a_link_that_expires(self):
        url = get_url("s3://landloom/org/data/a b.pmtiles", expires_in=timedelta(minutes=5))
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("https", "store.test:8333")
        assert parts.path == "/landloom/org/data/a%20b.pmtiles"
        query = parse_qs(parts.query)
        assert query["X-Amz-Expires"] == ["300"]
        assert query["X-Amz-Credential"][0].startswith("somebody/")
        assert "secret" not in url

    def test_an_hour_unless_told_otherwise(self):
        assert "X-Amz-Expires=3600" in get_url("s3a://landloom/x")

    def test_a_public_bucket_needs_no_signature(self, monkeypatch):
        monkeypatch.setattr(buckets, "_bucket_region", lambda _: "us-west-2")
        url = get_url("s3://public-of-a-test/a b.tif")
        assert url == "https://s3.us-west-2.amazonaws.com/public-of-a-test/a%20b.tif"
        buckets._public_store.cache_clear()

    def test_a_public_bucket_may_stand_in_the_host(self, monkeypatch):
        place = {"bucket": "open", "endpoint_url": "https://s3.test", "addressing": "virtual"}
        monkeypatch.setenv("LANDLOOM_BUCKETS", json.dumps([place]))
        assert get_url("s3://open/a b.tif") == "https://open.s3.test/a%20b.tif"

    def test_files_and_links_are_urls_already(self, tmp_path):
        file = tmp_path / "a b.txt"
        file.touch()
        assert get_url(file) == get_url(str(file)) == get_url(file.as_uri()) == file.as_uri()
        assert get_url("https://example.test/x?y=1") == "https://example.test/x?y=1"

    @pytest.mark.parametrize(
        ("path", "sentence"),
        [
            ("s3://bucket", "names no object"),
            ("s3:///key", "names no object"),
            ("gs://bucket/key", "gs:// is not a store"),
            ("/no/such/file", "no file '/no/such/file'"),
            ("", "no file ''"),
        ],
    )
    def test_what_is_no_object_is_refused(self, path, sentence):
        with pytest.raises(InvalidInput, match=sentence):
            get_url(path)

    def test_without_keys_a_line_says_so(self, monkeypatch):
        class Refusing(BaseHTTPRequestHandler):
            """The metadata service of a machine that may not ask it for keys."""

            def do_PUT(self):
                self.send_error(403)

            def log_message(self, *_): ...

        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as service:
            Thread(target=service.serve_forever).start()
            url = f"http://127.0.0.1:{service.server_port}"
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", url)
            try:
                with pytest.raises(StoreProblem, match="Cannot sign a URL of s3://b/k") as told:
                    get_url("s3://b/k")
            finally:
                service.shutdown()
        assert len(str(told.value).splitlines()) == 1
        assert "AWS_ACCESS_KEY_ID" in str(told.value)

    @pytest.mark.parametrize("seconds", [0, -1, 7 * 86400 + 1])
    def test_a_life_that_s3_does_not_sign_is_refused(self, seconds):
        with pytest.raises(InvalidInput, match="cannot expire in"):
            get_url("s3://landloom/x", expires_in=seconds)


def test_others_may_bring_parts_of_the_namespace(tmp_path):
    assert getattr(wherobots, "__file__", None) is None
    other = tmp_path / "wherobots" / "other"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("HERE = True\n")
    source = Path(next(iter(wherobots.__path__))).parent
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(source)!r}];"
        "import wherobots.other; from wherobots.tools.utility.s3_utils import get_url;"
        "print(wherobots.other.HERE, callable(get_url))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True"
