"""How the interpreter is set in a process that serves, and does nothing else."""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_SECONDS: Final = 0.0005
"""After so long a thread that computes lets another one have its turn. The default, 5 ms, is what
each errand to a database's or a file's thread would wait for on a busy server, twice."""


def settle() -> None:
    """Set the interpreter up to answer promptly; to be called once all is imported."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    # What was imported stays for good. Looking through it for garbage, some 200,000 objects, stops
    # every answer for a tenth of a second.
    gc.collect()
    gc.freeze()
