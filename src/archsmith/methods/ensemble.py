"""A rank sum of training-free scores: one for cells, for mobile networks, for Transformers; ranks among random networks."""

from __future__ import annotations

from typing import Any

from archsmith.methods import scored
from archsmith.methods.task import Task
from archsmith.metrics.proxies import build_all
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Reference, Referred
from archsmith.spaces import described

_REFERENCE = 32  # networks whose scores the ranks are taken among
_FEWEST = 12  # ... where time is short
_PASSES = {"archsmith": 2, "archsmith-mobile": 0, "archsmith-vit": 0}  # of data; MeCo's one image counts nothing


def screen(task: Task) -> dict[str, Any]:
    """Scores random networks."""
    return scored.screen(task, _score(task))


def search(task: Task) -> dict[str, Any]:
    """Evolution on the score."""
    return scored.search(task, _score(task))


def _score(task: Task) -> scored.Score | None:
    """The ensemble that was chosen on networks of the kind, by the benchmark that `ENSEMBLES` names; None where there is too
    little time to score enough networks to take ranks among."""
    ensemble = ENSEMBLES[described(task.space_name).ensemble or "archsmith"]
    scores = build_all(
        ensemble.proxies, task.model, task.batches, costs=task.costs, seed=task.seed, loss=task.loss,
        canonical=described(task.space_name).canonical,  # as it was chosen and judged: without dead operations
    )  # fmt: skip

    def reference() -> list[dict[str, float]]:
        late, found = scored.late(task, "ranks"), []
        for arch in scored.some(task, _REFERENCE)[0] if task.seconds >= scored.LEAST_S else ():
            if late():
                break
            found.append(scores(arch))
        return [{name: row[name] for name, _ in ensemble.members} for row in found]

    rows = task.decide("reference", reference)
    if len(rows) < _FEWEST:
        return None
    return scored.Score(ensemble.name, Referred(scores, Reference(ensemble, rows)), _PASSES[ensemble.name])
