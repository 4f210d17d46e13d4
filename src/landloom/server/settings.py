"""What an operator decides about a server: one frozen object, passed in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from landloom.errors import SetupProblem
from landloom.server.kit.sealing import Sealer
from landloom.server.launchers.environments import LockedEnvironment, locked_environments
from landloom.server.launchers.runtimes import Runtimes, configured_runtimes
from landloom.server.storage.admin import Credentials

KNOWN_REGIONS = (
    "aws-us-west-2",
    "aws-us-east-1",
    "aws-us-east-2",
    "aws-eu-west-1",
    "aws-ap-south-1",
)
"""Regions that public clients name. Here they are labels: everything runs where the server is."""


class Settings(BaseSettings):
    """Settings of one server process. Each is also an environment variable `LANDLOOM_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="LANDLOOM_", frozen=True, extra="ignore")

    data_dir: Path
    """Holds the database, the workloads' folders and the caches; mode 0700."""
    instance: str = "main"
    """Name of this server process among those that share a database; it owns leases by it."""
    database_url: Annotated[str, Field(repr=False)] = ""
    """SQLAlchemy URL of an async driver; empty is SQLite at `data_dir/db/landloom.sqlite`."""

    public_url: str = "http://127.0.0.1:8080"
    """Where clients and jobs reach the API."""
    s3_endpoint: str = "http://127.0.0.1:8333"
    s3_region: str = "us-east-1"
    """Region that S3 clients sign for; nothing to do with the regions of runs."""
    s3_public_endpoint: str = ""
    """Where clients reach the store by presigned URLs; empty is `s3_endpoint`."""
    s3_public_names: tuple[str, ...] = ()
    """Other hosts that reach the same place; who asks by one of them is told that one."""
    s3_addressing: Literal["path", "virtual"] = "path"
    """Whether buckets are named in the path or in the host of the store's URLs."""
    s3_role_arn: str = ""
    """Role of an external store that users' temporary keys are made of; see `docs/isolation.md`."""
    s3_sts_endpoint: str = ""
    """Where an external store makes them; empty is `s3_endpoint`."""
    s3_session_seconds: Annotated[int, Field(ge=900, le=43_200)] = 43_200
    """How long users' temporary keys to an external store last; longer runs lose it."""
    bucket: str = "landloom"
    """Bucket of the managed storage."""
    admin_access_key: SecretStr = SecretStr("")
    admin_secret_key: SecretStr = SecretStr("")
    lending_seconds: Annotated[int, Field(ge=900, le=43_200)] = 3600
    """How long temporary keys of `POST /storage/credentials` last."""
    secret_key: SecretStr = SecretStr("")
    """Key that seals secrets at rest, 64 hexadecimal digits; empty uses `secret_key_file`."""
    secret_key_file: Path | None = None
    """File with that key; None is `secret-key` in the data folder, made at the first start."""
    aws_access_key_id: str = ""
    """AWS keys of the platform itself, which roles of storage integrations may trust."""
    aws_secret_access_key: SecretStr = SecretStr("")
    aws_session_token: SecretStr = SecretStr("")
    aws_principal: str = ""
    """ARN, or account id, of who those keys are: whom such roles are told to trust."""
    ca_bundle: Path | None = None
    """PEM bundle that jobs need to trust `public_url`; None without TLS."""

    job_python: Path = Path(sys.executable)
    """Interpreter of jobs and of raster workers."""
    catalog: Path | None = None
    divisions: Path | None = None
    models: Path | None = None

    launcher: Literal["local", "ray"] = "local"
    """Where job runs go: to this machine, or to the Ray cluster at RAY_ADDRESS."""
    ray_python: str = "python"
    """Command on the cluster's nodes for an interpreter that has `landloom`."""
    ray_away_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long the cluster may not answer before the runs on it are given up."""

    cpus: Annotated[float, Field(gt=0)] | None = None
    """Cores that runs may use together; None is all of the machine's."""
    memory_bytes: Annotated[int, Field(gt=0)] | None = None
    """Memory that runs may use together; None is decided from the machine's."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs that runs may use together; None is all of the machine's."""
    cgroup: Path | None = None
    """Control group in which runs' memory is limited; None tries that of the server itself."""
    isolation: Literal["auto", "require", "off"] = "auto"
    """Whether jobs run as operating-system users of their own: where root may, always, or never."""
    job_uids: Annotated[str, Field(pattern=r"^\d{3,9}-\d{3,9}$")] = "50000-59999"
    """Numbers of those users, first and last; the first is for trials."""
    job_reads: tuple[Path, ...] = ()
    """Further files and folders that isolated jobs need to read."""
    trust_users: bool = False
    """Let a second user in where users are not isolated from one another, and build packages that
    runs ask for from source, which is to run their code as the server."""
    workflow_slots: Annotated[int, Field(ge=1)] | None = None
    """Raster workflows at a time; None is one for each four cores, at least one."""
    workflow_argv: tuple[str, ...] = ()
    """Command that does a workflow, given the path of its request; empty is the raster worker."""
    workflow_timeout_seconds: Annotated[int, Field(gt=0)] = 24 * 3600

    temporary_days: Annotated[float, Field(gt=0)] | None = 7.0
    """How long outputs of workflows that named no bucket are kept; None is for ever."""
    log_days: Annotated[float, Field(gt=0)] | None = None
    """How long logs and figures of ended runs and workflows are kept; None is for ever."""
    user_quota_bytes: Annotated[int, Field(ge=0)] | None = None
    """What one user's own folders in managed storage may hold; None is no bound."""
    organization_quota_bytes: Annotated[int, Field(ge=0)] | None = None
    """What all of an organization's managed storage may hold; None is no bound."""
    storage_look_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How often what is stored may be measured at most; see `storage.quota.measuring`."""

    default_region: str = KNOWN_REGIONS[0]
    allowed_regions: tuple[str, ...] = KNOWN_REGIONS
    default_runtime: str = "tiny"
    enabled_runtimes: tuple[str, ...] = ()
    """Runtimes that may be asked for; empty is all of them."""
    runtimes: Path | None = None
    """TOML file that says what sizes mean here; see `launchers.runtimes`."""
    environments: dict[Literal["latest", "preview"], Path] = {}
    """Locked files of requirements that versions name; see `launchers.environments`."""
    usd_per_spatial_unit: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Price of a Spatial Unit; None is no price, and then no cost is shown."""
    max_alive_hours: Annotated[int, Field(ge=1)] = 24
    """Longest life of a run; longer timeouts are lowered to it."""

    lease_seconds: Annotated[float, Field(gt=0)] = 15.0
    """How long a silent server keeps a workload before another may take it."""
    poll_seconds: Annotated[float, Field(gt=0)] = 0.1
    """How often a running workload's folder is looked at."""

    @model_validator(mode="after")
    def _default_region_is_allowed(self) -> Self:
        if self.default_region not in self.allowed_regions:
            raise ValueError(
                f"default_region {self.default_region!r} is not among allowed_regions"
                f" {', '.join(self.allowed_regions)}"
            )
        return self

    @model_validator(mode="after")
    def _files_can_be_read(self) -> Self:
        """Meet a broken file at the start, not at the first run."""
        _ = self.sizes, self.locked_environments
        return self

    @property
    def job_uid_range(self) -> tuple[int, int]:
        """First and last number of operating-system users for jobs.

        Raises:
            SetupProblem: The range is empty, or would hold root.
        """
        first, _, last = self.job_uids.partition("-")
        if not 0 < int(first) < int(last):
            raise SetupProblem(
                f"LANDLOOM_JOB_UIDS={self.job_uids!r} is not a range of users' numbers.",
                suggestion="Give the first and the last, such as 50000-59999.",
            )
        return int(first), int(last)

    @property
    def sizes(self) -> Runtimes:
        """What each runtime means here."""
        return configured_runtimes(self.runtimes)

    @property
    def locked_environments(self) -> dict[str, LockedEnvironment]:
        """What `latest` and `preview` name."""
        return locked_environments({str(alias): file for alias, file in self.environments.items()})

    @property
    def versions(self) -> dict[str, str]:
        """Aliases of the `version` field and what each resolves to."""
        return {alias: each.version for alias, each in self.locked_environments.items()}

    @property
    def sealer(self) -> Sealer:
        """Seals secrets at rest; its key is never in the database."""
        given = self.secret_key.get_secret_value()
        if given:
            return Sealer.from_text(given, origin="LANDLOOM_SECRET_KEY")
        return Sealer.from_file(self.secret_key_file or self.data_dir / "secret-key")

    @property
    def aws_credentials(self) -> Credentials | None:
        """The platform's own keys to AWS; None where it has none."""
        secret = self.aws_secret_access_key.get_secret_value()
        if not (self.aws_access_key_id and secret):
            return None
        token = self.aws_session_token.get_secret_value() or None
        return Credentials(self.aws_access_key_id, secret, token)

    @property
    def database(self) -> str:
        """The database's URL, default filled in."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir}/db/landloom.sqlite"

    @property
    def workloads_dir(self) -> Path:
        """Folder of the workloads' folders."""
        return self.data_dir / "workloads"

    @property
    def cache_dir(self) -> Path:
        """Folder of what can be made again: models, overlays, compiled code."""
        return self.data_dir / "cache"
