"""The environment of runs and workflows, from the server's settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from landloom.server.settings import Settings
from landloom.server.storage.environment import (
    StorageAccess,
    job_environment,
    storage_environment,
)
from landloom.server.storage.places import Source


class ChildEnvironment:
    """Makes the environment of child processes; see `environment` for what is in it and why."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def for_run(
        self,
        sources: Sequence[Source],
        profile_dir: Path,
        *,
        api_key: str,
        run_id: str,
        python: Path,
        overlays: Sequence[Path],
    ) -> dict[str, str]:
        """Return the environment of a run's script; write the profiles it names.

        Args:
            sources: What its owner may reach, the managed storage first.
            profile_dir: Where the profiles go.
            api_key: The run's own.
            run_id: The run.
            python: Its interpreter.
            overlays: Folders of packages of its own.
        """
        return job_environment(
            storage_environment(self._access(sources), profile_dir),
            api_key=api_key,
            landloom_url=self._settings.public_url,
            run_id=run_id,
            ca_bundle=self._settings.ca_bundle,
            python=python,
            overlays=overlays,
            server_environment=self._inherited(),
        )

    def for_workflow(self, sources: Sequence[Source], profile_dir: Path) -> dict[str, str]:
        """Return the environment of a raster worker: no key, for it calls no API."""
        environment = job_environment(
            storage_environment(self._access(sources), profile_dir),
            api_key="",
            landloom_url=self._settings.public_url,
            ca_bundle=self._settings.ca_bundle,
            python=self._settings.job_python,
            server_environment=self._inherited(),
        )
        del environment["WHEROBOTS_API_KEY"], environment["LANDLOOM_URL"]
        return environment

    def _access(self, sources: Sequence[Source]) -> StorageAccess:
        managed, *integrations = sources
        storage = managed.storage
        if storage is None or managed.access.credentials is None:
            raise AssertionError("the managed storage comes first, with keys")
        return StorageAccess(managed.access, storage, integrations)

    def _inherited(self) -> dict[str, str]:
        """Return the server's environment with the settings' own paths laid over it."""
        settings = self._settings
        paths = {
            "LANDLOOM_MODELS": settings.models or settings.cache_dir / "models",
            "LANDLOOM_CATALOG": settings.catalog,
            "LANDLOOM_DIVISIONS": settings.divisions,
        }
        return {**os.environ, **{name: str(path) for name, path in paths.items() if path}}
