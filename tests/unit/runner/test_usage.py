from __future__ import annotations

import resource
import subprocess
import sys

import psutil
import pytest

from landloom.runner.usage import USAGE, Meter, Sample, cpu_seconds, memory_bytes, read_usage


def test_what_is_sampled_can_be_read(tmp_path):
    meter = Meter(tmp_path, None)
    assert meter.is_due
    meter.look([psutil.Process()])
    assert not meter.is_due
    (sample,) = read_usage(tmp_path)
    assert sample.memory_bytes == meter.peak_memory > 10 << 20
    assert sample.cpu_seconds > 0
    assert (tmp_path / USAGE).stat().st_mode & 0o077 == 0


def test_half_a_line_is_left_for_later(tmp_path):
    assert read_usage(tmp_path) == []
    (tmp_path / USAGE).write_text("1.5 2.0 300\n2.5 2.")
    assert read_usage(tmp_path) == [Sample(1.5, 2.0, 300)]


def test_a_torn_line_costs_its_sample_and_no_other(tmp_path):
    torn = b"1.5 2.0 300\n1.6 2.11.7 2.2 400 \n1.8 2.3\n\n\0\xff\n1.9 2.4 500 1 2 3\n2.5 2.6 700\n"
    (tmp_path / USAGE).write_bytes(torn)
    assert read_usage(tmp_path) == [Sample(1.5, 2.0, 300), Sample(2.5, 2.6, 700)]


def test_a_sample_that_finds_half_its_room_leaves_none_of_it(tmp_path):
    """A limit on a file's size cuts a write short as a full disk does."""
    meter = Meter(tmp_path, None)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole = "1.5 2.0 300\n"
    (tmp_path / USAGE).write_text(whole)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, before[1]))
    try:
        meter.look([psutil.Process()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / USAGE).read_text() == whole


@pytest.mark.parametrize(("limit", "exceeded"), [(None, False), (1 << 20, True), (1 << 50, False)])
def test_a_limit_is_held_against_the_peak(tmp_path, limit, exceeded):
    meter = Meter(tmp_path, limit)
    meter.look([psutil.Process()])
    assert meter.is_exceeded is exceeded


def test_the_processor_time_of_ended_children_counts():
    before = cpu_seconds([])
    code = "n = 0\nwhile n < 3_000_000: n += 1"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cpu_seconds([]) > before


def test_a_process_that_is_gone_uses_nothing():
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    assert memory_bytes(process) == 0
    assert cpu_seconds([process]) == cpu_seconds([])


def test_shared_pages_count_once():
    """Two forks of a process with 64 MiB use hardly more than it does alone."""
    code = (
        "import os, sys, time\n"
        "held = bytearray(os.urandom(1 << 20) * 64)\n"
        "pids = [os.fork() for _ in range(2)] if len(sys.argv) > 1 else []\n"
        "if all(pids): print(*pids, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, "fork"], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        child.stdout.readline()
        process = psutil.Process(child.pid)
        tree = [process, *process.children(recursive=True)]
        assert len(tree) >= 3
        assert 64 << 20 <= sum(map(memory_bytes, tree)) < 2 * 64 << 20
    finally:
        for each in [*psutil.Process(child.pid).children(recursive=True), child]:
            each.kill()
        child.wait()
