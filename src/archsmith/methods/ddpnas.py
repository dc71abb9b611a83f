"""DDPNAS (Zheng and others, IJCV 2023): shared weights and a distribution that is pruned while they
learn; then any budget.

In a round every option of every decision that is still alive is trained once and scored on images
held out. After some rounds the least probable option of each decision goes, so the weights are
shared by ever fewer networks. What is left at the end is the survivor; the distribution also gives
the best network for any budget (`searchers.generation`), without more training.

Deviations from the released code, besides those of `searchers.pruning`: the architectures of a
round take turns batch by batch and are scored with the same weights at its end (`score="turn"`:
each by itself, scored after its turn), because accuracy grows while a round goes on and would be
taken for merit; each network's BatchNorm statistics are its own; the rate falls to the end. The
budget plays no part before the end: networks are generated for it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from archsmith._internal.seeding import mix
from archsmith.elastic.tree import Node
from archsmith.errors import UserError
from archsmith.feasibility.violation import Gauge
from archsmith.methods import estimated, scored
from archsmith.methods.gradient import listed
from archsmith.methods.job import Job, Sharing
from archsmith.methods.protocol import SharedWeights, TooLittleTime, setting
from archsmith.metrics.estimates import SharedAccuracy
from archsmith.problem import Candidate, Constraint, Metric, Problem, Trial, maximize, minimize
from archsmith.run import clock
from archsmith.run.records import Searched, Trained
from archsmith.run.records.search import Narrowing, Pruning
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
from archsmith.training.shared_weights import in_turn, shared_weights
from archsmith.training.state import TrainState

SCORES, WORTHS = ("round", "turn"), ("theta", "log", "reward")
_GENERATED = 16  # networks looked at with the shared weights, at least
_WITHOUT = re.compile("none|skip|pool")  # in the names of operations that have no parameters


@dataclass
class Grown:
    """What a search by pruning leaves."""

    root: Node
    state: TrainState
    distribution: Categorical
    # theta and what is alive, at the start and after each pruning
    stages: list[Pruning] = field(default_factory=list)
    survivor: Architecture | None = None


@dataclass(frozen=True)
class DDPNAS:
    """Pruning while shared weights learn, then networks generated for the budget."""

    rounds: int = setting(3, "looks at every option between two prunings")
    rule: str = setting("velocity", "how probabilities move: velocity, or half (searchers.pruning)")
    temperature: float = setting(1.0, "of the update, in points of accuracy")
    warmup: int = setting(0, "rounds before the first update")
    protect: bool = setting(
        False, "of operations with parameters and of those without the last one stays"
    )
    score: str = setting("round", "networks are scored after each round, or after each turn")
    worth: str = setting(
        "theta",
        "what an option counts when networks are generated: theta, the log of it, its mean reward",
    )
    height: int = setting(0, "of cells: the most intermediate nodes on a path, 0: any")
    free: int = setting(-1, "of cells: how many operations have no parameters, -1: any")
    regenerating: ClassVar[tuple[str, ...]] = ("worth", "height", "free")

    def __post_init__(self) -> None:
        if self.score not in SCORES or self.worth not in WORTHS:
            raise UserError(
                f"score '{self.score}' is one of {', '.join(SCORES)}, worth "
                f"'{self.worth}' of {', '.join(WORTHS)}"
            )
        check_settings(self.rounds, self.rule, self.temperature, warmup=self.warmup)

    def check(self, space: str, task: str) -> None:
        """UserError where height or free are given for a space without cells."""
        self._shape(space)

    def _shape(self, space: str) -> tuple[Constraint, ...]:
        """The limits that height and free are."""
        if self.height == 0 and self.free == -1:
            return ()
        shape = described(space).shape
        if shape is None:
            known = ", ".join(one.name for one in SPACES.values() if one.shape is not None)
            raise UserError(
                f"height and free are of cells; space '{space}' has none, these have: {known}"
            )
        return shape.limits(self.height or None, None if self.free == -1 else self.free)

    def train(self, job: Job) -> SharedWeights:
        """The supernet, how the distribution narrowed, and how far its estimates can be trusted."""
        grown = self._grown(job)

        def record() -> Trained:
            options = {
                name: tuple(str(option) for option in row)
                for name, row in grown.distribution.options.items()
            }
            narrowed = Narrowing(
                options=options,
                stages=tuple(grown.stages),
                survivor=dict(grown.survivor or {}),
            )
            return estimated.train(job, grown.root).model_copy(update={"distribution": narrowed})

        return SharedWeights(grown, record)

    def _grown(self, job: Job) -> Grown:
        """As far as checkpoint and trials do not hold it already."""
        assert job.data.sharing is not None
        sharing, asked = (
            job.data.sharing(),
            dataclasses.replace(self, worth=WORTHS[0], height=0, free=-1),
        )
        if asked not in sharing.kept:
            space = _alive(job.space.decisions, job.space.name)
            root = Node(space, sharing.make(None))
            estimated.affordable(job, sharing, root.model)
            protected = groups(space) if self.protect else ()
            total = proposals(space, self.rounds, self.warmup, protected)
            problem = Problem(
                space, (maximize(points(estimated.estimate(job, root)), name="reward"),), ()
            )
            turns = _Turns(job, sharing, root, total, problem=problem)
            stages: list[Pruning] = []
            seen: list[Categorical] = []

            def record(distribution: Categorical) -> None:
                seen[:] = [distribution]
                stages.append(Pruning(**distribution.to_json()))

            searcher = pruning(
                problem,
                job.seed,
                rounds=self.rounds,
                rule=self.rule,
                temperature=self.temperature,
                warmup=self.warmup,
                protected=protected,
                on_stage=record,
            )
            at_once = total if self.score == "round" else 1
            archive = job.log.archive
            run_searcher(
                problem,
                searcher,
                trials=total,
                archive=archive,
                evaluate=turns,
                at_once=at_once,
                stage="train",
            )
            sharing.kept[asked] = Grown(
                root, turns.state, seen[0], stages, survivor=archive.stage("train")[-1].arch
            )
        return sharing.kept[asked]

    def search(self, job: Job, trained: SharedWeights) -> Searched:
        """The survivor where it keeps the budget, networks generated for the budget, as many random
        ones beside them."""
        grown: Grown = trained.weights
        count = max(_GENERATED, 2 * job.clock.finalists)
        trials = job.log.archive.stage("train")
        limits = (*job.space.limits, *self._shape(job.space.name))
        archs, how = self._generated(
            grown.distribution, trials, limits, costs=job.space.costs, count=count
        )
        metric = estimated.estimate(job, grown.root)
        problem = Problem(job.space.decisions, (minimize(metric, name="shared_loss"),), limits)
        assert grown.survivor is not None
        fits = Gauge(limits).violation(grown.survivor) <= 0
        chosen = list(dict.fromkeys([*([grown.survivor] if fits else []), *archs]))
        run_searcher(
            problem,
            listed(problem, archs=chosen[:1]),
            trials=1,
            archive=job.log.archive,
            stage="search",
        )
        for stage, searcher in (
            ("search", listed(problem, archs=chosen)),
            ("search-random", random_search(problem, job.seed)),
        ):
            run_searcher(
                problem,
                searcher,
                trials=len(chosen),
                archive=job.log.archive,
                stage=stage,
                stop=scored.stop(job, stage),
            )
        searched = estimated.shortlisted(job, "DDPNAS")
        others = [one for one in searched.shortlist if one.key != chosen[0].key]
        own = next(t for t in job.log.archive.stage("search") if t.arch == chosen[0])
        first = (estimated.listed(own), *others)[: job.clock.finalists]
        return searched.model_copy(update={"generated": how, "shortlist": first})

    def start(self, job: Job, trained: SharedWeights, arch: Architecture) -> nn.Module:
        """The network with the weights it shared."""
        return estimated.network(job, trained.weights.root, arch)

    def answer(
        self, job: Job, record: Trained, limits: Sequence[Constraint], count: int
    ) -> list[Architecture]:
        """Up to so many networks that keep the limits, the worthiest first, from what `train`
        recorded and its trials."""
        distribution = Categorical(_alive(job.space.decisions, job.space.name))
        assert record.distribution is not None
        distribution.restore(record.distribution.stages[-1].to_json())
        limits = (*limits, *self._shape(job.space.name))
        trials = job.log.archive.stage("train")
        return self._generated(distribution, trials, limits, costs=job.space.costs, count=count)[0]

    def _generated(
        self,
        distribution: Categorical,
        trials: Sequence[Trial],
        limits: Sequence[Constraint],
        *,
        costs: Metric,
        count: int,
    ) -> tuple[list[Architecture], str]:
        """Networks of the distribution's space within the limits, and how they were found."""
        # without a budget: the front from the worthiest down
        limits = limits or (Constraint("macs", costs),)
        return generate(
            distribution.space,
            worth_of_options(distribution, trials, self.worth),
            limits,
            count=count,
        )


