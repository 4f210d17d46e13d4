from hypothesis import given
from hypothesis import strategies as st

from landloom.server.launchers.capacity import Capacity, Demand
from landloom.server.launchers.machine import Machine

GIB = 1 << 30


def demand(name, cpus=1.0, gib=1):
    return Demand(name, cpus, gib * GIB)


def names(demands):
    return [each.id for each in demands]


class TestRuns:
    capacity = Capacity.for_runs(Machine(cpus=2, memory_bytes=4 * GIB))

    def test_as_many_start_as_fit(self):
        waiting = [demand("a", 0.5), demand("b"), demand("c", 0.5), demand("d", 0.5)]
        assert names(self.capacity.admit(waiting, [])) == ["a", "b", "c"]

    def test_what_runs_takes_room(self):
        assert names(self.capacity.admit([demand("b"), demand("c")], [demand("a")])) == ["b"]
        assert self.capacity.admit([demand("b")], [demand("a", 2)]) == []

    def test_memory_counts_as_well(self):
        assert names(self.capacity.admit([demand("a", 0.5, 3), demand("b", 0.5, 2)], [])) == ["a"]

    def test_a_small_one_never_overtakes_a_large_one(self):
        assert self.capacity.admit([demand("large", 2), demand("small")], [demand("a")]) == []

    def test_one_larger_than_all_there_is_starts_alone(self):
        assert names(self.capacity.admit([demand("huge", 64, 256), demand("b")], [])) == ["huge"]
        assert self.capacity.admit([demand("huge", 64)], [demand("a", 0.1)]) == []

    def test_tenths_of_cores_add_up(self):
        waiting = [demand(str(n), 0.1, 0) for n in range(25)]
        assert len(self.capacity.admit(waiting, [])) == 20


class TestWorkflows:
    def test_are_counted_not_weighed(self):
        capacity = Capacity.for_workflows(Machine(cpus=2, memory_bytes=1), slots=2)
        waiting = [demand("a", 64, 512), demand("b", 64, 512), demand("c")]
        assert names(capacity.admit(waiting, [])) == ["a", "b"]
        assert names(capacity.admit(waiting, [demand("x")])) == ["a"]

    def test_one_at_least_and_one_for_four_cores(self):
        assert Capacity.for_workflows(Machine(cpus=2, memory_bytes=1)).slots == 1
        assert Capacity.for_workflows(Machine(cpus=16, memory_bytes=1)).slots == 4


@given(
    cpus=st.lists(st.floats(0.1, 4), max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_whoever_waits_starts_in_the_end(cpus, order):
    capacity = Capacity(cpus=4, memory_bytes=GIB)
    waiting = [demand(str(n), each, 0) for n, each in enumerate(cpus)]
    running, started = [], []
    while waiting:
        admitted = capacity.admit(waiting, running)
        assert admitted or running
        waiting = waiting[len(admitted) :]
        started += admitted
        running += admitted
        assert len(running) == 1 or sum(each.cpus for each in running) <= 4 + 1e-6
        running.pop(order.randrange(len(running)))
    assert names(started) == [str(n) for n in range(len(cpus))]
