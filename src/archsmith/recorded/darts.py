"""DARTS cells with the accuracy that the surrogate of NAS-Bench-301 predicts: nothing here was
trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from archsmith.errors import UserError
from archsmith.recorded.benchmark import Lookup, Recorded, Rows, optimum
from archsmith.recorded.columns import KINDS, Columns, read
from archsmith.space import Architecture
from archsmith.spaces.catalog.darts import DARTS, darts_arch, darts_arch_of, darts_text


def load(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """`darts:surrogate`: a sample of the space, so for ranking, not for searching; cells listed
    twice are averaged."""
    columns = read(KINDS["darts"], data)
    archs = [_arch(columns, row) for row in range(len(columns["normal"]))]
    first, place = np.unique(
        [darts_text(arch) for arch in archs], return_index=True, return_inverse=True
    )[1:]
    order = np.argsort(first)  # np.unique sorts; the rows keep the order of the file
    texts = [darts_text(archs[row]) for row in first[order]]
    rows = Rows(name, texts, darts_text, texts=texts, read=darts_arch)

    def mean(column: str) -> np.ndarray:
        sums = np.bincount(place, weights=columns[column])
        averages: np.ndarray = (sums / np.bincount(place))[order]
        return averages

    values = mean("nb301_surrogate_val_accuracy")
    predicted = "validation accuracy predicted by the surrogate of NAS-Bench-301"
    facts = {
        **columns.facts(),
        "score": predicted,
        "truth": f"the same {predicted}: not trained, judged by what a search sees",
        "unit": "%",
        **optimum(values, rows),
        "noise": _repeats(columns, place),
        "surrogate": predicted,
        "simulated_seconds": None,
        "complete": False,
        "count": len(texts),
        "truth_fidelity": None,
    }
    sources = {"params_m": "params", "flops_m": "flops"}  # millions, counted as the file does
    records = {n: Lookup(n, rows, mean(c)) for n, c in sources.items() if c in columns}
    metric = Lookup("accuracy", rows, values)
    return Recorded(name, DARTS, metric, truth=metric, facts=facts, rows=rows, records=records)


def _arch(columns: Mapping[str, Any], row: int) -> Architecture:
    try:
        return darts_arch_of(json.loads(columns["normal"][row]), json.loads(columns["reduce"][row]))
    except (ValueError, TypeError) as error:
        raise UserError(f"row {row + 1} holds no DARTS cells: {error}") from error


def _repeats(columns: Columns, place: np.ndarray) -> dict[str, float] | None:
    """The standard deviation between predictions of a cell that is listed more than once."""
    values = columns["nb301_surrogate_val_accuracy"]
    counts = np.bincount(place)
    means = np.bincount(place, weights=values) / counts
    free = int(np.sum(counts - 1))
    if not free:
        return None
    return {
        "between predictions of one cell": float(
            np.sqrt(np.sum((values - means[place]) ** 2) / free)
        )
    }
