"""The public `wkls`, adapted by the hook, in interpreters of its own; nothing is fetched."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from landloom import jobsite

DIVISIONS = Path(__file__).parents[3] / "samples/aoi/wkls_overture_division_area_sample.parquet"

SHOW = """
import json, warnings
warnings.simplefilter("error", RuntimeWarning)
import wkls
def shown(make):
    try:
        value = make()
    except Exception as problem:
        bases = [kind.__name__ for kind in type(problem).__mro__]
        return {"raised": bases, "says": str(problem), "notes": getattr(problem, "__notes__", [])}
    return value.path if isinstance(value, wkls.Wkl) else value
"""


def run(code, **environment):
    hooked = {"PYTHONPATH": str(jobsite.hook_folder()), "PATH": os.environ["PATH"], **environment}
    ended = subprocess.run(
        [sys.executable, "-c", SHOW + code],
        env=hooked,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers():
    """What each expression gives, all asked of one interpreter: importing wkls takes seconds."""
    return run(
        f"print(json.dumps({{text: shown(lambda: eval(text)) for text in {EXPRESSIONS!r}}}))",
        LANDLOOM_DIVISIONS=str(DIVISIONS),
    )


SAME_COUNTY = [
    "wkls['us']['ks']['Haskell County']",
    "wkls['US']['KS']['HASKELL COUNTY']",
    "wkls['United States']['Kansas']['Haskell County']",
    "wkls['usa']['US-KS']['haskellcounty']",
    "wkls['us']['ks']['haskell_county']",
    "wkls['us']['ks'][' Haskell County ']",
    "wkls.us.ks['Haskell County']",
    "wkls['us'].ks.haskellcounty",
    "wkls.us.ks.haskellcounty",
    "wkls.Wkl()['us']['ks']['Haskell County']",
]
OTHER_PLACES = {
    "wkls['us']": "wkls.us",
    "wkls['Germany']": "wkls.de",
    "wkls['us']['ks']": "wkls.us.ks",
    "wkls['us']['North Dakota']": "wkls.us.nd",
    "wkls['us']['ks']['Dodge City']": "wkls.us.ks.dodgecity",
    "wkls['us']['pa']['York County']['Franklin']": "wkls.us.pa.yorkcounty.franklin",
    "wkls['fr']['\u00cele-de-France']": "wkls.fr.idf",
}
NOT_FOUND = {
    "wkls['us']['ks']['Haskel County']": ["'Haskel County'", "haskellcounty"],
    "wkls['Atlantis']": ["'Atlantis'", "wkls.search("],
    "wkls['us']['xx']": ["'xx'", "wkls['us'].search("],
    "wkls['us']['ks']['%County']": ["'%County'", "search("],
    "wkls['us']['']": ["''"],
    "wkls.search('haskell')['us']": ["by number"],
    "wkls['us']['pa']['York County']['Franklin']['x']": ["nothing below"],
}
MEASURES = [
    "wkls['us']['ks']['Haskell County'].geojson()",
    "wkls.us.ks.haskellcounty.geojson()",
    "wkls['us']['ks']['Haskell County'].wkt()",
    "len(wkls['us']['ks']['Haskell County'].wkb())",
    "wkls['us']['Kansas']['Haskell County'].to_arrow_table().num_rows",
    "len(wkls['us']['ks'].counties())",
    "wkls['us']['ks'].counties()[0].to_dicts()[0]['subtype']",
    "wkls['us']['ks']['Haskell County'].parent",
    "wkls.overture_releases() == [wkls.overture_version()]",
    "wkls.configure(overture_version=wkls.overture_version()) or wkls.us.ks.graycounty.wkt()[:7]",
    "wkls['us']['ks']['Kearny County'].geojson()",
    "wkls[0]",
]
EXPRESSIONS = [*SAME_COUNTY, *OTHER_PLACES, *NOT_FOUND, *MEASURES]


class TestBrackets:
    @pytest.mark.parametrize("text", SAME_COUNTY)
    def test_every_spelling_means_the_same_county(self, answers, text):
        assert answers[text] == "wkls.us.ks.haskellcounty"

    @pytest.mark.parametrize("text", OTHER_PLACES)
    def test_reach_countries_regions_and_places(self, answers, text):
        assert answers[text] == OTHER_PLACES[text]

    @pytest.mark.parametrize("text", NOT_FOUND)
    def test_a_name_that_is_not_there_is_a_key_error_with_a_way_out(self, answers, text):
        assert {"KeyError", "ValueError"} <= set(answers[text]["raised"])
        for words in NOT_FOUND[text]:
            assert words in answers[text]["says"]

    def test_numbers_index_rows_as_before(self, answers):
        assert answers["wkls['us']['ks'].counties()[0].to_dicts()[0]['subtype']"] == "county"
        assert "TypeError" in answers["wkls[0]"]["raised"]


class TestBoundaries:
    def test_come_from_the_file_by_either_form(self, answers):
        by_name, by_dots, wkt, wkb = (answers[text] for text in MEASURES[:4])
        assert by_name == by_dots
        geometry = json.loads(by_name)
        assert geometry["type"] == "Polygon"
        west = min(x for x, _ in geometry["coordinates"][0])
        south = min(y for _, y in geometry["coordinates"][0])
        assert (west, south) == pytest.approx((-101.089667, 37.387627))
        assert wkt.startswith("POLYGON")
        assert wkb > 100

    def test_come_as_a_table(self, answers):
        assert answers["wkls['us']['Kansas']['Haskell County'].to_arrow_table().num_rows"] == 1

    def test_lists_and_parents_go_on_working(self, answers):
        assert answers["len(wkls['us']['ks'].counties())"] == 105
        assert answers["wkls['us']['ks']['Haskell County'].parent"] == "wkls.us.ks"

    def test_releases_are_told_without_a_network(self, answers):
        assert answers["wkls.overture_releases() == [wkls.overture_version()]"] is True
        assert answers[MEASURES[9]] == "POLYGON"

    def test_one_that_the_file_lacks_names_the_file(self, answers):
        missing = answers["wkls['us']['ks']['Kearny County'].geojson()"]
        assert "No geometry found" in missing["says"]
        assert str(DIVISIONS) in missing["notes"][0]

    def test_the_documented_line_reads_a_frame(self):
        assert run(
            "import geopandas as gpd\n"
            "frame = gpd.read_file(wkls['us']['ks']['Haskell County'].geojson())\n"
            "print(json.dumps([len(frame), frame.crs.to_epsg(), frame.total_bounds.tolist()]))",
            LANDLOOM_DIVISIONS=f"file://{DIVISIONS}",
        ) == [1, 4326, [-101.089667, 37.387627, -100.652251, 37.736337]]

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        answer = run(
            "print(json.dumps(shown(lambda: wkls.us.ks.haskellcounty.wkt())))",
            LANDLOOM_DIVISIONS=str(tmp_path / "none.parquet"),
        )
        assert "FileNotFoundError" in answer["raised"]
        assert "none.parquet, which is not there" in answer["says"]


class TestOnline:
    @pytest.fixture
    def server(self):
        seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append((self.path, dict(self.headers)))
                self.send_error(404)

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}", seen
            server.shutdown()
            thread.join()

    def test_boundaries_are_asked_of_the_public_bucket_not_of_our_store(self, server):
        """The public endpoint is read, then a server of ours put in its place to be asked."""
        url, seen = server
        ours = "http://127.0.0.1:1"
        public = run(
            "from wkls import _bootstrap, core\n"
            "options = _bootstrap._S3_READ_OPTIONS\n"
            "public = dict(options)\n"
            f"options |= {{'aws.endpoint': {url!r}, 'aws.allow_http': True}}\n"
            "_bootstrap._current_overture_version = '2026-01-01.0'\n"
            "core._current_overture_version = '2026-01-01.0'\n"
            "shown(lambda: wkls['us']['ks']['Haskell County'].wkt())\n"
            "print(json.dumps(public))",
            AWS_ENDPOINT_URL=ours,
            AWS_ENDPOINT_URL_S3=ours,
            AWS_ALLOW_HTTP="true",
            AWS_ACCESS_KEY_ID="ours",
            AWS_SECRET_ACCESS_KEY="ours",
            AWS_REGION="us-east-1",
        )
        assert public == {
            "aws.skip_signature": True,
            "aws.region": "us-west-2",
            "aws.endpoint": "https://s3.us-west-2.amazonaws.com",
        }
        path, headers = seen[0]
        assert path.startswith("/overturemaps-us-west-2")
        assert "authorization" not in {name.lower() for name in headers}

    def test_without_a_network_the_error_tells_of_the_file(self):
        """A proxy that refuses stands for a network that is not there."""
        answer = run(
            "print(json.dumps(shown(lambda: wkls['us']['ks']['Haskell County'].wkt())))",
            http_proxy="http://127.0.0.1:1",
        )
        assert "ConnectionError" in answer["raised"]
        assert any("LANDLOOM_DIVISIONS" in note for note in answer["notes"])
