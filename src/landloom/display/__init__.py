"""How work is shown to people: bars on a terminal, plain lines in a log, plans as tables.

A leaf beside `wire`: it needs rich and the values that travel, so the client, the command line and
the engine's own commands can show the same things alike.
"""

from landloom.display.bars import StageBars
from landloom.display.plan import print_plan
from landloom.display.workflow import WorkflowDisplay

__all__ = ["StageBars", "WorkflowDisplay", "print_plan"]
