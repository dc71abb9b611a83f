"""Plain values of a text (JSON, what Python prints, simple YAML), and checks that name the place of
what is wrong."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping
from typing import Any

from archsmith.errors import UserError, shown

_DEEPEST = 20  # levels of a YAML text


def value_of(text: str) -> Any:
    """The value of a JSON text, or of one that Python prints of plain values; None of any other."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def mapping_of(text: str) -> dict[str, Any]:
    """The same where it is a mapping of names; empty otherwise."""
    value = value_of(text)
    return value if isinstance(value, dict) and all(isinstance(name, str) for name in value) else {}


def yaml_of(text: str) -> dict[str, Any]:
    """Nested mappings and lists of plain values, one a line or in brackets; UserError for what else
    YAML may be."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition(" #")[0].rstrip()
        if content.strip() and not content.lstrip().startswith("#") and content.strip() != "---":
            lines.append((len(content) - len(content.lstrip()), content.strip(), number))
    if not lines:
        return {}
    value, end = _node(lines, 0, 0)
    if end != len(lines) or not isinstance(value, dict):
        raise UserError(
            f"line {lines[min(end, len(lines) - 1)][2]} is no `NAME: value`, or not "
            f"indented as what it belongs to"
        )
    return value


def _node(lines: list[tuple[int, str, int]], at: int, depth: int) -> tuple[Any, int]:
    """The list or mapping that begins at a line, and the line after it."""
    indent = lines[at][0]
    if depth > _DEEPEST:
        raise UserError(f"line {lines[at][2]} lies deeper than {_DEEPEST} levels")
    if lines[at][1].startswith("- "):
        items = []
        while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- "):
            items.append(_scalar(lines[at][1][2:]))
            at += 1
        return items, at
    mapping: dict[str, Any] = {}
    while at < len(lines) and lines[at][0] == indent and ":" in lines[at][1]:
        name, _, rest = lines[at][1].partition(":")
        at += 1
        if rest.strip():
            mapping[name.strip()] = _scalar(rest)
        elif at < len(lines) and (
            lines[at][0] > indent or (lines[at][0] == indent and lines[at][1].startswith("- "))
        ):
            mapping[name.strip()], at = _node(lines, at, depth + 1)
        else:
            mapping[name.strip()] = None
    return mapping, at


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip().strip("'\"")


# -- checks --------------------------------------------------------------------------------------


def among(place: str, value: Any, options: Collection[Any]) -> Any:
    """The option that equals the value (3 for 3.0); UserError where none does."""
    for option in options:
        if not isinstance(value, bool) and value == option:
            return option
    raise UserError(f"{place} is {shown(repr(value))}; allowed are {', '.join(map(str, options))}")


def expect(place: str, value: Any, wanted: Any) -> None:
    """UserError where a fixed part of the space is another one."""
    if value != wanted:
        raise UserError(
            f"{place} is {shown(repr(value))}; every network of this space has {wanted!r} there"
        )


def values(place: str, value: Any, *lengths: int) -> list[Any]:
    """A list of one of these lengths; UserError otherwise."""
    if not isinstance(value, list | tuple) or len(value) not in lengths:
        count = (
            f"has {len(value)} entries"
            if isinstance(value, list | tuple)
            else (f"is {shown(repr(value))}")
        )
        raise UserError(f"{place} {count}; a list of {' or '.join(map(str, lengths))} is needed")
    return list(value)


def section(place: str, value: Any) -> Mapping[str, Any]:
    """A mapping; UserError otherwise."""
    if not isinstance(value, Mapping):
        raise UserError(f"{place} is {shown(repr(value))}; names and values are needed there")
    return value
