"""Search on estimates by shared weights: how far they can be trusted, guided search on them and random search beside it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import active, calibrate, extract
from archsmith.elastic.tree import Node, route
from archsmith.methods import scored
from archsmith.methods.task import Sharing, Task, TooLittleTime
from archsmith.metrics.accuracy import evaluate
from archsmith.metrics.shared import SharedAccuracy
from archsmith.predictors.ranking import kendall, spearman
from archsmith.problem import Problem, Trial, minimize
from archsmith.searchers.guided import guided
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.random import random_search
from archsmith.space import Architecture
from archsmith.spaces import described
from archsmith.training.loop import advance, start
from archsmith.training.recipe import LOSSES, Recipe

TRAINING = 0.85  # of the budget for shared weights; the rest checks estimates on a few networks trained by themselves
_CHECKED = 8
_TRUSTED_FROM = 4  # networks checked, below which agreement says nothing
FOLLOWED = 0.2  # Kendall on those, below which estimates are not followed
_LEAST_STEPS = 100
_PERMUTATIONS = 2000


def estimate(task: Task, root: Node, held_out: Sequence[tuple[Tensor, Tensor]] | None = None) -> SharedAccuracy:
    """The metric of a trained tree, on all of the images held out unless others are given."""
    assert task.sharing is not None
    sharing = task.sharing()
    judged = sharing.held_out if held_out is None else held_out
    return SharedAccuracy(root, sharing.calibration, judged, canonical=described(task.space_name).canonical, judge=task.judge)


def train(task: Task, root: Node, metric: SharedAccuracy | None = None) -> dict[str, Any]:
    """For the record: the nodes, what they cost, and how far their estimates by `metric` can be trusted."""
    nodes = [
        {"name": n.name, "parent": n.parent.name if n.parent else None, "images": n.trained, "macs": n.macs,
         "options": _split_of(n)}
        for n in root.walk()
    ]  # fmt: skip
    return {
        "nodes": nodes,
        "images": root.cost,
        "macs": sum(n.macs for n in root.walk()),
        "trust": _trust(task, metric or estimate(task, root)),
    }


def networks(task: Task, root: Node) -> Callable[[Architecture], nn.Module]:
    """arch -> its network with the weights of the node that estimates it."""
    canonical = described(task.space_name).canonical
    return lambda arch: extract(route(root, arch, canonical).model, arch, device="cpu")


def search(task: Task, root: Node) -> dict[str, Any]:
    """Predictor-guided search on the held-out loss, as many random networks beside it; the best of all are short-listed.

    By loss rather than accuracy: where weights are shared by many and trained shortly it ranks better. Guided by a predictor
    because that search is first in a large space and among the first in a small one (both in benchmarks/RESULTS.md), and needs
    no more trials than there are to make a difference, where a population would be all of them.
    """
    metric = estimate(task, root)
    score = scored.Score("shared_accuracy", metric, 0)
    problem = Problem(task.space, (minimize(metric, name="shared_loss"),), task.constraints)
    half = scored.third_of(task, score) * 3 // 2
    stages = (("search", guided(problem, task.seed)), ("search-random", random_search(problem, task.seed + 1)))
    for stage, searcher in stages:
        run_searcher(
            problem, searcher, trials=half, archive=task.archive, stage=stage, stop=scored.stop(task, stage),
            on_trial=_telling(task, half),
        )  # fmt: skip
    return shortlisted(task, "guided")


def shortlisted(task: Task, searcher: str) -> dict[str, Any]:
    """What a search on estimates leaves: the best of its trials and of random search's, if there was one."""
    found = {stage: _ranked(task.archive.stage(stage)) for stage in ("search", "search-random")}
    best = _ranked([*found["search"], *found["search-random"]])[: task.finalists]
    if not best:
        return scored.unscored(task, "too little time for an estimate; the sum of ln(weights)")
    random = {"trials": len(found["search-random"]), "best": _best(found["search-random"])}
    return {
        "searcher": searcher,
        "trials": len(found["search"]),
        "best": _best(found["search"]),
        "random": random if found["search-random"] else None,
        "shortlist": [listing(trial) for trial in best],
    }


def listing(trial: Trial) -> dict[str, Any]:
    """A network of the short-list."""
    value = trial.metrics["shared_accuracy"]
    return {"key": trial.arch.key, "options": dict(trial.arch), "origin": trial.stage, "shared_accuracy": value}


