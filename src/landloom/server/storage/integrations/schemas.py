"""Bodies about storage integrations."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from landloom.server.kit.camel import CamelAnswer, CamelModel
from landloom.server.kit.text import PlainText
from landloom.server.storage.schemas import StorageSource

_LETTER: Final = re.compile("[A-Za-z]")
_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{3,63}")
_PATH: Final = re.compile(r"s3://([A-Za-z0-9._-]{3,63})(?:/(.*))?", re.DOTALL)
_ACCOUNT: Final = re.compile(r"\d{12}")
_REGION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?")
_SECRET_PLACES: Final = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))
"""Besides link-local ones, addresses where clouds hand out their machines' secrets."""
_ROLE: Final = re.compile(r"arn:[a-z0-9-]+:iam::\d*:role/[\w+=,.@/-]{1,512}")


def _printable(text: str) -> str:
    if any(ord(character) < ord(" ") or ord(character) == 127 for character in text):  # noqa: PLR2004 - DEL
        raise ValueError("must not hold control characters")
    return text


def _name(text: str) -> str:
    if not _LETTER.search(text):
        raise ValueError("must hold at least one of the letters A to Z or a to z")
    return text.strip()


def _path(text: str) -> str:
    found = _PATH.fullmatch(text)
    if found is None:
        raise ValueError("must be of the form s3://bucket/prefix, the bucket of 3 to 63 characters")
    if any(part in {".", ".."} for part in (found[2] or "").split("/")):
        raise ValueError("must not hold . or .. as a folder")
    return text


def _endpoint(text: str) -> str:
    """Refuse what is no endpoint, and addresses where clouds hand out their machines' secrets."""
    wanted = "must be a URL such as https://s3.example.org:9000"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as problem:
        raise ValueError(wanted) from problem
    address = _address(host)
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise ValueError(wanted)
    if address is None and not _HOST.fullmatch(host):
        raise ValueError(wanted)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must have no path: the bucket belongs into `path`")
    if address is not None and (address.is_link_local or address in _SECRET_PLACES):
        raise ValueError("must not be a link-local address, nor one where clouds tell secrets")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host stands for as it is; None of a name."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        try:
            # Resolvers take 2852039166 and 0xa9.0xfe.43518 for addresses as well.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return getattr(found, "ipv4_mapped", None) or found


def _region(text: str) -> str:
    """Refuse what would be more than a part of a host's name: regions are put into such."""
    if not _REGION.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, dashes and underscores")
    return text


def _role(text: str) -> str:
    if text and not _ROLE.fullmatch(text):
        raise ValueError("must be the ARN of a role, arn:aws:iam::123456789012:role/name")
    return text


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise ValueError("must be an AWS account id of 12 digits")
    return text


def is_bucket(text: str) -> bool:
    """Say whether a text can be the name of a bucket."""
    return _BUCKET.fullmatch(text) is not None


type _Text = Annotated[PlainText, AfterValidator(_printable)]
type AccountId = Annotated[str, AfterValidator(_account)]


class CreateIntegration(CamelModel):
    """The body of `POST /storage`. What the public API does not have is ours: keys, endpoints."""

    name: Annotated[_Text, Field(max_length=50), AfterValidator(_name)]
    path: Annotated[_Text, Field(min_length=6, max_length=512), AfterValidator(_path)]
    role_arn: Annotated[_Text, AfterValidator(_role)] | None = None
    """Role to assume: with the keys given here, else with the platform's own."""
    cloud_connection_id: PlainText | None = None
    """Not known here; ignored."""
    access_type: Literal["READ", "READ_WRITE"] | None = None
    """READ keeps everybody from writing through the platform; absent is READ_WRITE."""
    trusted_account_ids: Annotated[list[AccountId], Field(max_length=20)] = []
    endpoint_url: Annotated[_Text, Field(max_length=512), AfterValidator(_endpoint)] | None = None
    """Of any S3 store, without the bucket; absent is AWS."""
    region: Annotated[_Text, AfterValidator(_region)] | None = None
    """What requests are signed for; absent is asked of AWS."""
    addressing_style: Literal["path", "virtual"] | None = None
    """Where requests name the bucket; absent is `virtual` for AWS and `path` elsewhere."""
    access_key_id: Annotated[_Text, Field(min_length=1, max_length=255)] | None = None
    """With `secretAccessKey`; neither is a public bucket, read unsigned, unless a role is given."""
    secret_access_key: Annotated[SecretStr, Field(min_length=1, max_length=512)] | None = None
    """Kept sealed and never shown again."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("accessKeyId and secretAccessKey go together")
        return self

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self.path.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Empty, or ending with `/`."""
        key = self.path.removeprefix("s3://").partition("/")[2].strip("/")
        return f"{key}/" if key else ""


class StorageIntegrationAccess(CamelAnswer):
    """What a test of access found possible."""

    list_access: bool = False
    get_access: bool = False
    put_access: bool = False
    delete_access: bool = False
    problems: list[str] = []
    """What was not possible, and what the store said."""


class S3AccessApiResponse(CamelAnswer):
    """Who may read a place."""

    access_type: Literal["free", "requester_pays", "private"]


class StorageIntegration(StorageSource):
    """An integration, without its keys."""

    type: Literal["INTEGRATION"] = "INTEGRATION"
    endpoint_url: str
    addressing_style: Literal["path", "virtual"]
    profile: str
    """Name of the AWS profile by which runs reach it."""
    trusted_account_ids: list[str]
    """AWS accounts that `GET /storage/trust-relationship` names where it is asked for no others."""
    signed: bool
    """Whether there are keys; otherwise it is read as the public reads it."""
