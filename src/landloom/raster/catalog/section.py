"""One table of a catalogue file, read key by key with messages that name file, entry and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landloom.errors import CatalogProblem


@dataclass
class Section:
    """A TOML table with its origin. Keys that nobody read are reported by `close`."""

    origin: str
    """File and entry, for messages: `catalog.toml: datasets.S2`."""
    table: Mapping[str, Any]
    _read: set[str] = field(default_factory=set)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string.

        Raises:
            CatalogProblem: It is missing and has no default, or is not a non-empty string.
        """
        value = self._get(key, default)
        if not isinstance(value, str) or not value:
            raise self.problem(key, f"must be a text, not {value!r}")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None where the key is missing."""
        return self.text(key) if key in self.table else None

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Return one of `choices`."""
        value = self.text(key, default)
        if value not in choices:
            raise self.problem(key, f"is {value!r}; choose one of {', '.join(choices)}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number; an integer will do."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.problem(key, f"must be a number, not {value!r}")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """Return a number, or None where the key is missing."""
        return self.number(key) if key in self.table else None

    def integer(self, key: str, default: int | None = None, *, minimum: int = 0) -> int:
        """Return an integer of at least `minimum`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise self.problem(key, f"must be a whole number of at least {minimum}, not {value!r}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.problem(key, f"must be true or false, not {value!r}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of strings; a single string counts as a list of one."""
        value = self._get(key, default)
        items = [value] if isinstance(value, str) else value
        good = isinstance(items, list | tuple) and all(
            isinstance(item, str) and item for item in items
        )
        if not good:
            raise self.problem(key, f"must be a list of texts, not {value!r}")
        return tuple(items)

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return a list of integers."""
        value = self._get(key, default)
        good = isinstance(value, list | tuple) and all(
            isinstance(item, int) and not isinstance(item, bool) for item in value
        )
        if not good:
            raise self.problem(key, f"must be a list of whole numbers, not {value!r}")
        return tuple(value)

    def section(self, key: str) -> Section:
        """Return a table below this one."""
        value = self._get(key, None)
        if not isinstance(value, Mapping):
            raise self.problem(key, f"must be a table, not {value!r}")
        return Section(f"{self.origin}.{key}", value)

    def optional_section(self, key: str) -> Section | None:
        """Return a table below this one, or None where the key is missing."""
        return self.section(key) if key in self.table else None

    def sections(self, key: str) -> list[Section]:
        """Return a list of tables; a missing key is an empty list."""
        value = self._get(key, ())
        good = isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)
        if not good:
            raise self.problem(key, f"must be a list of tables, not {value!r}")
        return [Section(f"{self.origin}.{key}[{n}]", item) for n, item in enumerate(value)]

    def close(self) -> None:
        """End the reading.

        Raises:
            CatalogProblem: There is a key that nobody asked for: a typing error, most likely.
        """
        unknown = sorted(set(self.table) - self._read)
        if unknown:
            known = ", ".join(sorted(self._read))
            raise CatalogProblem(
                f"{self.origin} has an unknown key {unknown[0]!r}.",
                suggestion=f"Its keys are {known}.",
            )

    def problem(self, key: str, what: str) -> CatalogProblem:
        """Return the error that says what is wrong with a key."""
        return CatalogProblem(f"{self.origin}: {key} {what}.")

    def _get(self, key: str, default: Any) -> Any:
        self._read.add(key)
        value = self.table.get(key, default)
        if value is None:
            raise self.problem(key, "is missing")
        return value
