"""Zen-score (Lin and others, ICCV 2021, algorithm 1): how much the features move when Gaussian
images move a little."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_EPSILON = 1e-2


@contextmanager
def _features(network: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what goes into the last pooling over all positions, or into the last Linear layer
    where nothing pools."""
    pools = [m for m in network.modules() if isinstance(m, nn.AdaptiveAvgPool2d)]
    linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if not pools and not linears:
        raise EvaluationFailed(
            "the Zen-score reads the features before pooling; the network neither pools nor has a "
            "Linear layer"
        )
    kept: list[Tensor] = []
    handle = (pools or linears)[-1].register_forward_pre_hook(
        lambda _, inputs: kept.append(inputs[0].detach())
    )
    try:
        yield kept
    finally:
        handle.remove()


def _zen(reading: Reading) -> float:
    """ln of the mean over images of |f(x) - f(x')|_1, x' = x + 0.01 e, plus the sum over BatchNorms
    of ln of their deviation.

    Gaussian weights, gamma 1 and beta 0, x and e standard normal. Deviations from the paper, as in
    the released code: the difference is an L1 norm (paper: Frobenius), and the BatchNorm term uses
    the batch's own variance, mean over channels. Deviation from the released code: that variance is
    the batch's, not a running one that carries momentum from the start value 1 and moves with both
    passes. Shortcuts are kept (`drop_shortcuts` drops them).
    """
    network, count = reading.network, len(reading.batches[0][0])
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    variances: list[Tensor] = []

    def note(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        # with momentum 1 the variance of this pass, unbiased
        if isinstance(norm.running_var, Tensor):
            count = inputs[0].numel() // inputs[0].shape[1]
            variances.append(norm.running_var.double().mean() * ((count - 1) / count))
        else:
            variances.append(inputs[0].var((0, 2, 3), unbiased=False).double().mean())

    x = reading.noise(count)
    moved = x + _EPSILON * reading.noise(count)
    with torch.no_grad(), _features(network) as kept:
        handles = [norm.register_forward_hook(note) for norm in norms]
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 1.0
            network(x)
        finally:
            for norm, handle, momentum in zip(norms, handles, momenta, strict=True):
                handle.remove()
                norm.momentum = momentum
        network(moved)
    difference = float((kept[0] - kept[1]).double().abs().flatten(1).sum(1).mean())
    if difference <= 0 or any(float(v) <= 0 for v in variances):
        return -math.inf
    return math.log(difference) + math.fsum(0.5 * math.log(float(v)) for v in variances)


ZEN = Proxy("zen", _zen, Needs(own=True, init="gaussian"), broken="last")
