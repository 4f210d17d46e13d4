"""A sighting: one thing as one patch saw it, and whether two sightings are of one thing.

Of each patch only its reach counts (see `PatchLattice.reach`): nearer to its edge a model sees too
little around a thing. Neighbouring reaches overlap by `clip_size`, and what two patches make of
the ground they share tells whether they speak of the same thing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.raster.geometries.model import Instance
from landloom.raster.grid import Window
from landloom.raster.predict.pixels import hull
from landloom.raster.predict.plan import PatchKey
from landloom.raster.vectorize.label import label_components

SAME = 0.5
"""Overlap by which two masks are one: more than half of their union, as detection scores have it
(Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge", section 4.2)."""

ON_EDGE = 1e-3
"""Pixels. Boxes come as single-precision fractions of a patch, so a side that means a pixel's edge
is off by up to patch / 2**24."""

type SightingKey = tuple[PatchKey, int]
"""The patch, and the place in its list: the lattice order of all sightings."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A thing in the reach of a patch; all windows are in array pixels."""

    key: SightingKey
    prompt: int
    score: float
    window: Window
    """Of the mask: no row or column at its rim is empty."""
    bits: NDArray[np.uint8]
    """The mask, packed row by row as one line of bits."""
    box: Window
    """The model's box, grown to whole pixels and cut at the reach."""
    cut: bool
    """Whether the thing may go on beyond the reach."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(y, x) of `window`."""
        height, width = self.window.shape_yx
        flat = np.unpackbits(self.bits, count=height * width)
        mask: NDArray[np.bool_] = flat.reshape(height, width).view(np.bool_)
        return mask

    def mask_in(self, window: Window) -> NDArray[np.bool_]:
        """Return the mask of a window that lies within `self.window` or beyond."""
        out = np.zeros(window.shape_yx, bool)
        common = window.clipped(self.window)
        if not common.empty:
            inside = common.shifted(-self.window.y0, -self.window.x0).slices()
            out[common.shifted(-window.y0, -window.x0).slices()] = self.mask[inside]
        return out


@dataclass(frozen=True, slots=True)
class PatchGround:
    """What of a patch counts."""

    key: PatchKey
    window: Window
    """The patch; it may reach beyond the array."""
    reach: Window
    """What the patch has a say in, cut at the array's edge."""
    ends: tuple[bool, bool, bool, bool]
    """North, west, south, east: whether the array goes on beyond the reach."""
    valid: NDArray[np.bool_]
    """(y, x) of `reach`: where every feature has a value."""


def sight(ground: PatchGround, number: int, instance: Instance) -> Sighting | None:
    """Return what an instance is within its patch's reach; None if nothing of it lies there."""
    place = ground.reach.shifted(-ground.window.y0, -ground.window.x0)
    whole = _whole_pixels(instance.box)
    if instance.mask is None:
        mask = np.zeros(ground.reach.shape_yx, bool)
        drawn = whole.clipped(place)
        if not drawn.empty:
            mask[drawn.shifted(-place.y0, -place.x0).slices()] = True
    else:
        mask = instance.mask[place.slices()] & ground.valid
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    tight = Window(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    window = tight.shifted(ground.reach.y0, ground.reach.x0)
    return Sighting(
        (ground.key, number),
        instance.prompt,
        instance.score,
        window,
        np.packbits(mask[tight.slices()]),
        _box_within(whole.shifted(ground.window.y0, ground.window.x0), ground.reach, window),
        _touches(window, ground),
    )


def _box_within(box: Window, reach: Window, mask: Window) -> Window:
    """Return a box whose sides beyond the reach are those of the mask.

    What lies there is another patch's to say, or is the ground mirrored at the mosaic's edge.
    """
    within = Window(
        box.y0 if box.y0 >= reach.y0 else mask.y0,
        box.x0 if box.x0 >= reach.x0 else mask.x0,
        box.y1 if box.y1 <= reach.y1 else mask.y1,
        box.x1 if box.x1 <= reach.x1 else mask.x1,
    )
    return mask if within.empty else within


def same_thing(first: Sighting, second: Sighting, shared: Window) -> bool:
    """Return whether two patches' sightings are of one thing.

    They are if, on the ground that both patches have a say in, the masks agree (`SAME`), or any
    connected part of one agrees with one of the other, or half of one that its reach cuts off lies
    in the other. Where both patches see the same pixels of everything, that joins exactly what is
    connected.

    Args:
        first: Of one patch.
        second: Of another patch, for the same prompt.
        shared: What the reaches of the two patches have in common.
    """
    common = shared.clipped(first.window).clipped(second.window)
    if common.empty:
        return False
    window = shared.clipped(hull((first.window, second.window)))
    one, two = first.mask_in(window), second.mask_in(window)
    both = int(np.count_nonzero(one & two))
    if not both:
        return False
    areas = int(np.count_nonzero(one)), int(np.count_nonzero(two))
    if both >= SAME * (sum(areas) - both):
        return True
    if any(
        each.cut and both >= SAME * area for each, area in zip((first, second), areas, strict=True)
    ):
        return True
    return _parts_agree(one, two)


def _parts_agree(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> bool:
    """Return whether any connected part of one mask is, by `SAME`, one of the other's."""
    labels = [label_components(mask.view(np.uint8))[0][1:-1, 1:-1] for mask in (one, two)]
    counts = [np.bincount(label.ravel()) for label in labels]
    pairs = np.stack([label[one & two] for label in labels])
    (left, right), both = np.unique(pairs, axis=1, return_counts=True)
    union = counts[0][left] + counts[1][right] - both
    return bool((both >= SAME * union).any())


def _whole_pixels(box: tuple[float, float, float, float]) -> Window:
    """Return a box grown to whole pixels; a side that lies on a pixel's edge stays there."""
    low = [math.floor(side + ON_EDGE) for side in box[:2]]
    high = [math.ceil(side - ON_EDGE) for side in box[2:]]
    return Window(low[1], low[0], high[1], high[0])


def _touches(window: Window, ground: PatchGround) -> bool:
    reach = ground.reach
    at_rim = (
        window.y0 == reach.y0,
        window.x0 == reach.x0,
        window.y1 == reach.y1,
        window.x1 == reach.x1,
    )
    return any(touched and goes_on for touched, goes_on in zip(at_rim, ground.ends, strict=True))
