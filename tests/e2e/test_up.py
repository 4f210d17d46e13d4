"""`landloom up` and `down` as a user meets them: starts, refusals, kills, TLS."""

import json
import os
import signal
import socket
import subprocess

import boto3
import psutil
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from landloom.stack.processes import ProcessRecord
from tests.e2e.conftest import LANDLOOM, landloom, plain_environment, start_platform

pytestmark = pytest.mark.e2e


def s3(connection):
    return boto3.client(
        "s3",
        endpoint_url=connection["AWS_ENDPOINT_URL"],
        aws_access_key_id=connection["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=connection["AWS_SECRET_ACCESS_KEY"],
        region_name=connection["AWS_REGION"],
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def place(connection):
    bucket, _, prefix = connection["USER_S3_PATH"].removeprefix("s3://").partition("/")
    return bucket, prefix


def put(connection, name, body):
    bucket, prefix = place(connection)
    s3(connection).put_object(Bucket=bucket, Key=prefix + name, Body=body)


def get(connection, name):
    bucket, prefix = place(connection)
    return s3(connection).get_object(Bucket=bucket, Key=prefix + name)["Body"].read()


def processes_of(folder):
    """Every process whose arguments name this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if any(str(folder) in argument for argument in arguments):
            found.append(process)
    return found


def one_sentence(ended):
    """Check that a refusal is one line on stderr and exit status 2; return the line."""
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("landloom: ")
    assert line.endswith(".")
    return line


class TestLife:
    def test_data_and_keys_stay_and_nothing_is_left_running(self, tmp_path):
        folder = tmp_path / "a folder with spaces"
        first = start_platform(folder)
        before = first.connection
        put(before, "kept.txt", b"kept")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert landloom("down", f"--data={folder}").returncode == 0
        assert processes_of(folder) == []

        start_platform(folder)
        assert first.connection == before
        assert get(before, "kept.txt") == b"kept"
        answer = requests.get(
            f"{before['LANDLOOM_URL']}/users/me",
            headers={"X-API-Key": before["WHEROBOTS_API_KEY"]},
            timeout=60,
        )
        assert answer.status_code == 200

        # A job that is running is ended too, with its runner.
        job = tmp_path / "job.py"
        job.write_text("import time\nprint('on', flush=True)\ntime.sleep(300)\n")
        run_id = landloom("run", str(job), "--detach", f"--data={folder}").stdout.strip()
        poll(lambda: landloom("logs", run_id, f"--data={folder}").stdout == "on\n")
        ended = landloom("down", f"--data={folder}")
        assert ended.stdout == "Ended: server, store, 1 running job(s).\n"
        assert processes_of(folder) == []
        again = landloom("down", f"--data={folder}")
        assert (again.returncode, again.stdout) == (0, "Nothing was running.\n")

    def test_in_the_foreground_ctrl_c_ends_it_cleanly(self, tmp_path):
        process = subprocess.Popen(
            [*LANDLOOM, "up", f"--data={tmp_path}"],
            env=plain_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = process.stdout.readline()
        assert said == "Landloom is up.\n"
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
        assert process.wait(120) == 0
        assert errors == ""
        assert ("not isolated from one another" in rest) == (os.geteuid() != 0)
        assert "Running jobs go on under their runners" in rest
        assert processes_of(tmp_path) == []

    def test_ended_while_starting_it_leaves_nothing(self, tmp_path):
        process = subprocess.Popen(
            [*LANDLOOM, "up", f"--data={tmp_path}"],
            env=plain_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        poll((tmp_path / "store.pid").exists)
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        assert processes_of(tmp_path) == []


class TestKills:
    def test_after_a_kill_the_store_is_adopted_and_the_data_are_there(self, tmp_path):
        platform = start_platform(tmp_path)
        connection = platform.connection
        put(connection, "kept.txt", b"kept")
        kill_up(tmp_path)
        store = ProcessRecord.read(tmp_path / "store.pid")
        assert store.alive()

        started = landloom("up", f"--data={tmp_path}", "--detach")
        assert started.returncode == 0, started.stderr
        assert "was adopted" in started.stdout
        assert ProcessRecord.read(tmp_path / "store.pid") == store
        assert get(connection, "kept.txt") == b"kept"

        # `down` also ends what a killed `up` left behind.
        kill_up(tmp_path)
        ended = landloom("down", f"--data={tmp_path}")
        assert ended.stdout.startswith("Ended: store")
        assert processes_of(tmp_path) == []

    def test_a_store_that_dies_is_started_again(self, platform):
        folder = platform.folder
        connection = platform.connection
        put(connection, "kept.txt", b"kept")
        store = ProcessRecord.read(folder / "store.pid")
        os.kill(store.pid, signal.SIGKILL)
        poll(lambda: ProcessRecord.read(folder / "store.pid") not in {None, store})
        poll(lambda: is_readable(connection, "kept.txt"))


class TestRefusals:
    def test_a_folder_in_use(self, platform):
        line = one_sentence(landloom("up", f"--data={platform.folder}"))
        assert str(platform.folder) in line
        assert "in use" in line
        detached = one_sentence(landloom("up", f"--data={platform.folder}", "--detach"))
        assert detached == line

    @pytest.mark.parametrize("detach", [(), ("--detach",)])
    @pytest.mark.parametrize("option", ["--port", "--s3-port"])
    def test_a_port_that_is_taken(self, tmp_path, option, detach):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            line = one_sentence(landloom("up", f"--data={tmp_path}", f"{option}={port}", *detach))
        assert str(port) in line
        assert option in line
        assert processes_of(tmp_path) == []

    def test_a_file_in_place_of_the_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        line = one_sentence(landloom("up", f"--data={tmp_path / 'file'}"))
        assert str(tmp_path / "file") in line

    def test_a_folder_that_cannot_be_written_to(self):
        line = one_sentence(landloom("up", "--data=/proc/landloom"))
        assert "/proc/landloom" in line
        assert "--data" in line

    def test_an_address_of_another_machine(self, tmp_path):
        line = one_sentence(landloom("up", f"--data={tmp_path}", "--host=192.0.2.1"))
        assert "192.0.2.1" in line

    def test_down_where_nothing_ever_was(self, tmp_path):
        assert "no Landloom instance" in one_sentence(landloom("down", f"--data={tmp_path}"))


class TestTls:
    def test_requests_trusts_it_under_every_name(self, tmp_path, monkeypatch):
        platform = start_platform(tmp_path, "--tls", "--tls-name=api.cloud.example.org")
        try:
            connection = platform.connection
            url = connection["LANDLOOM_URL"]
            assert url.startswith("https://")
            for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
                assert connection[name] == str(tmp_path / "tls" / "bundle.pem")
            assert connection["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", connection["REQUESTS_CA_BUNDLE"])
            assert requests.get(f"{url}/health", timeout=60).status_code == 200

            # As a line in /etc/hosts would have it.
            lookup = socket.getaddrinfo
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda host, *rest, **more: lookup(
                    "127.0.0.1" if host == "api.cloud.example.org" else host, *rest, **more
                ),
            )
            port = url.rpartition(":")[2]
            named = f"https://api.cloud.example.org:{port}/health"
            assert requests.get(named, timeout=60).json()["status"]
            monkeypatch.delenv("REQUESTS_CA_BUNDLE")
            with pytest.raises(requests.exceptions.SSLError):
                requests.get(named, timeout=60, verify=requests.certs.where())
            # Our own commands trust it too, from a connection file alone.
            listed = landloom("runs", f"--data={tmp_path}")
            assert listed.returncode == 0, listed.stderr
        finally:
            landloom("down", f"--data={tmp_path}")


class TestRights:
    def test_a_user_cannot_reach_anothers_prefix(self, platform):
        connection = platform.connection
        bucket, prefix = place(connection)
        put(connection, "mine.txt", b"mine")
        other = prefix.replace("customer-", "customer-x")
        client = s3(connection)
        for key in (f"{other}a", "a", f"{prefix.split('/')[0]}/data/a", ".landloom/probe"):
            for attempt in (
                lambda key=key: client.put_object(Bucket=bucket, Key=key, Body=b""),
                lambda key=key: client.get_object(Bucket=bucket, Key=key),
                lambda key=key: client.delete_object(Bucket=bucket, Key=key),
                lambda key=key: client.list_objects_v2(Bucket=bucket, Prefix=key),
            ):
                with pytest.raises(ClientError, match="AccessDenied"):
                    attempt()

    def test_no_port_but_the_api_talks_to_strangers(self, platform):
        """Every TCP port that a process of the platform listens on, however it came to be."""
        connection = platform.connection
        api = int(connection["LANDLOOM_URL"].rpartition(":")[2])
        s3_port = int(connection["AWS_ENDPOINT_URL"].rpartition(":")[2])
        listening = {
            each.laddr
            for process in processes_of(platform.folder)
            for each in process.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN
        }
        assert {address.ip for address in listening} == {"127.0.0.1"}
        ports = {address.port for address in listening}
        assert {api, s3_port} < ports
        assert len(ports) == 9
        for port in ports - {api}:
            assert refuses_strangers(port), port

    def test_the_folder_keeps_its_secrets(self, platform):
        for name in ("connection.env", "instance.json", "secret", "server.log", "store.log"):
            assert (platform.folder / name).stat().st_mode & 0o077 == 0, name
        content = json.loads((platform.folder / "instance.json").read_text())
        assert set(content) == {"version", "secret_file", "ports"}
        key = platform.connection["WHEROBOTS_API_KEY"]
        assert key not in (platform.folder / "server.log").read_text()
        secrets = [key, platform.connection["AWS_SECRET_ACCESS_KEY"]]
        database = b"".join(path.read_bytes() for path in (platform.folder / "db").iterdir())
        assert not any(secret.encode() in database for secret in secrets)


def refuses_strangers(port):
    """Try plain HTTP and TLS without a certificate; nothing but refusals may come back."""
    for scheme in ("http", "https"):
        for method, path in (
            ("GET", "/"),
            ("GET", "/dir/assign"),
            ("GET", "/landloom?list-type=2"),
            ("PUT", "/buckets/landloom/x"),
            ("GET", "/col/delete?collection=landloom"),
            ("DELETE", "/landloom/.landloom/probe"),
        ):
            try:
                answer = requests.request(
                    method,
                    f"{scheme}://127.0.0.1:{port}{path}",
                    timeout=5,
                    verify=False,  # noqa: S501 - even to a caller who trusts it, it does not talk
                )
            except requests.exceptions.RequestException:
                continue
            if answer.status_code < 400:
                return False
    return True


def kill_up(folder):
    up = ProcessRecord.read(folder / "lock")
    os.kill(up.pid, signal.SIGKILL)
    poll(lambda: not up.alive())


def is_readable(connection, name):
    try:
        return bool(get(connection, name))
    except Exception:  # noqa: BLE001 - the store is down in every way there is
        return False


def poll(condition, seconds=120):
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
