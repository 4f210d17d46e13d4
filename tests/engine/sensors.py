"""The built-in catalogue over the sample imagery: every dataset on pixels of its own sensor.

Only places and dates are laid over it; bands, masks, reducers and radiometry are those built in.
"""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"
IMAGERY = SAMPLES / "imagery"
FLANDERS = IMAGERY / "sentinel-2" / "flanders-timeseries"
CALIFORNIA = IMAGERY / "naip" / "california-native" / "2020-04-15" / "image.tif"

SEASONS = {"S2_MED_PLANTING": (340, 365), "S2_MED_HARVEST": (244, 304)}
"""Days of year. The scenes near Antwerp are of autumn, so planting is moved there; harvest has the
days that it has at 51 degrees north."""

SENTINEL_2 = f'source = {{ kind = "static", href = "{IMAGERY}/sentinel-2/collection.json" }}'

# The samples hold four of the twelve bands; the other labels are filled by those four.
OVERLAY = f"""
[datasets.S2_MED_PLANTING]
{SENTINEL_2}
windows = [{{ days = [340, 365] }}]

[datasets.S2_MED_HARVEST]
{SENTINEL_2}

[datasets.S2_MED_WINDOWED_PIXEL]
{SENTINEL_2}

[datasets.S2_MED_WINDOWED_PIXEL_ALL_BANDS]
{SENTINEL_2}

[datasets.S2_MED_WINDOWED_PIXEL_ALL_BANDS.bands]
B01 = "B02"
B02 = "B02"
B03 = "B03"
B04 = "B04"
B05 = "B04"
B06 = "B04"
B07 = "B08"
B08 = "B08"
B8A = "B08"
B09 = "B08"
B11 = "B08"
B12 = "B08"
""" + "".join(
    f"""
[datasets.{name}]
source = {{ kind = "static", href = "{IMAGERY}/naip/collection.json" }}
query = "0.5 < gsd < 0.7"
"""
    for name in ("NAIP_30CM", "NAIP_60CM", "NAIP_1M")
)


def overlay(folder: Path, models: dict[str, Path] | None = None, more: str = "") -> Path:
    """Write the catalogue; `models` gives the file of each recipe, by part and name."""
    text = OVERLAY + "".join(
        f'\n[{entry}]\nmodel = {{ href = "{path}", verified = true }}\n'
        for entry, path in (models or {}).items()
    )
    path = folder / "catalog.toml"
    path.write_text(text + more)
    return path
