"""Search on a training-free score: random networks first, evolution from the best, a short-list for training to decide among.

Scores add up over layers, so they prefer depth (Lee and others, ICCV workshops 2023, correct ZiCo for it). How much depth pays
is a matter of how long one can train: so depth is the second objective, the short-list holds several depths, and training
decides.

Two things make a short search good. The sum over layers of ln(weights) costs nothing and ranks much as the scores do, above
all as ZiCo, of which it is a lower bound (no ratio of a mean absolute value to a deviation of two numbers is below 1): it fills
the first population. And where time is short, only networks are short-listed that it lets see the images often enough.

A model that proposes changes itself (the Zen space) is searched as in ZiCo's paper: steady-state evolution from its start, by
its own proposals; rejected ones count as trials. The same walk without selection is then screening and twin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch

from archsmith.archive import Archive
from archsmith.errors import UserError
from archsmith.feasible import feasible_sample
from archsmith.methods.task import Task
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.pareto import fronts
from archsmith.problem import Candidate, Constraint, Metric, Objective, Problem, Trial, at_most, maximize, minimize
from archsmith.search import GeneratorSearcher
from archsmith.search import search as run_search
from archsmith.searchers.evolution import evolution
from archsmith.searchers.nsga import nsga2
from archsmith.searchers.random import random_search
from archsmith.searchers.steady import Proposing, steady_state
from archsmith.space import Architecture
from archsmith.supernet import extract
from archsmith.training.pace import Pace, fitted, timed

_TIMED = 5  # scores timed to see how many fit
_FEWEST, _MOST = 24, 3000
_WALK = 2000  # proposals looked at, at most, to find those
PATIENCE = 1.5  # a stage that takes so many times its share of the seconds ends with what it has
_POPULATION = 32
_CHEAP = 50  # architectures whose lower bound is looked at, per second of scoring
_CHEAP_FEWEST, _CHEAP_MOST = 500, 5000
_CHEAP_POPULATION = 64
_PACED = 6  # networks timed from the front of lower bounds, and as many random ones
_SEEN = (8.0, 4.0)  # how often training should see each image, where the time does not allow more


@dataclass(frozen=True)
class Score:
    """What is searched on, the larger the better: what trials call it, the metric, forward and backward passes per network."""

    name: str
    metric: Metric
    passes: int


def screen(task: Task, score: Score) -> dict[str, Any]:
    """Scores a random feasible sample, a third of the trials: the start of the search and of its random twin."""
    third = third_of(task, score)
    problem = _problem(task, score, _counts(task))
    sampling = _blind(task, problem, task.seed)
    run_search(
        problem,
        sampling,
        trials=third,
        archive=task.archive,
        stage="screen",
        stop=_stop(task, 1, "screen"),
        on_trial=_telling(task, score, third),
    )
    trials = task.archive.stage("screen")
    seconds = [t.cost["seconds"] for t in trials if not t.failed and "seconds" in t.cost]
    scored = sum(score.name in t.metrics for t in trials)
    return {
        "proxy": score.name,
        "scored": scored,
        "best": _best(trials, score),
        "passes": score.passes * scored,
        "seconds_per_score": sorted(seconds)[len(seconds) // 2] if seconds else None,
    }


def search(task: Task, score: Score) -> dict[str, Any]:
    """NSGA-II on (score, depth) from the largest sums of ln(weights) and the screened ones; as many random trials beside it."""
    third = third_of(task, score)
    counts = _counts(task)
    problem = _problem(task, score, counts)
    screened = [t for t in task.archive.stage("screen") if not t.failed and t.feasible]
    known = {t.arch: t for t in screened}
    limits: tuple[Constraint, ...] = ()
    if isinstance(task.model, Proposing):
        start = [task.model.start]
        evolving = steady_state(problem, task.seed + 2, start=task.model.start, propose=task.model.propose)
    else:
        limits = _limits(task, counts)
        chosen = task.decide("promising", lambda: _promising(task, counts, limits, third // 2))
        promising = [Architecture(options) for options in chosen]
        start = [*promising, *(t.arch for t in _foremost(screened, min(_POPULATION, third)) if t.arch not in promising)]
        start = start[: max(8, min(_POPULATION, third))]
        evolving = nsga2(problem, task.seed, population=max(8, len(start)), initial=start)
    run_search(
        problem,
        evolving,
        trials=third + sum(arch in known for arch in start),
        archive=task.archive,
        evaluate=lambda candidates, _: _measure(problem, candidates, known),
        stage="search",
        stop=_stop(task, 1, "search"),
        on_trial=_telling(task, score, third),
    )
    sampling = _blind(task, problem, task.seed + 1)
    run_search(
        problem,
        sampling,
        trials=min(third, sum(t.arch not in known for t in task.archive.stage("search"))),
        archive=task.archive,
        stage="search-random",
        stop=_stop(task, 2, "search-random"),
        on_trial=_telling(task, score, third),
    )
    searched, sampled = task.archive.stage("search"), task.archive.stage("search-random")
    found = shortlist([*screened, *searched], score.name, task.finalists, limits)
    return {
        "searcher": "evolution" if isinstance(task.model, Proposing) else "nsga2",
        "trials": len(ranked([*screened, *searched], score.name)),
        "best": _best([*screened, *searched], score),
        "random": {
            "trials": len(ranked([*screened, *sampled], score.name)),
            "best": _best([*screened, *sampled], score),
        },
        "shortlist": [
            {"key": t.arch.key, "options": dict(t.arch), "origin": t.stage, score.name: t.metrics[score.name]} for t in found
        ],
    }


def _blind(task: Task, problem: Problem, seed: int) -> GeneratorSearcher:
    """Uniformly random networks, or the walk without selection of a model that proposes changes itself."""
    if isinstance(task.model, Proposing):
        return steady_state(problem, seed, start=task.model.start, propose=task.model.propose, population=None)
    return random_search(problem, seed)


def _counts(task: Task) -> Costs:
    names = ("macs", "depth") if isinstance(task.model, Proposing) else ("macs", *LAYERS)
    return Costs(task.model, tuple(task.batches[0][0].shape[1:]), names)


def _problem(task: Task, score: Score, counts: Costs) -> Problem:
    return Problem(task.space, (maximize(score.metric, name=score.name), _shallow(task, counts)), task.constraints)


def _shallow(task: Task, counts: Costs) -> Objective:
    """Depth, by the metric that bounds it where one does."""
    return minimize(next((limit.metric for limit in task.constraints if limit.name == "depth"), counts), name="depth")


def _stop(task: Task, thirds: int, stage: str) -> Callable[[], bool] | None:
    """True once the running stage has taken more than its thirds of the seconds by far; never where trials were asked for.

    Nor before a short-list's worth of networks is screened, and as many are seen by the stage itself: too little time is no
    reason to end with nothing, and what is counted before a search must not leave it none.
    """
    if task.trials is not None:
        return None

    def over() -> bool:
        if task.spent() <= PATIENCE * thirds * task.seconds / 3:
            return False
        seen = (sum(trial.feasible for trial in task.archive.stage(name)) for name in ("screen", stage))
        return min(seen) >= task.finalists

    return over


def _measure(problem: Problem, candidates: Sequence[Candidate], known: Mapping[Architecture, Trial]) -> list[Trial]:
    """Trials of the candidates; one that was screened already costs nothing."""
    fresh = iter(problem.evaluate([c for c in candidates if c.arch not in known], "search"))
    return [
        replace(known[c.arch], candidate=c, stage="search", cost={"evaluations": 0.0}) if c.arch in known else next(fresh)
        for c in candidates
    ]


def third_of(task: Task, score: Score) -> int:
    """Trials in each of screening, search and its random twin: as asked, or as many as a few timed ones say will fit."""

    def fit() -> int:
        taken = []
        archs, accepted = some(task, _TIMED)
        for arch in archs:
            began = time.monotonic()
            score.metric(arch)
            taken.append(time.monotonic() - began)
        each = sorted(taken)[len(taken) // 2]
        left = max(task.seconds - task.spent(), 0.0)
        return max(_FEWEST, min(_MOST, int(left / (each * accepted)))) // 3

    return task.trials // 3 if task.trials is not None else int(task.decide("trials", fit))


def some(task: Task, count: int) -> tuple[list[Architecture], float]:
    """A few feasible networks, always the same, and the share of a search's trials that are feasible."""
    if not isinstance(task.model, Proposing):
        return feasible_sample(task.space, task.constraints, Random(task.seed + 7), count), 1.0
    limits, rng = Problem(task.space, (), task.constraints), Random(task.seed + 7)
    found: list[Architecture] = []
    for tried in range(1, _WALK + 1):
        arch = task.model.propose(rng.choice([task.model.start, *found]), rng, 1)
        found += [arch] if limits.evaluate([Candidate(arch)])[0].feasible else []
        if len(found) == count:
            return found, count / tried
    raise UserError(
        f"of {_WALK} changes to the network where the search of this space starts {len(found)} keep the budget; "
        "give a wider one, or another --space (`archsmith spaces`)"
    )


