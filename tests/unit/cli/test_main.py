"""The command line as a whole: quick to start, plain in its refusals."""

import subprocess
import sys

import pytest

from landloom.cli.main import sentence
from landloom.errors import SetupProblem

HEAVY = (
    "httpx",
    "uvicorn",
    "fastapi",
    "sqlalchemy",
    "boto3",
    "torch",
    "numpy",
    "obstore",
    "psutil",
)
REPORT = f"""
import sys
sys.argv = ["landloom", "--help"]
from landloom.cli import app
try:
    app()
finally:
    print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )


def test_help_loads_nothing_that_is_slow():
    ended = run("-c", REPORT)
    assert ended.returncode == 0, ended.stderr
    commands = "up down doctor demo run runs logs cancel models raster"
    for command in commands.split():
        assert f"\n  {command} " in ended.stdout
    assert ended.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("runs",), "LANDLOOM_URL"),
        (("runs", "--connection=/nonexistent/c.env"), "/nonexistent/c.env"),
        (("up", "--data=/nonexistent/x", "--tls-name=a.b"), "--tls"),
    ],
)
def test_what_is_not_set_up_is_one_sentence_and_status_2(arguments, named):
    ended = run("-m", "landloom.cli", *arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert named in line


def test_a_version_is_a_version():
    assert run("-m", "landloom.cli", "--version").stdout.strip().count(".") == 2


def test_an_error_and_its_way_out_become_one_sentence():
    error = SetupProblem("Port 1 is taken.", suggestion="Name another with --port.")
    assert sentence(error) == "landloom: Port 1 is taken: name another with --port."
    assert sentence(SetupProblem("It is so.")) == "landloom: It is so."
