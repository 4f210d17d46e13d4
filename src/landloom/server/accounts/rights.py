"""Rights: what a principal's policies allow.

A policy allows or denies an action at a locator. Actions are `<thing>:<verb>`, such as `runs:read`;
a locator is a path of the API without its leading slash, such as `runs/abc123/logs`. In both, `*`
stands for any run of characters. What no policy allows is refused, and one that denies wins over
any that allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from landloom.errors import Forbidden

PLATFORM: Final = "WHEROBOTS"
"""The provider of policies on this API; those of AWS are about storage elsewhere."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One right, or its refusal."""

    action: str
    locator: str
    effect: Literal["ALLOW", "DENY"]
    provider: Literal["WHEROBOTS", "AWS"] = "WHEROBOTS"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Policy:
        """Return the policy that `to_json` wrote."""
        return cls(
            document["action"], document["locator"], document["effect"], document["provider"]
        )

    def to_json(self) -> dict[str, str]:
        """Return the policy as JSON values."""
        return {
            "provider": self.provider,
            "locator": self.locator,
            "action": self.action,
            "effect": self.effect,
        }

    def covers(self, action: str, locator: str) -> bool:
        """Say whether the policy is about this action at this place."""
        return (
            self.provider == PLATFORM
            and _matches(self.action, action)
            and _matches(self.locator, locator)
        )


@dataclass(frozen=True, slots=True)
class Rights:
    """The policies of a principal."""

    policies: tuple[Policy, ...] = ()

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> Rights:
        """Return the rights that stored policies give."""
        return cls(tuple(Policy.of(document) for document in documents))

    def and_also(self, policies: tuple[Policy, ...]) -> Rights:
        """Return these rights with further policies."""
        return Rights(self.policies + policies)

    def allow(self, action: str, locator: str = "*") -> bool:
        """Say whether an action is allowed at a place."""
        effects = {each.effect for each in self.policies if each.covers(action, locator)}
        return effects == {"ALLOW"}

    def require(self, action: str, locator: str = "*") -> None:
        """Do nothing if an action is allowed at a place.

        Raises:
            Forbidden: It is not.
        """
        if not self.allow(action, locator):
            raise Forbidden(
                f"This key's owner has no right to {action} at {locator}.",
                suggestion="Ask an administrator of your organization for a role that has it.",
            )


ADMIN: Final = "Admin"
USER: Final = "User"

BUILT_IN: Final[Mapping[str, tuple[Policy, ...]]] = {
    ADMIN: (Policy("*", "*", "ALLOW"),),
    USER: (
        Policy("runs:*", "*", "ALLOW"),
        Policy("workflows:*", "*", "ALLOW"),
        Policy("files:*", "*", "ALLOW"),
        Policy("apikeys:*", "apikey*", "ALLOW"),
        Policy("organization:read", "*", "ALLOW"),
        Policy("users:read", "*", "ALLOW"),
        Policy("usage:read", "*", "ALLOW"),
    ),
}
"""The roles that every organization has."""

RUN_LIMITS: Final = tuple(
    Policy(action, "*", "DENY")
    for action in (
        "apikeys:*",
        "integrations:administer",
        "organization:update",
        "users:administer",
        "platform:*",
    )
)
"""What a run's own key may never do: what it leaves behind would outlive the run."""


def _matches(pattern: str, text: str) -> bool:
    """Say whether a text is what a pattern with stars stands for.

    No regular expression: one with many stars tries again at every place of the text for each of
    them, and the text is whatever path a client asks for.
    """
    head, *others = pattern.split("*")
    if not others:
        return text == pattern
    *between, tail = others
    at, end = len(head), len(text) - len(tail)
    if at > end or not text.startswith(head) or not text.endswith(tail):
        return False
    # The first place of each part leaves the most room for the next: no other needs a try.
    for part in between:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
