"""Queries on storage integrations; the session keeps them to one organization."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.storage.integrations.tables import StorageIntegration


async def all_of(session: AsyncSession) -> list[StorageIntegration]:
    """Return the session's organization's integrations, oldest first."""
    query = select(StorageIntegration).order_by(
        StorageIntegration.created_at, StorageIntegration.id
    )
    return list((await session.scalars(query)).all())


async def find(session: AsyncSession, integration_id: str) -> StorageIntegration | None:
    """Return an integration by its id."""
    query = select(StorageIntegration).where(StorageIntegration.id == integration_id)
    return (await session.scalars(query)).first()
