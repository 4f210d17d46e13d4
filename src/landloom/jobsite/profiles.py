"""AWS profiles in a job: one that a script names brings its own endpoint and region along.

A job's variables point every client at the platform's store, and in botocore variables come before
profiles, so `boto3.Session(profile_name="partner")` would send the partner's keys to the platform's
store. In a job whose organization has storage integrations, what a named profile says comes first;
everything else stays in botocore's order. Written against botocore 1.43, whose private parts are
the only doors there are; standard library only.
"""

from __future__ import annotations

import os
import types
import warnings
from typing import Any

BUCKETS = "LANDLOOM_BUCKETS"
"""Set where there are integrations."""
_DEFAULT = "default"


def adapt(configprovider: types.ModuleType) -> None:
    """Adapt `botocore.configprovider`, freshly imported; one this does not know stays as it is."""
    if not os.environ.get(BUCKETS):
        return
    try:
        _own_endpoint_first(configprovider)
        _own_region_first(configprovider)
    except AttributeError as problem:
        warnings.warn(
            f"botocore is laid out differently from 1.43 ({problem}); name endpoint_url and"
            " region_name beside a profile here",
            RuntimeWarning,
            stacklevel=2,
        )


def _own_endpoint_first(configprovider: Any) -> None:
    kind = configprovider.ConfiguredEndpointProvider
    provide = kind.provide

    def own_first(self: Any) -> Any:
        own = self._scoped_config.get("endpoint_url")
        profiles = self._full_config.get("profiles", {})
        if own and own != profiles.get(_DEFAULT, {}).get("endpoint_url"):
            return own
        return provide(self)

    kind.provide = own_first


def _own_region_first(configprovider: Any) -> None:
    make = configprovider.create_botocore_default_config_mapping

    class Region(configprovider.BaseProvider):  # type: ignore[misc]
        """The region of the profile that a session was made with, else as ever."""

        def __init__(self, session: Any, others: Any) -> None:
            self._session = session
            self._others = others

        def provide(self) -> Any:
            """Return a region, or None."""
            given = self._session.instance_variables()
            if given.get("profile") in {None, _DEFAULT} or given.get("region"):
                return self._others.provide()
            return self._session.get_scoped_config().get("region") or self._others.provide()

    def mapping(session: Any) -> Any:
        found = make(session)
        found["region"] = Region(session, found["region"])
        return found

    configprovider.create_botocore_default_config_mapping = mapping
