"""The store's process, its closed doors and its users."""

import contextlib
import os
import socket
import ssl
import stat
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError
from tests.unit.stack.conftest import make_store

from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import s3_client
from landloom.server.storage.layout import UserStorage
from landloom.stack.identities import ADMIN
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.ports import GRPC_OFFSET
from landloom.stack.processes import ProcessRecord
from landloom.stack.storeadmin import EmbeddedStoreAdmin

BUCKET = "landloom"
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def client(store, keys):
    access = replace(store.config.access(ADMIN), credentials=keys)
    return s3_client(access, attempts=1, read_seconds=30)


def admin(store):
    return client(store, store.config.credentials(ADMIN))


class TestDoors:
    @pytest.mark.parametrize("part", ["master", "volume", "filer"])
    @pytest.mark.parametrize("path", ["/", "/dir/assign", "/status", f"/buckets/{BUCKET}/"])
    def test_plain_http_is_refused(self, store, part, path):
        port = getattr(store.config.ports, part)
        response = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
        assert response.status_code == 400
        assert "HTTPS" in response.text

    @pytest.mark.parametrize("part", ["master", "volume", "filer"])
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_tls_without_a_certificate_is_refused(self, store, part, method):
        port = getattr(store.config.ports, part)
        with pytest.raises(httpx.TransportError):
            httpx.request(
                method,
                f"https://127.0.0.1:{port}/buckets/{BUCKET}/x",
                verify=False,  # noqa: S501 - even to a caller who trusts it, it does not talk
                timeout=30,
            )

    @pytest.mark.parametrize("part", ["master", "volume", "filer", "s3"])
    def test_grpc_without_a_certificate_is_refused(self, store, part):
        port = getattr(store.config.ports, part) + GRPC_OFFSET
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        answer = b""
        # With TLS 1.3 the refusal comes after the handshake, with the first bytes.
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
            contextlib.suppress(ssl.SSLError, ConnectionError),
            context.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            connection.sendall(HTTP2_HELLO)
            answer = connection.recv(1024)
        assert answer == b""

    @pytest.mark.parametrize("part", ["master", "volume", "filer", "s3"])
    def test_grpc_in_the_clear_is_refused(self, store, part):
        port = getattr(store.config.ports, part) + GRPC_OFFSET
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
            raw.settimeout(30)
            raw.sendall(HTTP2_HELLO)
            answer = b""
            try:
                while piece := raw.recv(1024):
                    answer += piece
            except ConnectionError:
                pass
        # A TLS alert (0x15) or nothing; an HTTP/2 server would send its SETTINGS frame.
        assert answer[:1] in {b"", b"\x15"}

    def test_it_has_no_other_port(self, store):
        """What is tried here is every port there is."""
        ports = asdict(store.config.ports).values()
        process = store.process.process()
        listening = {
            each.laddr.port
            for each in process.net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        }
        assert listening == {*ports, *(port + GRPC_OFFSET for port in ports)}

    def test_its_sockets_are_for_its_own_user(self, store):
        made = {
            Path(each.laddr)
            for each in store.process.process().net_connections("unix")
            if each.laddr
        }
        assert made, "it has none"
        for each in made:
            open_to_all = each.stat().st_mode & 0o077
            passable = all(parent.stat().st_mode & 0o001 for parent in each.parents)
            assert not (open_to_all and passable), each

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_unsigned_s3_is_refused(self, store, method):
        for path in ("/", f"/{BUCKET}", f"/{BUCKET}/.landloom/probe"):
            response = httpx.request(method, store.config.endpoint_url + path, timeout=30)
            assert response.status_code in {400, 403, 405}, (method, path, response.text)

    def test_a_strangers_key_is_refused(self, store):
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client(store, Credentials("A" * 20, "b" * 40)).list_objects_v2(Bucket=BUCKET)

    def test_nobody_else_can_read_its_files(self, store):
        for folder in (store.config.data, store.config.config, store.config.sockets):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        secret = ["security.toml", "s3.json", "store.key", "ca.key"]
        for name in secret:
            assert stat.S_IMODE((store.config.config / name).stat().st_mode) == 0o600

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
    def test_another_user_of_the_machine_cannot_enter(self, store):
        config = store.config
        for path in (config.identities, config.config, config.data, config.sockets / "s3.sock"):
            tried = subprocess.run(
                ["/bin/sh", "-c", 'test -r "$0" || test -w "$0"', str(path)],
                user=65534,
                group=65534,
                extra_groups=[],
                check=False,
                timeout=30,
            )
            assert tried.returncode == 1, path


