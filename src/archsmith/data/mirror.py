"""Whether left and right matter: would it harm to swap them in half of the training images?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from archsmith.data.mirror_words import sided
from archsmith.data.parts import Part
from archsmith.errors import UserError, did_you_mean

FLIPS = ("auto", "yes", "no")
_MOST, _FEWEST = 1200, 80  # images for the test
_FOLDS = 4
_SIDE, _COARSE, _PATCH, _FILTERS, _RIDGE = 28, 12, 9, 128, 0.05


def left_and_right(
    train: Part, val: Part, names: Sequence[str], *, asked: str = "auto"
) -> dict[str, Any]:
    """{"suggested": bool, "why": str} for flipping training images; names: of the classes, none
    where there are none.

    Never where a class name says that left and right differ, nor for characters (grey images of
    single letters or digits). Otherwise a quick classifier (ridge regression, four folds of at most
    1,200 training and validation images) is fitted with mirrored copies of its images and without:
    where the copies cost it clearly more than chance could, images are not flipped. What it sees:
    the pixels at 12 x 12, the colors at 6 x 6, and how strongly patches of the images occur
    anywhere in one.
    """
    if asked not in FLIPS:
        raise UserError(
            f"flip '{asked}' is not one of {', '.join(FLIPS)}{did_you_mean(asked, FLIPS)}."
        )
    if asked != "auto":
        return {"suggested": asked == "yes", "why": "as asked"}
    if train.itself:
        return {"suggested": True, "why": "a mirrored image is as good an image to give again"}
    if why := sided(names):
        return {"suggested": False, "why": f"{why}: left and right matter"}
    images, labels = _looked_at(train, val)
    if names and images.shape[1] == 1 and all(len(name) == 1 and name.isalnum() for name in names):
        return {
            "suggested": False,
            "why": "grey images of single letters or digits: left and right matter",
        }
    if len(images) < _FEWEST:
        return {
            "suggested": True,
            "why": "too few images to test whether left and right matter; "
            "flipped, as usual for photos",
        }
    plain, copied = _hits(images, labels, train.classes)
    alone, together = float(plain.double().mean()), float(copied.double().mean())
    # standard error of the paired difference
    chance = (plain != copied).double().sum().item() ** 0.5 / len(plain)
    matters = alone - together > max(0.03, 3 * chance)
    why = (
        f"a quick classifier is right on {alone:.0%} of the images, fitted with mirrored copies "
        f"too on {together:.0%}"
    )
    return {
        "suggested": not matters,
        "why": f"{why}: left and right {'matter' if matters else 'may be swapped'}",
    }


def _looked_at(train: Part, val: Part) -> tuple[Tensor, Tensor]:
    """(n, C, S, S) in 0..255, S up to 28, and their labels: spread over both parts."""
    most = _MOST if train.resident else _MOST // 4  # those must be decoded
    pictures, labels = [], []
    for part in (train, val):
        share = max(1, most * len(part) // max(1, len(train) + len(val)))
        picked = np.unique(np.linspace(0, len(part) - 1, min(len(part), share)).astype(np.int64))
        for first in range(0, len(picked), 250):
            images = part.images(picked[first : first + 250]).cpu().float()
            pictures.append(F.adaptive_avg_pool2d(images, min(_SIDE, images.shape[-1])))
        labels.append(torch.from_numpy(part.labels[picked]))
    return torch.cat(pictures), torch.cat(labels)


def _hits(images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """(n,) bool each: whether an image is told by a classifier that was fitted without it, and with
    mirrored copies besides."""
    filters = _filters(_outlined(images))
    seen, mirrored = _features(images, filters), _features(images.flip(3), filters)
    center, spread = seen.mean(dim=0), seen.std(dim=0) + 1e-6
    seen, mirrored = (seen - center) / spread, (mirrored - center) / spread
    targets = F.one_hot(labels, classes).double()
    targets -= targets.mean(dim=0)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    sums = [(x.T @ x, x.T @ targets) for x in (seen, mirrored)]
    plain, copied = (torch.zeros(len(images), dtype=torch.bool) for _ in range(2))
    for held in order.tensor_split(_FOLDS):
        rest = [
            (g - x[held].T @ x[held], c - x[held].T @ targets[held])
            for (g, c), x in zip(sums, (seen, mirrored), strict=True)
        ]
        plain[held] = (seen[held] @ _ridge(*rest[0])).argmax(dim=1) == labels[held]
        both = rest[0][0] + rest[1][0], rest[0][1] + rest[1][1]
        copied[held] = (seen[held] @ _ridge(*both)).argmax(dim=1) == labels[held]
    return plain, copied


def _ridge(gram: Tensor, cross: Tensor) -> Tensor:
    """Weights (d, k) from x' x (d, d) and x' y (d, k)."""
    eye = torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + _RIDGE * gram.trace() / len(gram) * eye, cross)


def _outlined(images: Tensor) -> Tensor:
    """(n, 1, S, S) in 0..1: how far each pixel is from the image's usual color, so that light on
    dark is dark on light."""
    usual = images.flatten(2).median(dim=2).values[:, :, None, None]
    away = (images - usual).square().sum(dim=1, keepdim=True).sqrt()
    return away / away.amax(dim=(2, 3), keepdim=True).clamp(min=1)


def _filters(outlines: Tensor) -> Tensor:
    """(K, 1, p, p): patches with contrast, and each mirrored so that no side is preferred."""
    length = outlines.shape[-1]
    side, count = min(_PATCH, length), 8 * _FILTERS
    generator = torch.Generator().manual_seed(1)
    places = torch.randint(0, length - side + 1, (count, 2), generator=generator).tolist()
    rows = torch.randint(0, len(outlines), (count,), generator=generator).tolist()
    patches = torch.stack(
        [outlines[i, :, a : a + side, b : b + side] for i, (a, b) in zip(rows, places, strict=True)]
    )
    patches = patches - patches.mean(dim=(1, 2, 3), keepdim=True)
    norm = patches.flatten(1).norm(dim=1)
    # of the half with more contrast
    best = norm.argsort(descending=True, stable=True)[: 4 * _FILTERS : 8]
    kept = patches[best] / norm[best].clamp(min=1e-6).view(-1, 1, 1, 1)
    return torch.cat([kept, kept.flip(3)])


def _features(images: Tensor, filters: Tensor) -> Tensor:
    """(n, d) double: the grey image at 12 x 12, the colors at 6 x 6, and of each filter the
    strongest and the mean answer to the outlines."""
    features = []
    for piece in images.split(250):
        answers = F.conv2d(_outlined(piece), filters)
        pooled = [answers.amax(dim=(2, 3)), answers.clamp(min=0).mean(dim=(2, 3))]
        seen = [(piece.mean(dim=1, keepdim=True), _COARSE)] + (
            [(piece, _COARSE // 2)] if piece.shape[1] == 3 else []
        )
        for pixels, side in seen:
            small = F.adaptive_avg_pool2d(pixels, min(side, pixels.shape[-1])).flatten(1)
            small = small - small.mean(dim=1, keepdim=True)
            pooled.append(small / (small.norm(dim=1, keepdim=True) + 1e-6))
        features.append(torch.cat(pooled, dim=1))
    return torch.cat(features).double()
