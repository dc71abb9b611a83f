"""Conv2d and ConvTranspose2d: sizes of the output, and what they are told of by their arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsmith.elastic import Choice, Conv2d, ConvTranspose2d
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_transposed_convolution_doubles_the_map_at_every_kernel_and_dilation(
    kernel: int, dilation: int
) -> None:
    layer = ConvTranspose2d(
        4, 4, Choice(3, 5, name="k"), 2, "same", 1, dilation=Choice(1, 2, name="d")
    )
    with active(layer, {"k": kernel, "d": dilation}):
        assert layer(torch.zeros(1, 4, 5, 7)).shape == (1, 4, 10, 14)


def test_the_size_of_the_output_can_be_asked_for_as_in_torch() -> None:
    layer = ConvTranspose2d(Choice(2, 4, name="c"), 3, Choice(3, 5, name="k"), 2, "same")
    x = torch.randn(1, 2, 5, 5)
    for arch in search_space(layer).architectures():
        x = torch.randn(1, arch["c"], 5, 5)
        plain = extract(layer, arch)
        with active(layer, arch):
            for size in ([9, 9], [10, 9], [10, 10]):
                torch.testing.assert_close(layer(x, size), plain(x, size))
                assert list(layer(x, size).shape[2:]) == size
            with pytest.raises(ValueError, match="requested an output size"):
                layer(x, [12, 12])


def test_channels_in_come_first_in_a_transposed_weight() -> None:
    layer = ConvTranspose2d(Choice(2, 4, name="in"), Choice(3, 5, name="out"), 2, 2)
    plain = extract(layer, {"in": 2, "out": 3})
    assert torch.equal(plain.weight, layer.weight[:2, :3]) and torch.equal(
        plain.bias, layer.bias[:3]
    )


def test_rows_beyond_the_reach_of_the_smallest_dilation_are_refused() -> None:
    assert ConvTranspose2d(3, 4, 3, 1, "same", 1, dilation=Choice(2, 3)).output_padding == (1, 1)
    with pytest.raises(UserError, match="less than the stride"):
        ConvTranspose2d(3, 4, 3, 1, "same", 1, dilation=Choice(1, 3))


def test_a_layer_shows_itself_as_torch_does() -> None:
    assert repr(Conv2d(2, 4, 3, padding=2, dilation=2)) == repr(
        nn.Conv2d(2, 4, 3, padding=2, dilation=2)
    )
    layer = Conv2d(2, 4, 3, padding="same", dilation=Choice(1, 2))
    assert repr(layer) == repr(nn.Conv2d(2, 4, 3, padding=2, dilation=2))
