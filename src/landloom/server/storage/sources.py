"""The storage sources of a caller: exactly one managed, and the organization's integrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol
from urllib.parse import unquote

from landloom.errors import BadRequest, Forbidden, InvalidInput, NotFound
from landloom.server.accounts import repository
from landloom.server.db.session import Database
from landloom.server.settings import Settings
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.layout import SCHEME, UserStorage, goes_up
from landloom.server.storage.places import MANAGED, Source, StoreAccess

MANAGED_ID: Final = "user_files"
"""Clients name the managed storage `user_files::<region>`, whatever the region."""

ORGANIZATION_ID: Final = "organization_files"
"""The managed storage again, from the organization's root on: ours, for what is shared."""


class Holder(Protocol):
    """Whose storage: a caller, or the owner of a run or workflow."""

    @property
    def organization_id(self) -> str:
        """The organization."""

    @property
    def user_id(self) -> str:
        """The principal."""


class Integrations(Protocol):
    """Where an organization's registered locations come from."""

    async def sources(self, organization_id: str) -> Sequence[Source]:
        """Return the organization's integrations, oldest first."""


class Sources:
    """Finds the places that a holder may reach, each with the keys to reach it by."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        object_store: ObjectStoreAdmin,
        integrations: Integrations | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._object_store = object_store
        self._integrations = integrations

    async def of(self, holder: Holder) -> list[Source]:
        """Return all sources of a holder, the managed one first.

        Raises:
            Unavailable: The managed store does not answer.
        """
        return [await self.managed(holder), *await self._integrated(holder)]

    async def managed(self, holder: Holder) -> Source:
        """Return the managed storage, with the holder's own keys.

        Raises:
            Forbidden: The holder is switched off.
            Unavailable: The store does not answer.
        """
        settings = self._settings
        async with self._database.reading(holder.organization_id) as session:
            organization, is_open = await repository.holder(session, holder.user_id)
        if not is_open:
            raise Forbidden(
                f"The user {holder.user_id} is switched off, and reaches no storage.",
                suggestion="An administrator can switch it on again.",
            )
        storage = UserStorage(settings.bucket, holder.organization_id, holder.user_id)
        credentials = await self._object_store.ensure_user(
            storage.user_id, bucket=storage.bucket, read_write=storage.writable_prefixes
        )
        region = organization.default_region or settings.default_region
        return Source(
            id=f"{MANAGED_ID}::{region}",
            name="Managed storage",
            kind=MANAGED,
            bucket=storage.bucket,
            prefix=storage.root_prefix,
            access=StoreAccess(
                endpoint_url=settings.s3_endpoint,
                region=settings.s3_region,
                credentials=credentials,
                addressing=settings.s3_addressing,
                public_url=settings.s3_public_endpoint or None,
            ),
            read_only=False,
            created_at=organization.created_at,
            updated_at=organization.created_at,
            region=region,
            storage=storage,
        )

    async def by_id(self, holder: Holder, source_id: str) -> Source:
        """Return the source of this id, which may be percent-encoded.

        Raises:
            NotFound: The holder has none by it.
            Unavailable: The managed store does not answer.
        """
        wanted = unquote(source_id)
        if wanted == MANAGED_ID or wanted.startswith(f"{MANAGED_ID}::"):
            return await self.managed(holder)
        if wanted == ORGANIZATION_ID:
            managed = await self.managed(holder)
            return replace(managed, id=wanted, start=managed.prefix)
        for source in await self._integrated(holder):
            if source.id == wanted:
                return source
        raise NotFound(
            f"There is no storage {wanted!r}.",
            suggestion="GET /storage lists what there is, each with its id.",
        )

    async def find(self, holder: Holder, bucket: str, key: str) -> Source:
        """Return the source that `bucket/key` lies in: the innermost of several.

        Raises:
            InvalidInput: The key has a level `.` or `..`.
            BadRequest: No source has this bucket, or none reaches as far as this key.
            Forbidden: It lies in the managed bucket, in another organization's part.
            Unavailable: The managed store does not answer.
        """
        if bucket == self._settings.bucket:
            return holding([await self.managed(holder)], bucket, key)
        return holding(await self._integrated(holder), bucket, key)

    async def _integrated(self, holder: Holder) -> list[Source]:
        if self._integrations is None:
            return []
        return list(await self._integrations.sources(holder.organization_id))


def holding(sources: Sequence[Source], bucket: str, key: str) -> Source:
    """Return the source that `bucket/key` lies in: the innermost of several.

    Raises:
        InvalidInput: The key has a level `.` or `..`.
        BadRequest: No source has this bucket, or none reaches as far as this key.
        Forbidden: It lies in the managed bucket, in another organization's part.
    """
    uri = f"{SCHEME}{bucket}/{key}"
    if goes_up(key):
        raise InvalidInput(
            f"{uri} has a level `.` or `..`, which names nothing.",
            suggestion="Name each folder as it is called.",
        )
    inside = [each for each in sources if each.holds(bucket, key)]
    if inside:
        return max(inside, key=lambda source: len(source.prefix))
    for source in sources:
        if source.storage is not None and source.bucket == bucket:
            raise Forbidden(
                f"{uri} lies outside of your organization's storage.",
                suggestion=f"Yours begins with {SCHEME}{bucket}/{source.prefix}.",
            )
    raise BadRequest(
        f"There was no storage source found for {uri}.",
        suggestion="Use the managed storage, or register the place as an integration.",
    )
