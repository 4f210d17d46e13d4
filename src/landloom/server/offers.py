"""What the operator offers: runtimes, regions and versions by name."""

from __future__ import annotations

from landloom.errors import Forbidden, InvalidInput
from landloom.server.launchers.runtimes import find_runtime
from landloom.server.settings import Settings


class Offers:
    """The operator's settings, asked for by name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def runtime(self, name: str) -> str:
        """Return a runtime's name as it is spelled today.

        Raises:
            InvalidInput: There is no such runtime.
            Forbidden: The operator has not enabled it.
        """
        runtime = find_runtime(name).name
        enabled = self._settings.enabled_runtimes
        if enabled and runtime not in enabled:
            raise Forbidden(
                f"The runtime {runtime!r} is not enabled here.",
                suggestion=f"Choose one of {', '.join(enabled)}.",
                field="runtime",
            )
        return runtime

    def region(self, name: str) -> str:
        """Return a region's name.

        Raises:
            InvalidInput: It is not allowed here.
        """
        if name not in self._settings.allowed_regions:
            raise InvalidInput(
                f"There is no region {name!r} here.",
                suggestion=f"Choose one of {', '.join(self._settings.allowed_regions)}.",
                field="region",
            )
        return name

    def version(self, name: str) -> str:
        """Return the version behind an alias.

        Raises:
            InvalidInput: There is no such version or alias.
        """
        versions = self._settings.versions
        if name in versions.values():
            return name
        if name not in versions:
            raise InvalidInput(
                f"There is no version {name!r} here.",
                suggestion=f"Choose one of {', '.join(sorted({*versions, *versions.values()}))}.",
                field="version",
            )
        return versions[name]
