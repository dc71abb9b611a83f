"""Whether a network is any better than an answer that never looks at the image: always the largest
class, or the mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from archsmith._internal.statistics import Z95

_INFORMED = 0.25


def against_constant(result: Mapping[str, Any]) -> dict[str, Any]:
    """{"constant": what the best constant answer reaches, "above": whether the network is better,
    as far as its images tell}.

    result: of `metrics.accuracy`. Of classes the constant is the share of the largest, and a
    network is better where its accuracy is, by its 95 % interval, or where its balanced accuracy
    comes at least a quarter of the way from that of a constant, 1 / classes, to 1: a network that
    finds a rare class may be right less often than one that never looks for it. Of numbers the
    constant is the mean of the training images, which explains nothing of the variance.
    """
    confusion = result.get("confusion")
    if confusion is None:
        return {"constant": 0.0, "above": result["interval"][0] > 0}
    totals = [sum(row) for row in confusion]
    largest = max(totals) / sum(totals)
    if result["interval"][0] > largest:
        return {"constant": largest, "above": True}
    present = [
        (row[place], total)
        for place, (row, total) in enumerate(zip(confusion, totals, strict=True))
        if total
    ]
    # Agresti and Coull's estimate of each recall: no variance is zero
    recalls = [((hits + 2) / (total + 4), total + 4) for hits, total in present]
    spread = math.sqrt(sum(recall * (1 - recall) / n for recall, n in recalls)) / len(recalls)
    balanced = sum(hits / total for hits, total in present) / len(present)
    constant = 1 / len(present)
    return {
        "constant": largest,
        "above": balanced - Z95 * spread > constant + _INFORMED * (1 - constant),
    }


def more_time(images_seen: float, images_wanted: float, time_s: float) -> float | None:
    """Seconds to ask for so that a training sees as many images as it should; None where it has
    seen as many."""
    if images_seen <= 0 or images_seen >= images_wanted:
        return None
    return time_s * images_wanted / images_seen
