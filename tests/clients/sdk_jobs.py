"""Runs in the Python SDK's environment: drives jobs as its documentation shows, tells what it saw.

Reads `{"chatty", "failing", "endless"}` from stdin: URIs of scripts.
"""

import json
import sys
import time

from wherobots.enums import JobStatus

from wherobots import WherobotsJob


def chatty(uri):
    with WherobotsJob(
        script=uri,
        name="sdk-chatty-job",
        runtime="micro",
        region="aws-us-west-2",
        args=["--county", "Haskell County"],
        spark_configs={"spark.sql.shuffle.partitions": "8"},
    ) as job:
        run_id = job.submit()
        lines = []
        job.poll_for_logs(interval=0.5, log_handler=lambda item: lines.append(item["raw"]))
        status = job.wait_for_completion(stream_logs=False, poll_interval=0.2)
        again = [item["raw"] for item in job.iter_logs(size=500)]
        cpu, memory = job.get_cpu_utilization(), job.get_mem_utilization()
        view = job.get_status()
    attached = WherobotsJob.from_run_id(run_id)
    return {
        "run_id": run_id,
        "status": JobStatus(status).value,
        "lines": lines,
        "again": again,
        "samples": [len(cpu.series), len(memory.series)],
        "name": view.name,
        "attached": [attached.name, attached.runtime, attached.region, attached.version],
    }


def failing(uri):
    with WherobotsJob(script=uri, name="sdk-failing-job", timeout_seconds=60) as job:
        run_id = job.submit()
        status = job.wait_for_completion(poll_interval=0.2, stream_logs=False)
    return {"run_id": run_id, "status": JobStatus(status).value}


def endless(uri):
    with WherobotsJob(script=uri, name="sdk-endless-job") as job:
        job.submit()
        while not list(job.iter_logs()):
            time.sleep(0.1)
        accepted = job.cancel()
        status = job.wait_for_completion(poll_interval=0.2, stream_logs=False)
        return {"accepted": accepted, "status": JobStatus(status).value}


def listed():
    page = WherobotsJob.list_runs(name_pattern="sdk-*", size=2)
    failed = WherobotsJob.list_runs(name_pattern="sdk-*", status=[JobStatus.FAILED])
    rest = WherobotsJob.list_runs(name_pattern="sdk-*", size=2, cursor=page.next_page)
    return {
        "total": page.total,
        "names": [run.name for run in [*page.items, *rest.items]],
        "failed": [run.name for run in failed.items],
    }


def main():
    uris = json.load(sys.stdin)
    told = {
        "chatty": chatty(uris["chatty"]),
        "failing": failing(uris["failing"]),
        "endless": endless(uris["endless"]),
    }
    print(json.dumps(told | {"listed": listed()}))


if __name__ == "__main__":
    main()
