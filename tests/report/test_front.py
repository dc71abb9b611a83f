"""front.csv: exactly the networks that no other beats."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from made_runs import bare, other

from archsmith import open_run
from archsmith.errors import UserError
from archsmith.problem import Candidate, Trial
from archsmith.problem.pareto import dominates
from archsmith.report import write_front
from archsmith.report.front import best_of, costs_of, rows, scored, trained
from archsmith.report.run_record import read
from archsmith.space import Architecture


def scored_trial(number: int, *, zico: float, params: float, macs: float, **more: Any) -> Trial:
    metrics = {"zico": zico, "params": params, "macs": macs}
    return Trial(
        Candidate(Architecture({"n": number})),
        metrics,
        (-zico,),
        stage=more.pop("stage", "screen"),
        **more,
    )


def test_front_holds_what_nothing_beats_and_nothing_else(made: Any) -> None:
    run = made()
    record = read(run.folder)
    everything = scored(record)
    found = [r for r in rows(run.folder) if r["kind"] == "scored"]
    assert 0 < len(found) < len(everything)
    losses = {
        t.arch.key: (-t.metrics["zico"], t.metrics["params"], t.metrics["macs"]) for t in everything
    }
    free = {
        key
        for key, point in losses.items()
        if not any(dominates(other, point) for other in losses.values())
    }
    assert {r["key"] for r in found} == free


def test_only_complete_training_counts_as_trained(made: Any) -> None:
    run = made()
    complete = [r for r in rows(run.folder) if r["kind"] == "trained"]
    assert [r["chosen"] for r in complete] == [True]
    assert len(trained(read(run.folder))) == 5  # six were short-listed, one failed


def test_csv_can_be_read_back(made: Any) -> None:
    run = made()
    with write_front(run.folder).open(encoding="utf-8", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert (
        [row["key"] for row in table]
        == [row["key"] for row in rows(run.folder)]
        == [row["key"] for row in open_run(run.folder).front()]
    )
    assert all(Architecture.from_json(row["architecture"]).key == row["key"] for row in table)
    assert {row["proxy"] for row in table} == {"zico"}


def test_csv_of_a_fresh_run_has_its_header(made: Any) -> None:
    lines = write_front(made(0).folder).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("kind,key,chosen")


def test_infeasible_failed_and_superseded_scores_stay_out(tmp_path: Any) -> None:
    trials = [
        scored_trial(0, zico=9.0, params=10, macs=10, violation=0.5),
        scored_trial(1, zico=9.0, params=10, macs=10, reason="did not train"),
        scored_trial(2, zico=9.0, params=10, macs=10),
        scored_trial(2, zico=1.0, params=10, macs=10),  # the newest counts
        scored_trial(3, zico=float("nan"), params=10, macs=10),
        scored_trial(4, zico=2.0, params=10, macs=10),
    ]
    record = bare(tmp_path, trials=trials)
    assert [t.metrics["zico"] for t in scored(record)] == [1.0, 2.0]
    assert [t.arch["n"] for t in best_of(scored(record), "zico", ["params"])] == [4]


def test_the_trade_off_is_about_the_limited_costs(made: Any) -> None:
    trials, record = [scored_trial(0, zico=1.0, params=10, macs=10)], read(made(2).folder)
    assert costs_of(other(record, "profiled", budget=[]), trials) == ["params", "macs"]
    limit = {"metric": "macs", "op": "<=", "limit": 20, "unit": "", "text": "macs<=20"}
    assert costs_of(other(record, "profiled", budget=[limit]), trials) == ["macs"]
    assert best_of([], "zico", ["macs"]) == []


def test_no_run_is_a_clear_error(tmp_path: Any) -> None:
    with pytest.raises(UserError, match=r"run\.json"):
        write_front(tmp_path)
