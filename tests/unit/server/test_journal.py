"""The server's log, as a process of its own writes it."""

import subprocess
import sys

LISTS = """
import http.server, threading
from landloom.server import journal
from landloom.server.storage.admin import Credentials
from landloom.server.storage.lister import Lister
from landloom.server.storage.places import StoreAccess

class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass

journal.configure()
server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
threading.Thread(target=server.serve_forever, daemon=True).start()
keys = Credentials("AK", "SK", "TOKEN")
access = StoreAccess(f"http://127.0.0.1:{server.server_port}", "r", keys)
try:
    Lister().list(access, "bucket", {"list-type": "2"})
except Exception as problem:
    print(type(problem).__name__)
"""


def test_signed_urls_are_not_told():
    """Who reads one from the log may do what it says until it ends."""
    ended = subprocess.run(
        [sys.executable, "-c", LISTS], capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout.strip() == "NotFound"
    assert "X-Amz-Signature" not in ended.stderr
    assert "TOKEN" not in ended.stderr
