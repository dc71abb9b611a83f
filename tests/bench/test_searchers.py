"""Searchers on the toy benchmark: equal cost, curves, statistics, the page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from archsmith.bench import page, searchers
from archsmith.bench.searchers import Setting, compare, run
from archsmith.benchmarks import load
from archsmith.errors import UserError
from archsmith.searchers import SEARCHERS


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_runs_and_repeats_itself(name: str) -> None:
    first = run("toy", name, 3, 12)
    assert first == run("toy", name, 3, 12) or all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(first, run("toy", name, 3, 12), strict=True)
    )
    assert 10 <= first[-1] <= load("toy").facts["optimum"]


def test_shown_the_truth_the_incumbent_never_gets_worse() -> None:
    curve = [v for v in run("toy", "evolution", 0, 40, truthful=True) if not math.isnan(v)]
    assert curve == sorted(curve)


def test_nothing_that_was_found_beyond_the_budget_counts() -> None:
    """With a budget of one typical evaluation at most a few cheap networks have been seen."""
    assert run("toy", "random", 0, 1, truthful=True)[-1] <= run("toy", "random", 0, 60, truthful=True)[-1]


def test_a_comparison_with_its_files_and_page(tmp_path: Path) -> None:
    setting = Setting(("toy",), ("random", "regularized-evolution"), budget=15, seeds=4)
    found = compare(setting, tmp_path, workers=1)
    rows = found["benchmarks"]["toy"]["rows"]
    assert set(rows) == {"random", "regularized-evolution"} and "gain" not in rows["random"]
    row = rows["regularized-evolution"]
    assert row["gain"] == pytest.approx(row["mean"] - rows["random"]["mean"]) and 0 <= row["p"] <= 1
    assert row["low"] <= row["mean"] <= row["high"] and row["regret"] >= 0
    assert sum(found["ranks"].values()) == pytest.approx(3.0)
    assert {p.name for p in tmp_path.iterdir()} == {"table.json", "curves.json", "table.csv"}
    page.write_searchers(found, json.loads((tmp_path / "curves.json").read_text()), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "regularized-evolution" in html and "<polyline" in html and "http" not in html.replace("http-equiv", "")
    assert "toy" in searchers.text(found)


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match="--budget 0"):
        Setting(("toy",), ("random",), budget=0)
    with pytest.raises(UserError, match="did you mean 'random'"):
        Setting(("toy",), ("radnom",))
    with pytest.raises(UserError, match="no benchmark"):
        run("toyy", "random", 0, 5)
