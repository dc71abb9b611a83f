"""Once-For-All's MobileNetV3 space (Cai et al., ICLR 2020): kernel and expansion of 20 blocks,
depth of five stages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from archsmith.errors import UserError
from archsmith.space import Architecture, Condition, Gate, SearchSpace, make_divisible
from archsmith.spaces.catalog.entry import Format, Space
from archsmith.spaces.catalog.net_config import (
    Block,
    block_of,
    config_of,
    conv_layer,
    linear_layer,
    outputs_of,
)
from archsmith.spaces.catalog.plain import among, expect, mapping_of, section, values

OFA_KERNELS, OFA_EXPANSIONS, OFA_DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
_OFA_SLOTS = [(stage, block) for stage in range(1, 6) for block in range(1, 5)]


def _ofa() -> SearchSpace:
    options: dict[str, tuple] = {}
    conditions: dict[str, Condition] = {}
    for stage, block in _OFA_SLOTS:
        options.setdefault(f"stage{stage}.depth", OFA_DEPTHS)
        for what, sizes in (("expand", OFA_EXPANSIONS), ("kernel", OFA_KERNELS)):
            options[f"stage{stage}.block{block}.{what}"] = sizes
            if block > OFA_DEPTHS[0]:
                deep = frozenset((depth,) for depth in OFA_DEPTHS if depth >= block)
                conditions[f"stage{stage}.block{block}.{what}"] = (
                    (Gate((f"stage{stage}.depth",), deep),),
                )
    return SearchSpace(options, conditions)


OFA = _ofa()  # Cai et al., ICLR 2020: the decisions of spaces/mobilenet.py, 2.2e19 networks


def ofa_settings(arch: Mapping[str, Any]) -> dict[str, list[int]]:
    """The publishers' lists `ks` and `e` (20 slots, 0 in those beyond a stage's depth) and `d` (5
    stages)."""
    names = [f"stage{stage}.block{block}" for stage, block in _OFA_SLOTS]
    return {
        "ks": [arch.get(f"{name}.kernel", 0) for name in names],
        "e": [arch.get(f"{name}.expand", 0) for name in names],
        "d": [arch[f"stage{stage}.depth"] for stage in range(1, 6)],
    }


def ofa_arch(ks: Sequence[int], e: Sequence[int], d: Sequence[int]) -> Architecture:
    """The network of the publishers' lists; slots beyond a stage's depth are not read. UserError
    where it is none."""
    _lengths(ks=(ks, 20), e=(e, 20), d=(d, 5))
    known: dict[str, Any] = {f"stage{stage}.depth": depth for stage, depth in enumerate(d, start=1)}
    for (stage, block), kernel, expand in zip(_OFA_SLOTS, ks, e, strict=True):
        if block <= d[stage - 1]:
            known |= {
                f"stage{stage}.block{block}.expand": expand,
                f"stage{stage}.block{block}.kernel": kernel,
            }
    return OFA.check(Architecture({name: known[name] for name in OFA if name in known}))


def _lengths(**lists: tuple[Sequence[int], int]) -> None:
    for name, (entries, length) in lists.items():
        if len(entries) != length:
            raise UserError(
                f"{name} has {len(entries)} entries; a Once-For-All network has {length}"
            )


# -- the texts of the publishers -----------------------------------------------------------------

# of the stem, five stages, the two layers of the head; times the width
WIDTHS = (16, 24, 40, 80, 112, 160, 960, 1280)
STRIDES, EXCITED, ACTIVATIONS = (
    (2, 2, 2, 1, 2),
    (False, True, False, True, True),
    ("relu", "relu", *3 * ("h_swish",)),
)
# in the publishers' lists: input size, width; `wid` is None there
_BESIDE = ("r", "w", "wid", "img_size")


def channels(width: float) -> list[int]:
    """WIDTHS times a width, in multiples of eight."""
    return [make_divisible(c * width) for c in WIDTHS]


def subnet_text(width: float, arch: Mapping[str, Any], *, live: bool = True) -> str:
    """The lists `ks`, `e`, `d` as JSON: of `live` blocks only, as in Neural Architecture Transfer,
    or of all 20 slots."""
    settings: dict[str, Any] = dict(ofa_settings(arch))
    if live:
        settings |= {name: [value for value in settings[name] if value] for name in ("ks", "e")}
    return json.dumps({**settings, "w": width})


def subnet_arch(width: float, text: str) -> Architecture:
    """The network of the publishers' lists, of live blocks only or of 20 slots; UserError where it
    is none of this width."""
    fields = mapping_of(text)
    if unknown := [name for name in fields if name not in ("ks", "e", "d", *_BESIDE)]:
        raise UserError(
            f"'{unknown[0]}': networks of this space have ks, e and d, and nothing of that name"
        )
    if fields.get("w") is not None:
        expect("w", fields["w"], width)
    depths = [
        among(f"d[{i}]", value, OFA_DEPTHS)
        for i, value in enumerate(values("d", fields.get("d"), 5))
    ]
    count, slots = sum(depths), [block <= depths[stage - 1] for stage, block in _OFA_SLOTS]
    full = {}
    for name, options in (("ks", OFA_KERNELS), ("e", OFA_EXPANSIONS)):
        given = values(name, fields.get(name), count, len(slots))
        rest = iter(
            range(count) if len(given) == count else [i for i, there in enumerate(slots) if there]
        )
        places = [next(rest) if there else None for there in slots]
        full[name] = [0 if i is None else among(f"{name}[{i}]", given[i], options) for i in places]
    return ofa_arch(full["ks"], full["e"], depths)


def net_config_text(width: float, arch: Mapping[str, Any]) -> str:
    """The `net.config` of the network for 1000 classes: JSON, as MobileNetV3 of Once-For-All is
    built from."""
    stem, *_, features, mixed = channels(width)
    fixed = Block(stem, stem, 1, "relu", se=False, added=True, kernel=3, expand=1)
    blocks = [fixed]
    for stage in range(1, 6):
        for block in range(1, arch[f"stage{stage}.depth"] + 1):
            name = f"stage{stage}.block{block}"
            chosen = {"kernel": arch[f"{name}.kernel"], "expand": arch[f"{name}.expand"]}
            blocks.append(Block(**_fixed(width, stage, block), **chosen))
    config = {
        "name": "MobileNetV3",
        "bn": {"momentum": 0.1, "eps": 1e-05},
        "first_conv": conv_layer(3, stem, 3, 2, act="h_swish"),
        "blocks": [config_of(block) for block in blocks],
        "final_expand_layer": conv_layer(blocks[-1].outputs, features, 1, 1, act="h_swish"),
        "feature_mix_layer": conv_layer(features, mixed, 1, 1, act="h_swish", norm=False),
        "classifier": linear_layer(mixed, 1000, 0.1),
    }
    return json.dumps(config)


def net_config_arch(width: float, text: str) -> Architecture:
    """The network of a `net.config`; UserError naming the first entry that no network of this width
    has."""
    config = mapping_of(text)
    stem, *stages, features, mixed = channels(width)
    for name, outputs in (
        ("first_conv", stem),
        ("final_expand_layer", features),
        ("feature_mix_layer", mixed),
    ):
        expect(f"{name}.out_channels", section(name, config.get(name)).get("out_channels"), outputs)
    entries = values("blocks", config.get("blocks"), *range(11, 22))
    block_of(
        "blocks[0]", entries[0], _FIRST | {"inputs": stem, "outputs": stem}, (3,), expansions=(1,)
    )
    ks, e, depths = [0] * 20, [0] * 20, [0] * 5
    stage = 1
    for i, entry in enumerate(entries[1:], start=1):
        place = f"blocks[{i}]"
        given = outputs_of(place, entry)
        if stage < 5 and depths[stage - 1] >= OFA_DEPTHS[0] and given == stages[stage]:
            stage += 1
        depths[stage - 1] += 1
        if depths[stage - 1] > OFA_DEPTHS[-1]:
            raise UserError(
                f"{place} is block {depths[stage - 1]} of stage {stage}; a stage has 2 to 4, of "
                f"{stages[stage - 1]} channels"
            )
        block = block_of(
            place,
            entry,
            _fixed(width, stage, depths[stage - 1]),
            OFA_KERNELS,
            expansions=OFA_EXPANSIONS,
        )
        slot = 4 * (stage - 1) + depths[stage - 1] - 1
        ks[slot], e[slot] = block.kernel, block.expand
    if min(depths) < OFA_DEPTHS[0]:
        raise UserError(
            f"the stages of `blocks` have {', '.join(map(str, depths))} blocks; each "
            f"of the five has 2 to 4"
        )
    return ofa_arch(ks, e, depths)


_FIRST = {"stride": 1, "act": "relu", "se": False, "added": True}


def _fixed(width: float, stage: int, block: int) -> dict[str, Any]:
    """What is no decision of a block."""
    widths, first = channels(width), block == 1
    return {
        "inputs": widths[stage - 1] if first else widths[stage],
        "outputs": widths[stage],
        "stride": STRIDES[stage - 1] if first else 1,
        "act": ACTIVATIONS[stage - 1],
        "se": EXCITED[stage - 1],
        "added": not first,
    }


def _size(text: str) -> int | None:
    fields = mapping_of(text)
    return next(
        (
            size
            for name in ("r", "img_size", "resolution")
            if isinstance(size := fields.get(name), int)
        ),
        None,
    )


def _listed(text: str) -> int | None:
    """How many kernels the lists of a text have; None where it has no such lists."""
    fields = mapping_of(text)
    return (
        len(fields["ks"])
        if all(isinstance(fields.get(name), list | tuple) for name in ("ks", "e", "d"))
        else None
    )


def _formats(width: float) -> tuple[Format, ...]:
    return (
        Format(
            "net.subnet (ks, e, d) of Once-For-All and Neural Architecture Transfer",
            partial(subnet_text, width),
            partial(subnet_arch, width),
            lambda text: (
                (count := _listed(text)) is not None
                and (count != 20 or mapping_of(text)["d"] == [4] * 5)
            ),
            size=_size,
        ),
        Format(
            "ks, e, d of Once-For-All in 20 slots",
            partial(subnet_text, width, live=False),
            partial(subnet_arch, width),
            lambda text: _listed(text) == 20,
            size=_size,
        ),
        Format(
            "net.config of Once-For-All",
            partial(net_config_text, width),
            partial(net_config_arch, width),
            lambda text: {"blocks", "final_expand_layer"} <= mapping_of(text).keys(),
            size=_size,
        ),
    )


W10 = Space(
    "ofa-mobilenet-v3-w1.0",
    "archsmith.spaces.mobilenet:ofa_w10",
    "Once-For-All's MobileNetV3 of width 1.0 (Cai et al., ICLR 2020)",
    "2.2e+19",
    images="photos of about 224 pixels, 32 and up",
    formats=_formats(1.0),
    ensemble="archsmith-mobile",
)
W12 = replace(
    W10,
    name="ofa-mobilenet-v3-w1.2",
    network="archsmith.spaces.mobilenet:ofa_w12",
    what="the same of width 1.2",
    formats=_formats(1.2),
)
