"""What travels to a node: packed here, unpacked in another place, and run there."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from landloom import jobsite
from landloom.runner import folder, remote
from landloom.server.launchers.base import Workload
from landloom.server.launchers.ray_package import ARCHIVE, pack


@pytest.fixture
def home(tmp_path):
    """A server's data folder: overlay, bundle, an environment of its own, something secret."""
    home = tmp_path / "home"
    for name, text in {
        "cache/overlays/1/humane.py": "WORD = 'overlay'",
        "tls/bundle.pem": "roots",
        "db/secrets": "not yours",
        "workloads/w1/script/job.py": "import humane; print(humane.WORD)",
        "workloads/w1/profile/aws-config": "[default]",
        "workloads/w1/documents/settings.json": "{}",
        "workloads/w1/spec.json": "an older one",
        "workloads/w1/log": "1 installed\n",
    }.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return home


def travel(home, tmp_path, **changes):
    directory = home / "workloads" / "w1"
    overlay = home / "cache" / "overlays" / "1"
    workload = Workload(
        **{
            "id": "w1",
            "directory": directory,
            "argv": (sys.executable, str(directory / "script" / "job.py"), "--x", "s3://a:b/c"),
            "env": {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(jobsite.hook_folder()), str(overlay)]),
                "SSL_CERT_FILE": str(home / "tls" / "bundle.pem"),
                "AWS_CONFIG_FILE": str(directory / "profile" / "aws-config"),
                "USER_S3_PATH": "s3://bucket/home/",
            },
            "timeout_seconds": 9,
            "cpus": 1,
            "memory_bytes": 1 << 30,
            "memory_limit": 1 << 30,
            "documents": directory / "documents",
        }
        | changes
    )
    sent, place = tmp_path / "sent", tmp_path / "place"
    sent.mkdir()
    place.mkdir()
    pack(workload, sent, home=home, python=sys.executable, grace_seconds=2)
    remote.unpack(sent / ARCHIVE, place)
    return place, folder.read_spec(place)


class TestTravel:
    def test_the_script_finds_what_it_had(self, home, tmp_path):
        place, spec = travel(home, tmp_path)
        assert str(home) not in str(spec)
        done = subprocess.run(spec.argv, env=spec.env, capture_output=True, text=True, check=True)
        assert done.stdout == "overlay\n"
        assert (place / "profile" / "aws-config").read_text() == "[default]"
        assert spec.env["AWS_CONFIG_FILE"] == str(place / "profile" / "aws-config")
        assert Path(spec.env["SSL_CERT_FILE"]).read_text() == "roots"
        assert spec.documents == spec.env[folder.DOCUMENTS] == str(place / "documents")
        assert spec.argv[2:] == ("--x", "s3://a:b/c")
        assert (spec.timeout_seconds, spec.grace_seconds, spec.memory_limit) == (9, 2, 1 << 30)

    def test_nothing_else_goes_along(self, home, tmp_path):
        place, _ = travel(home, tmp_path)
        with tarfile.open(tmp_path / "sent" / ARCHIVE) as archive:
            names = {member.name for member in archive if member.isfile()}
            assert {member.mode & 0o077 for member in archive if member.name == "spec.json"} == {0}
        assert names == {
            *("manifest.json", "spec.json", "script/job.py", "profile/aws-config"),
            *("documents/settings.json", "carried/0/humane.py", "carried/1"),
        }
        assert "not yours" not in (place / "spec.json").read_text()

    def test_an_environment_of_its_own_settles_on_the_node(self, home, tmp_path):
        environment = home / "cache" / "environments" / "e1"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        (site,) = environment.glob("lib/python*/site-packages")
        (site / "humane.py").write_text("WORD = 'environment'")
        python = str(environment / "bin" / "python")
        directory = home / "workloads" / "w1"
        argv = (python, str(directory / "script" / "job.py"))
        _, spec = travel(home, tmp_path, argv=argv, env={"PATH": os.environ["PATH"]})
        assert str(home) not in str(spec)
        environment.rename(tmp_path / "gone")
        done = subprocess.run(spec.argv, env=spec.env, capture_output=True, text=True, check=True)
        assert done.stdout == "environment\n"
