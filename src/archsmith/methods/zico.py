"""ZiCo (Li, Yang, Bhardwaj, Marculescu; ICLR 2023): rank networks by gradient statistics, search for the best at each depth."""

from __future__ import annotations

from typing import Any

from archsmith.methods import scored
from archsmith.methods.task import Task
from archsmith.metrics.proxies.zico import ZiCo


def screen(task: Task) -> dict[str, Any]:
    """Scores random networks."""
    return scored.screen(task, _score(task))


def search(task: Task) -> dict[str, Any]:
    """Evolution on the score."""
    return scored.search(task, _score(task))


def _score(task: Task) -> scored.Score:
    """Without shortcuts where the space says so, as in the paper's own."""
    drop = bool(getattr(task.model, "score_without_shortcuts", False))
    metric = ZiCo(task.model, task.batches, seed=task.seed, drop_shortcuts=drop, loss=task.loss)
    return scored.Score("zico", metric, metric.passes)
