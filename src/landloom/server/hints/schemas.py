"""Bodies of `/me/jupyter/lab/config-hint`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from landloom.server.kit.camel import CamelAnswer

type RuntimeSize = Literal[
    "MICRO", "TINY", "SMALL", "MEDIUM", "LARGE", "XLARGE", "XXLARGE", "XXXXLARGE"
]
type RuntimeTag = Literal["GPU", "HIMEM", "HICPU", "MATCHER"]


class IntHint(CamelAnswer):
    """A number to propose, and its bounds."""

    hint: int
    min: int | None = None
    max: int | None = None
    description: str


class WherobotsVersion(CamelAnswer):
    """A version on offer and the other names it goes by."""

    version: str
    description: str
    aliases: list[str] = []


class VersionHint(CamelAnswer):
    """The versions on offer."""

    hint: list[WherobotsVersion]
    description: str


class Region(CamelAnswer):
    """A region by name."""

    region_name: str
    enabled: bool
    availability: Literal["AVAILABLE", "DEGRADED", "UNAVAILABLE", "DISABLED"]
    external_account_id: str | None = None


class RegionsHint(CamelAnswer):
    """The regions on offer."""

    hint: list[Region]
    description: str


class InstanceDetailsHint(CamelAnswer):
    """What is in a machine of a runtime."""

    gpu: int = 0
    gpu_type: Annotated[Literal["NVIDIA A10G"] | None, Field(alias="gpu_type")] = None
    gpu_vram: Annotated[int, Field(alias="gpu_vram")] = 0


class RuntimeHintItem(CamelAnswer):
    """A runtime."""

    id: str
    name: str
    description: str
    size: RuntimeSize
    minimum_spatial_units_per_hour: int
    """Rounded down to whole units."""
    maximum_spatial_units_per_hour: int
    """Rounded up to whole units."""
    tags: list[RuntimeTag] = []
    enabled: bool = True
    instance_details: InstanceDetailsHint


class RuntimesHint(CamelAnswer):
    """All runtimes."""

    hint: list[RuntimeHintItem]


class RuntimeTagsHint(CamelAnswer):
    """What runtimes are told apart by."""

    hint: list[RuntimeTag]


class JupyterConfigHint(CamelAnswer):
    """What a run or a notebook may ask for here."""

    disk_size_gb: Annotated[IntHint, Field(alias="diskSizeGB")]
    versions: VersionHint
    regions: RegionsHint
    runtimes: RuntimesHint
    runtime_tags: RuntimeTagsHint
    idle_timeout_minutes: IntHint
