import os
from datetime import UTC, datetime

import psutil
import pytest

from landloom.runner import folder
from landloom.server.launchers.claims import Claims


@pytest.fixture
def place(tmp_path):
    """Folders of workloads that nobody runs."""

    def make(name):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        return directory

    return make


def run(directory, pid, start_ticks=None):
    """Have a process be the runner of a folder."""
    record = folder.RunnerRecord(
        pid=pid,
        create_time=psutil.Process(pid).create_time(),
        start_ticks=start_ticks,
        child_pid=None,
        child_create_time=None,
        child_start_ticks=None,
        started_at=datetime.now(UTC).isoformat(),
    )
    folder.write_record(directory, record)


def test_two_servers_give_nothing_twice(place):
    one, two = Claims(range(4), range(2)), Claims(range(4), range(2))
    first = one.take(place("a"), cpus=2, gpus=1)
    second = two.take(place("b"), cpus=2, gpus=1)
    assert (first.cores, first.gpus) == ((0, 1), (0,))
    assert (second.cores, second.gpus) == ((2, 3), (1,))


def test_parts_of_a_core_are_counted_as_parts(place):
    one, two = Claims(range(2), ()), Claims(range(2), ())
    given = [
        each.take(place(name), cpus=0.5, gpus=0)
        for each, name in zip([one, two, one, two], "abcd", strict=True)
    ]
    assert [claim.cores for claim in given] == [(0,), (1,), (0,), (1,)]


def test_one_that_is_started_again_keeps_what_it_has(place):
    one, two = Claims(range(2), ()), Claims(range(2), ())
    first = one.take(place("a"), cpus=1, gpus=0)
    assert two.take(place("a"), cpus=1, gpus=0) == first
    assert two.take(place("b"), cpus=1, gpus=0).cores == (1,)


@pytest.mark.parametrize("end", ["freed", "exited", "lost", "never begun, its server gone"])
def test_what_has_ended_needs_nothing(place, end):
    claims = Claims(range(2), ())
    claims.take(place("a"), cpus=1, gpus=0)
    if end == "freed":
        claims.free(place("a"))
    elif end == "exited":
        run(place("a"), os.getpid())
        folder.write_exit(place("a"), folder.ended_from_outside(0, "exited"))
    elif end == "lost":
        run(place("a"), os.getpid(), start_ticks=1)
    else:
        claim = place(".claims") / "a"
        now = claim.read_text()
        ticks = str(claims._server.start_ticks)
        claim.write_text(now.replace(ticks, "1"))
    assert Claims(range(2), ()).take(place("b"), cpus=1, gpus=0).cores == (0,)


def test_what_runs_keeps_its_own_though_its_server_is_gone(place):
    claims = Claims(range(2), ())
    claims.take(place("a"), cpus=1, gpus=0)
    claim = place(".claims") / "a"
    claim.write_text(claim.read_text().replace(str(claims._server.start_ticks), "1"))
    run(place("a"), os.getpid())
    assert claims.take(place("b"), cpus=1, gpus=0).cores == (1,)


def test_what_runs_without_a_claim_is_remembered_by_its_spec(place):
    spec = folder.Spec(("true",), {"CUDA_VISIBLE_DEVICES": "1"}, 1, cores=(0,))
    folder.write_spec(place("old"), spec)
    run(place("old"), os.getpid())
    claims = Claims(range(2), range(2))
    claims.remember(place("old"))
    new = claims.take(place("new"), cpus=1, gpus=1)
    assert (new.cores, new.gpus) == ((1,), (0,))


def test_half_a_claim_is_none(place):
    claims = Claims(range(2), ())
    claims.take(place("a"), cpus=1, gpus=0)
    (place(".claims") / "a").write_text('{"cpus": 1')
    assert claims.take(place("b"), cpus=1, gpus=0).cores == (0,)
