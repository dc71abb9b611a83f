"""Embedding: the first rows and numbers, and the row that stays zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsmith.elastic import Choice, Embedding
from archsmith.elastic.supernet import active, extract
from archsmith.errors import UserError


def test_a_smaller_table_is_the_first_rows_and_the_first_numbers_of_each() -> None:
    layer = Embedding(Choice(3, 5, name="rows"), Choice(2, 4, name="width"))
    with active(layer, {"rows": 3, "width": 2}):
        assert torch.equal(layer(torch.arange(3)), layer.weight[:3, :2])
        with pytest.raises(IndexError):
            layer(torch.tensor([3]))
    assert torch.equal(extract(layer, {"rows": 3, "width": 2}).weight, layer.weight[:3, :2])


def test_the_row_of_the_padding_is_zero_and_does_not_learn() -> None:
    layer = Embedding(5, Choice(2, 4, name="width"), padding_idx=-1)
    assert layer.padding_idx == 4 and not layer.weight[4].any()
    with active(layer, {"width": 2}):
        layer(torch.arange(5)).sum().backward()
    assert torch.equal(layer.weight.grad.bool().sum(1), torch.tensor([2, 2, 2, 2, 0]))
    assert extract(layer, {"width": 2}).padding_idx == 4


def test_a_table_can_be_given_and_frozen() -> None:
    table = torch.randn(5, 4)
    layer = Embedding(5, Choice(2, 4, name="width"), _weight=table, _freeze=True)
    assert (
        torch.equal(layer.weight, table) and not extract(layer, {"width": 2}).weight.requires_grad
    )
    assert torch.equal(
        Embedding.from_pretrained(table).weight, nn.Embedding.from_pretrained(table).weight
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [(3, "the smallest table has 3 rows"), (-1, "0 or more"), ("0", "whole number")],
)
def test_a_row_that_some_table_lacks_is_refused(row: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Embedding(Choice(3, 5), 4, padding_idx=row)  # type: ignore[arg-type]
