"""The published Python SDK, unmodified: `FilesAPI`, `Files`, and a job whose script is local."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Secured, drive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENVIRONMENT = "sdk"


@pytest.fixture(scope="module")
def told(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    known = secured.platform.connection
    env = {
        "WHEROBOTS_API_BASE_URL": secured.url,
        "WHEROBOTS_API_KEY": secured.key,
        # The SDK asks for keys and hands them to boto3, which must be told where the store is.
        "AWS_ENDPOINT_URL_S3": known["AWS_ENDPOINT_URL_S3"],
        **secured.authority,
    }
    return drive(ENVIRONMENT, "sdk_files.py", env, tmp_path_factory.mktemp("sdk-files"), {})


def test_uploads_by_temporary_keys(told: dict[str, Any], secured: Secured) -> None:
    seen, home = told["files_api"], secured.platform.connection["USER_S3_PATH"]
    assert seen["managed"] is True
    assert seen["path"] == home
    assert seen["uris"] == {
        "script": f"{home}scripts/by-content.py",
        "managed": f"{home}datasets/2024/data.json",
        "dependency": f"{home}big/large.bin",
    }
    assert seen["whole"] is True
    assert seen["read_keys_wrote"] is False


def test_a_drive_is_used_by_presigned_urls(told: dict[str, Any], secured: Secured) -> None:
    seen, home = told["my_files"], secured.platform.connection["USER_S3_PATH"]
    assert seen["where"] == f"{home}reports/2026/q 3/report ü+%.csv"
    assert seen["listed"] == [*([f"{n}.csv", False, 8] for n in range(5)), ["q 3", True, 0]]
    # A defect of 0.5.1 that no server can help: it comes up at every redirect.
    assert "Exceeded 0 redirects" in seen["refused"]
    assert seen["got"] == "a,b\n1,2\n"
    assert seen["left"] == ["2.csv", "3.csv", "4.csv", "q 3", "renamed file.csv"]
    assert seen["missing"] == "not found"
    assert seen["again"] == 409
    assert "reports" not in seen["root"]


def test_a_local_script_and_its_dependency_run(told: dict[str, Any]) -> None:
    assert told["job"] == {"status": "COMPLETED", "lines": ["brought along ['--n', '1']"]}
