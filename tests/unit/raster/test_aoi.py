"""Areas of interest in every form they come in."""

import json

import geopandas as gpd
import numpy as np
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
    for corner in shapely.points(SQUARE.exterior.coords):
        assert shapely.distance(corner, shapely.points(row.geometry.exterior.coords)).min() < 1e-9
    assert shapely.hausdorff_distance(row.geometry, SQUARE) < 2e-5  # edges straight in UTM


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


class TestEdges:
    """What is straight in a projected CRS is not so in degrees."""

    @staticmethod
    def read(folder, shape, epsg):
        path = folder / "aoi.parquet"
        gpd.GeoDataFrame(geometry=[shape], crs=epsg).to_parquet(path)
        (row,) = read_aoi(str(path))
        return row

    @staticmethod
    def drawn_again(row, epsg):
        """Return a row in its CRS, straight in degrees between its points."""
        fine = shapely.segmentize(row.geometry, 0.0005)
        project = Transformer.from_crs(4326, epsg, always_xy=True).transform
        return shapely.transform(fine, project, interleaved=False)

    @pytest.mark.parametrize(
        ("epsg", "shape"),
        [
            (32633, shapely.box(300000, 4990240, 409800, 5100040)),
            (32633, shapely.box(350000, -60000, 650000, 60000)),  # across the equator
            (5070, shapely.box(2.2e6, 2.2e6, 2.3e6, 2.3e6).difference(
                shapely.box(2.22e6, 2.22e6, 2.25e6, 2.26e6))),
            (2263, shapely.box(9e5, 1e5, 11e5, 3e5)),  # feet
            (3413, shapely.box(40000, -80000, 90000, -20000)),
            (32660, shapely.MultiPolygon([
                shapely.box(640000, 8.1e6, 660000, 8.12e6), shapely.box(7e5, 8.1e6, 7.1e5, 8.11e6),
            ])),
        ],
    )  # fmt: skip
    def test_stay_in_their_place_to_a_tenth_of_a_metre(self, tmp_path, epsg, shape):
        row = self.read(tmp_path, shape, epsg)
        assert row.geometry.is_valid
        assert row.drawn.bounds == shape.bounds
        unit = 0.3048006096 if epsg == 2263 else 1.0
        back = self.drawn_again(row, epsg)
        assert shapely.hausdorff_distance(back.boundary, shape.boundary) * unit <= 0.11

    @pytest.mark.parametrize(
        "bounds",
        [(-20000, -20000, 20000, 20000), (-20000, -5000, 3000, 20000),
         (0, -20000, 20000, 20000), (-20000, -20000, 0, 20000), (-7000, 0, 5000, 9000),
         (0, 0, 9000, 9000), (-9000, -9000, 0, 0)],
    )  # fmt: skip
    @pytest.mark.parametrize("epsg", [3031, 3413])
    def test_go_round_a_pole_or_through_it(self, tmp_path, epsg, bounds):
        shape = shapely.box(*bounds)
        row = self.read(tmp_path, shape, epsg)
        assert row.geometry.is_valid
        assert row.drawn.bounds == bounds
        rng = np.random.default_rng(2)
        points = rng.uniform(-25000, 25000, (500, 2))
        points = points[shapely.distance(shape.boundary, shapely.points(points)) > 1]
        degrees = Transformer.from_crs(epsg, 4326, always_xy=True).transform(*points.T)
        inside = shapely.contains_xy(row.geometry, *degrees)
        assert (inside == shapely.contains_xy(shape, *points.T)).all()

    def test_are_as_they_were_in_degrees(self, tmp_path):
        row = self.read(tmp_path, shapely.box(13, 48, 15, 50), 4326)
        assert row.geometry.equals_exact(shapely.box(13, 48, 15, 50))
        assert row.drawn is None

    @pytest.mark.parametrize("kind", ["points", "line", "collection"])
    def test_of_any_geometry(self, tmp_path, kind):
        points = shapely.MultiPoint([(300000, 4990240), (409800, 5100040)])
        line = shapely.LineString([(300000, 4990240), (409800, 5100040), (409800, 5e6)])
        shape = {"points": points, "line": line,
                 "collection": shapely.GeometryCollection([points, line])}[kind]  # fmt: skip
        row = self.read(tmp_path, shape, 32633)
        assert row.geometry.geom_type == shape.geom_type
        assert self.drawn_again(row, 32633).bounds == pytest.approx(shape.bounds, abs=0.11)

    def test_without_a_place_are_told_so(self, tmp_path):
        far = shapely.box(3e9, 3e9, 3.1e9, 3.1e9)
        with pytest.raises(InvalidInput, match="beyond longitude"):
            self.read(tmp_path, far, 5070)


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
