import socket

import pytest

from landloom.stack.addresses import is_loopback, names_of, url_of

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), (EVERYWHERE, False), ("h.x", False)],
)
def test_what_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) is loopback


def test_who_listens_everywhere_is_reached_here():
    assert url_of(EVERYWHERE, 80, secure=False) == "http://127.0.0.1:80"
    assert url_of("::1", 443, secure=True) == "https://[::1]:443"


def test_names_by_tls_are_those_in_the_certificate():
    assert names_of("10.0.0.7", ["A.example"], secure=True) == ("10.0.0.7", "a.example")
    everywhere = names_of(EVERYWHERE, ["a.example"], secure=True)
    assert set(everywhere) == {"a.example", "localhost", "127.0.0.1", "::1"}


def test_without_tls_any_address_of_this_machine_will_do():
    names = names_of(EVERYWHERE, [], secure=False)
    assert "127.0.0.1" in names
    assert socket.gethostname().lower() in names
