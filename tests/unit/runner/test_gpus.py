"""The calls into NVML, against a small library of the same functions where there is no GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from landloom.runner.gpus import VISIBLE, Gpus, GpuUse
from landloom.runner.usage import Meter, read_usage

SOURCE = r"""
#include <string.h>
typedef struct { unsigned gpu, memory; } rates;
typedef struct { unsigned long long total, free, used; } room;
static int devices[2] = {0, 1};
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **handle) {
    if (n > 1) return 6;
    *handle = &devices[n];
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    if (strcmp(uuid, "GPU-one")) return 6;
    *handle = &devices[1];
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, rates *to) {
    to->gpu = *(int *)handle ? 90 : 30;
    to->memory = 1;
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, room *to) {
    to->total = 80ull << 30;
    to->used = (*(int *)handle ? 60ull : 20ull) << 30;
    to->free = to->total - to->used;
    return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler on this machine")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(SOURCE)
    made = folder / "nvml.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, folder / "nvml.c"], check=True)
    return str(made)


@pytest.mark.parametrize(
    ("visible", "use"),
    [
        ("0", GpuUse(30, 25)),
        ("1", GpuUse(90, 75)),
        ("0,1", GpuUse(60, 50)),
        ("GPU-one", GpuUse(90, 75)),
        ("7, 1", GpuUse(90, 75)),
    ],
)
def test_the_mean_of_those_that_a_workload_has(library: str, visible: str, use: GpuUse):
    gpus = Gpus.of({VISIBLE: visible}, library)
    assert gpus is not None
    assert gpus.look() == use


@pytest.mark.parametrize("environment", [{}, {VISIBLE: ""}, {VISIBLE: "7"}], ids=str)
def test_who_has_none_is_not_sampled(library: str, environment: dict[str, str]):
    assert Gpus.of(environment, library) is None


def test_a_machine_without_a_driver_has_none():
    assert Gpus.of({VISIBLE: "0"}, "libabsent-landloom.so") is None


def test_samples_carry_it_and_can_be_read_again(library: str, tmp_path: Path):
    Meter(tmp_path, None, Gpus.of({VISIBLE: "0,1"}, library)).look([psutil.Process()])
    (sample,) = read_usage(tmp_path)
    assert sample.gpu == GpuUse(60, 50)
