"""The crew of a map whose workers keep something costly: Ray actors, one on each node or GPU.

An actor asks for what is free where it is to stand: where others use a cluster, too, a whole node
may never be. Tasks wait here until an actor is there for them: one that finds no room keeps none.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from landloom.raster.execute.drive import GRACE_SECONDS, Lost
from landloom.raster.execute.ray_cluster import (
    COUNT_SECONDS,
    Ref,
    back,
    free_on_nodes,
    nodes_with_cores,
    result,
)
from landloom.raster.execute.ray_workers import Keeper

TASKS_PER_ACTOR: Final = 2
"""One in work and one that waits."""

LOOK_SECONDS: Final = 0.5
"""How often the cluster is asked what is free while an actor is wanted."""

SETTLE_SECONDS: Final = 2.0
"""How long an actor waits for all of its place: what a map before had is free a moment later."""

LINE_SECONDS: Final = 60.0
"""After so long with nothing free an actor stands in Ray's own line, for one core."""

ARRIVE_SECONDS: Final = 20.0
"""How long an actor may take to be there, before what was free is asked for anew; then doubled."""

TELL_SECONDS: Final = 600.0
"""How often it is told that there is no room."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an actor may stand, and the most that it takes there."""

    node: str | None
    """None leaves it to Ray."""
    cores: int
    gpus: float
    number: int = 0
    """Which one of its kind on the node."""


@dataclass(slots=True, eq=False)
class _Seat:
    """A place, and the actor that stands or is to stand there."""

    place: _Place
    vacant_since: float
    actor: Any = None
    cores: int = 0
    """That the actor asked for."""
    coming: Ref = None
    """What tells that the actor is there; None once it is."""
    asked_at: float = 0.0
    patience: float = ARRIVE_SECONDS
    in_line: bool = False
    """Whether nothing was free when the actor was asked for."""
    tasks: int = 0
    """That the actors here were given and have not brought back."""

    @property
    def is_taken(self) -> bool:
        """Whether an actor stands here."""
        return self.actor is not None and self.coming is None

    @property
    def is_expected(self) -> bool:
        """Whether an actor comes for whom there was room."""
        return self.coming is not None and not self.in_line

    def has_waited_in_vain(self, now: float) -> bool:
        """Tell whether others were quicker to take what was free."""
        late = now > self.asked_at + self.patience
        return self.coming is not None and self.cores > 1 and late

    def ask(self, cores: int, work: Ref, now: float, *, in_line: bool) -> None:
        """Have an actor come that takes so many cores."""
        where: Any = "DEFAULT"
        if self.place.node is not None:
            where = NodeAffinitySchedulingStrategy(self.place.node, soft=False)
        keeper: Any = Keeper
        self.actor = keeper.options(
            num_cpus=cores, num_gpus=self.place.gpus, scheduling_strategy=where
        ).remote((work,), cores)
        self.coming = self.actor.ready.remote()
        self.cores, self.asked_at, self.in_line = cores, now, in_line

    def vacate(self) -> None:
        """End the actor, if there is one."""
        if self.actor is not None:
            with suppress(RayError, ValueError):
                ray.kill(self.actor)
        self.actor = self.coming = None
        self.vacant_since = time.monotonic()


@dataclass(slots=True, eq=False)
class _Errand:
    """A task, and who has it."""

    task: Any
    seat: _Seat | None = None
    """None while it waits for an actor."""
    actor: Any = None
    ref: Ref = None
    loss: str = ""
    """Why no actor came for it."""


