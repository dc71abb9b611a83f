"""Scores from correlations of features: MeCo and WRCor."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading


def _meco(reading: Reading, leaves: bool = False) -> float:
    """Jiang and others (NeurIPS 2023), equation 3: over feature maps, the least eigenvalue of their
    channels' correlation.

    One image of standard normal numbers, as large as the data's (the paper: 64 x 64). As in the
    released code every module counts, containers included, so that what a block gives counts again
    for the sequence it ends; `leaves`: only modules without children. A channel that is constant
    correlates with nothing (its row is 0).
    """
    # maps that several modules give are looked at once
    eigenvalues: dict[tuple[int, int], tuple[Tensor, float]] = {}
    total = 0.0

    def note(module: nn.Module, _: Any, output: Any) -> None:
        nonlocal total
        if isinstance(output, Tensor) and output.dim() == 4 and not (leaves and module._modules):
            this = id(output), output._version  # which an activation in place counts up
            if this not in eigenvalues:
                least = torch.linalg.eigvalsh(_channels(output[0].detach()))[0]
                eigenvalues[this] = output, float(least)
            total += eigenvalues[this][1]

    handles = [module.register_forward_hook(note) for module in reading.network.modules()]
    try:
        with torch.no_grad():
            reading.network(reading.noise(1))
    except ValueError as error:  # BatchNorm in train mode, at a place where one image has one pixel
        raise EvaluationFailed(f"one image is too few for this network: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    return total


def _channels(feature: Tensor) -> Tensor:
    """(C, H, W) -> correlation matrix of the channels, float64; constant channels have a row of
    zeros."""
    rows = feature.flatten(1).double()
    centred = rows - rows.mean(1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    unit = torch.where(lengths > 0, centred / lengths, 0.0)
    return unit @ unit.T


def _absolute(rows: Tensor) -> Tensor:
    return _channels(rows.flatten(1).unsqueeze(1)).abs()


def _wrcor(reading: Reading) -> float:
    """Du and others (Neurocomputing 2025): ln det of a weighted sum of how images correlate in
    activations and gradients.

    For the output of every activation function the absolute correlation matrix (images x images) of
    its values and that of the loss's gradient with respect to them, times 2^d. The weights grow
    with depth; d is how often the resolution was reduced before (the paper's layers number dozens,
    and 2^40 would leave only the last one).
    """
    reading.gradients()
    done = reading.forward()
    if not done.active:
        raise EvaluationFailed("the network has no activation function of the ReLU kind to read")
    pixels = [a.shape[2] * a.shape[3] if a.dim() == 4 else 1 for a in done.active]
    largest = max(pixels)
    total: Tensor | None = None
    for active, gradient, size in zip(done.active, done.active_gradients, pixels, strict=True):
        term = _absolute(active.detach())
        if gradient is not None:
            term = term + _absolute(gradient.detach())
        term = term * math.sqrt(largest / size)  # each reduction quarters the pixels: 2^d
        total = term if total is None else total + term
    assert total is not None
    sign, logarithm = torch.linalg.slogdet(total)
    return float(logarithm) if float(sign) > 0 else -math.inf


MECO = Proxy("meco", _meco, Needs(own=True))
WRCOR = Proxy("wrcor", _wrcor, Needs(labels=True, keep=frozenset({"active"})), broken="last")
