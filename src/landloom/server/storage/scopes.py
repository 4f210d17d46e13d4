"""What temporary keys may reach, and the session policy that says so to a store.

The policy goes with AssumeRole: the keys then have the role's rights as far as the policy allows
them too. Its language is that of the IAM User Guide, "IAM JSON policy reference"; stores take 2,048
characters of it at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from landloom.errors import InvalidInput

LONGEST_POLICY: Final = 2048
"""Characters of an inline session policy, by the AssumeRole API."""

_READ: Final = ("s3:GetObject", "s3:GetObjectTagging")
_WRITE: Final = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:PutObjectTagging",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
_PATTERNS: Final = frozenset("*?$")
"""What policies read as patterns or variables: a key with one would reach further than itself."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Places in one bucket, to read or to read and write."""

    bucket: str
    keys: tuple[str, ...]
    """A key that ends with `/` is a folder; any other is an object, or a folder of that name."""
    writable: bool = False

    def policy(self, *, uploads: bool = True) -> str:
        """Return the session policy as JSON.

        Args:
            uploads: Whether the keys, if they write, may list unfinished uploads below the prefixes
                too. Not every store knows how to bound that by a prefix.

        Raises:
            InvalidInput: A key has characters that policies read as patterns, or is too long.
        """
        for key in self.keys:
            if _PATTERNS & set(key) or not key.strip("/") or {".", ".."} & {*key.split("/")}:
                raise InvalidInput(
                    f"Keys cannot be lent for s3://{self.bucket}/{key}.",
                    suggestion="Name a folder or an object without *, ?, $ or .. in its key.",
                    field="path",
                )
        document = {"Version": "2012-10-17", "Statement": [self._objects(), *self._bucket(uploads)]}
        text = json.dumps(document, separators=(",", ":"))
        if len(text) > LONGEST_POLICY:
            raise InvalidInput(
                f"A name of {max(map(len, self.keys))} characters is too long to lend keys for.",
                suggestion="Name a folder further up.",
                field="path",
            )
        return text

    def _objects(self) -> dict[str, Any]:
        named = [each for each in self.keys if not each.endswith("/")]
        below = [f"{each.rstrip('/')}/*" for each in self.keys]
        return {
            "Effect": "Allow",
            "Action": [*_READ, *(_WRITE if self.writable else ())],
            "Resource": [f"arn:aws:s3:::{self.bucket}/{key}" for key in (*named, *below)],
        }

    def _bucket(self, uploads: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - of `policy`
        resource = f"arn:aws:s3:::{self.bucket}"
        folders = [each.rstrip("/") for each in self.keys]
        # Tools also list a folder by its name without the slash.
        prefixes = [pattern for each in folders for pattern in (each, f"{each}/*")]
        listing = ["s3:ListBucketMultipartUploads"] if self.writable and uploads else []
        return [
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", *listing],
                "Resource": resource,
                "Condition": {"StringLike": {"s3:prefix": prefixes}},
            },
            {"Effect": "Allow", "Action": "s3:GetBucketLocation", "Resource": resource},
        ]
