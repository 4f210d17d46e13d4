from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landloom.server.kit import clock
from landloom.server.kit.clock import from_wire, now, to_wire

instants = st.datetimes(
    min_value=datetime.fromisoformat("1900-01-01"),
    max_value=datetime.fromisoformat("2999-01-01"),
    timezones=st.just(UTC),
)


class TestWire:
    @given(instants)
    def test_comes_back(self, instant: datetime) -> None:
        assert from_wire(to_wire(instant)) == instant

    @given(instants, instants)
    def test_texts_sort_as_instants_do(self, one: datetime, other: datetime) -> None:
        assert (to_wire(one) < to_wire(other)) == (one < other)
        assert len(to_wire(one)) == 27

    @pytest.mark.parametrize(
        ("text", "wire"),
        [
            ("2024-05-06", "2024-05-06T00:00:00.000000Z"),
            ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09.000000Z"),
            ("2024-05-06T07:08:09.5+02:00", "2024-05-06T05:08:09.500000Z"),
            ("2024-05-06T07:08:09 02:00", "2024-05-06T05:08:09.000000Z"),
            ("2024-05-06 07:08:09", "2024-05-06T07:08:09.000000Z"),
            ("2024-05-06-07:08:09", "2024-05-06T07:08:09.000000Z"),
        ],
    )
    def test_reads_what_clients_write(self, text: str, wire: str) -> None:
        assert to_wire(from_wire(text)) == wire

    @pytest.mark.parametrize("text", ["", "soon", "2024-13-01", "0001-01-01T00:00:00+14:00", "12"])
    def test_refuses_the_rest(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            from_wire(text)


class TestNow:
    def test_goes_on_from_the_last_when_the_wall_clock_is_set_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class SetBack(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) - timedelta(hours=1)

        before = now()
        monkeypatch.setattr(clock, "datetime", SetBack)
        behind = [now() for _ in range(3)]
        assert before <= behind[0] < behind[1] < behind[2] < before + timedelta(minutes=1)
        monkeypatch.undo()
        assert behind[2] <= now() < before + timedelta(minutes=1)
