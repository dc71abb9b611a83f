"""A rank sum of training-free scores, `ENSEMBLES["archsmith"]`; the ranks are those among a few random networks."""

from __future__ import annotations

from typing import Any

from archsmith.methods import scored
from archsmith.methods.task import Task
from archsmith.metrics.proxies import build_all
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Reference, Referred

_MEMBERS = ENSEMBLES["archsmith"]
_REFERENCE = 32  # networks whose scores the ranks are taken among
_PASSES = 2  # AZ-NAS's, and the flow's that finds dead edges; MeCo's one image counts nothing


def screen(task: Task) -> dict[str, Any]:
    """Scores random networks."""
    return scored.screen(task, _score(task))


def search(task: Task) -> dict[str, Any]:
    """Evolution on the score."""
    return scored.search(task, _score(task))


def _score(task: Task) -> scored.Score:
    scores = build_all(_MEMBERS.proxies, task.model, task.batches, costs=task.costs, seed=task.seed)

    def reference() -> list[dict[str, float]]:
        found = [scores(arch) for arch in scored.some(task, _REFERENCE)[0]]
        return [{name: row[name] for name, _ in _MEMBERS.members} for row in found]

    rows = task.decide("reference", reference)
    return scored.Score(_MEMBERS.name, Referred(scores, Reference(_MEMBERS, rows)), _PASSES)
