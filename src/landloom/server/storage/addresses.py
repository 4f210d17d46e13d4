"""Where clients reach the store by presigned URLs: by the name by which they came to us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """Where the managed store is reached from outside, and what else that place is called."""

    url: str = ""
    """What clients are told whose own name for it is none of `names`."""
    names: Sequence[str] = ()
    """Hosts in lower case; `*.example.org` is any host one level below."""

    def reached_by(self, host: str) -> str:
        """Return the URL with the host that a client reaches us by, if it is one of ours.

        Whoever writes a request decides on its host: what is not ours is never told.

        Args:
            host: The request's `Host`, with or without a port, which is not looked at.
        """
        try:
            asked, parts = urlsplit(f"//{host}").hostname, urlsplit(self.url)
            port = parts.port
        except ValueError:
            return self.url
        if not asked or not {asked, f"*.{asked.partition('.')[2]}"}.intersection(self.names):
            return self.url
        name = f"[{asked}]" if ":" in asked else asked
        return parts._replace(netloc=name if port is None else f"{name}:{port}").geturl()
