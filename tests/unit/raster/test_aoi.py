"""Areas of interest in every form they come in."""

import json

import geopandas as gpd
import pytest
import shapely
from pyproj import Transformer

from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.antimeridian import unwrapped
from landloom.raster.aoi import read_aoi

SQUARE = shapely.box(13.0, 48.0, 13.1, 48.1)


def test_geoparquet_in_any_crs(tmp_path):
    path = tmp_path / "aoi.parquet"
    gpd.GeoDataFrame({"NAME": ["Inn"]}, geometry=[SQUARE], crs=4326).to_crs(32633).to_parquet(path)
    (row,) = read_aoi(str(path))
    assert row.name == "Inn"
    assert row.geometry.normalize().equals_exact(SQUARE.normalize(), 1e-9)


@pytest.mark.parametrize("form", ["geometry", "feature", "collection"])
def test_inline_geojson(form):
    geometry = shapely.geometry.mapping(SQUARE)
    feature = {"type": "Feature", "geometry": geometry, "properties": {"name": "Inn"}}
    document = {
        "geometry": geometry,
        "feature": feature,
        "collection": {"type": "FeatureCollection", "features": [feature, feature]},
    }[form]
    rows = read_aoi(document)
    assert len(rows) == (2 if form == "collection" else 1)
    assert rows[0].geometry.equals(SQUARE)


def test_geojson_file_with_the_old_crs_member(tmp_path):
    frame = gpd.GeoDataFrame(geometry=[SQUARE], crs=4326).to_crs(3857)
    path = tmp_path / "aoi.geojson"
    frame.to_file(path, driver="GeoJSON")
    (row,) = read_aoi(path.as_uri())
    assert row.geometry.normalize().equals_exact(SQUARE.normalize(), 1e-6)


def test_an_invalid_polygon_is_made_valid():
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    (row,) = read_aoi(shapely.geometry.mapping(bow_tie))
    assert row.geometry.is_valid
    assert row.geometry.area == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ({"type": "FeatureCollection", "features": []}, "no rows"),
        ({"type": "Feature", "geometry": None, "properties": {}}, "no geometry"),
        ({"type": "Polygon"}, "not GeoJSON"),
        (shapely.geometry.mapping(shapely.box(4e5, 5e6, 5e5, 6e6)), "beyond longitude"),
        (shapely.geometry.mapping(shapely.box(33, -99.9, 34, -99)), "latitude seems to stand"),
        (shapely.geometry.mapping(shapely.box(-179, 1, 179, 2)), "RFC 7946"),
    ],
)
def test_what_cannot_be_used_is_said_plainly(document, match):
    with pytest.raises(InvalidInput, match=match):
        read_aoi(document)


def test_a_place_across_the_antimeridian_is_split_there():
    (row,) = read_aoi(shapely.geometry.mapping(shapely.box(179, -17, 181, -16)))
    west, east = sorted(part.bounds for part in row.geometry.geoms)
    assert west == (-180, -17, -179, -16)
    assert east == (179, -17, 180, -16)


@pytest.mark.parametrize(
    ("epsg", "place", "width"),
    [
        (32760, shapely.box(179.9, -17.1, 180.1, -17), 0.2),
        (3832, shapely.box(179.9, -17.1, 180.1, -17), 0.2),
        (3857, shapely.box(-179, -17.1, 179, -17), 358),
    ],
)
def test_a_projected_area_says_by_itself_which_way_it_goes(tmp_path, epsg, place, width):
    project = Transformer.from_crs(4326, epsg, always_xy=True).transform
    outline = shapely.transform(place, project, interleaved=False)
    path = tmp_path / "aoi.parquet"
    gpd.GeoDataFrame(geometry=[outline], crs=epsg).to_parquet(path)
    (row,) = read_aoi(str(path))
    west, _, east, _ = unwrapped(row.geometry).bounds
    assert east - west == pytest.approx(width, abs=0.01)
    assert row.geometry.covers(place.centroid if width > 1 else shapely.Point(-179.95, -17.05))


def test_parts_holes_and_lines_stay_as_they_are():
    ring = shapely.box(13, 48, 14, 49) - shapely.box(13.4, 48.4, 13.6, 48.6)
    shapes = [ring, shapely.union_all([SQUARE, shapely.box(15, 48, 16, 49)]), ring.boundary]
    rows = read_aoi({
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": shapely.geometry.mapping(each), "properties": {}}
            for each in shapes
        ],
    })  # fmt: skip
    assert [row.geometry.equals(shape) for row, shape in zip(rows, shapes, strict=True)] == [
        True
    ] * 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreProblem, match=r"nowhere\.parquet"):
        read_aoi(str(tmp_path / "nowhere.parquet"))


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "aoi.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match="neither GeoParquet nor GeoJSON"):
        read_aoi(str(path))
    path.write_text(json.dumps([1, 2]))
    with pytest.raises(InvalidInput, match="not GeoJSON"):
        read_aoi(str(path))
