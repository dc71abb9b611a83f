"""Images that grow: what a step sees, what a look on the way sees, and networks that take one size
alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsmith.elastic import Resize
from archsmith.training.growing import Smaller, resized, takes
from archsmith.training.recipe import GROWN, Recipe

GROWING = Recipe(grow=0.5)
POOLED = nn.Sequential(
    nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
)
FIXED = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
DENSE = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))  # an output as large as the image


def test_small_images_are_means_of_what_they_cover() -> None:
    # 32 pixels, patches of 8
    x = torch.arange(16.0).view(1, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    small = resized(x, GROWING, 0.0)
    assert small.shape == (1, 1, 16, 16)
    assert small.mean() == pytest.approx(x.mean().item(), abs=1e-4)
    assert small[0, 0, 1, 1] == 0.0 and small[0, 0, -2, -2] == 15.0


@pytest.mark.parametrize("progress", [GROWN, 1.0])
def test_whole_images_are_not_touched(progress: float) -> None:
    x = torch.randn(2, 3, 16, 16)
    assert resized(x, GROWING, progress) is x and resized(x, Recipe(), 0.0) is x


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_a_look_on_the_way_sees_what_training_sees(progress: float) -> None:
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(Smaller(POOLED, GROWING, progress)(x), POOLED(resized(x, GROWING, progress)))


@pytest.mark.parametrize(("network", "answer"), [(POOLED, True), (FIXED, False), (DENSE, False)])
def test_networks_of_one_size_are_found(network: nn.Module, answer: bool) -> None:
    assert takes(network, GROWING, torch.randn(2, 3, 16, 16)) is answer


def test_a_network_that_resizes_its_images_gains_nothing_by_smaller_ones() -> None:
    x = torch.randn(2, 3, 16, 16)
    assert takes(POOLED, GROWING, x)
    assert not takes(nn.Sequential(Resize(12), *POOLED), GROWING, x)
