"""Where the axes of a tensor are after a view: which of them stay, split or merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Neighboring axes that become neighboring axes with as many numbers."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def blocks(before: Sequence[int], after: Sequence[int]) -> list[Block]:
    """The smallest blocks of two forms with as many numbers; axes of one number lie in none.

    >>> blocks((2, 4, 48), (2, 4, 3, 1, 16))[-1]
    Block(before=(2,), after=(2, 4))
    """
    first, second = ([a for a, n in enumerate(form) if n != 1] for form in (before, after))
    runs: list[Block] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start = i, j
        one, other = before[first[i]], after[second[j]]
        i, j = i + 1, j + 1
        while one != other:
            if one < other:
                one *= before[first[i]]
                i += 1
            else:
                other *= after[second[j]]
                j += 1
        runs.append(Block(tuple(first[start[0] : i]), tuple(second[start[1] : j])))
    return runs


@dataclass(frozen=True)
class Moved:
    """Where an axis lies after a view. `outer`, `inner`: how many numbers of other axes lay around
    and within it; `candidates`: (axis, size) of the axes that it became, with those."""

    outer: int
    inner: int
    candidates: tuple[tuple[int, int], ...]


def moved(before: Sequence[int], after: Sequence[int], axis: int) -> Moved | None:
    """What becomes of one axis of a form; None of an axis of one number.

    >>> moved((2, 4, 2, 8), (2, 4, 16), 2)
    Moved(outer=1, inner=8, candidates=((2, 16),))
    """
    block = next((block for block in blocks(before, after) if axis in block.before), None)
    if block is None:
        return None
    at = block.before.index(axis)
    outer = math.prod(before[a] for a in block.before[:at])
    inner = math.prod(before[a] for a in block.before[at + 1 :])
    return Moved(outer, inner, tuple((a, after[a]) for a in block.after))
