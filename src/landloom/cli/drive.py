"""Files of the platform's storage, by its API: where they are, what there is, what to do with them.

`my:` is one's own folder, `shared:` that of the organization; anything else is named by its URI.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from landloom.cli.client import ApiClient
from landloom.errors import InvalidInput, NotFound

MINE: Final = "my:"
SHARED: Final = "shared:"
SCHEME: Final = "s3://"

_MINE_ID: Final = "user_files"
_ORGANIZATION_ID: Final = "organization_files"
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder of a storage."""

    storage: str
    """The storage's id."""
    path: str
    """From the storage's root on; a folder's ends with `/` or is empty."""
    shown: str
    """As people name it."""

    @property
    def is_folder(self) -> bool:
        """Whether it is named as a folder."""
        return not self.path or self.path.endswith("/")

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    def below(self, path: str) -> Self:
        """Return what lies at a path below this folder."""
        slash = "" if self.is_folder else "/"
        return replace(self, path=f"{self.path}{slash}{path}", shown=f"{self.shown}{slash}{path}")

    def as_folder(self) -> Self:
        """Return this as a folder."""
        return self if self.is_folder else self.below("")


def is_remote(text: str) -> bool:
    """Say whether a text of the command line names something in a storage."""
    return text.startswith((MINE, SHARED, SCHEME))


class Drive:
    """All storage that one user reaches."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._sources: list[dict[str, Any]] | None = None

    def usage(self) -> dict[str, Any]:
        """Return how much lies where, and how much may."""
        return self._client.ask("GET", "/storage/usage")

    def find(self, text: str) -> Remote:
        """Return what a text names; without any of the prefixes it lies in one's own folder.

        Raises:
            NotFound: It lies in no storage that the user has.
            InvalidInput: It names no bucket.
        """
        if text.startswith(SHARED):
            return Remote(_ORGANIZATION_ID, f"data/shared/{_path(text, SHARED)}", text)
        if not text.startswith(SCHEME):
            shown = text if text.startswith(MINE) else f"{MINE}{text}"
            return Remote(_MINE_ID, _path(text, MINE), shown)
        # The innermost first, as the platform itself looks for them.
        for source in sorted(self.sources(), key=lambda each: len(each["path"]), reverse=True):
            start = str(source["path"])
            if f"{text}/".startswith(start):
                storage = _MINE_ID if source["type"] == "MANAGED" else source["id"]
                return Remote(storage, text[len(start) :], text)
            root = start.split("/data/", 1)[0] + "/"
            if source["type"] == "MANAGED" and f"{text}/".startswith(root):
                return Remote(_ORGANIZATION_ID, text[len(root) :], text)
        if not text.removeprefix(SCHEME).strip("/"):
            raise InvalidInput(f"{text} names no bucket.", suggestion="Write s3://bucket/key.")
        raise NotFound(
            f"{text} lies in no storage that you have.",
            suggestion=f"Yours is {self.sources()[0]['path']}, which is also called {MINE}.",
        )

    def sources(self) -> list[dict[str, Any]]:
        """Return the storage sources, the managed one first."""
        if self._sources is None:
            self._sources = self._client.ask_list("/storage")
        return self._sources

    def uri(self, remote: Remote) -> str:
        """Return the `s3://` URI of something in the managed storage or in an integration."""
        managed, *others = self.sources()
        if remote.storage == _MINE_ID:
            return f"{managed['path']}{remote.path}"
        if remote.storage == _ORGANIZATION_ID:
            return f"{managed['path'].split('/data/', 1)[0]}/{remote.path}"
        return next(
            f"{each['path']}{remote.path}" for each in others if each["id"] == remote.storage
        )

    def entries(self, folder: Remote) -> Iterator[dict[str, Any]]:
        """Yield a folder's entries, page by page.

        Raises:
            NotFound: There is no such folder.
        """
        route, cursor = _route("directories", folder.as_folder()), None
        while True:
            query = {"limit": _PAGE} | ({"cursor": cursor} if cursor else {})
            page = self._client.ask("GET", f"{route}?{urlencode(query)}")
            yield from page["items"]
            cursor = page["next_page"]
            if cursor is None:
                return

    def files(self, folder: Remote) -> Iterator[tuple[Remote, dict[str, Any]]]:
        """Yield all files at any depth below a folder, each with its entry of the listing."""
        pending = [folder.as_folder()]
        while pending:
            here = pending.pop()
            for entry in self.entries(here):
                if entry["type"] == "FOLDER":
                    pending.append(here.below(f"{entry['name']}/"))
                else:
                    yield here.below(entry["name"]), entry

    def is_folder(self, remote: Remote) -> bool:
        """Say whether there is a folder of this name."""
        if not remote.path:
            return True
        try:
            next(self.entries(remote), None)
        except NotFound:
            return False
        return True

    def upload_url(self, file: Remote) -> str:
        """Return a URL to PUT a file to."""
        return str(self._client.ask("POST", _route("file-upload-url", file))["uploadUrl"])

    def download_url(self, file: Remote) -> str:
        """Return a URL to GET a file from.

        Raises:
            InvalidInput: It is a folder.
            NotFound: There is no such file.
        """
        try:
            return self._client.location(_route("files", file))
        except NotFound:
            if self.is_folder(file):
                raise InvalidInput(
                    f"{file.shown} is a folder.",
                    suggestion="`landloom storage cp -r` copies all that is in it.",
                ) from None
            raise

    def delete(self, remote: Remote) -> None:
        """Delete a file, or, where it is named as one, a folder with all that is in it.

        Raises:
            NotFound: There is none.
        """
        kind = "directories" if remote.is_folder else "files"
        self._client.ask("DELETE", _route(kind, remote))


def _route(kind: str, remote: Remote) -> str:
    return f"/storage/{quote(remote.storage, safe='')}/{kind}/{quote(remote.path)}"


def _path(text: str, prefix: str) -> str:
    return text.removeprefix(prefix).lstrip("/")
