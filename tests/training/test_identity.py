"""Convolutions that pass on what they are given: a fresh stack gives its input again; other
networks are left alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archsmith.spaces.reference import Reference
from archsmith.training.identity import pass_on


def kernels(network: nn.Module) -> list[Tensor]:
    return [
        layer.weight.detach().clone() for layer in network.modules() if isinstance(layer, nn.Conv2d)
    ]


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 4), (4, 9), (9, 4)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_as_many_channels_as_there_are_come_out_as_they_went_in(
    inputs: int, outputs: int, kernel: int
) -> None:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    before, count = conv.weight.detach().clone(), min(inputs, outputs)
    assert pass_on(nn.Sequential(nn.Conv2d(3, inputs, 3), conv)) == 1
    x = torch.randn(2, inputs, 7, 7)
    assert torch.equal(conv(x)[:, :count], x[:, :count])
    assert torch.equal(conv.weight[count:], before[count:])


def test_the_first_convolution_sees_pixels_and_stays_as_drawn() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    before = kernels(network)
    assert pass_on(network) == 1
    after = kernels(network)
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


class Residual(nn.Module):
    """x + a stack, and a stack after it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.after = (
            nn.Conv2d(width, 4, 3, padding=1) for width in (3, 4, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return self.after(y + torch.relu(self.inner(y)))


def test_what_lies_beside_a_shortcut_stays_as_drawn() -> None:
    network = Residual()
    before = kernels(network)
    assert pass_on(network) == 1
    assert [
        torch.equal(one, other) for one, other in zip(before, kernels(network), strict=True)
    ] == [True, True, False]


class Untraceable(nn.Module):
    """Asks for values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) if x.sum() > 0 else x


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, stride=2)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, dilation=2)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 2)),
        nn.Sequential(nn.Linear(3, 2)),
        Untraceable(),
    ],
    ids=[
        "one pixel",
        "strides",
        "groups",
        "dilation",
        "even kernel",
        "no convolution",
        "cannot be traced",
    ],
)
def test_other_networks_are_left_alone(network: nn.Module) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert pass_on(network) == 0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "changed"), [("pooled", 6), ("conv", 0), ("basic", 0), ("inverted", 0)]
)
def test_of_the_hand_made_networks_those_that_pool_begin_so(kind: str, changed: int) -> None:
    """Others have shortcuts where nothing is skipped; strides pass on nothing."""
    assert pass_on(Reference("one", 10, 3, 32, 2, 0.25, 64, kind=kind, first=0).make(0)) == changed
