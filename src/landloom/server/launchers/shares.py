"""Which of a machine's numbered parts, cores or GPUs, each workload may use. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


class Shares:
    """Gives each holder the parts that others use least."""

    def __init__(self, parts: Iterable[int]) -> None:
        self._parts = sorted(parts)
        self._held: dict[str, tuple[float, tuple[int, ...]]] = {}

    def take(self, holder: str, amount: float) -> tuple[int, ...]:
        """Return the parts for `amount` of them, rounded up; all where there are not more."""
        count = min(math.ceil(amount), len(self._parts))
        load = dict.fromkeys(self._parts, 0.0)
        for held, parts in self._held.values():
            for part in parts:
                if part in load:
                    load[part] += held / len(parts)
        chosen = tuple(sorted(sorted(self._parts, key=lambda part: (load[part], part))[:count]))
        self.keep(holder, amount, chosen)
        return chosen

    def keep(self, holder: str, amount: float, parts: Sequence[int]) -> None:
        """Note what a holder has, given by an earlier process."""
        self._held[holder] = (amount, tuple(parts))

    def free(self, holder: str) -> None:
        """Note that a holder needs nothing any more."""
        self._held.pop(holder, None)

    def __bool__(self) -> bool:
        """Tell whether there is anything to share."""
        return bool(self._parts)

    def __contains__(self, holder: str) -> bool:
        """Tell whether this holder has something."""
        return holder in self._held