def _telling(task: Task, total: int) -> Callable[[Trial], None]:
    count, best = 0, 0.0

    def tell(trial: Trial) -> None:
        nonlocal count, best
        count, best = count + 1, max(best, trial.metrics.get("shared_accuracy", 0.0))
        task.tell(f"{count} of {total} networks estimated, the best at {best:.1%}", count / total)

    return tell


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Feasible ones by rising loss, each architecture once."""
    unique = {t.arch.key: t for t in trials if not t.failed and t.feasible and "shared_loss" in t.metrics}
    return sorted(unique.values(), key=lambda t: t.metrics["shared_loss"])


def _best(trials: Sequence[Trial]) -> dict[str, Any] | None:
    return {"key": trials[0].arch.key, "score": 100 * trials[0].metrics["shared_accuracy"]} if trials else None


def _split_of(node: Node) -> dict[str, list[Any]]:
    """What tells the node from its parent."""
    if node.parent is None:
        return {}
    above = node.parent.space.options
    return {name: list(options) for name, options in node.space.options.items() if options != above[name]}


# -- how far the estimates can be trusted -----------------------------------------------------------------------------------


def _trust(task: Task, metric: SharedAccuracy) -> dict[str, Any]:
    """A few random networks trained by themselves for a short time, against their estimates: Kendall, Spearman, and p of a
    Kendall as high by chance."""
    assert task.sharing is not None
    sharing = task.sharing()
    archs = scored.some(task, _CHECKED)[0]
    rows: list[dict[str, Any]] = []
    slowest = 0.0
    for position, arch in enumerate(archs):
        began = task.spent()
        if sharing.seconds is not None and task.decide(f"train/check/{arch.key}/late", partial(_late, task, sharing, slowest)):
            break
        task.tell(f"training network {position + 1} of {len(archs)} by itself, to check the estimates", position / len(archs))
        own = task.decide(f"train/check/{arch.key}", partial(_alone, task, sharing, arch, len(archs) - position))
        found = metric(arch)
        rows.append({"key": arch.key, "estimate": found["shared_accuracy"], "estimated_loss": found["shared_loss"], **own})
        slowest = max(slowest, task.spent() - began)
    if len(rows) < _TRUSTED_FROM:
        why = f"there was time to check them on {len(rows)} networks, which says nothing"
        return {"networks": rows, "kendall": 0.0, "spearman": 0.0, "p": 1.0, "why": why}
    estimates, truth = [-row["estimated_loss"] for row in rows], [row["accuracy"] for row in rows]
    agreement = {"kendall": kendall(estimates, truth), "spearman": spearman(estimates, truth)}
    known = {name: value if math.isfinite(value) else 0.0 for name, value in agreement.items()}  # all equal: no order at all
    return {"networks": rows, **known, "p": chance(estimates, truth, task.seed)}


def _late(task: Task, sharing: Sharing, slowest: float) -> bool:
    """Whether one more network would not be done by the end of the seconds for shared weights."""
    assert sharing.seconds is not None
    return task.spent() + slowest > sharing.seconds


def affordable(task: Task, sharing: Sharing, model: nn.Module) -> None:
    """TooLittleTime where the seconds for shared weights allow too few steps for them to learn anything."""
    if sharing.seconds is None:
        return

    def measure() -> float:
        stream, taken = sharing.stream(0), []
        loss, rng = LOSSES[task.goal.loss], Random(task.seed)
        model.to(task.device).train()
        for _ in range(2):
            x, y = next(stream)
            began = time.monotonic()
            with active(model, task.space.sample(rng)):
                loss(model(x), y).backward()
            taken.append(time.monotonic() - began)
        model.zero_grad(set_to_none=True)
        return min(taken)

    each = task.decide("train/step_s", measure)
    steps = int(TRAINING * sharing.seconds / each)
    if steps < _LEAST_STEPS:
        raise TooLittleTime(
            f"{sharing.seconds:.1f} s for weights that networks share are {steps} steps, with which they learn nothing"
        )


def chance(estimates: Sequence[float], truth: Sequence[float], seed: int = 0) -> float:
    """How often a random order agrees at least as well (Kendall); every order where there are at most 7 values."""
    own = kendall(estimates, truth)
    if not math.isfinite(own):
        return 1.0
    if len(truth) <= 7:
        orders: list[Sequence[float]] = list(itertools.permutations(truth))
    else:
        rng = Random(seed)
        orders = [truth, *(rng.sample(list(truth), len(truth)) for _ in range(_PERMUTATIONS - 1))]
    return sum(kendall(estimates, order) >= own - 1e-12 for order in orders) / len(orders)


def _alone(task: Task, sharing: Sharing, arch: Architecture, left: int) -> dict[str, float]:
    """Accuracy on the held-out images of one network trained from nothing, with its part of what is left of the budget."""
    network = extract(task.model, arch, "fresh", torch.Generator().manual_seed(mix(task.seed, arch.key)), device="cpu")
    steps = seconds = None
    if sharing.steps is not None:
        steps = max(1, int((1 - TRAINING) * sharing.steps / _CHECKED))
    else:
        assert sharing.seconds is not None
        seconds = max(0.5, (sharing.seconds - task.spent()) / left)
    recipe: Recipe = replace(sharing.recipe, ema=0.0)
    state = start(network, recipe, seed=task.seed, device=task.device, class_counts=sharing.class_counts)
    advance(state, sharing.stream(0), total_steps=steps, total_seconds=seconds)
    found = evaluate(calibrate(state.module, sharing.calibration), sharing.held_out, task.judge)
    return {"accuracy": found["accuracy"], "loss": found["loss"], "images": float(state.passes)}