def ranked(trials: Iterable[Trial], score: str) -> list[Trial]:
    """Feasible, measured trials by falling score, each architecture once."""
    unique = {t.arch.key: t for t in trials if not t.failed and t.feasible and score in t.metrics}
    return sorted(unique.values(), key=lambda t: -t.metrics[score])


def shortlist(trials: Iterable[Trial], score: str, count: int, limits: Sequence[Constraint] = ()) -> list[Trial]:
    """`count` of the networks that score best at their depth, best score first.

    Without limits evenly from the deepest to the shallowest. Limits on the training time share the places, and with each the
    depths lie closer to the shallow end (evenly in the logarithm, about a quarter to half of the way).
    """
    everything = ranked(trials, score)
    if not limits:
        front = _front(everything)
        depths = [t.metrics["depth"] for t in front] or [0.0]
        wanted = [depths[0] - (depths[0] - depths[-1]) * i / max(1, count - 1) for i in range(count)]
        chosen = _nearest(front, wanted, [])
    else:
        chosen = []
        for position, limit in enumerate(limits):
            places = (count - len(chosen)) // (len(limits) - position)
            within = [t for t in everything if not limit.excess(float(limit.metric(t.arch)))]  # type: ignore[arg-type]
            front = _front(within)
            depths = [t.metrics["depth"] for t in front] or [1.0]
            wanted = [depths[-1] * (depths[0] / depths[-1]) ** ((i + 1) / (places + 2)) for i in range(places)]
            chosen += _nearest(front, wanted, chosen)
    rest = [t for t in everything if t not in chosen]
    return sorted([*chosen, *rest[: count - len(chosen)]], key=lambda t: -t.metrics[score])


