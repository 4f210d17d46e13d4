"""The store's door: the same store, by TLS, for those who hold a presigned URL."""

import asyncio
import contextlib
import os
import socket
import ssl
import threading

import httpx
import pytest

from landloom.server.storage.layout import UserStorage
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.presign import presigned_url
from landloom.stack.door import StoreDoor
from landloom.stack.ports import pick
from landloom.stack.storeadmin import EmbeddedStoreAdmin
from landloom.stack.tls import ensure_tls
from landloom.stack.up import _listen as listen

PLACE = UserStorage("landloom", "org", "door-user")


@contextlib.contextmanager
def opened(store_port, tls, **options):
    """Open a door in a thread of its own; yield its port."""
    ending, begun, loops = asyncio.Event(), threading.Event(), []

    async def serve(listener):
        loops.append(asyncio.get_running_loop())
        async with StoreDoor(store_port, tls, **options).serving(listener):
            begun.set()
            await ending.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(serve(listener)))
        thread.start()
        assert begun.wait(60)
        yield listener.getsockname()[1]
        loops[0].call_soon_threadsafe(ending.set)
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return ensure_tls(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def keys(store):
    admin = EmbeddedStoreAdmin(store)
    asyncio.run(admin.ensure_bucket(PLACE.bucket))
    return asyncio.run(
        admin.ensure_user(PLACE.user_id, bucket=PLACE.bucket, read_write=PLACE.writable_prefixes)
    )


@pytest.fixture
def client(tls):
    context = ssl.create_default_context(cafile=tls.bundle)
    with httpx.Client(verify=context, trust_env=False, timeout=30) as made:
        yield made


@pytest.fixture
def place(store, tls, keys):
    """What signs URLs of the door."""
    with opened(store.config.ports.s3, tls) as port:
        yield StoreAccess(
            store.config.endpoint_url, "us-east-1", keys, public_url=f"https://127.0.0.1:{port}"
        )


def test_objects_go_through_whole(place, client):
    body = os.urandom(12 << 20)
    for key, content in (("small ü", b"small"), ("large", body), ("empty", b"")):
        whole = PLACE.private_prefix + key
        put = presigned_url(place, "PUT", PLACE.bucket, whole, seconds=60)
        assert client.put(put, content=content).status_code == 200
        get = presigned_url(place, "GET", PLACE.bucket, whole, seconds=60)
        assert client.get(get).content == content
    part = presigned_url(place, "GET", PLACE.bucket, PLACE.private_prefix + "large", seconds=60)
    assert client.get(part, headers={"Range": "bytes=1-3"}).content == body[1:4]


def test_nothing_is_had_without_a_signature(place, client):
    url = presigned_url(place, "GET", PLACE.bucket, PLACE.private_prefix + "x", seconds=60)
    bare, _, query = url.partition("?")
    assert client.get(bare).status_code == 403
    assert client.put(url, content=b"x").status_code == 403
    other = bare.replace(PLACE.private_prefix, f"{PLACE.root_prefix}data/customer-other/")
    assert client.get(f"{other}?{query}").status_code == 403


def test_a_store_that_is_away_is_a_closed_connection(tls, client):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    with opened(nobody, tls) as port, pytest.raises(httpx.TransportError):
        client.get(f"https://127.0.0.1:{port}/")


def test_open_connections_do_not_hold_up_the_end(store, tls):
    context = ssl.create_default_context(cafile=tls.bundle)
    with (
        opened(store.config.ports.s3, tls) as port,
        socket.create_connection(("127.0.0.1", port)) as raw,
    ):
        context.wrap_socket(raw, server_hostname="127.0.0.1").sendall(b"GET / HTTP/1.1\r\n")


def test_who_takes_nothing_of_what_comes_is_let_go():
    """Else each of them keeps two connections for ever."""
    with (
        socket.create_server(("127.0.0.1", 0)) as store,
        opened(store.getsockname()[1], None, stalled_seconds=0.2) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answering, _ = store.accept()
        with answering:
            answering.settimeout(30)
            # More than all buffers between the two hold; whoever asked does not read.
            with pytest.raises(ConnectionError):
                answering.sendall(b" " * (256 << 20))


def test_answers_wait_for_no_acknowledgement():
    """Asyncio switches Nagle's algorithm off only where a socket names its protocol."""
    (port,) = pick(1, with_grpc=False)
    with listen("127.0.0.1", port) as listener:
        assert listener.proto == socket.IPPROTO_TCP
