"""The chosen network as a drawing: a slab for each layer, as wide as its channels are many, as tall
as its image is large."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from archsmith.report import text
from archsmith.run.records.ship import Layer

WIDTH, HEIGHT = 132, 36  # of one row's drawing, in CSS pixels


def network(traced: Sequence[Layer]) -> list[dict[str, Any]] | None:
    """The rows of the drawing, from input to output; None where no layers are known, or not yet."""
    layers = [layer for layer in traced if layer.out]
    if not layers:
        return None
    widest = max(_channels(side) for layer in layers for side in (layer.inputs, layer.out))
    tallest = max(_side(side) for layer in layers for side in (layer.inputs, layer.out))
    params, macs = sum(layer.params for layer in layers), sum(layer.macs for layer in layers)
    rows = [_input(layers[0].inputs, widest, tallest)]
    stage: str | None = None
    tint = 0
    for layer in layers:
        opens = layer.stage != stage
        tint, stage = tint + opens, layer.stage
        rows.append(
            {
                "stage": stage if opens else "",
                "tinted": tint % 2 == 1,
                "opens": opens,
                "text": _words(layer),
                "shape": text.shape(layer.out),
                "halved": 1 < _side(layer.out) < _side(layer.inputs)
                and "stride" not in _words(layer),
                "svg": slab(layer.out, widest, tallest),
                "params": layer.params,
                "macs": layer.macs,
                "params_share": layer.params / params if params else 0.0,
                "macs_share": layer.macs / macs if macs else 0.0,
            }
        )
    return rows


def _input(shape: Sequence[int], widest: int, tallest: int) -> dict[str, Any]:
    row = {
        "stage": "input",
        "tinted": False,
        "opens": True,
        "text": "image",
        "shape": text.shape(shape),
        "halved": False,
    }
    drawn = slab(shape, widest, tallest, kind="ends")
    return {
        **row,
        "svg": drawn,
        "params": None,
        "macs": None,
        "params_share": 0.0,
        "macs_share": 0.0,
    }


def _words(layer: Layer) -> str:
    """What a layer is, with real multiplication signs; its channels stand in the output's shape, so
    not here."""
    words = re.sub(r", \d+ channels", "", layer.text or layer.name)
    return re.sub(r"(?<=\d)x(?=\d)", "×", words)


def _channels(shape: Sequence[int]) -> int:
    return int(shape[0]) if len(shape) != 2 else int(shape[1])  # (C, H, W), (C,) or (tokens, C)


def _side(shape: Sequence[int]) -> int:
    return int(max(shape[1:])) if len(shape) == 3 else 1


def slab(shape: Sequence[int], widest: int, tallest: int, kind: str = "slab") -> Markup:
    """One layer's output. Width goes with the square root of the channels, height with the
    logarithm of the image side."""
    width = 10 + (WIDTH - 14) * math.sqrt(_channels(shape) / widest)
    height = 5 + (HEIGHT - 9) * (
        math.log2(_side(shape)) / math.log2(tallest) if tallest > 1 else 0.0
    )
    left, top = (WIDTH - width) / 2, (HEIGHT - height) / 2
    return Markup(
        '<svg class="layer" width="{w}" height="{h}" viewBox="0 0 {w} {h}" aria-hidden="true">'
        '<rect x="{x:.1f}" y="{y:.1f}" width="{a:.1f}" height="{b:.1f}" rx="2.5" '
        'class="{kind}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, x=left, y=top, a=width, b=height, kind=kind)
