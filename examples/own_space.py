"""A search space of one's own: a module with Choices, what its networks cost, those within a
budget, one of them extracted."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor, nn

import archsmith
from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Linear, Repeat
from archsmith.feasibility.sampler import feasible_sample
from archsmith.metrics.cost import Costs

SHAPE = (3, 32, 32)  # channels, height and width of an image


class Block(nn.Module):
    """A residual block of the width that the network has."""

    def __init__(self, width: Choice) -> None:
        super().__init__()
        self.conv, self.norm = (
            Conv2d(width, width, 3, padding="same", bias=False),
            BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W), the same."""
        return x + self.norm(self.conv(x)).relu()


class Net(nn.Module):
    """Three decisions: how wide, which kernel the stem has, how many blocks. `--space
    own_space.py:Net` searches it."""

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        width = Choice(16, 24, 32, name="width")
        self.stem = Conv2d(channels, width, Choice(3, 5, name="kernel"), padding="same")
        self.body = Repeat(
            *(Block(width) for _ in range(4)), depth=Choice(1, 2, 3, 4, name="depth")
        )
        self.head = Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, classes)."""
        return self.head(self.body(self.stem(x)).mean((2, 3)))


if __name__ == "__main__":
    model = Net()
    space = archsmith.search_space(model)
    costs = Costs(model, SHAPE)
    print(f"{space.size} networks; the largest has {costs(space.extreme())['params']:,} parameters")

    limit = archsmith.at_most(costs, 20e3, name="params")
    archs = feasible_sample(space, [limit], Random(0), 3)
    for arch in archs:
        print(arch.key, dict(arch), costs(arch))

    network = archsmith.extract(model, archs[0], weights="fresh")  # stock torch layers
    print(type(network.stem).__name__, tuple(network(torch.zeros(2, *SHAPE)).shape))
