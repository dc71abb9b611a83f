"""Normalisations: what their groups say of a width."""

from __future__ import annotations

import pytest
import torch
from small_graphs import channels, conv, free
from torch import nn
from torch.nn import functional as F


def test_groups_of_convolutions_and_norms_are_multiples() -> None:
    found = channels(
        lambda m, x: m.c(m.norm(m.grouped(m.a(x)))),
        a=conv(3, 24),
        grouped=conv(24, 24, 3, groups=6),
        norm=nn.GroupNorm(4, 24),
        c=conv(24, 4),
    )
    (root,) = (g for g in found.groups.roots if found.groups.name(g) == "a")
    assert found.groups.unit(root) == 12  # of 4 and of 6 channels


def test_one_group_is_all_channels_however_many() -> None:
    found = channels(
        lambda m, x: m.c(m.norm(m.a(x))), a=conv(3, 24), norm=nn.GroupNorm(1, 24), c=conv(24, 4)
    )
    (root,) = (g for g in found.groups.roots if found.groups.name(g) == "a")
    assert found.groups.unit(root) == 1


@pytest.mark.parametrize(
    "norm", [nn.InstanceNorm2d(16, affine=True), nn.PReLU(16), nn.BatchNorm2d(16)]
)
def test_layers_of_a_number_for_each_channel_go_with_it(norm: nn.Module) -> None:
    found = channels(lambda m, x: m.c(m.norm(m.a(x))), a=conv(3, 16), norm=norm, c=conv(16, 4))
    assert free(found) == {"a": 16}
    held = {path for path in found.tensors if path.startswith("norm.")}
    assert held == (
        set() if "norm" in found.ends else {f"norm.{n}" for n, _ in norm.named_parameters()}
    )


def test_a_norm_along_another_axis_says_nothing_of_the_channels() -> None:
    found = channels(lambda m, x: m.c(F.layer_norm(m.a(x), (8, 8))), a=conv(3, 16), c=conv(16, 4))
    assert free(found) == {"a": 16}


def test_a_norm_as_a_function_binds_what_it_scales_by() -> None:
    found = channels(
        lambda m, x: m.c(F.layer_norm(m.a(x), (m.width,), m.scale)),
        x=torch.rand(2, 4, 3),
        a=nn.Linear(3, 16),
        c=nn.Linear(16, 4),
        scale=nn.Parameter(torch.ones(16)),
        width=16,
    )
    assert free(found) == {"a": 16}
    assert set(found.tensors) == {"scale"} and set(found.numbers) == {("", "width", None)}
