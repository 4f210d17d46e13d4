"""Well-known places in a job: `wkls` with brackets, and with boundaries from a local file.

`wkls` 1.2 gave up `wkls['us']['ks']['Haskell County']`; scripts in the wild use it, so in a job it
and `wkls.us.ks.haskellcounty` both work. Where LANDLOOM_DIVISIONS names a GeoParquet file with the
columns of Overture's division_area, boundaries come from it and nothing is fetched. Written
against wkls 1.4, whose private parts are the only doors there are; standard library only.
"""

# ruff: noqa: SLF001 - the sentence above

from __future__ import annotations

import os
import re
import sys
import types
import warnings
from pathlib import Path
from typing import Any

DIVISIONS = "LANDLOOM_DIVISIONS"
_FIRST_WITHOUT_BRACKETS = (1, 2)
_DEEPEST = 4
"""Country, region, place, and a place within that one."""


class PlaceNotFound(KeyError, ValueError):
    """No place by this name is below the one it was asked of."""

    def __str__(self) -> str:
        # KeyError would show its message in quotes.
        return str(self.args[0])


def adapt(wkls: types.ModuleType) -> None:
    """Adapt the freshly imported module; one this does not know stays as it is, with a warning."""
    if _version(wkls) < _FIRST_WITHOUT_BRACKETS:
        return
    try:
        core, bootstrap = sys.modules["wkls.core"], sys.modules["wkls._bootstrap"]
        _restore_brackets(wkls, core)
        _name_public_endpoint(bootstrap)
        path = os.environ.get(DIVISIONS)
        if path:
            _read_divisions_from(Path(path.removeprefix("file://")), core, bootstrap)
        _explain_missing_boundaries(core, path)
    except (AttributeError, KeyError) as problem:
        warnings.warn(
            f"wkls {getattr(wkls, '__version__', '?')} is laid out differently from 1.4 "
            f"({problem!r}); wkls['us']['ks'] and {DIVISIONS} may not work here",
            RuntimeWarning,
            stacklevel=2,
        )


def _restore_brackets(wkls: types.ModuleType, core: Any) -> None:
    by_position = core.Wkl.__getitem__

    def by_name_or_position(place: Any, key: Any) -> Any:
        if isinstance(key, str):
            return _below(core.Wkl, place, key, core._COUNTRY_ALIASES)
        return by_position(place, key)

    class Root(types.ModuleType):
        """The module itself, with brackets: an instance's own are never looked at."""

        def __getitem__(self, key: Any) -> Any:
            return by_name_or_position(core.Wkl(), key)

    core.Wkl.__getitem__ = by_name_or_position
    wkls.__class__ = Root


def _below(kind: Any, place: Any, key: str, aliases: dict[str, str]) -> Any:
    """Return the place called `key`, a display name or a code in any case, below `place`.

    Raises:
        PlaceNotFound: There is none; the message lists similar names.
    """
    chain = list(place.chain)
    if not chain and place._df is not None:
        raise PlaceNotFound(
            f"{key!r}: a list of places is indexed by number; search it by .search()"
        )
    if len(chain) >= _DEEPEST:
        raise PlaceNotFound(f"{key!r}: there is nothing below {_spell(chain)}")
    parent = _only_id(place) if len(chain) == _DEEPEST - 1 else None
    found = None
    for token in _tokens(key, place, aliases):
        found = kind([*chain, token], _parent_id=parent)
        if len(found):
            return _canonical(kind, found, parent)
    raise PlaceNotFound(_no_such_place(found, chain, key))


def _tokens(key: str, place: Any, aliases: dict[str, str]) -> list[str]:
    """List the spellings to try: as given, then as the dotted form would have it."""
    given = key.strip()
    if not place.chain:
        given = aliases.get(given.lower(), given)
    elif len(place.chain) == 1:
        # A region's whole code, US-KS, is as good as its end.
        prefix = f"{place._country_iso}-"
        given = given[len(prefix) :] if given.upper().startswith(prefix) else given
    spellings = [given, _squeeze(given)]
    # The names are compared as patterns, in which these stand for anything.
    return [each for each in dict.fromkeys(spellings) if each and not set(each) & set("%_\\")]


