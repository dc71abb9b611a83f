"""Whole numbers of modules say where they are from while a network is followed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from torch import nn

from archsmith.elastic.provenance import Read, marked


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads, self.form, self.scale, self.flag = 4, (2, 8), 0.5, True
        self.layer = nn.Conv2d(3, 16, 1)


def test_numbers_and_tuples_of_them_are_marked_and_put_back() -> None:
    model: Any = nn.Sequential(Heads())
    with marked(model):
        own = model[0]
        assert own.heads == 4 and own.heads.sources == {("0", "heads", None)} and own.heads.direct
        assert [item.sources for item in own.form] == [{("0", "form", 0)}, {("0", "form", 1)}]
        assert type(own.scale) is float and own.flag is True
    assert type(model[0].heads) is int and [type(item) for item in model[0].form] == [int, int]


def test_of_layers_of_torch_the_widths_are_marked() -> None:
    model: Any = nn.Sequential(Heads())
    with marked(model):
        layer = model[0].layer
        assert layer.out_channels.sources == {("0.layer", "out_channels", None)}
        assert not isinstance(layer.groups, Read) and not isinstance(layer.kernel_size[0], Read)


def test_they_are_put_back_after_an_error() -> None:
    model: Any = Heads()
    with pytest.raises(ValueError, match="in forward"), marked(model):
        raise ValueError("in forward")
    assert type(model.heads) is int


def test_what_is_computed_of_them_knows_them_all() -> None:
    heads = Read(4, frozenset({("", "heads", None)}), True)
    size = Read(8, frozenset({("", "size", None)}), True)
    whole: Any = heads * size
    assert whole == 32 and whole.sources == heads.sources | size.sources and not whole.direct
    for one in (3 * heads, heads + 1, 9 - heads, whole // 4):
        assert isinstance(one, Read) and not one.direct and heads.sources <= one.sources
    assert type(heads * 0.5) is float


def test_copies_are_plain_numbers() -> None:
    heads = Read(4, frozenset({("", "heads", None)}), True)
    for one in (copy.deepcopy(heads), pickle.loads(pickle.dumps(heads))):
        assert type(one) is int and one == 4
