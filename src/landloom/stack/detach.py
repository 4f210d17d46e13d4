"""Starting `landloom up` in the background, and hearing from it whether it came up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from landloom.errors import LandloomError, SetupProblem
from landloom.stack.announcement import Announcement
from landloom.stack.files import private_file
from landloom.stack.instance import Instance

READY_OPTION = "--ready-fd"
_GONE_SECONDS = 30.0


def start_detached(data: Path, arguments: Sequence[str]) -> Announcement:
    """Start `landloom up` with these arguments in a session of its own; return once it is up.

    Raises:
        SetupProblem: It did not come up; the message is its own.
    """
    instance = Instance.at(data)
    instance.prepare()
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, encoding="utf-8") as answer,
        private_file(instance.log_file).open("ab") as log,
    ):
        try:
            child = subprocess.Popen(  # noqa: S603 - this very program
                [
                    sys.executable,
                    "-m",
                    "landloom.cli",
                    "up",
                    *arguments,
                    f"{READY_OPTION}={writing}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        text = answer.read()  # ends when the child answers, or dies
    found = json.loads(text) if text else {}
    if "api_url" in found:
        return Announcement(**found)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GONE_SECONDS)
    if not found:
        raise SetupProblem(
            "The platform ended while it was starting.",
            suggestion=f"Its log {instance.log_file} says why.",
        )
    raise SetupProblem(found["problem"], suggestion=found["suggestion"])


def answer_ready(descriptor: int, announcement: Announcement) -> None:
    """Tell the process that started us that we are up."""
    _answer(descriptor, asdict(announcement))


def answer_problem(descriptor: int, problem: LandloomError) -> None:
    """Tell the process that started us why we are not."""
    _answer(descriptor, {"problem": problem.message, "suggestion": problem.suggestion})


def _answer(descriptor: int, content: dict[str, object]) -> None:
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:
            json.dump(content, pipe)
    except BrokenPipeError:
        pass  # whoever started us did not wait