def _canonical(kind: Any, found: Any, parent: str | None) -> Any:
    """Spell the last step as the dotted form does, where that means the same place.

    wkls itself builds a region's code from this spelling, so a name there would find nothing.
    """
    rows = _rows(found)
    *above, token = found.chain
    code = _code(rows[0]) if len(rows) == 1 else ""
    short = code or _squeeze(token)
    if not short or short == token:
        return found
    shortened = kind([*above, short], _parent_id=parent)
    if code or {row["id"] for row in _rows(shortened)} == {row["id"] for row in rows}:
        return shortened
    return found


def _code(row: dict[str, Any]) -> str:
    """Return the code of a country or a region as it stands in a chain; "" for other places."""
    if row["subtype"] in {"country", "dependency"}:
        return str(row["country"]).lower()
    if row["subtype"] == "region" and row["region"]:
        return str(row["region"]).partition("-")[2].lower()
    return ""


def _rows(place: Any) -> list[dict[str, Any]]:
    """Return what a place stands for; asked once, where `to_dicts` asks anew each time."""
    rows: list[dict[str, Any]] = place._materialize().to_pylist()
    return rows


def _only_id(place: Any) -> str:
    rows = _rows(place)
    if len(rows) != 1:
        raise PlaceNotFound(
            f"{_spell(place.chain)} means {len(rows)} places; name one of them first"
        )
    return str(rows[0]["id"])


def _no_such_place(tried: Any, chain: list[str], key: str) -> str:
    similar = [] if tried is None else tried._get_suggestions(key)
    return (
        f"no place called {key!r} in {_spell(chain)}"
        + (f"; similar: {', '.join(similar)}" if similar else "")
        + f"; find names with {_spell(chain)}.search({_squeeze(key) or 'name'!r})"
    )


def _name_public_endpoint(bootstrap: Any) -> None:
    """Send wkls to the public bucket, unsigned, wherever the job's own S3 settings point."""
    options = dict(bootstrap._S3_READ_OPTIONS)
    options.setdefault("aws.endpoint", f"https://s3.{options['aws.region']}.amazonaws.com")
    options["aws.skip_signature"] = True
    bootstrap._S3_READ_OPTIONS = options


def _read_divisions_from(path: Path, core: Any, bootstrap: Any) -> None:
    """Make the file stand for the release of Overture that wkls's own table of names is from."""
    release = sys.modules["wkls._version"]._bundled_overture_version()
    uri = str(path.absolute())

    def overture_uri(_version: str) -> str:
        if not path.exists():
            raise FileNotFoundError(f"{DIVISIONS} names {uri}, which is not there")
        return uri

    bootstrap._overture_uri = overture_uri
    bootstrap._S3_READ_OPTIONS = {}
    for module in (bootstrap, core):
        module._current_overture_version = release
    # Asking which releases there are is a request to the public bucket, too.
    core._list_s3_releases = lambda: [release]


def _explain_missing_boundaries(core: Any, path: str | None) -> None:
    """Say with a failure where boundaries were looked for, and what can be done."""
    fetch = core.Wkl._get_geom_expr

    def explained(place: Any, expression: str) -> Any:
        try:
            return fetch(place, expression)
        except ConnectionError as problem:
            problem.add_note(f"Without a network, {DIVISIONS} can name a file of boundaries.")
            raise
        except ValueError as problem:
            if path and str(problem).startswith("No geometry found"):
                problem.add_note(f"Boundaries were read from {path} ({DIVISIONS}).")
            raise

    core.Wkl._get_geom_expr = explained


def _spell(chain: list[str]) -> str:
    return "wkls" + "".join(f"[{part!r}]" for part in chain)


def _squeeze(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _version(wkls: types.ModuleType) -> tuple[int, ...]:
    parts = re.findall(r"\d+", str(getattr(wkls, "__version__", "")))
    return tuple(int(part) for part in parts[:2])
