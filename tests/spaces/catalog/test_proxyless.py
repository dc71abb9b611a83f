"""ProxylessNAS's `net.config` both ways: what is left out, listed or not; mistakes named by their
place."""

from __future__ import annotations

import json
from random import Random

import pytest

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.spaces import build
from archsmith.spaces.catalog.proxyless import SPACE, layout, net_config_arch, net_config_text

DECISIONS = search_space(build("proxyless", 10, 3, 224))


def test_blocks_are_written_with_the_channels_of_the_paper_times_1_3() -> None:
    arch = DECISIONS.extreme(-1)
    config = json.loads(net_config_text(arch))
    assert config["name"] == "ProxylessNASNets" and len(config["blocks"]) == 22
    widths = [block["mobile_inverted_conv"]["out_channels"] for block in config["blocks"]]
    assert widths == [24, *4 * [32], *4 * [56], *4 * [104], *4 * [128], *4 * [248], 416]
    assert layout(False)[0][:3] == [16, 8, 12]
    assert (
        config["blocks"][1]["shortcut"] is None
        and config["blocks"][2]["shortcut"]["name"] == "IdentityLayer"
    )


def test_a_block_that_is_left_out_may_be_listed_or_not() -> None:
    arch = DECISIONS.check(
        {**DECISIONS.extreme(-1), "stage2.block3": "none", "stage2.block4": "none"}
    )
    config = json.loads(net_config_text(arch))
    zeros = [
        i
        for i, block in enumerate(config["blocks"])
        if block["mobile_inverted_conv"]["name"] == "ZeroLayer"
    ]
    assert zeros == [7, 8] and net_config_arch(json.dumps(config)) == arch
    config["blocks"] = [block for i, block in enumerate(config["blocks"]) if i not in zeros]
    assert net_config_arch(json.dumps(config)) == arch


def test_small_images_have_other_channels_and_the_same_decisions() -> None:
    arch = DECISIONS.sample(Random(3))
    text = net_config_text(arch)
    (stem, first, *stages, features), strides = layout(False)
    large = layout(True)[0]
    config = json.loads(text)
    names = dict(zip(large, (stem, first, *stages, features), strict=True))
    places = [1, 5, 9, 13, 17, 21]  # where stages begin
    for i, block in enumerate(config["blocks"]):
        conv = block["mobile_inverted_conv"]
        if conv["name"] != "ZeroLayer":
            conv |= {side: names[conv[side]] for side in ("in_channels", "out_channels")} | {
                "mid_channels": None
            }
            conv["stride"] = strides[places.index(i) + 1] if i in places else 1
    config["first_conv"]["out_channels"], config["feature_mix_layer"]["out_channels"] = (
        stem,
        features,
    )
    assert net_config_arch(json.dumps(config)) == arch


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (
            5,
            {"kernel_size": 4},
            r"blocks\[5\].mobile_inverted_conv.kernel_size is 4; allowed are "
            r"3, 5, 7",
        ),
        (
            5,
            {"expand_ratio": 4},
            r"blocks\[5\].mobile_inverted_conv.expand_ratio is 4; allowed are "
            r"3, 6",
        ),
        (5, {"name": "ZeroLayer"}, r"blocks\[5\] is a ZeroLayer; stage2.block1 changes the shape"),
        (
            0,
            {"out_channels": 16},
            r"blocks\[0\].mobile_inverted_conv.out_channels is 16; every "
            r"network of this space has 24",
        ),
        (6, {"act_func": "relu"}, r"blocks\[6\].mobile_inverted_conv.act_func is 'relu'"),
    ],
)
def test_mistakes_are_named_by_their_place(index: int, change: dict, message: str) -> None:
    config = json.loads(net_config_text(DECISIONS.extreme(-1)))
    config["blocks"][index]["mobile_inverted_conv"] |= change
    with pytest.raises(UserError, match=message):
        SPACE.read(json.dumps(config))


def test_too_many_and_too_few_blocks_are_refused() -> None:
    config = json.loads(net_config_text(DECISIONS.extreme(-1)))
    with pytest.raises(UserError, match="blocks` ends before stage6.block1"):
        SPACE.read(json.dumps(config | {"blocks": config["blocks"][:-1]}))
    with pytest.raises(UserError, match="blocks has 23 entries"):
        SPACE.read(json.dumps(config | {"blocks": [*config["blocks"], config["blocks"][-1]]}))
    twice = [*config["blocks"][:3], config["blocks"][2], *config["blocks"][3:-1]]
    with pytest.raises(
        UserError,
        match=r"blocks\[5\].mobile_inverted_conv.in_channels is "
        r"32|blocks\[5\].*out_channels",
    ):
        SPACE.read(json.dumps(config | {"blocks": twice}))
