"""From a run's request to a workload: script, files, packages, environment, command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

from landloom.errors import InvalidInput
from landloom.server.accounts.keys import Keys
from landloom.server.kit.clock import now
from landloom.server.kit.patience import patiently
from landloom.server.launchers.base import Workload
from landloom.server.launchers.dependencies import prepare_packages, requirements_of
from landloom.server.launchers.environments import (
    LockedEnvironment,
    ensure_environment,
    find_version,
)
from landloom.server.launchers.isolation import Isolation
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import Allotment, clamp, millicores
from landloom.server.launchers.seated import Seated
from landloom.server.runs.files import BroughtFiles, Copy, Files
from landloom.server.runs.schemas import (
    FileDependency,
    RunPayload,
    RunPythonPayload,
)
from landloom.server.runs.spark import spark_environment
from landloom.server.runs.states import HANDED_OVER, AppStatus, RunStatus
from landloom.server.settings import Settings
from landloom.server.storage.child import ChildEnvironment
from landloom.server.storage.layout import split_uri
from landloom.server.storage.objects import ObjectReader
from landloom.server.storage.places import INTEGRATION, Source
from landloom.server.storage.quota.service import Quota
from landloom.server.storage.sources import Sources, holding

_SOURCE: Final = "script"
_KEY_MARGIN: Final = timedelta(days=1)
"""A run's key outlives its time limit: the run may wait for room in a cluster before its time
begins. It is revoked at the end."""


@dataclass(frozen=True, slots=True)
class RunWork:
    """What driving a run needs to know of it."""

    id: str
    organization_id: str
    user_id: str
    status: str
    resolved_version: str
    payload: RunPayload
    cancel_requested_at: datetime | None
    created_at: datetime
    app_status: str

    @property
    def is_handed_over(self) -> bool:
        """Whether a launcher has it, or was about to have it when its server went."""
        return self.status == RunStatus.RUNNING or self.app_status in HANDED_OVER


class Preparation:
    """Makes workloads of runs."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        machine: Machine,
        sources: Sources,
        quota: Quota,
        objects: ObjectReader,
        isolation: Isolation | None = None,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._machine = machine
        self._sources = sources
        self._quota = quota
        self._objects = objects
        self._isolation = isolation
        self._children = ChildEnvironment(settings)
        self.millicores = millicores(settings.sizes, machine)
        """What a run of each runtime holds, in thousandths of a core."""

    def allot(self, runtime: str) -> Allotment:
        """Return what a runtime gets of this machine."""
        return clamp(self._settings.sizes.find(runtime), self._machine)

    def version(self, run: RunWork) -> str:
        """Return the version a run gets: the one it was promised unless that is gone."""
        try:
            return self._environment(run).version
        except InvalidInput:
            return run.resolved_version

    def _environment(self, run: RunWork) -> LockedEnvironment:
        offered = self._settings.locked_environments
        for environment in offered.values():
            if environment.version == run.resolved_version:
                return environment
        return find_version(run.payload.version, offered)

    async def prepare(self, run: RunWork, directory: Path) -> tuple[Workload, tuple[str, ...]]:
        """Fetch the script, files and packages; return the workload and what the installer printed.

        Repeating it is harmless: what an earlier attempt left is written anew.

        Raises:
            LandloomError: The source, a file or a package cannot be had.
        """
        payload = run.payload
        source = _python_source(payload)
        sources = await patiently(lambda: self._sources.of(run))
        await self._quota.expect_writes(run, seconds=payload.timeout_seconds)
        script = _script_path(directory, source.uri)
        await self._fetch(sources, *_bucket_and_key(source.uri), script)
        files = await self._bring_files(run, sources, directory)
        python, overlays, lines = await self._install(run, files)
        size = self.allot(payload.runtime).runtime
        environment = self._children.for_run(
            sources,
            directory / "profile",
            api_key=await self._make_key(run),
            run_id=run.id,
            python=python,
            overlays=[*files.archives, *overlays],
        )
        environment |= spark_environment(
            directory / "spark",
            configs=payload.environment.spark_configs,
            jars=files.jars,
            python=python,
            executors=size.spark_executors,
            buckets=[each for each in sources if each.kind == INTEGRATION],
        )
        workload = Workload(
            id=run.id,
            directory=directory,
            argv=(str(python), str(script), *source.args),
            env=environment,
            timeout_seconds=payload.timeout_seconds,
            cpus=size.cpus,
            memory_bytes=size.memory_bytes,
            memory_limit=size.memory_bytes,
            confined=True,
            gpus=size.gpus,
            documents=files.documents,
            owner=run.user_id,
            reads=(python.parents[1], *overlays),
        )
        return workload, lines

    async def _fetch(
        self, sources: Sequence[Source], bucket: str, key: str, destination: Path
    ) -> None:
        """Fetch an object from wherever its owner may reach, with the keys that are for there."""
        access = holding(sources, bucket, key).access
        await patiently(lambda: self._objects.download(access, bucket, key, destination))

    async def _bring_files(
        self, run: RunWork, sources: Sequence[Source], directory: Path
    ) -> BroughtFiles:
        async def fetch(bucket: str, key: str, destination: Path) -> None:
            await self._fetch(sources, bucket, key, destination)

        files = Files(
            fetch,
            directory,
            wheels=self._settings.cache_dir / "wheels",
            forbidden=self._settings.data_dir,
            copy=self._copier(run),
        )
        dependencies = run.payload.environment.dependencies
        return await files.bring(
            [each for each in dependencies if isinstance(each, FileDependency)]
        )

    def _copier(self, run: RunWork) -> Copy:
        """Return what copies a file of this machine: what the run itself might read."""
        isolation = self._isolation
        if isolation is None:
            return shutil.copyfile
        return lambda source, target: isolation.copy(run.user_id, source, target)

    async def _install(
        self, run: RunWork, files: BroughtFiles
    ) -> tuple[Path, list[Path], tuple[str, ...]]:
        """Return the run's interpreter, what to lay over it, and what the installer printed."""
        settings = self._settings
        base, made = await ensure_environment(
            self._environment(run),
            python=settings.job_python,
            cache_dir=settings.cache_dir,
        )
        asked = [each.wire() for each in run.payload.environment.dependencies]
        packages = await prepare_packages(
            [*requirements_of(asked), *map(str, files.wheels)],
            python=base,
            cache_dir=settings.cache_dir,
            apart=self._apart(run),
            build=self._isolation is None or settings.trust_users,
        )
        overlays = [packages.folder] if packages.folder else []
        return packages.python or base, overlays, (*made, *packages.lines)

    def _apart(self, run: RunWork) -> Seated | None:
        """Return what runs code that the run brings as its owner; None where users are trusted."""
        if self._isolation is None:
            return None
        return Seated(self._isolation, run.user_id, self._settings.workloads_dir)

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
        resolved_version=row.resolved_version,
        payload=RunPayload.model_validate(row.payload),
        cancel_requested_at=row.cancel_requested_at,
        created_at=row.created_at,
        app_status=row.app_status or AppStatus.PENDING,
    )
