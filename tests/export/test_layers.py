"""The rows that tell what a network consists of."""

from __future__ import annotations

from plain_networks import Upwards, chain

from archsmith.export.layers import layers


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
