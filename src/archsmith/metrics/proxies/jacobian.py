"""Scores from the gradient of the summed logits with respect to the images: jacob_cov and
EPE-NAS."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_K = 1e-5


def correlation(rows: Tensor) -> Tensor:
    """Correlation matrix of the rows, float64; EvaluationFailed where a row is constant."""
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all()):
        raise EvaluationFailed(
            "an image's gradient is constant, so it correlates with nothing: the network ignores it"
        )
    unit = centred / lengths
    return (unit @ unit.T).clamp(-1.0, 1.0)


def _jacob_cov(reading: Reading) -> float:
    """Mellor and others, arXiv 2006.04647 version 1: -sum over eigenvalues of ln(v + k) + 1 / (v +
    k), k = 1e-5."""
    values = torch.linalg.eigvalsh(correlation(reading.input_gradient)).clamp(min=0.0) + _K
    return float(-(values.log() + 1.0 / values).sum())


def _epe_nas(reading: Reading) -> float:
    """Lopes, Alirezazadeh, Alexandre (ICANN 2021): one correlation matrix per class, |sum of ln(|c|
    + k)| of each, summed.

    Above 100 classes: the mean absolute difference between those values of the classes, as many as
    there are.
    """
    rows, labels = reading.input_gradient, reading.batches[0][1]
    if labels.dim() != 1 or labels.is_floating_point():
        raise EvaluationFailed(
            "EPE-NAS compares the images of one class; it is for classification only"
        )
    sums = []
    for label in labels.unique().tolist():
        matrix = correlation(rows[labels == label])
        sums.append(float((matrix.abs() + _K).log().sum()))
    if reading.forward().logits.shape[1] <= 100:
        return math.fsum(abs(value) for value in sums)
    pairs = len(sums) * (len(sums) - 1) / 2
    return math.fsum(abs(a - b) for i, a in enumerate(sums) for b in sums[:i]) / max(1.0, pairs)


JACOB_COV = Proxy("jacob_cov", _jacob_cov, Needs(keep=frozenset({"input"})))
EPE_NAS = Proxy("epe_nas", _epe_nas, Needs(labels=True, keep=frozenset({"input"})))
