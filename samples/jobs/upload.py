"""Upload files to your managed storage, next to where jobs read and write.

set -a; . DIR/connection.env; set +a
python samples/jobs/upload.py samples/jobs/field_boundaries.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import s3fs


def upload(files: list[Path]) -> list[str]:
    """Put the files under USER_S3_PATH and return their URIs."""
    storage = s3fs.S3FileSystem(profile="default")
    uris = [f"{os.environ['USER_S3_PATH']}{file.name}" for file in files]
    for file, uri in zip(files, uris, strict=True):
        storage.put(str(file), uri)
    return uris


if __name__ == "__main__":
    for uri in upload([Path(name) for name in sys.argv[1:]]):
        print(uri)
