"""How well a network does what it is for: the share of images it gets right, or of the variance it
explains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith._internal.modes import modes_kept
from archsmith._internal.statistics import Z95, wilson
from archsmith.errors import EvaluationFailed

# of outputs and what was wanted, batch by batch
Judge = Callable[[Iterable[tuple[Tensor, Tensor]]], dict[str, Any]]
_EMPTY = "nothing to evaluate: the part of the data has no images"


def classified(pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Of logits (B, classes) and class indices (B,): "accuracy", "balanced_accuracy" (mean recall
    over the classes that occur), "per_class_recall" (None where a class does not occur),
    "confusion" (row: true class, column: predicted; counts), "loss" (mean cross-entropy), "n",
    "interval" (95 % Wilson of the accuracy).

    Raises EvaluationFailed where an output is not finite or there are no images.
    """
    confusion: Tensor | None = None
    loss: Tensor | float = 0.0
    for logits, y in pairs:
        classes = logits.shape[1]
        counts = torch.bincount(y * classes + logits.argmax(1), minlength=classes * classes)
        confusion = counts if confusion is None else confusion + counts
        loss = loss + F.cross_entropy(logits, y, reduction="sum").double()
    if confusion is None:
        raise EvaluationFailed(_EMPTY)
    total = _finite(float(loss))
    side = math.isqrt(len(confusion))
    return {**summary(confusion.view(side, side).tolist()), "loss": total / int(confusion.sum())}


def summary(confusion: list[list[int]]) -> dict[str, Any]:
    """Everything that follows from a confusion matrix (row: true class)."""
    totals = [sum(row) for row in confusion]
    hits = [row[i] for i, row in enumerate(confusion)]
    n, correct = sum(totals), sum(hits)
    recall = [hit / total if total else None for hit, total in zip(hits, totals, strict=True)]
    present = [r for r in recall if r is not None]
    return {
        "accuracy": correct / n,
        "balanced_accuracy": sum(present) / len(present),
        "per_class_recall": recall,
        "confusion": confusion,
        "n": n,
        "interval": list(wilson(correct, n)),
    }


def explained(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[dict[str, Any], Tensor]:
    """Of outputs and standardized wanted values, (B, ...): "accuracy", the share of the variance
    explained, 1 - sum of squared errors / sum of squares (0: no better than the mean of the
    training images, below 0: worse), "loss" (mean squared error), "n", "interval": 95 %, of a ratio
    of sums over independent images (Cochran 1977, equation 2.45). Besides it the mean squared error
    of each output.

    Raises EvaluationFailed where an output is not finite or there are no images.
    """
    wrong: list[Tensor] = []
    whole: list[Tensor] = []
    squares: Tensor | None = None
    for outputs, y in pairs:
        error = (outputs.double() - y.double()).square()
        wrong.append(error.flatten(1).sum(1))
        whole.append(y.double().square().flatten(1).sum(1))
        squares = error.sum(0) if squares is None else squares + error.sum(0)
    if squares is None:
        raise EvaluationFailed(_EMPTY)
    lost, there = torch.cat(wrong), torch.cat(whole)
    n, total = len(lost), _finite(float(lost.sum()))
    power = max(float(there.sum()), 1e-12)
    ratio = total / power
    half = Z95 * float((lost - ratio * there).std()) * math.sqrt(n) / power if n > 1 else math.inf
    low, high = max(-1e6, 1 - ratio - half), min(1.0, 1 - ratio + half)
    measures = {
        "accuracy": 1 - ratio,
        "loss": total / (n * squares.numel()),
        "n": n,
        "interval": [low, high],
    }
    return measures, (squares / n).cpu()


@torch.inference_mode()
def evaluate(
    module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], judge: Judge = classified
) -> dict[str, Any]:
    """Runs the module in eval mode over batches x (B, C, H, W), y, and restores its modes: what
    `judge` makes of its outputs, in float32, and y; by default `classified`.

    Raises EvaluationFailed where an output is not finite or there are no images.
    """

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in batches:
            yield module(x).float(), y

    with modes_kept(module):
        module.eval()
        return judge(pairs())


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise EvaluationFailed(f"the network's outputs are not finite (summed loss {loss})")
    return loss
