"""Runs in Airflow's environment: executes operators at the same time, tells what each did.

Reads from stdin a list of `{"name", "arguments", "kill"}`; `kill` names a line on which the task is
killed, as Airflow kills one: by `on_kill` from another thread. Writes a list of `{"name", "run_id",
"error", "lines"}`.
"""

import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import structlog
from airflow_providers_wherobots.operators.run import WherobotsRunOperator


class Watch(threading.local):
    """What the operator of this thread logs; calls for the kill when its line comes."""

    operator = None
    last_line = None
    killer = None
    lines: list

    def processor(self, _logger, level, event):
        """Stand at the end of structlog's processors, through which Airflow logs."""
        if self.operator is not None:
            self.lines.append([level.upper(), event["event"]])
            if event["event"] == self.last_line and self.killer is None:
                self.killer = threading.Thread(target=self.operator.on_kill)
                self.killer.start()
        raise structlog.DropEvent


watch = Watch()


def execute(task):
    watch.operator = operator = WherobotsRunOperator(
        task_id=task["name"],
        name=task["name"],
        do_xcom_push=False,
        poll_logs=True,
        polling_interval=1,
        wait_post_run_logs_timeout_seconds=1,
        **task["arguments"],
    )
    watch.lines, watch.killer, watch.last_line = [], None, task.get("kill")
    error = None
    try:
        operator.execute({})
    except RuntimeError as problem:
        error = str(problem)
    if watch.killer is not None:
        watch.killer.join()
    return {
        "name": task["name"],
        "run_id": operator.run_id,
        "error": error,
        "lines": watch.lines,
    }


def main():
    structlog.configure(
        processors=[watch.processor],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    tasks = json.load(sys.stdin)
    with ThreadPoolExecutor(len(tasks)) as pool:
        print(json.dumps(list(pool.map(execute, tasks))))


if __name__ == "__main__":
    main()
