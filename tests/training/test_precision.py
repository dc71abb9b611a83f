"""The fastest precision is taken where it learns the same; what it is not is never taken."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from archsmith.training.precision import tried
from archsmith.training.recipe import Recipe

CPU = torch.device("cpu")
BATCHES = [
    (torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(i)), torch.arange(8) % 3)
    for i in range(3)
]


class Net(nn.Module):
    """A convolution whose result under autocast is `off` by so much."""

    def __init__(self, off: float = 0.0, only: torch.dtype | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.off, self.only = nn.Conv2d(3, 8, 3), nn.Linear(8, 3), off, only

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).mean((2, 3))
        if self.only is not None and x.dtype != self.only:
            raise RuntimeError(f"expected {self.only}")
        scale = 1 + self.off * torch.is_autocast_enabled("cpu")
        return self.head(x) + torch.tensor([0.0, 1.0, 5.0]) * scale


FEW, WHOLE = 2, 3  # steps of few images, of whole batches: the first of each warms up


def clock(float32_s: float, bf16_s: float):
    """Steps of few images in one precision, then in the other, then of whole batches, each read
    before and after."""
    few = [float32_s / 2] * FEW + [bf16_s / 2] * FEW  # half of the images
    steps = few + [float32_s] * WHOLE + [bf16_s] * WHOLE
    times = itertools.accumulate(itertools.chain(*([0.0, seconds] for seconds in steps)))
    return lambda: next(times)


def found(net: nn.Module, float32_s: float = 2.0, bf16_s: float = 1.0, recipe: Recipe = Recipe()):  # noqa: B008
    """What is tried on it."""
    return tried(
        net, BATCHES, recipe, device=CPU, precisions=("bf16",), now=clock(float32_s, bf16_s)
    )


@pytest.mark.parametrize(
    ("bf16_s", "fastest"), [(0.5, "bf16"), (1.8, "bf16"), (1.99, "float32"), (4.0, "float32")]
)
def test_the_faster_one_is_taken(bf16_s: float, fastest: str) -> None:
    seen = found(Net(), 2.0, bf16_s)
    assert seen.fastest == fastest
    assert seen.ms == pytest.approx({"float32": 250.0, "bf16": 125.0 * bf16_s})
    assert seen.least_ms == seen.ms[fastest]


@pytest.mark.parametrize("off", [1.0, -0.9, float("nan")])
def test_not_where_it_gives_other_losses(off: float) -> None:
    seen = found(Net(off))
    assert seen.fastest == "float32" and set(seen.ms) == {"float32"}


def test_not_where_the_network_knows_one_precision_alone() -> None:
    assert found(Net(only=torch.float32)).fastest == "float32"


def test_nothing_is_tried_that_was_not_asked_for() -> None:
    seen = tried(Net(), BATCHES, Recipe(), device=CPU, now=clock(2.0, 1.0))
    assert seen.fastest == "float32" and set(seen.ms) == {"float32"}


def test_the_recipes_own_needs_no_comparison() -> None:
    seen = tried(
        Net(),
        BATCHES,
        Recipe(precision="bf16"),
        device=CPU,
        precisions=("bf16",),
        now=clock(2.0, 1.0),
    )
    assert seen.fastest == "bf16" and set(seen.ms) == {"bf16"}


@pytest.mark.parametrize("times", [5.0, 20.0, 1000.0])
def test_an_emulated_one_is_given_up_after_few_images(times: float) -> None:
    few = [1.0] * FEW + [times] * FEW
    ticks = itertools.accumulate(
        itertools.chain(*([0.0, seconds] for seconds in [*few, *[2.0] * WHOLE]))
    )
    seen = tried(
        Net(), BATCHES, Recipe(), device=CPU, precisions=("bf16",), now=lambda: next(ticks)
    )
    assert seen.fastest == "float32" and next(ticks, None) is None
    assert seen.ms == pytest.approx({"float32": 250.0, "bf16": 250.0 * times})


def test_another_clock_may_judge() -> None:
    seen = tried(
        Net(),
        BATCHES,
        Recipe(),
        device=CPU,
        precisions=("bf16",),
        now=clock(2.0, 3.0),
        judge=clock(2.0, 1.0),
    )
    assert seen.fastest == "bf16" and seen.ms == pytest.approx({"float32": 250.0, "bf16": 375.0})
