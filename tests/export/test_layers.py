"""The rows that tell what a network consists of."""

from __future__ import annotations

import pytest
import torch
from plain_networks import Upwards, chain
from torch import nn

from archsmith.export.layers import layers
from archsmith.spaces.reference import reference


def test_blocks_are_told_in_words_with_their_shapes_and_counts() -> None:
    rows = {
        f"{row['stage']}.{row['name']}".rstrip("."): row
        for row in layers(chain().eval(), (3, 16, 16))
    }
    assert rows["stage1.block2"]["text"] == "5x5 depthwise, expand 2, 8 channels, shortcut"
    assert rows["stage2.block1"]["text"] == (
        "3x3 depthwise, expand 2, squeeze-excite, stride 2, 12 channels"
    )
    assert rows["stage2.block1"]["in"] == [8, 16, 16] and rows["stage2.block1"]["out"] == [12, 8, 8]


def test_transposed_convolutions_dilations_and_embeddings_are_named() -> None:
    rows = {row["stage"]: row for row in layers(Upwards().eval(), (3, 10, 8))}
    assert rows["down"]["text"] == "3x3 convolution, stride 2, dilation 2, 8 channels"
    assert rows["up"]["text"] == "3x3 transposed convolution, stride 2x1, 6 channels"
    assert rows["wide"]["text"] == "5x5 transposed convolution, stride 2, 6 channels"
    assert rows["levels"]["text"] == "embedding 3x4"
    assert rows["wide"]["macs"] == 10 * 4 * 6 * 2 * 25 and rows["levels"]["macs"] == 0


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (nn.AdaptiveAvgPool2d(1), "pooling"),
        (nn.AdaptiveMaxPool2d(1), "pooling of the largest values"),
        (nn.MaxPool2d(2), "pooling of the largest values"),
        (nn.AvgPool2d(2), "pooling"),
    ],
)
def test_pooling_by_itself_is_told_in_words_and_reshaping_is_no_row(
    pool: nn.Module, text: str
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), pool, nn.Flatten(), nn.LazyLinear(5)).eval()
    network(torch.zeros(1, 3, 6, 6))
    assert [row["text"] for row in layers(network, (3, 6, 6))][1:] == [text, "linear 5"]


def test_no_row_of_a_hand_made_network_is_the_name_of_a_class() -> None:
    for one in reference(10, 3, 32, {"macs": 5e6}):
        for row in layers(one.make(0).eval(), (3, 32, 32)):
            assert not any(name in row["text"] for name in ("2d", "Flatten", "Third")), row
