"""What `landloom down` says of an instance that it cannot end."""

import fcntl

import pytest

from landloom.errors import SetupProblem
from landloom.stack import down as module
from landloom.stack.down import down
from landloom.stack.instance import Instance, Ports
from landloom.stack.weed import StorePorts


@pytest.fixture
def instance(tmp_path):
    found = Instance.at(tmp_path)
    found.prepare()
    found.keep(Ports(1, StorePorts(master=2, volume=3, filer=4, s3=5), door=6))
    return found


def test_one_that_is_not_up_leaves_nothing_to_end(instance):
    ended = down(instance.folder)
    assert not ended.server
    assert not ended.store
    with instance.lock():
        pass


def test_one_that_is_up_without_saying_as_whom_is_not_said_to_be_ended(instance, monkeypatch):
    monkeypatch.setattr(module, "_NAMED_SECONDS", 0.0)
    instance.lock_file.write_text("{}")
    with instance.lock_file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SetupProblem, match="is held, but does not say by which process"):
            down(instance.folder)
    assert not instance.is_held()
