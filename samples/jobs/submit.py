"""Submit an uploaded script as a run and follow its log, with nothing but HTTP.

set -a; . DIR/connection.env; set +a
python samples/jobs/submit.py field_boundaries.py [ARGS OF THE SCRIPT ...]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import requests

TIMEOUT_SECONDS = 30
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}


def submit(session: requests.Session, script_uri: str, args: list[str]) -> dict[str, Any]:
    """Submit a run of the script at `script_uri` and return the server's answer."""
    payload = {
        "runtime": "micro",
        "name": f"{Path(script_uri).stem}-{time.strftime('%Y%m%d-%H%M%S')}",
        "runPython": {"uri": script_uri, "args": args},
        "timeoutSeconds": 3600,
        "environment": {"dependencies": []},
    }
    run: dict[str, Any] = call(session, "POST", "/runs", json=payload)
    return run


def follow(session: requests.Session, run_id: str) -> str:
    """Print the run's log as it grows and return its final status."""
    cursor = 0
    while True:
        # The status first: a final one says that every line can be read.
        status = call(session, "GET", f"/runs/{run_id}")["status"]
        while True:
            page = call(session, "GET", f"/runs/{run_id}/logs", params={"cursor": cursor})
            for line in page["items"]:
                print(line["raw"], flush=True)
            if page["next_page"] is None:
                break
            cursor = page["next_page"]
        if status in FINAL:
            return str(status)
        time.sleep(1)


def call(session: requests.Session, method: str, path: str, **options: Any) -> Any:
    """Return the answer's JSON, or end with the server's own words."""
    url = os.environ["LANDLOOM_URL"].rstrip("/") + path
    response = session.request(method, url, timeout=TIMEOUT_SECONDS, **options)
    if not response.ok:
        raise SystemExit(f"{method} {url}: {response.status_code} {response.text}")
    return response.json()


def main() -> int:
    """Submit, follow, and return 0 only for a run that completed."""
    session = requests.Session()
    session.headers["X-API-Key"] = os.environ["WHEROBOTS_API_KEY"]
    script, *args = sys.argv[1:]
    uri = script if script.startswith("s3://") else os.environ["USER_S3_PATH"] + script
    run = submit(session, uri, args)
    print(f"Run {run['id']}", file=sys.stderr)
    status = follow(session, run["id"])
    print(f"Run {run['id']} {status}", file=sys.stderr)
    return 0 if status == "COMPLETED" else 1


if __name__ == "__main__":
    sys.exit(main())
