"""`landloom demo`: the whole way once, on this machine: scenes, mosaic, model, polygons, picture.

It does what a user would do, by the same doors: `landloom up`, an upload with s3fs, a plain POST to
the Runs API, then watching status and log. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from landloom.cli.client import ApiClient
from landloom.cli.connection import Connection
from landloom.cli.demo_display import RunDisplay
from landloom.cli.follow import FINAL, failure
from landloom.errors import LandloomError, SetupProblem, WorkflowError

RECIPE = "SAMPLE_FIELDS"
CRS_EPSG = 32633
"""UTM 33N, the scenes' own CRS: no pixel is resampled."""

STAGES = ("mosaic", "predict", "vectorize")
"""Stages whose progress lines the log of the run must hold."""

_REQUEST_SECONDS = 30
_DRAW_SECONDS = 120
_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo made; its JSON is the last line of standard output."""

    run_id: str | None = None
    status: str | None = None
    mosaic: str | None = None
    prediction: str | None = None
    vectors: str | None = None
    n_polygons: int = 0
    picture: str | None = None
    seconds: float = 0.0


def main(arguments: Sequence[str]) -> int:
    """Run the demo; 0 only if the run completed and there are pixels, polygons and a log.

    Raises:
        SetupProblem: The samples are not there, or the platform does not come up.
    """
    parser = argparse.ArgumentParser(
        prog="landloom demo", description="Run the sample job end to end and draw its result."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/demo"), help="folder for data and picture"
    )
    out = parser.parse_args(list(arguments)).out.absolute()
    samples = _find_samples()
    started = time.monotonic()
    outcome, problem = Outcome(), None
    _clear(out)
    try:
        _start(out / "data", samples)
        try:
            outcome = _submit_and_follow(out, samples)
            outcome = _inspect(outcome, out, samples)
        finally:
            _say("Ending the platform")
            _end(out / "data")
    except LandloomError as error:
        problem = error
    outcome = _with(outcome, seconds=round(time.monotonic() - started, 1))
    if problem is None:
        _print_result(outcome, out)
    else:
        _say(f"The demo failed: {problem}")
        _say(f"The server's log is {out / 'data' / 'server.log'}.")
    print(json.dumps(asdict(outcome)))
    return 0 if problem is None else 1


def _find_samples() -> Path:
    """Return the folder of the samples: this checkout's, or that of the current directory."""
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (root / "samples" / "catalog.toml").is_file():
            return root / "samples"
    raise SetupProblem(
        "The samples are not here: they are part of the repository, not of the package.",
        suggestion="Run `make demo` in a clone of the repository.",
    )


def _clear(out: Path) -> None:
    """End and remove what an earlier demo left, so that every demo starts from nothing.

    Raises:
        SetupProblem: The folder holds something, and no demo made it.
    """
    from landloom.stack.instance import Instance

    data = out / "data"
    if data.exists():
        if any(data.iterdir()) and not Instance.at(data).log_file.exists():
            raise SetupProblem(
                f"{data} is not the data of an earlier demo.",
                suggestion="Name another folder with --out, or remove that one.",
            )
        _end(data)
        shutil.rmtree(data)
    out.mkdir(parents=True, exist_ok=True)


def _start(data: Path, samples: Path) -> None:
    from landloom.stack.detach import start_detached

    _say("Starting the platform")
    # Compiled once and kept: without bytecode every process would compile its imports anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["LANDLOOM_CATALOG"] = str(samples / "catalog.toml")
    start_detached(data, [f"--data={data}"])


def _end(data: Path) -> None:
    from landloom.stack.down import down
    from landloom.stack.instance import Instance

    if Instance.at(data).exists():
        down(data)


def _submit_and_follow(out: Path, samples: Path) -> Outcome:
    connection = Connection.find(data=out / "data")
    # s3fs, the picture and the lines to paste find the store as any script does.
    os.environ.update(connection.variables)
    script, area = _upload(samples)
    with ApiClient(connection) as client:
        run = _submit(connection, script, area)
        _say(f"Run {run['id']} is submitted")
        ended, lines = _follow(client, run["id"])
        if ended["status"] != "COMPLETED":
            tail = "\n".join(lines[-15:])
            raise WorkflowError(f"Run {run['id']} is {ended['status']}. {failure(ended)}\n{tail}")
        _check_log(run["id"], lines)
    return _with(_results(connection, run["id"]), run_id=run["id"], status=ended["status"])


def _upload(samples: Path) -> tuple[str, str]:
    """Upload the job script and its area with s3fs; return their URIs."""
    import s3fs

    storage = s3fs.S3FileSystem(profile="default")
    uris = []
    for file in (samples / "jobs/field_boundaries.py", samples / "aoi/inn_valley.geojson"):
        uri = os.environ["USER_S3_PATH"] + file.name
        storage.put(str(file), uri)
        _say(f"Uploaded {uri}")
        uris.append(uri)
    return uris[0], uris[1]


