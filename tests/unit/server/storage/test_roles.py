"""Keys of a role, from a store that understands only part of a policy."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from landloom.errors import Unavailable
from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.roles import Role
from landloom.server.storage.scopes import Scope

_MADE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>AK</AccessKeyId><SecretAccessKey>S</SecretAccessKey>
<SessionToken>T</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
_REFUSED = """<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameterValue</Code>
<Message>unsupported condition keys</Message></Error></ErrorResponse>"""


@pytest.fixture
def sts():
    """STS that, as MinIO's, takes no policy about listing uploads; yields a role and what it asks.

    Of the bucket `broken` it takes no policy at all.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            asked.append({name: each[0] for name, each in parse_qs(body).items()})
            policy = asked[-1]["Policy"]
            refused = "ListBucketMultipartUploads" in policy or ":::broken" in policy
            answer = (_REFUSED if refused else _MADE).encode()
            self.send_response(400 if refused else 200)
            self.send_header("content-type", "text/xml")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield (
            Role(
                "arn:aws:iam::000000000000:role/Lending",
                StoreAccess(url, "us-east-1", Credentials("A", "B")),
            ),
            asked,
        )
        server.shutdown()


def test_where_listing_uploads_cannot_be_bounded_keys_come_without_it(sts):
    role, asked = sts
    keys = role.lend(Scope("b", ("mine/",), writable=True), 900)
    assert (keys.access_key, keys.session_token) == ("AK", "T")
    assert [("Uploads" in each["Policy"]) for each in asked] == [True, False]
    assert all("s3:PutObject" in each["Policy"] for each in asked)
    assert all(each["DurationSeconds"] == "900" for each in asked)


def test_keys_to_read_are_asked_for_once(sts):
    role, asked = sts
    role.lend(Scope("b", ("mine/",)))
    assert len(asked) == 1
    assert "DurationSeconds" not in asked[0]


def test_a_policy_that_is_not_taken_at_all_is_told(sts):
    role, asked = sts
    with pytest.raises(Unavailable, match="unsupported condition"):
        role.lend(Scope("broken", ("mine/",), writable=True))
    assert len(asked) == 2
