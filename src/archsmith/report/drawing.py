"""The chosen network as a drawing: a slab for each layer, as wide as its channels are many, as tall as its image is large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from archsmith.report import text

WIDTH, HEIGHT = 132, 44  # of one row's drawing, in CSS pixels


def network(ship: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of the drawing, from input to output; None where the network was not shipped yet."""
    layers = [layer for layer in ship.get("layers") or () if layer.get("out")]
    if not layers:
        return None
    widest = max(_channels(side) for layer in layers for side in (layer["in"], layer["out"]))
    tallest = max(_side(side) for layer in layers for side in (layer["in"], layer["out"]))
    totals = {cost: sum(layer.get(cost) or 0 for layer in layers) for cost in ("params", "macs")}
    rows, stage, tint = [_end("input", layers[0]["in"], widest, tallest, first=True)], None, 0
    for layer in layers:
        opens = layer.get("stage") != stage
        tint, stage = tint + opens, layer.get("stage")
        shares = {f"{cost}_share": (layer.get(cost) or 0) / totals[cost] if totals[cost] else 0.0 for cost in totals}
        rows.append(
            {
                "stage": stage if opens else "",
                "tinted": tint % 2 == 1,
                "opens": opens,
                "text": layer.get("text") or layer.get("name"),
                "shape": text.shape(layer["out"]),
                "halved": _side(layer["out"]) < _side(layer["in"]) and len(layer["out"]) == 3,
                "svg": slab(layer["out"], widest, tallest),
                "params": layer.get("params"),
                "macs": layer.get("macs"),
                **shares,
            }
        )
    rows[-1]["svg"] = slab(layers[-1]["out"], widest, tallest, last=True)
    return rows


def _end(stage: str, shape: Sequence[int], widest: int, tallest: int, *, first: bool) -> dict[str, Any]:
    drawn = slab(shape, widest, tallest, first=first, kind="ends")
    row = {"stage": stage, "tinted": False, "opens": True, "text": "image", "shape": text.shape(shape), "halved": False}
    return {**row, "svg": drawn, "params": None, "macs": None, "params_share": 0.0, "macs_share": 0.0}


def _channels(shape: Sequence[int]) -> int:
    return int(shape[0]) if len(shape) != 2 else int(shape[1])  # (C, H, W), (C,) or (tokens, C)


def _side(shape: Sequence[int]) -> int:
    return int(max(shape[1:])) if len(shape) == 3 else 1


def slab(
    shape: Sequence[int], widest: int, tallest: int, *, first: bool = False, last: bool = False, kind: str = "slab"
) -> Markup:
    """One layer's output. Width goes with the square root of the channels, height with the logarithm of the image side."""
    width = 10 + (WIDTH - 14) * math.sqrt(_channels(shape) / widest)
    height = 5 + (HEIGHT - 17) * (math.log2(_side(shape)) / math.log2(tallest) if tallest > 1 else 0.0)
    left, top = (WIDTH - width) / 2, (HEIGHT - height) / 2
    upper, lower = HEIGHT / 2 if first else 0, HEIGHT / 2 if last else HEIGHT
    return Markup(
        '<svg class="layer" width="{w}" height="{h}" viewBox="0 0 {w} {h}" aria-hidden="true">'
        '<line x1="{m}" x2="{m}" y1="{u:.1f}" y2="{l:.1f}" class="flow"/>'
        '<rect x="{x:.1f}" y="{y:.1f}" width="{a:.1f}" height="{b:.1f}" rx="2.5" class="{kind}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, m=WIDTH / 2, u=upper, l=lower, x=left, y=top, a=width, b=height, kind=kind)
