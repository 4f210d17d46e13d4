"""Geometry models in `.pt2` files: what they take and give, and how they are run.

The archive's program `model` takes two tensors,

- image: float32 (B, C, H, W), and
- prompts: int64 (P, L), a row of token ids for each prompt,

and gives three for N candidates of every image and prompt:

- masks: logits (B, P, N, h, w), above 0 inside; h, w are any size, stretched over the image,
- boxes: (B, P, N, 4): x0, y0, x1, y1 as fractions of the image's width and height,
- scores: (B, P, N), 0 to 1.

That is SAM 3's interface for images and text, its 200 queries being the candidates, its image
1008 x 1008 px, its masks 288 x 288, and its score the product of a candidate's and the presence
token's sigmoid. The extra file `tokenizer.json` turns prompts into ids (see `tokenizer`). A program
`transforms` may stand before: raw values (B, C, H, W) to what `model` wants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from landloom.errors import ModelRejected
from landloom.raster.geometries.model import Instance
from landloom.raster.geometries.tokenizer import Tokenizer
from landloom.raster.models.archive import MODEL, TRANSFORMS, has_extra, open_archive
from landloom.raster.models.device import CPU, settled
from landloom.raster.models.program import size_range
from landloom.raster.models.registry import ModelFile
from landloom.wire.requests import GeometryInference

TOKENIZER = "tokenizer.json"

OUTPUT_AXES = {"masks": 5, "boxes": 4, "scores": 3}

INTERFACE = (
    "A geometry model takes an image (B, C, H, W) and prompts (P, L), and gives masks"
    " (B, P, N, h, w), boxes (B, P, N, 4) and scores (B, P, N)."
)

type Sizes = tuple[int | None, ...]
"""Sizes noted at export; None is any."""


@dataclass(frozen=True, slots=True)
class ExportedGeometryModel:
    """A loaded model, ready for the prompts of one request."""

    batch: int
    prompts: tuple[NDArray[np.int64], ...]
    """Token ids (P, L), in groups of as many prompts as the program takes at a time."""
    count: int
    """How many prompts there are; the last group may be padded beyond it."""
    sides: Mapping[str, tuple[int, int] | None]
    """Height and width that each program takes, None for any."""
    modules: Mapping[str, torch.nn.Module]
    device: str
    notes: tuple[str, ...] = ()
    """What the user should know about how it was loaded."""

    def find(self, patches: NDArray[np.float32], least_score: float) -> list[list[Instance]]:
        """Return the instances of each patch; see `GeometryModel.find`."""
        count = len(patches)
        if count < self.batch:
            blank = np.zeros((self.batch - count, *patches.shape[1:]), np.float32)
            patches = np.concatenate([patches, blank])
        side_yx = (patches.shape[2], patches.shape[3])
        found: list[list[Instance]] = [[] for _ in range(count)]
        with torch.inference_mode():
            image = torch.from_numpy(patches).to(self.device)
            if TRANSFORMS in self.modules:
                image = self.modules[TRANSFORMS](self._fitted(image, TRANSFORMS))
            image = self._fitted(image, MODEL)
            for number, group in enumerate(self.prompts):
                ids = torch.from_numpy(group).to(self.device)
                masks, boxes, scores = (
                    each.cpu().float() for each in self.modules[MODEL](image, ids)
                )
                first = number * len(self.prompts[0])
                chosen = (scores[:count, : self.count - first] >= least_score).nonzero()
                for patch, prompt, candidate in chosen.tolist():
                    place = (patch, prompt, candidate)
                    mask = _stretched(masks[place], side_yx)
                    box = _box(boxes[place], side_yx)
                    found[patch].append(Instance(first + prompt, float(scores[place]), box, mask))
        return found

    def _fitted(self, image: torch.Tensor, program: str) -> torch.Tensor:
        """Stretch the image to the size that a program takes."""
        wanted = self.sides[program]
        if wanted is None or wanted == tuple(image.shape[2:]):
            return image
        return torch.nn.functional.interpolate(
            image, size=wanted, mode="bilinear", align_corners=False, antialias=True
        )


@dataclass(frozen=True, slots=True)
class GeometryCard:
    """What a geometry model's archive says of itself."""

    version: str
    """Of the archive."""
    channels: int
    """Of the image it takes."""
    side_yx: tuple[int, int] | None
    """Pixels of that image; None takes any."""
    tokens: int
    """Of a prompt."""


def geometry_card(file: ModelFile) -> GeometryCard | None:
    """Return what an archive says of itself, or None where it is no geometry model's.

    Raises:
        ModelRejected: It cannot be opened, or its program has another interface.
    """
    if not has_extra(file, TOKENIZER):
        return None
    archive = open_archive(file)
    if MODEL not in archive.programs:
        return None
    image, prompts = _inputs(file, archive.programs[MODEL])
    transforms = archive.programs.get(TRANSFORMS)
    first = image if transforms is None else _tensors(transforms, "input")[0]
    return GeometryCard(archive.version, int(first.shape[1]), _side(first), int(prompts.shape[1]))


