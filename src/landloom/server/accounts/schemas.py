"""Bodies about the caller and the organization."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from landloom.server.kit.camel import CamelAnswer, CamelModel
from landloom.server.kit.clock import WireInstant, WireTime
from landloom.server.kit.text import PlainText


class Policy(CamelModel):
    """One right, or its refusal."""

    id: str | None = None
    create_time: WireTime | None = None
    update_time: WireTime | None = None
    provider: Literal["WHEROBOTS", "AWS"]
    locator: str
    action: str
    effect: Literal["ALLOW", "DENY"]


class Role(CamelAnswer):
    """A named set of policies."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    organization_id: str
    policies: list[Policy]


class OrganizationCustomer(CamelAnswer):
    """A principal as others see it."""

    id: str
    create_time: WireTime
    update_time: WireTime
    email: str | None = None
    name: str | None = None
    roles: list[Role]


class HumanPrincipal(CamelAnswer):
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


class ServicePrincipal(CamelAnswer):
    """The caller, where it is a service."""

    id: str
    create_time: WireTime
    update_time: WireTime
    organization_id: str
    roles: list[Role]
    policies: list[Policy]
    deleted_at: WireTime | None = None
    name: str


class ApiKey(CamelAnswer):
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

    name: Annotated[PlainText, Field(min_length=1, max_length=50)]
    expires_at: WireInstant
    owned_by_id: PlainText | None = None
    """A principal of the organization; absent is the caller. Only administrators name others."""


class UpdateApiKeyRequest(CamelModel):
    """The body of `POST /apikey/{id}`."""

    expires_at: WireInstant


class FileStore(CamelAnswer):
    """The managed storage."""

    id: str
    create_time: WireTime
    update_time: WireTime
    bucket_name: str


class StorageIntegrationDetails(CamelAnswer):
    """Storage of the organization's own that is registered here."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    path: str
    region: str
    role_arn: str | None = None


class Organization(CamelAnswer):
    """The caller's organization."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    plan: Literal["COMMUNITY", "PROFESSIONAL", "BUILDER", "ENTERPRISE"] | None = None
    billing_contact: str | None = None
    wherobots_cloud_features: list[Literal["RUNS", "RASTERFLOW", "MICRO_RUNTIME"]] = [
        "RUNS",
        "RASTERFLOW",
        "MICRO_RUNTIME",
    ]
    users: list[OrganizationCustomer]
    services: list[OrganizationCustomer] = []
    roles: list[Role]
    storage_integrations: list[StorageIntegrationDetails] = []
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


type Name = Annotated[PlainText, Field(min_length=1, max_length=255)]
type Email = Annotated[PlainText, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]


class Member(OrganizationCustomer):
    """A principal as its administrators see it."""

    kind: Literal["HUMAN", "SERVICE"]
    disabled_at: WireTime | None = None
    """Since when its keys open nothing."""


class CreateMemberRequest(CamelModel):
    """The body of `POST /organization/users`."""

    name: Name
    email: Email | None = None
    """Required of people; services have none."""
    kind: Literal["HUMAN", "SERVICE"] = "HUMAN"
    roles: Annotated[list[Name], Field(max_length=100)] = ["User"]
    """Names of the organization's roles."""


class UpdateMemberRequest(CamelModel):
    """The body of `POST /organization/users/{id}`; what is absent stays as it is."""

    roles: Annotated[list[Name] | None, Field(max_length=100)] = None
    disabled: bool | None = None


class PolicyRequest(CamelModel):
    """A policy of a role."""

    action: Name
    locator: Name = "*"
    effect: Literal["ALLOW", "DENY"] = "ALLOW"
    provider: Literal["WHEROBOTS", "AWS"] = "WHEROBOTS"


class SetRoleRequest(CamelModel):
    """The body of `PUT /organization/roles/{name}`."""

    policies: Annotated[list[PolicyRequest], Field(max_length=1000)]


class OrganizationSummary(CamelAnswer):
    """An organization as the platform's operator sees it."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    state: Literal["ACTIVE", "SUSPENDED", "CLOSED", "EXPIRED"]
    operates: bool
    """Whether its administrators run the platform."""
    user_count: int
    """Principals, services among them."""


class CreateOrganizationRequest(CamelModel):
    """The body of `POST /organizations`: a name, and who administers it."""

    name: Name
    admin_name: Name
    admin_email: Email
    expires_at: WireInstant
    """When the administrator's first key ends."""


class CreateOrganizationResponse(OrganizationSummary):
    """An organization just made."""

    admin: Member
    key: str
    """The administrator's first key; it is shown here and never again."""


class UpdateOrganizationRequest(CamelModel):
    """The body of `POST /organizations/{id}`."""

    state: Literal["ACTIVE", "SUSPENDED"]
