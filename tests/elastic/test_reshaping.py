"""Where axes are after a view."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.elastic.reshaping import Block, Moved, blocks, moved


@pytest.mark.parametrize(
    ("before", "after", "axis", "expected"),
    [
        ((2, 4, 48), (2, 4, 3, 2, 8), 2, Moved(1, 1, ((2, 3), (3, 2), (4, 8)))),
        ((2, 4, 2, 8), (2, 4, 16), 2, Moved(1, 8, ((2, 16),))),
        ((2, 16, 4, 4), (2, 256), 1, Moved(1, 16, ((1, 256),))),
        ((2, 16, 4, 4), (2, 16, 16), 1, Moved(1, 1, ((1, 16),))),
        ((2, 16, 4, 4), (32, 4, 4), 1, Moved(2, 1, ((0, 32),))),
        ((2, 16, 1, 1), (2, 16), 1, Moved(1, 1, ((1, 16),))),
        ((2, 16), (2, 1, 16, 1, 1), 1, Moved(1, 1, ((2, 16),))),
        ((2, 1, 16), (2, 16), 1, None),  # one number has no place
    ],
)
def test_an_axis_stays_splits_or_merges(
    before: tuple[int, ...], after: tuple[int, ...], axis: int, expected: Moved | None
) -> None:
    assert moved(before, after, axis) == expected


def test_blocks_are_the_smallest() -> None:
    assert blocks((2, 6, 1, 4), (2, 3, 2, 4)) == [
        Block((0,), (0,)),
        Block((1,), (1, 2)),
        Block((3,), (3,)),
    ]


_SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(_SIZES, _SIZES)
def test_blocks_hold_as_many_numbers_before_and_after(one: list[int], other: list[int]) -> None:
    before = (*one, math.prod(other))
    after = (math.prod(one), *other)
    found = blocks(before, after)
    for block in found:
        assert math.prod(before[a] for a in block.before) == math.prod(
            after[a] for a in block.after
        )
    assert [a for block in found for a in block.before] == [
        a for a, n in enumerate(before) if n > 1
    ]
    assert [a for block in found for a in block.after] == [a for a, n in enumerate(after) if n > 1]
