"""Kernels of elastic size: crops through matrices, their regions, and paddings, of convolutions and
their transposes alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from archsmith.elastic import Choice, Conv2d, ConvTranspose2d, Derived
from archsmith.elastic.supernet import active, dimensions, slices
from archsmith.errors import UserError

KINDS = pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])


@KINDS
def test_a_smaller_kernel_is_the_center_through_the_matrices(kind: Any) -> None:
    """Cai et al., section 3.3, written out: 3 x 3 goes through both matrices."""
    layer = kind(2, 4, Choice(3, 5, 7, name="k"), padding="same")
    with torch.no_grad():
        layer.to5.normal_(), layer.to3.normal_()
    weight = layer.weight
    five = (weight[:, :, 1:6, 1:6].reshape(-1, 25) @ layer.to5).reshape(*weight.shape[:2], 5, 5)
    three = (five[:, :, 1:4, 1:4].reshape(-1, 9) @ layer.to3).reshape(*weight.shape[:2], 3, 3)
    x, compute = torch.randn(2, 2, 8, 8), F.conv2d if kind is Conv2d else F.conv_transpose2d
    for kernel, expected in ((7, weight), (5, five), (3, three)):
        with active(layer, {"k": kernel}):
            torch.testing.assert_close(
                layer(x), compute(x, expected, layer.bias, padding=kernel // 2)
            )


@KINDS
def test_matrices_start_as_identity_and_learn_only_when_used(kind: Any) -> None:
    layer = kind(2, 4, Choice(3, 5, 7, name="k"), padding="same")
    assert torch.equal(layer.to5, torch.eye(25)) and torch.equal(layer.to3, torch.eye(9))
    for kernel, learns in ((7, set()), (5, {"to5"}), (3, {"to5", "to3"})):
        layer.zero_grad(set_to_none=True)
        with active(layer, {"k": kernel}):
            layer(torch.randn(1, 2, 6, 6)).sum().backward()
        assert {n for n in ("to5", "to3") if getattr(layer, n).grad is not None} == learns
    with torch.no_grad():
        layer.to5.normal_()
    layer.reset_parameters()
    assert torch.equal(layer.to5, torch.eye(25))


@KINDS
def test_the_region_of_a_kernel_is_what_its_gradient_touches(kind: Any) -> None:
    for transform in (True, False):
        layer = kind(1, 1, Choice(3, 5, 7, name="k"), padding="same", transform=transform)
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


@KINDS
def test_same_padding_keeps_the_map_at_every_kernel_and_dilation(kind: Any) -> None:
    layer = kind(
        1, 1, Choice(1, 3, 7, name="k"), padding="same", dilation=Choice(1, 2, 3, name="d")
    )
    for kernel in (1, 3, 7):
        for dilation in (1, 2, 3):
            with active(layer, {"k": kernel, "d": dilation}):
                assert layer(torch.zeros(1, 1, 15, 15)).shape[2:] == (15, 15)


@KINDS
def test_all_dilations_share_one_kernel(kind: Any) -> None:
    layer, compute = (
        kind(2, 2, 3, padding="same", dilation=Choice(1, 4, name="d")),
        {Conv2d: F.conv2d},
    )
    x = torch.randn(1, 2, 9, 9)
    for d in (1, 4):
        with active(layer, {"d": d}):
            expected = compute.get(kind, F.conv_transpose2d)(
                x, layer.weight, layer.bias, padding=d, dilation=d
            )
            torch.testing.assert_close(layer(x), expected)
    assert dimensions(layer) == {"d": ()} and str(slices(layer, {"d": 1})) == str(
        slices(layer, {"d": 4})
    )


@KINDS
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1, 1, Choice(2, 4), 1, "same"), "must be odd"),
        ((1, 1, Choice(3, 5), 1, 1), "use padding='same'"),
        ((1, 1, Choice((1, 3), (3, 3)), 1, "same"), "elastic kernels are square"),
    ],
)
def test_kernels_that_cannot_share_weights_are_refused(
    kind: Any, given: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        kind(*given)


@KINDS
@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"),
    [(Choice(4, 6), 6, 2), (Choice(4, 8), Choice(4, 8), Choice(4, 8)), (6, 4, 4), (4, 6, 4)],
)
def test_groups_that_cannot_share_weights_are_refused(
    kind: Any, inputs: Any, outputs: Any, groups: Any
) -> None:
    with pytest.raises(UserError, match="channels per group"):
        kind(inputs, outputs, 3, groups=groups)


@KINDS
def test_groups_may_follow_the_channels_by_an_equal_formula(kind: Any) -> None:
    channels = Choice(8, 16, name="c")
    layer = kind(channels, channels, 3, padding=1, groups=Derived(lambda c: c // 8, channels))
    with active(layer, {"c": 8}):
        assert layer(torch.zeros(1, 8, 4, 4)).shape == (1, 8, 4, 4)
