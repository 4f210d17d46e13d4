"""TLS of the API: our own authority, its certificate for this host, the bundle clients trust."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import certifi

from landloom.errors import SetupProblem
from landloom.stack.addresses import ALWAYS, EVERYWHERE
from landloom.stack.certificates import Identity, ensure_authority, ensure_leaf
from landloom.stack.files import write_private

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The files a TLS server and its clients need."""

    leaf: Identity
    authority: Path
    """Our authority's certificate alone, for a system's trust store."""
    bundle: Path
    """Public roots and our authority: what the CA variables name."""


def ensure_tls(
    folder: Path,
    host: str,
    names: Iterable[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> ServerTls:
    """Make or renew everything TLS needs, in `folder`.

    Args:
        folder: Exists, and is private.
        host: The address the API listens on.
        names: Further host names that clients will use.
        environ: Bundles that the operator's own variables name stay trusted too.

    Raises:
        SetupProblem: A name is not a host name.
    """
    wanted = {_normal(name) for name in ALWAYS | ({host} - EVERYWHERE) | set(names)}
    authority = Identity(folder / "ca.pem", folder / "ca.key")
    leaf = Identity(folder / "server.pem", folder / "server.key")
    bundle = folder / "bundle.pem"
    ensure_authority(authority, "Landloom authority")
    ensure_leaf(authority, leaf, wanted)
    write_private(bundle, _bundle(authority.certificate, bundle, environ), mode=0o644)
    return ServerTls(leaf, authority.certificate, bundle)


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(name):
        raise SetupProblem(
            f"{name!r} is not a host name.",
            suggestion="Give --tls-name a name such as landloom.example.org.",
        )
    return name.lower()


def _bundle(authority: Path, bundle: Path, environ: Mapping[str, str]) -> str:
    """Return certifi's roots, the operator's own, and ours, each once."""
    sources = [Path(certifi.where())]
    sources += [Path(environ[name]) for name in _BUNDLE_VARIABLES if environ.get(name)]
    found: dict[str, None] = {}
    for source in sources:
        # A sourced connection.env names our own bundle, perhaps of an authority long gone.
        if source != bundle and source.is_file():
            found |= dict.fromkeys(_PEM.findall(source.read_text(errors="replace")))
    found |= dict.fromkeys(_PEM.findall(authority.read_text()))
    return "\n".join(found) + "\n"
