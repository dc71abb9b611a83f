"""DDPNAS (Zheng and others, IJCV 2023): shared weights and a distribution that is pruned while they learn; then any budget.

In a round every option of every decision that is still alive is trained once and scored on images held out. After some rounds
the least probable option of each decision goes, so the weights are shared by ever fewer networks. What is left at the end is
the survivor; the distribution also gives the best network for any budget (`searchers.generation`), without more training.

Deviations from the released code, besides those of `searchers.pruning`: the architectures of a round take turns batch by batch
and are scored with the same weights at its end (`score="turn"`: each by itself, scored after its turn), because accuracy grows
while a round goes on and would be taken for merit; each network's BatchNorm statistics are its own; the rate falls to the end.
The budget plays no part before the end: networks are generated for it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from archsmith._internal.seeding import mix
from archsmith.elastic.tree import Node
from archsmith.errors import UserError
from archsmith.feasibility.violation import Gauge
from archsmith.methods import estimated, scored
from archsmith.methods.few_shot import screen as screen
from archsmith.methods.gradient import listed
from archsmith.methods.task import Sharing, Task, TooLittleTime
from archsmith.metrics.shared import SharedAccuracy
from archsmith.problem import Candidate, Constraint, Metric, Problem, Trial, maximize, minimize
from archsmith.searchers.categorical import Categorical, credited, rewards_of
from archsmith.searchers.generation import Worth, generate
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.pruning import check_settings, proposals, pruning
from archsmith.searchers.random import random_search
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import SPACES, described
from archsmith.training.checkpoint import resumed
from archsmith.training.loop import advance, start
from archsmith.training.samplers import uniform
from archsmith.training.shared import in_turn
from archsmith.training.shared import sharing as single
from archsmith.training.state import TrainState

SCORES, WORTHS = ("round", "turn"), ("theta", "log", "reward")
_GENERATED = 16  # networks looked at with the shared weights, at least
GENERATING = ("worth", "height", "free")  # settings that say which networks are generated; another budget may change them
_WITHOUT = re.compile("none|skip|pool")  # in the names of operations that have no parameters


@dataclass
class Grown:
    """What a search by pruning leaves."""

    root: Node
    state: TrainState
    distribution: Categorical
    stages: list[dict[str, Any]] = field(default_factory=list)  # theta and what is alive, at the start and after each pruning
    survivor: Architecture | None = None


def weights(
    task: Task,
    *,
    rounds: int = 3,
    rule: str = "velocity",
    temperature: float = 1.0,
    warmup: int = 0,
    protect: bool = False,
    score: str = "round",
    worth: str = "theta",
    height: int = 0,
    free: int = -1,
) -> Grown:
    """The supernet and what the distribution became, as far as checkpoint and trials do not hold it already.

    `rounds`, `rule`, `temperature` (in points of accuracy), `warmup`: as in `searchers.pruning`. `protect`: of operations with
    parameters and of those without the last one stays. `score`: after each "round" or after each "turn". `worth`: what an
    option counts when networks are generated, its "theta", the "log" of it, or the mean "reward" it had. `height`, `free`: of
    cells, the most intermediate nodes on a path (0: any) and how many operations have no parameters (-1: any).
    """
    refuse(task.space_name, rounds, rule, temperature, warmup, score, worth, height, free)
    assert task.sharing is not None
    sharing, asked = task.sharing(), (rounds, rule, temperature, warmup, protect, score)
    if asked not in sharing.kept:
        space = _alive(task.space, task.space_name)
        root = Node(space, sharing.make(None))
        estimated.affordable(task, sharing, root.model)
        protected = groups(space) if protect else ()
        total = proposals(space, rounds, warmup, protected)
        metric = estimated.estimate(task, root)
        problem = Problem(space, (maximize(points(metric), name="reward"),), ())
        turns = _Turns(task, sharing, root, total, problem)
        stages: list[dict[str, Any]] = []
        seen: list[Categorical] = []

        def told(distribution: Categorical) -> None:
            seen[:] = [distribution]
            stages.append(distribution.to_json())

        searcher = pruning(
            problem, task.seed, rounds=rounds, rule=rule, temperature=temperature, warmup=warmup, protected=protected,
            on_stage=told,
        )  # fmt: skip
        at_once = total if score == "round" else 1
        run_searcher(problem, searcher, trials=total, archive=task.archive, evaluate=turns, at_once=at_once, stage="train")
        survivor = task.archive.stage("train")[-1].arch
        sharing.kept[asked] = Grown(root, turns.state, seen[0], stages, survivor)
    return sharing.kept[asked]


def refuse(
    space_name: str,
    rounds: int = 3,
    rule: str = "velocity",
    temperature: float = 1.0,
    warmup: int = 0,
    score: str = "round",
    worth: str = "theta",
    height: int = 0,
    free: int = -1,
    **others: Any,
) -> None:
    """UserError for settings that make no sense, so that they are told before anything is trained."""
    if score not in SCORES or worth not in WORTHS:
        raise UserError(f"score '{score}' is one of {', '.join(SCORES)}, worth '{worth}' of {', '.join(WORTHS)}")
    check_settings(rounds, rule, temperature, warmup=warmup)
    _shape_limits(space_name, height, free)


def _shape_limits(space_name: str, height: int = 0, free: int = -1, **others: Any) -> tuple[Constraint, ...]:
    """Of what `height` and `free` ask; UserError where the space has no cells."""
    if height == 0 and free == -1:
        return ()
    shape = described(space_name).shape
    if shape is None:
        known = ", ".join(space.name for space in SPACES.values() if space.shape is not None)
        raise UserError(f"height and free are of cells; space '{space_name}' has none, these have: {known}")
    return shape.limits(height or None, None if free == -1 else free)


def train(task: Task, **settings: Any) -> dict[str, Any]:
    """The supernet, how the distribution narrowed, and how far its estimates can be trusted."""
    grown = weights(task, **settings)
    options = {name: [str(option) for option in row] for name, row in grown.distribution.options.items()}
    narrowed = {"options": options, "stages": grown.stages, "survivor": dict(grown.survivor or {})}
    return {**estimated.train(task, grown.root), "distribution": narrowed}


def search(task: Task, **settings: Any) -> dict[str, Any]:
    """The survivor where it keeps the budget, networks generated for the budget, as many random ones beside them."""
    grown = weights(task, **settings)
    count = max(_GENERATED, 2 * task.finalists)
    trials = task.archive.stage("train")
    limits = (*task.constraints, *_shape_limits(task.space_name, **settings))
    archs, how = _generated(grown.root.space, grown.distribution, trials, limits, task.costs, count, **settings)
    metric = estimated.estimate(task, grown.root)
    problem = Problem(task.space, (minimize(metric, name="shared_loss"),), limits)
    assert grown.survivor is not None
    fits = Gauge(limits).violation(grown.survivor) <= 0
    chosen = list(dict.fromkeys([*([grown.survivor] if fits else []), *archs]))
    run_searcher(problem, listed(problem, archs=chosen[:1]), trials=1, archive=task.archive, stage="search")
    for stage, searcher in (("search", listed(problem, archs=chosen)), ("search-random", random_search(problem, task.seed))):
        run_searcher(
            problem, searcher, trials=len(chosen), archive=task.archive, stage=stage, stop=scored.stop(task, stage)
        )  # fmt: skip
    found = estimated.shortlisted(task, "DDPNAS")
    others = [row for row in found["shortlist"] if row["key"] != chosen[0].key]
    own = next(t for t in task.archive.stage("search") if t.arch == chosen[0])
    return {**found, "generated": how, "shortlist": [estimated.listing(own), *others][: task.finalists]}


def network(task: Task, **settings: Any) -> Callable[[Architecture], nn.Module]:
    """What the finish stage trains on: a network with the weights it shared."""
    return estimated.networks(task, weights(task, **settings).root)


def points(metric: SharedAccuracy) -> Callable[[Architecture], float]:
    """Accuracy in points, the unit of the temperature."""
    return lambda arch: 100.0 * metric(arch)["shared_accuracy"]


def groups(space: SearchSpace) -> list[list[Any]]:
    """Operations without parameters, and those with, where decisions are by names of operations."""
    names = dict.fromkeys(option for options in space.values() for option in options if isinstance(option, str))
    free = [name for name in names if _WITHOUT.search(name)]
    return [free, [name for name in names if name not in free]]


def worth_of_options(distribution: Categorical, trials: Sequence[Trial], worth: str = "theta", **others: Any) -> Worth:
    """decision -> option -> what it counts. Of decisions that not every network has, beside the mean of the options, so that
    having the decision is worth nothing by itself. `trials`: those of the training."""
    rows = {name: list(row) for name, row in distribution.theta.items()}
    if worth == "log":
        rows = {name: [math.log(max(value, 1e-9)) for value in row] for name, row in rows.items()}
    elif worth == "reward":
        known = credited(distribution, [t.arch for t in trials], rewards_of(trials))
        rows = {name: [known[name].get(place, 0.0) for place in range(len(row))] for name, row in rows.items()}
    for name, row in rows.items():
        if name in distribution.space.conditions:
            rows[name] = [value - math.fsum(row) / len(row) for value in row]
    return {name: dict(zip(distribution.options[name], row, strict=True)) for name, row in rows.items()}


def generated(
    space: SearchSpace,
    space_name: str,
    found: Mapping[str, Any],
    trials: Sequence[Trial],
    constraints: Sequence[Constraint],
    costs: Metric,
    count: int,
    **settings: Any,
) -> list[Architecture]:
    """Up to so many networks that keep the constraints, the worthiest first, from what `train` recorded and its trials."""
    space = _alive(space, space_name)
    distribution = Categorical(space)
    distribution.restore(found["distribution"]["stages"][-1])
    limits = (*constraints, *_shape_limits(space_name, **settings))
    return _generated(space, distribution, trials, limits, costs, count, **settings)[0]


def _generated(
    space: SearchSpace,
    distribution: Categorical,
    trials: Sequence[Trial],
    constraints: Sequence[Constraint],
    costs: Metric,
    count: int,
    **settings: Any,
) -> tuple[list[Architecture], str]:
    limits = constraints or (Constraint("macs", costs),)  # without a budget: the front from the worthiest down
    return generate(space, worth_of_options(distribution, trials, **settings), limits, count=count)


def _alive(space: SearchSpace, name: str) -> SearchSpace:
    return space if (live := described(name).live) is None else space.where(live)


class _Turns:
    """Trains architectures in turn, then scores them; the shares of the budget follow from how many are done."""

    def __init__(self, task: Task, sharing: Sharing, root: Node, total: int, problem: Problem) -> None:
        self._task, self._sharing, self._root, self._total, self._problem = task, sharing, root, total, problem
        self._step = single(uniform(root.space), macs=lambda arch: task.costs(arch)["macs"])
        self._checkpoint = sharing.folder / "shared-pruned.safetensors"
        self._steps = None if sharing.steps is None else max(1, int(estimated.TRAINING * sharing.steps))
        self._seconds = None if self._steps is not None else task.decide("train/pruning/seconds", self._reckoned)
        of = {**sharing.of, "node": "pruned"}
        state = resumed(self._checkpoint, root.model, device=task.device, tell=sharing.note, of=of)
        self.state = state or start(
            root.model, sharing.recipe, seed=mix(task.seed, "shared", "pruned"), device=task.device,
            class_counts=sharing.class_counts, of=of,
        )  # fmt: skip
        root.trained, root.macs = self.state.passes, self.state.macs

    def _reckoned(self) -> float:
        """What is left for training when each architecture has been scored once; TooLittleTime where that is less than half."""
        assert self._sharing.seconds is not None
        own = estimated.TRAINING * self._sharing.seconds
        began = time.monotonic()
        self._problem.evaluate([Candidate(self._root.space.extreme(-1))])
        looking = self._total * (time.monotonic() - began)
        if looking > own / 2:
            raise TooLittleTime(
                f"scoring the {self._total} networks that pruning looks at would take {looking:.0f} s of the {own:.1f} s that "
                "shared weights have"
            )
        return own - looking

    def __call__(self, candidates: Sequence[Candidate], stage: str) -> list[Trial]:
        """For `search`: a round, or one of its turns."""
        done = len(self._task.archive.stage(stage)) + len(candidates)
        self._train([candidate.arch for candidate in candidates], done)
        return self._problem.evaluate(candidates, stage)

    def _train(self, archs: Sequence[Architecture], done: int) -> None:
        state = self.state
        advance(
            state,
            self._sharing.stream(state.step),
            total_steps=self._steps,
            total_seconds=self._seconds,
            until=min(1.0, done / self._total),
            checkpoint=self._checkpoint,
            on_progress=lambda state, share: self._task.tell(f"network {done} of {self._total}: step {state.step}", share),
            backward=in_turn(self._step, archs),
        )
        self._root.trained, self._root.macs = state.passes, state.macs
