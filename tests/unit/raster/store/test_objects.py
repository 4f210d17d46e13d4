"""Where URIs lead: per bucket, by the environment of the moment."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.engine.stac_api import send, serve_files

from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.store import buckets, objects


@pytest.fixture
def s3(monkeypatch):
    """A server that takes any S3 request and notes who asked for what."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            send(self, 200, b"bytes")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    for name in [name for name in buckets.os.environ if name.startswith(("AWS_", "USER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("USER_S3_PATH", "s3://landloom/org/data/customer-1/")
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


class TestBuckets:
    def test_a_managed_bucket_is_asked_at_the_endpoint_with_the_ambient_keys(self, s3):
        assert objects.read_bytes("s3://landloom/org/a b.parquet") == b"bytes"
        path, authorization = s3[0]
        assert path == "/landloom/org/a%20b.parquet"
        assert "Credential=somebody/" in authorization

    def test_new_keys_are_used_at_once(self, s3, monkeypatch):
        objects.read_bytes("s3://landloom/a")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
        objects.read_bytes("s3://landloom/a")
        assert "Credential=another/" in s3[1][1]

    def test_further_managed_buckets_are_named_by_a_variable(self, s3, monkeypatch):
        monkeypatch.setenv(buckets.MANAGED_BUCKETS, "archive, cold")
        assert buckets.managed_buckets() == {"landloom", "archive", "cold"}
        objects.read_bytes("s3://cold/a")
        assert s3[0][0] == "/cold/a"

    def test_its_host_names_the_bucket_where_the_store_wants_that(self, s3, monkeypatch):
        # obstore sends to a proxy what it would ask the host: nobody needs to know the name.
        monkeypatch.setenv("http_proxy", buckets.os.environ["AWS_ENDPOINT_URL"])
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000/")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store.invalid:9000/")
        monkeypatch.setenv("AWS_VIRTUAL_HOSTING", "TRUE")
        assert objects.read_bytes("s3://landloom/org/a b") == b"bytes"
        path, authorization = s3[0]
        assert path == "http://landloom.store.invalid:9000/org/a%20b"
        assert "Credential=somebody/" in authorization

    @pytest.mark.usefixtures("s3")
    def test_any_other_bucket_is_public_and_unsigned_in_its_own_region(self, monkeypatch):
        monkeypatch.setattr(buckets, "_bucket_region", lambda _: "us-west-2")
        store = objects.resolve("s3://sentinel-cogs-of-a-test/a/b.tif").store
        assert store.config["endpoint"] == "https://s3.us-west-2.amazonaws.com"
        assert store.config["skip_signature"] == "true"
        buckets._public_store.cache_clear()

    def test_a_bucket_whose_readers_pay_is_told_so(self, s3):
        uri = objects.requester_pays("s3://landloom/a.tif")
        assert objects.requester_pays(uri) == uri
        assert objects.read_bytes(uri) == b"bytes"
        assert s3[0][0] == "/landloom/a.tif"
        assert objects.resolve(uri).store.config["request_payer"] == "true"
        assert objects.requester_pays("https://data.test/a.tif") == "https://data.test/a.tif"

    @pytest.mark.usefixtures("s3")
    def test_to_pay_elsewhere_takes_keys_of_ones_own(self, monkeypatch):
        monkeypatch.setattr(buckets, "_bucket_region", lambda _: "us-west-2")
        uri = objects.requester_pays("s3://naip-of-a-test/a.tif")
        with pytest.raises(StoreProblem, match="LANDLOOM_AWS_ACCESS_KEY_ID"):
            objects.resolve(uri)
        monkeypatch.setenv("LANDLOOM_AWS_ACCESS_KEY_ID", "mine")
        monkeypatch.setenv("LANDLOOM_AWS_SECRET_ACCESS_KEY", "own")
        config = objects.resolve(uri).store.config
        assert config["access_key_id"] == "mine"
        assert config["request_payer"] == "true"
        assert config["endpoint"] == "https://s3.us-west-2.amazonaws.com"

    def test_without_an_endpoint_the_ordinary_chain_applies(self, s3, monkeypatch):
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        assert "endpoint" not in objects.resolve("s3://landloom/a").store.config
        assert s3 == []


