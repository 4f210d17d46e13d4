"""The history of workloads as the API shows it: straight from columns to JSON.

Ten thousand validated models would cost a second, in which the server answers nobody else.
`schemas.WorkloadHistoryItem` says what comes out; a test holds every item against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from landloom.server.usage.repository import PastRun, PastWorkflow
from landloom.server.usage.schemas import WorkloadStatus, WorkloadType

_STATUSES: Final[Mapping[str, WorkloadStatus]] = {
    "PENDING": "PENDING",
    "RUNNING": "RUNNING",
    "COMPLETED": "SUCCEEDED",
    "SUCCEEDED": "SUCCEEDED",
    "FAILED": "FAILED",
    "CANCELLED": "FAILED",
}
_UNFINISHED: Final = {"PENDING", "RUNNING"}


def history_document(
    runs: Sequence[PastRun],
    reasons: Mapping[str, str],
    workflows: Sequence[PastWorkflow],
    limit: int,
) -> bytes:
    """Return the newest of runs and workflows, at most so many, as JSON.

    Args:
        runs: Newest first.
        reasons: Why runs failed, by their ids.
        workflows: Newest first.
        limit: The number of items.
    """
    items = [_run_item(run, reasons.get(run.id)) for run in runs]
    items += map(_workflow_item, workflows)
    # Instants as text are of one width: they sort as they are.
    items.sort(key=lambda item: (item["createTime"], item["id"]), reverse=True)
    return msgspec.json.encode(items[:limit])


def _run_item(run: PastRun, reason: str | None) -> dict[str, Any]:
    return {
        "id": run.app_id or run.id,
        "createTime": run.created_at,
        "updateTime": run.updated_at,
        "workloadType": WorkloadType.RUN,
        "name": run.name,
        "status": _status(run),
        "createdById": run.user_id,
        "startTime": run.started_at,
        "endTime": run.completed_at,
        "message": reason,
        "sourceClient": _first_hop(run.source_client),
        "sourceClientChain": run.source_client,
        "appType": "RUN",
        "runtimeId": run.runtime,
        "regionName": run.region,
        "runId": run.id,
        "runName": run.name,
        "runStatus": run.status,
        "workflowName": None,
        "workflowProject": None,
        "executionId": None,
    }


def _workflow_item(row: PastWorkflow) -> dict[str, Any]:
    return {
        "id": row.id,
        "createTime": row.created_at,
        "updateTime": row.updated_at,
        "workloadType": WorkloadType.RASTERFLOW_RUN,
        "name": row.kind,
        "status": _status(row),
        "createdById": row.user_id,
        "startTime": row.started_at,
        "endTime": row.completed_at,
        "message": row.message or None,
        "sourceClient": None,
        "sourceClientChain": None,
        "appType": None,
        "runtimeId": None,
        "regionName": None,
        "runId": row.run_id,
        "runName": None,
        "runStatus": None,
        "workflowName": row.kind,
        "workflowProject": None,
        "executionId": row.id,
    }


def _status(row: PastRun | PastWorkflow) -> WorkloadStatus:
    if row.is_cancelled and row.status in _UNFINISHED:
        return "CANCELLING"
    return _STATUSES.get(row.status, "UNKNOWN")


def _first_hop(chain: str | None) -> str | None:
    """Return the name in `client=NAME;ver=...`, of the first of the hops that `, ` parts."""
    for field in (chain or "").split(",")[0].split(";"):
        name, _, value = field.partition("=")
        if name.strip() == "client" and value.strip():
            return value.strip()
    return None