def open_geometry_model(file: ModelFile, inference: GeometryInference) -> ExportedGeometryModel:
    """Load a geometry model for a request; no pixel is read.

    Raises:
        ModelRejected: The file is no geometry model, or does not fit the request.
        InvalidInput: A prompt cannot be put to it.
    """
    archive = open_archive(file)
    if TOKENIZER not in archive.extra:
        raise ModelRejected(
            f"{file.name} holds no {TOKENIZER}, so text prompts mean nothing to it.",
            suggestion=f"Package it with extra_files={{{TOKENIZER!r}: ...}}.",
        )
    if archive.packages:
        raise ModelRejected(
            f"{file.name} holds compiled packages ({', '.join(sorted(archive.packages))}); geometry"
            " models are run as exported programs.",
            suggestion="Package it with package_pt2(file, exported_programs={'model': ...}).",
        )
    programs = {
        name: each for name, each in archive.programs.items() if name in (MODEL, TRANSFORMS)
    }
    image, prompts = _inputs(file, programs[MODEL])
    first = _tensors(programs[TRANSFORMS], "input")[0] if TRANSFORMS in programs else image
    wanted = len(inference.features)
    if first.shape[1] != wanted:
        raise ModelRejected(
            f"{file.name} has {first.shape[1]} input channels, but the request's features mean"
            f" {wanted}.",
            suggestion="Change features, or use a model made for them.",
            field="inference.features",
        )
    tokenizer = Tokenizer.parse(archive.extra[TOKENIZER], file.name)
    length = int(prompts.shape[1])
    ids = [tokenizer.encode(prompt, length) for prompt in inference.text_prompt]
    _, most = size_range(programs[MODEL], prompts.shape[0])
    fixed = isinstance(prompts.shape[0], int)
    model = partial(
        ExportedGeometryModel,
        batch=_batch(programs, inference),
        prompts=_groups(ids, most, fixed=fixed),
        count=len(ids),
        sides={MODEL: _side(image), TRANSFORMS: _side(first)},
    )
    return _placed(model, programs, file, inference)


def _placed(
    model: Callable[..., ExportedGeometryModel],
    programs: Mapping[str, ExportedProgram],
    file: ModelFile,
    inference: GeometryInference,
) -> ExportedGeometryModel:
    """Place the programs on the asked device, or the CPU, and try them on a blank patch."""
    device, said = settled(inference.device)
    notes = list(said)
    blank = np.zeros((1, len(inference.features), *(inference.patch_size,) * 2), np.float32)
    if device != CPU:
        try:
            # Results must agree with other machines to 1e-5, which TensorFloat-32 does not.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
            moved = {name: move_to_device_pass(each, device) for name, each in programs.items()}
            there = model(modules=_modules(moved), device=device, notes=said)
            there.find(blank, 0.0)
        except Exception as error:  # noqa: BLE001 - a graph bound to the CPU fails in any way
            notes.append(f"{file.name} does not run on {device}: {_reason(error)}")
        else:
            return there
    try:
        here = model(modules=_modules(programs), device=CPU, notes=tuple(notes))
        here.find(blank, 0.0)
    except Exception as error:
        raise ModelRejected(
            f"{file.name} fails on patches of shape {blank.shape[1:]}: {_reason(error)}",
            suggestion="Check patch_size, features and the model's export.",
        ) from error
    return here


def _modules(programs: Mapping[str, ExportedProgram]) -> dict[str, torch.nn.Module]:
    return {name: program.module() for name, program in programs.items()}


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _inputs(file: ModelFile, program: ExportedProgram) -> tuple[Any, Any]:
    """Return what stands for image and prompts in the program's signature."""
    takes, gives = _tensors(program, "input"), _tensors(program, "output")
    axes = [len(each.shape) for each in takes], [len(each.shape) for each in gives]
    if axes != ([4, 2], list(OUTPUT_AXES.values())) or not isinstance(takes[1].shape[1], int):
        raise ModelRejected(
            f"Program 'model' of {file.name} takes tensors of {axes[0]} axes and gives {axes[1]}.",
            suggestion=INTERFACE,
        )
    return takes[0], takes[1]


def _tensors(program: ExportedProgram, side: str) -> list[Any]:
    signature = program.graph_signature
    names = signature.user_inputs if side == "input" else signature.user_outputs
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    found = [values.get(str(name)) for name in names]
    return [each for each in found if hasattr(each, "shape")]


def _batch(programs: Mapping[str, ExportedProgram], inference: GeometryInference) -> int:
    """Return the one batch size: within what was asked and what the export allows."""
    ranges = [
        size_range(program, _tensors(program, "input")[0].shape[0]) for program in programs.values()
    ]
    most = min([inference.max_batch_size, *(high for _, high in ranges if high is not None)])
    return max([most, *(low for low, _ in ranges)])


def _groups(
    ids: Sequence[Sequence[int]], most: int | None, *, fixed: bool
) -> tuple[NDArray[np.int64], ...]:
    """Cut the prompts into groups; where the program takes a fixed number, the last is repeated."""
    rows = np.array(ids, np.int64)
    size = min(most or len(rows), len(rows)) if not fixed else most or 1
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    if fixed:
        short = size - len(groups[-1])
        groups[-1] = np.concatenate([groups[-1], np.repeat(groups[-1][-1:], short, axis=0)])
    return tuple(groups)


def _side(image: Any) -> tuple[int, int] | None:
    height, width = image.shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _stretched(logits: torch.Tensor, side_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where a mask is above 0, in pixels of the patch."""
    if tuple(logits.shape) != side_yx:
        logits = torch.nn.functional.interpolate(
            logits[None, None], size=side_yx, mode="bilinear", align_corners=False
        )[0, 0]
    mask: NDArray[np.bool_] = (logits > 0).numpy()
    return mask


def _box(fractions: torch.Tensor, side_yx: tuple[int, int]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = fractions.clamp(0, 1).tolist()
    height, width = side_yx
    return x0 * width, y0 * height, x1 * width, y1 * height
