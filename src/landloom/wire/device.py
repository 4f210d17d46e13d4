"""The names of devices that models run on."""

from __future__ import annotations

import re


def device_name(given: str) -> str:
    """Return the name of a device, in whatever case it was given.

    Raises:
        ValueError: It names none.
    """
    name = given.strip().lower()
    if re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII) is None:
        raise ValueError(f"there is no device {given!r}: pass cpu, cuda, or cuda:1 for the second")
    return name