class TestUsers:
    async def test_a_user_has_its_prefixes_and_no_other(self, store):
        door = EmbeddedStoreAdmin(store)
        mine, shared = "org/data/customer-ann/", "org/data/shared/"
        ann = await door.ensure_user("ann", bucket=BUCKET, read_write=[mine, shared])
        ben = await door.ensure_user(
            "ben", bucket=BUCKET, read_write=["org/data/customer-ben/", shared]
        )
        as_ann = client(store, ann)
        as_ben = client(store, ben)

        as_ann.put_object(Bucket=BUCKET, Key=mine + "a.txt", Body=b"ann")
        as_ann.put_object(Bucket=BUCKET, Key=shared + "a.txt", Body=b"all")
        assert as_ben.get_object(Bucket=BUCKET, Key=shared + "a.txt")["Body"].read() == b"all"
        listed = as_ann.list_objects_v2(Bucket=BUCKET, Prefix=mine)
        assert [item["Key"] for item in listed["Contents"]] == [mine + "a.txt"]

        refused = {
            "get": lambda: as_ben.get_object(Bucket=BUCKET, Key=mine + "a.txt"),
            "put": lambda: as_ben.put_object(Bucket=BUCKET, Key=mine + "b.txt", Body=b""),
            "delete": lambda: as_ben.delete_object(Bucket=BUCKET, Key=mine + "a.txt"),
            "list": lambda: as_ben.list_objects_v2(Bucket=BUCKET, Prefix=mine),
            "list all": lambda: as_ben.list_objects_v2(Bucket=BUCKET),
            "list org": lambda: as_ben.list_objects_v2(Bucket=BUCKET, Prefix="org/data/"),
            "copy": lambda: as_ben.copy_object(
                Bucket=BUCKET,
                Key=shared + "stolen",
                CopySource={"Bucket": BUCKET, "Key": mine + "a.txt"},
            ),
            "multipart": lambda: as_ben.create_multipart_upload(Bucket=BUCKET, Key=mine + "m"),
            "bucket": lambda: as_ben.delete_bucket(Bucket=BUCKET),
            "new bucket": lambda: as_ben.create_bucket(Bucket="bens-own"),
            "policy": lambda: as_ben.get_bucket_policy(Bucket=BUCKET),
        }
        allowed = [name for name, attempt in refused.items() if not is_refused(attempt)]
        assert allowed == []

    async def test_one_organization_never_lists_anothers_objects(self, store):
        door = EmbeddedStoreAdmin(store)
        names = {}
        for organization in ("north", "south"):
            place = UserStorage(BUCKET, organization, f"user-of-{organization}")
            keys = await door.ensure_user(
                place.user_id, bucket=BUCKET, read_write=place.writable_prefixes
            )
            names[organization] = client(store, keys)
            for prefix in place.writable_prefixes:
                names[organization].put_object(Bucket=BUCKET, Key=f"{prefix}seen", Body=b"")
        for mine, theirs in (("north", "south"), ("south", "north")):
            s3 = names[mine]
            place = UserStorage(BUCKET, theirs, f"user-of-{theirs}")
            listings = [{}, {"Delimiter": "/"}, {"Prefix": theirs}, {"Prefix": mine[0]}]
            listings += [{"Prefix": theirs + "/", "Delimiter": "/"}, {"StartAfter": theirs}]
            listings += [{"Prefix": prefix} for prefix in place.writable_prefixes]
            for listing in listings:
                for call in (s3.list_objects_v2, s3.list_objects, s3.list_object_versions):
                    given = {key: value for key, value in listing.items() if key != "StartAfter"}
                    assert is_refused(lambda: call(Bucket=BUCKET, **given)), (call, given)  # noqa: B023
            assert is_refused(lambda: s3.list_multipart_uploads(Bucket=BUCKET))  # noqa: B023
            for prefix in place.writable_prefixes:
                key = {"Bucket": BUCKET, "Key": f"{prefix}seen"}
                assert is_refused(lambda: s3.get_object(**key))  # noqa: B023
                assert is_refused(lambda: s3.delete_object(**key))  # noqa: B023

    async def test_the_same_user_gets_the_same_keys(self, store):
        door = EmbeddedStoreAdmin(store)
        first = await door.ensure_user("cat", bucket=BUCKET, read_write=["org/cat/"])
        again = await EmbeddedStoreAdmin(store).ensure_user(
            "cat", bucket=BUCKET, read_write=["org/cat/"]
        )
        assert first == again

    async def test_rights_can_be_narrowed(self, store):
        door = EmbeddedStoreAdmin(store)
        keys = await door.ensure_user("dan", bucket=BUCKET, read_write=["org/dan/", "org/old/"])
        as_dan = client(store, keys)
        as_dan.put_object(Bucket=BUCKET, Key="org/old/x", Body=b"")
        await door.ensure_user("dan", bucket=BUCKET, read_write=["org/dan/"])
        poll_until_refused(lambda: as_dan.put_object(Bucket=BUCKET, Key="org/old/x", Body=b""))

    async def test_rights_that_are_withdrawn_are_gone_at_once_and_can_come_back(self, store):
        door = EmbeddedStoreAdmin(store)
        keys = await door.ensure_user("eve", bucket=BUCKET, read_write=["org/eve/"])
        as_eve = client(store, keys)
        mine = {"Bucket": BUCKET, "Key": "org/eve/x"}
        as_eve.put_object(**mine, Body=b"1")
        await door.withdraw_user("eve")
        assert is_refused(lambda: as_eve.get_object(**mine))
        assert is_refused(lambda: as_eve.put_object(**mine, Body=b"2"))
        await door.withdraw_user("eve")
        await door.withdraw_user("nobody")
        assert await door.ensure_user("eve", bucket=BUCKET, read_write=["org/eve/"]) == keys
        assert as_eve.get_object(**mine)["Body"].read() == b"1"

    async def test_a_bucket_is_made_once(self, store):
        door = EmbeddedStoreAdmin(store)
        await door.ensure_bucket("another")
        await door.ensure_bucket("another")
        names = [bucket["Name"] for bucket in admin(store).list_buckets()["Buckets"]]
        assert names.count("another") == 1