def _submit(connection: Connection, script: str, area: str) -> dict[str, Any]:
    import requests

    scenes_of = ["--start", "2021-01-01", "--end", "2022-01-01"]
    response = requests.post(
        f"{connection.url}/runs",
        headers={"X-API-Key": connection.api_key},
        json={
            "runtime": "micro",
            "name": "demo-field-boundaries",
            "runPython": {
                "uri": script,
                "args": ["--aoi", area, "--recipe", RECIPE, "--crs", str(CRS_EPSG), *scenes_of],
            },
            "timeoutSeconds": 600,
        },
        timeout=_REQUEST_SECONDS,
    )
    if not response.ok:
        raise WorkflowError(f"POST /runs was answered {response.status_code}: {response.text}")
    run: dict[str, Any] = response.json()
    return run


def _follow(client: ApiClient, run_id: str) -> tuple[dict[str, Any], list[str]]:
    """Show the run until it ends; return it with all lines of its log."""
    lines: list[str] = []
    with RunDisplay() as display:
        while True:
            # The status first: once it is final, every line is readable.
            run = client.run(run_id)
            display.status(run["status"])
            while True:
                page, _ = client.logs(run_id, len(lines))
                for line in page:
                    display.line(line)
                lines += page
                if not page:
                    break
            if run["status"] in FINAL:
                return run, lines
            time.sleep(_POLL_SECONDS)


def _check_log(run_id: str, lines: list[str]) -> None:
    missing = [
        stage
        for stage in STAGES
        if not any(line.startswith(f"[rasterflow] {stage} ") for line in lines)
    ]
    if missing:
        raise WorkflowError(f"The log of run {run_id} lacks progress lines of {missing[0]}.")


def _results(connection: Connection, run_id: str) -> Outcome:
    """Return the URIs of what the run's workflows made."""
    import requests

    response = requests.get(
        f"{connection.url}/rasterflow/runs",
        params={"run_id": run_id},
        headers={"X-API-Key": connection.api_key},
        timeout=_REQUEST_SECONDS,
    )
    response.raise_for_status()
    made = {item["kind"]: item["result"] or {} for item in response.json()["items"]}
    try:
        predicted = made["build_and_predict_mosaic_recipe"]
        vectorized = made["vectorize_mosaic"]
        return Outcome(
            mosaic=predicted["inputs"][0]["location"],
            prediction=predicted["mosaics"][0]["location"],
            vectors=vectorized["uri"],
            n_polygons=vectorized["count"],
        )
    except (LookupError, TypeError) as error:
        raise WorkflowError(f"The workflows of run {run_id} left no result: {made}.") from error


def _inspect(outcome: Outcome, out: Path, samples: Path) -> Outcome:
    """Open everything that was made, draw it, and hold what was seen against what was promised."""
    _say("Drawing the picture")
    picture = out / "fields.png"
    done = subprocess.run(  # noqa: S603 - our own script, in a process that may load the engine's libraries
        [
            sys.executable,
            str(samples / "draw_fields.py"),
            str(outcome.mosaic),
            str(outcome.prediction),
            str(outcome.vectors),
            str(picture),
        ],
        capture_output=True,
        text=True,
        timeout=_DRAW_SECONDS,
        check=False,
    )
    if done.returncode:
        raise WorkflowError(f"The picture could not be drawn: {done.stderr.strip()[-1500:]}")
    seen = json.loads(done.stdout.splitlines()[-1])
    empty = [season for season, share in seen["valid"].items() if not share]
    if empty or len(seen["valid"]) < 2:  # noqa: PLR2004 - two seasons
        raise WorkflowError(f"The mosaic has no valid pixels of {empty or 'a second season'}.")
    if not seen["n_polygons"] or seen["n_polygons"] != outcome.n_polygons:
        raise WorkflowError(
            f"{outcome.vectors} holds {seen['n_polygons']} polygons,"
            f" the workflow says {outcome.n_polygons}."
        )
    return _with(outcome, picture=str(picture))


def _print_result(outcome: Outcome, out: Path) -> None:
    data = os.path.relpath(out / "data")
    command = "landloom" if shutil.which("landloom") else os.path.relpath(sys.argv[0])
    print(f"""
Made in {outcome.seconds:.0f} s by run {outcome.run_id}:
  mosaic      {outcome.mosaic}
  prediction  {outcome.prediction}
  vectors     {outcome.vectors}  ({outcome.n_polygons} polygons)
  picture     {outcome.picture}

To look around, start the platform again on the same data:
  {command} up --data {data} --detach
  set -a; . {data}/connection.env; set +a
and paste into Python:
  import xarray as xr; xr.open_zarr("{outcome.mosaic}")
  import geopandas as gpd; gpd.read_parquet("{outcome.vectors}")
`{command} down --data {data}` ends it.
""")


def _with(outcome: Outcome, **changes: Any) -> Outcome:
    from dataclasses import replace

    return replace(outcome, **changes)


def _say(text: str) -> None:
    print(f"• {text}", file=sys.stderr, flush=True)