class TestLocalAndHttp:
    def test_paths_and_file_uris_are_the_same_place(self, tmp_path):
        objects.write_bytes(str(tmp_path / "a b" / "c.bin"), b"abc")
        assert objects.read_bytes((tmp_path / "a b" / "c.bin").as_uri()) == b"abc"
        assert objects.exists(str(tmp_path / "a b" / "c.bin"))
        assert not objects.exists(str(tmp_path / "a b" / "d.bin"))
        assert list(objects.list_objects(str(tmp_path))) == [str(tmp_path / "a b" / "c.bin")]

    def test_a_stream_that_breaks_leaves_nothing(self, tmp_path):
        def stream():
            yield b"half"
            raise KeyError("gone")

        with pytest.raises(KeyError):
            objects.write_bytes(str(tmp_path / "x"), stream())
        assert not (tmp_path / "x").exists()

    def test_a_stream_in_work_is_not_listed(self, tmp_path):
        uri = str(tmp_path / "store" / "c" / "0")
        listed = []

        def pieces():
            yield b"a" * 100_000
            listed.extend(objects.list_objects(str(tmp_path / "store")))
            (file,) = (tmp_path / "store" / "c").iterdir()
            assert file.name.startswith("0#")
            yield b"b"

        objects.write_bytes(uri, pieces())
        assert listed == []
        assert list(objects.list_objects(str(tmp_path / "store"))) == [uri]
        assert objects.read_bytes(uri) == b"a" * 100_000 + b"b"

    def test_a_stream_may_read_from_stores_while_it_is_written(self, tmp_path):
        objects.write_bytes(str(tmp_path / "a"), b"abc")

        def stream():
            for _ in range(20):
                yield objects.read_bytes(str(tmp_path / "a"))

        objects.write_bytes(str(tmp_path / "b"), stream())
        assert objects.read_bytes(str(tmp_path / "b")) == 20 * b"abc"

    def test_a_stream_that_cannot_be_written_is_not_drawn_to_its_end(self, tmp_path):
        (tmp_path / "file").write_bytes(b"in the way")

        def stream():
            while True:
                yield bytes(1 << 20)

        with pytest.raises(StoreProblem, match="Cannot write"):
            objects.write_bytes(str(tmp_path / "file" / "x"), stream())

    def test_objects_are_copied_and_removed(self, tmp_path):
        data = bytes(range(256)) * 50_000
        objects.write_bytes(str(tmp_path / "s" / "a"), data)
        objects.copy_object(str(tmp_path / "s" / "a"), str(tmp_path / "t" / "u" / "b"))
        assert objects.read_bytes(str(tmp_path / "t" / "u" / "b")) == data
        objects.remove_objects(str(tmp_path / "t"))
        assert list(objects.list_objects(str(tmp_path))) == [str(tmp_path / "s" / "a")]
        with pytest.raises(StoreProblem, match=r"Cannot read .*none"):
            objects.copy_object(str(tmp_path / "none"), str(tmp_path / "b"))

    def test_a_signed_url_keeps_its_query(self):
        asked = []

        def answer(path):
            asked.append(path)
            return b"abc"

        with serve_files(answer) as url:
            assert objects.read_bytes(f"{url}/x/a.tif?sig=1%2F2&v=3") == b"abc"
        assert asked == ["x/a.tif?sig=1%2F2&v=3"]

    def test_503_is_asked_again(self):
        answers = [503, 503, b"abc"]
        with serve_files(lambda _: answers.pop(0)) as url:
            assert objects.read_bytes(f"{url}/a") == b"abc"

    def test_what_is_not_there_is_named(self, tmp_path):
        with pytest.raises(StoreProblem, match=r"nothing\.bin"):
            objects.read_bytes(str(tmp_path / "nothing.bin"))
        with serve_files(lambda _: 404) as url:
            with pytest.raises(StoreProblem, match=url):
                objects.read_bytes(f"{url}/a")
            assert not objects.exists(f"{url}/a")

    def test_another_scheme_is_refused(self):
        with pytest.raises(InvalidInput, match="gs://"):
            objects.resolve("gs://bucket/a")
