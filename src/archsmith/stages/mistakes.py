"""A few test images that the shipped network takes for something else, small enough to stand in the
report."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from archsmith.data import chosen, ordered
from archsmith.run.records.ship import Mistake
from archsmith.stages.work import Work

_MOST, _SIDE = 12, 96  # pictures, and the longest side of one in pixels
_LOOKED_AT = 1024  # test images at most, spread over all of them


@torch.inference_mode()
def mistaken(work: Work, network: nn.Module) -> list[Mistake]:
    """The mistakes it is surest of; none for other tasks."""
    if work.images.task.kind != "classification":
        return []
    whole, names = work.images.parts["test"], work.images.classes
    part = chosen(whole, np.arange(0, len(whole), -(-len(whole) // _LOOKED_AT)))
    rows: list[tuple[float, int, int, int]] = []
    place = 0
    for x, y in ordered(part, 256, work.images, work.device, workers=work.workers):
        shares, answers = network(x).float().softmax(1).max(1)
        wrong = (answers != y).nonzero().flatten().tolist()
        rows += [(float(shares[i]), place + i, int(y[i]), int(answers[i])) for i in wrong]
        place += len(y)
    surest = sorted(rows, key=lambda row: (-row[0], row[1]))[:_MOST]
    return [
        Mistake(
            true=names[true],
            predicted=names[answer],
            share=round(share, 4),
            png=_png(part.images([place])[0].numpy()),
        )
        for share, place, true, answer in surest
    ]


def _png(pixels: np.ndarray) -> str:
    """Of uint8 (C, H, W)."""
    picture = Image.fromarray(
        pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    )
    picture.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
