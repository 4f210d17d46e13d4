from __future__ import annotations

from collections.abc import Collection

import pytest
from tests.unit.server.db.rows import add_organization

from landloom.server.db import recent
from landloom.server.db.recent import Recent
from landloom.server.db.session import Database


class Asked:
    """Answers from a dictionary, and counts how often each key was asked for."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.keys: list[str] = []

    async def __call__(self, keys: Collection[str]) -> dict[str, str]:
        self.keys += keys
        return {key: self.answers[key] for key in keys if key in self.answers}


class TestRecent:
    async def test_an_answer_is_given_again(self, database: Database) -> None:
        kept, asked = Recent[str, str](database), Asked(a="1", b="2")
        assert await kept.get(["a"], asked) == {"a": "1"}
        assert await kept.get(["a", "b"], asked) == {"a": "1", "b": "2"}
        assert asked.keys == ["a", "b"]

    async def test_what_is_not_there_is_asked_for_each_time(self, database: Database) -> None:
        kept, asked = Recent[str, str](database), Asked()
        assert await kept.get(["a"], asked) == {}
        asked.answers = {"a": "new"}
        assert await kept.get(["a"], asked) == {"a": "new"}

    async def test_nothing_outlives_a_write_of_this_process(self, database: Database) -> None:
        kept, asked = Recent[str, str](database), Asked(a="old")
        await kept.get(["a"], asked)
        async with database.writing(None) as session:
            await add_organization(session)
            asked.answers = {"a": "new"}
        assert await kept.get(["a"], asked) == {"a": "new"}

    async def test_an_answer_from_before_a_write_is_not_kept(self, database: Database) -> None:
        kept, asked = Recent[str, str](database), Asked(a="new")

        async def ask(keys: Collection[str]) -> dict[str, str]:
            async with database.writing(None) as session:
                await add_organization(session)
            return dict.fromkeys(keys, "old")

        assert await kept.get(["a"], ask) == {"a": "old"}
        assert await kept.get(["a"], asked) == {"a": "new"}

    async def test_nothing_is_kept_for_long(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept, asked = Recent[str, str](database), Asked(a="1")
        monkeypatch.setattr(recent, "SECONDS", 0.0)
        await kept.get(["a"], asked)
        await kept.get(["a"], asked)
        assert asked.keys == ["a", "a"]
