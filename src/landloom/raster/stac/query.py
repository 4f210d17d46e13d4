"""A filter over rows of values, written as pandas writes it: `res == .6 and year >= 2020`.

The text is parsed, never executed: it may compare columns and constants, join comparisons and do
sums, and nothing else. There are no calls, attributes or subscripts, so nothing can be reached
through it.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from landloom.errors import InvalidInput

MAX_CHARACTERS = 4_000
MAX_PARTS = 500
"""Nodes of the syntax tree; it bounds what one row costs."""

PIECES = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|&&?|\|\|?|[^'"`&|]+|.""", re.DOTALL
)
"""Strings, columns in backticks, signs for and and or, and the text between them."""

COLUMN = "column_{}_"
"""What stands for a column that was named in backticks while the text is parsed."""

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, among: value in among,
    ast.NotIn: lambda value, among: value not in among,
}

SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}

HELP = (
    "Compare columns with constants by ==, !=, <, <=, >, >=, in, not in, and join comparisons by"
    " and, or, not: `res == .6 and year >= 2020`."
)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed filter."""

    text: str
    tree: ast.expr
    columns: Mapping[str, str]
    """What names in the tree mean: the columns in use, by name."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the filter that a text describes.

        Raises:
            InvalidInput: The text is no comparison, or holds something that is not allowed.
        """
        if len(text) > MAX_CHARACTERS:
            raise InvalidInput(f"The query is longer than {MAX_CHARACTERS} characters.")
        source, quoted = _as_python(text)
        try:
            tree = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InvalidInput(f"The query {text!r} cannot be read.", suggestion=HELP) from error
        nodes = list(ast.walk(tree))
        if len(nodes) > MAX_PARTS:
            raise InvalidInput(f"The query has more than {MAX_PARTS} parts.")
        for node in nodes:
            _check(node, text)
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return cls(text, tree, {name: quoted.get(name, name) for name in sorted(names)})

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row passes. A missing value is unequal to everything, as in pandas.

        Raises:
            InvalidInput: Values cannot be compared (a text with a number), or the query is no
                comparison.
        """
        return self._truth(self.tree, row)

    def _truth(self, node: ast.expr, row: Mapping[str, Any]) -> bool:
        value = self._value(node, row)
        if _missing(value):
            return False
        if not isinstance(value, bool):
            raise InvalidInput(
                f"The query {self.text!r} is no yes or no: {ast.unparse(node)} is {value!r}.",
                suggestion=HELP,
            )
        return value

    def _value(self, node: ast.expr, row: Mapping[str, Any]) -> Any:
        value: Any
        match node:
            case ast.Constant():
                value = node.value
            case ast.Name():
                value = _plain(row.get(self.columns[node.id]))
            case ast.List() | ast.Tuple() | ast.Set():
                value = [self._value(each, row) for each in node.elts]
            case ast.BoolOp():
                enough = all if isinstance(node.op, ast.And) else any
                value = enough(self._truth(each, row) for each in node.values)
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                value = not self._truth(node.operand, row)
            case ast.UnaryOp():
                number = self._number(node.operand, row)
                value = number if isinstance(node.op, ast.UAdd) else -number
            case ast.BinOp():
                value = self._sum(node, row)
            case ast.Compare():
                value = self._comparison(node, row)
        return value

    def _number(self, node: ast.expr, row: Mapping[str, Any]) -> float:
        value = self._value(node, row)
        if _missing(value):
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(
                f"The query {self.text!r} calculates with {value!r}, which is not a number."
            )
        return value

    def _sum(self, node: ast.BinOp, row: Mapping[str, Any]) -> float:
        left, right = self._number(node.left, row), self._number(node.right, row)
        try:
            return float(SUMS[type(node.op)](left, right))
        except (ZeroDivisionError, OverflowError):
            return math.nan

    def _comparison(self, node: ast.Compare, row: Mapping[str, Any]) -> bool:
        left = self._value(node.left, row)
        for sign, following in zip(node.ops, node.comparators, strict=True):
            right = self._value(following, row)
            if not self._compare(sign, left, right):
                return False
            left = right
        return True

    def _compare(self, sign: ast.cmpop, left: Any, right: Any) -> bool:
        if isinstance(sign, ast.In | ast.NotIn):
            if not isinstance(right, list):
                raise InvalidInput(
                    f"The query {self.text!r} looks for a value in {right!r}, which is no list."
                )
            inside = any(self._compare(ast.Eq(), left, each) for each in right)
            return inside == isinstance(sign, ast.In)
        if _missing(left) or _missing(right):
            return isinstance(sign, ast.NotEq)
        left, right = _alike(left, right)
        try:
            return bool(COMPARISONS[type(sign)](left, right))
        except TypeError as error:
            raise InvalidInput(
                f"The query {self.text!r} compares {left!r} with {right!r}, which have no order.",
                suggestion="Write texts in quotes and numbers without.",
            ) from error


def _as_python(text: str) -> tuple[str, dict[str, str]]:
    """Return a query as Python writes it, and what the names stand for that were in backticks."""
    pieces: list[str] = []
    quoted: dict[str, str] = {}
    for piece in PIECES.findall(text):
        if piece.startswith("`") and len(piece) > 1:
            name = COLUMN.format(len(quoted))
            quoted[name] = piece[1:-1]
            pieces.append(name)
        elif piece[0] in "&|":
            pieces.append(" and " if piece[0] == "&" else " or ")
        else:
            pieces.append(piece)
    return "".join(pieces), quoted


ALLOWED = (
    ast.Name, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.expr_context,
    ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop, ast.BinOp, *SUMS, ast.Compare, *COMPARISONS,
)  # fmt: skip


def _check(node: ast.AST, text: str) -> None:
    """Hold a part of a query against what it may be made of.

    Raises:
        InvalidInput: It is something else: a call, an attribute, a subscript, a power.
    """
    constant = not isinstance(node, ast.Constant) or isinstance(
        node.value, bool | int | float | str | None
    )
    if not (isinstance(node, ALLOWED) and constant):
        what = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
        raise InvalidInput(f"The query {text!r} may not use {what}.", suggestion=HELP)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """Return a row's value; dates become moments in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values with a text read as a moment where the other one is a moment."""
    if isinstance(left, datetime) and isinstance(right, str):
        return left, _moment(right)
    if isinstance(right, datetime) and isinstance(left, str):
        return _moment(left), right
    return left, right


def _moment(text: str) -> datetime:
    try:
        return _plain(datetime.fromisoformat(text))  # type: ignore[no-any-return]
    except ValueError as error:
        raise InvalidInput(
            f"The query compares a time with {text!r}, which is none.",
            suggestion="Write times as 2023-05-31 or 2023-05-31T10:00:00Z.",
        ) from error
