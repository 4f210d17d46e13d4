"""How models are run where a request does not say: settings of the machine, not of a request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from landloom.errors import InvalidInput


class RuntimeChoice(StrEnum):
    """Which library computes on a CPU."""

    AUTO = "auto"
    """OpenVINO where it gives what torch gives, else torch."""
    TORCH = "torch"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """In which arithmetic a model is computed, where the hardware has it."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The machine's say in how a model is run."""

    runtime: RuntimeChoice = RuntimeChoice.AUTO
    precision: Precision = Precision.FP32

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `LANDLOOM_RUNTIME` and `LANDLOOM_PRECISION`.

        Raises:
            InvalidInput: A variable holds something that is not known.
        """
        env = os.environ if environ is None else environ
        return cls(
            _one_of(RuntimeChoice, "LANDLOOM_RUNTIME", env),
            _one_of(Precision, "LANDLOOM_PRECISION", env),
        )


def _one_of[E: StrEnum](kind: type[E], name: str, env: Mapping[str, str]) -> E:
    default = next(iter(kind))
    text = env.get(name, "").strip().casefold()
    try:
        return kind(text) if text else default
    except ValueError:
        raise InvalidInput(
            f"{name}={env[name]!r} is not known.",
            suggestion=f"Use one of {', '.join(kind)}, or unset it for {default}.",
        ) from None
