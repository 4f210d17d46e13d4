"""connection.env in a user's shell: unmodified libraries reach the managed storage with it."""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.e2e

SCRIPTS = {
    "s3fs": """
        import os
        import s3fs
        fs = s3fs.S3FileSystem(profile="default")
        root = os.environ["USER_S3_PATH"]
        open("local.txt", "w").write("by s3fs")
        fs.put("local.txt", root + "clients/s3fs.txt")
        assert fs.cat(root + "clients/s3fs.txt") == b"by s3fs"
        assert [name.rpartition("/")[2] for name in fs.ls(root + "clients/")] == ["s3fs.txt"]
        assert fs.exists(root + "clients") and not fs.exists(root + "nothing")
        assert fs.glob(root + "clients/*.txt") and fs.find(root.rstrip("/"))
        with fs.open(root + "clients/big", "wb") as file:
            file.write(bytes(12_000_000))
        assert fs.info(root + "clients/big")["size"] == 12_000_000
        fs.rm(root + "clients/", recursive=True)
        shared = os.environ["USER_S3_SHARED_PATH"] + "s3fs.txt"
        fs.pipe(shared, b"for all")
        assert fs.cat(shared) == b"for all"
    """,
    "boto3": """
        import os
        import boto3
        bucket, _, prefix = os.environ["USER_S3_PATH"].removeprefix("s3://").partition("/")
        client = boto3.client("s3")
        client.put_object(Bucket=bucket, Key=prefix + "boto3.txt", Body=b"by boto3")
        body = client.get_object(Bucket=bucket, Key=prefix + "boto3.txt", Range="bytes=3-7")["Body"]
        assert body.read() == b"boto3"
        parameters = {"Bucket": bucket, "Key": prefix + "boto3.txt"}
        url = client.generate_presigned_url("get_object", Params=parameters)
        import requests
        assert requests.get(url, timeout=60).content == b"by boto3"
    """,
    "geopandas": """
        import os
        import geopandas as gpd
        from shapely import box
        uri = os.environ["USER_S3_PATH"] + "geopandas.parquet"
        frame = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:4326")
        frame.to_parquet(uri)
        again = gpd.read_parquet(uri)
        assert again.crs == frame.crs and again.geometry.geom_equals(frame.geometry).all()
    """,
    "obstore": """
        import os
        import obstore
        store = obstore.store.from_url(os.environ["USER_S3_PATH"])
        obstore.put(store, "obstore.txt", b"by obstore")
        assert bytes(obstore.get(store, "obstore.txt").bytes()) == b"by obstore"
        assert "obstore.txt" in [item["path"] for item in obstore.list(store).collect()]
    """,
    "zarr": """
        import os
        import numpy as np
        import zarr
        uri = os.environ["USER_S3_PATH"] + "cube.zarr"
        values = np.arange(64 * 64, dtype="float32").reshape(64, 64)
        array = zarr.create_array(uri, name="x", shape=(64, 64), chunks=(16, 16), shards=(32, 32),
                                  dtype="float32")
        array[:] = values
        assert (zarr.open_array(uri, path="x", mode="r")[:] == values).all()
        from obstore.store import from_url
        by_obstore = zarr.open_array(zarr.storage.ObjectStore(from_url(uri)), path="x", mode="r")
        assert (by_obstore[:] == values).all()
    """,
    "rasterio": """
        import os
        import numpy as np
        import rasterio
        uri = os.environ["USER_S3_PATH"] + "grid.tif"
        values = np.arange(400, dtype="uint16").reshape(1, 20, 20)
        options = {"driver": "GTiff", "width": 20, "height": 20, "count": 1, "dtype": "uint16",
                   "crs": "EPSG:32632", "transform": rasterio.transform.from_origin(0, 0, 10, 10)}
        with rasterio.open(uri, "w", **options) as sink:
            sink.write(values)
        with rasterio.open(uri) as source:
            assert (source.read() == values).all()
    """,
    "requests": """
        import os
        import requests
        api = requests.Session()
        api.headers["X-API-Key"] = os.environ["WHEROBOTS_API_KEY"]
        url, home = os.environ["LANDLOOM_URL"], os.environ["USER_S3_PATH"].removeprefix("s3://")
        keys = [f"{home}by requests/{n} ü+%.txt" for n in range(3)]
        made = api.post(url + "/files/upload-urls", json=keys, timeout=60).json()
        for each in made:
            sent = requests.put(each["uploadUrl"], data=each["key"].encode(), timeout=60)
            assert sent.status_code == 200, sent.text
        folder = url + "/storage/user_files/directories/by requests"
        listed = api.get(folder, params={"limit": 2}, timeout=60).json()
        assert len(listed["items"]) == 2 and listed["next_page"]
        file = url + "/storage/user_files/files/by requests/1 ü%2B%25.txt"
        moved = api.get(file, timeout=60, allow_redirects=False)
        assert moved.status_code == 302
        got = requests.get(moved.headers["Location"], timeout=60)
        assert got.content == keys[1].encode()
        assert requests.get(moved.headers["Location"].partition("?")[0]).status_code == 403
        assert api.delete(folder, timeout=60).status_code == 200
        assert api.get(folder, timeout=60).status_code == 404
    """,
    "pyarrow": """
        import os
        import pyarrow as pa
        import pyarrow.dataset
        import pyarrow.parquet
        uri = os.environ["USER_S3_PATH"] + "table.parquet"
        pyarrow.parquet.write_table(pa.table({"n": [1, 2, 3]}), uri)
        assert pyarrow.parquet.read_table(uri).num_rows == 3
        assert pyarrow.dataset.dataset(uri).count_rows() == 3
    """,
}


@pytest.mark.parametrize("library", SCRIPTS)
def test_a_library_writes_and_reads(platform, tmp_path, library):
    # Sourced by a shell, as people do.
    source = f'set -a; . "{platform.folder}/connection.env"; set +a; exec "$0" -c "$1"'
    ended = subprocess.run(
        ["sh", "-c", source, sys.executable, textwrap.dedent(SCRIPTS[library])],
        env={name: value for name, value in platform.env.items() if not name.startswith("AWS_")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
