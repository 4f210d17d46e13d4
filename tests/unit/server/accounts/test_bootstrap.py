from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.platform import FolderStore, make_settings

from landloom.errors import Unauthorized
from landloom.server.accounts.bootstrap import ensure_admin
from landloom.server.accounts.directory import add_principal
from landloom.server.accounts.keys import Keys
from landloom.server.db.session import Database
from landloom.server.kit.clock import now


class TestEnsureAdmin:
    async def test_the_second_time_all_is_as_it_was(self, tmp_path: Path) -> None:
        settings, store = make_settings(tmp_path), FolderStore(tmp_path / "store")
        first = await ensure_admin(settings, store)
        (tmp_path / "connection.env").write_text(f"A=b\nWHEROBOTS_API_KEY={first.api_key}\n")
        assert await ensure_admin(settings, store) == first
        assert (tmp_path / "store" / "landloom").is_dir()
        _, prefixes = store.rights[f"key-{first.user_id}"]
        assert prefixes == (
            f"{first.org_id}/data/customer-{first.user_id}/",
            f"{first.org_id}/data/shared/",
            f"{first.org_id}/notebooks/customer-{first.user_id}/",
            f"{first.org_id}/notebooks/shared/",
            f"{first.org_id}/spark-logs/",
        )
        assert first.api_key not in repr(first)

    async def test_who_was_switched_off_has_no_rights_after_a_start(self, tmp_path: Path) -> None:
        settings, store = make_settings(tmp_path), FolderStore(tmp_path / "store")
        first = await ensure_admin(settings, store)
        database = Database(settings.database)
        async with database.writing(None) as session:
            leaver = await add_principal(
                session, first.org_id, name="l", email="l@example.org", roles=[]
            )
            leaver.disabled_at = now()
        await database.close()
        await store.ensure_user(leaver.id, bucket=settings.bucket, read_write=["x/"])
        await ensure_admin(settings, store)
        assert set(store.rights) == {f"key-{first.user_id}"}

    async def test_a_lost_key_is_replaced_and_revoked(self, tmp_path: Path) -> None:
        settings, store = make_settings(tmp_path), FolderStore(tmp_path / "store")
        first = await ensure_admin(settings, store)
        second = await ensure_admin(settings, store)
        assert (second.org_id, second.user_id) == (first.org_id, first.user_id)
        database = Database(settings.database)
        keys = Keys(database)
        assert (await keys.recognise(second.api_key)).user_id == first.user_id
        with pytest.raises(Unauthorized):
            await keys.recognise(first.api_key)
        await database.close()
