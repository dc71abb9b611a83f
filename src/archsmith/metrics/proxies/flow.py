"""Scores of the network with absolute weights on an image of ones: synflow, effective parameters,
and DSS for Transformers."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)


class _Scale(nn.Module):
    """A norm without its statistics and its bias: x * |gamma|; gamma is 1 in a fresh network."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight = (
            nn.Parameter(norm.weight.detach().double().abs()) if norm.weight is not None else None
        )
        self.channels_last = isinstance(norm, nn.LayerNorm)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return x
        return (
            x * self.weight
            if self.channels_last
            else x * self.weight.view(1, -1, *[1] * (x.dim() - 2))
        )


def _flow(reading: Reading) -> tuple[nn.Module, dict[str, Tensor]]:
    """The positive twin in float64 and, for each of its parameters, theta * dR / dtheta, R the sum
    of its outputs.

    Norms only scale, biases are left out: what comes out has gone through weights. Tanaka and
    others (NeurIPS 2020), equation 5.
    """
    twin = copy.deepcopy(reading.network).double()
    for path, module in list(twin.named_modules()):
        if isinstance(module, _NORMS):
            parent, _, name = path.rpartition(".")
            setattr(twin.get_submodule(parent), name, _Scale(module))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.bias = None
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.abs_()
    twin.train()
    ones = torch.ones_like(reading.batches[0][0][:1], dtype=torch.float64)
    named = {name: p.requires_grad_(True) for name, p in twin.named_parameters()}
    gradients = torch.autograd.grad(twin(ones).sum(), list(named.values()), allow_unused=True)
    pairs = zip(named.items(), gradients, strict=True)
    return twin, {
        name: p.detach() * (torch.zeros_like(p) if g is None else g) for (name, p), g in pairs
    }


def _synflow(reading: Reading) -> float:
    """ln of the sum over Conv2d and Linear weights (the sum itself reaches 1e46). Every norm is
    bypassed."""
    twin, flows = reading.once(_flow)
    layers = {
        name for name, module in twin.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
    }
    total = math.fsum(
        float(flow.sum()) for name, flow in flows.items() if name.rpartition(".")[0] in layers
    )
    if total <= 0.0:
        return -math.inf
    return math.log(total)


def _effective_params(reading: Reading) -> float:
    """Parameters of the layers through which something flows from the image to the outputs; dead
    branches do not count."""
    _, flows = reading.once(_flow)
    weighted = {name.rpartition(".")[0] for name in flows}
    alive = {name.rpartition(".")[0] for name, flow in flows.items() if bool((flow != 0).any())}
    total = 0
    for path, module in reading.network.named_modules():
        own = sum(p.numel() for p in module._parameters.values() if p is not None)
        total += own if path in alive or path not in weighted else 0
    return float(total)


def _dss(reading: Reading) -> float:
    """Zhou and others (CVPR 2022), equations 4 to 6: synaptic diversity of attention, synaptic
    saliency of the rest.

    Absolute weights, an image of ones, R the sum of the outputs. For the projections of attention
    the nuclear norm of dR/dW times that of W; for all other Conv2d and Linear layers the sum of
    |dR/dW * W|.
    """
    twin = copy.deepcopy(reading.network).double().eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.abs_()
    attention = {
        f"{path}.{name}" if path else name
        for path, module in twin.named_modules()
        if {"query", "key", "value", "projection"} <= set(module._modules)
        for name in ("query", "key", "value", "projection")
    }
    if not attention:
        raise EvaluationFailed("DSS is for Transformers: the network has no attention")
    ones = torch.ones_like(reading.batches[0][0][:1], dtype=torch.float64)
    layers = [
        (n, m.weight) for n, m in twin.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    gradients = torch.autograd.grad(
        twin(ones).sum(), [w.requires_grad_(True) for _, w in layers], allow_unused=True
    )
    total = 0.0
    for (name, weight), gradient in zip(layers, gradients, strict=True):
        if gradient is None:
            continue
        if name in attention:
            total += float(
                torch.linalg.matrix_norm(gradient, "nuc")
                * torch.linalg.matrix_norm(weight.detach(), "nuc")
            )
        else:
            total += float((gradient * weight.detach()).abs().sum())
    return total


SYNFLOW = Proxy("synflow", _synflow, Needs(own=True), broken="last")
EFFECTIVE_PARAMS = Proxy("effective_params", _effective_params, Needs(own=True))
DSS = Proxy("dss", _dss, Needs(own=True))
