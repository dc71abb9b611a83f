"""Search on estimates by shared weights: how far they can be trusted, guided search on them and
random search beside it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archsmith._internal.onednn import sound
from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import active, calibrate, extract
from archsmith.elastic.tree import Node, route
from archsmith.methods import scored
from archsmith.methods.job import Job, Sharing
from archsmith.methods.listing import entry
from archsmith.methods.protocol import TooLittleTime
from archsmith.metrics.accuracy import evaluate
from archsmith.metrics.estimates import SharedAccuracy
from archsmith.predictors.ranking import kendall, spearman
from archsmith.problem import Problem, Trial, minimize
from archsmith.run import clock
from archsmith.run.records import Searched, Trained
from archsmith.run.records.search import Best, Listed, RandomSearch, Supernet, Trust, TrustCheck
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.predictor_guided import predictor_guided
from archsmith.searchers.random import random_search
from archsmith.space import Architecture
from archsmith.spaces import described
from archsmith.training.loop import advance, start
from archsmith.training.losses import LOSSES
from archsmith.training.recipe import Recipe

_CHECKED = 8
_TRUSTED_FROM = 4  # networks checked, below which agreement says nothing
FOLLOWED = 0.2  # Kendall on those, below which estimates are not followed
_PERMUTATIONS = 2000


def estimate(
    job: Job, root: Node, held_out: Sequence[tuple[Tensor, Tensor]] | None = None
) -> SharedAccuracy:
    """The metric of a trained tree, on all of the images held out unless others are given."""
    assert job.data.sharing is not None
    sharing = job.data.sharing()
    judged = sharing.held_out if held_out is None else held_out
    return SharedAccuracy(
        root,
        sharing.calibration,
        judged,
        canonical=described(job.space.name).canonical,
        judge=job.data.judge,
    )


_UNCHECKED = Trust(
    networks=(), kendall=0.0, spearman=0.0, p=1.0, why="what they estimate is not checked"
)


def train(
    job: Job, root: Node, metric: SharedAccuracy | None = None, *, checked: bool = True
) -> Trained:
    """For the record: the nodes, what they cost, and how far their estimates by `metric` can be
    trusted, where that is `checked`."""
    nodes = tuple(
        Supernet(
            name=n.name,
            parent=n.parent.name if n.parent else None,
            images=n.trained,
            macs=n.macs,
            options=_split_of(n),
        )
        for n in root.walk()
    )
    return Trained(
        nodes=nodes,
        images=root.cost,
        macs=sum(n.macs for n in root.walk()),
        trust=_trust(job, metric or estimate(job, root)) if checked else _UNCHECKED,
    )


def network(job: Job, root: Node, arch: Architecture) -> nn.Module:
    """The architecture's network with the weights of the node that estimates it."""
    return extract(route(root, arch, described(job.space.name).canonical).model, arch, device="cpu")


def search(job: Job, root: Node) -> Searched:
    """Predictor-guided search on the held-out loss, as many random networks beside it; the best of
    all are short-listed.

    By loss rather than accuracy: where weights are shared by many and trained shortly it ranks
    better. Guided by a predictor because that search is first in a large space and among the first
    in a small one (results ofa-guided, nasbench201-200-guided), and needs no more trials than there
    are to make a difference, where a population would be all of them.
    """
    metric = estimate(job, root)
    score = scored.Score("shared_accuracy", metric, 0)
    problem = Problem(
        job.space.decisions, (minimize(metric, name="shared_loss"),), job.space.limits
    )
    half = scored.third_of(job, score) * 3 // 2
    stages = (
        ("search", predictor_guided(problem, job.seed)),
        ("search-random", random_search(problem, job.seed + 1)),
    )
    for stage, searcher in stages:
        run_searcher(
            problem,
            searcher,
            trials=half,
            archive=job.log.archive,
            stage=stage,
            stop=scored.stop(job, stage),
            on_trial=_telling(job, half),
        )
    return shortlisted(job, "guided")


def shortlisted(job: Job, searcher: str) -> Searched:
    """What a search on estimates leaves: the best of its trials and of random search's, if there
    was one."""
    by_stage = {
        stage: _ranked(job.log.archive.stage(stage)) for stage in ("search", "search-random")
    }
    best = _ranked([*by_stage["search"], *by_stage["search-random"]])[: job.clock.finalists]
    if not best:
        return scored.unscored(job, "too little time for an estimate; the sum of ln(weights)")
    random = RandomSearch(
        trials=len(by_stage["search-random"]), best=_best(by_stage["search-random"])
    )
    return Searched(
        searcher=searcher,
        trials=len(by_stage["search"]),
        best=_best(by_stage["search"]),
        random=random if by_stage["search-random"] else None,
        shortlist=tuple(listed(trial) for trial in best),
    )


def listed(trial: Trial) -> Listed:
    """A network of the short-list."""
    return entry(trial.arch, trial.stage, shared_accuracy=trial.metrics["shared_accuracy"])


