"""Which executor the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from landloom.errors import SetupProblem
from landloom.raster.execute.base import Executor
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.settings import EngineSettings


def executor_of(
    settings: EngineSettings, tell: Callable[[str], None] = lambda _text: None
) -> Executor:
    """Return the executor that the settings name; whoever asks closes it.

    Args:
        settings: The engine's surroundings.
        tell: Is told, from the thread of a map, why that does not go on.

    Raises:
        SetupProblem: It is Ray, and Ray is not installed.
        Unavailable: It is Ray, and there is no cluster at the address that the settings give.
    """
    if settings.executor == "local":
        return LocalExecutor(settings.workers)
    try:
        # Seconds of import, and an extra, that only clusters need.
        from landloom.raster.execute.ray import RayExecutor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise SetupProblem(
            "LANDLOOM_EXECUTOR=ray needs the package ray, which is not installed.",
            suggestion="Install it with: pip install 'landloom[ray]', or set"
            " LANDLOOM_EXECUTOR=local.",
        ) from error
    return RayExecutor(settings.ray_address, settings.workers, tell)
