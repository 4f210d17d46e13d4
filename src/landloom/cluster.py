"""Where a Ray cluster is: by the two variables that Ray itself reads, for server and engine alike.

A head listens at two doors. Its own port (HEAD:6379, or ray://HEAD:10001) takes tasks, its job
server (http://HEAD:8265) jobs; neither takes the other's. RAY_ADDRESS names either, and Ray's job
client prefers RAY_API_SERVER_ADDRESS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from landloom.errors import SetupProblem

_CLUSTER: Final = "RAY_ADDRESS"
_JOB_SERVER: Final = "RAY_API_SERVER_ADDRESS"


def job_address(environ: Mapping[str, str]) -> str | None:
    """Return where job runs are handed in; None where no variable says it."""
    return environ.get(_JOB_SERVER) or environ.get(_CLUSTER) or None


def sends_tiles(environ: Mapping[str, str]) -> bool:
    """Tell whether workflows compute their tiles on Ray."""
    return environ.get("LANDLOOM_EXECUTOR", "").strip().lower() == "ray"


def tile_address(environ: Mapping[str, str]) -> str | None:
    """Return where tiles are sent; None starts a Ray on this machine.

    Raises:
        SetupProblem: Only a job server is named, which takes none.
    """
    address = environ.get(_CLUSTER) or None
    named = address or environ.get(_JOB_SERVER) or ""
    if named.startswith(("http://", "https://")):
        raise SetupProblem(
            f"LANDLOOM_EXECUTOR=ray knows of the cluster only its job server, {named}, which takes"
            " no tiles.",
            suggestion=f"Set {_CLUSTER} to the cluster itself, HEAD:6379, and"
            f" {_JOB_SERVER} to its job server.",
        )
    return address
