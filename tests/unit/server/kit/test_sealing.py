"""Secrets at rest open with their key, for their place, and not otherwise."""

import stat
import threading

import pytest

from landloom.errors import SetupProblem, Unavailable
from landloom.server.kit.sealing import Sealer

ONE, OTHER = Sealer(bytes(range(32))), Sealer(bytes(range(1, 33)))


def test_what_is_sealed_opens_for_its_place_alone():
    sealed = ONE.seal("s3cr%t/é", place="row 1")
    assert ONE.open(sealed, place="row 1") == "s3cr%t/é"
    with pytest.raises(Unavailable, match="row 2 cannot be opened"):
        ONE.open(sealed, place="row 2")


def test_nothing_of_the_secret_or_the_key_shows():
    sealed = ONE.seal("visible", place="row")
    assert "visible" not in sealed
    assert ONE.key.hex() not in sealed + repr(ONE)
    assert sealed != ONE.seal("visible", place="row")


def test_another_key_is_named_with_the_way_out():
    with pytest.raises(Unavailable) as caught:
        OTHER.open(ONE.seal("s", place="row"), place="row")
    assert f"the key {ONE.name}" in caught.value.message
    assert OTHER.name in caught.value.message
    assert "LANDLOOM_SECRET_KEY_FILE" in caught.value.suggestion


@pytest.mark.parametrize("at", [3, 12, 20, -9])
def test_a_changed_character_is_seen(at):
    sealed = ONE.seal("secret", place="row")
    changed = list(sealed)
    changed[at] = "A" if changed[at] != "A" else "B"
    with pytest.raises(Unavailable):
        ONE.open("".join(changed), place="row")


class TestKeys:
    def test_a_file_is_made_for_its_owner_alone_and_kept(self, tmp_path):
        path = tmp_path / "new" / "secret-key"
        made = Sealer.from_file(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert Sealer.from_file(path) == made
        assert [each.name for each in path.parent.iterdir()] == ["secret-key"]

    def test_servers_that_start_together_agree(self, tmp_path):
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(Sealer.from_file(tmp_path / "key")))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len({each.key for each in found}) == 1

    @pytest.mark.parametrize("text", ["", "abc", "00" * 31, "zz" * 32])
    def test_what_is_no_key_is_refused_and_not_shown(self, tmp_path, text):
        path = tmp_path / "key"
        path.write_text(text)
        with pytest.raises(SetupProblem, match="64 hexadecimal digits") as caught:
            Sealer.from_file(path)
        assert not text or text not in str(caught.value)
