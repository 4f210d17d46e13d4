"""The doctor's findings, each with its way out."""

import socket

import pytest

from landloom.stack import doctor
from landloom.stack.doctor import examine
from landloom.stack.instance import Instance, Ports
from landloom.stack.ports import pick
from landloom.stack.weed import StorePorts


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_this_machine_is_fine():
    findings = by_name(examine())
    assert set(findings) == {"Python", "memory", "disk", "object store", "isolation", "ports"}
    assert all(finding.way_out for finding in findings.values())
    assert findings["Python"].ok
    assert findings["object store"].ok
    assert "4." in findings["object store"].detail


@pytest.mark.parametrize(("isolation", "ok"), [("off", True), ("wrong", False)])
def test_it_tells_whether_users_are_kept_apart(monkeypatch, isolation, ok):
    monkeypatch.setenv("LANDLOOM_ISOLATION", isolation)
    finding = by_name(examine())["isolation"]
    assert finding.ok == ok
    assert "LANDLOOM_ISOLATION" in finding.detail


def test_a_new_folder_is_tried_and_not_left_behind(tmp_path):
    findings = by_name(examine(tmp_path / "new"))
    assert findings["folder"].ok
    assert findings["ports"].ok
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    finding = by_name(examine(tmp_path / "file"))["folder"]
    assert not finding.ok
    assert "--data" in finding.way_out


def test_a_kept_port_that_somebody_took(tmp_path):
    master, volume, filer, s3, api = pick(5, with_grpc=True)
    Instance.at(tmp_path).keep(Ports(api, StorePorts(master, volume, filer, s3), door=0))
    assert by_name(examine(tmp_path))["ports"].ok
    with socket.create_server(("127.0.0.1", api)):
        finding = by_name(examine(tmp_path))["ports"]
    assert not finding.ok
    assert str(api) in finding.detail
    assert "--port" in finding.way_out


@pytest.mark.parametrize(
    ("bound", "name"), [("_LEAST_DISK_BYTES", "disk"), ("_LEAST_MEMORY_BYTES", "memory")]
)
def test_too_little_of_something(monkeypatch, bound, name):
    monkeypatch.setattr(doctor, bound, 1 << 60)
    assert not by_name(examine())[name].ok
