"""What the operator offers, put into the words of the public clients."""

from __future__ import annotations

import math
import shutil
from typing import Any, Final

from landloom.server.hints import schemas
from landloom.server.launchers.runtimes import Runtime
from landloom.server.settings import Settings

_GB: Final = 1_000_000_000
_GIB: Final = 1 << 30


def config_hint(settings: Settings) -> schemas.JupyterConfigHint:
    """Return runtimes, regions, versions and bounds as they are configured."""
    free = shutil.disk_usage(settings.data_dir).free // _GB
    return schemas.JupyterConfigHint(
        disk_size_gb=schemas.IntHint(
            hint=free, min=0, description="Free on the platform's disk, which all runs share."
        ),
        versions=schemas.VersionHint(
            hint=_versions(settings), description="What `version` of a run may name."
        ),
        regions=schemas.RegionsHint(
            hint=[
                schemas.Region(region_name=name, enabled=True, availability="AVAILABLE")
                for name in settings.allowed_regions
            ],
            description="Labels: everything runs where the platform is.",
        ),
        runtimes=schemas.RuntimesHint(
            hint=[_runtime(runtime, settings) for runtime in settings.sizes]
        ),
        runtime_tags=schemas.RuntimeTagsHint(hint=["GPU", "HIMEM", "HICPU", "MATCHER"]),
        idle_timeout_minutes=schemas.IntHint(
            hint=settings.max_alive_hours * 60,
            max=settings.max_alive_hours * 60,
            description="Nothing is ended for being idle; this is the longest life of a run.",
        ),
    )


def _versions(settings: Settings) -> list[schemas.WherobotsVersion]:
    aliases: dict[str, list[str]] = {}
    for alias, version in settings.versions.items():
        aliases.setdefault(version, []).append(alias)
    return [
        schemas.WherobotsVersion(
            version=version,
            aliases=names,
            description=f"The environment {version}, also called {' and '.join(names)}.",
        )
        for version, names in aliases.items()
    ]


def _runtime(runtime: Runtime, settings: Settings) -> schemas.RuntimeHintItem:
    enabled = settings.enabled_runtimes
    gpus = f", {runtime.gpus} GPU" if runtime.gpus else ""
    fields: dict[str, Any] = {
        "id": runtime.name,
        "name": runtime.name,
        "description": (
            f"{runtime.cpus:g} cores, {runtime.memory_bytes / _GIB:g} GiB{gpus},"
            f" {runtime.spatial_units_per_hour:g} Spatial Units per hour"
        ),
        "size": runtime.size,
        "minimum_spatial_units_per_hour": math.floor(runtime.spatial_units_per_hour),
        "maximum_spatial_units_per_hour": math.ceil(runtime.spatial_units_per_hour),
        "tags": [runtime.tag] if runtime.tag else [],
        "enabled": not enabled or runtime.name in enabled,
        "instance_details": schemas.InstanceDetailsHint(gpu=runtime.gpus),
    }
    return schemas.RuntimeHintItem(**fields)
