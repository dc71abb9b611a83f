"""Once-For-All: the space of the network, the publishers' lists and `net.config` both ways."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.spaces.catalog.ofa import (
    OFA,
    W10,
    W12,
    net_config_arch,
    net_config_text,
    ofa_arch,
    ofa_settings,
)

RECORDS = (
    Path(os.environ.get("ARCHSMITH_DATA", "/nowhere")) / "nas" / "ofa_mbv3_w1.0_subnet_accuracy.csv"
)


def test_slots_beyond_the_depth_are_not_read() -> None:
    first = ofa_arch([3] * 20, [3] * 20, [2] * 5)
    other = [7 if slot % 4 >= 2 else 3 for slot in range(20)]
    assert ofa_arch(other, [3] * 20, [2] * 5) == first
    assert ofa_settings(first)["ks"] == [3, 3, 0, 0] * 5


def test_the_once_for_all_space_is_that_of_the_network() -> None:
    import torch

    from archsmith.elastic.supernet import search_space
    from archsmith.spaces.mobilenet import ofa_mobilenet_v3

    with torch.device("meta"):
        space = search_space(ofa_mobilenet_v3())
    assert space == OFA and list(OFA) == list(space) and OFA.fingerprint == space.fingerprint


# -- the texts -------------------------------------------------------------------------------------

# A network for cars of Neural Architecture Transfer (Lu et al., TPAMI 2021), as released in both
# forms.
SUBNET = """{"ks": [3, 5, 7, 3, 7, 5, 3, 5, 7, 5, 3], "e": [3, 3, 4, 4, 3, 4, 3, 3, 3, 3, 4],
"d": [2, 2, 3, 2, 2], "r": 256, "w": 1.0}"""
BLOCKS = [  # inputs, outputs, kernel, stride, expansion, middle, activation, squeeze-excite
    (16, 16, 3, 1, 1, None, "relu", False),
    (16, 24, 3, 2, 3, 48, "relu", False),
    (24, 24, 5, 1, 3, 72, "relu", False),
    (24, 40, 7, 2, 4, 96, "relu", True),
    (40, 40, 3, 1, 4, 160, "relu", True),
    (40, 80, 7, 2, 3, 120, "h_swish", False),
    (80, 80, 5, 1, 4, 320, "h_swish", False),
    (80, 80, 3, 1, 3, 240, "h_swish", False),
    (80, 112, 5, 1, 3, 240, "h_swish", True),
    (112, 112, 7, 1, 3, 336, "h_swish", True),
    (112, 160, 5, 2, 3, 336, "h_swish", True),
    (160, 160, 3, 1, 4, 640, "h_swish", True),
]
FIELDS = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "expand_ratio",
    "mid_channels",
    "act_func",
    "use_se",
)


def test_a_released_network_is_the_same_in_every_form() -> None:
    found = W10.read(SUBNET)
    assert found.size == 256 and found.form.startswith("net.subnet")
    assert (
        ofa_settings(found.arch)["d"] == [2, 2, 3, 2, 2] and found.arch["stage3.block3.kernel"] == 3
    )
    config = json.loads(net_config_text(1.0, found.arch))
    written = [
        tuple(block["mobile_inverted_conv"][field] for field in FIELDS)
        for block in config["blocks"]
    ]
    assert written == BLOCKS
    kept = [block[0] == block[1] and block[3] == 1 for block in BLOCKS]
    assert [block["shortcut"] is not None for block in config["blocks"]] == kept
    assert (
        config["feature_mix_layer"]["out_channels"] == 1280
        and not config["feature_mix_layer"]["use_bn"]
    )
    again = W10.read(json.dumps(config | {"name": "NATNet", "img_size": 256}))
    assert again.arch == found.arch and again.size == 256 and again.form.startswith("net.config")
    slots = W10.formats[1]
    assert slots.read(slots.write(found.arch)) == found.arch and json.loads(
        slots.write(found.arch)
    )["ks"][:4] == [3, 5, 0, 0]


def test_later_releases_call_blocks_otherwise() -> None:
    arch = OFA.sample(Random(1))
    text = (
        net_config_text(1.2, arch)
        .replace('"mobile_inverted_conv"', '"conv"')
        .replace("MobileInvertedResidualBlock", "ResidualBlock")
    )
    assert net_config_arch(1.2, text.replace("MBInvertedConvLayer", "MBConvLayer")) == arch


def test_what_python_prints_is_read() -> None:
    arch = OFA.sample(Random(2))
    assert W12.read(str({"wid": None, **ofa_settings(arch), "r": [224]})).arch == arch


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"w": 1.0', '"w": 1.2', "w is 1.2; every network of this space has 1.0 there"),
        ('"r": 256', '"nd": 3', "'nd': networks of this space have ks, e and d"),
        ("[2, 2, 3, 2, 2]", "[2, 2, 3, 2, 5]", r"d\[4\] is 5; allowed are 2, 3, 4"),
        ("[2, 2, 3, 2, 2]", "[2, 2, 3, 2]", "d has 4 entries; a list of 5"),
        ("[2, 2, 3, 2, 2]", "[2, 2, 3, 2, 3]", "ks has 11 entries; a list of 12 or 20"),
        ('"ks": [3, 5, 7', '"ks": [3, 5, 9', r"ks\[2\] is 9; allowed are 3, 5, 7"),
    ],
)
def test_mistakes_in_the_lists_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        W10.read(SUBNET.replace(old, new))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("blocks", 3, "mobile_inverted_conv", "kernel_size"),
            9,
            r"blocks\[3\].*conv.kernel_size is 9; allowed",
        ),
        (
            ("blocks", 4, "mobile_inverted_conv", "use_se"),
            False,
            r"blocks\[4\].mobile_inverted_conv.use_se is False",
        ),
        (
            ("blocks", 4, "mobile_inverted_conv", "mid_channels"),
            99,
            r"blocks\[4\].*mid_channels is "
            r"99; every network .* 160",
        ),
        (("blocks", 2, "shortcut"), None, r"blocks\[2\].shortcut is False"),
        (("blocks", 2), 7, r"blocks\[2\] is 7; names and values"),
        (
            ("blocks", 2, "mobile_inverted_conv"),
            {"name": "ZeroLayer"},
            r"blocks\[2\].mobile_inverted_conv.name is 'ZeroLayer'",
        ),
        (
            ("first_conv", "out_channels"),
            24,
            "first_conv.out_channels is 24; every network of this space has 16",
        ),
        (("blocks",), [], "blocks has 0 entries"),
    ],
)
def test_mistakes_in_a_config_are_named_by_their_place(
    path: tuple, value: object, message: str
) -> None:
    config = json.loads(net_config_text(1.0, W10.read(SUBNET).arch))
    inner = config
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(UserError, match=message):
        W10.read(json.dumps(config))


def test_a_stage_of_one_block_or_of_five_is_refused() -> None:
    config = json.loads(net_config_text(1.0, OFA.extreme(-1)))
    with pytest.raises(UserError, match="blocks has 22 entries"):
        W10.read(json.dumps(config | {"blocks": [*config["blocks"], config["blocks"][-1]]}))
    short = json.loads(net_config_text(1.0, OFA.extreme(0)))["blocks"]
    with pytest.raises(UserError, match=r"blocks\[2\].mobile_inverted_conv.out_channels is 40"):
        W10.read(json.dumps(config | {"blocks": [*short[:2], *short[3:], short[-1]]}))
    with pytest.raises(UserError, match=r"blocks\[5\] is block 5 of stage 1"):
        W10.read(
            json.dumps(
                config
                | {"blocks": [*config["blocks"][:5], config["blocks"][4], *config["blocks"][9:]]}
            )
        )


@pytest.mark.skipif(not RECORDS.is_file(), reason="no recorded results here")
def test_recorded_networks_are_read() -> None:
    with RECORDS.open() as file:
        rows = list(csv.DictReader(file))[::100]
    for row in rows:
        lists = {name: [int(value) for value in row[name].split()] for name in ("ks", "e", "d")}
        found = W10.read(json.dumps(lists | {"r": int(row["r"])}))
        assert (
            OFA.contains(found.arch)
            and found.size == int(row["r"])
            and found.arch == ofa_arch(**lists)
        )
