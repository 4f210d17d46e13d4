"""The routes of files and folders, and of the storage they lie in."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.storage import schemas
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.listing import Place
from landloom.server.storage.names import clean_path, folder_key, last_name, single_name
from landloom.server.storage.objects import PAGE
from landloom.server.storage.places import Source
from landloom.server.storage.service import StoredFiles, attachment

files = APIRouter(prefix="/files", tags=["files"])
router = APIRouter(tags=["storage"])

_HIDDEN: Final[dict[str, Any]] = {"x-exclude-from-cli": True}
_BYTES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_REDIRECT: Final[dict[int | str, dict[str, Any]]] = {
    302: {"description": "Location holds a presigned URL to GET the file from."},
    200: _BYTES[200],
}
_DIRECTORY: Final = TypeAdapter(schemas.Directory)
_PAGE: Final = TypeAdapter(schemas.DirectoryListingResult)

type _Reader = Annotated[Caller, having("files:read")]
type _Writer = Annotated[Caller, having("files:write")]
type _NewName = Annotated[str, Query(pattern=r"^[a-zA-Z0-9\!\-\_\.\*\'\(\)]+$")]


@files.get(
    "/dir",
    operation_id="getDirectory",
    summary="List a managed-storage folder",
    response_model=schemas.Directory,
    openapi_extra=_HIDDEN,
)
async def read_directory(request: Request, caller: _Reader, dir: str) -> Response:  # noqa: A002 - its name on the wire
    """Return a folder, named `bucket/key`, with all that is in it."""
    return await _directory(request, await _files(request).at(caller, dir, field="dir"))


@files.get(
    "/integration-dir",
    operation_id="getIntegrationDirectory",
    summary="List a folder of an integration",
    response_model=schemas.Directory,
    openapi_extra=_HIDDEN,
)
async def read_integration_directory(
    request: Request,
    caller: _Reader,
    integration_id: str,
    dir: str,  # noqa: A002 - its name on the wire
) -> Response:
    """Return a folder of an integration: `/` is its root."""
    return await _directory(request, await _files(request).inside(caller, integration_id, dir))


@files.post(
    "/upload-url",
    operation_id="createUploadUrl",
    summary="Get a presigned PUT URL",
    openapi_extra=_HIDDEN,
)
async def create_upload_url(request: Request, caller: _Writer, key: str) -> schemas.FilesUploadUrl:
    """Return a URL to PUT a file of up to 500 MB to, without any header but its length."""
    place = await _files(request).at(caller, key)
    return schemas.FilesUploadUrl(upload_url=await _upload_url(request, place))


@files.post(
    "/upload-urls",
    operation_id="createUploadUrls",
    summary="Get presigned PUT URLs for many keys",
    openapi_extra=_HIDDEN,
)
async def create_upload_urls(
    request: Request, caller: _Writer, payload: schemas.KeyList
) -> list[schemas.NamedUploadUrl]:
    """Return a URL to PUT each file to, in the order of the keys."""
    found = await _files(request).all_at(caller, payload)
    return [
        schemas.NamedUploadUrl(key=key, upload_url=await _upload_url(request, place))
        for key, place in zip(payload, found, strict=True)
    ]


@files.delete(
    "",
    operation_id="deleteFiles",
    summary="Delete keys",
    openapi_extra=_HIDDEN,
)
async def delete_files(
    request: Request, caller: _Writer, payload: schemas.KeyList
) -> dict[str, str]:
    """Delete files, and folders with all that is in them: those whose keys end with `/`."""
    await _files(request).delete(await _files(request).all_at(caller, payload))
    return {}


@files.post(
    "/folder",
    operation_id="createFolder",
    summary="Create a folder",
    openapi_extra=_HIDDEN,
)
async def create_folder(
    request: Request,
    caller: _Writer,
    name: str,
    dir: str,  # noqa: A002 - its name on the wire
) -> dict[str, str]:
    """Make a folder in a folder."""
    single_name(name, field="name")
    place = await _files(request).at(caller, f"{dir.rstrip('/')}/{name}/", field="dir")
    await _files(request).make_folder(place)
    return {}


@files.get(
    "/download",
    operation_id="downloadFile",
    summary="Download a key",
    response_class=StreamingResponse,
    responses=_BYTES,
    openapi_extra=_HIDDEN,
)
async def download_file(request: Request, caller: _Reader, key: str) -> StreamingResponse:
    """Return a file's bytes; large files are better had by the storage's own redirect."""
    content = await _files(request).content(await _files(request).at(caller, key))
    # Whatever it is, no browser shall run it as a page of ours.
    headers = {
        "Content-Length": str(content.size),
        "Content-Disposition": attachment(key),
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(content.chunks, headers=headers, media_type="application/octet-stream")


@files.post(
    "/rename",
    operation_id="renameFile",
    summary="Rename a key in its folder",
    openapi_extra=_HIDDEN,
)
async def rename_file(
    request: Request, caller: _Writer, key: str, new_name: _NewName
) -> dict[str, str]:
    """Give a file another name in its folder."""
    await _files(request).rename(await _files(request).at(caller, key), new_name)
    return {}


@router.get("/storage", operation_id="listIntegration", summary="List storage sources")
async def list_sources(request: Request, caller: _Reader) -> list[schemas.StorageSource]:
    """Return the managed storage, which is first, and the organization's integrations."""
    return [_source(each) for each in await _files(request).sources(caller)]


