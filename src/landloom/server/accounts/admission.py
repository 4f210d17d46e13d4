"""Whether somebody besides the platform's administrator is let in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from landloom.errors import Forbidden, SetupProblem
from landloom.server.settings import Settings

_WAY_OUT = "set LANDLOOM_TRUST_USERS=true if all of them may see and change everything"


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets a second principal in where each is kept to what is theirs."""

    obstacle: str = ""
    """Why they would not be; empty lets everybody in."""

    @classmethod
    def of(cls, settings: Settings, *, isolated: bool, scoped: bool) -> Self:
        """Decide by what was found here.

        Args:
            settings: What the operator decided.
            isolated: Whether jobs run as operating-system users of their own.
            scoped: Whether the object store keeps users to their prefixes.
        """
        if settings.trust_users:
            return cls()
        if not scoped:
            return cls("the object store gives all users the same keys")
        return cls("" if isolated else "jobs are not isolated from one another on this machine")

    def require(self) -> None:
        """Do nothing if another principal may be let in.

        Raises:
            Forbidden: They would reach what is others'.
        """
        if self.obstacle:
            raise Forbidden(
                f"There can be no second user here: {self.obstacle}.",
                suggestion=f"Ask the operator to change that, or to {_WAY_OUT}.",
            )

    def require_at_start(self, principals: int) -> None:
        """Do nothing if the platform may be started with as many principals as it has.

        Raises:
            SetupProblem: There are several, who would reach what is others'.
        """
        if self.obstacle and principals > 1:
            raise SetupProblem(
                f"This platform has {principals} users, and {self.obstacle}.",
                suggestion=f"Change that, or {_WAY_OUT}.",
            )
