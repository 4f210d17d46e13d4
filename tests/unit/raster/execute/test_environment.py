import os
import tempfile
from pathlib import Path

import pytest

from landloom.raster.execute.environment import WorkerEnvironment


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Make this process a worker's: an environment and temporary files of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "environ", {"PATH": "/bin"})


def test_the_way_to_the_store_travels_and_the_key_to_the_server_does_not():
    sent = WorkerEnvironment.of_this_process(
        {
            "AWS_SECRET_ACCESS_KEY": "s3cret",
            "USER_S3_PATH": "s3://b/u/",
            "LANDLOOM_RUNTIME": "torch",
            "WHEROBOTS_API_KEY": "no",
            "AWS_SHARED_CREDENTIALS_FILE": "/no",
            "HOME": "/no",
        }
    )
    sent.enter()
    assert _seen() == {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "USER_S3_PATH": "s3://b/u/",
        "LANDLOOM_RUNTIME": "torch",
    }


def test_what_an_earlier_sender_had_is_gone():
    WorkerEnvironment.of_this_process({"AWS_SESSION_TOKEN": "t", "AWS_REGION": "a"}).enter()
    WorkerEnvironment.of_this_process({"AWS_REGION": "b"}).enter()
    assert _seen() == {"PATH": "/bin", "AWS_REGION": "b"}


def test_certificates_go_along_to_where_the_file_is_not(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(b"roots")
    sent = WorkerEnvironment.of_this_process({"SSL_CERT_FILE": str(bundle)})
    sent.enter()
    assert os.environ["SSL_CERT_FILE"] == str(bundle)
    bundle.unlink()
    sent.enter()
    copy = Path(os.environ["SSL_CERT_FILE"])
    assert copy.read_bytes() == b"roots"
    sent.enter()
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_certificates_are_not_kept_where_others_may_write(tmp_path, mode):
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(b"roots")
    sent = WorkerEnvironment.of_this_process({"SSL_CERT_FILE": str(bundle)})
    bundle.unlink()
    sent.enter()
    copy = Path(os.environ["SSL_CERT_FILE"])
    copy.write_bytes(b"a stranger's")
    copy.parent.chmod(mode)
    sent.enter()
    assert Path(os.environ["SSL_CERT_FILE"]).read_bytes() == b"roots"


def test_secrets_do_not_show_when_it_is_printed():
    sent = WorkerEnvironment.of_this_process({"AWS_SECRET_ACCESS_KEY": "s3cret"})
    assert "s3cret" not in repr(sent)


def _seen():
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