@router.get(
    "/storage/{storage_id}/directories/{path:path}",
    operation_id="listDirectoryContents",
    summary="List a folder",
    response_model=schemas.DirectoryListingResult,
)
async def list_directory(
    request: Request,
    caller: _Reader,
    storage_id: str,
    path: str,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=0, le=PAGE)] = 0,
) -> Response:
    """Return a page of a folder; a `limit` of 0 returns all of it."""
    place = await _files(request).within(caller, storage_id, path)
    if limit:
        page = await _files(request).page(place, cursor=cursor or None, limit=limit)
        entries, following = page.entries, page.next
    else:
        entries, following = await _files(request).everything(place), None
    protection = place.source.protection(place.key)
    relative = folder_key(clean_path(path, field="path"))
    result = schemas.DirectoryListingResult(
        items=entries,
        path=relative,
        name=last_name(relative),
        mutate_protected=protection.mutate,
        upload_protected=protection.upload,
        current_page=cursor or None,
        next_page=following,
    )
    # Its parts are checked as they are made: a second check of a thousand entries costs more.
    return _json(_PAGE.dump_json(result, by_alias=True))


@router.put(
    "/storage/{storage_id}/directories/{path:path}",
    operation_id="createDirectory",
    summary="Create a folder",
)
async def create_directory(
    request: Request, caller: _Writer, storage_id: str, path: str
) -> dict[str, str]:
    """Make a folder."""
    await _files(request).make_folder(await _files(request).within(caller, storage_id, path))
    return {}


@router.delete(
    "/storage/{storage_id}/directories/{path:path}",
    operation_id="deleteDirectory",
    summary="Delete a folder and its content",
)
async def delete_directory(
    request: Request, caller: _Writer, storage_id: str, path: str
) -> dict[str, str]:
    """Delete a folder with all that is in it."""
    await _files(request).delete_folder(await _files(request).within(caller, storage_id, path))
    return {}


@router.post(
    "/storage/{storage_id}/file-upload-url/{path:path}",
    operation_id="createFileUploadUrl",
    summary="Get a presigned PUT URL for a path",
)
async def create_file_upload_url(
    request: Request, caller: _Writer, storage_id: str, path: str
) -> schemas.StorageUploadUrl:
    """Return a URL to PUT a file of up to 500 MB to, and where it then lies."""
    place = await _files(request).within(caller, storage_id, path)
    return schemas.StorageUploadUrl(
        destination=f"{SCHEME}{place.source.bucket}/{place.key}",
        upload_url=await _upload_url(request, place),
    )


@router.get(
    "/storage/{storage_id}/files/{path:path}",
    operation_id="downloadFileFromStorage",
    summary="Redirect to a presigned GET URL",
    response_class=Response,
    responses=_REDIRECT,
)
async def download_file_from_storage(
    request: Request, caller: _Reader, storage_id: str, path: str
) -> Response:
    """Redirect to a URL that the file can be had from without a key."""
    place = await _files(request).within(caller, storage_id, path)
    location = await _files(request).download_url(place, host=_host(request))
    return Response(status_code=status.HTTP_302_FOUND, headers={"Location": location})


@router.delete(
    "/storage/{storage_id}/files/{path:path}",
    operation_id="deleteFileFromStorage",
    summary="Delete one file",
)
async def delete_file_from_storage(
    request: Request, caller: _Writer, storage_id: str, path: str
) -> dict[str, str]:
    """Delete exactly one file."""
    await _files(request).delete_file(await _files(request).within(caller, storage_id, path))
    return {}


@router.post(
    "/storage/{storage_id}/file-rename/{path:path}",
    operation_id="renameFileInStorage",
    summary="Rename a file in its folder",
)
async def rename_file_in_storage(
    request: Request, caller: _Writer, storage_id: str, path: str, new_name: str
) -> dict[str, str]:
    """Give a file another name in its folder."""
    await _files(request).rename(await _files(request).within(caller, storage_id, path), new_name)
    return {}


router.include_router(files)


async def _directory(request: Request, place: Place) -> Response:
    entries = await _files(request).everything(place)
    key = folder_key(place.key)
    protection = place.source.protection(key)
    result = schemas.Directory(
        name=last_name(key) or place.source.bucket,
        path=place.path(key),
        mutate_protected=protection.mutate,
        upload_protected=protection.upload,
        files=entries,
    )
    return _json(_DIRECTORY.dump_json(result, by_alias=True))


async def _upload_url(request: Request, place: Place) -> str:
    return await _files(request).upload_url(place, host=_host(request))


def _host(request: Request) -> str:
    """Return by which host the client reached us, as it says."""
    return request.headers.get("host", "")


def _source(source: Source) -> schemas.StorageSource:
    return schemas.StorageSource(
        id=source.id,
        create_time=source.created_at,
        update_time=source.updated_at,
        name=source.name,
        path=source.path,
        role_arn=source.role_arn,
        region=source.region,
        type=source.kind,
        read_only=source.read_only,
    )


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _files(request: Request) -> StoredFiles:
    service: StoredFiles = request.app.state.services.files
    return service
