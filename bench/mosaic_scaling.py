"""A mosaic by one worker and by two.

    python bench/mosaic_scaling.py

Scenes and workflow are those of `mosaic.py`. `limit` is half the time of one worker. Two cores of a
machine share its memory, and other programs want some of them, so the same is told of the decode
alone (`machine_speedup`): no worker waits for another there.
"""

from __future__ import annotations

import numpy as np

from harness import cpu, main_or_variant, measure, report, wall
from mosaic import ROUNDS, SIDE, mosaic_pixels, prepare_limit, prepare_ours


def main() -> None:
    """Measure one worker against two."""
    found = measure(
        __file__,
        {
            "1": ["32633", SIDE, 1, "", "one"],
            "2": ["32633", SIDE, 2, "", "two"],
            "decode 1": [SIDE, 1],
            "decode 2": [SIDE, 2],
        },
        rounds=ROUNDS,
        names={"1": "ours", "2": "ours", "decode 1": "limit", "decode 2": "limit"},
    )
    equal = np.array_equal(mosaic_pixels("one-32633"), mosaic_pixels("two-32633"), equal_nan=True)
    one, two = wall(found["1"]), wall(found["2"])
    report(
        "mosaic_scaling",
        ours=two,
        limit=one / 2,
        peers={"1 worker": one},
        agree=equal,
        rounds=ROUNDS,
        speedup=one / two,
        machine_speedup=wall(found["decode 1"]) / wall(found["decode 2"]),
        limit_is="half the time of one worker",
        cpu_s=[cpu(found["1"]), cpu(found["2"])],
    )


if __name__ == "__main__":
    main_or_variant({"ours": prepare_ours, "limit": prepare_limit}, main)
