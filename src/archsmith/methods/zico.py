"""ZiCo (Li, Yang, Bhardwaj, Marculescu; ICLR 2023): score networks by gradient statistics, search for the best at each depth.

The score adds up over layers, so it prefers depth (Lee and others, ICCV workshops 2023, correct for it). Deep networks learn
slowly, and how much of that the time allows only training can tell: so depth is the second objective, and the short-list runs
from the shallowest to the deepest network of the front.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from archsmith.feasible import feasible_sample
from archsmith.methods.task import Task
from archsmith.metrics.proxies.baselines import Depth
from archsmith.metrics.proxies.zico import ZiCo
from archsmith.pareto import fronts
from archsmith.problem import Candidate, Problem, Trial, maximize, minimize
from archsmith.search import search as run_search
from archsmith.searchers.nsga import nsga2
from archsmith.searchers.random import random_search
from archsmith.space import Architecture

_TIMED = 5  # scores timed to see how many fit
_FEWEST, _MOST = 24, 3000
_PATIENCE = 1.5  # a stage that takes so many times its share of the seconds ends with what it has
_POPULATION = 32


def screen(task: Task) -> dict[str, Any]:
    """Scores a random feasible sample, a third of the trials: the start of the search and of its random twin."""
    third = _third(task)
    problem = _problem(task)
    sampling = random_search(problem, task.seed)
    run_search(
        problem,
        sampling,
        trials=third,
        archive=task.archive,
        stage="screen",
        stop=_stop(task, 1),
        on_trial=_telling(task, third),
    )
    trials = task.archive.stage("screen")
    best = _best(trials)
    seconds = [t.cost["seconds"] for t in trials if not t.failed and "seconds" in t.cost]
    return {
        "proxy": "zico",
        "scored": len(trials),
        "best": _named(best),
        "passes": 2 * len(trials),
        "seconds_per_score": sorted(seconds)[len(seconds) // 2] if seconds else None,
    }


def search(task: Task) -> dict[str, Any]:
    """NSGA-II on (ZiCo, depth) from the screened ones, as many random trials beside it; short-lists along the front."""
    third = _third(task)
    problem = _problem(task)
    screened = [t for t in task.archive.stage("screen") if not t.failed and t.feasible]
    start = [t.arch for t in _foremost(screened, min(_POPULATION, third))]
    evolving = nsga2(problem, task.seed, population=len(start) if len(start) >= 8 else 8, initial=start)
    known = {t.arch: t for t in screened}
    run_search(
        problem,
        evolving,
        trials=third + len(start),
        archive=task.archive,
        evaluate=lambda candidates, _: _measure(problem, candidates, known),
        stage="search",
        stop=_stop(task, 1),
        on_trial=_telling(task, third + len(start)),
    )
    sampling = random_search(problem, task.seed + 1)
    run_search(
        problem,
        sampling,
        trials=min(third, len(task.archive.stage("search")) - len(start)),
        archive=task.archive,
        stage="search-random",
        stop=_stop(task, 2),
        on_trial=_telling(task, third),
    )
    searched, sampled = task.archive.stage("search"), task.archive.stage("search-random")
    found = shortlist([*screened, *searched], task.finalists)
    return {
        "searcher": "nsga2",
        "trials": len(ranked([*screened, *searched])),
        "best": _named(_best([*screened, *searched])),
        "random": {"trials": len(ranked([*screened, *sampled])), "best": _named(_best([*screened, *sampled]))},
        "shortlist": [
            {"key": t.arch.key, "options": dict(t.arch), "origin": t.stage, "zico": t.metrics["zico"]} for t in found
        ],
    }


def _problem(task: Task) -> Problem:
    score = ZiCo(task.model, task.batches, seed=task.seed)
    return Problem(task.space, (maximize(score, name="zico"), minimize(Depth(task.model))), task.constraints)


def _stop(task: Task, thirds: int) -> Callable[[], bool] | None:
    """True once the running stage has taken more than its thirds of the seconds by far; never where trials were asked for."""
    if task.trials is not None:
        return None
    return lambda: task.spent() > _PATIENCE * thirds * task.seconds / 3


def _measure(problem: Problem, candidates: Sequence[Candidate], known: Mapping[Architecture, Trial]) -> list[Trial]:
    """Trials of the candidates; one that was screened already costs nothing."""
    fresh = iter(problem.evaluate([c for c in candidates if c.arch not in known], "search"))
    return [
        replace(known[c.arch], candidate=c, stage="search", cost={"evaluations": 0.0}) if c.arch in known else next(fresh)
        for c in candidates
    ]


def _third(task: Task) -> int:
    """Trials in each of screening, search and its random twin: as asked, or as many as a few timed ones say will fit."""

    def fit() -> int:
        score = ZiCo(task.model, task.batches, seed=task.seed)
        taken = []
        for arch in feasible_sample(task.space, task.constraints, Random(task.seed + 7), _TIMED):
            began = time.monotonic()
            score(arch)
            taken.append(time.monotonic() - began)
        each = sorted(taken)[len(taken) // 2]
        return max(_FEWEST, min(_MOST, int(task.seconds / each))) // 3

    return task.trials // 3 if task.trials is not None else int(task.decide("trials", fit))


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Feasible, measured trials by falling score, each architecture once."""
    unique = {t.arch.key: t for t in trials if not t.failed and t.feasible and "zico" in t.metrics}
    return sorted(unique.values(), key=lambda t: -t.metrics["zico"])


def shortlist(trials: Iterable[Trial], count: int) -> list[Trial]:
    """`count` of the networks that score best at their depth, evenly from the deepest to the shallowest, best score first."""
    front: list[Trial] = []
    for trial in ranked(trials):
        if not front or trial.metrics["depth"] < front[-1].metrics["depth"]:
            front.append(trial)
    if len(front) < count:
        known = {t.arch.key for t in front}
        return [*front, *[t for t in ranked(trials) if t.arch.key not in known][: count - len(front)]]
    deepest, shallowest = front[0].metrics["depth"], front[-1].metrics["depth"]
    chosen: list[Trial] = []
    for i in range(count):
        wanted = deepest - (deepest - shallowest) * i / max(1, count - 1)
        rest = [t for t in front if t not in chosen]
        chosen.append(min(rest, key=lambda t, wanted=wanted: abs(t.metrics["depth"] - wanted)))  # type: ignore[misc]
    return sorted(chosen, key=lambda t: -t.metrics["zico"])


def _foremost(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The first `count` by non-dominated front."""
    order = [i for front in fronts([t.losses for t in trials]) for i in front]
    return [trials[i] for i in order[:count]]


def _best(trials: Iterable[Trial]) -> Trial | None:
    return next(iter(ranked(trials)), None)


def _named(trial: Trial | None) -> dict[str, Any] | None:
    return None if trial is None else {"key": trial.arch.key, "score": trial.metrics["zico"], "depth": trial.metrics["depth"]}


def _telling(task: Task, total: int) -> Callable[[Trial], None]:
    count, best = 0, float("-inf")

    def tell(trial: Trial) -> None:
        nonlocal count, best
        count += 1
        best = max(best, trial.metrics.get("zico", best))
        task.tell(f"{count} of {total} networks scored, best ZiCo {best:.1f}", count / total)

    return tell
