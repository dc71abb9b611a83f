"""Random search: feasible networks, unranked, straight to training; the baseline that every method has to beat."""

from __future__ import annotations

from random import Random
from typing import Any

from archsmith.feasibility.sampler import feasible_sample
from archsmith.methods.task import Task

SCORES = False


def screen(task: Task) -> dict[str, Any]:
    """Nothing to score."""
    return {"proxy": None, "scored": 0, "best": None, "passes": 0, "seconds_per_score": 0.0}


def search(task: Task) -> dict[str, Any]:
    """As many feasible architectures as can be trained, each equally likely."""
    found = feasible_sample(task.space, task.constraints, Random(task.seed), task.finalists)
    shortlist = [{"key": arch.key, "options": dict(arch), "origin": "random"} for arch in found]
    return {"searcher": "random", "trials": 0, "best": None, "random": None, "shortlist": shortlist}
