"""Scores from which units are on: NASWOT, SWAP, and the number of linear regions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from archsmith.errors import EvaluationFailed
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_CHUNK = 1 << 20  # units that are looked at together
_BITS = 22  # images in one part of a column's hash
_ODD = 0x5851F42D4C957F2D  # Knuth's multiplier for 64 bits (MMIX)


def _codes(reading: Reading) -> list[Tensor]:
    codes = reading.forward().codes
    if not codes:
        raise EvaluationFailed("the network has no activation function of the ReLU kind, so no unit is on or off")
    return codes


def agreements(codes: list[Tensor]) -> Tensor:
    """(B, B): in how many units two images agree, float64: K of Mellor and others, ICML 2021, equation 2."""
    differ = _differences if codes[0].device.type == "cpu" else _differences_by_product
    return sum(code.shape[1] for code in codes) - differ(codes)


def _differences(codes: list[Tensor]) -> Tensor:
    """(B, B): in how many units two images differ. Eight units a byte, so that little memory is read."""
    packed = np.concatenate([np.packbits(code.numpy(), axis=1) for code in codes], axis=1)
    packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    found = np.zeros((len(packed), len(packed)))
    for image, own in enumerate(packed):
        found[image, image:] = np.bitwise_count(own ^ packed[image:]).sum(1, dtype=np.int64)
    return torch.from_numpy(found + found.T)


def _differences_by_product(codes: list[Tensor]) -> Tensor:
    total = torch.zeros(len(codes[0]), len(codes[0]), dtype=torch.float64, device=codes[0].device)
    for code in codes:
        for piece in code.split(_CHUNK, dim=1):
            on = piece.float()
            counts = on.sum(1)
            total += counts[:, None] + counts[None, :] - 2.0 * (on @ on.T)  # whole numbers below 2^24: exact
    return total


def _agreements(reading: Reading) -> Tensor:
    return agreements(_codes(reading))


def _naswot(reading: Reading) -> float:
    """ln |det K|. A singular K (images that no unit tells apart) makes it -inf."""
    sign, logarithm = torch.linalg.slogdet(reading.once(_agreements))
    return float(logarithm) if float(sign) != 0 else -math.inf


def hashed(code: Tensor) -> Tensor:
    """(B, units) of booleans -> a 64-bit hash of each unit's column.

    Sums of powers of two below 2^24 are exact in float32.
    """
    total = torch.zeros(code.shape[1], dtype=torch.int64, device=code.device)
    for images in code.split(_BITS):
        powers = 2.0 ** torch.arange(len(images), dtype=torch.float32, device=code.device)
        total = total * _ODD + (powers @ images.float()).to(torch.int64)
    return total


def _swap(reading: Reading, mu: float | None = None, sigma: float | None = None) -> float:
    """Peng and others (ICLR 2024), definition 3: how many different columns the (images x units) matrix of signs has.

    `mu`, `sigma`: with them times exp(-(parameters - mu)^2 / sigma), equation 5. Columns are compared by a 64-bit hash.
    """
    score = float(torch.cat([hashed(code).unique() for code in _codes(reading)]).unique().numel())
    if mu is not None and sigma is not None:
        count = sum(p.numel() for p in reading.network.parameters())
        score *= math.exp(-((count - mu) ** 2) / sigma)
    return score


def _linear_regions(reading: Reading) -> float:
    """Chen, Gong, Wang (ICLR 2021): how many different activation patterns the images of the mini-batch fall into.

    At most as many as there are images: with many units every image has its own, which is why TE-NAS thins the network.
    """
    same = reading.once(_agreements) == sum(code.shape[1] for code in _codes(reading))
    return float((same.int().argmax(1) == torch.arange(len(same), device=same.device)).sum())  # first of those like it


NASWOT = Proxy("naswot", _naswot, Needs(keep=frozenset({"codes"})), broken="last")
SWAP = Proxy("swap", _swap, Needs(keep=frozenset({"codes"})))
LINEAR_REGIONS = Proxy("linear_regions", _linear_regions, Needs(keep=frozenset({"codes"})))
