"""AZ-NAS (Lee and Ham, CVPR 2024): expressivity, progressivity, trainability, complexity; ranked
over a set of networks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_TINY = 1e-6


def blocks(network: nn.Module) -> list[nn.Module]:
    """What stands in the network's chain: nested nn.Sequentials and lists are unfolded, single
    layers are left out."""
    modules: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            modules += blocks(child)
        elif child._modules:
            modules.append(child)
    return modules


def _az_nas(reading: Reading) -> dict[str, float]:
    """The four parts, each the larger the better; `rank_sum` of them over the networks of a set is
    the score.

    Expressivity (equation 3): sum over blocks of the entropy of the normalised spectrum of the
    features' covariance. Progressivity (5): its smallest gain from one block to the next.
    Trainability (7 to 9): mean over blocks of 2 - s - 1 / s, s the largest singular value of g_in'
    g_out / positions, g_out random signs behind the block, g_in the gradient before it. Complexity:
    multiply-accumulates. Standard normal images, Kaiming weights.
    """
    outputs: list[Tensor] = []
    macs = 0

    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        outputs.append(output)

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * module.weight[0].numel()  # type: ignore[index]

    parts = blocks(reading.network)
    if len(parts) < 2:
        raise EvaluationFailed(
            f"AZ-NAS compares the blocks of a chain; "
            f"{type(reading.network).__name__} has {len(parts)}"
        )
    handles = [part.register_forward_hook(note) for part in parts]
    handles += [layer.register_forward_hook(count) for _, layer in reading.layers]
    try:
        reading.network(reading.noise(len(reading.batches[0][0])))
    finally:
        for handle in handles:
            handle.remove()
    entropies = [_entropy(output.detach()) for output in outputs]
    gains = [
        _gain(before, after, reading.generator)
        for before, after in zip(outputs, outputs[1:], strict=False)
    ]
    return {
        "expressivity": math.fsum(entropies),
        "progressivity": min(b - a for a, b in zip(entropies, entropies[1:], strict=False)),
        "trainability": math.fsum(gains) / len(gains),
        "complexity": float(macs),
    }


def _positions(feature: Tensor) -> Tensor:
    """(B, C, H, W) or (B, T, C) -> (positions, C)."""
    return (
        feature.permute(0, 2, 3, 1).flatten(0, 2) if feature.dim() == 4 else feature.flatten(0, -2)
    )


def _entropy(feature: Tensor) -> float:
    rows = _positions(feature)
    rows = rows - rows.mean(0, keepdim=True)
    values = torch.linalg.eigvalsh((rows.T @ rows).double() / len(rows)).clamp(min=0.0)
    total = values.sum()
    if float(total) <= 0:
        return 0.0
    shares = values / total
    return float(-(shares * (shares + _TINY * _TINY).log()).sum())


def _gain(before: Tensor, after: Tensor, generator: torch.Generator) -> float:
    """2 - s - 1 / s of one block; -inf where it is the identity, or nothing gets through."""
    if not (before.requires_grad and after.requires_grad):
        return -math.inf
    signs = torch.randint(0, 2, after.shape, generator=generator).to(after) * 2.0 - 1.0
    (gradient,) = torch.autograd.grad(after, before, signs, retain_graph=True, allow_unused=True)
    if gradient is None:
        return -math.inf
    if gradient.shape == signs.shape and bool((gradient == signs).all()):
        return -math.inf
    if gradient.dim() == 4 and gradient.shape[2] != signs.shape[2]:
        gradient = F.pixel_unshuffle(gradient, gradient.shape[2] // signs.shape[2])
    g_in, g_out = _positions(gradient), _positions(signs)
    largest = float(torch.linalg.matrix_norm((g_in.T @ g_out).double() / len(g_out), 2))
    return 2.0 - largest - 1.0 / (largest + _TINY)


_PARTS = ("expressivity", "progressivity", "trainability", "complexity")
_NEEDS = Needs(own=True, init="kaiming", set_score=True)
AZ_NAS = Proxy("az_nas", _az_nas, _NEEDS, broken="last", parts=_PARTS)
