"""What a model declares wrongly is told by `search_space`: which layers, both sizes, what to write;
the right is let be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic import (
    Attention,
    BatchNorm2d,
    Choice,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Derived,
    Embedding,
    LayerNorm,
    Linear,
    OneOf,
    Repeat,
)
from archsmith.elastic.supernet import active, search_space, try_networks
from archsmith.errors import UserError


class Net(nn.Module):
    """A convolution of elastic width, something in between, a head on the mean over space."""

    def __init__(
        self,
        width: Any,
        head: nn.Module,
        between: nn.Module | None = None,
        beside: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.stem, self.between = Conv2d(3, width, 3, padding=1), between or nn.Identity()
        self.beside, self.head = beside, head

    def forward(self, x: Tensor) -> Tensor:
        y = self.between(self.stem(x))
        y = y if self.beside is None else y + self.beside(x)
        return self.head(y.mean((2, 3)))


class Scaled(nn.Module):
    """A plain parameter, whole or as much of it as is needed."""

    def __init__(self, count: int, sliced: bool = False) -> None:
        super().__init__()
        self.scale, self.sliced = nn.Parameter(torch.ones(1, count, 1, 1)), sliced

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.scale[:, : x.shape[1]] if self.sliced else self.scale)


class Joined(nn.Module):
    """Two elastic widths side by side."""

    def __init__(self, of: Callable[[Choice, Choice], Any]) -> None:
        super().__init__()
        first, second = Choice(4, 8, name="first"), Choice(4, 8, name="second")
        self.left, self.right = Conv2d(3, first, 3, padding=1), Conv2d(3, second, 1)
        self.out = Conv2d(of(first, second), 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([self.left(x), self.right(x)], 1))


class Written(nn.Module):
    """A width written as a number in `forward`."""

    def __init__(self, width: Choice) -> None:
        super().__init__()
        self.body, self.head = Conv2d(3, width, 3), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)).view(-1, 32))


def width() -> Choice:
    return Choice(16, 24, 32, name="width")


def flat(width: Any, features: Any, linear: type[nn.Module] = Linear) -> nn.Sequential:
    """Made for 28 pixels."""
    convs = (Conv2d(1, width, 3, 2, padding="same"), Conv2d(width, width, 3, 2, padding="same"))
    return nn.Sequential(*convs, nn.Flatten(), linear(features, 10))


W = width()
# model, what the message must hold
WRONG: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "a head of torch.nn": (
        lambda: Net(width(), nn.Linear(32, 10)),
        ("'stem' gives 16", "'head' (Linear) takes 32"),
    ),
    "never": (
        lambda: Net(width(), nn.Linear(20, 10)),
        ("'stem' gives 32", "'head' (Linear) takes 20"),
    ),
    "another decision": (
        lambda: Net(width(), Linear(Choice(16, 24, 32), 9)),
        ("'stem' gives", "takes", "same Choice"),
    ),
    "other options": (
        lambda: Net(width(), Linear(Choice(8, 32), 9)),
        ("'stem' gives 16", "'head' (Linear) takes 8"),
    ),
    "norm": (
        lambda: Net(W, Linear(W, 9), BatchNorm2d(32)),
        ("'between' (BatchNorm2d) takes 32", "elastic.BatchNorm2d(width"),
    ),
    "norm of torch.nn": (
        lambda: Net(W, Linear(W, 9), nn.BatchNorm2d(24)),
        ("'between' (BatchNorm2d) takes 24",),
    ),
    "groups": (
        lambda: Net(W, Linear(W, 9), nn.GroupNorm(4, 32)),
        ("'between' (GroupNorm) takes 32", "GroupNorm(groups, "),
    ),
    "slopes": (
        lambda: Net(W, Linear(W, 9), nn.PReLU(32)),
        ("'between' (PReLU) takes 32", "no elastic form"),
    ),
    "upwards": (
        lambda: nn.Sequential(Conv2d(3, W, 1), ConvTranspose2d(32, 4, 2, 2)),
        ("'1' (ConvTranspose2d) takes 32",),
    ),
    "from upwards": (
        lambda: nn.Sequential(ConvTranspose2d(3, W, 2, 2), nn.Conv2d(32, 4, 1)),
        ("'0' gives 16", "takes 32"),
    ),
    "entries": (
        lambda: nn.Sequential(Embedding(9, W), Linear(32, 4)),
        ("'0' gives 16", "'1' (Linear) takes 32"),
    ),
    "parameter": (
        lambda: Net(W, Linear(W, 9), Scaled(32)),
        ("'between.scale' is (1, 32, 1, 1)", "self.scale[:, :width]"),
    ),
    "shortcut": (
        lambda: Net(W, Linear(W, 9), None, Conv2d(3, 32, 1)),
        ("'beside' gives", "'stem' gives", "add cannot join"),
    ),
    "shortcut, decided": (
        lambda: Net(W, Linear(W, 9), None, Conv2d(3, Choice(16, 32), 1)),
        ("'beside' gives", "'stem' gives"),
    ),
    "flattened": (
        lambda: flat(W, 32 * 49, nn.Linear),
        ("'1' (16", "is 784 wide", "'3' (Linear) takes 1568"),
    ),
    "flattened, never": (lambda: flat(W, 1000), ("'3' (Linear) takes 1000",)),
    "joined": (
        lambda: Joined(lambda a, b: Choice(8, 16)),
        ("is 12 wide", "'out' (Conv2d) takes 16", "Concat"),
    ),
    "joined, fixed": (lambda: Joined(lambda a, b: 16), ("'out' (Conv2d) takes 16",)),
    "written as a number": (
        lambda: Written(width()),
        ("'body' gives 16", "view cannot bring (3, 16)", "flatten"),
    ),
    "tokens": (
        lambda: nn.Sequential(Linear(8, W), Attention(Choice(16, 32), 2, 4)),
        ("'1.query' (Linear) takes 16",),
    ),
    "layer norm": (
        lambda: nn.Sequential(Linear(8, W), nn.LayerNorm(32)),
        ("'1' (LayerNorm) takes 32",),
    ),
    "depth": (
        lambda: nn.Sequential(
            Repeat(Conv2d(3, W, 1), Conv2d(W, 12, 1), depth=Choice(1, 2, name="depth")),
            Conv2d(12, 3, 1),
        ),
        ("'0.0' gives", "'1' (Conv2d) takes 12"),
    ),
    "options of a OneOf": (
        lambda: nn.Sequential(OneOf(Conv2d(3, 8, 1), Conv2d(3, 12, 1)), Conv2d(12, 3, 1)),
        ("'0.0' gives 8", "'1' (Conv2d) takes 12"),
    ),
    "a Choice that a layer of torch reads once": (
        lambda: nn.Sequential(Conv2d(3, W, 1), nn.BatchNorm2d(8, affine=Choice(True, False))),
        ("affine=Choice(True, False)", "OneOf"),
    ),
    "another": (
        lambda: nn.Sequential(Linear(3, W), nn.LayerNorm(8, eps=Choice(0.1, 0.2))),
        ("eps=Choice(0.1, 0.2)",),
    ),
}

RIGHT: dict[str, Callable[[], nn.Module]] = {
    "head": lambda: Net(W, Linear(W, 10)),
    "norm": lambda: Net(W, Linear(W, 10), nn.Sequential(BatchNorm2d(W), nn.ReLU())),
    "a parameter as far as needed": lambda: Net(W, Linear(W, 9), Scaled(32, sliced=True)),
    "shortcut": lambda: Net(W, Linear(W, 9), None, Conv2d(3, W, 1)),
    "flattened": lambda: flat(W, Derived(lambda w: 49 * w, W)),
    "joined": lambda: Joined(Concat),
    "tokens": lambda: nn.Sequential(Linear(8, W), LayerNorm(W), Attention(W, Choice(1, 2), 4)),
    "tables": lambda: nn.Sequential(nn.Embedding(5, 8), Linear(8, W), Linear(W, 2)),
    "what cannot be guessed": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 10, 11)), Net(W, Linear(W, 2))
    ),
    "one channel": lambda: Net(Choice(1, 2, name="width"), nn.AdaptiveAvgPool1d(3)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_declared_wrongly_is_told_with_both_ends(name: str) -> None:
    make, parts = WRONG[name]
    with pytest.raises(UserError, match=".*".join(f"(?=.*{re.escape(part)})" for part in parts)):
        search_space(make())


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_refused(name: str) -> None:
    assert len(search_space(RIGHT[name]())) >= 1


def test_a_network_that_needs_more_than_one_input_is_left_alone() -> None:
    class Two(Net):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
            return self.head((self.stem(x) + y).mean((2, 3)))

    assert len(search_space(Two(W, nn.Linear(32, 2)))) == 1


def test_trying_leaves_the_model_and_the_generator_as_they_were() -> None:
    model = Net(W, nn.Sequential(Linear(W, 4), nn.Dropout(0.5)))
    before, state = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    search_space(model)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    with active(model, {"width": 16}):
        assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 4)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Net(W, Linear(W, 4)), "'the input' gives 1, 'stem' (Conv2d) takes 3"),
        (lambda: flat(W, Derived(lambda w: 49 * w, W)), "is 128 wide, '3' (Linear) takes 1568"),
        (
            lambda: nn.Sequential(Conv2d(1, W, 9), nn.Flatten(1), Linear(W, 2)),
            "network {'width': 32} cannot take images",
        ),
    ],
)
def test_for_a_shape_that_is_known_all_that_fails_is_told(
    make: Callable[[], nn.Module], told: str
) -> None:
    with pytest.raises(UserError, match=re.escape(told)) as error:
        try_networks(make(), (1, 8, 8))
    assert "cannot take images of shape (1, 8, 8)" in str(error.value)


def test_code_that_reads_values_is_tried_on_real_images() -> None:
    class Reads(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * (2.0 if x.sum().item() > 0 else 1.0))

    try_networks(Reads(W, Linear(W, 4)), (3, 8, 8))
