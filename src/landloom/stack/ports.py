"""Ports on this machine: which are free, and a few that are.

The embedded store listens with gRPC on each of its HTTP ports + 10000, so a port for it is free
only if that one is too.
"""

from __future__ import annotations

import random
import socket

from landloom.errors import SetupProblem

GRPC_OFFSET = 10_000
"""SeaweedFS: the gRPC port of a part is its HTTP port plus this."""

_PICK_FROM = range(20_000, 22_768)
"""So that both a port and its gRPC port lie below Linux's ephemeral ports (32768 and up).

Outgoing connections of others would otherwise sit on our ports between two starts.
"""

_HIGHEST = 65_535


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` of `host` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that has ended linger and are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def pick(count: int, *, with_grpc: bool, taken: set[int] | None = None) -> list[int]:
    """Return `count` free ports of loopback, different ones on each call.

    Args:
        count: How many.
        with_grpc: Whether port + `GRPC_OFFSET` must be free too.
        taken: Ports that must not be chosen, free or not.

    Raises:
        SetupProblem: There are not enough.
    """
    used = set(taken or ())
    found: list[int] = []
    for port in random.sample(_PICK_FROM, len(_PICK_FROM)):
        wanted = {port, port + GRPC_OFFSET} if with_grpc else {port}
        if wanted & used or not all(is_free(each) for each in wanted):
            continue
        used |= wanted
        found.append(port)
        if len(found) == count:
            return found
    raise SetupProblem(
        f"There are no {count} free ports between {_PICK_FROM[0]} and {_PICK_FROM[-1]}.",
        suggestion="Name free ones with --port and --s3-port.",
    )


def require_free(port: int, *, host: str, option: str, with_grpc: bool = False) -> None:
    """Make sure that a port can be used.

    Args:
        port: The port.
        host: The address to listen on.
        option: The command-line option that names another port.
        with_grpc: Whether port + `GRPC_OFFSET` must be usable too.

    Raises:
        SetupProblem: It cannot; the message names the port and the option.
    """
    wanted = [port, port + GRPC_OFFSET] if with_grpc else [port]
    if wanted[-1] > _HIGHEST:
        raise SetupProblem(
            f"Port {port} is too high: the store also needs {port} + {GRPC_OFFSET}.",
            suggestion=f"Give {option} a port up to {_HIGHEST - GRPC_OFFSET}.",
        )
    for each in wanted:
        if not is_free(each, host):
            needed = "" if each == port else f" (the store's gRPC port for {port})"
            raise SetupProblem(
                f"Port {each}{needed} on {host} is taken or not allowed.",
                suggestion=f"End what uses it, or name another with {option}.",
            )
