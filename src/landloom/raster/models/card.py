"""What an archive says of itself, so that it need not be opened to be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from landloom.raster.models.metadata import metadata_shape
from landloom.raster.models.program import Signature, signature_of

if TYPE_CHECKING:
    from landloom.raster.models.archive import Archive

MODEL, TRANSFORMS = "model", "transforms"


@dataclass(frozen=True, slots=True)
class Card:
    """Sizes and versions of a model archive."""

    version: str
    """Of the archive."""
    metadata: str | None
    """The text of `mlm-metadata`."""
    signatures: Mapping[str, Signature]
    """Of `model`, and of `transforms` if there is one."""
    compiled: bool
    """Whether any of them is machine code, which does not tell its sizes."""

    @classmethod
    def of(cls, archive: Archive) -> Self:
        """Read the card of an open archive.

        Raises:
            ModelRejected: A program does not take and give one image.
        """
        signatures = {
            name: signature_of(name, archive.programs[name])
            for name in (MODEL, TRANSFORMS)
            if name in archive.programs
        }
        packages = [name for name in (MODEL, TRANSFORMS) if name in archive.packages]
        if packages:
            shape = metadata_shape(archive.metadata) or (None,) * 4
            batch = shape[0]
            unsaid = Signature((None,) * 4, (None,) * 4, batch or 1, batch)
            first = Signature(shape, (None,) * 4, batch or 1, batch)
            for name in packages:
                is_first = name == TRANSFORMS or TRANSFORMS not in archive.packages
                signatures[name] = first if is_first else unsaid
        return cls(archive.version, archive.metadata, signatures, bool(packages))

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        signatures = {
            name: Signature(
                tuple(each["input"]),
                tuple(each["output"]),
                each["smallest_batch"],
                each["largest_batch"],
            )
            for name, each in said["signatures"].items()
        }
        return cls(said["version"], said["metadata"], signatures, said["compiled"])

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        return {
            "version": self.version,
            "metadata": self.metadata,
            "signatures": {name: asdict(each) for name, each in self.signatures.items()},
            "compiled": self.compiled,
        }

    @property
    def first(self) -> Signature:
        """What is handed the pixels."""
        return self.signatures[TRANSFORMS if TRANSFORMS in self.signatures else MODEL]

    @property
    def sizes_unsaid(self) -> bool:
        """Whether nothing in the file says what it takes."""
        return self.compiled and self.first.input[1] is None
