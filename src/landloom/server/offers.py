"""What the operator offers: runtimes, regions and versions by name."""

from __future__ import annotations

from landloom.errors import Forbidden, InvalidInput
from landloom.server.launchers.environments import find_version
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
        runtime = self._settings.sizes.find(name).name
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
        return find_version(name, self._settings.locked_environments).version
