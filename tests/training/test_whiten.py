"""Filters that whiten patches: what they give is decorrelated, each beside its opposite; other
networks are left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsmith.elastic import Resize
from archsmith.training.whiten import whiten


def images(channels: int = 3, count: int = 64, size: int = 16) -> torch.Tensor:
    """Smooth noise: neighbors are alike, as in pictures."""
    noise = torch.randn(
        count, channels, size + 4, size + 4, generator=torch.Generator().manual_seed(0)
    )
    return nn.functional.avg_pool2d(noise, 5, stride=1) * 3 + 1


@pytest.mark.parametrize(("channels", "outputs"), [(1, 6), (3, 16), (3, 40)])
def test_what_it_gives_is_decorrelated_and_of_unit_variance(channels: int, outputs: int) -> None:
    conv = nn.Conv2d(channels, outputs, 3, bias=False)
    x = images(channels)
    assert whiten(nn.Sequential(conv, nn.ReLU()), x)
    found = conv(x).detach().transpose(0, 1).flatten(1)
    first = found[0::2]  # each is followed by its opposite
    assert torch.allclose(first[: len(found[1::2])], -found[1::2], atol=1e-4)
    large = torch.cov(first)[:3, :3]
    assert torch.allclose(large, torch.diag(large.diag()), atol=0.05)
    assert ((large.diag() > 0.5) & (large.diag() < 1.1)).all()


def test_filters_beyond_twice_the_directions_stay_as_drawn() -> None:
    conv = nn.Conv2d(1, 30, 3, bias=False)
    before = conv.weight.detach().clone()
    assert whiten(conv, images(1))
    assert torch.equal(conv.weight[18:], before[18:]) and not torch.equal(
        conv.weight[:18], before[:18]
    )


def test_filters_that_whiten_begin_without_a_bias() -> None:
    """Images are centred, and what is shifted would be cut off unevenly on its two sides."""
    conv = nn.Conv2d(1, 10, 2)
    before = conv.bias.detach().clone()
    assert whiten(conv, images(1))
    assert not conv.bias[:8].any() and torch.equal(conv.bias[8:], before[8:])


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(3, 2),
        nn.Conv2d(3, 6, 3, groups=3),
        nn.Conv2d(1, 6, 3),
        nn.Conv2d(3, 6, 32),
        nn.Conv2d(3, 6, 8),
    ]
    + [nn.Conv2d(3, 6, 3, dilation=2)],
    ids=[
        "no convolution",
        "groups",
        "other channels",
        "larger than the image",
        "patches",
        "dilation",
    ],
)
def test_other_networks_are_left_alone(network: nn.Module) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not whiten(network, images())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "x", [torch.zeros(8, 3, 16, 16), torch.randn(1, 3, 4, 4)], ids=["black", "too few"]
)
def test_images_that_say_nothing_change_nothing(x: torch.Tensor) -> None:
    conv = nn.Conv2d(3, 8, 3)
    before = conv.weight.detach().clone()
    assert not whiten(conv, x) and torch.equal(conv.weight, before)


def test_patches_are_those_of_the_images_that_the_convolution_sees() -> None:
    x, resize = images(size=32), Resize(12)
    conv, alone = nn.Conv2d(3, 16, 3, bias=False), nn.Conv2d(3, 16, 3, bias=False)
    assert whiten(nn.Sequential(resize, conv), x) and whiten(alone, resize(x))
    assert torch.equal(conv.weight, alone.weight)
    assert not whiten(nn.Sequential(Resize(2), conv), x)
