"""A raster worker for tests: follows the files' contract, and does what the request's AOI says.

Its request file holds an AOI object with `steps`, and one of `fail`, `crash`, `hang`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(path: Path) -> int:
    given = json.loads(path.read_text())
    plan = given["request"]["aoi"]
    with Path("progress.jsonl").open("a") as progress:
        for seq in range(plan.get("steps", 1)):
            event = {
                "seq": seq,
                "at": time.time(),
                "stage": "mosaic",
                "message": f"step {seq}",
                "done": seq + 1,
                "total": plan.get("steps", 1),
            }
            progress.write(json.dumps(event) + "\n")
            progress.flush()
            time.sleep(plan.get("pause", 0))
    if plan.get("crash"):
        print("about to crash")
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.get("hang"):
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        while not stopped:
            time.sleep(0.02)
        return publish("CANCELLED")
    if plan.get("fail"):
        error = {"code": "MODEL_UNAVAILABLE", "message": "No model.", "suggestion": "Bring it."}
        return publish("FAILED", error=error)
    return publish("COMPLETED", result={"index_uri": given["output_uri"] + "index.parquet"})


def publish(status: str, **parts: object) -> int:
    body = {"status": status, "result": None, "error": None, **parts}
    temporary = Path("result.tmp")
    temporary.write_text(json.dumps(body))
    temporary.rename("result.json")
    return 0 if status == "COMPLETED" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
