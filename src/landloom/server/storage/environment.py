"""The environment of a job: what its libraries need to find the object store, and nothing more.

Every library reads another variable, so all of them are set: AWS_ENDPOINT_URL[_S3] for botocore,
pyarrow URIs and polars; AWS_ALLOW_HTTP and AWS_VIRTUAL_HOSTED_STYLE_REQUEST for obstore;
AWS_S3_ENDPOINT (without a scheme), AWS_HTTPS and AWS_VIRTUAL_HOSTING for GDAL; a profile `default`
for s3fs. A bare `pyarrow.fs.S3FileSystem()` reads none of them. Storage integrations come as
further profiles; see `profiles`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from landloom import jobsite
from landloom.errors import InvalidInput
from landloom.server.storage.admin import Credentials
from landloom.server.storage.layout import UserStorage
from landloom.server.storage.places import Source, StoreAccess
from landloom.server.storage.profiles import gdal_options, write_profiles

_INHERITED: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
    # Ways to the outside, on networks that have but one.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    # What the operator chose for the engine; none of these holds a secret.
    "LANDLOOM_CATALOG",
    "LANDLOOM_DIVISIONS",
    "LANDLOOM_EXECUTOR",
    "LANDLOOM_MODELS",
    "LANDLOOM_PRECISION",
    "LANDLOOM_RUNTIME",
    "LANDLOOM_SHARD",
    "LANDLOOM_WORKERS",
    "NUMBA_CACHE_DIR",
    "RAY_ADDRESS",
)
_CA_VARIABLES: Final = (
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)


@dataclass(frozen=True, slots=True)
class StorageAccess:
    """How one user reaches the object store, and where in it they may work."""

    store: StoreAccess
    """The managed store, with the user's keys."""
    places: UserStorage
    """The user's own places in it."""
    integrations: Sequence[Source] = ()
    """Further places, each with keys of its own."""


def storage_environment(access: StorageAccess, profile_dir: Path) -> dict[str, str]:
    """Return every variable by which a library finds the store; write the profile they name.

    Raises:
        InvalidInput: A value would break the profile's files, or the endpoint is no URL.
    """
    store, places = access.store, access.places
    endpoint = urlsplit(store.endpoint_url)
    if endpoint.scheme not in {"http", "https"} or not endpoint.netloc:
        raise InvalidInput(f"The store's endpoint {store.endpoint_url!r} is not an http(s) URL.")
    secure = endpoint.scheme == "https"
    return {
        "USER_S3_PATH": places.user_path,
        "USER_S3_SHARED_PATH": places.shared_path,
        "USER_WAREHOUSE_PATH": places.warehouse_path,
        "LANDLOOM_MANAGED_BUCKETS": places.bucket,
        **write_profiles(store, access.integrations, profile_dir),
        **_keys(store.credentials),
        "AWS_REGION": store.region,
        "AWS_DEFAULT_REGION": store.region,
        "AWS_ENDPOINT_URL": store.endpoint_url,
        "AWS_ENDPOINT_URL_S3": store.endpoint_url,
        "AWS_ALLOW_HTTP": "false" if secure else "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        **gdal_options(store),
        "AWS_EC2_METADATA_DISABLED": "true",
        "CPL_VSIL_USE_TEMP_FILE_FOR_RANDOM_WRITE": "YES",
    }


def _keys(keys: Credentials | None) -> dict[str, str]:
    if keys is None:
        return {}
    token = {"AWS_SESSION_TOKEN": keys.session_token} if keys.session_token else {}
    return {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        **token,
    }


def ca_environment(bundle: Path | None) -> dict[str, str]:
    """Return the variables that make https clients trust `bundle`; none where there is none."""
    return dict.fromkeys(_CA_VARIABLES, str(bundle)) if bundle is not None else {}


def job_environment(
    storage: Mapping[str, str],
    *,
    api_key: str,
    landloom_url: str,
    run_id: str | None = None,
    ca_bundle: Path | None = None,
    python: Path | None = None,
    overlays: Sequence[Path] = (),
    server_environment: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment of a job or a workflow.

    Args:
        storage: From `storage_environment`.
        api_key: The run's own short-lived key.
        landloom_url: Where the API answers.
        run_id: The run, so that its workflows can be told to be its; None for a workflow.
        ca_bundle: Roots to trust, ours among them, where the platform speaks TLS.
        python: The interpreter of the job; its folder comes first on PATH.
        overlays: Folders of the run's own packages, first one first.
        server_environment: What the allow-list picks from; this process's own by default.
    """
    inherited = os.environ if server_environment is None else server_environment
    environment = {name: inherited[name] for name in _INHERITED if inherited.get(name)}
    if python is not None:
        path = environment.get("PATH", os.defpath)
        environment["PATH"] = os.pathsep.join([str(python.parent), path])
    environment |= storage
    environment |= ca_environment(ca_bundle)
    environment |= {
        "WHEROBOTS_API_KEY": api_key,
        "LANDLOOM_URL": landloom_url,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(map(str, [jobsite.hook_folder(), *overlays])),
    }
    if run_id is not None:
        environment["LANDLOOM_RUN_ID"] = run_id
    return environment