def points(metric: SharedAccuracy) -> Callable[[Architecture], float]:
    """Accuracy in points, the unit of the temperature."""
    return lambda arch: 100.0 * metric(arch)["shared_accuracy"]


def groups(space: SearchSpace) -> list[list[Any]]:
    """Operations without parameters, and those with, where decisions are by names of operations."""
    names = dict.fromkeys(
        option for options in space.values() for option in options if isinstance(option, str)
    )
    free = [name for name in names if _WITHOUT.search(name)]
    return [free, [name for name in names if name not in free]]


def worth_of_options(
    distribution: Categorical, trials: Sequence[Trial], worth: str = "theta"
) -> Worth:
    """decision -> option -> what it counts. Of decisions that not every network has, beside the
    mean of the options, so that having the decision is worth nothing by itself. `trials`: those of
    the training."""
    rows = {name: list(row) for name, row in distribution.theta.items()}
    if worth == "log":
        rows = {name: [math.log(max(value, 1e-9)) for value in row] for name, row in rows.items()}
    elif worth == "reward":
        known = credited(distribution, [t.arch for t in trials], rewards_of(trials))
        rows = {
            name: [known[name].get(place, 0.0) for place in range(len(row))]
            for name, row in rows.items()
        }
    for name, row in rows.items():
        if name in distribution.space.conditions:
            rows[name] = [value - math.fsum(row) / len(row) for value in row]
    return {
        name: dict(zip(distribution.options[name], row, strict=True)) for name, row in rows.items()
    }


