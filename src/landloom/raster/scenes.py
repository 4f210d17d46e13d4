"""Scenes: what a search for imagery found, frozen, so that a workflow can be replayed.

A scene table is for one dataset and one time step. Its order (datetime, id) and all it holds follow
from the catalogue and the request alone; everything later reads the table, never the search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import shapely
from shapely.geometry.base import BaseGeometry

from landloom.errors import CatalogProblem
from landloom.raster.antimeridian import mended
from landloom.raster.catalog.dataset import DAYS_OF_YEAR, Dataset
from landloom.raster.stac.item import read_scene
from landloom.raster.stac.query import Query
from landloom.raster.stac.scene import Asset, Scene
from landloom.raster.stac.source import find_items

__all__ = ["Asset", "Scene", "SceneTable", "search_scenes", "time_steps"]

type OnError = Literal["raise", "skip"]

TILE_DEGREES = 1.5
"""A scene that touches an AOI has its centre at most so far north or south of it."""

MAX_SEARCH_VERTICES = 500
"""An AOI with more is searched by its parts' boxes: catalogues limit what they are sent."""


@dataclass(frozen=True, slots=True)
class SceneTable:
    """The scenes of one dataset for one time step."""

    dataset: str
    start: datetime
    end: datetime
    """Exclusive."""
    scenes: tuple[Scene, ...]
    """By datetime, then id; where the last one counts, in the order in which they are drawn."""
    found: int
    """Scenes in place and time before clouds and the cap were looked at."""
    skipped: tuple[str, ...] = ()
    """A sentence for each item that was left out because it lacks something."""

    def __len__(self) -> int:
        return len(self.scenes)

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {
            "dataset": self.dataset,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "found": self.found,
            "skipped": list(self.skipped),
            "scenes": [scene.to_json() for scene in self.scenes],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the table that `to_json` wrote."""
        return cls(
            dataset=document["dataset"],
            start=datetime.fromisoformat(document["start"]),
            end=datetime.fromisoformat(document["end"]),
            scenes=tuple(Scene.from_json(scene) for scene in document["scenes"]),
            found=int(document["found"]),
            skipped=tuple(document.get("skipped", ())),
        )


def time_steps(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Return [start, end) cut into years that begin on the day of `start`: the store's time axis.

    A 29 February counts on from 1 March in years that lack it.
    """
    steps, year = [], 0
    low = _in_utc(start)
    last = _in_utc(end)
    while low < last:
        year += 1
        high = min(_years_later(_in_utc(start), year), last)
        steps.append((low, high))
        low = high
    return steps


def search_scenes(
    dataset: Dataset,
    geometry: BaseGeometry,
    start: datetime,
    end: datetime,
    on_error: OnError = "raise",
) -> SceneTable:
    """Return the scenes of a dataset that meet a geometry within [start, end).

    A scene stays if its day of year lies in the season of its own latitude and its cloud cover is
    below the dataset's limit. Of the scenes of one MGRS tile at most `max_scenes` stay, the least
    cloudy first, so the choice knows nothing of output tiles. Where a median is taken, of several
    processings of one acquisition the newest stays, of those with every band if there is one.

    A scene that lacks a band counts with the bands it has.

    Args:
        dataset: What to look for, and where.
        geometry: EPSG:4326.
        start: Start of the window, UTC where it has no zone.
        end: End of the window, exclusive.
        on_error: What becomes of an item that lacks something: an error that names it, or a
            sentence in the table's `skipped`.

    Raises:
        CatalogProblem: An item lacks its mask or all its bands, or all items lack one band, and
            `on_error` is "raise".
        InvalidInput: The dataset's query cannot compare what an item says.
        Unavailable: The STAC API fails after all retries.
        StoreProblem: A static catalogue or a table cannot be read.
    """
    low, high = _in_utc(start), _in_utc(end)
    shapely.prepare(geometry)
    periods = list(_periods(dataset, geometry, low, high))
    items = find_items(dataset.source, _search_geometry(geometry), periods)
    query = None if dataset.query is None else Query.parse(dataset.query)
    seen: dict[str, Scene] = {}
    skipped: dict[str, str] = {}
    for item, base in items:
        if not _may_matter(item, geometry, low, high, query):
            continue
        try:
            scene = read_scene(item, base, dataset)
        except CatalogProblem as error:
            if on_error == "raise":
                raise
            skipped[str(item.get("id"))] = error.message
            continue
        if low <= scene.acquired < high and _in_season(scene, dataset):
            seen[scene.id] = scene
    clear = [scene for scene in seen.values() if scene.cloud_cover < dataset.max_cloud_cover]
    # Drawn over one another, the newest processing is on top anyway; a median would count both.
    single = clear if dataset.reducer == "last" else _newest_processing(clear)
    chosen = _capped(single, dataset.max_scenes)
    if on_error == "raise":
        _check_bands(dataset, chosen)
    return SceneTable(
        dataset=dataset.name,
        start=low,
        end=high,
        scenes=tuple(sorted(chosen, key=_by_time)),
        found=len(seen),
        skipped=tuple(skipped[name] for name in sorted(skipped)),
    )


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:
        return moment.replace(year=moment.year + years, month=3, day=1)


def _by_time(scene: Scene) -> tuple[datetime, str]:
    return scene.acquired, scene.id


def _may_matter(
    item: Any, geometry: BaseGeometry, low: datetime, high: datetime, query: Query | None
) -> bool:
    """Tell whether an item is in place and, roughly, in time, before it is read in full."""
    properties = item.get("properties", {})
    text = str(properties.get("datetime") or "")
    if text[:10].count("-") == 2 and not f"{low:%Y-%m-%d}" <= text[:10] <= f"{high:%Y-%m-%d}":  # noqa: PLR2004 - an ISO date
        return False
    if query is not None and not query.holds(properties):
        return False
    outline = item.get("geometry")
    return outline is not None and bool(
        shapely.intersects(geometry, mended(shapely.geometry.shape(outline)))
    )


def _in_season(scene: Scene, dataset: Dataset) -> bool:
    first, last = dataset.season(scene.latitude)
    return first <= scene.acquired.timetuple().tm_yday <= last


def _newest_processing(scenes: Iterable[Scene]) -> list[Scene]:
    """Keep one scene per tile and second: ids of later processings sort last."""
    newest: dict[tuple[str, datetime], Scene] = {}
    for scene in sorted(scenes, key=lambda each: (each.whole, *_by_time(each))):
        newest[scene.tile, scene.acquired.replace(microsecond=0)] = scene
    return list(newest.values())


def _check_bands(dataset: Dataset, scenes: Sequence[Scene]) -> None:
    """Refuse a band that would stay empty although there are scenes: its names must be wrong.

    Raises:
        CatalogProblem: No scene has an asset for a band.
    """
    for number, band in enumerate(dataset.bands):
        if scenes and all(scene.bands[number] is None for scene in scenes):
            wanted = f"{' or '.join(band.names)}{f' with {band.band + 1} bands' * (band.band > 0)}"
            raise CatalogProblem(
                f"No item of {dataset.name} has an asset {wanted}, of which {band.label} is made:"
                f" there are {len(scenes)}, {scenes[0].id} the first.",
                suggestion="Correct the names in the catalogue's entry of the dataset, or pass"
                " on_error='skip': the band stays empty then.",
            )


def _capped(scenes: Sequence[Scene], max_scenes: int) -> list[Scene]:
    if not max_scenes:
        return list(scenes)
    taken: dict[str, int] = {}
    chosen = []
    for scene in sorted(scenes, key=lambda each: (each.cloud_cover, *_by_time(each))):
        count = taken.get(scene.tile, 0)
        if count < max_scenes:
            taken[scene.tile] = count + 1
            chosen.append(scene)
    return chosen


def _search_geometry(geometry: BaseGeometry) -> BaseGeometry:
    if shapely.get_num_coordinates(geometry) <= MAX_SEARCH_VERTICES:
        return geometry
    boxes = [shapely.box(*part.bounds) for part in shapely.get_parts(geometry)]
    whole: BaseGeometry = shapely.union_all(boxes)
    return whole


def _periods(
    dataset: Dataset, geometry: BaseGeometry, low: datetime, high: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans of [low, high) that hold every season day of the geometry's latitudes."""
    _, south, _, north = geometry.bounds
    edges = [row.above for row in dataset.windows]
    near = [sign * edge + nudge for edge in edges for sign in (-1, 1) for nudge in (-0.01, 0.01)]
    least, most = south - TILE_DEGREES, north + TILE_DEGREES
    latitudes = [least, most, *(value for value in near if least < value < most)]
    seasons = {dataset.season(latitude) for latitude in latitudes}
    first = min((season[0] for season in seasons), default=DAYS_OF_YEAR[0])
    last = max((season[1] for season in seasons), default=DAYS_OF_YEAR[1])
    for year in range(low.year, high.year + 1):
        january = datetime(year, 1, 1, tzinfo=UTC)
        begin = max(low, january + timedelta(days=first - 1))
        finish = min(high, january + timedelta(days=last), _years_later(january, 1))
        if begin < finish:
            yield begin, finish
