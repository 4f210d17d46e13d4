"""Files and variables by which jobs reach every place of their owner's, each with its own keys.

- AWS profiles, one a place: `default` is the managed storage, the others are called as their
  integrations are. For whatever takes a `profile`: boto3, s3fs, fsspec.
- GDAL's configuration with options by path (GDAL's "Run-time configuration: configuration file"),
  so that rasterio reads `s3://bucket/...` of an integration as it stands.
- LANDLOOM_BUCKETS, a JSON list, for the raster engine and for scripts of one's own.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from landloom.errors import InvalidInput
from landloom.server.storage.places import Source, StoreAccess

PROFILE: Final = "default"
"""Profile of the managed storage."""


def write_profiles(managed: StoreAccess, integrations: Sequence[Source], folder: Path) -> Any:
    """Write the files into `folder`; return the variables that name them.

    Raises:
        InvalidInput: A key or a name would break the files.
    """
    accesses = {PROFILE: managed} | {each.profile: each.access for each in integrations}
    _check(accesses.values())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config, credentials = folder / "aws-config", folder / "aws-credentials"
    _write_private(config, "".join(_config(*each) for each in accesses.items()))
    _write_private(credentials, "".join(_credentials(*each) for each in accesses.items()))
    variables = {
        "AWS_PROFILE": PROFILE,
        "AWS_CONFIG_FILE": str(config.absolute()),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials.absolute()),
    }
    if integrations:
        gdal = folder / "gdal-config"
        _write_private(gdal, "[credentials]\n" + "".join(map(_gdal, integrations)))
        variables |= {
            "GDAL_CONFIG_FILE": str(gdal.absolute()),
            "LANDLOOM_BUCKETS": json.dumps([_bucket(each) for each in integrations]),
        }
    return variables


def gdal_options(access: StoreAccess) -> dict[str, str]:
    """Return GDAL's options that say where a store is; it takes the endpoint without a scheme."""
    endpoint = urlsplit(access.endpoint_url)
    return {
        "AWS_S3_ENDPOINT": endpoint.netloc + endpoint.path.rstrip("/"),
        "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "TRUE" if access.addressing == "virtual" else "FALSE",
    }


def _config(profile: str, access: StoreAccess) -> str:
    section = PROFILE if profile == PROFILE else f"profile {profile}"
    return (
        f"[{section}]\n"
        f"region = {access.region}\n"
        f"endpoint_url = {access.endpoint_url}\n"
        "s3 =\n"
        f"    addressing_style = {access.addressing}\n"
    )


def _credentials(profile: str, access: StoreAccess) -> str:
    keys = access.credentials
    if keys is None:
        return ""
    token = f"aws_session_token = {keys.session_token}\n" if keys.session_token else ""
    return (
        f"[{profile}]\n"
        f"aws_access_key_id = {keys.access_key}\n"
        f"aws_secret_access_key = {keys.secret_key}\n"
        f"{token}"
    )


def _gdal(source: Source) -> str:
    """Return the options of one path; GDAL goes by the first section whose path fits."""
    access = source.access
    options = {
        "path": f"/vsis3/{source.bucket}/{source.prefix}",
        **gdal_options(access),
        "AWS_REGION": access.region,
        "AWS_DEFAULT_REGION": access.region,
    }
    if access.credentials is None:
        options["AWS_NO_SIGN_REQUEST"] = "YES"
    else:
        options |= {
            "AWS_ACCESS_KEY_ID": access.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": access.credentials.secret_key,
            "AWS_SESSION_TOKEN": access.credentials.session_token or "",
        }
    return f"[.{source.id}]\n" + "".join(f"{name}={value}\n" for name, value in options.items())


def _bucket(source: Source) -> dict[str, Any]:
    access = source.access
    keys = access.credentials
    return {
        "name": source.name,
        "profile": source.profile,
        "bucket": source.bucket,
        "prefix": source.prefix,
        "read_only": source.read_only,
        "endpoint_url": access.endpoint_url,
        "region": access.region,
        "addressing": access.addressing,
        "access_key_id": keys.access_key if keys else None,
        "secret_access_key": keys.secret_key if keys else None,
        "session_token": keys.session_token if keys else None,
    }


def _check(accesses: Any) -> None:
    for access in accesses:
        keys = access.credentials
        values: Iterator[str] = filter(
            None,
            (
                access.endpoint_url,
                access.region,
                *((keys.access_key, keys.secret_key, keys.session_token) if keys else ()),
            ),
        )
        if any(ord(character) < ord(" ") for value in values for character in value):
            raise InvalidInput(
                "A control character in the store's keys or names breaks its profile."
            )


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, at once: a running job may be reading the old one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
