"""Modules of one's own whose tensors and numbers follow sizes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import Choice, Linear
from archsmith.elastic.owning import Owning, owning
from archsmith.elastic.supernet import active, dimensions, extract, search_space, slices


class Block(nn.Module):
    """A scale, a buffer and a number beside a layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.form = width, (2, width)
        self.scale = nn.Parameter(torch.rand(1, width))
        self.register_buffer("shift", torch.rand(width))
        self.plain = nn.Parameter(torch.rand(()))
        self.layer: nn.Module = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, 3)."""
        assert x.shape[1] == self.width and self.form[1] == self.width
        return self.layer(x * self.scale + self.shift) * self.plain


def made() -> Any:
    width = Choice(4, 8, name="width")
    block, layer = Block(8), Linear(width, 3)
    layer.load_state_dict(block.layer.state_dict())
    block.layer = layer
    tensors: dict[str, Any] = {"scale": (None, width), "shift": (width,)}
    owning(block, tensors, {"width": width, "form": (2, width)})
    return block


def test_its_tensors_and_numbers_are_those_of_the_network() -> None:
    block = made()
    assert isinstance(block, Block) and isinstance(block, Owning)
    assert (block.width, block.form, tuple(block.scale.shape)) == (8, (2, 8), (1, 8))
    x = torch.rand(2, 8)
    whole = block(x)
    with active(block, {"width": 4}):
        assert (block.width, block.form, tuple(block.scale.shape)) == (4, (2, 4), (1, 4))
        small = block(x[:, :4])
    assert torch.equal(block(x), whole)
    plain: Any = extract(block, {"width": 4})
    assert type(plain) is Block and plain.width == 4 and plain.form == (2, 4)
    assert "own_axes" not in vars(plain) and list(plain.state_dict()) == list(block.state_dict())
    assert torch.equal(plain(x[:, :4]), small)


def test_gradients_reach_the_part_that_is_used() -> None:
    block = made()
    with active(block, {"width": 4}):
        block(torch.rand(2, 4)).sum().backward()
    gradient = block._parameters["scale"].grad[0]
    assert bool((gradient[:4] != 0).all()) and not gradient[4:].any()


def test_it_is_seen_by_what_reads_axes() -> None:
    block = made()
    named = {(d.tensor, d.axis) for d in dimensions(block)["width"]}
    assert {("scale", 1), ("shift", 0), ("layer.weight", 1)} <= named
    found = slices(block, {"width": 4})
    assert found["scale"] == (slice(0, 1), slice(0, 4)) and found["plain"] == ()


def test_copies_and_pickles_have_decisions_of_their_own() -> None:
    block = made()
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert dict(search_space(twin)) == {"width": (4, 8)}
        with active(twin, {"width": 4}):
            assert twin.width == 4 and block.width == 8
        assert twin._parameters["scale"].data_ptr() != block._parameters["scale"].data_ptr()


def test_tensors_are_loaded_and_set_as_before() -> None:
    block, other = made(), Block(8)
    block.load_state_dict(other.state_dict())
    assert torch.equal(block.scale, other.scale)
    block.scale = nn.Parameter(torch.ones(1, 8))
    assert torch.equal(block.state_dict()["scale"], torch.ones(1, 8))
    block.width = 8
    assert vars(block)["width"] == 8
