"""Rows of accounts as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from landloom.server.accounts import schemas, tables
from landloom.server.storage.integrations.tables import StorageIntegration
from landloom.server.storage.layout import SCHEME


def principal(row: tables.User) -> schemas.OrganizationCustomer:
    """Return a user as others see it."""
    return schemas.OrganizationCustomer(**_shared(row))


def member(row: tables.User) -> schemas.Member:
    """Return a user as administrators see it."""
    fields = _shared(row) | {"kind": row.kind, "disabled_at": row.disabled_at}
    return schemas.Member(**fields)


def roles(rows: Iterable[tables.Role]) -> list[schemas.Role]:
    """Return roles with their policies."""
    return [
        schemas.Role(
            id=row.id,
            create_time=row.created_at,
            update_time=row.updated_at,
            name=row.name,
            organization_id=row.organization_id,
            policies=[schemas.Policy.model_validate(policy) for policy in row.policies],
        )
        for row in rows
    ]


def _shared(row: tables.User) -> dict[str, Any]:
    return {
        "id": row.id,
        "create_time": row.created_at,
        "update_time": row.updated_at,
        "email": row.email or None,
        "name": row.name,
        "roles": roles(row.roles),
    }


def integration_details(row: StorageIntegration) -> schemas.StorageIntegrationDetails:
    """Return a storage integration as the organization shows it."""
    return schemas.StorageIntegrationDetails(
        id=row.id,
        create_time=row.created_at,
        update_time=row.updated_at,
        name=row.name,
        path=f"{SCHEME}{row.bucket}/{row.prefix}",
        region=row.region,
        role_arn=row.role_arn,
    )
