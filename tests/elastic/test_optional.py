"""Blocks that may be left out: those that add to their input, one run next to one another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic.following import followed
from archsmith.elastic.optional import chain, optional_blocks
from archsmith.elastic.supernet import search_space
from archsmith.elastic.tracing import traced


class Block(nn.Module):
    """A convolution, and its input added to it or not."""

    def __init__(self, how: str = "adds", outputs: int = 8) -> None:
        super().__init__()
        self.conv, self.how = nn.Conv2d(8, outputs, 1), how

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.how == "adds":
            return y + x
        return y * x if self.how == "scales" else y


def found(*blocks: nn.Module) -> dict[str, list[list[str]]]:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(*blocks), nn.Conv2d(8, 2, 1))
    graph = traced(model, torch.rand(2, 3, 4, 4))
    return optional_blocks(model, graph, followed(model, graph))


def test_neighbors_that_add_to_their_input_are_one_run() -> None:
    assert found(Block(), Block(), Block("replaces"), Block()) == {"1": [["0", "1"], ["3"]]}


@pytest.mark.parametrize("how", ["scales", "replaces"])
def test_what_does_not_add_to_its_input_stays(how: str) -> None:
    assert found(Block(how)) == {}


def test_a_block_without_weights_stays() -> None:
    assert found(nn.ReLU(), Block()) == {"1": [["1"]]}


def test_blocks_that_are_called_one_by_one_stay() -> None:
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(Block(), Block())

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks[1](self.blocks[0](x))

    model = nn.Sequential(nn.Conv2d(3, 8, 1), Apart(), nn.Conv2d(8, 2, 1))
    graph = traced(model, torch.rand(2, 3, 4, 4))
    assert optional_blocks(model, graph, followed(model, graph)) == {}


def test_a_chain_decides_how_many_blocks_of_each_run_there_are() -> None:
    made = chain(nn.Sequential(Block(), Block(), Block()), "body", [["0", "1"], ["2"]])
    assert dict(search_space(made)) == {"body.0.depth": (0, 1, 2), "body.2.depth": (0, 1)}
