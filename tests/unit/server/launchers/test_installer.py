"""Commands of the installer: what is kept of their output, and that none outlives its server."""

import signal
import subprocess
import sys
import time

import psutil

from landloom.server.launchers.installer import run

DEADLINE_SECONDS = 120
SERVER = """
import asyncio, sys
from landloom.server.launchers.installer import run
child = "import os, time; open(sys.argv[1] + '.new', 'w').write(str(os.getpid())); "
child += "os.rename(sys.argv[1] + '.new', sys.argv[1]); time.sleep(600)"
asyncio.run(run([sys.executable, "-c", "import sys; " + child, sys.argv[1]]))
"""


async def test_short_output_is_returned_whole_and_without_empty_lines():
    code = "import sys; print('one  '); print(); print('two', file=sys.stderr); sys.exit(3)"
    assert await run([sys.executable, "-u", "-c", code]) == (3, ["one", "two"])


async def test_of_endless_output_the_end_is_kept_and_the_rest_counted():
    code = "for n in range(100_000): print(n, 'x' * 90)\nprint('last')"
    status, lines = await run([sys.executable, "-c", code])
    assert status == 0
    assert lines[-2:] == [f"99999 {'x' * 90}", "last"]
    size = sum(len(line) + 1 for line in lines[1:])
    assert size < 3 << 20
    left_out = int(lines[0].removeprefix("[landloom] ").partition(" ")[0])
    whole = sum(len(f"{n} {'x' * 90}") + 1 for n in range(100_000)) + len("last") + 1
    # But for the line that was cut.
    assert 0 <= whole - left_out - size < 100


def test_it_ends_with_a_server_that_is_killed(tmp_path):
    told = tmp_path / "pid"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(told)])
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not told.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = psutil.Process(int(told.read_text()))
    server.send_signal(signal.SIGKILL)
    server.wait()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
