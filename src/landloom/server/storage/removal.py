"""Deleting all that lies below a prefix, whatever it is: objects, folders, unfinished uploads."""

from __future__ import annotations

from contextlib import suppress

from landloom.errors import BadRequest, Forbidden, NotFound
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.names import folders_above
from landloom.server.storage.objects import S3Objects
from landloom.server.storage.places import StoreAccess


class Removal:
    """Deletes by the keys that it is given: what those do not reach stays.

    Prefixes end with `/`. Every call raises Unavailable where the store does not answer, and
    Forbidden where it gives the keys no right.
    """

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects

    async def folder(self, access: StoreAccess, bucket: str, prefix: str) -> None:
        """Delete a folder with all that is in it.

        Raises:
            NotFound: There is nothing.
        """
        folders, token = {prefix}, None
        while True:
            listing = await self._objects.list(access, bucket, prefix, deep=True, after=token)
            keys = [each.key for each in listing.objects]
            if token is None and not keys:
                folders |= await self._empty_folders(access, bucket, prefix)
            await self._objects.delete(access, bucket, keys)
            folders.update(above for key in keys for above in folders_above(key, prefix))
            token = listing.next
            if token is None:
                break
        # Some stores keep folders as folders: an empty one would stay. The deepest go first.
        deepest = sorted(folders, key=lambda each: each.count("/"), reverse=True)
        await self._objects.delete(access, bucket, deepest)

    async def uploads(self, access: StoreAccess, bucket: str, prefix: str) -> None:
        """End the uploads in parts that nobody has completed; their parts are in no listing.

        A store that knows no uploads in parts has none to end. One that cannot bound by a prefix
        who lists them (MinIO, AWS) gives keys to one folder no right to, and they stay.
        """
        with suppress(BadRequest, Forbidden):
            await self._objects.abort_uploads(access, bucket, prefix)

    async def _empty_folders(self, access: StoreAccess, bucket: str, prefix: str) -> set[str]:
        """Return the folders below one that holds no object at any depth.

        Raises:
            NotFound: There is no such folder.
        """
        found, pending = set[str](), [prefix]
        while pending:
            folder = pending.pop()
            listing = await self._objects.list(access, bucket, folder)
            pending += listing.folders
            found.update(listing.folders)
        if not found:
            raise no_folder(bucket, prefix)
        return found


def no_folder(bucket: str, prefix: str) -> NotFound:
    """Return the error that there is no such folder."""
    return NotFound(
        f"There is no folder {SCHEME}{bucket}/{prefix}.",
        suggestion="List the folder above it to see what there is.",
    )
