"""How well a classifier does: accuracy with its interval, balanced accuracy, recall per class, confusion, loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import EvaluationFailed
from archsmith.intervals import wilson


@torch.inference_mode()
def evaluate(module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Runs the module in eval mode over batches x (B, C, H, W), y (B,) class indices, and restores its modes.

    Returns "accuracy", "balanced_accuracy" (mean recall over the classes that occur), "per_class_recall" (None where a class
    does not occur), "confusion" (row: true class, column: predicted; counts), "loss" (mean cross-entropy), "n", "interval" (95
    % Wilson of the accuracy). Raises EvaluationFailed where an output is not finite or there are no images.
    """
    modes = {part: part.training for part in module.modules()}
    confusion: Tensor | None = None
    loss: Tensor | float = 0.0
    try:
        module.eval()
        for x, y in batches:
            logits = module(x).float()
            classes = logits.shape[1]
            counts = torch.bincount(y * classes + logits.argmax(1), minlength=classes * classes)
            confusion = counts if confusion is None else confusion + counts
            loss = loss + F.cross_entropy(logits, y, reduction="sum").double()
    finally:
        for part, mode in modes.items():
            part.training = mode
    if confusion is None:
        raise EvaluationFailed("nothing to evaluate: the part of the data has no images")
    total_loss = float(loss)
    if not math.isfinite(total_loss):
        raise EvaluationFailed(f"the network's outputs are not finite (summed loss {total_loss})")
    side = math.isqrt(len(confusion))
    return {**summary(confusion.view(side, side).tolist()), "loss": total_loss / int(confusion.sum())}


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
