"""Searchers on the toy benchmark: equal cost, curves, statistics, the page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from archsmith.bench import page, searchers
from archsmith.bench.searchers import Setting, compare, run
from archsmith.errors import UserError
from archsmith.problem import Problem, maximize
from archsmith.recorded import load
from archsmith.searchers import NEED_FIDELITIES, SEARCHERS, make


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_runs_and_repeats_itself(name: str) -> None:
    first = run("toy", name, 3, 12)
    assert first == run("toy", name, 3, 12) or all(
        a == b or (math.isnan(a) and math.isnan(b))
        for a, b in zip(first, run("toy", name, 3, 12), strict=True)
    )
    assert 10 <= first[-1] <= load("toy").facts["optimum"]


def test_shown_the_truth_the_incumbent_never_gets_worse() -> None:
    curve = [v for v in run("toy", "evolution", 0, 40, truthful=True) if not math.isnan(v)]
    assert curve == sorted(curve)


def test_settings_are_passed_on() -> None:
    toy = load("toy")
    problem = Problem(toy.space, (maximize(lambda arch: toy.truth(arch), name="accuracy"),))
    usual, small = (
        make(name)(problem, 0).ask()
        for name in ("regularized-evolution", "regularized-evolution:population=7")
    )
    assert len(usual) == 100 and small == usual[:7]


def test_nothing_that_was_found_beyond_the_budget_counts() -> None:
    """With a budget of one typical evaluation at most a few cheap networks have been seen."""
    assert (
        run("toy", "random", 0, 1, truthful=True)[-1]
        <= run("toy", "random", 0, 60, truthful=True)[-1]
    )


def test_a_comparison_with_its_files_and_page(tmp_path: Path) -> None:
    setting = Setting(("toy",), ("random", "regularized-evolution"), budget=15, seeds=4)
    found = compare(setting, tmp_path, workers=1)
    rows = found["benchmarks"]["toy"]["rows"]
    assert set(rows) == {"random", "regularized-evolution"} and "gain" not in rows["random"]
    row = rows["regularized-evolution"]
    assert row["gain"] == pytest.approx(row["mean"] - rows["random"]["mean"]) and 0 <= row["p"] <= 1
    assert row["low"] <= row["mean"] <= row["high"] and row["regret"] >= 0
    assert sum(found["ranks"].values()) == pytest.approx(3.0)
    assert {p.name for p in tmp_path.iterdir()} == {
        "setting.json",
        "searches.jsonl",
        "table.json",
        "curves.json",
        "table.csv",
    }
    page.write_searchers(
        found, json.loads((tmp_path / "curves.json").read_text()), tmp_path / "page.html"
    )
    html = (tmp_path / "page.html").read_text()
    assert (
        "regularized-evolution" in html
        and "<polyline" in html
        and "http" not in html.replace("http-equiv", "")
    )
    assert "toy" in searchers.text(found) and html.count("<polygon") == 2


def test_bands_hold_their_lines_and_names_lie_apart() -> None:
    mean = [10.0 - 1 / (i + 1) for i in range(40)]
    curve = {"mean": mean, "low": [v - 0.1 for v in mean], "high": [v + 0.01 for v in mean]}
    drawn = page.anytime(
        {name: curve for name in "abcde"}, 11.0, 200, {name: "--good" for name in "abcde"}
    )
    line = drawn["lines"][0]
    pairs = [tuple(map(float, point.split(","))) for point in line["band"].split()]
    upper, lower = pairs[:40], pairs[:39:-1]
    points = [tuple(map(float, point.split(","))) for point in line["points"].split()]
    assert all(u[0] == p[0] == w[0] for u, p, w in zip(upper, points, lower, strict=True))
    assert all(
        min(u[1], w[1]) <= p[1] <= max(u[1], w[1])
        for u, p, w in zip(upper, points, lower, strict=True)
    )
    heights = sorted(line["text_y"] for line in drawn["lines"])
    assert (
        all(b - a >= 15 for a, b in zip(heights, heights[1:], strict=False))
        and heights[-1] < drawn["bottom"]
    )


def test_a_comparison_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch) -> None:
    setting = Setting(("toy",), ("random", "local"), budget=6, seeds=3)
    found = compare(setting, tmp_path, workers=1)
    path = tmp_path / "searches.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]) + '\n{"benchmark": "to')  # cut off in the middle
    assert compare(setting, tmp_path, workers=1)["benchmarks"] == found["benchmarks"]
    assert sorted(line for line in path.read_text().splitlines() if line.endswith("}")) == sorted(
        lines
    )
    monkeypatch.setattr(searchers, "run", None)  # nothing is searched anew
    assert compare(setting, tmp_path, workers=1)["benchmarks"] == found["benchmarks"]
    with pytest.raises(UserError, match="holds another comparison"):
        compare(Setting(("toy",), ("random",), budget=7, seeds=3), tmp_path, workers=1)


def test_searchers_without_the_cheaper_fidelities_they_need_are_left_out(
    tmp_path: Path, monkeypatch
) -> None:
    toy = load("toy")
    monkeypatch.setattr(searchers, "_shown", lambda recorded, seed, truthful: toy.truth)
    found = compare(
        Setting(("toy",), ("random", "hyperband"), budget=3, seeds=2, truthful=True),
        tmp_path,
        workers=1,
    )
    assert list(found["benchmarks"]["toy"]["rows"]) == ["random"] and found["benchmarks"]["toy"][
        "left_out"
    ] == ["hyperband"]
    assert "left out" in searchers.text(found) and set(found["ranks"]) == {"random"}
    page.write_searchers(
        found, json.loads((tmp_path / "curves.json").read_text()), tmp_path / "page.html"
    )
    assert "Left out" in (tmp_path / "page.html").read_text()
    with pytest.raises(UserError, match="hyperband need cheaper fidelities, which toy"):
        compare(Setting(("toy",), ("hyperband",), budget=3, seeds=2), tmp_path / "other", workers=1)


@pytest.mark.parametrize("name", SEARCHERS)
def test_those_said_to_need_fidelities_are_those_that_refuse_without(name: str) -> None:
    toy = load("toy")
    problem = Problem(toy.space, (maximize(lambda arch: toy.truth(arch), name="accuracy"),))
    try:
        make(name)(problem, 0).ask()
        refused = False
    except UserError:
        refused = True
    assert refused is (name in NEED_FIDELITIES)


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match="--budget 0"):
        Setting(("toy",), ("random",), budget=0)
    with pytest.raises(UserError, match="did you mean 'random'"):
        Setting(("toy",), ("radnom",))
    with pytest.raises(UserError, match="no benchmark"):
        run("toyy", "random", 0, 5)


def test_a_moving_distribution_returns_what_it_ends_with() -> None:
    from archsmith.bench.searchers import _better
    from archsmith.problem import Candidate, Trial
    from archsmith.space import Architecture

    def trial(origin: str, loss: float) -> Trial:
        return Trial(Candidate(Architecture({"a": 0}), origin=origin), {}, (loss,), 0.0)

    assert _better(trial("survivor", 5.0), trial("dealt", 1.0)) and not _better(
        trial("dealt", 1.0), trial("mode", 5.0)
    )
    assert _better(trial("dealt", 1.0), trial("dealt", 2.0))
