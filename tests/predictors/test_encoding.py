"""One-hot rows: which columns, absent decisions, restricted spaces; what may be learned from."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import flat, random_space, staged

from archsmith.errors import UserError
from archsmith.predictors.encoding import examples, one_hot
from archsmith.space import SearchSpace


def test_columns_are_the_options_in_order():
    space = staged(1, 2, (3, 5), (4,))
    arch = space.complete({"s0.depth": 1, "s0.b0.kernel": 5}, Random(0))
    # depth 1 2, b0.kernel 3 5, b0.expand 4, b1.kernel 3 5, b1.expand 4
    assert one_hot(space, [arch, space.extreme()]).tolist() == [
        [1, 0, 0, 1, 1, 0, 0, 0],
        [0, 1, 0, 1, 1, 0, 1, 1],
    ]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_rows_are_as_long_as_architectures_and_tell_them_apart(seed):
    space = random_space(seed)
    archs = list(space.architectures())[:200]
    rows = one_hot(space, archs)
    assert set(np.unique(rows)) <= {0.0, 1.0}
    assert rows.sum(axis=1).tolist() == [len(arch) for arch in archs]
    assert len({tuple(row) for row in rows}) == len(archs)
    small = space.restrict(
        {name: options[-1:] for name, options in list(space.options.items())[:1]}
    )
    inside = [arch for arch in archs if small.contains(arch)]
    assert (one_hot(small, inside) == one_hot(space, inside)).all()


def test_of_nothing_there_are_no_rows():
    assert one_hot(flat(2, 3), []).shape == (0, 6)
    empty = SearchSpace({})
    assert one_hot(empty, [empty.extreme()]).shape == (1, 0)


def test_what_cannot_be_learned_from_is_refused():
    rows, values = examples([[1, 2], [3, 4]], [0, 1])
    assert rows.dtype == values.dtype == float
    for X, y in ([[1, 2]], [1, 2]), ([1, 2], [1, 2]), (np.zeros((0, 2)), []):
        with pytest.raises(UserError, match="rows of shape"):
            examples(X, y)
    for X, y in ([[np.nan]], [1]), ([[1]], [np.inf]):
        with pytest.raises(UserError, match="is not finite"):
            examples(X, y)
