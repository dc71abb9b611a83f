"""Lines of Python for model.py: assignments and calls that fit its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archsmith.graph.trace import literal

WIDTH = 120  # columns of the generated file


def indented(lines: Sequence[str], columns: int) -> str:
    """The lines as a block, the first of which stands where it is put."""
    return "\n".join(" " * columns + line if line else "" for line in lines).lstrip()


def assignment(name: str, values: Sequence[Any]) -> str:
    """`name` = the tuple of the values."""
    return "\n".join(
        call(f"{name} = (", [literal(v) for v in values], ",)" if len(values) == 1 else ")", 0)
    )


def call(start: str, parts: Sequence[str], end: str, indent: int) -> list[str]:
    """`start` + parts + `end` on one line where they fit in what `indent` leaves, else one part a
    line."""
    line = start + ", ".join(parts) + end
    if len(line) + indent <= WIDTH and not any("\n" in part for part in parts):
        return [line]
    broken = [f"{part}," for part in parts]
    return [
        start,
        *(f"    {line}" for part in broken for line in part.split("\n")),
        end.lstrip(","),
    ]
