"""Scores from which units are on: NASWOT, SWAP, and the number of linear regions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_CHUNK = 1 << 20  # units that are looked at together


def _codes(reading: Reading) -> list[Tensor]:
    codes = reading.forward().codes
    if not codes:
        raise EvaluationFailed("the network has no activation function of the ReLU kind, so no unit is on or off")
    return codes


def agreements(codes: list[Tensor]) -> Tensor:
    """(B, B): in how many units two images agree, float64: K of Mellor and others, ICML 2021, equation 2."""
    total = torch.zeros(len(codes[0]), len(codes[0]), dtype=torch.float64, device=codes[0].device)
    for code in codes:
        for piece in code.split(_CHUNK, dim=1):
            signs = piece.float().mul_(2.0).sub_(1.0)  # agree minus disagree = inner product; whole numbers below 2^24
            total += ((signs @ signs.T).double() + piece.shape[1]) / 2
    return total


def _naswot(reading: Reading) -> float:
    """ln |det K|. A singular K (images that no unit tells apart) makes it -inf."""
    sign, logarithm = torch.linalg.slogdet(agreements(_codes(reading)))
    return float(logarithm) if float(sign) != 0 else -math.inf


def hashed(code: Tensor, generator: torch.Generator) -> Tensor:
    """(B, units) of booleans -> a 62-bit whole number for each unit's column: equal columns get equal numbers."""
    keys = torch.randint(0, 2**62, (code.shape[0], 1), generator=generator).to(code.device)
    total = torch.zeros(code.shape[1], dtype=torch.int64, device=code.device)
    for image in range(code.shape[0]):
        total ^= torch.where(code[image], keys[image], 0)
    return total


def _swap(reading: Reading, mu: float | None = None, sigma: float | None = None) -> float:
    """Peng and others (ICLR 2024), definition 3: how many different columns the (images x units) matrix of signs has.

    `mu`, `sigma`: with them times exp(-(parameters - mu)^2 / sigma), equation 5. Columns are compared by a 62-bit hash.
    """
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    columns = []
    for code in _codes(reading):
        generator.set_state(state)
        columns.append(hashed(code, generator).unique())
    score = float(torch.cat(columns).unique().numel())
    if mu is not None and sigma is not None:
        count = sum(p.numel() for p in reading.network.parameters())
        score *= math.exp(-((count - mu) ** 2) / sigma)
    return score


def _linear_regions(reading: Reading) -> float:
    """Chen, Gong, Wang (ICLR 2021): how many different activation patterns the images of the mini-batch fall into.

    At most as many as there are images: with many units every image has its own, which is why TE-NAS thins the network.
    """
    codes = torch.cat(_codes(reading), dim=1)
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(0, 2**62, (codes.shape[1],), generator=generator).to(codes.device)
    sums = torch.stack([torch.where(code, keys, 0).sum() for code in codes])  # whole numbers wrap around: still a hash
    return float(sums.unique().numel())


NASWOT = Proxy("naswot", _naswot, Needs(keep=frozenset({"codes"})), broken="last")
SWAP = Proxy("swap", _swap, Needs(keep=frozenset({"codes"})))
LINEAR_REGIONS = Proxy("linear_regions", _linear_regions, Needs(keep=frozenset({"codes"})))
