"""Bodies about the caller and the organization."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from landloom.server.kit.camel import CamelModel
from landloom.server.kit.clock import WireInstant, WireTime


class Policy(CamelModel):
    """One right, or its refusal."""

    id: str | None = None
    create_time: WireTime | None = None
    update_time: WireTime | None = None
    provider: Literal["WHEROBOTS", "AWS"]
    locator: str
    action: str
    effect: Literal["ALLOW", "DENY"]


class Role(CamelModel):
    """A named set of policies."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    organization_id: str
    policies: list[Policy]


class OrganizationCustomer(CamelModel):
    """A principal as others see it."""

    id: str
    create_time: WireTime
    update_time: WireTime
    email: str | None = None
    name: str | None = None
    roles: list[Role]


class HumanPrincipal(CamelModel):
    """The caller."""

    id: str
    create_time: WireTime
    update_time: WireTime
    organization_id: str
    roles: list[Role]
    policies: list[Policy]
    deleted_at: WireTime | None = None
    email: str
    name: str | None = None


class ServicePrincipal(CamelModel):
    """The caller, where it is a service."""

    id: str
    create_time: WireTime
    update_time: WireTime
    organization_id: str
    roles: list[Role]
    policies: list[Policy]
    deleted_at: WireTime | None = None
    name: str


class ApiKey(CamelModel):
    """A key as it is listed: enough to know it by, too little to use."""

    id: str
    create_time: WireTime
    update_time: WireTime
    partial_api_key: str
    """The old name of `preview`."""
    preview: str
    name: str
    valid: bool
    revoked: bool
    expires_at: WireTime
    created_by_id: str | None
    created_by: OrganizationCustomer | None
    owned_by: OrganizationCustomer | None = None


class CreateApiKeyResponse(ApiKey):
    """A key just made. Its clear text is shown here and never again."""

    key: str


class CreateApiKeyRequest(CamelModel):
    """The body of `POST /apikey`."""

    name: Annotated[str, Field(min_length=1, max_length=50)]
    expires_at: WireInstant
    owned_by_id: str | None = None
    """A principal of the organization; absent is the caller. Only administrators name others."""


class UpdateApiKeyRequest(CamelModel):
    """The body of `POST /apikey/{id}`."""

    expires_at: WireInstant


class FileStore(CamelModel):
    """The managed storage."""

    id: str
    create_time: WireTime
    update_time: WireTime
    bucket_name: str


class Organization(CamelModel):
    """The caller's organization."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    plan: str | None = None
    billing_contact: str | None = None
    wherobots_cloud_features: list[str] = ["RUNS", "RASTERFLOW", "MICRO_RUNTIME"]
    users: list[OrganizationCustomer]
    services: list[OrganizationCustomer] = []
    roles: list[Role]
    storage_integrations: list[dict[str, Any]] = []
    file_store: FileStore | None
    verified: bool = True
    domain: str | None = None
    domain_is_verified: bool = False
    saml_sso_status: Literal["ACTIVE", "INACTIVE", "PENDING", "FAILED"] = "INACTIVE"
    default_runtime: str
    default_region: str
    allowed_regions: list[str]
    deleted_at: WireTime | None = None
    last_state_change: WireTime | None = None
    state: Literal["ACTIVE", "SUSPENDED", "CLOSED", "EXPIRED"] = "ACTIVE"
