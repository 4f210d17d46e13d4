"""Bodies of the Runs API."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    computed_field,
    model_validator,
)

from landloom.server.accounts.schemas import OrganizationCustomer
from landloom.server.kit.camel import CamelAnswer, CamelModel
from landloom.server.kit.clock import WireTime
from landloom.server.kit.text import PlainText, plain
from landloom.server.runs.requirements import check_name, check_version
from landloom.server.runs.spark import check_setting
from landloom.server.runs.states import AppStatus, RunStatus

_NAME_PATTERN: Final = r"^[a-zA-Z0-9_\-\.]+$"
_FILE_TYPES: Final = {".jar": "JAR", ".whl": "PYTHON_WHEEL", ".zip": "ZIP", ".json": "OTHER"}
DEFAULT_TIMEOUT_SECONDS: Final = 3600
_MOST_QUOTED: Final = 200


def _source_uri(text: str) -> str:
    text = plain(text.strip())
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+/.*[^/]", text, re.DOTALL):
        raise ValueError(f"{text[:_MOST_QUOTED]!r} is not the URI of a file in S3, s3://bucket/key")
    return text


def _or_default(default: Any) -> BeforeValidator:
    """Let null mean the default."""
    return BeforeValidator(lambda given: default if given is None else given)


def _settings(configs: dict[str, str]) -> dict[str, str]:
    for name, value in configs.items():
        try:
            check_setting(plain(name), plain(value))
        except ValueError as problem:
            raise ValueError(f"{name[:_MOST_QUOTED]!a}: {problem}") from None
    return configs


type Arguments = Annotated[list[PlainText], _or_default([])]
type SourceUri = Annotated[str, AfterValidator(_source_uri)]


class RunPythonPayload(CamelModel):
    """A Python script to run."""

    uri: SourceUri
    args: Arguments = []


class RunJarPayload(CamelModel):
    """A JAR to run."""

    uri: SourceUri
    args: Arguments = []
    main_class: PlainText | None = None


class PyPiDependency(CamelModel):
    """A package of the package index."""

    source_type: Literal["PYPI"] = "PYPI"
    library_name: Annotated[str, AfterValidator(check_name)]
    library_version: Annotated[str | None, AfterValidator(check_version)] = None


class FileDependency(CamelModel):
    """A file to bring along."""

    source_type: Literal["FILE"] = "FILE"
    file_path: PlainText

    @computed_field  # type: ignore[prop-decorator]
    @property
    def file_type(self) -> Literal["JAR", "PYTHON_WHEEL", "ZIP", "OTHER"]:
        """What the file is, by its extension."""
        return _FILE_TYPES[_extension(self.file_path)]  # type: ignore[return-value]

    @model_validator(mode="after")
    def _extension_is_known(self) -> Self:
        if _extension(self.file_path) not in _FILE_TYPES:
            raise ValueError(f"filePath must end in one of {', '.join(_FILE_TYPES)}")
        return self


def _extension(path: str) -> str:
    return path.lower()[path.rfind(".") :] if "." in path else ""


def _kind_of_dependency(given: Any) -> str:
    if isinstance(given, PyPiDependency | FileDependency):
        return given.source_type
    if not isinstance(given, dict):
        return "PYPI"
    default = "FILE" if "filePath" in given and "libraryName" not in given else "PYPI"
    return str(given.get("sourceType") or default)


type Dependency = Annotated[
    Annotated[PyPiDependency, Tag("PYPI")] | Annotated[FileDependency, Tag("FILE")],
    Discriminator(
        _kind_of_dependency,
        custom_error_type="source_type",
        custom_error_message="sourceType must be PYPI or FILE",
    ),
]


class RunEnvironment(CamelModel):
    """What a run needs around its script."""

    spark_driver_disk_gb: Annotated[int | None, Field(alias="sparkDriverDiskGB")] = None
    spark_executor_disk_gb: Annotated[int | None, Field(alias="sparkExecutorDiskGB")] = None
    spark_configs: Annotated[dict[str, str], AfterValidator(_settings), _or_default({})] = {}
    dependencies: Annotated[list[Dependency], _or_default([])] = []


class RunRequest(CamelModel):
    """What is asked for, and what is shown of it again."""

    runtime: str | None = None
    version: str | None = None
    run_python: RunPythonPayload | None = None
    run_jar: RunJarPayload | None = None
    environment: Annotated[
        RunEnvironment, _or_default(RunEnvironment()), Field(default_factory=RunEnvironment)
    ]


class CreateRunPayload(RunRequest):
    """The body of `POST /runs`."""

    name: Annotated[
        Annotated[str, Field(min_length=8, max_length=255, pattern=_NAME_PATTERN)] | None,
        WithJsonSchema(
            {"type": "string", "minLength": 8, "maxLength": 255, "pattern": _NAME_PATTERN}
        ),
    ] = None
    timeout_seconds: Annotated[int, Field(gt=0), _or_default(DEFAULT_TIMEOUT_SECONDS)] = (
        DEFAULT_TIMEOUT_SECONDS
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.run_python is None) == (self.run_jar is None):
            raise ValueError("give exactly one of runPython and runJar")
        return self


class RunPayload(RunRequest):
    """The request as it was understood: every default filled in."""

    runtime: str
    version: str
    name: str
    timeout_seconds: int
    region: str


class RunEventMeta(CamelModel):
    """When what an event tells of began and ended, Unix seconds."""

    start_timestamp: Annotated[int | None, Field(alias="start_timestamp")] = None
    end_timestamp: Annotated[int | None, Field(alias="end_timestamp")] = None


class KubeAppEvent(CamelAnswer):
    """Something that happened to a run."""

    id: str
    create_time: WireTime
    update_time: WireTime
    code: str
    message: str | None
    event_meta: RunEventMeta | None = None


class RunAppMeta(CamelAnswer):
    """What a workload is made of."""

    spark_ui_url: Annotated[str, Field(alias="spark_ui_url")] = ""
    spark_eventlogs_url: Annotated[str, Field(alias="spark_eventlogs_url")] = ""
    resolved_version: Annotated[str | None, Field(alias="resolved_version")] = None


class RunKubeApp(CamelAnswer):
    """The workload of a run."""

    id: str
    create_time: WireTime
    update_time: WireTime
    instance_id: str
    app_type: Literal["RUN"] = "RUN"
    status: AppStatus
    created_by_id: str | None
    api_payload: dict[str, Any] | None
    app_meta: RunAppMeta | None
    events: list[KubeAppEvent]
    cpu_usage: int = 0
    region_name: str
    message: str | None


class RunView(CamelAnswer):
    """A run."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    status: RunStatus
    triggered_by: OrganizationCustomer
    start_time: WireTime | None = None
    complete_time: WireTime | None = None
    kube_app: RunKubeApp | None = None
    payload: RunPayload
    region: str


class RunPage(CamelAnswer):
    """One page of runs, newest first."""

    items: list[RunView]
    total: int
    current_page: Annotated[str | None, Field(alias="current_page")] = None
    current_page_backwards: Annotated[str | None, Field(alias="current_page_backwards")] = None
    previous_page: Annotated[str | None, Field(alias="previous_page")] = None
    next_page: Annotated[str | None, Field(alias="next_page")] = None


class LogItem(CamelModel):
    """One line that a run printed."""

    timestamp: int
    """Unix time in milliseconds."""
    raw: str


class LogsResponse(CamelAnswer):
    """One page of lines; cursors count lines."""

    items: list[LogItem]
    current_page: Annotated[int, Field(alias="current_page")]
    next_page: Annotated[int | None, Field(alias="next_page")] = None
