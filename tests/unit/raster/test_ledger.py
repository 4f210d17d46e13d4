import pytest

from landloom.raster.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path / "notes"))


def test_gives_back_what_was_noted_in_the_order_asked(ledger):
    for number in range(20):
        ledger.note(f"0/{number}", {"valid_px": number, "skipped": ["a"]})
    names = [f"0/{number}" for number in reversed(range(20))]
    found = list(ledger.notes(names))
    assert [name for name, _ in found] == names
    assert [note["valid_px"] for _, note in found] == list(reversed(range(20)))


def test_a_task_without_a_note_has_none(ledger):
    ledger.note("here", {})
    assert dict(ledger.notes(["here", "gone"])) == {"here": {}, "gone": None}


def test_the_last_note_counts_and_clearing_leaves_nothing(ledger):
    ledger.note("a", {"n": 1})
    ledger.note("a", {"n": 2})
    assert dict(ledger.notes(["a"])) == {"a": {"n": 2}}
    ledger.clear()
    assert dict(ledger.notes(["a"])) == {"a": None}
