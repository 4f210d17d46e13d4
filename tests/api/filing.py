"""Files of a test's platform: put, listed and fetched as clients do."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from tests.api.platform import Platform

REGION = "user_files::aws-us-west-2"
"""The managed storage as clients name it."""


def put(api: Platform, path: str, body: bytes = b"x") -> str:
    """Upload by a presigned URL, as clients do: no header but the length."""
    answer = api.client.post(f"/storage/{REGION}/file-upload-url/{quote(path)}")
    assert answer.status_code == 200, answer.text
    sent = httpx.put(answer.json()["uploadUrl"], content=body, trust_env=False)
    assert sent.status_code == 200, sent.text
    return answer.json()["destination"]


def listed(api: Platform, path: str, **query: Any) -> dict[str, Any]:
    answer = api.client.get(f"/storage/{REGION}/directories/{quote(path)}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(page: dict[str, Any]) -> list[str]:
    return [item["name"] for item in page["items"]]


def fetched(api: Platform, path: str) -> bytes:
    answer = api.client.get(f"/storage/{REGION}/files/{quote(path)}")
    assert answer.status_code == 302, answer.text
    got = httpx.get(answer.headers["location"], trust_env=False)
    assert got.status_code == 200, got.text
    return got.content


def own(api: Platform, path: str = "") -> str:
    """Return a path of My files as `bucket/key`."""
    return f"{api.settings.bucket}/{api.storage.private_prefix}{path}"


def problem(answer: httpx.Response) -> str:
    return answer.json()["errors"][0]["details"]
