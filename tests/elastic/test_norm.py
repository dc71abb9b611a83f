"""Norms: groups for every width, statistics that no network of a mixture writes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsmith.elastic import BatchNorm1d, BatchNorm2d, Choice, Concat, Derived, GroupNorm
from archsmith.elastic.supernet import active, extract
from archsmith.errors import UserError


def test_groups_of_constant_width_norm_each_channel_by_the_same_neighbors_at_every_width() -> None:
    channels = Choice(8, 16, 24, name="c")
    layer = GroupNorm(Derived(lambda c: c // 8, channels), channels)
    x = torch.randn(2, 24, 5)
    whole = layer(x)
    for width in (8, 16):
        with active(layer, {"c": width}):
            torch.testing.assert_close(layer(x[:, :width]), whole[:, :width])


def test_a_number_of_groups_stays_at_every_width() -> None:
    layer = GroupNorm(4, Choice(8, 16, name="c"))
    x = torch.randn(2, 8, 3, 3)
    with active(layer, {"c": 8}):
        torch.testing.assert_close(layer(x), F.group_norm(x, 4))
    assert extract(layer, {"c": 8}).num_groups == 4


def test_groups_that_no_width_can_come_with_are_told_with_both_numbers() -> None:
    channels = Choice(6, 8, name="c")
    # 8 and 6 in the last: 6 into 8, 8 into 6
    for groups in (4, Choice(2, 4), Derived(lambda c: 14 - c, channels)):
        with pytest.raises(UserError, match="channels are not to be had in"):
            GroupNorm(groups, channels)
    with pytest.raises(UserError, match="9 channels are not to be had in 2"):
        GroupNorm(2, Concat(Choice(4, 5), 4))


def test_batch_norms_of_maps_and_of_vectors_refuse_each_others_inputs_and_keep_no_statistics() -> (
    None
):
    for layer, x in (
        (BatchNorm2d(Choice(2, 4)), torch.randn(3, 4, 2, 2)),
        (BatchNorm1d(Choice(2, 4)), torch.randn(3, 4)),
    ):
        layer.train()(x)
        assert layer.num_batches_tracked == 0 and torch.equal(layer.running_mean, torch.zeros(4))
        other = BatchNorm1d(4) if isinstance(layer, nn.BatchNorm2d) else BatchNorm2d(4)
        with pytest.raises(ValueError, match="expected"):
            other(x)
