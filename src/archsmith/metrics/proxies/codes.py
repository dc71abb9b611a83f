"""Scores from which units are on: NASWOT, SWAP, and the number of linear regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
        raise EvaluationFailed(
            "the network has no activation function of the ReLU kind, so no unit is on or off"
        )
    return codes


def _packed(codes: list[Tensor]) -> np.ndarray:
    """(B, units / 64) of uint64: which units an image turns on, eight a byte, so that little memory
    is read."""
    packed = np.concatenate(_each(lambda code: np.packbits(code.numpy(), axis=1), codes), axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _each(do: Callable[[Any], np.ndarray], parts: Sequence[Any]) -> list[np.ndarray]:
    """As `map`, by as many threads as torch uses: numpy lets go of the interpreter."""
    count = min(torch.get_num_threads(), len(parts))
    if count < 2:
        return [do(part) for part in parts]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(do, parts))


def _differences(packed: np.ndarray) -> Tensor:
    """(B, B): in how many units two images differ."""
    return torch.from_numpy(
        np.sum(_each(_pairs, np.array_split(packed, torch.get_num_threads(), axis=1)), axis=0)
    )


def _pairs(packed: np.ndarray) -> np.ndarray:
    distances = np.zeros((len(packed), len(packed)))
    for image, own in enumerate(packed):
        # exact below 2^32 units
        distances[image, image:] = np.bitwise_count(own ^ packed[image:]).sum(1, dtype=np.uint32)
    return distances + distances.T


def _differences_by_product(codes: list[Tensor]) -> Tensor:
    total = torch.zeros(len(codes[0]), len(codes[0]), dtype=torch.float64, device=codes[0].device)
    for code in codes:
        for piece in code.split(_CHUNK, dim=1):
            on = piece.float()
            counts = on.sum(1)
            # whole numbers below 2^24: exact
            total += counts[:, None] + counts[None, :] - 2.0 * (on @ on.T)
    return total


def _agreements(reading: Reading) -> Tensor:
    """(B, B): in how many units two images agree, float64: K of Mellor and others, ICML 2021,
    equation 2."""
    codes = _codes(reading)
    if codes[0].device.type == "cpu":
        return sum(code.shape[1] for code in codes) - _differences(reading.once(_patterns))
    return sum(code.shape[1] for code in codes) - _differences_by_product(codes)


def _patterns(reading: Reading) -> np.ndarray:
    return _packed(_codes(reading))


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


def words(code: Tensor) -> np.ndarray:
    """(B, units) of booleans on the CPU -> (units,) of uint64: a bit for each image a unit is on
    for.

    Beyond 64 images a hash of such words. Eight units at once: their bytes are 0 or 1, so shifting
    a word of eight by up to seven moves no bit into a neighbor.
    """
    rows = code.numpy().view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8))) if rows.shape[1] % 8 else rows
    lanes = np.ascontiguousarray(padded).view(np.uint64)
    total, shifted = np.zeros(8 * lanes.shape[1], np.uint64), np.empty(lanes.shape[1], np.uint64)
    for start in range(0, len(lanes), 64):
        packed = np.zeros((len(total), 8), np.uint8)
        for byte in range(start, min(start + 64, len(lanes)), 8):
            bits = lanes[byte].copy()
            for place, image in enumerate(lanes[byte + 1 : byte + 8], start=1):
                np.bitwise_or(bits, np.left_shift(image, np.uint64(place), out=shifted), out=bits)
            packed[:, (byte - start) // 8] = bits.view(np.uint8)
        total = total * np.uint64(_ODD) + packed.view(np.uint64).ravel()
    return total[: rows.shape[1]]


def _distinct(codes: list[Tensor]) -> int:
    """How many different columns."""
    if codes[0].device.type != "cpu":
        return int(torch.cat([hashed(code).unique() for code in codes]).unique().numel())
    columns = np.concatenate(_each(words, codes))
    columns.sort()
    return 1 + int((columns[1:] != columns[:-1]).sum())


def _swap(reading: Reading, mu: float | None = None, sigma: float | None = None) -> float:
    """Peng and others (ICLR 2024), definition 3: how many different columns the (images x units)
    matrix of signs has.

    `mu`, `sigma`: with them times exp(-(parameters - mu)^2 / sigma), equation 5. Columns of more
    than 64 images are compared by a 64-bit hash.
    """
    score = float(_distinct(_codes(reading)))
    if mu is not None and sigma is not None:
        count = sum(p.numel() for p in reading.network.parameters())
        score *= math.exp(-((count - mu) ** 2) / sigma)
    return score


def _linear_regions(reading: Reading) -> float:
    """Chen, Gong, Wang (ICLR 2021): how many different activation patterns the images of the
    mini-batch fall into.

    At most as many as there are images: with many units every image has its own, which is why
    TE-NAS thins the network.
    """
    codes = _codes(reading)
    if codes[0].device.type == "cpu":
        return float(len({row.tobytes() for row in reading.once(_patterns)}))
    same = reading.once(_agreements) == sum(code.shape[1] for code in codes)
    # first of those like it
    return float((same.int().argmax(1) == torch.arange(len(same), device=same.device)).sum())


NASWOT = Proxy("naswot", _naswot, Needs(keep=frozenset({"codes"})), broken="last")
SWAP = Proxy("swap", _swap, Needs(keep=frozenset({"codes"})))
LINEAR_REGIONS = Proxy("linear_regions", _linear_regions, Needs(keep=frozenset({"codes"})))
