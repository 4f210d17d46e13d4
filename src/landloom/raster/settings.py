"""What the engine needs to know of its surroundings, read once and passed in."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, get_args

import platformdirs

from landloom.cluster import tile_address
from landloom.errors import InvalidInput
from landloom.raster.execute.local import available_cores

type ExecutorName = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine's surroundings."""

    workers: int
    """Tiles computed at a time on this machine; a cluster has its own number."""
    catalog: Path | None
    """A TOML file whose datasets and recipes override or add to the built-in ones."""
    models: Path
    """Folder of registered and downloaded model files."""
    output_uri: str
    """Folder for outputs, ending in `/`."""
    shard: int = 2048
    """Side of one task on the output grid, pixels."""
    executor: ExecutorName = "local"
    """Where tiles are computed: on this machine's threads, or by Ray."""
    ray_address: str | None = None
    """Of the Ray cluster; None starts a Ray on this machine for the time of a workflow."""
    cache: str | None = None
    """Folder of the caller's own that remembers outputs, ending in `/`; None is no cache."""

    @classmethod
    def from_environment(cls, environ: dict[str, str] | None = None) -> Self:
        """Read the settings from variables (`LANDLOOM_*`, `USER_S3_PATH`, `RAY_ADDRESS`).

        Raises:
            InvalidInput: A variable holds something that cannot be used.
            SetupProblem: Tiles are Ray's to compute, and of Ray only its job server is named.
        """
        env = dict(os.environ) if environ is None else environ
        catalog = env.get("LANDLOOM_CATALOG")
        data = Path(platformdirs.user_data_dir("landloom"))
        executor = _executor(env)
        managed = env.get("USER_S3_PATH")
        folder = f"{managed.rstrip('/')}/rasterflow" if managed else str(Path.cwd() / "rasterflow")
        output = env.get("LANDLOOM_OUTPUT") or folder
        return cls(
            workers=_positive(env, "LANDLOOM_WORKERS", available_cores()),
            catalog=Path(catalog) if catalog else None,
            models=Path(env.get("LANDLOOM_MODELS") or data / "models"),
            output_uri=f"{output.rstrip('/')}/",
            shard=_positive(env, "LANDLOOM_SHARD", 2048),
            executor=executor,
            ray_address=tile_address(env) if executor == "ray" else None,
            # Beside the outputs of all workflows: a workflow's own folder would know only itself.
            cache=f"{output.rstrip('/')}/cache/",
        )

    def writing_to(self, output_uri: str) -> Self:
        """Return these settings with another output folder."""
        return replace(self, output_uri=output_uri.rstrip("/") + "/")


def _executor(env: dict[str, str]) -> ExecutorName:
    text = env.get("LANDLOOM_EXECUTOR", "").strip().lower() or "local"
    for name in get_args(ExecutorName.__value__):
        if text == name:
            known: ExecutorName = name
            return known
    raise InvalidInput(
        f"LANDLOOM_EXECUTOR={text!r} is no executor.",
        suggestion="Set it to local (this machine's threads) or ray, or unset it.",
    )


def _positive(env: dict[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit() or int(text) < 1:
        raise InvalidInput(
            f"{name}={text!r} is not a positive whole number.",
            suggestion=f"Unset it to use {default}, or give a number.",
        )
    return int(text)
