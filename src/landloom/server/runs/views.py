"""Runs as the API shows them: straight from columns to JSON.

A page of fifty runs with their events through ORM rows and validated models costs 35 ms of CPU;
what was checked when it was stored needs no second check, so documents are put together from plain
columns, and the request, already JSON, goes out as it was stored. `schemas.RunView` says what comes
out; a test holds every document against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from landloom.server.runs.rows import EventRow, RunRow
from landloom.server.runs.states import AppStatus

type Document = dict[str, Any]

_IN_LINE: Final = "Waiting in line."

_encoder = msgspec.json.Encoder()


def encode(document: Document) -> bytes:
    """Return a document as JSON."""
    return _encoder.encode(document)


def run_document(run: RunRow, events: Sequence[EventRow], owner: msgspec.Raw) -> Document:
    """Return a run as `schemas.RunView` says.

    Args:
        run: Its columns.
        events: What happened to it, oldest first.
        owner: The principal that submitted it, as JSON.
    """
    payload = msgspec.Raw(run.payload.encode())
    return {
        "id": run.id,
        "createTime": run.created_at,
        "updateTime": run.updated_at,
        "name": run.name,
        "status": run.status,
        "startTime": run.started_at,
        "completeTime": run.completed_at,
        "kubeApp": _app(run, events, payload),
        "payload": payload,
        "region": run.region,
        # Last, where `Documents` can put it in.
        "triggeredBy": owner,
    }


def is_waiting(document: Document) -> bool:
    """Tell whether a run waits for its turn."""
    app = document["kubeApp"]
    return app is not None and app["status"] == AppStatus.PENDING


def _app(run: RunRow, events: Sequence[EventRow], payload: msgspec.Raw) -> Document | None:
    if run.app_id is None or run.app_status is None or run.app_created_at is None:
        return None
    return {
        "id": run.app_id,
        "createTime": run.app_created_at,
        "updateTime": run.updated_at,
        "instanceId": run.app_id,
        "appType": "RUN",
        "status": run.app_status,
        "createdById": run.user_id,
        "apiPayload": payload,
        "appMeta": {
            "spark_ui_url": "",
            "spark_eventlogs_url": "",
            "resolved_version": run.resolved_version,
        },
        "events": [_event(event) for event in events],
        "cpuUsage": 0,
        "regionName": run.region,
        "message": events[-1].message if events else _IN_LINE,
    }


def _event(event: EventRow) -> Document:
    return {
        "id": event.id,
        "createTime": event.created_at,
        "updateTime": event.updated_at,
        "code": event.code,
        "message": event.message,
        "eventMeta": _meta(event.meta) if event.meta else None,
    }


def _meta(meta: Mapping[str, Any]) -> Document:
    return {key: meta.get(key) for key in ("start_timestamp", "end_timestamp")}
