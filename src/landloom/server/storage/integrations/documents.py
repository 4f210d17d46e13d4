"""What an AWS administrator puts into IAM so that an integration works (IAM User Guide)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_VERSION: Final = "2012-10-17"
_READ: Final = ("s3:GetObject", "s3:GetObjectTagging")
_WRITE: Final = (
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)


def trust_relationship(principals: Sequence[str], external_id: str) -> dict[str, Any]:
    """Return the trust policy of a role that these principals may assume.

    Args:
        principals: ARNs, or AWS account ids, which stand for all of an account.
        external_id: What they must name when they do; the organization's id.
    """
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": [_arn(each) for each in principals]},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            }
        ],
    }


def access_policy(bucket: str, prefix: str, *, writable: bool) -> dict[str, Any]:
    """Return the policy of keys that an integration needs at least, and no more than that.

    Args:
        bucket: The bucket.
        prefix: Empty, or ending with `/`.
        writable: Whether objects are written and deleted.
    """
    arn = f"arn:aws:s3:::{bucket}"
    listing: dict[str, Any] = {
        "Sid": "List",
        "Effect": "Allow",
        "Action": ["s3:ListBucket", *(["s3:ListBucketMultipartUploads"] if writable else [])],
        "Resource": arn,
    }
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [prefix.rstrip("/"), f"{prefix}*"]}}
    return {
        "Version": _VERSION,
        "Statement": [
            listing,
            {
                "Sid": "Locate",
                "Effect": "Allow",
                "Action": "s3:GetBucketLocation",
                "Resource": arn,
            },
            {
                "Sid": "Objects",
                "Effect": "Allow",
                "Action": [*_READ, *(_WRITE if writable else ())],
                "Resource": f"{arn}/{prefix}*",
            },
        ],
    }


def _arn(principal: str) -> str:
    return principal if principal.startswith("arn:") else f"arn:aws:iam::{principal}:root"
