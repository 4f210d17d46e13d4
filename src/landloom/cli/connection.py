"""Where the platform is and who asks: from the environment, a file, or a data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from landloom.errors import SetupProblem
from landloom.stack.connection import read_connection

_WAY = (
    "Source the connection file that `landloom up` wrote (set -a; . DIR/connection.env; set +a), "
    "or name it with --connection DIR/connection.env."
)


@dataclass(frozen=True, slots=True)
class Connection:
    """The variables by which a platform and its storage are reached."""

    variables: Mapping[str, str] = field(repr=False)
    source: str
    """Where they come from, for messages."""

    @classmethod
    def find(cls, file: Path | None = None, data: Path | None = None) -> Self:
        """Return the connection of a file, of a data folder, or of this process's environment.

        Raises:
            SetupProblem: The file cannot be read.
        """
        if file is None and data is not None:
            file = data / "connection.env"
        if file is None:
            return cls(dict(os.environ), "the environment")
        return cls(read_connection(file), str(file))

    def require(self, name: str) -> str:
        """Return a variable.

        Raises:
            SetupProblem: It is missing; the message says how to get it.
        """
        value = self.variables.get(name, "").strip()
        if not value:
            raise SetupProblem(f"{name} is not set in {self.source}.", suggestion=_WAY)
        return value

    @property
    def url(self) -> str:
        """Where the API answers."""
        return self.require("LANDLOOM_URL").rstrip("/")

    @property
    def api_key(self) -> str:
        """Who asks."""
        return self.require("WHEROBOTS_API_KEY")

    @property
    def ca_bundle(self) -> Path | None:
        """Roots to trust, if the connection names any."""
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            if value := self.variables.get(name):
                return Path(value)
        return None