@dataclass(slots=True)
class Actors:
    """An actor on each node, or on each share of a GPU where nodes have some."""

    work: Ref
    gpus: float
    tell: Callable[[str], None]
    """Is told, seldom, that there is no room."""
    _seats: dict[_Place, _Seat] = field(default_factory=dict)
    _waiting: deque[_Errand] = field(default_factory=deque)
    _counted: float | None = None
    _looked: float | None = None
    _stuck_since: float | None = None
    _told: float | None = None

    @property
    def capacity(self) -> int:
        """Tasks that are with the crew at most."""
        if self._counted is None or time.monotonic() - self._counted > COUNT_SECONDS:
            self._count()
        return TASKS_PER_ACTOR * len(self._seats)

    def start(self, task: Any) -> _Errand:
        """Take a task."""
        errand = _Errand(task)
        self._waiting.append(errand)
        return errand

    def back(self, tickets: list[Any], seconds: float) -> list[Any]:
        """Return what came back; see to it meanwhile that tasks find actors."""
        self._ask_for_actors(time.monotonic())
        self._hand_out()
        coming = [seat.coming for seat in self._seats.values() if seat.coming is not None]
        refs = [*coming, *(errand.ref for errand in tickets if errand.ref is not None)]
        if not refs:
            time.sleep(seconds)
            return []
        returned = set(back(refs, seconds))
        lost = self._arrived(returned)
        return [*lost, *(errand for errand in tickets if errand.ref in returned)]

    def result(self, ticket: Any) -> Any:
        """Return what a task returned, or raise what it raised.

        Raises:
            Lost: Its actor died.
        """
        seat: _Seat | None = ticket.seat
        if seat is None:
            raise Lost(ticket.loss)
        seat.tasks -= 1
        try:
            return result(ticket.ref)
        except Lost:
            if seat.actor is ticket.actor:
                seat.vacate()
            self._count()
            raise

    def dismiss(self, tickets: list[Any], *, hurry: bool) -> None:
        """End the map, and every actor: one that was interrupted serves nobody else."""
        del hurry  # an actor that does not heed is ended whatever the reason
        refs = [errand.ref for errand in tickets if errand.ref is not None]
        for ref in refs:
            ray.cancel(ref)
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=GRACE_SECONDS)
        for seat in self._seats.values():
            seat.vacate()
        self._seats.clear()
        self._waiting.clear()

    def _ask_for_actors(self, now: float) -> None:
        """Have actors come for tasks that nobody has, as far as there is room."""
        for seat in self._seats.values():
            if seat.has_waited_in_vain(now):
                seat.vacate()
                seat.patience *= 2
        wanted = len(self._waiting) - sum(seat.is_expected for seat in self._seats.values())
        if wanted <= 0 or (self._looked is not None and now < self._looked + LOOK_SECONDS):
            return
        self._looked = now
        free = _Free(free_on_nodes())
        vacant = [seat for seat in self._seats.values() if seat.actor is None]
        for seat in sorted(vacant, key=lambda each: -free.cores(each.place)):
            cores, waited = free.cores(seat.place), now - seat.vacant_since
            if cores >= seat.place.cores or (cores and waited >= SETTLE_SECONDS):
                free.take(seat.place, cores)
                seat.ask(cores, self.work, now, in_line=False)
                wanted -= 1
            elif waited >= LINE_SECONDS or seat.place.node is None:
                seat.ask(1, self.work, now, in_line=True)
            if wanted <= 0:
                break
        self._tell_if_stuck(now)

    def _tell_if_stuck(self, now: float) -> None:
        if any(seat.is_taken or seat.is_expected for seat in self._seats.values()):
            self._stuck_since = None
            return
        self._stuck_since = self._stuck_since or now
        is_news = self._told is None or now >= self._told + TELL_SECONDS
        if is_news and now >= self._stuck_since + SETTLE_SECONDS:
            self._told = now
            self.tell("Waiting for room on the Ray cluster")

    def _hand_out(self) -> None:
        """Give tasks to actors that are there, to the least busy first."""
        while self._waiting:
            free = [
                seat
                for seat in self._seats.values()
                if seat.is_taken and seat.tasks < TASKS_PER_ACTOR
            ]
            if not free:
                return
            seat = min(free, key=lambda each: each.tasks)
            errand = self._waiting.popleft()
            errand.seat, errand.actor = seat, seat.actor
            errand.ref = seat.actor.run.remote(errand.task)
            seat.tasks += 1

    def _arrived(self, returned: set[Ref]) -> list[_Errand]:
        """Note which actors are there; return a task for each that died on its way."""
        lost = []
        for seat in self._seats.values():
            if seat.coming is None or seat.coming not in returned:
                continue
            try:
                result(seat.coming)
            except Lost as loss:
                seat.vacate()
                if self._waiting:
                    lost.append(self._waiting.popleft())
                    lost[-1].loss = str(loss)
            else:
                seat.coming = None
        return lost

    def _count(self) -> None:
        """Seat actors on nodes that came, forget those on nodes that went."""
        self._counted = now = time.monotonic()
        self._seats = {
            place: self._seats.get(place) or _Seat(place, now) for place in _places(self.gpus)
        }


class _Free:
    """What of the cluster nobody has."""

    def __init__(self, nodes: Mapping[str, Mapping[str, float]]) -> None:
        self._nodes = {node: dict(resources) for node, resources in nodes.items()}

    def cores(self, place: _Place) -> int:
        """Return the whole cores for an actor at this place; 0 where its GPU is not free."""
        has = self._nodes.get(place.node or "", {})
        if has.get("GPU", 0.0) < place.gpus:
            return 0
        return min(place.cores, int(has.get("CPU", 0.0)))

    def take(self, place: _Place, cores: int) -> None:
        """Count cores, and what it needs of a GPU, as an actor's."""
        has = self._nodes[place.node or ""]
        has["CPU"] -= cores
        has["GPU"] = has.get("GPU", 0.0) - place.gpus


def _places(gpus: float) -> list[_Place]:
    """Return the places for actors in the cluster as it is now; there is always one."""
    nodes, found = nodes_with_cores(), []
    for node, has in nodes.items():
        count = int(has.get("GPU", 0) // gpus) if gpus else 0
        share = max(1, int(has["CPU"]) // max(1, count))
        found += [_Place(node, share, gpus, number) for number in range(count)]
    if not found:
        found = [_Place(node, int(has["CPU"]), 0.0) for node, has in nodes.items()]
    return found or [_Place(None, 1, gpus)]
