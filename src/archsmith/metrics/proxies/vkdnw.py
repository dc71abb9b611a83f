"""VKDNW (Tybl and Neumann, CVPR 2025): number of parameter tensors plus the entropy of the Fisher information's spectrum."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import functional_call, jvp

from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_TENSORS = 128
_SMOOTHING = 0.05


def _vkdnw(reading: Reading) -> float:
    """aleph + V: aleph parameter tensors; V = -sum q ln q over the nine deciles of the spectrum, normalised to sum 1.

    Fisher information F = mean over images of J' (diag(p) - p p') J (equation 4), J the Jacobian of the logits with respect to
    one weight, drawn from the reading's generator, of each of the first 128 parameter tensors; p the softmax, smoothed by 0.05.
    Eval mode, Kaiming weights. Deviation from the released code: it multiplies J by M where M M' = diag(p) - p p'; the Fisher
    information needs M'.
    """
    named = {name: p.detach() for name, p in reading.network.named_parameters()}
    buffers = {name: b.detach() for name, b in reading.network.named_buffers()}
    chosen = list(named)[:_TENSORS]
    places = [int(torch.randint(0, named[name].numel(), (1,), generator=reading.generator)) for name in chosen]
    x = reading.batches[0][0]

    def logits(moved: Tensor) -> Tensor:
        values = dict(named)
        for position, (name, place) in enumerate(zip(chosen, places, strict=True)):
            flat = values[name].flatten()
            step = torch.zeros_like(flat)
            step[place] = 1.0
            values[name] = (flat + moved[position] * step).view_as(values[name])
        return functional_call(reading.network, {**values, **buffers}, (x,))

    origin = torch.zeros(len(chosen), device=x.device)

    # one direction at a time: vmap over directions has no batching rule for pooling and is no faster
    tangents = torch.eye(len(chosen), device=x.device)
    # (weights, B, classes)
    jacobian = torch.stack([jvp(logits, (origin,), (tangent,))[1].detach() for tangent in tangents]).double()
    with torch.no_grad():
        found = logits(origin).double()
    p = found.softmax(1)
    p = (1.0 - _SMOOTHING) * p + _SMOOTHING / p.shape[1]
    mean = (jacobian * p).sum(2, keepdim=True)
    fisher = torch.einsum("ibk,jbk,bk->ij", jacobian - mean, jacobian - mean, p) / len(x)
    values = torch.linalg.eigvalsh(fisher).clamp(min=0.0)
    deciles = torch.quantile(values, torch.linspace(0.1, 0.9, 9, dtype=values.dtype, device=values.device))
    total = float(deciles.sum())
    aleph = float(sum(1 for _ in reading.network.parameters()))
    if total <= 0:
        return aleph
    shares = [float(d) / total for d in deciles]
    return aleph - math.fsum(q * math.log(q) for q in shares if q > 0)


VKDNW = Proxy("vkdnw", _vkdnw, Needs(own=True, init="kaiming", train=False))
