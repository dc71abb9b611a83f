"""Images that occur in more than one part of the split: byte-equal pixels, and near copies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archsmith.data.listing import PARTS

SIDE = 8  # the perceptual descriptor: grey, 8 x 8 block means, mean removed, length 1
COMPARISONS = 4e9  # above so many pairs near copies are not looked for (half a minute of one core)
_CANDIDATE, _COPY = 0.97, 0.985  # correlation of the descriptors, then of all pixels


def across(pixels: np.ndarray, labels: np.ndarray, rows: Mapping[str, np.ndarray], ids: Sequence[str]) -> dict[str, Any]:
    """{"exact", "near", "conflicting", "examples"}: images of val and test that an earlier part (train, val) holds too.

    An image counts once, exact before near. `conflicting` counts groups of equal images that carry different labels, anywhere.
    `near` is None where the set is too large to look. pixels: (N, C, S, S) uint8.
    """
    digests = [hashlib.blake2b(pixels[i].tobytes(), digest_size=16).digest() for i in range(len(pixels))]
    exact, conflicting = _exact(digests, labels, rows)
    known = {row for row, _ in exact}
    pairs = sum(len(rows[b]) * len(rows[a]) for a, b in _earlier())
    near = _near(pixels, rows, known) if pairs <= COMPARISONS else None
    examples = [[ids[twin], ids[row]] for row, twin in [*exact[:5], *(near or [])[:5]]]
    return {"exact": len(exact), "near": None if near is None else len(near), "conflicting": conflicting, "examples": examples}


def _earlier() -> list[tuple[str, str]]:
    return [(PARTS[a], PARTS[b]) for b in range(len(PARTS)) for a in range(b)]


def _exact(digests: Sequence[bytes], labels: np.ndarray, rows: Mapping[str, np.ndarray]) -> tuple[list[tuple[int, int]], int]:
    """(row, its twin in an earlier part) of val and test, and how many different images carry several labels."""
    first: dict[bytes, int] = {}
    carried: dict[bytes, set[int]] = {}
    found = []
    for part in PARTS:
        for row in rows[part].tolist():
            if digests[row] in first:
                found.append((row, first[digests[row]]))
            carried.setdefault(digests[row], set()).add(int(labels[row]))
        for row in rows[part].tolist():
            first.setdefault(digests[row], row)
    return found, sum(len(values) > 1 for values in carried.values())


def _near(pixels: np.ndarray, rows: Mapping[str, np.ndarray], known: set[int]) -> list[tuple[int, int]]:
    descriptors = _descriptors(pixels)
    found: dict[int, int] = {}
    for a, b in _earlier():
        left = descriptors[rows[a]]
        for start in range(0, len(rows[b]), 512):
            block = rows[b][start : start + 512]
            alike = descriptors[block] @ left.T
            for i, j in zip(*np.nonzero(alike > _CANDIDATE), strict=True):
                row, twin = int(block[i]), int(rows[a][j])
                if row not in known and row not in found and _correlation(pixels[row], pixels[twin]) > _COPY:
                    found[row] = twin
    return sorted(found.items())


def _descriptors(pixels: np.ndarray) -> np.ndarray:
    """(N, 64) float32 of length 1; flat images, which resemble everything, are zero."""
    size = pixels.shape[-1]
    edges = np.linspace(0, size, min(SIDE, size) + 1).astype(int)
    result = np.empty((len(pixels), (len(edges) - 1) ** 2), dtype=np.float32)
    for start in range(0, len(pixels), 4096):
        grey = pixels[start : start + 4096].mean(axis=1, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(grey, edges[:-1], axis=1), edges[:-1], axis=2)
        areas = np.diff(edges)[:, None] * np.diff(edges)[None, :]
        flat = (sums / areas).reshape(len(grey), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        result[start : start + 4096] = np.where(length > 2.0 * flat.shape[1] ** 0.5, flat / np.maximum(length, 1e-6), 0)
    return result


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    x = a.astype(np.float32).ravel()
    y = b.astype(np.float32).ravel()
    x -= x.mean()
    y -= y.mean()
    return float(x @ y / max(float(np.sqrt((x @ x) * (y @ y))), 1e-6))


def across_files(
    digests: Sequence[bytes], labels: np.ndarray, rows: Mapping[str, np.ndarray], ids: Sequence[str]
) -> dict[str, Any]:
    """The same from digests of whole files, for sets that are not in memory; near copies are not looked for."""
    exact, conflicting = _exact(digests, labels, rows)
    return {
        "exact": len(exact),
        "near": None,
        "conflicting": conflicting,
        "examples": [[ids[twin], ids[row]] for row, twin in exact[:10]],
    }
