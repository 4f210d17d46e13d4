"""Listing where whoever answers means no good."""

import http.server
import threading

import pytest

from landloom.errors import Unavailable
from landloom.server.storage.lister import Lister
from landloom.server.storage.places import StoreAccess


class Endless(http.server.BaseHTTPRequestHandler):
    """Answers without an end: by drops, or by as much as is taken."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        chunk = b" " if "drops" in self.path else b" " * (1 << 20)
        try:
            while not self.server.ending.wait(0.05 if len(chunk) == 1 else 0):
                self.wfile.write(chunk)
        except OSError:
            pass

    def log_message(self, *_):
        """Be quiet."""


@pytest.fixture
def access():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.ending = threading.Event()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield StoreAccess(f"http://127.0.0.1:{server.server_port}", "r", None)
        server.ending.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("bucket", ["drops", "floods"])
def test_an_answer_without_an_end_is_broken_off(access, bucket):
    with pytest.raises(Unavailable, match="no end"):
        Lister(longest_seconds=0.5).list(access, bucket, {"list-type": "2"})
