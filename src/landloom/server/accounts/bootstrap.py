"""The first organization, its administrator, and the key in `connection.env`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import Unauthorized
from landloom.server.accounts import repository
from landloom.server.accounts.directory import add_organization, add_principal, ensure_roles
from landloom.server.accounts.keys import Keys, add_key
from landloom.server.accounts.rights import ADMIN
from landloom.server.accounts.tables import User
from landloom.server.db.session import Database
from landloom.server.settings import Settings
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.layout import UserStorage

KEY_NAME: Final = "landloom up"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The administrator of this platform."""

    org_id: str
    user_id: str
    api_key: str = field(repr=False)
    principals: int = 1
    """How many the platform has that are not switched off."""


async def ensure_admin(
    settings: Settings, object_store: ObjectStoreAdmin, *, api_key: str | None = None
) -> Bootstrap:
    """Make the first organization, its admin, bucket and storage user, unless they are there.

    Args:
        settings: Names the database and the bucket.
        object_store: Gets the bucket and the user.
        api_key: The key handed out before, which only its holder knows. It is kept if it still is
            the admin's; a lost one is revoked and replaced. None looks into `connection.env`.

    Raises:
        Unavailable: The object store does not answer.
    """
    database = Database(settings.database)
    try:
        await database.migrate()
        async with database.writing(None) as session:
            user = await _admin(session)
            await session.flush()
            principals = await repository.count_active(session)
            shut_out = await repository.shut_out(session)
        key = _known_key(settings) if api_key is None else api_key
        if not await _opens(database, key, user.id):
            async with database.writing(None) as session:
                await repository.revoke_keys_named(session, user.id, KEY_NAME)
                key = add_key(
                    session,
                    organization_id=user.organization_id,
                    user_id=user.id,
                    name=KEY_NAME,
                ).key
    finally:
        await database.close()
    storage = UserStorage(settings.bucket, user.organization_id, user.id)
    await object_store.ensure_bucket(settings.bucket)
    await object_store.ensure_user(
        user.id, bucket=settings.bucket, read_write=storage.writable_prefixes
    )
    for user_id in shut_out:
        # A server that was killed may have left them their rights.
        await object_store.withdraw_user(user_id)
    return Bootstrap(user.organization_id, user.id, key, principals)


async def _admin(session: AsyncSession) -> User:
    organization = await repository.first_organization(session)
    if organization is not None:
        user = await repository.first_user(session, organization.id)
        if user is not None:
            await ensure_roles(session, organization.id)
            return user
    organization = organization or await add_organization(session, "landloom", operates=True)
    roles = await ensure_roles(session, organization.id)
    return await add_principal(
        session, organization.id, name="admin", email="admin@localhost", roles=[roles[ADMIN]]
    )


def _known_key(settings: Settings) -> str:
    with suppress(OSError, UnicodeError):
        text = (settings.data_dir / "connection.env").read_text(encoding="utf-8")
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "WHEROBOTS_API_KEY":
                return value.strip().strip("'\"")
    return ""


async def _opens(database: Database, key: str, user_id: str) -> bool:
    try:
        caller = await Keys(database).recognise(key)
    except Unauthorized:
        return False
    return caller.user_id == user_id and caller.run_id is None
