"""elastic/resize.py: the side that images are resized to as a decision; a network without that is
the same for images of that side; what is declared wrongly is told."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from elastic_models import SIDED, SIDES, conv, randomized, sided
from torch import Tensor, fx, nn
from torch.nn import functional as F

from archsmith.elastic import Choice, Concat, Conv2d, Derived, Linear, OneOf, Repeat, Resize
from archsmith.elastic.resize import inputs_of, resize_in, resizes_first, without_resize
from archsmith.elastic.structure import read
from archsmith.elastic.supernet import active, extract, search_space, try_networks
from archsmith.errors import UserError


def images(side: int, count: int = 3) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(side))


def resized(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)


def network(form: str, pixels: int) -> nn.Module:
    torch.manual_seed(0)
    model = randomized(SIDED[form](None))
    arch = search_space(model).complete({"pixels": pixels}, Random(0))
    return extract(model, arch).eval()


# -- what it computes ----------------------------------------------------------------------------


@pytest.mark.parametrize("given", [4, 9, 12, 20])
def test_it_is_torch_s_antialiased_filter_at_the_side_that_was_decided(given: int) -> None:
    model = nn.Sequential(Resize(Choice(6, 12, name="pixels")), Conv2d(3, Choice(2, 4), 1))
    for side in (6, 12):
        with active(model, search_space(model).complete({"pixels": side}, Random(0))):
            assert torch.equal(model[0](images(given)), resized(images(given), side))
    assert torch.equal(model[0](images(given)), resized(images(given), 12))  # the largest


@pytest.mark.parametrize("side", [5, 8, 33])
def test_images_of_its_side_stay_as_they_are(side: int) -> None:
    assert torch.equal(Resize(side)(images(side)), images(side))


def test_a_side_may_follow_from_another_decision() -> None:
    scale = Choice(1, 2, 3, name="scale")
    model = nn.Sequential(Resize(Derived(lambda s: 4 * s, scale)), Conv2d(3, 2, 1))
    inputs, space = inputs_of(read(model), (3, 32, 32)), search_space(model)
    assert list(space) == ["scale"] and inputs.names == ("scale",)
    assert [inputs(arch) for arch in space.architectures()] == [(3, s, s) for s in (4, 8, 12)]


def test_its_networks_can_be_traced_and_take_images_of_any_size() -> None:
    plain = network("chain", 8)
    traced = fx.symbolic_trace(plain)
    for side in (7, 8, 21):
        assert torch.equal(traced(images(side)), plain(images(side)))


# -- without it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", SIDED)
@pytest.mark.parametrize("pixels", SIDES)
def test_without_it_a_network_is_the_same_for_images_of_its_side(form: str, pixels: int) -> None:
    plain = network(form, pixels)
    shipped, shape = without_resize(plain, (3, 17, 17))
    assert shape == (3, pixels, pixels) and resize_in(shipped) is None
    with torch.no_grad():
        assert torch.equal(shipped(images(pixels)), plain(images(pixels)))
        whole = plain(images(17))
        torch.testing.assert_close(shipped(resized(images(17), pixels)), whole)
        assert not torch.allclose(shipped(images(17)), whole)  # so it is left out indeed


@pytest.mark.parametrize("form", SIDED)
def test_the_network_itself_stays_whole_and_shares_its_weights(form: str) -> None:
    plain = network(form, 8)
    before = plain(images(17))
    shipped, _ = without_resize(plain, (3, 17, 17))
    assert resize_in(plain) is not None and torch.equal(plain(images(17)), before)
    mine, its = dict(plain.named_parameters()), dict(shipped.named_parameters())
    assert mine.keys() == its.keys() and all(mine[name] is its[name] for name in mine)


def test_a_network_that_resizes_nothing_is_handed_back() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3))
    shipped, shape = without_resize(plain, (3, 17, 17))
    assert shipped is plain and shape == (3, 17, 17)
    inputs = inputs_of(read(sided(nn.Identity())), (3, 17, 17))
    assert inputs.names == () and inputs(None) == (3, 17, 17)  # type: ignore[arg-type]


# -- what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pixels",
    [0, -8, 8.5, "8", None, True, Choice(8, 12.5), Choice(0, 8), Choice("small", "large")],
)
def test_a_side_is_a_whole_number(pixels: Any) -> None:
    with pytest.raises(UserError, match=r"Resize\(pixels=.*give a whole number"):
        Resize(pixels)


def test_a_side_is_no_concatenation() -> None:
    with pytest.raises(UserError, match="a side is no width"):
        Resize(Concat(4, Choice(4, 8)))  # type: ignore[arg-type]


class Beside(nn.Module):
    """What `path` makes of the image, and of the resized one."""

    def __init__(self, before: nn.Module | None, beside: nn.Module | None, **more: Any) -> None:
        super().__init__()
        width = Choice(4, 8, name="width")
        self.before, self.beside = before or nn.Identity(), beside
        self.resize = Resize(Choice(6, 9, name="pixels"))
        self.stem, self.head = conv(3, width, 3), Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.stem(self.resize(self.before(x))).mean((2, 3)))
        return y if self.beside is None else y + self.beside(x)


WRONG = {
    "after a layer": Beside(nn.Conv2d(3, 3, 3, padding=1), None),
    "after another filter": Beside(nn.AvgPool2d(2), None),
    "beside means": Beside(
        None, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5))
    ),
}


@pytest.mark.parametrize("model", WRONG.values(), ids=WRONG)
def test_a_network_that_does_something_else_with_its_images_is_told(model: nn.Module) -> None:
    for told in (search_space, lambda model: try_networks(model, (3, 24, 24))):
        with pytest.raises(UserError, match="must be the first that a network does"):
            told(model)


def test_one_that_takes_its_own_side_alone_is_told() -> None:
    """Beside the resized image it looks at the other, which must be as large."""
    added = OneOf({1: nn.Identity(), 2: nn.Identity()}, choice=Choice(1, 2, name="which"))

    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.resize, self.added = Resize(8), added
            self.stem = Conv2d(3, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.stem(self.resize(x) + self.added(x)).mean((2, 3))

    with pytest.raises(UserError, match="must be the first that a network does"):
        try_networks(Added(), (3, 8, 8))


@pytest.mark.parametrize("form", SIDED)
def test_networks_that_begin_with_it_are_let_be(form: str) -> None:
    model = SIDED[form](None)
    assert search_space(model)["pixels"] == SIDES
    for side in (5, 12, 31):
        try_networks(model, (3, side, side))
        assert resizes_first(network(form, 8), (3, side, side))


def small(*sides: int) -> nn.Module:
    """Convolutions that take 7 pixels off, the last two only in the deeper network."""
    width, valid = Choice(4, 8, name="width"), Conv2d(8, 8, 3, padding=0)
    return nn.Sequential(
        Resize(Choice(*sides, name="pixels")),
        nn.Sequential(Conv2d(3, width, 6), Conv2d(width, 8, 1)),
        Repeat(valid, depth=Choice(0, 1, name="depth")),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(8, 5)),
    )


@pytest.mark.parametrize(("sides", "least"), [((4, 8, 16), 4), ((7, 8, 16), 7)])
def test_sides_that_the_layers_cannot_take_are_told_with_those_they_can(
    sides: tuple[int, ...], least: int
) -> None:
    for told in (search_space, lambda model: try_networks(model, (3, 24, 24))):
        with pytest.raises(
            UserError,
            match=rf"cannot take images of {least} pixels.*'depth': 1.*can take: 8, 16$",
        ):
            told(small(*sides))
    assert search_space(small(8, 16))["pixels"] == (8, 16)


def test_two_of_them_are_told() -> None:
    model = nn.Sequential(Resize(8), Conv2d(3, Choice(3, 6), 3), Resize(Choice(4, 8)))
    with pytest.raises(UserError, match="Resize stands at '0' and at '2'; a network has one"):
        search_space(model)


@pytest.mark.parametrize(
    "holder",
    [
        lambda: OneOf({"whole": nn.Identity(), "small": Resize(8)}),
        lambda: Repeat(Resize(8), depth=Choice(0, 1, name="depth")),
    ],
)
def test_one_that_may_be_left_out_is_told(holder: Any) -> None:
    with pytest.raises(UserError, match="is not there in every network; put it first"):
        search_space(nn.Sequential(holder(), Conv2d(3, 4, 3)))