class TestProcess:
    def test_it_is_adopted_then_replaced_and_keeps_its_data(self, tmp_path):
        first = make_store(tmp_path)
        ports = first.config.ports
        try:
            assert first.ensure() == "started"
            admin(first).put_object(Bucket=BUCKET, Key="kept", Body=b"1")
            pid = first.process.pid

            # As after a SIGKILL of `up`: a new object over the same folder.
            again = make_store(tmp_path, (ports.master, ports.volume, ports.filer, ports.s3))
            assert again.ensure() == "adopted"
            assert again.process.pid == pid

            # Nothing noted down: found by its arguments. Another set-up: ended, not adopted.
            again.record.unlink()
            (again.config.config / "fingerprint").unlink()
            last = EmbeddedStore(again.config, BUCKET, again.log, again.record)
            assert last.ensure() == "restarted"
            assert last.process.pid != pid
            assert ProcessRecord.read(last.record) == last.process
            assert admin(last).get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"1"

            first._child.wait(60)
            assert last.end()
            assert not last.alive()
            assert not last.record.exists()
            assert not any(path.exists() for path in last.config.leftover_sockets)
        finally:
            make_store(tmp_path, (ports.master, ports.volume, ports.filer, ports.s3)).end()


def is_refused(attempt):
    try:
        attempt()
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "403"}
    return False


def poll_until_refused(attempt, tries=200):
    assert any(is_refused(attempt) for _ in range(tries))
