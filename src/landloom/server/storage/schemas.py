"""Bodies of the files and storage routes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from landloom.server.kit.camel import CamelAnswer
from landloom.server.kit.clock import WireTime
from landloom.server.storage.places import SourceKind

MOST_KEYS = 1000
"""Files and folders that one request may name."""

type KeyList = Annotated[
    list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=MOST_KEYS)
]


class FileEntryType(StrEnum):
    """What an entry of a folder is."""

    FILE = "FILE"
    FOLDER = "FOLDER"


class FileEntry(CamelAnswer):
    """A file or folder in its folder."""

    name: str
    path: str
    """What to name it by in the next request; a folder's ends with `/`."""
    type: FileEntryType
    last_modified: WireTime | None = None
    """None for a folder."""
    size: int = 0
    """In bytes; 0 for a folder."""
    protected: bool = False
    """Whether it can be neither renamed nor deleted."""


class Directory(CamelAnswer):
    """A folder and all that is in it."""

    name: str
    path: str
    mutate_protected: bool = False
    """Whether the folder itself can be neither renamed nor deleted."""
    upload_protected: bool = False
    """Whether nothing can be written into it."""
    files: list[FileEntry] = []


class DirectoryListingResult(BaseModel):
    """A page of a folder; the names around the entries are in snake case, as clients read them."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    items: list[FileEntry]
    path: str
    name: str
    mutate_protected: bool = False
    upload_protected: bool = False
    current_page: str | None = None
    next_page: str | None = None
    """None on the last page."""


class FilesUploadUrl(CamelAnswer):
    """Where to PUT a file."""

    upload_url: str


class NamedUploadUrl(CamelAnswer):
    """Where to PUT one of several files."""

    key: str
    """As it was asked for."""
    upload_url: str


class StorageUploadUrl(CamelAnswer):
    """Where to PUT a file, and where it then lies."""

    destination: str
    """An `s3://` URI."""
    upload_url: str


class StorageSource(CamelAnswer):
    """A place where files lie that the caller may reach."""

    id: str
    create_time: WireTime
    update_time: WireTime
    name: str
    path: str
    """An `s3://` URI that ends with `/`."""
    role_arn: str | None = None
    region: str
    stack_name: str | None = None
    type: SourceKind
    default_directory: str | None = None
    read_only: bool = False
    cloud_connection: None = None
    """There are none here."""
