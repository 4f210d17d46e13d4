"""Actors beside others who use the cluster: they take what is free, and wait where nothing is."""

import threading
from contextlib import contextmanager

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tests.engine.clusters import add_node
from tests.engine.cubes import never

from landloom.errors import Cancelled
from landloom.raster.execute.local import available_cores
from landloom.raster.execute.ray import RayExecutor

ALL = {n: 100 + n for n in range(6)}


@pytest.fixture
def held(ray_executor):
    """Hold a core of each node that has but one."""
    assert ray_executor.workers >= 2
    with holders(1) as holding:
        yield holding


@pytest.fixture
def larger_node(ray_cluster):
    """A third node, of two cores."""
    node = add_node(ray_cluster, 2)
    ray_cluster.wait_for_nodes()
    yield node.node_id
    ray_cluster.remove_node(node)


def test_none_waits_for_a_node_that_somebody_has(ray_executor, held):
    held.pop().free()
    assert dict(ray_executor.map_with(_hundred, _add, range(6), never)) == ALL


def test_where_nothing_is_free_it_says_so_once_and_goes_on_when_something_is(held):
    told = []

    def tell(text):
        told.append(text)
        held.pop().free()

    executor = RayExecutor(tell=tell)
    assert dict(executor.map_with(_hundred, _add, range(6), never)) == ALL
    assert told == ["Waiting for room on the Ray cluster"]


def test_who_waits_for_room_can_be_cancelled(held):
    stop = threading.Event()
    executor = RayExecutor(tell=lambda _text: stop.set())
    with pytest.raises(Cancelled):
        list(executor.map_with(_hundred, _add, range(6), stop.is_set))
    # None of its actors stands in the line for what gets free.
    held.pop().free()
    assert dict(executor.map_with(_hundred, _add, range(6), never)) == ALL


def test_what_others_hold_of_a_node_is_left_to_them(ray_executor, held, larger_node):
    del held
    with holders(2):
        found = dict(ray_executor.map_with(_hundred, _cores, range(6), never))
    assert found == dict.fromkeys(range(6), (1.0, 1))


class _Holder:
    """Holds a core of a node."""

    def __init__(self, node):
        where = NodeAffinitySchedulingStrategy(node, soft=False)
        self._actor = _Idle.options(num_cpus=1, scheduling_strategy=where).remote()
        ray.get(self._actor.there.remote())

    def free(self):
        ray.kill(self._actor)


@contextmanager
def holders(cores):
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"]["CPU"] == cores]
    made = [_Holder(node["NodeID"]) for node in nodes]
    assert made
    kept = list(made)
    try:
        yield kept
    finally:
        for holder in made:
            holder.free()


@ray.remote
class _Idle:
    def there(self):
        pass


def _hundred():
    return 100


def _add(state, n, _cancelled):
    return state + n


def _cores(_state, _n, _cancelled):
    return ray.get_runtime_context().get_assigned_resources()["CPU"], available_cores()
