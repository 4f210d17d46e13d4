"""`landloom up`: the store, then the API, until somebody asks for the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr

from landloom.errors import SetupProblem
from landloom.server import interpreter, journal
from landloom.server.accounts.admission import Admission
from landloom.server.accounts.bootstrap import Bootstrap, ensure_admin
from landloom.server.app import create_app
from landloom.server.launchers.isolation import Isolation, find_isolation, require_isolation
from landloom.server.settings import Settings
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.layout import UserStorage
from landloom.stack.addresses import EVERYWHERE, is_loopback, names_of, url_of
from landloom.stack.announcement import Announcement, UpOptions
from landloom.stack.configuration import (
    connection_variables,
    has_external_store,
    make_settings,
)
from landloom.stack.connection import write_connection
from landloom.stack.door import StoreDoor
from landloom.stack.externalstore import ExternalStore
from landloom.stack.files import private_file
from landloom.stack.identities import ADMIN
from landloom.stack.instance import BUCKET, Instance, Ports
from landloom.stack.objectstore import Outcome
from landloom.stack.ports import GRPC_OFFSET, is_free, pick, require_free
from landloom.stack.storeadmin import EmbeddedStoreAdmin
from landloom.stack.tls import ServerTls, ensure_tls
from landloom.stack.weed import LOOPBACK, StorePorts

_WATCH_SECONDS = 0.5
_RENEW_SECONDS = 24 * 3600
_GOODBYE_SECONDS = 5
"""What open requests get to finish."""

_LARGEST_OLD_LOG_BYTES = 16 << 20
_log = logging.getLogger(__name__)


def run(options: UpOptions, announce: Callable[[Announcement], None]) -> None:
    """Run the platform in this process until SIGTERM or Ctrl-C.

    Args:
        options: What to start, and where.
        announce: Called once, when the API answers.

    Raises:
        SetupProblem: Something on this machine is in the way.
    """
    instance = Instance.at(options.data)
    instance.prepare()
    with instance.lock():
        _log_to(instance.log_file)
        interpreter.settle()
        asyncio.run(_Platform(instance, options).run(announce))


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: the platform has one end, not two."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Platform:
    """Everything that lives between the start and the end of one `up`."""

    def __init__(self, instance: Instance, options: UpOptions) -> None:
        self._instance = instance
        self._options = options
        self._ports = _ports(instance, options)
        self._store = instance.store(self._ports.store)
        self._external = has_external_store(instance.folder)
        self._ending = asyncio.Event()
        self._door: StoreDoor | None = None

    async def run(self, announce: Callable[[Announcement], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        try:
            with _listen(self._options.host, self._ports.api) as listener:
                await self._run(listener, announce)
        finally:
            await asyncio.to_thread(self._store.end)
            _log.info("ended")

    def _end(self) -> None:
        self._ending.set()
        self._store.give_up()

    async def _run(self, listener: socket.socket, announce: Callable[[Announcement], None]) -> None:
        self._ports = await asyncio.to_thread(self._free_ports)
        self._store = self._instance.store(self._ports.store)
        self._instance.keep(self._ports)
        if self._ending.is_set():
            return
        tls = self._tls()
        settings = self._settings(tls)
        admin, outcome = await self._object_store(settings)
        bootstrap = await ensure_admin(settings, admin)
        isolation = await asyncio.to_thread(find_isolation, settings)
        require_isolation(settings, isolation)
        apart = None if isinstance(isolation, str) else isolation
        _log.info("jobs are isolated by: %s", apart.means if apart else f"nothing, {isolation}")
        Admission.of(settings, isolated=apart is not None, scoped=admin.can_scope).require_at_start(
            bootstrap.principals
        )
        await self._write_connection(settings, bootstrap, admin)
        server = _Server(self._uvicorn_config(settings, admin, apart, tls))
        announcement = Announcement(
            api_url=settings.public_url,
            s3_url=settings.s3_endpoint,
            data=str(self._instance.folder),
            connection_file=str(self._instance.connection_file),
            store=outcome,
            ca_file=str(tls.authority) if tls else None,
            scoping=admin.obstacle if isinstance(admin, ExternalStore) else "",
            isolation=isolation if isinstance(isolation, str) else "",
            exposed=tls is None and not is_loopback(self._options.host),
        )
        async with self._doors(tls):
            await self._serve(server, listener, lambda: announce(announcement))

    @contextlib.asynccontextmanager
    async def _doors(self, tls: ServerTls | None) -> AsyncIterator[None]:
        """Keep the store's door open, where it has one."""
        if not self._has_door:
            yield
            return
        self._door = StoreDoor(self._ports.store.s3, tls)
        with _listen(self._options.host, self._ports.door) as listener:
            async with self._door.serving(listener):
                yield

    @property
    def _has_door(self) -> bool:
        """Whether anybody may come that the store's own port is not for."""
        return not self._external and (self._options.tls or not is_loopback(self._options.host))

    async def _serve(
        self, server: _Server, listener: socket.socket, announce: Callable[[], None]
    ) -> None:
        serving = asyncio.create_task(_serve(server, listener))
        watching = asyncio.create_task(self._watch_store())
        beside = [
            asyncio.create_task(_when_started(server, announce)),
            asyncio.create_task(self._renew_tls(server)),
        ]
        ending = asyncio.create_task(self._until_the_end())
        try:
            done, _ = await asyncio.wait(
                {serving, watching, ending}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            server.should_exit = True
            for task in (watching, ending, *beside):
                task.cancel()
            # The API goes first: its last requests still find the store.
            await asyncio.gather(serving, watching, ending, *beside, return_exceptions=True)
        for task in done:
            task.result()

    async def _until_the_end(self) -> None:
        await self._ending.wait()

    async def _watch_store(self) -> None:
        """Start the store again whenever it dies.

        Raises:
            SetupProblem: It does not come up again.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._external:
                continue
            if not self._store.alive():
                _log.error("the object store has died; starting it again")
                await asyncio.to_thread(self._store.ensure)
                _log.info("the object store is up again")
            self._store.bound_log()

    async def _renew_tls(self, server: _Server) -> None:
        """Keep the API's certificate fresh; connections from then on see the new one."""
        while self._options.tls:
            await asyncio.sleep(_RENEW_SECONDS)
            tls = await asyncio.to_thread(self._tls)
            if self._door is not None:
                self._door.renew(tls)
            if tls is not None and server.config.ssl is not None:
                server.config.ssl.load_cert_chain(tls.leaf.certificate, tls.leaf.key)

    def _free_ports(self) -> Ports:
        """Make sure that nobody else sits on the store's ports, and return the ones to use."""
        door = self._ports.door
        if self._has_door and not (door and is_free(door, self._options.host)):
            store = self._ports.store
            (door,) = pick(1, with_grpc=False, taken={self._ports.api, store.s3})
            self._ports = replace(self._ports, door=door)
        store = self._ports.store
        if self._external:
            return self._ports
        left = self._store.left_behind()
        if left is not None:
            if self._store.is_current():
                return self._ports  # its ports are taken by itself
            self._store.end()
        require_free(store.s3, host=LOOPBACK, option="--s3-port", with_grpc=True)
        inner = {store.master, store.volume, store.filer}
        if all(is_free(port) and is_free(port + GRPC_OFFSET) for port in inner):
            return self._ports
        # Nobody but the store itself knows these: others do as well.
        taken = {self._ports.api, store.s3, store.s3 + GRPC_OFFSET}
        master, volume, filer = pick(3, with_grpc=True, taken=taken)
        return replace(self._ports, store=StorePorts(master, volume, filer, store.s3))

    def _tls(self) -> ServerTls | None:
        if not self._options.tls:
            return None
        return ensure_tls(self._instance.tls_folder, self._options.host, self._options.tls_names)

    def _settings(self, tls: ServerTls | None) -> Settings:
        decided: dict[str, Any] = {
            "data_dir": self._instance.folder,
            "public_url": url_of(self._options.host, self._ports.api, secure=tls is not None),
            "ca_bundle": tls.bundle if tls else None,
        }
        if not self._external:
            secret = self._store.config.secret
            decided |= {
                "s3_endpoint": self._store.config.endpoint_url,
                "s3_public_endpoint": self._public_endpoint(),
                "s3_public_names": names_of(
                    self._options.host, self._options.tls_names, secure=self._options.tls
                ),
                "s3_addressing": "path",
                "bucket": BUCKET,
                "admin_access_key": SecretStr(secret.access_key(ADMIN)),
                "admin_secret_key": SecretStr(secret.secret_key(ADMIN)),
            }
        return make_settings(**decided)

    async def _object_store(self, settings: Settings) -> tuple[ObjectStoreAdmin, Outcome]:
        """Return the store once it stores, and how it came up."""
        if self._external:
            external = ExternalStore(settings)
            await asyncio.to_thread(external.ensure)
            _log.info("users of the store are scoped: %s", external.obstacle or "yes")
            return external, "external"
        outcome = await asyncio.to_thread(self._store.ensure)
        _log.info("object store %s on port %d", outcome, self._ports.store.s3)
        return EmbeddedStoreAdmin(self._store), outcome

    def _public_endpoint(self) -> str:
        if not self._has_door:
            return ""
        # Who listens everywhere is reached by names: clients are told the one that they use, and if
        # it is not known, the first in the certificate.
        host = self._options.host
        names = [name for name in self._options.tls_names if "*" not in name]
        told = names[0] if names and host in EVERYWHERE else host
        return url_of(told, self._ports.door, secure=self._options.tls)

    async def _write_connection(
        self, settings: Settings, bootstrap: Bootstrap, admin: ObjectStoreAdmin
    ) -> None:
        if isinstance(admin, ExternalStore):
            # Temporary keys would end while the file stays; the operator has these anyway.
            keys = admin.operator
        else:
            place = UserStorage(settings.bucket, bootstrap.org_id, bootstrap.user_id)
            keys = await admin.ensure_user(
                bootstrap.user_id, bucket=settings.bucket, read_write=place.writable_prefixes
            )
        folder = self._instance.profile_folder
        variables = connection_variables(settings, bootstrap, keys, folder)
        write_connection(self._instance.connection_file, variables)

    def _uvicorn_config(
        self,
        settings: Settings,
        admin: ObjectStoreAdmin,
        isolation: Isolation | None,
        tls: ServerTls | None,
    ) -> uvicorn.Config:
        return uvicorn.Config(
            create_app(settings, admin, isolation=isolation),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
            ssl_certfile=tls.leaf.certificate if tls else None,
            ssl_keyfile=str(tls.leaf.key) if tls else None,
        )


async def _serve(server: _Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit as error:  # uvicorn's way of saying that the app's start-up failed
        raise SetupProblem(
            "The API did not start.", suggestion="Its log, server.log in the data folder, says why."
        ) from error


async def _when_started(server: _Server, announce: Callable[[], None]) -> None:
    await server.up.wait()
    announce()


def _ports(instance: Instance, options: UpOptions) -> Ports:
    """Return the kept ports, or new ones, with those that the command line names put in."""
    kept = Ports.read(instance.settings_file)
    if kept is None:
        master, volume, filer, s3 = pick(4, with_grpc=True)
        taken = {master, volume, filer, s3}
        taken |= {port for port in (options.port, options.s3_port) if port}
        api, door = pick(2, with_grpc=False, taken=taken)
        kept = Ports(api, StorePorts(master, volume, filer, s3), door)
    if options.s3_port is not None:
        kept = replace(kept, store=replace(kept.store, s3=options.s3_port))
    return replace(kept, api=options.port) if options.port is not None else kept


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """Listen at once, so that a port that is taken is known before anything is started."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SetupProblem(
            f"{host!r} is not an address of this machine.", suggestion="Name one with --host."
        ) from error
    # Named, the protocol tells asyncio that it may switch Nagle's algorithm off: with it, each
    # answer on a kept connection waits 40 ms for an acknowledgement.
    with socket.socket(address[0], socket.SOCK_STREAM, address[2]) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address[4])
            listener.listen(2048)
        except OSError as error:
            raise SetupProblem(
                f"The API cannot listen on port {port} of {host} ({error.strerror}).",
                suggestion="End what uses it, or name another with --port.",
            ) from error
        yield listener


def _log_to(path: Path) -> None:
    """Send this process's log to the file; a very long old one makes room first."""
    if path.exists() and path.stat().st_size > _LARGEST_OLD_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    journal.configure()
    private_file(path)
    file = path.open("a", encoding="utf-8")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(file)
