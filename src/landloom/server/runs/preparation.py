"""From a run's request to a workload: script, packages, environment, command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

from landloom.errors import InvalidInput
from landloom.server.accounts.keys import Keys
from landloom.server.kit.clock import now
from landloom.server.launchers.base import Workload
from landloom.server.launchers.dependencies import prepare_overlay, requirements_of
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import Allotment, clamp, find_runtime
from landloom.server.runs.schemas import RunPayload, RunPythonPayload
from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials, ObjectStoreAdmin
from landloom.server.storage.child import ChildEnvironment
from landloom.server.storage.layout import UserStorage, split_uri
from landloom.server.storage.objects import ObjectReader
from landloom.server.storage.patience import patiently

_SOURCE: Final = "script"
_KEY_MARGIN: Final = timedelta(minutes=10)
"""A run's key outlives its time limit by the grace of its ending; it is revoked at the end."""


@dataclass(frozen=True, slots=True)
class RunWork:
    """What driving a run needs to know of it."""

    id: str
    organization_id: str
    user_id: str
    status: str
    payload: RunPayload
    cancel_requested_at: datetime | None
    started_at: datetime | None


class Preparation:
    """Makes workloads of runs."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        machine: Machine,
        object_store: ObjectStoreAdmin,
        objects: ObjectReader,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._machine = machine
        self._object_store = object_store
        self._objects = objects
        self._children = ChildEnvironment(settings)

    def allot(self, runtime: str) -> Allotment:
        """Return what a runtime gets of this machine."""
        return clamp(find_runtime(runtime), self._machine)

    async def prepare(self, run: RunWork, directory: Path) -> tuple[Workload, tuple[str, ...]]:
        """Fetch the script and the packages; return the workload and what the installer printed.

        Repeating it is harmless: what an earlier attempt left is written anew.

        Raises:
            LandloomError: The source or a package cannot be had.
        """
        payload = run.payload
        source = _python_source(payload)
        requirements = requirements_of(
            [dependency.wire() for dependency in payload.environment.dependencies]
        )
        storage = UserStorage(self._settings.bucket, run.organization_id, run.user_id)
        script = _script_path(directory, source.uri)
        credentials = await self._fetch(storage, source.uri, script)
        overlay = await prepare_overlay(
            requirements, python=self._settings.job_python, cache_dir=self._settings.cache_dir
        )
        environment = self._children.for_run(
            storage,
            credentials,
            directory / "profile",
            api_key=await self._make_key(run),
            run_id=run.id,
            overlays=[overlay.folder] if overlay.folder else [],
        )
        size = self.allot(payload.runtime).runtime
        workload = Workload(
            id=run.id,
            directory=directory,
            argv=(str(self._settings.job_python), str(script), *source.args),
            env=environment,
            timeout_seconds=payload.timeout_seconds,
            cpus=size.cpus,
            memory_bytes=size.memory_bytes,
            memory_limit=size.memory_bytes,
        )
        return workload, overlay.lines

    async def _fetch(self, storage: UserStorage, uri: str, script: Path) -> Credentials:
        """Fetch the script with its owner's keys; return these."""
        bucket, key = _bucket_and_key(uri)
        credentials = await patiently(
            lambda: self._object_store.ensure_user(
                storage.user_id, bucket=storage.bucket, read_write=storage.writable_prefixes
            )
        )
        await patiently(lambda: self._objects.download(credentials, bucket, key, script))
        return credentials

    async def _make_key(self, run: RunWork) -> str:
        key = await self._keys.create(
            organization_id=run.organization_id,
            user_id=run.user_id,
            name=f"run {run.id}",
            expires_at=now() + timedelta(seconds=run.payload.timeout_seconds) + _KEY_MARGIN,
            run_id=run.id,
        )
        return key.key


def _python_source(payload: RunPayload) -> RunPythonPayload:
    if payload.run_python is None:
        raise InvalidInput(
            "This server cannot run JARs: it has no Spark.",
            suggestion="Submit a Python script with runPython.",
        )
    return payload.run_python


def _script_path(directory: Path, uri: str) -> Path:
    """Return where the script is kept, under its own name: scripts print it, and read argv[0]."""
    folder = directory / _SOURCE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = PurePosixPath(uri).name
    # What no file may be called, and what is longer than a file's name may be.
    if name in {"", ".", ".."} or len(os.fsencode(name)) > 255:  # noqa: PLR2004 - NAME_MAX
        name = "script.py"
    return folder / name


def _bucket_and_key(uri: str) -> tuple[str, str]:
    parts = split_uri(uri)
    if parts is None:
        raise InvalidInput(f"{uri!r} is not the URI of a file in S3, s3://bucket/key.")
    return parts


def run_work(row: Any) -> RunWork:
    """Return what driving needs of a run's row."""
    return RunWork(
        id=row.id,
        organization_id=row.organization_id,
        user_id=row.user_id,
        status=row.status,
        payload=RunPayload.model_validate(row.payload),
        cancel_requested_at=row.cancel_requested_at,
        started_at=row.started_at,
    )
