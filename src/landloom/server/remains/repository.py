"""Queries on which workloads have ended, in all organizations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run
from landloom.server.workflows.tables import Workflow
from landloom.wire.enums import WorkflowStatus

_FINAL_OF_RUNS: Final = [each for each in RunStatus if each.final]
_FINAL_OF_WORKFLOWS: Final = [each for each in WorkflowStatus if each.final]


@dataclass(frozen=True, slots=True)
class End:
    """The end of a workload, as it was published."""

    workload_id: str
    at: datetime | None
    is_workflow: bool


async def ends(session: AsyncSession, ids: Collection[str]) -> list[End]:
    """Return the ends of those of these workloads that have ended."""
    runs = select(Run.id, Run.completed_at).where(Run.id.in_(ids), Run.status.in_(_FINAL_OF_RUNS))
    workflows = select(Workflow.id, Workflow.completed_at).where(
        Workflow.id.in_(ids), Workflow.status.in_(_FINAL_OF_WORKFLOWS)
    )
    found = [End(*row, is_workflow=False) for row in (await session.execute(runs)).all()]
    found += [End(*row, is_workflow=True) for row in (await session.execute(workflows)).all()]
    return found
