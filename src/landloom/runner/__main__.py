"""`python -m landloom.runner WORKLOAD_DIR`: run the workload of that folder to its end."""

from __future__ import annotations

import sys
from pathlib import Path

from landloom.runner.folder import REFUSED
from landloom.runner.supervisor import supervise


def main(arguments: list[str]) -> int:
    """Run; 0 where the workload was run, whatever came of it, else REFUSED."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m landloom.runner WORKLOAD_DIR\n")
        return 2
    return 0 if supervise(Path(arguments[0]).absolute()) else REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
