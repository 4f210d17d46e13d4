"""Tiny models, exported the way users export theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, export
from torch.export.pt2_archive._package import package_pt2

from landloom.raster.models.registry import ModelFile, sha256_of


class Echo(torch.nn.Module):
    """Gives its input back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


class Net(torch.nn.Module):
    """Two convolutions with random weights: a receptive field of 2 px to each side."""

    def __init__(self, channels: int = 2, labels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.first = torch.nn.Conv2d(channels, 8, 3, padding=1)
        self.second = torch.nn.Conv2d(8, labels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


class HalfNet(torch.nn.Module):
    """Net, computed in half precision between single-precision ends."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net().half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.to(torch.float16)).float()


class BrainNet(torch.nn.Module):
    """Net, computed in bfloat16 between single-precision ends."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net().bfloat16()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.to(torch.bfloat16)).float()


class Bessel(torch.nn.Module):
    """Has an operator that OpenVINO does not know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Wild(torch.nn.Module):
    """Blows the last bit of its input up: no two libraries give the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(torch.exp(x / 100) * 1000)


class Dividing(torch.nn.Module):
    """Gives infinity where its input is 7, and NaN where it is 8."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x != 7) + torch.where(x == 8, torch.nan, 0.0)


class Tenth(torch.nn.Module):
    """A transform: divides by ten."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 10


class Doubled(torch.nn.Module):
    """A transform that resizes: twice the pixels a side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Viewing(torch.nn.Module):
    """Cannot be run in channels-last: it views its input as a flat line."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], -1).view(x.shape) * 2


def exported(
    path: Path,
    model: torch.nn.Module,
    *,
    channels: int = 2,
    patch: int = 32,
    transforms: torch.nn.Module | None = None,
    batch: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> ModelFile:
    """Write an archive; `batch` fixes the batch dimension, None leaves it open."""
    dynamic = ({0: Dim("batch", min=1, max=64)},) if batch is None else None
    x = torch.rand(batch or 2, channels, patch, patch)
    programs = {}
    if transforms is not None:
        programs["transforms"] = export(transforms.eval(), (x,), dynamic_shapes=dynamic)
        x = transforms(x)
    programs["model"] = export(model.eval(), (x,), dynamic_shapes=dynamic)
    package_pt2(path, exported_programs=programs, extra_files=dict(extra or {}))
    return ModelFile(path, sha256_of(path), path.name)
