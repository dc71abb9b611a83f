"""The Once-For-All space with its public accuracy predictor as oracle, and what was really
evaluated and timed of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from os import PathLike
from pathlib import Path

import numpy as np

from archsmith.errors import UserError
from archsmith.recorded.benchmark import Lookup, Recorded, Rows
from archsmith.recorded.columns import KINDS, Columns, located, read
from archsmith.space import Architecture
from archsmith.spaces.catalog.ofa import OFA, OFA_EXPANSIONS, OFA_KERNELS, ofa_arch, ofa_settings

_SLOTS = 20
_FULL_SIZE = 224


@dataclass(frozen=True, eq=False)
class Oracle:
    """The accuracy predictor of Once-For-All (Cai et al., ICLR 2020), a network 128-400-400-400-1
    with ReLU.

    Any architecture of the space -> ImageNet top-1 in %. Input: 20 slots one-hot kernel (3, 5, 7),
    20 slots one-hot expansion (3, 4, 6), one-hot image size (112 to 224 in steps of 16); slots
    beyond a stage's depth are zero.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    size: int = _FULL_SIZE
    name: str = "accuracy"

    def __call__(self, arch: Architecture) -> float:
        return self.batch([arch])[0]

    def batch(self, archs: Sequence[Architecture]) -> list[float]:
        """The values of many, in order, in one pass."""
        x = self.encode(archs)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weight.T + bias, 0)
        values: list[float] = (
            (100.0 * (x @ self.weights[-1].T + self.biases[-1])[:, 0]).astype(float).tolist()
        )
        return values

    def encode(self, archs: Sequence[Architecture]) -> np.ndarray:
        """(architectures, 128): the input of the network."""
        x = np.zeros((len(archs), 6 * _SLOTS + 8), dtype=np.float32)
        x[:, 6 * _SLOTS + (self.size - 112) // 16] = 1
        for row, arch in zip(x, archs, strict=True):
            settings = ofa_settings(arch)
            for slot, (kernel, expansion) in enumerate(
                zip(settings["ks"], settings["e"], strict=True)
            ):
                if kernel:
                    row[3 * slot + OFA_KERNELS.index(kernel)] = 1
                    row[3 * (_SLOTS + slot) + OFA_EXPANSIONS.index(expansion)] = 1
        return x


def load(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """`ofa` at 224 pixels, or `ofa:SIZE`. Score and truth are the oracle.

    `records`: `top1_evaluated`, the ImageNet accuracy of networks really evaluated (224 pixels
    only, by shared weights), and `latency_ms_DEVICE_BATCH` of networks really timed at this size.
    Only those networks have them; `archs()` are those that have either.
    """
    size = int(name.partition(":")[2] or _FULL_SIZE)
    predictor = read(KINDS["ofa_predictor"], data)
    layers = (0, 2, 4, 6)
    oracle = Oracle(
        tuple(predictor[f"{layer}_weight"] for layer in layers),
        tuple(predictor[f"{layer}_bias"] for layer in layers),
        size,
    )
    if oracle.weights[0].shape[1] != 6 * _SLOTS + 8:
        raise UserError(
            f"{predictor.path}: the predictor takes {oracle.weights[0].shape[1]} "
            f"inputs, expected {6 * _SLOTS + 8}"
        )
    folder = (
        predictor.path.parent
        if data is not None and Path(data).is_file()
        else Path(data or os.environ["ARCHSMITH_DATA"])
    )
    others = [KINDS[kind] for kind in ("ofa_accuracy", "ofa_latency")]
    tables = [read(kind, path) for kind in others if (path := located(kind, folder)) is not None]
    measured: dict[str, dict[Architecture, list[float]]] = {}
    for table in tables:
        _collect(table, size, measured)
    archs = list(dict.fromkeys(arch for values in measured.values() for arch in values))
    rows = Rows(name, [arch.key for arch in archs], attrgetter("key"), texts=archs, read=_itself)
    records = {}
    for record, values in measured.items():
        column = np.array(
            [float(np.mean(values[arch])) if arch in values else np.nan for arch in archs]
        )
        records[record] = Lookup(record, rows, column)
    predicted = "ImageNet top-1 accuracy as the public predictor of Once-For-All gives it"
    facts = {
        **predictor.facts(),
        "score": predicted,
        "truth": f"the same {predicted}: an oracle for the whole space, judged by what a search "
        f"sees",
        "unit": "%",
        "optimum": None,
        "best": None,
        "noise": None,
        "surrogate": f"{predicted}: 5.9 points above what shared weights were evaluated to, so "
        f"good for ranks only",
        "simulated_seconds": None,
        "complete": True,
        "count": len(archs),
        "truth_fidelity": None,
        "image_size": size,
    }
    return Recorded(name, OFA, oracle, truth=oracle, facts=facts, rows=rows, records=records)


def _itself(arch: Architecture) -> Architecture:
    return arch


def _collect(
    table: Columns, size: int, measured: dict[str, dict[Architecture, list[float]]]
) -> None:
    """Adds what the table measured at this image size: record -> architecture -> values."""
    kept = np.flatnonzero(table["r"] == size)
    names = {column: f"latency_ms_{column[7:]}" for column in table if column.startswith("lat_ms_")}
    names |= {"top1_imagenet": "top1_evaluated"} if "top1_imagenet" in table else {}
    for row in kept:
        ks, e, d = ([int(v) for v in str(table[name][row]).split()] for name in ("ks", "e", "d"))
        arch = ofa_arch(ks, e, d)
        for column, name in names.items():
            measured.setdefault(name, {}).setdefault(arch, []).append(float(table[column][row]))
