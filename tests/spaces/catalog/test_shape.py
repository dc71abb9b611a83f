"""The shape of cells: heights, what is counted, limits that no cell keeps."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.spaces import described
from archsmith.spaces.catalog.darts import DARTS, darts_arch_of
from archsmith.spaces.catalog.nasbench201 import nasbench201_arch


def test_heights_of_the_180_ways_to_connect_a_darts_cell() -> None:
    """1, 64, 156 and 180 of them have at most that height (what DDPNAS's generator goes
    through)."""
    names = [f"normal.node{node}.inputs" for node in (2, 3, 4, 5)]
    rest = dict(DARTS.sample(Random(0)))
    found = [
        described("darts").shape(rest | dict(zip(names, inputs, strict=True)))["height.normal"]
        for inputs in itertools.product(*(DARTS[name] for name in names))
    ]
    assert [sum(height <= h for height in found) for h in (1, 2, 3, 4)] == [1, 64, 156, 180]


def test_what_is_counted_of_a_cell() -> None:
    pairs = [
        ("sep_conv_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 0),
        ("sep_conv_3x3", 2),
        ("dil_conv_3x3", 1),
        ("dil_conv_3x3", 3),
        ("avg_pool_3x3", 0),
        ("sep_conv_5x5", 1),
    ]
    counts = described("darts").shape(darts_arch_of(pairs, pairs))
    for cell in ("normal", "reduce"):
        assert {what: counts[f"{what}.{cell}"] for what in ("height", "free", "rest")} == {
            "height": 3,
            "free": 3,
            "rest": 5,
        }
    arch = nasbench201_arch(
        "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    )
    assert described("nasbench201").shape(arch) == {
        "height.cell": 2,
        "free.cell": 2,
        "rest.cell": 4,
    }
    short = nasbench201_arch(
        "|skip_connect~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    )
    assert described("nasbench201").shape(short)["height.cell"] == 0


def test_limits_that_no_cell_keeps() -> None:
    assert described("darts").shape.limits(None, None) == ()
    with pytest.raises(UserError, match="free=9: a cell of this space has 8 operations"):
        described("darts").shape.limits(None, 9)
    with pytest.raises(UserError, match="height=-1"):
        described("darts").shape.limits(-1, None)
