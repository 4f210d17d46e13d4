import pytest

from landloom.errors import InvalidInput
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import RUNTIMES, clamp, find_runtime

GIB = 1 << 30
GENERAL = ["micro", "tiny", "small", "medium", "large", "x-large", "2x-large", "4x-large"]
PUBLISHED = [
    *GENERAL,
    *(f"{size}-himem" for size in GENERAL[3:]),
    *(f"{size}-{kind}" for kind in ("hicpu", "matcher") for size in ("x-large", "2x-large")),
    *(f"{size}-a10-gpu" for size in GENERAL[:6]),
]


def test_every_published_name_is_a_runtime():
    assert set(RUNTIMES) == set(PUBLISHED)
    assert all(find_runtime(name).name == name for name in PUBLISHED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("TINY", "tiny"),
        ("SMALL", "small"),
        ("MEDIUM", "medium"),
        ("LARGE", "large"),
        ("XLARGE", "x-large"),
        ("XXLARGE", "2x-large"),
    ],
)
def test_old_spellings_mean_the_new_ones(old, new):
    assert find_runtime(old).name == new


@pytest.mark.parametrize("name", ["", "Tiny", "huge", "tiny-himem"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(InvalidInput) as refused:
        find_runtime(name)
    assert refused.value.field == "runtime"
    assert "tiny" in refused.value.suggestion


def test_sizes_grow_and_kinds_differ_in_what_they_are_named_for():
    general = [RUNTIMES[name] for name in GENERAL]
    assert sorted(general, key=lambda runtime: runtime.cpus) == general
    assert sorted(general, key=lambda runtime: runtime.memory_bytes) == general
    assert RUNTIMES["large-himem"].memory_bytes > RUNTIMES["large"].memory_bytes
    assert RUNTIMES["x-large-hicpu"].cpus > RUNTIMES["x-large"].cpus
    assert RUNTIMES["tiny-a10-gpu"].gpus == 1


def test_two_small_ones_fit_a_laptop():
    laptop = Machine(cpus=2, memory_bytes=int(0.8 * 8 * GIB))
    for name in ("micro", "tiny"):
        assert not clamp(find_runtime(name), laptop).is_clamped
        assert 2 * find_runtime(name).cpus <= laptop.cpus
        assert 2 * find_runtime(name).memory_bytes <= laptop.memory_bytes


def test_a_runtime_larger_than_the_machine_is_cut_and_flagged():
    machine = Machine(cpus=2, memory_bytes=24 * GIB)
    allotment = clamp(find_runtime("medium"), machine)
    assert allotment.is_clamped
    assert (allotment.runtime.name, allotment.runtime.cpus) == ("medium", 2)
    assert allotment.runtime.memory_bytes == 16 * GIB
    assert clamp(find_runtime("micro-a10-gpu"), machine).is_clamped
