"""ProxylessNAS's chain space (Cai, Zhu and Han, ICLR 2019) as DDPNAS searches it: one of six
blocks, or none, in 21 places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from archsmith.errors import UserError
from archsmith.space import Architecture, make_divisible
from archsmith.spaces.catalog.entry import Format, Space
from archsmith.spaces.catalog.net_config import (
    Block,
    block_of,
    config_of,
    conv_layer,
    is_zero,
    linear_layer,
    outputs_of,
    zero_of,
)
from archsmith.spaces.catalog.plain import expect, mapping_of, section, values

KERNELS, EXPANSIONS = (3, 5, 7), (3, 6)
DEPTHS = (4, 4, 4, 4, 4, 1)
NONE = "none"
# widths of stem, first block, the six stages, features; strides of stem and stages
LARGE = ((32, 16, 24, 40, 80, 96, 192, 320, 1280), (2, 2, 2, 2, 1, 2, 1))
SMALL = ((16, 8, 12, 20, 40, 48, 96, 160, 320), (1, 1, 2, 2, 1, 2, 1))
_ACT = "relu6"
_FIRST = {"stride": 1, "act": _ACT, "se": False, "added": False}


def layout(large: bool) -> tuple[list[int], tuple[int, ...]]:
    """Widths and strides for images of more than 64 pixels, those of the paper times 1.3, or for
    smaller ones."""
    widths, strides = LARGE if large else SMALL
    return [make_divisible(width * 1.3) for width in widths] if large else list(widths), strides


def option(kernel: int, expand: int) -> str:
    """The name of a block."""
    return f"k{kernel}e{expand}"


def net_config_text(arch: Mapping[str, Any]) -> str:
    """The `net.config` of the network for images of more than 64 pixels and 1000 classes: JSON."""
    (stem, first, *stages, features), strides = layout(True)
    blocks = [config_of(Block(stem, first, **_FIRST, kernel=3, expand=1))]  # type: ignore[arg-type]
    for name, fixed in _places(first, stages, strides):
        chosen = arch[name]
        if chosen == NONE:
            blocks.append(zero_of(fixed["outputs"]))
        else:
            blocks.append(config_of(Block(**fixed, kernel=int(chosen[1]), expand=int(chosen[3]))))
    config = {
        "name": "ProxylessNASNets",
        "bn": {"momentum": 0.1, "eps": 0.001},
        "first_conv": conv_layer(3, stem, 3, strides[0], act=_ACT),
        "blocks": blocks,
        "feature_mix_layer": conv_layer(stages[-1], features, 1, 1, act=_ACT),
        "classifier": linear_layer(features, 1000, 0),
    }
    return json.dumps(config)


def net_config_arch(text: str) -> Architecture:
    """The network of a `net.config`; UserError naming the first entry that no network of this space
    has.

    A block that is left out is a ZeroLayer, or is not listed: then it is the last of its stage.
    """
    config = mapping_of(text)
    stem_width = section("first_conv", config.get("first_conv")).get("out_channels")
    (stem, first, *stages, features), strides = layout(stem_width != SMALL[0][0])
    expect("first_conv.out_channels", stem_width, stem)
    mixed = section("feature_mix_layer", config.get("feature_mix_layer"))
    expect("feature_mix_layer.out_channels", mixed.get("out_channels"), features)
    entries = values("blocks", config.get("blocks"), *range(7, 23))
    block_of(
        "blocks[0]", entries[0], _FIRST | {"inputs": stem, "outputs": first}, (3,), expansions=(1,)
    )
    known: dict[str, Any] = {}
    at = 1
    for name, fixed in _places(first, stages, strides):
        place = f"blocks[{at}]"
        if fixed["added"] and (
            at == len(entries) or _of_the_next(place, entries[at], fixed["outputs"])
        ):
            known[name] = NONE
            continue
        if at == len(entries):
            raise UserError(
                f"`blocks` ends before {name}, which changes the shape and cannot be left out"
            )
        if is_zero(place, entries[at]):
            if not fixed["added"]:
                raise UserError(
                    f"{place} is a ZeroLayer; {name} changes the shape and cannot be left out"
                )
            known[name] = NONE
        else:
            block = block_of(place, entries[at], fixed, KERNELS, expansions=EXPANSIONS)
            known[name] = option(block.kernel, block.expand)
        at += 1
    if at < len(entries):
        raise UserError(
            f"blocks[{at}] is one too many: stages have {', '.join(map(str, DEPTHS))} blocks"
        )
    return Architecture(known)


def _of_the_next(place: str, entry: Any, outputs: int) -> bool:
    """Whether a block that is listed belongs to a later stage."""
    return (
        not is_zero(place, entry)
        and isinstance(given := outputs_of(place, entry), int)
        and given > outputs
    )


def _places(
    first: int, stages: list[int], strides: tuple[int, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and what is no decision of each of the 21 blocks."""
    inputs = first
    for number, (width, depth, stride) in enumerate(
        zip(stages, DEPTHS, strides[1:], strict=True), start=1
    ):
        for i in range(1, depth + 1):
            fixed = {
                "inputs": inputs,
                "outputs": width,
                "stride": 1 if i > 1 else stride,
                "added": i > 1,
            }
            yield f"stage{number}.block{i}", {**fixed, "act": _ACT, "se": False}
            inputs = width


def _size(text: str) -> int | None:
    fields = mapping_of(text)
    return next(
        (size for name in ("img_size", "resolution") if isinstance(size := fields.get(name), int)),
        None,
    )


SPACE = Space(
    "proxyless",
    "archsmith.spaces.proxyless:proxyless",
    "MobileNetV2 blocks, one of six or none in each of 21 places (Cai et al., ICLR 2019)",
    "2.2e+17",
    images="photos of about 224 pixels, 32 and up",
    formats=(
        Format(
            "net.config of ProxylessNAS",
            net_config_text,
            net_config_arch,
            lambda text: (
                "blocks" in (fields := mapping_of(text)) and "final_expand_layer" not in fields
            ),
            size=_size,
        ),
    ),
    ensemble="archsmith-mobile",
)