def _front(ranking: Sequence[Trial]) -> list[Trial]:
    """Those than which nothing shallower scores as high, from the deepest to the shallowest."""
    front: list[Trial] = []
    for trial in ranking:
        if not front or trial.metrics["depth"] < front[-1].metrics["depth"]:
            front.append(trial)
    return front


def _nearest(front: Sequence[Trial], depths: Sequence[float], taken: Sequence[Trial]) -> list[Trial]:
    """For each depth the network of the front closest to it that is not taken yet; fewer where the front ends."""
    chosen: list[Trial] = []
    for depth in depths:
        rest = [t for t in front if t not in chosen and t not in taken]
        if rest:
            chosen.append(min(rest, key=lambda t, depth=depth: abs(t.metrics["depth"] - depth)))  # type: ignore[misc]
    return chosen


# -- what is known before any score -----------------------------------------------------------------------------------------


def _bounded(task: Task, counts: Costs, limits: Sequence[Constraint], trials: int) -> list[Trial]:
    """The front of (sum of ln(weights), depth) under the limits, from the deepest to the shallowest."""
    objectives = (maximize(counts, name="log_sizes"), _shallow(task, counts))
    problem = Problem(task.space, objectives, (*task.constraints, *limits))
    archive = Archive()
    run_search(problem, nsga2(problem, task.seed, population=_CHEAP_POPULATION), trials=trials, archive=archive)
    found = sorted((t for t in archive if not t.failed and t.feasible), key=lambda t: t.losses)
    return _front(found)


