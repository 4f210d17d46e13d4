"""Files and folders of a caller, wherever they lie, by the caller's own keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from landloom.errors import Conflict, Forbidden, NotFound
from landloom.server.storage.addresses import PublicAddress
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.listing import FolderPage, Place, Position, entries_of
from landloom.server.storage.names import (
    bucket_and_key,
    clean_path,
    file_key,
    folder_key,
    last_name,
    single_name,
    within_limits,
)
from landloom.server.storage.objects import PAGE, Content, S3Objects
from landloom.server.storage.places import Source, StoreAccess
from landloom.server.storage.presign import presigned_url
from landloom.server.storage.quota.service import Quota
from landloom.server.storage.removal import Removal, no_folder
from landloom.server.storage.schemas import FileEntry, FileEntryType
from landloom.server.storage.sources import Holder, Sources, holding

URL_SECONDS: Final = 3600
"""How long presigned URLs work."""
_FEWEST: Final = 2
"""Entries that a store is asked for at least: SeaweedFS 4.48, asked for one entry of a folder that
was made as such, names the folder itself and says that there is no more."""


class StoredFiles:
    """What may be done with files and folders.

    Every call raises Unavailable where the store does not answer, and Forbidden where the store
    gives the caller's keys no right, whatever we think.
    """

    def __init__(
        self, sources: Sources, objects: S3Objects, quota: Quota, address: PublicAddress
    ) -> None:
        self._sources = sources
        self._objects = objects
        self._removal = Removal(objects)
        self._quota = quota
        self._address = address

    async def sources(self, holder: Holder) -> list[Source]:
        """Return all sources, the managed one first."""
        return await self._sources.of(holder)

    async def at(self, holder: Holder, text: str, *, field: str = "key") -> Place:
        """Return the place that a client names `bucket/key`.

        Raises:
            InvalidInput: It is no name.
            BadRequest: It lies in no storage source.
            Forbidden: It lies in another organization's part of the managed storage.
        """
        bucket, key = bucket_and_key(text, field=field)
        source = await self._sources.find(holder, bucket, key)
        return Place(source, key or source.prefix, origin="")

    async def all_at(self, holder: Holder, texts: Sequence[str]) -> list[Place]:
        """Return the places of many names; raises as `at` does."""
        sources = await self._sources.of(holder)
        named = [bucket_and_key(text, field="key") for text in texts]
        return [Place(holding(sources, bucket, key), key, origin="") for bucket, key in named]

    async def within(self, holder: Holder, source_id: str, path: str) -> Place:
        """Return the place that a client names by a storage and a path in it.

        Raises:
            InvalidInput: The path is none.
            NotFound: There is no such storage.
        """
        key = clean_path(path, field="path")
        source = await self._sources.by_id(holder, source_id)
        return Place(source, source.home + key, origin=f"{source.bucket}/{source.home}")

    async def inside(self, holder: Holder, source_id: str, directory: str) -> Place:
        """Return a folder of a source, named from its root or as `bucket/key`.

        Raises:
            InvalidInput: It is no name.
            NotFound: There is no such source.
        """
        source = await self._sources.by_id(holder, source_id)
        named = clean_path(directory.removeprefix(SCHEME), field="dir")
        bucket = f"{source.bucket}/"
        if f"{named.rstrip('/')}/".startswith(bucket + source.prefix):
            return Place(source, named[len(bucket) :], origin="")
        return Place(source, source.home + named, origin="")

    async def page(self, folder: Place, *, cursor: str | None = None, limit: int) -> FolderPage:
        """Return up to `limit` of a folder's entries, from a cursor on.

        Raises:
            BadRequest: The cursor is none of ours.
            NotFound: There is no such folder.
            Forbidden: The caller does not reach it.
        """
        fixed = self._fixed(folder)
        if fixed is not None:
            return FolderPage(fixed, None)
        source, prefix = folder.source, folder_key(folder.key)
        place = Place(source, prefix, folder.origin)
        position = Position.decode(cursor) if cursor else Position()
        while True:
            listing = await self._objects.list(
                source.access,
                source.bucket,
                prefix,
                after=position.token,
                limit=max(limit, _FEWEST),
            )
            if position.token is None and not (listing.objects or listing.folders):
                self._require_folder(source, prefix)
            entries = position.behind(entries_of(listing, place))
            shown, more = entries[:limit], len(entries) > limit
            position = Position(position.token, shown[-1].path) if more else Position(listing.next)
            ends = not more and position.token is None
            # What is listed may be nothing but the folder itself, which is none of its entries.
            if shown or ends:
                return FolderPage(shown, None if ends else position.encode())

    async def everything(self, folder: Place) -> list[FileEntry]:
        """Return all entries of a folder, however many; raises as `page` does."""
        return [each async for page in self._pages(folder) for each in page]

    async def _pages(self, folder: Place) -> AsyncIterator[list[FileEntry]]:
        page = await self.page(folder, limit=PAGE)
        yield page.entries
        while page.next is not None:
            page = await self.page(folder, cursor=page.next, limit=PAGE)
            yield page.entries

    async def upload_url(self, file: Place, *, host: str) -> str:
        """Return a URL to PUT the file to; nothing is asked of the store.

        Args:
            file: Where it is to lie.
            host: By which the client reached us.

        Raises:
            InvalidInput: It names a folder, or is too long.
            Forbidden: Nothing may be written there.
            QuotaExceeded: As much is stored as may be.
        """
        key = within_limits(_key_of_file(file, field="key"), field="key")
        self._require_writable(file.source, key)
        source = file.source
        await self._quota.admit(source, seconds=URL_SECONDS)
        access = self._as_reached(source, host)
        return presigned_url(access, "PUT", source.bucket, key, seconds=URL_SECONDS)

    async def download_url(self, file: Place, *, host: str) -> str:
        """Return a URL to GET the file from, which saves it under its name.

        Args:
            file: Where it lies.
            host: By which the client reached us.

        Raises:
            InvalidInput: It names a folder.
            NotFound: There is no such file.
        """
        key = _key_of_file(file, field="path")
        self._require_reachable(file.source, key)
        await self._objects.look(file.source.access, file.source.bucket, key)
        saved = {"response-content-disposition": attachment(key)}
        return presigned_url(
            self._as_reached(file.source, host),
            "GET",
            file.source.bucket,
            key,
            seconds=URL_SECONDS,
            query=saved if file.source.access.credentials else None,
        )

    async def content(self, file: Place) -> Content:
        """Return the file's content as it comes.

        Raises:
            InvalidInput: It names a folder.
            NotFound: There is no such file.
        """
        key = _key_of_file(file, field="key")
        self._require_reachable(file.source, key)
        return await self._objects.read(file.source.access, file.source.bucket, key)

    async def make_folder(self, folder: Place) -> None:
        """Make an empty folder.

        Raises:
            Conflict: There is a folder or a file of this name.
            Forbidden: Nothing may be written there.
        """
        source, key = folder.source, folder_key(folder.key)
        if key == folder_key(source.home) or self._fixed(folder) is not None:
            raise Conflict(f"The folder {SCHEME}{source.bucket}/{key} is there already.")
        self._require_writable(source, within_limits(key, field="path"))
        found = await self._objects.list(source.access, source.bucket, key, limit=1)
        if found.objects or found.folders:
            raise Conflict(f"The folder {SCHEME}{source.bucket}/{key} is there already.")
        if await self._objects.exists(source.access, source.bucket, key.rstrip("/")):
            raise Conflict(
                f"There is a file {SCHEME}{source.bucket}/{key.rstrip('/')}.",
                suggestion="Give the folder another name.",
            )
        await self._objects.make(source.access, source.bucket, key)

    async def rename(self, file: Place, name: str) -> None:
        """Give a file another name in its folder.

        Raises:
            InvalidInput: The file is a folder, or the name is none.
            NotFound: There is no such file.
            Conflict: There is a file of the new name.
            Forbidden: It may not be renamed.
        """
        source, key = file.source, file_key(file.key, field="path")
        single_name(name, field="new_name")
        self._require_mutable(source, key)
        target = within_limits(f"{key[: -len(last_name(key))]}{name}", field="new_name")
        await self._objects.look(source.access, source.bucket, key)
        if target == key:
            return
        if await self._objects.exists(source.access, source.bucket, target):
            raise Conflict(
                f"There is a file {SCHEME}{source.bucket}/{target} already.",
                suggestion="Delete it first, or choose another name.",
            )
        await self._objects.copy(source.access, source.bucket, key, target)
        await self._objects.delete(source.access, source.bucket, [key])
        await self._quota.changed(source)

    async def delete_file(self, file: Place) -> None:
        """Delete exactly one file.

        Raises:
            InvalidInput: It is a folder.
            NotFound: There is no such file.
            Forbidden: It may not be deleted.
        """
        source, key = file.source, file_key(file.key, field="path")
        self._require_mutable(source, key)
        await self._objects.look(source.access, source.bucket, key)
        await self._objects.delete(source.access, source.bucket, [key])
        await self._quota.changed(source)

    async def delete_folder(self, folder: Place) -> None:
        """Delete a folder with all that is in it.

        Raises:
            NotFound: There is no such folder.
            Forbidden: It may not be deleted.
        """
        source, prefix = folder.source, folder_key(folder.key)
        self._require_mutable(source, prefix)
        await self._removal.folder(source.access, source.bucket, prefix)
        await self._quota.changed(source)

    async def delete(self, places: Sequence[Place]) -> None:
        """Delete files and folders, many at once; what is not there does not matter.

        Raises:
            Forbidden: One of them may not be deleted; then none is.
        """
        for place in places:
            self._require_mutable(place.source, place.key)
        folders: list[Place] = []
        files: dict[Source, list[str]] = {}
        for place in places:
            if place.key and not place.key.endswith("/"):
                files.setdefault(place.source, []).append(place.key)
            else:
                folders.append(place)
        for source, keys in files.items():
            await self._objects.delete(source.access, source.bucket, keys)
            await self._quota.changed(source)
        for folder in folders:
            with suppress(NotFound):
                await self.delete_folder(folder)

    def _as_reached(self, source: Source, host: str) -> StoreAccess:
        """Return what signs URLs of a source for a client that reached us by a host."""
        if source.access.public_url is None:
            return source.access
        return replace(source.access, public_url=self._address.reached_by(host))

    def _fixed(self, folder: Place) -> list[FileEntry] | None:
        """Return the entries of a folder above the writable ones; None of any other.

        Raises:
            Forbidden: The caller does not reach it.
        """
        storage, key = folder.source.storage, folder_key(folder.key)
        if storage is None or storage.reaches(key):
            return None
        found = storage.fixed_folders(key)
        if found is None:
            raise _unreachable(folder.source, key)
        return [
            FileEntry(
                name=last_name(each),
                path=folder.path(each),
                type=FileEntryType.FOLDER,
                protected=True,
            )
            for each in found
        ]

    def _require_folder(self, source: Source, prefix: str) -> None:
        """Let a folder be that has nothing in it: those that are always there."""
        if prefix not in _roots(source):
            raise no_folder(source.bucket, prefix)

    def _require_reachable(self, source: Source, key: str) -> None:
        if source.storage is not None and not source.storage.reaches(key):
            raise _unreachable(source, key)

    def _require_writable(self, source: Source, key: str) -> None:
        if source.protection(key).upload:
            raise _protected(source, key, "Nothing may be written to")

    def _require_mutable(self, source: Source, key: str) -> None:
        protection = source.protection(key)
        if protection.mutate or protection.upload:
            raise _protected(source, key, "You may not rename or delete")


def _roots(source: Source) -> set[str]:
    """Return the folders of a source that are always there, and that what is in it lies below."""
    return {source.prefix, *(source.storage.writable_prefixes if source.storage else ())}


def _key_of_file(file: Place, *, field: str) -> str:
    """Return the key of a place that is named as a file.

    Raises:
        InvalidInput: It is a folder: by its name, or one that is always there. An object called as
            such a folder is would lie beside it, outside of the source.
    """
    folder = f"{file.key}/"
    return file_key(folder if folder in _roots(file.source) else file.key, field=field)


def attachment(key: str) -> str:
    """Return the Content-Disposition that saves a file under its name (RFC 6266)."""
    return f"attachment; filename*=UTF-8''{quote(last_name(key), safe='')}"


def _unreachable(source: Source, key: str) -> Forbidden:
    return Forbidden(
        f"You have no right to {SCHEME}{source.bucket}/{key}.",
        suggestion=f"Your own files lie under {source.path}.",
    )


def _protected(source: Source, key: str, verb: str) -> Forbidden:
    way = (
        f"The integration {source.name!r} is read-only, or this is its root."
        if source.storage is None
        else f"Your own files lie under {source.path}."
    )
    return Forbidden(f"{verb} {SCHEME}{source.bucket}/{key}.", suggestion=way)
