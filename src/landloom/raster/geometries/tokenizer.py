"""Text prompts become token ids: the tokenizer that travels in a geometry model's file.

The extra file `tokenizer.json` has the form that the Hugging Face "tokenizers" library writes and
that published text models lie beside. Two kinds are read: `WordLevel` (one id a word), and `BPE`
with an end-of-word suffix, byte pairs as CLIP and SAM 3 use them (Sennrich, Haddow and Birch 2016,
"Neural Machine Translation of Rare Words with Subword Units", section 3.2, over bytes).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from landloom.errors import InvalidInput, ModelRejected

WORDS = re.compile(r"\w+|[^\w\s]+")
"""Words and runs of signs."""

CLIP_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\w\s]|_)+")
"""English endings, runs of letters, single digits, runs of signs."""

SHOWN_WORDS = 12
"""So many words of a vocabulary are shown when a prompt has none of it."""


@dataclass(frozen=True)
class Tokenizer:
    """Turns a prompt into ids."""

    vocabulary: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int] | None
    """Place of each pair among the merges, the first first; None is one id a word."""
    suffix: str
    """Marks the end of a word."""
    unknown: int | None
    """Id of what the vocabulary lacks; None makes that an error."""
    first: tuple[int, ...]
    """Ids before every prompt."""
    last: tuple[int, ...]
    """Ids after every prompt."""
    padding: int
    lower: bool

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read a `tokenizer.json`.

        Args:
            text: Its content.
            name: The model file, for errors.

        Raises:
            ModelRejected: It is not JSON, or of a kind that is not read here.
        """
        try:
            document = json.loads(text)
            model = document["model"]
            kind, vocabulary = model["type"], dict(model["vocab"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelRejected(
                f"The tokenizer.json in {name} cannot be read: {error!r}.",
                suggestion="Package the file that the model's tokenizer was published with.",
            ) from error
        suffix = model.get("end_of_word_suffix") or ""
        if kind not in {"WordLevel", "BPE"} or (kind == "BPE" and not suffix):
            raise ModelRejected(
                f"The tokenizer.json in {name} is of type {kind!r}.",
                suggestion="WordLevel is read, and BPE with an end_of_word_suffix (CLIP's, SAM"
                " 3's).",
            )
        first, last = _ends(document.get("post_processor") or {}, vocabulary)
        return cls(
            vocabulary,
            _ranks(model.get("merges", ())) if kind == "BPE" else None,
            suffix,
            vocabulary.get(model.get("unk_token") or ""),
            first,
            last,
            int((document.get("padding") or {}).get("pad_id", 0)),
            "Lowercase" in json.dumps(document.get("normalizer")),
        )

    def encode(self, prompt: str, length: int) -> list[int]:
        """Return exactly `length` ids: the prompt between its ends, then padding.

        Raises:
            InvalidInput: The prompt is blank, too long, or has a word that the tokenizer lacks.
        """
        text = unicodedata.normalize("NFC", prompt).strip()
        text = text.lower() if self.lower else text
        words = (WORDS if self.ranks is None else CLIP_WORDS).findall(text)
        if not words:
            raise _wrong(f"{prompt!r} holds no word", "Name the thing to look for: 'building'.")
        ids = [*self.first, *(each for word in words for each in self._ids(word)), *self.last]
        if len(ids) > length:
            raise _wrong(
                f"{prompt!r} makes {len(ids)} tokens; the model takes {length}", "Use fewer words."
            )
        return ids + [self.padding] * (length - len(ids))

    def _ids(self, word: str) -> list[int]:
        pieces = [word] if self.ranks is None else _merged(word, self.suffix, self.ranks)
        found = [self.vocabulary.get(piece, self.unknown) for piece in pieces]
        if None in found:
            special = {*self.first, *self.last, self.padding}
            known = sorted(each for each, code in self.vocabulary.items() if code not in special)
            shown = ", ".join(known[:SHOWN_WORDS]) + (" ..." if len(known) > SHOWN_WORDS else "")
            raise _wrong(
                f"{word!r} is not in the model's vocabulary",
                f"It knows {shown}." if self.ranks is None else "Use other words.",
            )
        return [each for each in found if each is not None]


def _merged(word: str, suffix: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Return a word's pieces: its bytes, the pair of the lowest rank joined again and again."""
    pieces = [BYTE_LETTERS[byte] for byte in word.encode()]
    pieces[-1] += suffix
    while len(pieces) > 1:
        pairs = set(pairwise(pieces))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        joined: list[str] = []
        for piece in pieces:
            if joined and (joined[-1], piece) == best:
                joined[-1] += piece
            else:
                joined.append(piece)
        pieces = joined
    return pieces


def _byte_letters() -> list[str]:
    """Return the letter that stands for each byte: itself if it prints, else one from U+0100 on."""
    printing = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printing else next(others)) for byte in range(256)]


BYTE_LETTERS = _byte_letters()


def _ranks(merges: Any) -> dict[tuple[str, str], int]:
    """Return the place of each merge, given as "a b" or as [a, b]."""
    pairs = (tuple(each.split(" ")) if isinstance(each, str) else tuple(each) for each in merges)
    return {(pair[0], pair[1]): rank for rank, pair in enumerate(pairs)}


def _ends(
    processor: Mapping[str, Any], vocabulary: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that stand before and after a text."""
    if "cls" in processor and "sep" in processor:  # RobertaProcessing, BertProcessing
        return (int(processor["cls"][1]),), (int(processor["sep"][1]),)
    sides: tuple[list[int], list[int]] = ([], [])
    after = False
    for part in processor.get("single", ()):  # TemplateProcessing
        if "Sequence" in part:
            after = True
        else:
            sides[after].append(vocabulary[part["SpecialToken"]["id"]])
    return tuple(sides[0]), tuple(sides[1])


def _wrong(what: str, way_out: str) -> InvalidInput:
    return InvalidInput(f"text_prompt: {what}.", suggestion=way_out, field="text_prompt")
