"""The ZiCo page: what is short-listed, and that screening, search and random search pay alike and keep the budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archsmith.archive import Archive
from archsmith.methods import zico
from archsmith.methods.task import Task
from archsmith.metrics.cost import Costs
from archsmith.models import build
from archsmith.problem import Candidate, Trial, at_most
from archsmith.space import Architecture
from archsmith.supernet import search_space


def trial(name: int, score: float, depth: int, **changes: Any) -> Trial:
    return Trial(Candidate(Architecture({"name": name})), {"zico": score, "depth": depth}, (-score, depth), **changes)


def names(trials: list[Trial]) -> list[int]:
    return [t.arch["name"] for t in trials]


def test_the_short_list_runs_from_deep_to_shallow() -> None:
    trials = [trial(depth, 10.0 * depth, depth) for depth in range(10, 41)]
    trials += [trial(100 + depth, 10.0 * depth - 3, depth) for depth in range(10, 41)]  # the second best at each depth
    assert names(zico.shortlist(trials, 4)) == [40, 30, 20, 10]
    assert names(zico.shortlist(trials, 1)) == [40]


def test_what_is_deeper_and_worse_is_left_out() -> None:
    trials = [trial(1, 50.0, 10), trial(2, 40.0, 20), trial(3, 60.0, 30)]
    assert names(zico.shortlist(trials, 2)) == [3, 1]


def test_a_short_front_is_filled_with_the_next_best() -> None:
    trials = [trial(1, 50.0, 10), trial(2, 40.0, 20), trial(3, 30.0, 30)]
    assert names(zico.shortlist(trials, 3)) == [1, 2, 3]
    assert names(zico.shortlist(trials, 9)) == [1, 2, 3]


def test_failed_infeasible_and_repeated_trials_do_not_count() -> None:
    good = trial(1, 50.0, 10)
    trials = [good, good, trial(2, 90.0, 5, reason="it broke"), trial(3, 90.0, 5, violation=0.1)]
    assert names(zico.ranked(trials)) == [1]


def task(archive: Archive, **changes: Any) -> Task:
    model = build("mobilenet", 4, 1, 8)
    costs = Costs(model, (1, 8, 8), ("params", "macs"))
    generator = torch.Generator().manual_seed(0)
    pair = [(torch.randn(8, 1, 8, 8, generator=generator), torch.randint(0, 4, (8,), generator=generator)) for _ in range(2)]
    kept: dict[str, Any] = {}

    def decide(name: str, make: Callable[[], Any]) -> Any:
        return kept.setdefault(name, make())

    settings: dict[str, Any] = {
        "model": model, "space": search_space(model), "costs": costs, "constraints": (at_most(costs, 15e3, name="params"),),
        "batches": pair, "archive": archive, "decide": decide, "tell": lambda text, share: None, "seed": 0,
        "device": torch.device("cpu"), "seconds": 60.0, "spent": lambda: 0.0, "trials": 30, "finalists": 3,
    }  # fmt: skip
    return Task(**{**settings, **changes})


def test_search_and_random_search_pay_alike() -> None:
    archive = Archive()
    screened = zico.screen(task(archive))
    found = zico.search(task(archive))
    assert screened["scored"] == 10 and screened["best"]["score"] > 0
    fresh = {
        stage: [t for t in archive.stage(stage) if t.cost.get("seconds")] for stage in ("screen", "search", "search-random")
    }
    assert [len(trials) for trials in fresh.values()] == [10, 10, 10]
    assert found["trials"] == 20 and found["random"]["trials"] <= 20
    assert all(t.metrics["params"] <= 15e3 for t in archive)
    assert len({entry["key"] for entry in found["shortlist"]}) == 3
    assert found["best"]["score"] == max(t.metrics["zico"] for s in ("screen", "search") for t in archive.stage(s))


def test_a_search_that_was_cut_off_is_replayed(tmp_path: Path) -> None:
    whole, cut = Archive(), Archive()
    zico.screen(task(whole))
    zico.search(task(whole))
    zico.screen(task(cut))
    calls = [0]

    def dying(text: str, share: float | None) -> None:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zico.search(task(cut, tell=dying))
    zico.search(task(cut))
    for stage in ("screen", "search", "search-random"):
        assert [(t.arch.key, t.losses) for t in cut.stage(stage)] == [(t.arch.key, t.losses) for t in whole.stage(stage)]


def test_scoring_ends_when_its_time_is_over() -> None:
    archive = Archive()
    clock = [0.0]

    def spent() -> float:
        clock[0] += 0.2
        return clock[0]

    late = task(archive, trials=None, seconds=3.0, spent=spent, decide=lambda name, make: 1000)
    zico.screen(late)
    assert 0 < len(archive.stage("screen")) < 1000
