"""A second store, which Landloom did not start for itself: a partner's, with people of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from landloom.server.storage.admin import Credentials
from landloom.stack.files import write_private
from landloom.stack.identities import ADMIN
from landloom.stack.weed import LENDING_ARN
from tests.api.seaweed import Seaweed

BUCKET, OPEN = "partner", "open-data"
SECRET = "partner-secret/+%"


@dataclass(frozen=True)
class Partner:
    """The store and what is registered of it."""

    store: Seaweed

    @classmethod
    def of(cls, store: Seaweed) -> Partner:
        """Give a store its buckets and people; `OPEN` is for anybody to read."""
        for bucket in (BUCKET, OPEN):
            store.client().create_bucket(Bucket=bucket)
        made = cls(store)
        made.allow("anonymous", [f"Read:{OPEN}", f"List:{OPEN}"])
        return made

    @property
    def endpoint(self) -> str:
        return self.store.endpoint

    def allow(self, name: str, actions: Sequence[str]) -> dict[str, str]:
        """Add somebody with rights in SeaweedFS's words; return the keys as they are registered."""
        path = self.store.store.config.identities
        known = json.loads(path.read_text())
        keys = {"accessKey": f"AK{name}", "secretKey": SECRET}
        known["identities"].append({"name": name, "credentials": [keys], "actions": list(actions)})
        write_private(path, json.dumps(known))
        self.store.store.reload()
        self._wait_for(keys["accessKey"])
        return {"accessKeyId": keys["accessKey"], "secretAccessKey": SECRET}

    def role(self) -> dict[str, str]:
        """Return a role, and keys of whom it trusts."""
        keys = self.store.store.config.credentials(ADMIN)
        return {
            "roleArn": LENDING_ARN,
            "accessKeyId": keys.access_key,
            "secretAccessKey": keys.secret_key,
        }

    def names(self, bucket: str = BUCKET) -> set[str]:
        """Return the keys of all objects."""
        listed = self.store.client().list_objects_v2(Bucket=bucket)
        return {each["Key"] for each in listed.get("Contents", ())}

    def get(self, key: str, bucket: str = BUCKET) -> bytes:
        """Return an object's bytes."""
        body: bytes = self.store.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def _wait_for(self, access_key: str) -> None:
        """Wait until the store knows the keys: it tells unknown ones from ones without rights."""
        deadline = time.monotonic() + 20
        client = self.store.client(Credentials(access_key, SECRET))
        while True:
            try:
                client.list_buckets()
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "InvalidAccessKeyId":
                    return
                assert time.monotonic() < deadline, "the store never read its identities"
                time.sleep(0.05)
            else:
                return
