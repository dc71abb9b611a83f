"""What does not hold in a narrower network stays, and is named."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor, nn

from archsmith.elastic.conversion import converted, elastic
from archsmith.elastic.supernet import active, extract, search_space

IMAGES = torch.rand(1, 3, 4, 4)


class Total(nn.Module):
    """A view by a number that was computed beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 1)
        self.rows, self.numbers, self.head = 4, 64, nn.Linear(256, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(torch.relu(self.stem(x)))
        return self.head(x.reshape(-1, self.rows * self.numbers))


def test_a_width_that_does_not_hold_stays_with_the_line() -> None:
    found = converted(Total(), IMAGES)
    assert set(search_space(found.model)) == {"stem"}
    assert "does not run at test_checking.py:" in found.fixed["body"]
    assert "self.rows * self.numbers" in found.fixed["body"]


class Checked(nn.Module):
    """A check of a width that a narrower network would not pass."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(i, o, 1) for i, o in ((3, 8), (8, 8), (8, 4)))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.one(x))
        assert x.shape[1] == 8
        return self.three(torch.relu(self.two(x)))


def test_a_check_of_a_width_keeps_it() -> None:
    found = converted(Checked(), IMAGES)
    assert set(search_space(found.model)) == {"two"}
    assert "assert x.shape[1] == 8" in found.fixed["one"]


class Together(nn.Module):
    """Two widths of which each alone may be narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.end = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.one(x), self.two(x)
        torch._assert(one.shape[1] + two.shape[1] > 9, "too narrow together")
        return self.end(one) + self.end(one).mean() * two.mean(1, keepdim=True)


def test_widths_that_do_not_hold_together_are_found_one_after_the_other() -> None:
    found = converted(Together(), IMAGES)
    assert set(search_space(found.model)) == {"one"}
    assert "too narrow together" in found.fixed["two"]
    smallest = search_space(found.model).extreme(0)
    assert extract(found.model, smallest)(IMAGES).shape == (1, 4, 4, 4)


class Counts(nn.Module):
    """It looks at its blocks one by one, too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.end = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)
        self.blocks = nn.Sequential(Adds(), Adds())

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x)) / (1 + len(self.blocks))
        for block in self.blocks[:1]:
            x = block(x)
        return self.end(x)


class Adds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


def test_a_network_that_looks_at_its_blocks_sees_those_that_it_has() -> None:
    model = elastic(Counts(), IMAGES).eval()
    space = search_space(model)
    for depth in space["blocks.0.depth"]:
        arch = {**space.extreme(-1), "blocks.0.depth": depth}
        with torch.no_grad(), active(model, arch):
            expected = model(IMAGES)
        assert torch.equal(extract(model, arch).eval()(IMAGES), expected)


class Buffered(nn.Module):
    """A tensor that is made on the CPU in forward: it cannot be tried on `meta`."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x) * torch.ones(1, device="cpu"))


def test_what_does_not_run_without_numbers_is_tried_with_them() -> None:
    model = elastic(Buffered(), IMAGES)
    space = search_space(model)
    assert space["one"] == (2, 4, 6, 8)
    extract(model, space.sample(Random(0)))(IMAGES)
