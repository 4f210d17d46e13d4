"""Who may do what in the embedded store: one file of identities, read by it at start and on SIGHUP.

An identity is known by its name; its keys are derived from the instance's secret. An identity that
is taken out of the file goes on working until the store's next start, so rights are withdrawn by
leaving it there with none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landloom.stack.files import write_private
from landloom.stack.secrets import MasterSecret

ADMIN = "landloom-admin"
"""The identity that may do everything; the server's own."""

_ADMIN_ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")
_USER_ACTIONS = ("Read", "Write", "List", "Tagging")


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities file of one store."""

    path: Path
    secret: MasterSecret

    def ensure_admin(self) -> None:
        """Write the file with the administrator in it; others in it stay."""
        self._put(ADMIN, list(_ADMIN_ACTIONS))

    def grant(self, user_id: str, bucket: str, prefixes: Sequence[str]) -> bool:
        """Give a user rights on these prefixes of `bucket`, and on nothing else.

        Args:
            user_id: Name of the identity.
            bucket: The one bucket.
            prefixes: Key prefixes, each ending in `/`.

        Returns:
            Whether the file changed.
        """
        actions = [
            f"{action}:{bucket}/{prefix}*" for action in _USER_ACTIONS for prefix in prefixes
        ]
        # Tools also list a folder by its name without the slash.
        actions += [f"List:{bucket}/{prefix.rstrip('/')}" for prefix in prefixes]
        return self._put(user_id, actions)

    def withdraw(self, user_id: str) -> bool:
        """Leave a user no right at all; return whether the file changed."""
        return user_id in self._read() and self._put(user_id, [])

    def _put(self, name: str, actions: list[str]) -> bool:
        known = self._read()
        identity = {
            "name": name,
            "credentials": [
                {
                    "accessKey": self.secret.access_key(name),
                    "secretKey": self.secret.secret_key(name),
                }
            ],
            "actions": actions,
        }
        if known.get(name) == identity:
            return False
        known[name] = identity
        text = json.dumps({"identities": list(known.values())}, indent=1)
        write_private(self.path, text + "\n")
        return True

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        found = json.loads(self.path.read_text())["identities"]
        return {identity["name"]: identity for identity in found}
