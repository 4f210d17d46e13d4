"""What a job's interpreter gets before its script."""

from __future__ import annotations

from pathlib import Path


def hook_folder() -> Path:
    """Return the folder that, on PYTHONPATH, brings the job's start-up hook and nothing else."""
    return Path(__file__).parent / "hook"
