import platform
import subprocess
import sys

import pytest

SCRIPT = """
import threading
import psutil
from landloom.raster.memory import return_free_memory

def fill():
    # Blocks too small to be mapped one by one; one in a hundred stays, so no heap gets empty.
    blocks = [bytearray(b"x" * 60_000) for _ in range(3000)]
    kept.extend(blocks[::100])
    del blocks

kept = []
threads = [threading.Thread(target=fill) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
before = psutil.Process().memory_info().rss
return_free_memory()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to")
def test_what_threads_freed_goes_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 20e6, done.stdout


HEAVY = "pandas geopandas xarray zarr pyarrow rasterio pystac_client torch openvino"
"""Some 120 MB together, of which a mosaic of ordinary files needs nothing but its index's Arrow."""


def test_the_engine_loads_nothing_that_only_other_requests_need():
    script = f"import sys, landloom.raster.workflow; print({HEAVY.split()} & sys.modules.keys())"
    script = script.replace("[", "{").replace("]", "}")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "set()"


FAULTS = """
import resource, threading
import numpy as np
from landloom.raster.store.shard import compress

def faults():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt

def pack():
    chunk = np.random.default_rng(0).integers(0, 4000, (512, 512)).astype(np.float32)
    for _ in range(3):
        compress(chunk)
    before = faults()
    for _ in range(20):
        compress(chunk)
    print((faults() - before) / 20)

thread = threading.Thread(target=pack)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_packing_chunk_after_chunk_takes_no_fresh_pages_each_time():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(done.stdout) < 100, done.stdout
