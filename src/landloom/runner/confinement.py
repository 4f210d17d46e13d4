"""What keeps a workload to itself, entered by its first process before its program."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from landloom.runner import folder, mounts
from landloom.runner.folder import Spec

NOT_STARTABLE: Final = 126


def confine(spec: Spec, work: Path) -> None:
    """Keep the calling process, the child before its program, to its cores, rank, files, user."""
    if spec.niceness:
        os.nice(spec.niceness)
    if spec.cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, spec.cores)
    if spec.seat is None:
        _show_documents(spec)
        return
    try:
        spec.seat.see()
        if spec.seat.view is not None:
            # Only root may mount here; and the folder it stands in lies behind the view.
            _show_documents(spec)
            os.chdir(work)
        spec.seat.become()
    except BaseException as problem:  # noqa: BLE001 - never may the program start with our rights
        os.write(1, f"[landloom] the run cannot be kept apart from others: {problem}\n".encode())
        os._exit(NOT_STARTABLE)
    if spec.seat.view is None:
        _show_documents(spec)


def _show_documents(spec: Spec) -> None:
    if spec.documents is None:
        return
    try:
        mounts.show_files(Path(spec.documents))
    except OSError as problem:
        # Into the log, whose pipe standard output is by now.
        os.write(
            1,
            f"[landloom] {mounts.PLACE} cannot be this run's own here ({problem.strerror}); its"
            f" files lie in {spec.documents}, which {folder.DOCUMENTS} names\n".encode(),
        )
