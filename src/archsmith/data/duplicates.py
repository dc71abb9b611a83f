"""Images that occur in more than one part of the split: byte-equal pixels, and near copies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archsmith.data.listing import PARTS

SIDE = 8  # the perceptual descriptor: grey, 8 x 8 block means, mean removed, length 1
SMALLEST = 16  # pixels: smaller pictures resemble each other without being copies
MOST_COMPARISONS = 4e9  # half a minute of one core
_ALIKE = 0.94  # correlation of descriptors from which the pictures themselves are compared
# correlation of the edges by channels; grey sets (characters, X-rays) are alike by nature
_COPY = {3: 0.65, 1: 0.97}


def across(
    pixels: np.ndarray, labels: np.ndarray, rows: Mapping[str, np.ndarray], ids: Sequence[str]
) -> dict[str, Any]:
    """Copies in val of training images, and in test of training or validation images. pixels: (N,
    C, S, S) uint8.

    "exact": images with byte-equal pixels; "near": other images whose nearest one (by descriptor)
    has the same edges, also where exposure or color differ; "searched": whether near copies were
    looked for (not in tiny pictures nor in huge sets); "conflicting": pictures that occur with
    different labels, in any part; "examples": pairs of ids, [earlier, later].
    """
    digests = [
        hashlib.blake2b(pixels[i].tobytes(), digest_size=16).digest() for i in range(len(pixels))
    ]
    exact, conflicting = _exact(digests, labels, rows)
    comparisons = len(rows["val"]) * len(rows["train"]) + len(rows["test"]) * (
        len(rows["train"]) + len(rows["val"])
    )
    searched = pixels.shape[-1] >= SMALLEST and comparisons <= MOST_COMPARISONS
    near = _near(pixels, rows, {row for row, _ in exact}) if searched else []
    return _summary(exact, near, searched, conflicting=conflicting, ids=ids)


def across_files(
    digests: Sequence[bytes], labels: np.ndarray, rows: Mapping[str, np.ndarray], ids: Sequence[str]
) -> dict[str, Any]:
    """The same from digests of whole files, for sets that are not in memory; near copies are not
    looked for."""
    exact, conflicting = _exact(digests, labels, rows)
    return _summary(exact, [], False, conflicting=conflicting, ids=ids)


def _summary(
    exact: list[tuple[int, int]],
    near: list[tuple[int, int]],
    searched: bool,
    conflicting: int,
    ids: Sequence[str],
) -> dict[str, Any]:
    examples = [[ids[twin], ids[row]] for row, twin in [*exact[:5], *near[:5]]]
    return {
        "exact": len(exact),
        "near": len(near),
        "searched": searched,
        "conflicting": conflicting,
        "examples": examples,
    }


def _exact(
    digests: Sequence[bytes], labels: np.ndarray, rows: Mapping[str, np.ndarray]
) -> tuple[list[tuple[int, int]], int]:
    """(row, its twin in an earlier part) of val and test, and how many different images carry
    several labels."""
    first: dict[bytes, int] = {}
    carried: dict[bytes, set[int]] = {}
    copies = []
    for part in PARTS:
        for row in rows[part].tolist():
            if digests[row] in first:
                copies.append((row, first[digests[row]]))
            carried.setdefault(digests[row], set()).add(int(labels[row]))
        for row in rows[part].tolist():
            first.setdefault(digests[row], row)
    return copies, sum(len(values) > 1 for values in carried.values())


def _near(
    pixels: np.ndarray, rows: Mapping[str, np.ndarray], known: set[int]
) -> list[tuple[int, int]]:
    descriptors = _descriptors(pixels)
    copies = []
    for earlier, part in (
        (rows["train"], "val"),
        (np.concatenate([rows["train"], rows["val"]]), "test"),
    ):
        table = descriptors[earlier]
        for start in range(0, len(rows[part]), 512):
            block = rows[part][start : start + 512]
            alike = descriptors[block] @ table.T
            nearest = alike.argmax(axis=1)
            for place in np.flatnonzero(alike[np.arange(len(block)), nearest] > _ALIKE):
                row, twin = int(block[place]), int(earlier[nearest[place]])
                if (
                    row not in known
                    and _same_edges(pixels[row], pixels[twin]) > _COPY[pixels.shape[1]]
                ):
                    copies.append((row, twin))
    return copies


def _descriptors(pixels: np.ndarray) -> np.ndarray:
    """(N, 64) float32 of length 1; those of flat pictures, which resemble everything, are zero."""
    edges = np.linspace(0, pixels.shape[-1], SIDE + 1).astype(int)
    areas = np.diff(edges)[:, None] * np.diff(edges)[None, :]
    result = np.empty((len(pixels), SIDE * SIDE), dtype=np.float32)
    for start in range(0, len(pixels), 1024):
        grey = pixels[start : start + 1024].mean(axis=1, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(grey, edges[:-1], axis=1), edges[:-1], axis=2)
        means = (sums / areas).reshape(len(grey), -1)
        means -= means.mean(axis=1, keepdims=True)
        length = np.linalg.norm(means, axis=1, keepdims=True)
        # contrast of 2 of 255
        result[start : start + 1024] = np.where(
            length > 2 * SIDE, means / np.maximum(length, 1e-6), 0
        )
    return result


def _same_edges(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the differences between neighboring pixels; that of the pixels would take any
    two seascapes for copies."""
    x, y = (
        np.concatenate([np.diff(p.astype(np.float32), axis=axis).ravel() for axis in (1, 2)])
        for p in (a, b)
    )
    x -= x.mean()
    y -= y.mean()
    return float(x @ y / max(float(np.sqrt((x @ x) * (y @ y))), 1e-6))
