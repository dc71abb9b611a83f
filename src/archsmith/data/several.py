"""Labels that are several labels of one image: told from classes, and refused, since one class an
image is learned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

_CLEAR = "|;,"  # what joins labels; the others are in class names too
_SIGNS = (*_CLEAR, "+", "/", "&")
_NUMPY = re.compile(r"\[\s*[\d.eE+-]+(\s+[\d.eE+-]+)+\s*\]")


def one_each(values: list[Any], where: str, column: str) -> tuple[list[Any], str, str]:
    """(values, note, refusal): lists of one label are that label; lists of more are no class, which
    `refusal` says."""
    lists = [value for value in values if isinstance(value, list | tuple | dict)]
    if not lists:
        return values, "", ""
    if all(isinstance(value, list | tuple) and len(value) <= 1 for value in lists):
        single = [
            (value[0] if value else None) if isinstance(value, list | tuple) else value
            for value in values
        ]
        return (
            single,
            (f"{where}: column {column} holds lists of one label each, read as that label"),
            "",
        )
    row = next(
        row
        for row, value in enumerate(values)
        if isinstance(value, dict) or (isinstance(value, list | tuple) and len(value) > 1)
    )
    return values, "", several(where, f"row {row + 1}, column {column}", values[row])


def several(where: str, place: str, value: Any) -> str:
    """The refusal of several labels for one image."""
    text = str(value) if len(str(value)) < 60 else str(value)[:57] + "..."
    return (
        f"{where}, {place}: {text} is more than one label; one class an image is learned, several "
        f"at once are not supported. "
        "Give one label a row (numbers are predicted with --task regression)."
    )


def joined(labels: Iterable[str | None], where: str, notes: list[str]) -> str:
    """The refusal of text that holds several labels, "" where there is none: a list as Python or
    JSON write it, or names joined by | ; or a comma each of which is a label by itself too. What
    may be either is a note."""
    distinct = sorted({label for label in labels if label is not None})
    listed = next((label for label in distinct if _is_list(label)), None)
    if listed is not None:
        return several(where, "a label", listed)
    known = set(distinct)
    for sign in _SIGNS:
        parts = {
            label: [word.strip() for word in label.split(sign)]
            for label in distinct
            if sign in label
        }
        parts = {label: words for label, words in parts.items() if len(words) > 1 and all(words)}
        clear = next((label for label, words in parts.items() if known.issuperset(words)), None)
        if clear is not None and sign in _CLEAR:
            return (
                f"{where}: label {clear!r} is several labels joined by {sign!r}, since "
                f"{', '.join(map(repr, parts[clear]))} "
                "are labels too; one class an image is learned. Give one label a row, or name the "
                "class without that sign."
            )
        recurring = sum(len(words) for words in parts.values()) > len(
            {word for words in parts.values() for word in words}
        )
        if clear is not None or (sign in _CLEAR and recurring):
            shown = clear or next(iter(parts))
            alike = (
                f"{len(parts)} labels such as {shown!r} look like several labels joined by {sign!r}"
            )
            notes.append(f"{alike}; each was taken as one class")
    return ""


def _is_list(label: str) -> bool:
    """Whether the text is a list, tuple or set of more than one thing."""
    if len(label) < 3 or label[0] + label[-1] not in ("[]", "()", "{}"):
        return False
    if _NUMPY.fullmatch(label):
        return True
    try:
        value = ast.literal_eval(label)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return any(sign in label for sign in _CLEAR)  # names without quotes
    return isinstance(value, list | tuple | set | dict) and len(value) > 1
