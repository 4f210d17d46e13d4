import psutil
import pytest

from landloom.server.launchers.machine import this_machine

GIB = 1 << 30


def test_what_the_operator_says_is_taken():
    machine = this_machine(cpus=3, memory_bytes=5 * GIB)
    assert (machine.cpus, machine.memory_bytes) == (3, 5 * GIB)


def test_leaves_memory_for_the_server(tmp_path):
    assert 0 < this_machine(cgroup=tmp_path).memory_bytes < psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("limit", "cpus"), [("50000 100000", 0.5), ("10000 100000", 0.5), ("75000 100000", 0.75)]
)
def test_a_container_limits_cores(tmp_path, limit, cpus):
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert this_machine(cgroup=tmp_path).cpus == cpus


def test_a_container_limits_memory(tmp_path):
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    assert this_machine(cgroup=tmp_path).memory_bytes == int(0.8 * GIB)


def test_a_container_without_limits_has_the_whole_machine(tmp_path):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert this_machine(cgroup=tmp_path) == this_machine(cgroup=tmp_path / "none")
