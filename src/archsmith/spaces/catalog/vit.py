"""Vision Transformers: the AutoFormer spaces (Chen et al., ICCV 2021) and a small one, and the
texts of their sub-networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from archsmith.space import Architecture
from archsmith.spaces.catalog.entry import Format, Space
from archsmith.spaces.catalog.plain import among, expect, mapping_of, section, values, yaml_of


@dataclass(frozen=True)
class Transformer:
    """What may be chosen: one embedding width and depth, heads and MLP ratio per block. `reach`: of
    relative positions."""

    embedding: tuple[int, ...]
    depth: tuple[int, ...]
    heads: tuple[int, ...]
    ratio: tuple[float, ...]
    head_width: int = 64
    patch: int = 16
    class_token: bool = True
    reach: int | None = 14


# Depth and heads as in AutoFormer's supernets; PreNAS has Small at depth 13 and 14:
# restrict({"depth": (13, 14)}).
TINY = Transformer((192, 216, 240), (12, 13, 14), (3, 4), (3.5, 4))
SMALL = Transformer((320, 384, 448), (12, 13, 14), (5, 6, 7), (3, 3.5, 4))
BASE = Transformer((528, 576, 624), (14, 15, 16), (9, 10), (3, 3.5, 4))
NANO = Transformer(
    (32, 48, 64), (2, 3, 4), (1, 2, 3, 4), (1, 2, 3), head_width=16, class_token=False, reach=None
)


def _decided(
    of: Transformer, depth: Any, width: tuple[str, Any], lists: Mapping[str, tuple[str, Any]]
) -> Architecture:
    """From depth, and (place, value) of the width and of the lists of heads and ratios."""
    count = among("the depth", depth, of.depth)
    known: dict[str, Any] = {"embedding": among(*width, of.embedding), "depth": count}
    for name, options in (("heads", of.heads), ("ratio", of.ratio)):
        place, given = lists[name]
        for i, value in enumerate(values(place, given, count)):
            known[f"block{i + 1}.{name}"] = among(f"{place}[{i}]", value, options)
    return Architecture(known)


def _lists(arch: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Heads and ratios of the blocks that there are."""
    blocks = range(1, arch["depth"] + 1)
    return [arch[f"block{i}.heads"] for i in blocks], [arch[f"block{i}.ratio"] for i in blocks]


def config_text(arch: Mapping[str, Any]) -> str:
    """The configuration that AutoFormer's supernet is given: `layer_num`, and a list for each of
    the others, as JSON."""
    (heads, ratios), depth = _lists(arch), arch["depth"]
    return json.dumps(
        {
            "layer_num": depth,
            "embed_dim": [arch["embedding"]] * depth,
            "num_heads": heads,
            "mlp_ratio": ratios,
        }
    )


def config_arch(of: Transformer, text: str) -> Architecture:
    """The network of such a configuration; UserError naming the place where the space holds
    none."""
    fields = mapping_of(text)
    depth = among("layer_num", fields.get("layer_num"), of.depth)
    widths = values("embed_dim", fields.get("embed_dim"), depth)
    for i, width in enumerate(widths):
        expect(f"embed_dim[{i}]", width, widths[0])
    lists = {
        "heads": ("num_heads", fields.get("num_heads")),
        "ratio": ("mlp_ratio", fields.get("mlp_ratio")),
    }
    return _decided(of, depth, ("embed_dim", widths[0]), lists)


def yaml_text(arch: Mapping[str, Any]) -> str:
    """The section RETRAIN of AutoFormer's files in YAML, which names a sub-network."""
    heads, ratios = _lists(arch)
    lines = ["RETRAIN:", "  MLP_RATIO:", *(f"    - {ratio}" for ratio in ratios)]
    lines += ["  NUM_HEADS:", *(f"    - {count}" for count in heads)]
    return "\n".join([*lines, f"  DEPTH: {arch['depth']}", f"  EMBED_DIM: {arch['embedding']}", ""])


def yaml_arch(of: Transformer, text: str) -> Architecture:
    """The network of the section RETRAIN; what other sections say is not read. UserError naming the
    place."""
    fields = section("RETRAIN", yaml_of(text).get("RETRAIN"))
    lists = {
        "heads": ("RETRAIN.NUM_HEADS", fields.get("NUM_HEADS")),
        "ratio": ("RETRAIN.MLP_RATIO", fields.get("MLP_RATIO")),
    }
    depth = among("RETRAIN.DEPTH", fields.get("DEPTH"), of.depth)
    return _decided(of, depth, ("RETRAIN.EMBED_DIM", fields.get("EMBED_DIM")), lists)


def _formats(of: Transformer) -> tuple[Format, ...]:
    return (
        Format(
            "configuration of AutoFormer (layer_num, embed_dim, num_heads, mlp_ratio)",
            config_text,
            partial(config_arch, of),
            lambda text: "layer_num" in mapping_of(text),
        ),
        Format(
            "YAML of AutoFormer (RETRAIN)",
            yaml_text,
            partial(yaml_arch, of),
            lambda text: "RETRAIN:" in text,
        ),
    )


AUTOFORMER_TINY = Space(
    "autoformer-tiny",
    "archsmith.spaces.vit:autoformer_tiny",
    "Vision Transformers of 5 to 9 M parameters (Chen et al., ICCV 2021)",
    "1.1e+09",
    images="photos of 224 pixels, 16 and up",
    formats=_formats(TINY),
    ensemble="archsmith-vit",
)
AUTOFORMER_SMALL = replace(
    AUTOFORMER_TINY,
    name="autoformer-small",
    network="archsmith.spaces.vit:autoformer_small",
    what="the same of 14 to 34 M parameters",
    networks="7.7e+13",
    formats=_formats(SMALL),
)
AUTOFORMER_BASE = replace(
    AUTOFORMER_TINY,
    name="autoformer-base",
    network="archsmith.spaces.vit:autoformer_base",
    what="the same of 42 to 75 M parameters",
    networks="1e+13",
    formats=_formats(BASE),
)
VIT_NANO = replace(
    AUTOFORMER_TINY,
    name="vit-nano",
    network="archsmith.spaces.vit:vit_nano",
    what="a small Vision Transformer, trainable on a CPU",
    networks="67,824",
    images="small images, 4 pixels and up",
    formats=_formats(NANO),
)
