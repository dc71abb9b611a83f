"""Scores from the gradients of single images: NTK condition number and GradSign. The slowest ones:
a pass for every image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archsmith.metrics.proxies.reading import Needs, Proxy, Reading


def _ntk(reading: Reading) -> float:
    """Chen, Gong, Wang (ICLR 2021, TE-NAS), section 3.1.1: largest over smallest eigenvalue of J
    J', J = d sum(logits_n) / d w.

    One forward pass of the mini-batch in train mode, so its images share BatchNorm's statistics, as
    in the released code. inf where the smallest eigenvalue is not positive. Smaller is better.
    """
    logits = reading.forward().logits
    weights = reading.weights
    gram = torch.zeros(len(logits), len(logits), dtype=torch.float64, device=logits.device)
    rows: list[list[Tensor]] = []
    for image in range(len(logits)):
        gradients = torch.autograd.grad(
            logits[image].sum(), weights, retain_graph=True, allow_unused=True
        )
        rows.append(
            [
                torch.zeros_like(w) if g is None else g
                for g, w in zip(gradients, weights, strict=True)
            ]
        )
    for layer in zip(*rows, strict=True):
        jacobian = torch.stack(layer).flatten(1).double()
        gram += jacobian @ jacobian.T
    values = torch.linalg.eigvalsh(gram)
    smallest, largest = float(values[0]), float(values[-1])
    return largest / smallest if smallest > 0 else math.inf


def _gradsign(reading: Reading) -> float:
    """Zhang and Jia (ICLR 2022), algorithm 1: sum over weights of |sum over images of
    sign(gradient)|.

    A forward and a backward pass for every image alone, in train mode: BatchNorm sees one image, as
    in the released code.
    """
    (x, y), weights = reading.batches[0], reading.weights
    signs = [torch.zeros_like(w) for w in weights]
    for image in range(len(x)):
        loss = reading.loss(reading.network(x[image : image + 1]), y[image : image + 1])
        for total, gradient in zip(
            signs, torch.autograd.grad(loss, weights, allow_unused=True), strict=True
        ):
            if gradient is not None:
                total += gradient.sign()
    return math.fsum(float(total.abs().sum(dtype=torch.float64)) for total in signs)


NTK = Proxy("ntk", _ntk, Needs(keep=frozenset({"graph"})), lower=True, broken="last")
GRADSIGN = Proxy("gradsign", _gradsign, Needs(labels=True, own=True))