def _limits(task: Task, counts: Costs) -> tuple[Constraint, ...]:
    """Upper limits of training milliseconds per image, where time is counted and some networks would see too few images.

    None is below what half as much again as the fastest network takes.
    """
    training = task.training
    if training is None:
        return ()

    def measure() -> dict[str, Any]:
        front = _bounded(task, counts, (), _CHEAP_FEWEST)
        some = [t.arch for t in front[:: max(1, len(front) // _PACED)]]
        some += feasible_sample(task.space, task.constraints, Random(task.seed + 11), _PACED)
        networks = (extract(task.model, a, "fresh", torch.Generator().manual_seed(0), device="cpu") for a in some)
        took = list(timed(networks, task.batches, training.recipe, device=task.device, class_counts=training.class_counts))
        pace = Pace(counts, fitted([counts(a) for a in some], took))
        problem = Problem(task.space, (minimize(pace),), task.constraints)
        fastest = run_search(problem, evolution(problem, task.seed), trials=_CHEAP_FEWEST).best
        return {"weights": dict(pace.weights), "slowest": max(took), "fastest": fastest.losses[0] if fastest else 0.0}

    found = task.decide("pace", measure)
    pace = Pace(counts, found["weights"])
    allowed = [1e3 * training.seconds / (seen * training.images) for seen in _SEEN]
    if found["slowest"] <= allowed[-1]:
        return ()
    return tuple(at_most(pace, max(limit, 1.5 * found["fastest"])) for limit in allowed)


def _promising(task: Task, counts: Costs, limits: Sequence[Constraint], count: int) -> list[dict[str, Any]]:
    """Up to `count` architectures, evenly along the fronts of lower bounds, one front for each limit."""
    trials = max(_CHEAP_FEWEST, min(_CHEAP_MOST, int(_CHEAP * task.seconds)))
    fronts_ = [_bounded(task, counts, (limit,), trials) for limit in limits] or [_bounded(task, counts, (), trials)]
    found: list[Architecture] = []
    for front in fronts_:
        places = max(1, count // len(fronts_))
        steps = max(1, min(places, len(front)) - 1)
        found += [front[round(i * (len(front) - 1) / steps)].arch for i in range(min(places, len(front)))]
    return [dict(arch) for arch in dict.fromkeys(found)]


def _foremost(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The first `count` by non-dominated front."""
    order = [i for front in fronts([t.losses for t in trials]) for i in front]
    return [trials[i] for i in order[:count]]


def _best(trials: Iterable[Trial], score: Score) -> dict[str, Any] | None:
    """For the record."""
    found = next(iter(ranked(trials, score.name)), None)
    if found is None:
        return None
    return {"key": found.arch.key, "score": found.metrics[score.name], "depth": found.metrics["depth"]}


def _telling(task: Task, score: Score, total: int) -> Callable[[Trial], None]:
    count, best = 0, float("-inf")

    def tell(trial: Trial) -> None:
        nonlocal count, best
        count += 1
        best = max(best, trial.metrics.get(score.name, best))
        said = f", best score {best:.1f}" if best > float("-inf") else ""
        task.tell(f"{count} of {total} networks tried{said}", count / total)

    return tell
