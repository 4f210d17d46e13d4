"""Compiled loops are kept on disk, and compiled anew when a loop they call was changed."""

import subprocess
import sys

CALLED = """
from landloom.raster.kernel import kernel

@kernel
def number():
    return {number}
"""

CALLING = """
from called import number
from landloom.raster.kernel import kernel

@kernel
def twice():
    return 2 * number()

print(twice(), sum(twice.stats.cache_hits.values()))
"""


def test_a_change_in_another_file_is_seen(tmp_path):
    (tmp_path / "calling.py").write_text(CALLING)

    def run(number):
        (tmp_path / "called.py").write_text(CALLED.format(number=number))
        command = [sys.executable, "-B", str(tmp_path / "calling.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return tuple(map(int, done.stdout.split()))

    assert run(1) == (2, 0)
    assert run(1) == (2, 1)
    assert run(5) == (10, 0)
