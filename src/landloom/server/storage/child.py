"""The environment of runs and workflows, from the server's settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials
from landloom.server.storage.environment import (
    StorageAccess,
    job_environment,
    storage_environment,
)
from landloom.server.storage.layout import UserStorage


class ChildEnvironment:
    """Makes the environment of child processes; see `environment` for what is in it and why."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def for_run(
        self,
        storage: UserStorage,
        credentials: Credentials,
        profile_dir: Path,
        *,
        api_key: str,
        run_id: str,
        python: Path,
        overlays: Sequence[Path],
    ) -> dict[str, str]:
        """Return the environment of a run's script; write the profile it names."""
        return job_environment(
            storage_environment(self._access(storage, credentials), profile_dir),
            api_key=api_key,
            landloom_url=self._settings.public_url,
            run_id=run_id,
            ca_bundle=self._settings.ca_bundle,
            python=python,
            overlays=overlays,
            server_environment=self._inherited(),
        )

    def for_workflow(
        self, storage: UserStorage, credentials: Credentials, profile_dir: Path
    ) -> dict[str, str]:
        """Return the environment of a raster worker: no key, for it calls no API."""
        environment = job_environment(
            storage_environment(self._access(storage, credentials), profile_dir),
            api_key="",
            landloom_url=self._settings.public_url,
            ca_bundle=self._settings.ca_bundle,
            python=self._settings.job_python,
            server_environment=self._inherited(),
        )
        del environment["WHEROBOTS_API_KEY"], environment["LANDLOOM_URL"]
        return environment

    def _access(self, storage: UserStorage, credentials: Credentials) -> StorageAccess:
        return StorageAccess(
            endpoint_url=self._settings.s3_endpoint,
            region=self._settings.s3_region,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            bucket=storage.bucket,
            user_path=storage.user_path,
            shared_path=storage.shared_path,
            warehouse_path=storage.warehouse_path,
        )

    def _inherited(self) -> dict[str, str]:
        """Return the server's environment with the settings' own paths laid over it."""
        settings = self._settings
        paths = {
            "LANDLOOM_MODELS": settings.models or settings.cache_dir / "models",
            "LANDLOOM_CATALOG": settings.catalog,
            "LANDLOOM_DIVISIONS": settings.divisions,
        }
        return {**os.environ, **{name: str(path) for name, path in paths.items() if path}}
