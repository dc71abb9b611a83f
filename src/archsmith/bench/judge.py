"""How good a ranking is against recorded accuracies: correlations on all and on the best, nDCG, the
top pick, intervals."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archsmith._internal.statistics import middle_95, resampled
from archsmith.predictors.ranking import kendall, ndcg, precision_at, spearman, top_regret

SLICES = {"all": 1.0, "top_half": 0.5, "top_tenth": 0.1}
_RESAMPLES = 200
FEW = 10  # networks; a correlation or a share among fewer says nothing, so it is not shown
# what is reckoned on some of the networks -> which; `judge` gives how many they are as
# "networks_..."
_AMONG = {
    "kendall_top_half": "top_half",
    "spearman_top_half": "top_half",
    "kendall_top_tenth": "top_tenth",
    "spearman_top_tenth": "top_tenth",
    "top_found": "top_found",
}


def ranked_last(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """What is not a number, or -inf, as one value below all others, so that every network has a
    rank."""
    column = np.asarray(values, dtype=float)
    finite = column[np.isfinite(column)]
    lowest = (finite.min() if len(finite) else 0.0) - 1.0
    highest = (finite.max() if len(finite) else 0.0) + 1.0
    return np.where(column == np.inf, highest, np.where(np.isfinite(column), column, lowest))


def judge(scores: Sequence[np.ndarray], truth: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Of one score, computed once per seed (each (n,), the larger the better), against the truth
    (n,).

    Kendall tau-b and Spearman on all networks, the truly better half and tenth; nDCG; the share of
    the truly best twentieth in the twentieth ranked best; the true value of the network ranked
    first, and the best among the first ten; means over seeds and, for Kendall on all, the standard
    deviation over seeds and a 95 % bootstrap interval over networks. How many networks a slice has
    stands beside it; `of_enough` leaves out what is of too few.
    """
    columns = [ranked_last(score) for score in scores]
    order = np.argsort(-truth, kind="stable")
    measures: dict[str, Any] = {}
    for name, share in SLICES.items():
        kept = order[: max(2, round(share * len(truth)))]
        measures[f"networks_{name}"] = len(kept)
        measures[f"kendall_{name}"] = _mean(
            [kendall(column[kept], truth[kept]) for column in columns]
        )
        measures[f"spearman_{name}"] = _mean(
            [spearman(column[kept], truth[kept]) for column in columns]
        )
    # a gain is not negative
    measures["ndcg"] = (
        _mean([ndcg(column, truth) for column in columns]) if truth.min() >= 0 else None
    )
    few, ten = max(1, round(0.05 * len(truth))), min(10, len(truth))
    measures["networks_top_found"] = few
    measures["top_found"] = _mean([precision_at(column, truth, few) for column in columns])
    measures["best_of_ten"] = _mean(
        [float(truth.max()) - top_regret(column, truth, ten) for column in columns]
    )
    measures["top_pick"] = _mean(
        [float(truth[column == column.max()].mean()) for column in columns]
    )
    measures["kendall_seeds"] = (
        float(np.std([kendall(column, truth) for column in columns], ddof=1))
        if len(columns) > 1
        else None
    )
    measures["kendall_low"], measures["kendall_high"] = middle_95(_resampled(columns, truth, seed))
    return measures


def paired(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], truth: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Kendall of the first minus that of the second on the same networks, with a paired 95 %
    bootstrap interval."""
    a, b = ([ranked_last(column) for column in columns] for columns in (first, second))
    difference = _resampled(a, truth, seed) - _resampled(b, truth, seed)
    low, high = middle_95(difference)
    mean = _mean([kendall(c, truth) for c in a]) - _mean([kendall(c, truth) for c in b])
    return {"difference": mean, "low": low, "high": high}


def _resampled(columns: Sequence[np.ndarray], truth: np.ndarray, seed: int) -> np.ndarray:
    """Kendall, mean over seeds, on networks drawn with replacement."""
    drawn = resampled(len(truth), _RESAMPLES, seed)
    return np.array(
        [_mean([kendall(column[rows], truth[rows]) for column in columns]) for rows in drawn]
    )


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def of_enough(row: Mapping[str, Any], key: str) -> Any:
    """A row's value, None where it is of fewer than `FEW` networks; of the best twentieth, half as
    many will do."""
    least = FEW // 2 if key == "top_found" else FEW
    return None if row.get(f"networks_{_AMONG.get(key)}", least) < least else row.get(key)


def among(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """How many networks the slices of a table have: "better half: 12 networks; best tenth: 2, too
    few to tell"."""
    row = next(iter(rows.values()), {})
    parts = []
    for what, name, least in (
        ("better half", "top_half", FEW),
        ("best tenth", "top_tenth", FEW),
        ("best 5 %", "top_found", FEW // 2),
    ):
        count = row.get(f"networks_{name}")
        if count is not None:
            parts.append(f"{what}: {count}{'' if count >= least else ', too few to tell'}")
    return f"networks: {row['networks_all']}; {'; '.join(parts)}" if parts else ""


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values: below a level, so is the chance that any of them is below it by
    chance alone.

    (Holm, Scand. J. Statist. 1979.)
    """
    adjusted, highest = [1.0] * len(p), 0.0
    for rank, position in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = adjusted[position] = max(highest, min(1.0, (len(p) - rank) * p[position]))
    return adjusted


def table(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    """For people: one line per name, in the order given."""
    width = max([len(name) for name in rows] + [8])
    lines = [" " * width + "".join(f"{title:>12}" for _, title in columns)]
    for name, row in rows.items():
        cells = ["" if of_enough(row, key) is None else f"{row[key]:.3f}" for key, _ in columns]
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    if counts := among(rows):
        lines.append(counts)
    return "\n".join(lines)


def write_table(path: Path, heads: Sequence[str], rows: Mapping[Any, Mapping[str, Any]]) -> None:
    """As CSV: a line for each row, its key, a tuple of names, under `heads`, then every key that
    some row has."""
    keys = sorted({key for row in rows.values() for key in row})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*heads, *keys])
        for names, row in rows.items():
            writer.writerow([*names, *(row.get(key, "") for key in keys)])
