"""Search on a training-free score: random networks first, evolution from the best, a short-list for
training to decide among.

Scores add up over layers, so they prefer depth (Lee and others, ICCV workshops 2023, correct ZiCo
for it). How much depth pays is a matter of how long one can train: so depth is the second
objective, the short-list holds several depths, and training decides.

Two things make a short search good. The sum over layers of ln(weights) costs nothing and ranks much
as the scores do, above all as ZiCo, of which it is a lower bound (no ratio of a mean absolute value
to a deviation of two numbers is below 1): it fills the first population. And where time is short,
only networks are short-listed that it lets see the images often enough.

The seconds are a deadline: each part is cut where its share of them ends, and nothing is scored
that would not be done by then. Where so few networks could be scored that this would rank nothing,
none is: the lower bound alone makes the short-list.

A model that proposes changes itself (the Zen space) is searched as in ZiCo's paper: steady-state
evolution from its start, by its own proposals; rejected ones count as trials. The same walk without
selection is then screening and twin.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch

from archsmith._internal.fitting import fitted
from archsmith.elastic.supernet import extract
from archsmith.errors import UserError
from archsmith.feasibility.sampler import FeasibleSampler, feasible_sample
from archsmith.methods import listing
from archsmith.methods.job import Job, Training
from archsmith.methods.listing import entry
from archsmith.methods.protocol import NOTHING_SCORED
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.problem import (
    Candidate,
    Constraint,
    Metric,
    Objective,
    Problem,
    Trial,
    at_most,
    maximize,
    minimize,
)
from archsmith.problem.pareto import fronts
from archsmith.run import clock
from archsmith.run.records import Screened, Searched
from archsmith.run.records.search import Best, Listed, RandomSearch
from archsmith.searchers.archive import Archive
from archsmith.searchers.evolution import evolution
from archsmith.searchers.loop import GeneratorSearcher, run_searcher
from archsmith.searchers.nsga import nsga2
from archsmith.searchers.random import random_search
from archsmith.searchers.steady_state import Proposing, steady_state
from archsmith.space import Architecture
from archsmith.training.recipe import growth
from archsmith.training.throughput import COUNTS, Pace, timed

_TIMED = 5  # scores timed to see how many fit
_FEWEST, _MOST = 24, 3000
_WALK = 2000  # proposals looked at, at most, to find those
_POPULATION = 32
_CHEAP = 50  # architectures whose lower bound is looked at, per second of scoring
_CHEAP_FEWEST, _CHEAP_MOST = 500, 5000
_CHEAP_POPULATION = 64
_HANDFUL = 16
_PACED = 6  # networks timed from the front of lower bounds, and as many random ones
_PACED_FEWEST, _FITTED_FROM = 2, 6
_IMAGES, _FEW_IMAGES = 32, 8  # in a batch that is timed
_SEEN = (8.0, 4.0)  # how often training should see each image, where the time does not allow more
# ... and how many batches at least, where images are few: depth pays only after many
_UPDATES = (800, 400)


@dataclass(frozen=True)
class Score:
    """What is searched on, the larger the better: what trials call it, the metric, forward and
    backward passes per network."""

    name: str
    metric: Metric
    passes: int


class _OutOfTime(BaseException):
    """A deadline has passed and something is known already: looking for more ends here. It is no
    Exception, since what cannot be measured is one."""


class _Watched:
    """A metric of the budget that ends the looking once it is late: whatever draws networks asks
    it for each."""

    def __init__(self, metric: Metric, late: Callable[[], bool]) -> None:
        self._metric, self._late = metric, late

    def __call__(self, arch: Architecture) -> float | Mapping[str, float]:
        if self._late():
            raise _OutOfTime
        return self._metric(arch)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_metric":
            raise AttributeError(name)
        return getattr(self._metric, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Watched) and self._metric == other._metric

    def __hash__(self) -> int:
        return hash(self._metric)


def _until(job: Job, part: str, known: Callable[[], object]) -> tuple[Constraint, ...]:
    """The budget, asking which raises _OutOfTime once a part's time is over, where something is
    known or there are networks by hand."""
    if math.isinf(job.clock.left()):
        return tuple(job.space.limits)
    ended, by_hand = late(job, part), bool(job.space.by_hand(()))
    watch = lambda: (by_hand or bool(known())) and ended()  # noqa: E731
    return tuple(replace(limit, metric=_Watched(limit.metric, watch)) for limit in job.space.limits)


def screen(job: Job, score: Score | None) -> Screened:
    """Scores a random feasible sample, a third of the trials: the start of the search and of its
    random twin."""
    third = third_of(job, score)
    if not third or score is None:
        why = (
            "too little time to score enough networks; the sum of ln(weights), which costs "
            "nothing, takes the place of scores"
        )
        return NOTHING_SCORED.model_copy(update={"why": why})
    problem = _problem(job, score, _counts(job), "screen")
    sampling = _blind(job, problem, job.seed)
    with contextlib.suppress(_OutOfTime):
        run_searcher(
            problem,
            sampling,
            trials=third,
            archive=job.log.archive,
            stage="screen",
            stop=stop(job, "screen"),
            on_trial=_telling(job, score, third),
        )
    trials = job.log.archive.stage("screen")
    seconds = [t.cost["seconds"] for t in trials if not t.failed and "seconds" in t.cost]
    scored = sum(score.name in t.metrics for t in trials)
    return Screened(
        proxy=score.name,
        scored=scored,
        best=_best(trials, score),
        passes=score.passes * scored,
        seconds_per_score=sorted(seconds)[len(seconds) // 2] if seconds else None,
    )


def search(job: Job, score: Score | None) -> Searched:
    """NSGA-II on (score, depth) from the largest sums of ln(weights) and the screened ones; as many
    random trials beside it."""
    third = third_of(job, score)
    counts = _counts(job)
    if not third or score is None:
        return unscored(job, "sum of ln(weights)")
    problem = _problem(job, score, counts, "search")
    screened = [t for t in job.log.archive.stage("screen") if not t.failed and t.feasible]
    known = {t.arch: t for t in screened}
    limits: tuple[Constraint, ...] = ()
    by_hand: list[Architecture] = []
    if isinstance(job.space.model, Proposing):
        start = [job.space.model.start]
        evolving = steady_state(
            problem, job.seed + 2, start=job.space.model.start, propose=job.space.model.propose
        )
    else:
        limits = _limits(job, counts)
        promising = [t.arch for t in _promising(job, counts, limits, third // 2)]
        foremost = (t.arch for t in _foremost(screened, min(_POPULATION, third)))
        by_hand = list(job.space.by_hand(limits[:1]))
        start = list(dict.fromkeys([*by_hand, *promising, *foremost]))[
            : max(8, min(_POPULATION, third))
        ]
        evolving = nsga2(problem, job.seed, population=max(8, len(start)), initial=start)
    with contextlib.suppress(_OutOfTime):
        run_searcher(
            problem,
            evolving,
            trials=third + sum(arch in known for arch in start),
            archive=job.log.archive,
            evaluate=lambda candidates, _: _measure(problem, candidates, known),
            stage="search",
            stop=stop(job, "search"),
            on_trial=_telling(job, score, third),
        )
    blind = _problem(job, score, counts, "search-random")
    with contextlib.suppress(_OutOfTime):
        run_searcher(
            blind,
            _blind(job, blind, job.seed + 1),
            trials=min(third, sum(t.arch not in known for t in job.log.archive.stage("search"))),
            archive=job.log.archive,
            stage="search-random",
            stop=stop(job, "search-random"),
            on_trial=_telling(job, score, third),
        )
    searched, sampled = job.log.archive.stage("search"), job.log.archive.stage("search-random")
    shortlisted = shortlist([*screened, *searched], score.name, job.clock.finalists, limits)
    if not shortlisted:
        return unscored(job, "no network was scored in the time; by the sum of ln(weights)")
    listed = [entry(t.arch, t.stage, **{score.name: t.metrics[score.name]}) for t in shortlisted]
    return Searched(
        searcher="evolution" if isinstance(job.space.model, Proposing) else "nsga2",
        trials=len(ranked([*screened, *searched], score.name)),
        best=_best([*screened, *searched], score),
        random=RandomSearch(
            trials=len(ranked([*screened, *sampled], score.name)),
            best=_best([*screened, *sampled], score),
        ),
        shortlist=tuple(_begun_by_hand(by_hand, job.clock.finalists, listed)),
    )


def _settled(job: Job) -> bool:
    """Whether there is nothing to choose: time for one network, and one that anybody would begin
    with."""
    return job.clock.finalists == 1 and len(job.space.by_hand(())) > 0


def _begun_by_hand(
    by_hand: Sequence[Architecture], count: int, listed: Sequence[Listed]
) -> list[Listed]:
    """The short-list with networks that anybody would begin with in up to half of its places, or in
    its only one.

    What wins the race has then beaten them; where there is time for one training alone nothing has
    shown that a network by a score is better (result hand-made-kinds).
    """
    known = {one.key: one for one in listed}
    places = max(1, count // 2, count - len(listed))
    first = [known.get(arch.key, entry(arch, "hand-made")) for arch in by_hand[:places]]
    chosen = {one.key for one in first}
    return [*first, *(one for one in listed if one.key not in chosen)][:count]


def _blind(job: Job, problem: Problem, seed: int) -> GeneratorSearcher:
    """Uniformly random networks, or the walk without selection of a model that proposes changes
    itself."""
    if isinstance(job.space.model, Proposing):
        return steady_state(
            problem,
            seed,
            start=job.space.model.start,
            propose=job.space.model.propose,
            population=None,
        )
    return random_search(problem, seed)


def _counts(job: Job) -> Costs:
    names = ("macs", "depth") if isinstance(job.space.model, Proposing) else ("macs", *LAYERS)
    if isinstance(job.space.costs, Costs) and set(names) <= set(job.space.costs.counted):
        return job.space.costs.showing(*names)
    return Costs(job.space.model, tuple(job.data.batches[0][0].shape[1:]), names)


def _problem(job: Job, score: Score, counts: Costs, stage: str) -> Problem:
    return Problem(
        job.space.decisions,
        (maximize(score.metric, name=score.name), _shallow(job, counts)),
        _until(job, stage, lambda: job.log.archive.stage(stage)),
    )


def _shallow(job: Job, counts: Costs) -> Objective:
    """Depth, by the metric that bounds it where one does."""
    return minimize(
        next((limit.metric for limit in job.space.limits if limit.name == "depth"), counts),
        name="depth",
    )


def unscored(job: Job, how: str) -> Searched:
    """A short-list without a score, for where time is short or a score is not to be followed: by
    the sum of ln(weights).

    `how`: what the record says of it.
    """
    by_hand: Sequence[Architecture] = ()
    if isinstance(job.space.model, Proposing):
        trials = [
            Trial(Candidate(arch), {"depth": 0.0, "log_sizes": 0.0})
            for arch in some(job, job.clock.finalists)[0]
        ]
    else:
        counts = _counts(job)
        limits = _limits(job, counts)
        by_hand = job.space.by_hand(limits[:1]) or job.space.by_hand(())
        if _settled(job):
            trials, how = (
                [],
                (f"{how}; a network as one would make it by hand, the one there is time to train"),
            )
        else:
            trials = shortlist(
                _promising(job, counts, limits, _POPULATION),
                "log_sizes",
                job.clock.finalists,
                limits,
            )
    listed = [entry(t.arch, "bound") for t in trials]
    return listing.shortlist(how, _begun_by_hand(by_hand, job.clock.finalists, listed))


def stop(job: Job, stage: str) -> Callable[[], bool] | None:
    """True once the part of the seconds that a stage has is over, or would be by the end of one
    more trial; None where time plays no part."""
    if math.isinf(job.clock.left()):
        return None
    end, last, count = clock.SCORING_PARTS[stage] * job.clock.seconds, job.clock.left(), 0
    slowest = 0.0

    def over() -> bool:
        nonlocal last, count, slowest
        now = job.clock.left()
        if count:  # the time since this was asked last is what a trial, or a piece of several, took
            slowest = max(slowest, min(last - now, clock.PIECE_S))
        last, count = now, count + 1
        return now - slowest <= end

    return over


def late(job: Job, part: str) -> Callable[[], bool]:
    """True once a part's time is over."""
    return lambda: job.clock.left() <= clock.SCORING_PARTS[part] * job.clock.seconds


