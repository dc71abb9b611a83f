"""Whether left and right matter: does a picture swapped left for right still look like its class?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from archsmith.data.parts import Part

_MOST, _FEWEST, _SIDE = 5000, 100, 12


def left_and_right(train: Part, val: Part, names: Sequence[str]) -> dict[str, Any]:
    """{"suggested": bool, "why": str} for flipping training images.

    Grey images of classes that are all single letters or digits (`names`) are taken for characters. Otherwise a linear
    classifier (ridge regression on 12 x 12 pixels, at most 5,000 images) judges validation images as they are and mirrored:
    where mirroring costs it clearly more than chance could, images are not flipped. What it cannot see goes unnoticed.
    """
    if train.itself:
        return {"suggested": True, "why": "a mirrored image is as good an image to give again"}
    if names and all(len(name) == 1 and name.isalnum() for name in names):
        return {"suggested": False, "why": "grey images of single letters or digits: left and right matter"}
    if len(train) < _FEWEST or len(val) < _FEWEST // 2:
        return {"suggested": True, "why": "too few images to test whether left and right matter; flipped, as usual for photos"}
    x, y = _features(train, False)
    targets = F.one_hot(y, train.classes).double()
    targets -= targets.mean(dim=0)
    gram = x.T @ x
    gram += 0.01 * gram.trace() / len(gram) * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, x.T @ targets)
    right = []
    for flipped in (False, True):
        features, labels = _features(val, flipped)
        right.append((features @ weights).argmax(dim=1) == labels)
    plain, mirrored = (float(hits.double().mean()) for hits in right)
    changed = (right[0] != right[1]).double().sum().item() ** 0.5 / len(right[0])  # standard error of the paired difference
    matters = plain - mirrored > max(0.03, 3 * changed)
    why = f"a linear classifier is right on {plain:.0%} of validation images and on {mirrored:.0%} of them mirrored"
    return {"suggested": not matters, "why": f"{why}: left and right {'matter' if matters else 'may be swapped'}"}


def _features(part: Part, flipped: bool) -> tuple[torch.Tensor, torch.Tensor]:
    picked = np.unique(np.linspace(0, len(part) - 1, min(len(part), _MOST if part.resident else _MOST // 5)).astype(np.int64))
    images = torch.cat([part.images(picked[first : first + 500]) for first in range(0, len(picked), 500)])
    small = F.adaptive_avg_pool2d(images.float(), min(_SIDE, images.shape[-1]))
    small = (small.flip(3) if flipped else small).flatten(1).double()
    small = small - small.mean(dim=1, keepdim=True)
    return small / (small.norm(dim=1, keepdim=True) + 1e-6), torch.from_numpy(part.labels[picked])
