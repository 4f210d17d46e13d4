"""The tests of files, quotas and expiry again, on stores that Landloom did not start."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest

from landloom.server.accounts.admission import Admission
from tests.api import test_file_changes, test_files, test_storage_command, test_storage_limits
from tests.api.filing import REGION, put
from tests.api.foreign import (
    ANY_ROLE,
    KINDS,
    Kind,
    Somebody,
    hosts_are_here,
    kinds,
    program_of,
    somebody,
)
from tests.api.platform import Platform
from tests.api.stores import RealStore, foreign_store

bounded = test_storage_limits.bounded
command = test_storage_command.command
register = test_file_changes.register


@pytest.fixture(scope="module", autouse=True)
def hosts() -> Iterator[None]:
    with hosts_are_here():
        yield


@pytest.fixture(scope="session", autouse=True)
def database() -> str:
    """One is enough: what differs here is the store."""
    return "sqlite"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Somebody]]:
    """Whoever runs a store of a name, for all tests here."""
    with contextlib.ExitStack() as stack:

        @cache
        def run(name: str) -> Somebody:
            return stack.enter_context(somebody(name, tmp_path_factory.mktemp(name)))

        yield run


@pytest.fixture(scope="module", params=kinds(), ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(scope="module")
def store(
    hosts: None,
    people: Callable[[str], Somebody],
    kind: Kind,
    tmp_path_factory: pytest.TempPathFactory,
) -> RealStore:
    return people(kind.name).store(kind.addressing, tmp_path_factory.mktemp(str(kind)))


@pytest.mark.parametrize("name", sorted({kind.name for kind in KINDS} - {"seaweedfs"}))
def test_further_stores_are_tried_where_their_program_is(name: str) -> None:
    if name not in {kind.name for kind in kinds()}:
        pytest.skip(f"{program_of(name)} names no program; tests/README.md says how to build it")
    assert os.access(os.environ[program_of(name)], os.X_OK)


class Elsewhere:
    """Tests that the suite has done already on a SeaweedFS with the bucket in the path."""

    @pytest.fixture(autouse=True)
    def is_elsewhere(self, kind: Kind) -> None:
        if kind == Kind("seaweedfs"):
            pytest.skip("the rest of tests/api does this on such a store")


class TestFolders(test_files.TestFolders):
    """Folders."""


class TestPages(Elsewhere, test_files.TestPages):
    """Pages, whatever the store's order of folders and files is."""


class TestNames(Elsewhere, test_files.TestNames):
    """Names, to the letter, presigned and signed."""


class TestUploads(test_file_changes.TestUploads):
    """Presigned uploads."""


class TestChanges(Elsewhere, test_file_changes.TestChanges):
    """Renaming and deleting."""


class TestDownloads(Elsewhere, test_file_changes.TestDownloads):
    """Downloads."""


class TestIntegrations(test_file_changes.TestIntegrations):
    """The same store once more, as somebody's integration."""


class TestOthers(test_file_changes.TestOthers):
    """Other users."""


class TestUsage(test_storage_limits.TestUsage):
    """What is stored is counted."""


test_a_tree_goes_there_and_back = test_storage_command.test_a_tree_goes_there_and_back
test_temporary_outputs_go_and_nothing_else_does = (
    test_storage_limits.test_temporary_outputs_go_and_nothing_else_does
)


def test_users_have_keys_of_their_own_where_the_store_can_make_them(
    stored: Platform, kind: Kind
) -> None:
    assert stored.store.can_scope == kind.can_scope, stored.store.admin.obstacle
    answer = stored.client.post("/storage/credentials", json={"path": stored.storage.user_path})
    assert answer.status_code == (200 if kind.can_scope else 409), answer.text
    admission = Admission.of(
        stored.settings.model_copy(update={"trust_users": False}),
        isolated=True,
        scoped=stored.store.can_scope,
    )
    assert bool(admission.obstacle) != kind.can_scope


def test_a_role_is_of_no_use_where_there_is_no_sts(
    stored: Platform, kind: Kind, tmp_path: Path
) -> None:
    asked = foreign_store(stored.store.access, tmp_path, s3_role_arn=ANY_ROLE)
    # SeaweedFS knows its roles by name.
    assert asked.can_scope == (kind.name == "minio")
    assert asked.can_scope or "makes no temporary keys" in asked.admin.obstacle


def test_a_store_like_our_own_does_all_that_ours_does(stored: Platform, kind: Kind) -> None:
    can = stored.store.has_files_beside_folders, stored.store.lists_uploads
    assert (
        can
        == {
            "seaweedfs": (True, True),
            "minio": (False, False),
            "versitygw": (False, True),
        }[kind.name]
    )


def test_where_the_place_is_tried_out_all_is_possible(stored: Platform, register) -> None:
    tried = stored.client.post(f"/storage/{register('tried out')}/access").json()
    assert tried["problems"] == []
    wrong = stored.client.post(
        f"/storage/{register('wrong keys', secretAccessKey='wrong' * 8)}/access"
    ).json()
    rights = [wrong[f"{each}Access"] for each in ("list", "get", "put", "delete")]
    assert rights == [False] * 4


def test_a_wrong_region_is_told_where_it_matters(stored: Platform, kind: Kind, register) -> None:
    place = register("wrong region", region="eu-elsewhere-9")
    answer = stored.client.get(f"/storage/{place}/directories/")
    if kind.name == "seaweedfs":
        assert answer.status_code == 200, "it takes any"
    else:
        assert answer.status_code == 400, answer.text
        assert "region" in answer.json()["errors"][0]["suggestion"]


def test_unsigned_and_altered_requests_are_refused(stored: Platform, folder: str) -> None:
    put(stored, f"{folder}/secret")
    answer = stored.client.get(f"/storage/{REGION}/files/{folder}/secret")
    url = answer.headers["location"]
    plain = url.partition("?")[0]
    for attempt in (plain, url.replace("secret", "other"), f"{url}&versionId=1"):
        assert httpx.get(attempt, trust_env=False).status_code in {400, 403}, attempt
