"""Rasters that may change under their names: on a disk, in managed or registered storage.

Scenes of public archives are known by their URLs, which never get other bytes; nobody asks for each
of ten thousand of them whether it is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError

from landloom.errors import LandloomError
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.provenance.origin import digest_of
from landloom.raster.store import objects
from landloom.raster.store.buckets import managed_buckets
from landloom.raster.store.registered import registered_buckets

AT_ONCE = 16
"""Requests to a store."""


def own_rasters(plan: MosaicPlan) -> str | None:
    """Return a digest that changes with the bytes of the caller's own rasters; None without any."""
    own = sorted({href for href in _hrefs(plan) if _may_change(href)})
    if not own:
        return None
    # A disk answers sooner than threads are there to ask it.
    states = {href: _state(href) for href in own if objects.local_path(href) is not None}
    remote = [href for href in own if href not in states]
    if remote:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            states |= zip(remote, pool.map(_state, remote), strict=True)
    return digest_of([[href, states[href]] for href in own])


def _hrefs(plan: MosaicPlan) -> Iterator[str]:
    for step in plan.tables:
        for table in step:
            for scene in table.scenes:
                yield from (asset.href for asset in scene.assets)


def _may_change(href: str) -> bool:
    if objects.local_path(href) is not None:
        return True
    parts = urlsplit(href)
    return parts.scheme == "s3" and parts.netloc in managed_buckets() | registered_buckets()


def _state(href: str) -> list[str | int]:
    """Return what tells two contents of a name apart; that it cannot be read is for the reader."""
    try:
        location = objects.resolve(href)
        entry = obstore.head(location.store, location.path)
    except (BaseError, OSError, LandloomError) as error:
        return [type(error).__name__]
    return [int(entry["size"]), str(entry["e_tag"] or entry["last_modified"])]
