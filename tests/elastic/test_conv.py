"""Conv2d: kernel matrices, groups, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from archsmith.elastic import Choice, Conv2d, Derived
from archsmith.elastic.supernet import active, slices
from archsmith.errors import UserError


def test_a_smaller_kernel_is_the_center_through_the_matrices() -> None:
    """Cai et al., section 3.3, written out: 3 x 3 goes through both matrices."""
    layer = Conv2d(2, 4, Choice(3, 5, 7, name="k"), padding="same")
    with torch.no_grad():
        layer.to5.normal_(), layer.to3.normal_()
    weight = layer.weight
    five = (weight[:, :, 1:6, 1:6].reshape(-1, 25) @ layer.to5).reshape(4, 2, 5, 5)
    three = (five[:, :, 1:4, 1:4].reshape(-1, 9) @ layer.to3).reshape(4, 2, 3, 3)
    x = torch.randn(2, 2, 8, 8)
    for kernel, expected in ((7, weight), (5, five), (3, three)):
        with active(layer, {"k": kernel}):
            torch.testing.assert_close(layer(x), F.conv2d(x, expected, layer.bias, padding=kernel // 2))


def test_matrices_start_as_identity_and_learn_only_when_used() -> None:
    layer = Conv2d(2, 4, Choice(3, 5, 7, name="k"), padding="same")
    assert torch.equal(layer.to5, torch.eye(25)) and torch.equal(layer.to3, torch.eye(9))
    for kernel, learns in ((7, set()), (5, {"to5"}), (3, {"to5", "to3"})):
        layer.zero_grad(set_to_none=True)
        with active(layer, {"k": kernel}):
            layer(torch.randn(1, 2, 6, 6)).sum().backward()
        assert {n for n in ("to5", "to3") if getattr(layer, n).grad is not None} == learns


def test_the_region_of_a_kernel_is_what_its_gradient_touches() -> None:
    for transform in (True, False):
        layer = Conv2d(1, 1, Choice(3, 5, 7, name="k"), padding="same", transform=transform)
        with torch.no_grad():
            for name in ("to5", "to3") if transform else ():
                getattr(layer, name).normal_()
        for kernel in (3, 5, 7):
            layer.zero_grad(set_to_none=True)
            with active(layer, {"k": kernel}):
                layer(torch.randn(1, 1, 9, 9)).square().sum().backward()
            touched = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
            touched[slices(layer, {"k": kernel})["weight"]] = True
            assert torch.equal(layer.weight.grad != 0, touched)


def test_same_padding_keeps_the_map_at_every_kernel_and_dilation() -> None:
    layer = Conv2d(1, 1, Choice(1, 3, 7, name="k"), padding="same", dilation=2)
    for kernel in (1, 3, 7):
        with active(layer, {"k": kernel}):
            assert layer(torch.zeros(1, 1, 15, 15)).shape[2:] == (15, 15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(1, 1, Choice(2, 4), padding="same"), "must be odd"),
        (lambda: Conv2d(1, 1, Choice(3, 5), padding=1), "use padding='same'"),
        (lambda: Conv2d(Choice(4, 6), 6, 3, groups=2), "channels per group"),
        (lambda: Conv2d(Choice(4, 8), Choice(4, 8), 3, groups=Choice(4, 8)), "channels per group"),
        (lambda: Conv2d(4, 4, 3, groups="2"), "neither a number nor a size"),
        (lambda: Conv2d(6, 4, 3, groups=4), "channels per group"),
    ],
)
def test_what_cannot_share_weights_is_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_groups_may_follow_the_channels_by_an_equal_formula() -> None:
    channels = Choice(8, 16, name="c")
    layer = Conv2d(channels, channels, 3, padding=1, groups=Derived(lambda c: c // 8, channels))
    with active(layer, {"c": 8}):
        assert layer(torch.zeros(1, 8, 4, 4)).shape == (1, 8, 4, 4)