def _alive(space: SearchSpace, name: str) -> SearchSpace:
    return space if (live := described(name).live) is None else space.where(live)


class _Turns:
    """Trains architectures in turn, then scores them; the shares of the budget follow from how many
    are done."""

    def __init__(
        self, job: Job, sharing: Sharing, root: Node, total: int, problem: Problem
    ) -> None:
        self._job, self._sharing, self._root, self._total, self._problem = (
            job,
            sharing,
            root,
            total,
            problem,
        )
        self._step = shared_weights(
            uniform(root.space), macs=lambda arch: job.space.costs(arch)["macs"]
        )
        self._checkpoint = sharing.folder / "shared-pruned.safetensors"
        self._steps = (
            None if sharing.steps is None else max(1, int(clock.SHARED_TRAINING * sharing.steps))
        )
        self._seconds = (
            None
            if self._steps is not None
            else job.log.decide("train/pruning/seconds", self._reckoned)
        )
        of = {**sharing.of, "node": "pruned"}
        state = resumed(self._checkpoint, root.model, device=job.device, tell=sharing.note, of=of)
        self.state = state or start(
            root.model,
            sharing.recipe,
            seed=mix(job.seed, "shared", "pruned"),
            device=job.device,
            class_counts=sharing.class_counts,
            of=of,
        )
        root.trained, root.macs = self.state.passes, self.state.macs

    def _reckoned(self) -> float:
        """What is left for training when each architecture has been scored once; TooLittleTime
        where that is less than half."""
        assert self._sharing.seconds is not None
        own = clock.SHARED_TRAINING * self._sharing.seconds
        began = time.monotonic()
        self._problem.evaluate([Candidate(self._root.space.extreme(-1))])
        looking = self._total * (time.monotonic() - began)
        if looking > own / 2:
            raise TooLittleTime(
                f"scoring the {self._total} networks that pruning looks at would take "
                f"{looking:.0f} s of the {own:.1f} s that "
                "shared weights have"
            )
        return own - looking

    def __call__(self, candidates: Sequence[Candidate], stage: str) -> list[Trial]:
        """For `search`: a round, or one of its turns."""
        done = len(self._job.log.archive.stage(stage)) + len(candidates)
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
            on_progress=lambda state, share: self._job.log.tell(
                f"network {done} of {self._total}: step {state.step}", share
            ),
            backward=in_turn(self._step, archs),
        )
        self._root.trained, self._root.macs = state.passes, state.macs
