"""Hosts: what a platform listens on, and the names by which it is reached there."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

import psutil

EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised here
ALWAYS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""What this machine calls itself; in every certificate."""

_ADDRESSES: Final = frozenset({socket.AF_INET, socket.AF_INET6})


def is_loopback(host: str) -> bool:
    """Say whether who listens on a host is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_of(host: str, port: int, *, secure: bool) -> str:
    """Return where who listens on a host and port is reached, at least from this machine."""
    reached = "127.0.0.1" if host in EVERYWHERE else host
    name = f"[{reached}]" if ":" in reached else reached
    return f"{'https' if secure else 'http'}://{name}:{port}"


def names_of(host: str, told: Iterable[str], *, secure: bool) -> tuple[str, ...]:
    """Return the names by which clients may reach who listens on a host, in lower case.

    Args:
        host: What is listened on.
        told: Further names, as the operator gave them.
        secure: Whether by TLS: then a name has to be in the certificate, which has those `told`.
    """
    names = {name.lower() for name in told}
    if host not in EVERYWHERE:
        names.add(host.lower())
    elif secure:
        names |= ALWAYS
    else:
        names |= ALWAYS | {socket.gethostname().lower(), *_own_addresses()}
    return tuple(sorted(names))


def _own_addresses() -> set[str]:
    return {
        each.address.partition("%")[0].lower()
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family in _ADDRESSES
    }