def _telling(job: Job, total: int) -> Callable[[Trial], None]:
    count, best = 0, 0.0

    def tell(trial: Trial) -> None:
        nonlocal count, best
        count, best = count + 1, max(best, trial.metrics.get("shared_accuracy", 0.0))
        job.log.tell(
            f"{count} of {total} networks estimated, the best at {best:.1%}", count / total
        )

    return tell


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Feasible ones by rising loss, each architecture once."""
    unique = {
        t.arch.key: t for t in trials if not t.failed and t.feasible and "shared_loss" in t.metrics
    }
    return sorted(unique.values(), key=lambda t: t.metrics["shared_loss"])


def _best(trials: Sequence[Trial]) -> Best | None:
    return (
        Best(key=trials[0].arch.key, score=100 * trials[0].metrics["shared_accuracy"])
        if trials
        else None
    )


def _split_of(node: Node) -> dict[str, tuple[Any, ...]]:
    """What tells the node from its parent."""
    if node.parent is None:
        return {}
    above = node.parent.space.options
    return {
        name: tuple(options)
        for name, options in node.space.options.items()
        if options != above[name]
    }


# -- how far the estimates can be trusted --------------------------------------------------------


def _trust(job: Job, metric: SharedAccuracy) -> Trust:
    """A few random networks trained by themselves for a short time, against their estimates:
    Kendall, Spearman, and p of a Kendall as high by chance."""
    assert job.data.sharing is not None
    sharing = job.data.sharing()
    archs = scored.some(job, _CHECKED)[0]
    rows: list[TrustCheck] = []
    slowest = 0.0
    for position, arch in enumerate(archs):
        began = job.clock.spent()
        if sharing.seconds is not None and job.log.decide(
            f"train/check/{arch.key}/late", partial(_late, job, sharing, slowest)
        ):
            break
        job.log.tell(
            f"training network {position + 1} of {len(archs)} by itself, to check the estimates",
            position / len(archs),
        )
        own = job.log.decide(
            f"train/check/{arch.key}",
            partial(_alone, job, sharing, arch, left=len(archs) - position),
        )
        metrics = metric(arch)
        rows.append(
            TrustCheck(
                key=arch.key,
                estimate=metrics["shared_accuracy"],
                estimated_loss=metrics["shared_loss"],
                **own,
            )
        )
        slowest = max(slowest, job.clock.spent() - began)
    if len(rows) < _TRUSTED_FROM:
        why = f"there was time to check them on {len(rows)} networks, which says nothing"
        return Trust(networks=tuple(rows), kendall=0.0, spearman=0.0, p=1.0, why=why)
    estimates, truth = [-row.estimated_loss for row in rows], [row.accuracy for row in rows]
    agreement = {"kendall": kendall(estimates, truth), "spearman": spearman(estimates, truth)}
    # all equal: no order at all
    known = {name: value if math.isfinite(value) else 0.0 for name, value in agreement.items()}
    return Trust(
        networks=tuple(rows),
        kendall=known["kendall"],
        spearman=known["spearman"],
        p=chance(estimates, truth, job.seed),
    )


def _late(job: Job, sharing: Sharing, slowest: float) -> bool:
    """Whether one more network would not be done by the end of the seconds for shared weights."""
    assert sharing.seconds is not None
    return job.clock.spent() + slowest > sharing.seconds


def affordable(job: Job, sharing: Sharing, model: nn.Module) -> None:
    """TooLittleTime where the seconds for shared weights allow too few steps for them to learn
    anything."""
    if sharing.seconds is None:
        return

    def measure() -> float:
        stream, taken = sharing.stream(0), []
        loss, rng = LOSSES[job.data.task.loss], Random(job.seed)
        model.to(job.device).train()
        for _ in range(2):
            x, y = next(stream)
            began = time.monotonic()
            with active(model, job.space.decisions.sample(rng)), sound(model):
                loss(model(x), y).backward()
            taken.append(time.monotonic() - began)
        model.zero_grad(set_to_none=True)
        return min(taken)

    each = job.log.decide("train/step_s", measure)
    steps = int(clock.SHARED_TRAINING * sharing.seconds / each)
    if steps < clock.SHARED_LEAST_STEPS:
        raise TooLittleTime(
            f"{sharing.seconds:.1f} s for weights that networks share are {steps} steps, with "
            f"which they learn nothing"
        )


def chance(estimates: Sequence[float], truth: Sequence[float], seed: int = 0) -> float:
    """How often a random order agrees at least as well (Kendall); every order where there are at
    most 7 values."""
    own = kendall(estimates, truth)
    if not math.isfinite(own):
        return 1.0
    if len(truth) <= 7:
        orders: list[Sequence[float]] = list(itertools.permutations(truth))
    else:
        rng = Random(seed)
        orders = [truth, *(rng.sample(list(truth), len(truth)) for _ in range(_PERMUTATIONS - 1))]
    # another order leaves the ties, and so the divisor, as they are: agreements less disagreements,
    # whole numbers, tell it
    first, second = np.triu_indices(len(truth), 1)
    expected, values = np.asarray(estimates), np.asarray([truth, *orders])
    agreeing = np.sign(values[:, first] - values[:, second]) @ np.sign(
        expected[first] - expected[second]
    )
    return float(np.mean(agreeing[1:] >= agreeing[0]))


def _alone(job: Job, sharing: Sharing, arch: Architecture, left: int) -> dict[str, float]:
    """Accuracy on the held-out images of one network trained from nothing, with its part of what is
    left of the budget."""
    network = extract(
        job.space.model,
        arch,
        "fresh",
        torch.Generator().manual_seed(mix(job.seed, arch.key)),
        device="cpu",
    )
    steps = seconds = None
    if sharing.steps is not None:
        steps = max(1, int((1 - clock.SHARED_TRAINING) * sharing.steps / _CHECKED))
    else:
        assert sharing.seconds is not None
        seconds = max(0.5, (sharing.seconds - job.clock.spent()) / left)
    recipe: Recipe = replace(sharing.recipe, ema=0.0)
    state = start(
        network, recipe, seed=job.seed, device=job.device, class_counts=sharing.class_counts
    )
    advance(state, sharing.stream(0), total_steps=steps, total_seconds=seconds)
    metrics = evaluate(
        calibrate(state.module, sharing.calibration), sharing.held_out, job.data.judge
    )
    return {"accuracy": metrics["accuracy"], "loss": metrics["loss"], "images": float(state.passes)}
