import pytest

from landloom.errors import InvalidInput, SetupProblem
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import (
    RUNTIMES,
    Runtimes,
    clamp,
    configured_runtimes,
    millicores,
)

GIB = 1 << 30
find_runtime = Runtimes(RUNTIMES).find
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


def test_every_runtime_has_a_price_and_its_published_size_and_tag():
    words = ["MICRO", "TINY", "SMALL", "MEDIUM", "LARGE", "XLARGE", "XXLARGE", "XXXXLARGE"]
    assert [RUNTIMES[name].size for name in GENERAL] == words
    assert all(runtime.spatial_units_per_hour > 0 for runtime in RUNTIMES.values())
    tags = {"himem": "HIMEM", "hicpu": "HICPU", "matcher": "MATCHER", "gpu": "GPU"}
    for name, runtime in RUNTIMES.items():
        assert runtime.tag == tags.get(name.rpartition("-")[2])
        assert (runtime.gpus > 0) == (runtime.tag == "GPU")


class TestFile:
    @pytest.fixture
    def configured(self, tmp_path):
        def configured(text):
            path = tmp_path / "runtimes.toml"
            path.write_text(text)
            configured_runtimes.cache_clear()
            return configured_runtimes(path)

        yield configured
        configured_runtimes.cache_clear()

    def test_changes_what_it_names_and_nothing_else(self, configured):
        sizes = configured(
            "[tiny]\ncpus = 1.5\nmemory_gib = 0.25\nspatial_units_per_hour = 7\n"
            "[small]\ngpus = 1\nspark_executors = 3\n"
        )
        tiny, small = sizes.find("TINY"), sizes.find("small")
        assert (tiny.cpus, tiny.memory_bytes, tiny.spatial_units_per_hour) == (1.5, GIB // 4, 7)
        assert (small.gpus, small.spark_executors, small.cpus) == (1, 3, RUNTIMES["small"].cpus)
        assert sizes.find("micro") == RUNTIMES["micro"]
        assert {each.name for each in sizes} == set(PUBLISHED)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[huge]\ncpus = 1", "no runtime 'huge'"),
            ("[tiny]\ncores = 1", r"tiny\.cores = 1"),
            ("[tiny]\ncpus = -1", r"tiny\.cpus = -1"),
            ("[tiny]\ncpus = true", r"tiny\.cpus = True"),
            ("[tiny]\ngpus = 0.5", r"tiny\.gpus = 0\.5"),
            ("[tiny]\ncpus = inf", r"tiny\.cpus = inf"),
            ("[tiny]\ncpus = 0", "needs some cpus"),
            ("tiny = 1", "means nothing"),
            ("[tiny", "cannot be read"),
        ],
    )
    def test_what_it_gets_wrong_is_named(self, configured, text, said):
        with pytest.raises(SetupProblem, match=said):
            configured(text)

    def test_one_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(SetupProblem, match="No such file"):
            configured_runtimes(tmp_path / "none.toml")


def test_thousandths_of_cores_are_those_of_the_machine():
    held = millicores(Runtimes(RUNTIMES), Machine(cpus=2, memory_bytes=GIB))
    assert (held["micro"], held["tiny"], held["4x-large"]) == (500, 1000, 2000)
