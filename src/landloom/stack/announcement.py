"""What `landloom up` is told, and what it tells once everything is up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line says."""

    data: Path
    host: str = "127.0.0.1"
    port: int | None = None
    s3_port: int | None = None
    tls: bool = False
    tls_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a user wants to know once everything is up."""

    api_url: str
    s3_url: str
    data: str
    connection_file: str
    store: str
    """started, adopted or restarted; external where somebody else runs it."""
    ca_file: str | None = None
    scoping: str = ""
    """Why the object store does not keep users to their prefixes; empty where it does."""
    isolation: str = ""
    """Why users are not isolated from one another; empty where they are."""
    exposed: bool = False
    """Whether keys may cross a network unencrypted."""
