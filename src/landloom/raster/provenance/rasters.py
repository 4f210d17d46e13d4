"""Rasters that may change under their names: on a disk, in managed or registered storage.

Scenes of public archives are known by their URLs, which never get other bytes; nobody asks for each
of ten thousand of them whether it is still the same. What a caller's own tile index lists is the
caller's own, wherever it lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from landloom.errors import LandloomError
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.provenance.contents import state_of
from landloom.raster.store import objects
from landloom.raster.store.buckets import managed_buckets
from landloom.raster.store.registered import registered_buckets

AT_ONCE = 16
"""Requests to a store."""


def own_rasters(plan: MosaicPlan) -> dict[str, str | None]:
    """Return for each of the caller's own rasters what changes with its bytes; None is unknown."""
    own = sorted({href for href, listed in _hrefs(plan) if listed or _may_change(href)})
    # A disk answers sooner than threads are there to ask it.
    states = {href: _state(href) for href in own if objects.local_path(href) is not None}
    remote = [href for href in own if href not in states]
    if remote:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            states |= zip(remote, pool.map(_state, remote), strict=True)
    return {href: states[href] for href in own}


def changed_rasters(then: Mapping[str, str | None], now: Mapping[str, str | None]) -> list[str]:
    """Return the rasters that are not what they were."""
    return sorted(href for href in then.keys() | now.keys() if then.get(href) != now.get(href))


def _hrefs(plan: MosaicPlan) -> Iterator[tuple[str, bool]]:
    """Yield each raster, and whether a tile index lists it."""
    listed = {each.name for each in plan.datasets if each.source.kind == "gti"}
    for step in plan.tables:
        for table in step:
            for scene in table.scenes:
                yield from ((asset.href, table.dataset in listed) for asset in scene.assets)


def _may_change(href: str) -> bool:
    if objects.local_path(href) is not None:
        return True
    parts = urlsplit(href)
    return parts.scheme == "s3" and parts.netloc in managed_buckets() | registered_buckets()


def _state(href: str) -> str | None:
    """Return what tells two contents of a name apart; that it cannot be read is for the reader."""
    try:
        return state_of(href)
    except LandloomError:
        return None
