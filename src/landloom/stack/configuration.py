"""The settings of a platform that `landloom up` starts, and what its users are told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from landloom.errors import SetupProblem
from landloom.server.accounts.bootstrap import Bootstrap
from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials
from landloom.server.storage.environment import (
    StorageAccess,
    ca_environment,
    storage_environment,
)
from landloom.server.storage.layout import UserStorage
from landloom.server.storage.places import StoreAccess


def make_settings(**decided: Any) -> Settings:
    """Return the settings: what is decided here, then what the environment says.

    Raises:
        SetupProblem: A variable cannot be used.
    """
    try:
        settings = Settings(**decided)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(["LANDLOOM", *map(str, first["loc"])]).upper()
        raise SetupProblem(
            f"{name} is not usable ({first['msg']}).", suggestion="Correct it, or unset it."
        ) from error
    # Workloads stand in folders of their own: a path relative to ours means nothing there.
    named = {name: getattr(settings, name) for name in ("catalog", "divisions", "models")}
    return settings.model_copy(
        update={name: path.absolute() for name, path in named.items() if path is not None}
    )


def has_external_store(data_dir: Path) -> bool:
    """Say whether LANDLOOM_S3_ENDPOINT names a store that somebody else runs.

    Raises:
        SetupProblem: A variable cannot be used.
    """
    return "s3_endpoint" in make_settings(data_dir=data_dir).model_fields_set


def connection_variables(
    settings: Settings, bootstrap: Bootstrap, keys: Credentials, profiles: Path
) -> dict[str, str]:
    """Return what a client needs as shell variables; write the profiles that they name.

    Args:
        settings: Of the platform.
        bootstrap: Its administrator, whose connection it is.
        keys: To the object store.
        profiles: Folder for AWS profiles.
    """
    place = UserStorage(settings.bucket, bootstrap.org_id, bootstrap.user_id)
    store = StoreAccess(settings.s3_endpoint, settings.s3_region, keys, settings.s3_addressing)
    return {
        "LANDLOOM_URL": settings.public_url,
        "WHEROBOTS_API_KEY": bootstrap.api_key,
        **storage_environment(StorageAccess(store, place), profiles),
        **ca_environment(settings.ca_bundle),
        # For `landloom models`: the same folder and catalogue as the engine's.
        "LANDLOOM_MODELS": str(settings.models or settings.cache_dir / "models"),
        **({"LANDLOOM_CATALOG": str(settings.catalog)} if settings.catalog else {}),
    }