def _measure(
    problem: Problem, candidates: Sequence[Candidate], known: Mapping[Architecture, Trial]
) -> list[Trial]:
    """Trials of the candidates; one that was screened already costs nothing."""
    fresh = iter(problem.evaluate([c for c in candidates if c.arch not in known], "search"))
    return [
        replace(known[c.arch], candidate=c, stage="search", cost={"evaluations": 0.0})
        if c.arch in known
        else next(fresh)
        for c in candidates
    ]


def third_of(job: Job, score: Score | None) -> int:
    """Trials in each of screening, search and its random twin: as asked, or as many as a few timed
    ones say will fit.

    0 where those are fewer than a ranking is worth, or there is no score.
    """
    if score is None or (job.clock.trials is None and _settled(job)):
        return 0
    metric = score.metric

    def fit() -> int:
        taken: list[float] = []
        if job.clock.seconds < clock.SCORING_LEAST_S:
            return 0
        ended = late(job, "timing")
        archs, accepted = some(job, _TIMED, "timing")
        for arch in archs:
            if ended() and (taken or job.clock.left() <= 0):
                break
            began = time.monotonic()
            metric(arch)
            taken.append(time.monotonic() - began)
        if not taken:
            return 0
        each = sorted(taken)[len(taken) // 2]
        count = min(
            _MOST,
            int(
                min(clock.SCORED * job.clock.seconds, max(job.clock.left(), 0.0))
                / (each * accepted)
            ),
        )
        return count // 3 if count >= _FEWEST else 0

    return (
        job.clock.trials // 3
        if job.clock.trials is not None
        else int(job.log.decide("trials", fit))
    )


def some(job: Job, count: int, part: str | None = None) -> tuple[list[Architecture], float]:
    """A few feasible networks, always the same, and the share of a search's trials that are
    feasible. `part`: of the seconds for scores; fewer networks where its time is over."""
    archs: list[Architecture] = []
    if not isinstance(job.space.model, Proposing):
        budget = job.space.limits if part is None else _until(job, part, lambda: archs)
        sampler = FeasibleSampler(job.space.decisions, budget, Random(job.seed + 7))
        with contextlib.suppress(_OutOfTime):
            while len(archs) < count and (drawn := sampler.draw(1)):
                archs += drawn
        return archs, 1.0
    limits, rng = Problem(job.space.decisions, (), job.space.limits), Random(job.seed + 7)
    for tried in range(1, _WALK + 1):
        arch = job.space.model.propose(rng.choice([job.space.model.start, *archs]), rng, 1)
        archs += [arch] if limits.evaluate([Candidate(arch)])[0].feasible else []
        if len(archs) == count:
            return archs, count / tried
    raise UserError(
        f"of {_WALK} changes to the network where the search of this space starts {len(archs)} "
        f"keep the budget; "
        "give a wider one, or another --space (`archsmith spaces`)"
    )


def ranked(trials: Iterable[Trial], score: str) -> list[Trial]:
    """Feasible, measured trials by falling score, each architecture once."""
    unique = {t.arch.key: t for t in trials if not t.failed and t.feasible and score in t.metrics}
    return sorted(unique.values(), key=lambda t: -t.metrics[score])


def shortlist(
    trials: Iterable[Trial], score: str, count: int, limits: Sequence[Constraint] = ()
) -> list[Trial]:
    """`count` of the networks that score best at their depth, best score first.

    Without limits evenly from the deepest to the shallowest. Limits on the training time share the
    places, and with each the depths lie closer to the shallow end (evenly in the logarithm, about a
    quarter to half of the way).
    """
    everything = ranked(trials, score)
    if not limits:
        front = _front(everything)
        depths = [t.metrics["depth"] for t in front] or [0.0]
        wanted = [
            depths[0] - (depths[0] - depths[-1]) * i / max(1, count - 1) for i in range(count)
        ]
        chosen = _nearest(front, wanted, [])
    else:
        chosen = []
        for position, limit in enumerate(limits):
            # a single place: of the strictest limit
            places = -(-(count - len(chosen)) // (len(limits) - position))
            within = [t for t in everything if not limit.excess(float(limit.metric(t.arch)))]  # type: ignore[arg-type]
            front = _front(within)
            depths = [t.metrics["depth"] for t in front] or [1.0]
            wanted = [
                depths[-1] * (depths[0] / depths[-1]) ** ((i + 1) / (places + 2))
                for i in range(places)
            ]
            chosen += _nearest(front, wanted, chosen)
    rest = [t for t in everything if t not in chosen]
    if limits:  # where nothing is fast enough, the fastest
        rest.sort(key=lambda t: limits[-1].metric(t.arch))  # type: ignore[arg-type, return-value]
    return sorted([*chosen, *rest[: count - len(chosen)]], key=lambda t: -t.metrics[score])


def _front(ranking: Sequence[Trial]) -> list[Trial]:
    """Those than which nothing shallower scores as high, from the deepest to the shallowest."""
    front: list[Trial] = []
    for trial in ranking:
        if not front or trial.metrics["depth"] < front[-1].metrics["depth"]:
            front.append(trial)
    return front


def _nearest(
    front: Sequence[Trial], depths: Sequence[float], taken: Sequence[Trial]
) -> list[Trial]:
    """For each depth the network of the front closest to it that is not taken yet; fewer where the
    front ends."""
    chosen: list[Trial] = []
    for depth in depths:
        rest = [t for t in front if t not in chosen and t not in taken]
        if rest:
            chosen.append(min(rest, key=lambda t, depth=depth: abs(t.metrics["depth"] - depth)))  # type: ignore[misc]
    return chosen


# -- what is known before any score --------------------------------------------------------------


def _bounded(
    job: Job, counts: Costs, limits: Sequence[Constraint], trials: int, part: str = "promising"
) -> list[Trial]:
    """The front of (sum of ln(weights), depth) under the limits, from the deepest to the
    shallowest."""
    objectives = (maximize(counts, name="log_sizes"), _shallow(job, counts))
    archive = Archive()
    budget = _until(job, part, lambda: len(archive) >= _HANDFUL)
    problem = Problem(job.space.decisions, objectives, (*budget, *limits))
    with contextlib.suppress(_OutOfTime):
        run_searcher(
            problem,
            _cheaply(job, problem),
            trials=trials,
            archive=archive,
            stop=_enough(job, archive, part),
        )
    kept = (t for t in archive if not t.failed and t.feasible)
    return _front(sorted(kept, key=lambda t: t.losses))


def _time_for_scores(job: Job) -> bool:
    """Whether there was any, and some is left."""
    return min(job.clock.seconds, job.clock.left()) >= clock.SCORING_LEAST_S


def _cheaply(job: Job, problem: Problem) -> GeneratorSearcher:
    """NSGA-II, whose first population alone takes seconds where what fits is rare; random networks
    where there are none."""
    if _time_for_scores(job):
        return nsga2(problem, job.seed, population=_CHEAP_POPULATION)
    return random_search(problem, job.seed)


def _enough(job: Job, archive: Archive, part: str) -> Callable[[], bool]:
    """True where a part's time is over, but not before a first population, or a few where there is
    hardly any time."""
    least, ended = (
        _CHEAP_POPULATION if _time_for_scores(job) else _HANDFUL,
        late(job, part),
    )
    return lambda: len(archive) >= least and ended()


def passes_of(job: Job, arch: Architecture) -> float:
    """How often it would see each training image in the time that the network which ships gets,
    timed for it alone; infinite where steps count."""
    training = job.clock.training
    if training is None:
        return math.inf
    each = job.log.decide(f"pace/{arch.key}", lambda: next(_timed(job, training, [arch])))
    return 1e3 * training.seconds * growth(training.recipe) / max(each, 1e-9) / training.images


def _timed(job: Job, training: Training, archs: Sequence[Architecture]) -> Iterator[float]:
    """Milliseconds of training per image, of one after another."""
    networks = (
        extract(job.space.model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu")
        for arch in archs
    )
    return timed(
        networks,
        job.data.batches,
        training.recipe,
        device=job.device,
        precisions=training.precisions,
        class_counts=training.class_counts,
        images=_FEW_IMAGES if job.clock.seconds < clock.SCORING_LEAST_S else _IMAGES,
    )


def _paces(job: Job, counts: Costs) -> dict[str, Any]:
    """What training takes, by a network's counts, and the milliseconds of the slowest timed and of
    the fastest; found once."""
    training = job.clock.training
    assert training is not None

    def measure() -> dict[str, Any]:
        ended = late(job, "pace")
        ends = list(job.space.by_hand(()))
        if ends:  # of every kind of block
            drawn: list[Architecture] = []
        else:
            front = _bounded(job, counts, (), _CHEAP_FEWEST, part="pace")
            # the shallowest first: all can afford it
            ends = [t.arch for t in reversed(front[:: max(1, len(front) // _PACED)])]
            drawn = (
                []
                if ended()
                else feasible_sample(
                    job.space.decisions, job.space.limits, Random(job.seed + 11), _PACED, stop=ended
                )
            )
        archs = [
            arch for pair in itertools.zip_longest(ends, drawn) for arch in pair if arch is not None
        ]
        took: list[float] = []
        for milliseconds in _timed(job, training, archs):
            took.append(milliseconds)
            if ended() and len(took) >= _PACED_FEWEST:
                break
        # of few networks one count says more than three that are fitted to them (results
        # pace-few-mobilenet, pace-few-convnet)
        names = COUNTS if len(took) >= _FITTED_FROM else COUNTS[1:2]
        pace = Pace(
            counts.once,
            dict.fromkeys(COUNTS, 0.0)
            | fitted([counts.once(a) for a in archs[: len(took)]], took, names),
        )
        return {"weights": dict(pace.weights), "slowest": max(took), "fastest": _fastest(job, pace)}

    return job.log.decide("pace", measure)


def _limits(job: Job, counts: Costs) -> tuple[Constraint, ...]:
    """Upper limits of training milliseconds per image, where time is counted and some networks
    would see too few images.

    None is below what half as much again as the fastest network takes.
    """
    training = job.clock.training
    if training is None:
        return ()
    paces = _paces(job, counts)
    pace = Pace(counts.once, paces["weights"])
    allowed = [
        1e3 * training.seconds / max(seen * training.images, updates * training.recipe.batch_size)
        for seen, updates in zip(_SEEN, _UPDATES, strict=True)
    ]
    if paces["slowest"] <= allowed[0]:
        return ()
    return tuple(at_most(pace, max(limit, 1.5 * paces["fastest"])) for limit in allowed)


def _fastest(job: Job, pace: Pace) -> float:
    """Milliseconds of the fastest network within the budget: the smallest of the space where that
    keeps it, or by evolution."""
    smallest, cheap = job.space.decisions.extreme(0), Archive()
    whole = Problem(job.space.decisions, (minimize(pace),), job.space.limits)
    if whole.evaluate([Candidate(smallest)])[0].feasible:
        return pace(smallest)
    problem = replace(whole, constraints=_until(job, "pace", lambda: len(cheap)))
    searching = (evolution if _time_for_scores(job) else random_search)(problem, job.seed)
    with contextlib.suppress(_OutOfTime):
        run_searcher(
            problem,
            searching,
            trials=_CHEAP_FEWEST,
            archive=cheap,
            stop=_enough(job, cheap, "pace"),
        )
    by_hand = [pace(arch) for arch in job.space.by_hand(())]
    return min([*(cheap.best.losses[:1] if cheap.best else ()), *by_hand], default=0.0)


def _promising(job: Job, counts: Costs, limits: Sequence[Constraint], count: int) -> list[Trial]:
    """Up to `count` architectures, evenly along the fronts of lower bounds, one front for each
    limit; found once, read back."""

    def find() -> list[dict[str, Any]]:
        trials = max(_CHEAP_FEWEST, min(_CHEAP_MOST, int(_CHEAP * job.clock.seconds)))
        fronts_ = [_bounded(job, counts, (limit,), trials) for limit in limits] or [
            _bounded(job, counts, (), trials)
        ]
        candidates: list[Trial] = []
        for front in fronts_:
            places = max(1, count // len(fronts_))
            steps = max(1, min(places, len(front)) - 1)
            candidates += [
                front[round(i * (len(front) - 1) / steps)] for i in range(min(places, len(front)))
            ]
        unique = {t.arch: t for t in candidates}
        return [
            {"options": dict(arch), **{n: t.metrics[n] for n in ("log_sizes", "depth")}}
            for arch, t in unique.items()
        ]

    rows = job.log.decide("promising", find)
    return [
        Trial(
            Candidate(Architecture(row["options"])),
            {"log_sizes": row["log_sizes"], "depth": row["depth"]},
        )
        for row in rows
    ]


def _foremost(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The first `count` by non-dominated front."""
    order = [i for front in fronts([t.losses for t in trials]) for i in front]
    return [trials[i] for i in order[:count]]


def _best(trials: Iterable[Trial], score: Score) -> Best | None:
    """For the record."""
    best = next(iter(ranked(trials, score.name)), None)
    if best is None:
        return None
    return Best(key=best.arch.key, score=best.metrics[score.name], depth=best.metrics["depth"])


def _telling(job: Job, score: Score, total: int) -> Callable[[Trial], None]:
    count, best = 0, float("-inf")

    def tell(trial: Trial) -> None:
        nonlocal count, best
        count += 1
        best = max(best, trial.metrics.get(score.name, best))
        text = f", best score {best:.1f}" if best > float("-inf") else ""
        job.log.tell(f"{count} of {total} networks tried{text}", count / total)

    return tell
