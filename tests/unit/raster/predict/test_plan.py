"""The plan runs each patch once, keeps it as long as it is needed, and no longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landloom.raster.grid import Window
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.plan import Block, Planner, blocks_of
from landloom.wire.enums import MergeModeEnum


def blocks(height: int, width: int, shard: int, size: int) -> list[Block]:
    found: list[Block] = []
    for y0 in range(0, height, shard):
        for x0 in range(0, width, shard):
            window = Window(y0, x0, min(y0 + shard, height), min(x0 + shard, width))
            found += blocks_of(0, (y0 // shard, x0 // shard), window, size)
    return found


sizes = st.tuples(st.integers(1, 150), st.integers(1, 150))
origins = st.tuples(st.integers(-999, 999), st.integers(-999, 999))


class TestPlanner:
    @given(sizes, origins, st.sampled_from(MergeModeEnum), st.integers(0, 40), st.data())
    def test_has_every_patch_at_hand_and_forgets_all(
        self,
        shape: tuple[int, int],
        origin: tuple[int, int],
        mode: MergeModeEnum,
        kept: int,
        data: st.DataObject,
    ) -> None:
        every = blocks(*shape, 64, 32)
        chosen = [block for block in every if data.draw(st.booleans()) or len(every) > 6]
        lattice = PatchLattice(32, 4, blended=mode is MergeModeEnum.WEIGHTED_AVERAGE)
        planner = Planner(lattice, origin, 32, kept)
        at_hand: set[tuple[int, int]] = set()
        for plan in planner.plans(chosen):
            assert not at_hand & set(plan.fresh)
            at_hand |= set(plan.fresh)
            assert at_hand >= set(plan.needed)
            at_hand -= set(plan.spent)
            assert len(at_hand) <= kept
        assert not at_hand

    @given(sizes, origins)
    def test_runs_no_patch_twice_where_memory_allows(
        self, shape: tuple[int, int], origin: tuple[int, int]
    ) -> None:
        planner = Planner(PatchLattice(32, 4, blended=True), origin, 32, 10_000)
        fresh = [key for plan in planner.plans(blocks(*shape, 64, 32)) for key in plan.fresh]
        assert len(fresh) == len(set(fresh))
