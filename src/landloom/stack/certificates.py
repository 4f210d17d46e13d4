"""Certificates of our own: an authority, the leaves it signs, and the files they live in.

Elliptic-curve P-256 throughout. Two authorities exist in a data folder: one for the embedded
store's inner connections (never shown to anyone), one for the API's TLS (given to clients as a
bundle).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from landloom.stack.files import write_private

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=397)  # the longest that browsers accept
RENEW_BEFORE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path

    def exists(self) -> bool:
        """Whether both files are there."""
        return self.certificate.is_file() and self.key.is_file()


def ensure_authority(identity: Identity, name: str) -> None:
    """Make a certificate authority in `identity`'s files, unless a usable one is there.

    Args:
        identity: Where certificate and key live; the key file is readable by its owner alone.
        name: Common name, shown by tools that list trusted authorities.
    """
    if identity.exists() and not expires_soon(identity.certificate):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(identity, certificate, key)


def ensure_leaf(
    authority: Identity, leaf: Identity, names: Iterable[str], life: timedelta | None = None
) -> bool:
    """Make a certificate for `names` in `leaf`'s files, unless a fitting one is there.

    It serves both ends of a connection (server and client authentication). It is made anew when it
    nears its end, when the names differ, or when another authority signed it.

    Args:
        authority: Who signs.
        leaf: Where the certificate and its key live.
        names: Host names and IP addresses, in any order.
        life: How long a new one is good for; None is `LEAF_LIFE`.

    Returns:
        Whether a new one was made.
    """
    wanted = set(names)
    issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    if leaf.exists() and _fits(leaf.certificate, wanted, issuer):
        return False
    signing_key = serialization.load_pem_private_key(authority.key.read_bytes(), password=None)
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{authority.key} is not an elliptic-curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    # OpenSSL compares names without case: one like the issuer's would look self-signed.
    subject = _name("Landloom server")
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(subject, issuer.subject, key, life or LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(wanted)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
        .sign(signing_key, hashes.SHA256())
    )
    _write(leaf, certificate, key)
    return True


def expires_soon(certificate: Path) -> bool:
    """Whether the certificate in this PEM file ends within `RENEW_BEFORE`, or has ended."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.not_valid_after_utc - datetime.now(UTC) < RENEW_BEFORE


def names_of(certificate: Path) -> set[str]:
    """Return the host names and IP addresses that the certificate in this PEM file is for."""
    return _names(x509.load_pem_x509_certificate(certificate.read_bytes()))


def _fits(path: Path, wanted: set[str], issuer: x509.Certificate) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if expires_soon(path) or _names(certificate) != wanted:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - whatever is wrong with the old one, a new one is made
        return False
    return True


def _names(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in found.get_values_for_type(x509.IPAddress)}
    return set(found.get_values_for_type(x509.DNSName)) | addresses


def _alternatives(names: set[str]) -> list[x509.GeneralName]:
    return [_alternative(name) for name in sorted(names)]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    identity: Identity, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(identity.key, pem)
    write_private(identity.certificate, certificate.public_bytes(serialization.Encoding.PEM))
