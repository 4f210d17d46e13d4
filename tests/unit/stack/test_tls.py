"""The authority, the leaf and the bundle, used by real TLS on loopback."""

import socket
import ssl
import stat
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import certifi
import pytest

from landloom.errors import SetupProblem
from landloom.stack import certificates
from landloom.stack.certificates import Identity, ensure_authority, ensure_leaf, names_of
from landloom.stack.tls import ensure_tls


@contextmanager
def tls_server(leaf):
    """Greet one TLS connection after the other; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(leaf.certificate, leaf.key)

    def serve(listener):
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    connection.sendall(b"hello")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def greet(port, name, bundle):
    context = ssl.create_default_context(cafile=str(bundle))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=name) as connection,
    ):
        return connection.recv(5)


class TestEnsureTls:
    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "10.1.2.3", "api.example.org"])
    def test_each_name_is_trusted_through_the_bundle(self, tmp_path, name):
        made = ensure_tls(tmp_path, "10.1.2.3", ["API.example.org"], environ={})
        with tls_server(made.leaf) as port:
            assert greet(port, name, made.bundle) == b"hello"

    def test_other_names_and_other_roots_are_not(self, tmp_path):
        made = ensure_tls(tmp_path, "127.0.0.1", environ={})
        with tls_server(made.leaf) as port:
            with pytest.raises(ssl.SSLCertVerificationError, match="ostname"):
                greet(port, "other.example.org", made.bundle)
            with pytest.raises(ssl.SSLCertVerificationError):
                greet(port, "localhost", certifi.where())

    def test_the_bundle_keeps_public_and_the_operators_roots(self, tmp_path):
        extra = Identity(tmp_path / "corporate.pem", tmp_path / "corporate.key")
        ensure_authority(extra, "Corporate proxy")
        folder = tmp_path / "tls"
        folder.mkdir()
        made = ensure_tls(folder, "localhost", environ={"SSL_CERT_FILE": str(extra.certificate)})
        text = made.bundle.read_text()
        assert extra.certificate.read_text().strip() in text
        assert made.authority.read_text().strip() in text
        marker = "-----BEGIN CERTIFICATE-----"
        assert text.count(marker) == Path(certifi.where()).read_text().count(marker) + 2

    def test_a_sourced_connection_does_not_pile_up_bundles(self, tmp_path):
        first = ensure_tls(tmp_path, "localhost", environ={})
        before = first.bundle.read_text()
        again = ensure_tls(tmp_path, "localhost", environ={"SSL_CERT_FILE": str(first.bundle)})
        assert again.bundle.read_text() == before

    def test_it_is_kept_while_it_fits_and_renewed_when_names_change(self, tmp_path):
        first = ensure_tls(tmp_path, "127.0.0.1", ["a.example.org"], environ={})
        pem = first.leaf.certificate.read_bytes()
        authority = first.authority.read_bytes()
        ensure_tls(tmp_path, "127.0.0.1", ["a.example.org"], environ={})
        assert first.leaf.certificate.read_bytes() == pem
        ensure_tls(tmp_path, "127.0.0.1", ["b.example.org"], environ={})
        assert first.leaf.certificate.read_bytes() != pem
        assert "b.example.org" in names_of(first.leaf.certificate)
        assert first.authority.read_bytes() == authority

    def test_it_is_renewed_near_its_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(certificates, "LEAF_LIFE", timedelta(days=29))
        first = ensure_tls(tmp_path, "localhost", environ={})
        pem = first.leaf.certificate.read_bytes()
        monkeypatch.undo()
        ensure_tls(tmp_path, "localhost", environ={})
        assert first.leaf.certificate.read_bytes() != pem

    def test_it_is_renewed_under_a_new_authority(self, tmp_path):
        first = ensure_tls(tmp_path, "localhost", environ={})
        first.authority.unlink()
        again = ensure_tls(tmp_path, "localhost", environ={})
        with tls_server(again.leaf) as port:
            assert greet(port, "localhost", again.bundle) == b"hello"

    def test_private_keys_are_private(self, tmp_path):
        made = ensure_tls(tmp_path, "localhost", environ={})
        for key in (made.leaf.key, tmp_path / "ca.key"):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600

    @pytest.mark.parametrize("name", ["two words", "-x", "a..b", "https://a.b"])
    def test_what_is_no_host_name_is_refused(self, tmp_path, name):
        with pytest.raises(SetupProblem, match="is not a host name"):
            ensure_tls(tmp_path, "localhost", [name], environ={})


class TestEnsureLeaf:
    def test_it_says_whether_it_made_one(self, tmp_path):
        authority = Identity(tmp_path / "ca.pem", tmp_path / "ca.key")
        leaf = Identity(tmp_path / "a.pem", tmp_path / "a.key")
        ensure_authority(authority, "Test")
        assert ensure_leaf(authority, leaf, ["localhost"])
        assert not ensure_leaf(authority, leaf, ["localhost"])
