"""Search on a training-free score: what is short-listed; screening, search and random search pay
alike and keep the budget."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from short_runs import FAST, SIZES
from torch import nn

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.methods import auto, scored
from archsmith.methods.ensemble import Ensemble
from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace, Training
from archsmith.methods.zico import ZiCo as Method
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Reference
from archsmith.metrics.proxies.zico import ZiCo
from archsmith.problem import Candidate, Trial, at_most
from archsmith.run.clock import SCORING_PARTS
from archsmith.run.request import request_from
from archsmith.searchers.archive import Archive
from archsmith.space import Architecture
from archsmith.spaces import build
from archsmith.stages.requests import start
from archsmith.training.recipe import Recipe

LIMIT = 60e3  # parameters: a tenth of the space keeps it


def trial(name: int, score: float, depth: int, **changes: Any) -> Trial:
    return Trial(
        Candidate(Architecture({"name": name})),
        {"zico": score, "depth": depth},
        (-score, depth),
        **changes,
    )


def names(trials: list[Trial]) -> list[int]:
    return [t.arch["name"] for t in trials]


def test_the_short_list_runs_from_deep_to_shallow() -> None:
    trials = [trial(depth, 10.0 * depth, depth) for depth in range(10, 41)]
    # the second best at each depth
    trials += [trial(100 + depth, 10.0 * depth - 3, depth) for depth in range(10, 41)]
    assert names(scored.shortlist(trials, "zico", 4)) == [40, 30, 20, 10]
    assert names(scored.shortlist(trials, "zico", 1)) == [40]


def test_what_is_deeper_and_worse_is_left_out() -> None:
    trials = [trial(1, 50.0, 10), trial(2, 40.0, 20), trial(3, 60.0, 30)]
    assert names(scored.shortlist(trials, "zico", 2)) == [3, 1]


def test_a_short_front_is_filled_with_the_next_best() -> None:
    trials = [trial(1, 50.0, 10), trial(2, 40.0, 20), trial(3, 30.0, 30)]
    assert names(scored.shortlist(trials, "zico", 3)) == [1, 2, 3]
    assert names(scored.shortlist(trials, "zico", 9)) == [1, 2, 3]


def test_failed_infeasible_and_repeated_trials_do_not_count() -> None:
    good = trial(1, 50.0, 10)
    trials = [good, good, trial(2, 90.0, 5, reason="it broke"), trial(3, 90.0, 5, violation=0.1)]
    assert names(scored.ranked(trials, "zico")) == [1]


def test_limits_on_the_training_time_share_the_places_and_prefer_the_shallow() -> None:
    trials = [trial(depth, 10.0 * depth, depth) for depth in range(10, 41)]
    fast, slow = (at_most(lambda arch: arch["name"], limit, name="ms") for limit in (20.0, 40.0))
    found = scored.shortlist(trials, "zico", 4, (fast, slow))
    # between 10 and 20 at a quarter and half of the way of the logarithm: 12, 14; between 10 and
    # 40: 14 is taken, so 15, and 20
    assert names(found) == [20, 15, 14, 12]
    # a third of the way from 10 to 20
    assert names(scored.shortlist(trials, "zico", 1, (fast, slow))) == [13]
    nothing = at_most(lambda arch: arch["name"], 5.0, name="ms")
    # filled with the best scores
    assert len(scored.shortlist(trials, "zico", 3, (nothing, nothing))) == 3


def test_the_lower_bound_is_one() -> None:
    """No ratio is below 1, so ZiCo is at least the sum of the logarithms of the layers' sizes, and
    ranks alike."""
    given = job(Archive())
    score, counts = ZiCo(given.space.model, given.data.batches), counts_of(given)
    archs = [given.space.decisions.sample(Random(seed)) for seed in range(30)]
    pairs = [(score(arch), counts(arch)["log_sizes"]) for arch in archs]
    assert all(value >= bound for value, bound in pairs)
    ranks = [sorted(column).index(x) for column in zip(*pairs, strict=True) for x in column]
    # 8555: equal ranks
    assert abs(sum(a * b for a, b in zip(ranks[:30], ranks[30:], strict=True)) - 8555) < 300


def counts_of(given: Job) -> Costs:
    return given.space.costs.showing("macs", *LAYERS)


def counted(given: Job) -> tuple[Job, Costs]:
    return given, counts_of(given)


def training(seconds: float, images: int = 1000) -> Training:
    return Training(seconds, images, (images // 4,) * 4, Recipe(batch_size=8))


def test_where_everything_is_fast_enough_there_is_no_limit() -> None:
    assert scored._limits(*counted(job(Archive()))) == ()
    assert scored._limits(*counted(job(Archive(), training=training(1e6)))) == ()


def test_where_time_is_short_slow_networks_are_not_short_listed() -> None:
    given = job(Archive(), trials=24, training=training(2.0))  # 0.25 and 0.5 ms an image
    found = {"weights": {"depth": 0.01}, "slowest": 0.7, "fastest": 0.1}
    limits = scored._limits(
        with_(given, decide=lambda name, make: found if name == "pace" else make()),
        counts_of(given),
    )
    assert [limit.high for limit in limits] == [0.25, 0.5]
    archs = [given.space.decisions.sample(Random(seed)) for seed in range(20)]
    counts = counts_of(given)
    for limit in limits:
        assert [limit.metric(arch) for arch in archs] == pytest.approx(
            [0.01 * counts(arch)["depth"] for arch in archs]
        )
        for front in (scored._bounded(given, counts_of(given), (limit,), 200),):
            assert front and all(limit.metric(t.arch) <= limit.high for t in front)  # type: ignore[operator]


def test_no_limit_is_below_what_a_fast_network_takes() -> None:
    found = {"weights": {"depth": 0.01}, "slowest": 9.0, "fastest": 3.0}
    given = job(Archive(), training=training(2.0), decide=lambda name, make: found)
    assert [limit.high for limit in scored._limits(given, counts_of(given))] == [4.5, 4.5]


def test_how_often_images_are_seen_follows_from_the_pace_of_the_network_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[int] = []

    def pace(networks: Iterable[nn.Module], *given: Any, **settings: Any) -> Iterator[float]:
        for network in networks:
            timed.append(len(list(network.parameters())))
            yield 0.25  # ms per image

    monkeypatch.setattr(scored, "timed", pace)
    decided: dict[str, float] = {}

    def decide(name: str, make: Callable[[], float]) -> float:
        return decided[name] if name in decided else decided.setdefault(name, make())

    given = job(Archive(), training=training(2.0, images=500), decide=decide)
    arch = given.space.decisions.sample(Random(0))
    for _ in range(2):  # found once, then read back
        assert scored.passes_of(given, arch) == pytest.approx(2000 / 0.25 / 500)
    assert len(timed) == 1 and list(decided) == [f"pace/{arch.key}"]
    assert scored.passes_of(with_(given, training=None), arch) == math.inf


def test_the_pace_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given = job(Archive(), training=training(0.001))
    limits = scored._limits(given, counts_of(given))
    monkeypatch.setattr(scored, "timed", lambda *_, **__: pytest.fail("timed again"))
    again = scored._limits(given, counts_of(given))
    assert [limit.high for limit in again] == [limit.high for limit in limits] and len(limits) == 2


@pytest.mark.parametrize(
    ("finalists", "by_hand", "first"), [(1, 2, 1), (4, 3, 2), (4, 1, 1), (3, 0, 0)]
)
def test_networks_by_hand_take_up_to_half_of_the_short_list_or_its_only_place(
    finalists: int, by_hand: int, first: int
) -> None:
    space = job(Archive()).space.decisions
    known = [space.sample(Random(100 + i)) for i in range(by_hand)]
    for seconds in (0.5, 60.0):  # by the sum of ln(weights) alone, and after scores
        given = job(Archive(), finalists=finalists, by_hand=lambda limits: known, seconds=seconds)
        listed = (
            scored.unscored(given, "").shortlist
            if seconds < 1
            else Method().search(given).shortlist
        )
        assert [entry.key for entry in listed[:first]] == [arch.key for arch in known[:first]]
        assert len(listed) == len({entry.key for entry in listed}) == finalists


PARTS = {  # of a job, and what of it tests change
    "data": ("batches", "task", "sharing"),
    "space": ("model", "decisions", "costs", "limits", "name", "by_hand", "beside"),
    "clock": ("seconds", "spent", "left", "trials", "finalists", "training", "referenced"),
    "log": ("archive", "decide", "tell"),
}


@functools.cache
def counted_model() -> tuple[Any, Costs]:
    """Once for all: checking that its counts add up takes longer than most of these tests."""
    model = build("mobilenet", 4, 1, 8)
    costs = Costs(model, (1, 8, 8), ("params", "macs", *LAYERS))
    return model, costs.showing("params", "macs")


def job(archive: Archive, **changes: Any) -> Job:
    model, costs = counted_model()
    generator = torch.Generator().manual_seed(0)
    pair = [
        (
            torch.randn(8, 1, 8, 8, generator=generator),
            torch.randint(0, 4, (8,), generator=generator),
        )
        for _ in range(2)
    ]
    kept: dict[str, Any] = {}

    def decide(name: str, make: Callable[[], Any]) -> Any:
        if name not in kept:
            kept[name] = make()
        return kept[name]

    given = Job(
        JobData(pair),
        JobSpace(model, search_space(model), costs, (at_most(costs, LIMIT, name="params"),)),
        JobClock(seconds=60.0, trials=30, finalists=3),
        JobLog(archive, decide),
    )
    return with_(given, **changes)


def with_(given: Job, **changes: Any) -> Job:
    """The job with these fields of its parts changed."""
    parts = {
        part: {name: value for name, value in changes.items() if name in names}
        for part, names in PARTS.items()
    }
    assert sum(map(len, parts.values())) == len(changes)
    return replace(
        given, **{part: replace(getattr(given, part), **new) for part, new in parts.items()}
    )


METHODS = pytest.mark.parametrize(
    ("method", "space", "proxy"),
    [(Method(), "", "zico"), (Ensemble(), "mobilenet", "archsmith-mobile")],
    ids=["zico", "ensemble"],
)


@METHODS
def test_search_and_random_search_pay_alike(method: Any, space: str, proxy: str) -> None:
    archive = Archive()
    once = job(archive).log.decide
    screened = method.screen(job(archive, decide=once, name=space))
    found = method.search(job(archive, decide=once, name=space))
    assert screened.scored == 10 and screened.proxy == proxy
    fresh = {
        stage: [t for t in archive.stage(stage) if t.cost.get("seconds")]
        for stage in ("screen", "search", "search-random")
    }
    assert [len(trials) for trials in fresh.values()] == [10, 10, 10]
    assert found.trials == 20 and found.random.trials <= 20
    assert all(t.metrics["params"] <= LIMIT for t in archive)
    assert len({entry.key for entry in found.shortlist}) == 3
    assert found.best.score == max(
        t.metrics[proxy] for s in ("screen", "search") for t in archive.stage(s)
    )
    assert found.best.score >= screened.best.score


def test_an_ensemble_ranks_among_the_networks_that_were_looked_at_first() -> None:
    archive, looked = Archive(), {}
    given = job(archive)
    decide = given.log.decide
    Ensemble().screen(
        with_(given, decide=lambda name, make: looked.setdefault(name, decide(name, make)))
    )
    rows = looked["reference"]
    assert len(rows) == 32 and set(rows[0]) == {name for name, _ in ENSEMBLES["archsmith"].members}
    reference = Reference(ENSEMBLES["archsmith"], rows)
    for trial in archive.stage("screen"):
        assert trial.metrics["archsmith"] == pytest.approx(reference(trial.metrics), rel=1e-12)


def test_mobile_networks_are_ranked_by_other_scores() -> None:
    archive = Archive()
    found = Ensemble().screen(job(archive, name="mobilenet"))
    assert found.proxy == "archsmith-mobile" and found.passes == 0
    assert all({"l2_norm", "params", "archsmith-mobile"} <= set(t.metrics) for t in archive)


def test_the_method_is_the_best_known_for_the_space() -> None:
    assert auto("auto") == auto("convnet") == "hand-made"
    assert auto("mobilenet") == auto("my_model.py:Net") == "zico"
    assert {
        auto(space) for space in ("nasbench201", "darts", "transnas", "vit-nano", "autoformer-tiny")
    } == {"ensemble"}


@METHODS
def test_a_search_that_was_cut_off_is_replayed(method: Any, space: str, proxy: str) -> None:
    whole, cut = Archive(), Archive()
    once = job(cut).log.decide  # what was decided is kept, as the trials are
    method.screen(job(whole, name=space, trials=15))
    method.search(job(whole, name=space, trials=15))
    method.screen(job(cut, decide=once, name=space, trials=15))
    calls = [0]

    def dying(text: str, share: float | None) -> None:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.search(job(cut, decide=once, name=space, trials=15, tell=dying))
    method.search(job(cut, decide=once, name=space, trials=15))
    for stage in ("screen", "search", "search-random"):
        assert [(t.arch.key, t.losses) for t in cut.stage(stage)] == [
            (t.arch.key, t.losses) for t in whole.stage(stage)
        ]


class Seconds:
    """A clock of which each look takes a while: seconds of scoring that are left."""

    def __init__(self, seconds: float, look: float) -> None:
        self.seconds, self._look = seconds, look

    def left(self) -> float:
        self.seconds -= self._look
        return self.seconds


def timed(archive: Archive, seconds: float, look: float, **changes: Any) -> tuple[Job, Seconds]:
    clock = Seconds(seconds, look)
    return job(archive, seconds=seconds, left=clock.left, **{"trials": None, **changes}), clock


@pytest.mark.parametrize(
    "asked", [{"decide": lambda name, make: 1000}, {"trials": 3000}, {"trials": 300}]
)
def test_scoring_is_cut_where_its_time_ends_however_many_networks_were_asked_for(
    asked: dict[str, Any],
) -> None:
    archive = Archive()
    late, _ = timed(archive, 3.0, 0.1, **asked)
    Method().screen(late)
    assert 0 < len(archive.stage("screen")) < 20


@pytest.mark.parametrize("method", [Method(), Ensemble()], ids=["zico", "ensemble"])
@pytest.mark.parametrize("seconds", [0.0, 1.9, -5.0])
def test_with_hardly_any_time_nothing_is_scored_and_there_is_a_short_list_all_the_same(
    method: Any, seconds: float
) -> None:
    archive = Archive()
    late, clock = timed(archive, seconds, 0.01)
    screened = method.screen(late)
    found = method.search(late)
    assert screened.proxy is None and "too little time" in screened.why and not list(archive)
    assert len(found.shortlist) == late.clock.finalists and "ln(weights)" in found.searcher
    assert all(
        late.space.costs(Architecture(row.options))["params"] <= LIMIT for row in found.shortlist
    )
    assert clock.seconds > seconds - 5  # it is asked all the time, so that nothing goes on for long


@pytest.mark.parametrize("stage", ["screen", "search", "search-random"])
def test_no_trial_is_begun_that_would_end_after_the_part_of_its_stage(stage: str) -> None:
    clock = Seconds(10.0, 0.0)
    given = job(Archive(), seconds=10.0, left=clock.left, trials=None)
    over = scored.stop(given, stage)
    assert over is not None and not over()
    clock.seconds -= 1.0  # what a trial took
    while not over():
        clock.seconds -= 1.0
    assert clock.seconds - 1.0 <= SCORING_PARTS[stage] * 10.0 < clock.seconds + 1.0
    assert scored.stop(job(Archive()), stage) is None  # with --steps time plays no part


def test_depth_may_be_bounded() -> None:
    archive = Archive()
    given = job(archive)
    costs = Costs(given.space.model, (1, 8, 8), ("params", "macs", "depth"))
    given = with_(given, costs=costs, limits=(at_most(costs, 40, name="depth"),))
    Method().screen(given), Method().search(given)
    assert archive.stage("search") and all(t.metrics["depth"] <= 40 for t in archive)


@functools.cache
def counted_zen() -> tuple[Any, Costs]:
    model = build("zen", 4, 3, 16)
    return model, Costs(model, (3, 16, 16), ("params", "macs", "layers"))


def zen_job(archive: Archive, limit: float = 1.2e6) -> Job:
    model, costs = counted_zen()
    given = job(archive, trials=18)
    images = torch.randn(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(4)
    limits = (at_most(costs, limit, name="macs"), at_most(costs, 11, name="layers"))
    pair = [(x, labels) for x in images]
    return with_(
        given, model=model, decisions=search_space(model), costs=costs, limits=limits, batches=pair
    )


def test_a_model_that_proposes_changes_is_searched_by_them() -> None:
    archive = Archive()
    given = zen_job(archive)
    screened, found = Method().screen(given), Method().search(given)
    assert {
        stage: len(archive.stage(stage)) for stage in ("screen", "search", "search-random")
    } == dict.fromkeys(("screen", "search", "search-random"), 6)
    assert 0 < screened.scored <= 6 and found.searcher == "evolution" and found.shortlist
    trials = list(archive)
    assert all(t.feasible for t in trials if t.metrics.get("zico") is not None)
    for row in found.shortlist:
        assert given.space.costs(Architecture(row.options))["macs"] <= 1.2e6
        assert given.space.costs(Architecture(row.options))["layers"] <= 11
    walked = {t.arch for t in archive.stage("search")}
    assert given.space.model.propose(given.space.model.start, Random(given.seed + 2), 1) in walked  # type: ignore[operator]
    again = Archive()
    Method().screen(zen_job(again)), Method().search(zen_job(again))
    assert [(t.arch, t.metrics) for t in again] == [(t.arch, t.metrics) for t in trials]


def test_the_number_of_trials_allows_for_rejected_ones_and_a_hopeless_budget_is_said() -> None:
    given = zen_job(Archive())
    archs, share = scored.some(given, 5)
    assert len(archs) == 5 and 0 < share < 1
    assert all(given.space.costs(arch)["macs"] <= 1.2e6 for arch in archs)
    with pytest.raises(UserError, match="0 keep the budget"):
        scored.some(zen_job(Archive(), 1e3), 5)


def test_an_ensemble_goes_on_where_a_score_cannot_be_had_of_some_networks(tmp_path: Path) -> None:
    """A network of one block has no progress from block to block: it ranks last in that."""
    (tmp_path / "sizes.py").write_text(SIZES)
    given = {"space": f"{tmp_path / 'sizes.py'}:Net", "method": "ensemble", "budget": "params<=3k"}
    run = start(request_from(**{**FAST, **given, "steps": 12}), tmp_path / "run")
    assert run.stage("screen")["proxy"] == "archsmith" and run.stage("ship")["files"]  # type: ignore[index]


@METHODS
@pytest.mark.parametrize("seconds", [2.5, 6.0, 30.0])
def test_looking_for_networks_ends_with_its_time_however_slow_it_is(
    method: Any, space: str, proxy: str, seconds: float
) -> None:
    """Each time the budget is asked takes a tenth of a second here, and what keeps it is rare."""
    archive = Archive()
    given, clock = timed(archive, seconds, 0.0, name=space)
    costs = given.space.costs

    def slow(arch: Architecture) -> Any:
        clock.seconds -= 0.1
        return costs(arch)

    smallest = given.space.decisions.extreme(0)
    given = with_(
        given,
        limits=(at_most(slow, 15e3, name="params"),),
        by_hand=lambda limits, views=1: [smallest],
    )
    method.screen(given)
    found = method.search(given)
    assert clock.seconds > -1.5
    assert found.shortlist[0].key == smallest.key
