import pytest

from landloom.server.storage.addresses import PublicAddress

DOOR = PublicAddress(
    "https://first.example.org:9443", ("localhost", "10.0.0.7", "::1", "*.farm.example", "b.c")
)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("localhost:8080", "localhost"),
        ("LOCALHOST", "localhost"),
        ("10.0.0.7:1", "10.0.0.7"),
        ("[::1]:8080", "[::1]"),
        ("maps.farm.example:443", "maps.farm.example"),
        ("farm.example", "first.example.org"),
        ("a.b.farm.example", "first.example.org"),
        ("evil.example", "first.example.org"),
        ("", "first.example.org"),
        ("[::1", "first.example.org"),
        ("first.example.org", "first.example.org"),
    ],
)
def test_a_name_of_ours_is_told_and_no_other(host, told):
    assert DOOR.reached_by(host) == f"https://{told}:9443"


def test_a_port_that_goes_without_saying_stays_unsaid():
    assert PublicAddress("https://a.b/s3", ("c.d",)).reached_by("c.d:80") == "https://c.d/s3"
