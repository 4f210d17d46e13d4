"""Our prediction against ftw-tools' on the same image, network, patches and overlap.

    python bench/ftw_tools.py --python ENVIRONMENT/bin/python [--side PIXELS] [--rounds N]

ftw-tools 1.4.3 needs torchgeo 0.7.1 and so an environment of its own; make one and name its
Python. Its `inference run` gets a checkpoint of random weights, patches of 256 px with 32 px of
padding (so a stride of 192 px, as ours) and resize factor 1. Its time is what it prints (model
loading, reading, running, writing, without imports), ours that of placing the model and predicting;
memory is the peak of the process tree. If it fails, its error is printed in place of figures.
Kept outside CI.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from harness import Sample, main_or_variant, measure, memory, report
from network import CLIP, FEATURES, FOLDER, LABELS, PATCH, model_file, mosaic
from predict import prepare_ours

IMAGE, CHECKPOINT = FOLDER / "image-{side}.tif", FOLDER / "ftw.ckpt"
SECONDS = re.compile(r"Finished inference .* in ([\d.]+)s")
PYTHON = "LANDLOOM_BENCH_FTW_PYTHON"
LIMIT_SECONDS = 500

MAKE_CHECKPOINT = f"""
import sys, torch
from ftw.trainers import CustomSemanticSegmentationTask as Task
torch.manual_seed(0)
said = dict(model="unet", backbone="efficientnet-b3", weights=None, in_channels={len(FEATURES)},
            num_classes={len(LABELS)}, loss="ce")
task = Task(**said)
torch.save({{"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams),
            "pytorch-lightning_version": "2.0.0"}}, sys.argv[1])
"""


def prepare_peer(side: str) -> Any:
    """Return what runs ftw-tools once."""
    command = [
        str(Path(os.environ[PYTHON]).with_name("ftw")), "inference", "run",
        str(IMAGE).format(side=side), "-m", str(CHECKPOINT), "--resize_factor", "1",
        "--patch_size", str(PATCH), "--padding", str(CLIP), "-f",
        "-o", str(FOLDER / "ftw-out.tif"),
    ]  # fmt: skip

    def run() -> dict[str, Any]:
        with tempfile.TemporaryFile("w+") as log:
            ended = f"still at work after {LIMIT_SECONDS} s"
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(command, stdout=log, stderr=log, check=False, timeout=LIMIT_SECONDS)
                ended = "ended"
            log.seek(0)
            said = log.read()
        found = SECONDS.search(said)
        return {"seconds": float(found[1])} if found else {"error": f"{ended}: {said[-2000:]}"}

    return run


def image(side: int) -> Path:
    """Return the mosaic as a GeoTIFF of eight bands; the first call writes it."""
    from landloom.raster.grid import Window  # noqa: PLC0415 - not what is timed

    path = Path(str(IMAGE).format(side=side))
    if not path.is_file():
        store = mosaic(side)
        pixels = store.read(0, FEATURES, Window(0, 0, side, side)).astype(np.uint16)
        with rasterio.open(
            path, "w", driver="GTiff", width=side, height=side, count=len(FEATURES),
            dtype="uint16", crs=str(store.geobox.crs), transform=store.geobox.affine, tiled=True,
        ) as file:  # fmt: skip
            file.write(pixels)
    return path


def seconds(sample: Sample) -> float:
    """Return the seconds of placing and predicting."""
    return sample.wall_s + float(sample.fields["start_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", default=os.environ.get(PYTHON))
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    if not said.python:
        print(json.dumps({"name": "ftw_tools", "skipped": "no --python of its environment"}))
        return
    os.environ[PYTHON] = said.python
    model_file()
    mosaic(256)
    image(said.side)
    made = subprocess.run(
        [said.python, "-c", MAKE_CHECKPOINT, str(CHECKPOINT)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        print(json.dumps({"name": "ftw_tools", "error": made.stderr[-2000:]}))
        return
    arguments = {"ours": [said.side], "ftw_tools": [said.side]}
    found = measure(__file__, arguments, rounds=said.rounds, tree=True)
    errors = [each.fields["error"] for each in found["ftw_tools"] if "error" in each.fields]
    if errors:
        print(json.dumps({"name": "ftw_tools", "error": errors[0]}))
        return
    ours = float(np.median([seconds(each) for each in found["ours"]]))
    theirs = float(np.median([each.fields["seconds"] for each in found["ftw_tools"]]))
    pixels = said.side**2
    report(
        "ftw_tools",
        ours=ours,
        limit=theirs / 1.5,
        peers={"ftw_tools": theirs},
        agree=False,
        not_compared="other weights, no blending, classes instead of probabilities",
        rounds=said.rounds,
        side=said.side,
        ours_bytes_px=memory(found["ours"]) / pixels,
        ftw_tools_bytes_px=memory(found["ftw_tools"]) / pixels,
    )


VARIANTS = {"ours": prepare_ours, "ftw_tools": prepare_peer}

if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
