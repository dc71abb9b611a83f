"""What benchmarks/outcome makes of its rows: each made once, tables, and whether targets hold."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archsmith.elastic.conversion import converted
from archsmith.metrics.cost import macs

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "outcome"))
five, from_weights, kept, shrink_five = (
    importlib.import_module(name)
    for name in ("five_networks", "from_weights", "kept", "shrink_five")
)


def run(job: str, test: float, budget: float | None = 50, **more: Any) -> dict[str, Any]:
    """A row of `from_weights`."""
    row = {"set": "cells", "seed": 0, "job": job, "budget": budget, "test": test}
    return {**row, "own": test, "reference": None, **more}


def smaller(job: str, test: float, share: float = 50, **more: Any) -> dict[str, Any]:
    """A row of `shrink_five`, of a network that had 80 %."""
    row = {"network": "vgg", "seed": 0, "job": job, "share": share, "before": 0.8, "test": test}
    return {**row, **more}


def test_a_row_is_made_once_and_one_that_failed_is_made_again(tmp_path: Path) -> None:
    made = iter([{"error": "killed"}, {"test": 1}, {"test": 2}])
    path = tmp_path / "work" / "row.json"
    assert kept.kept(path, lambda: next(made)) == {"error": "killed"} and not path.exists()
    assert kept.kept(path, lambda: next(made)) == kept.kept(path, lambda: next(made))
    assert json.loads(path.read_text()) == {"test": 1} and next(made) == {"test": 2}
    assert [file.name for file in path.parent.iterdir()] == ["row.json"]


def test_a_run_that_is_refused_is_an_error_with_its_command(tmp_path: Path) -> None:
    left = tmp_path / "run"
    left.mkdir()
    row = kept.ran(["search", str(tmp_path / "none"), "--time", "10s"], left)
    assert row["rc"] == 2 and "--time 10s" in row["command"] and "none" in row["error"]
    assert not left.exists()


def test_budgets_are_shares_of_the_whole_network_and_it_has_none_but_its_own_size() -> None:
    whole = {"macs": 1001, "params": 77}
    assert [from_weights.budget(whole, percent) for percent in (100, 50, 25)] == [
        "macs<=1001",
        "macs<=500",
        "macs<=250",
    ]
    assert from_weights.budget(whole, None) == "params>=77"


def test_the_targets_of_searches_that_begin_with_weights() -> None:
    rows = [
        run("search", 0.89, own=0.88, reference=0.87),
        run("search", 0.80, 25, own=0.80, reference=0.80),
        run("nothing", 0.84),
        run("nothing", 0.76, 25),
        run("whole", 0.90, None),
    ]
    found = from_weights.targets(rows)
    assert [line.split("  ")[0].strip() for line in found] == ["holds"] * 3 + ["missed"] * 2
    assert "above the thinned network (+1.0 points, 1 seed)" in found[0]
    assert "within 1 point of the whole (-1.0 points" in found[2]
    assert "25 %: above the thinned network (+0.0" in found[3]
    lines = from_weights.table(rows)
    assert len(lines) == 4 and "alone" not in lines[0]
    assert lines[2] == "| cells | 50 % | 89.0 | 88.0 | 87.0 | 90.0 | 84.0 | -1.0 | 5.0 | 1.0 |"


def test_where_there_is_no_thinned_network_it_is_said_why() -> None:
    rows = [run("search", 0.8, 25, no_reference="no narrower version keeps the budget")]
    (said,) = from_weights.targets([*rows, run("nothing", 0.7, 50)])
    assert said.startswith("none    cells, 25 %: no thinned") and "no narrower version" in said
    (said,) = from_weights.targets([run("search", 0.8)])
    assert "the time is not enough" in said


def test_differences_are_those_within_a_seed() -> None:
    rows = [
        run("search", 0.9),
        run("search", 0.7, seed=1),
        run("whole", 0.8, None, seed=1),
        {**run("whole", 1.0, None), "error": "killed"},
    ]
    found = from_weights.values(rows)["cells", 50]
    assert found["ships - whole"] == [pytest.approx(-0.1)] and len(found["ships"]) == 2
    assert "80.0 (70.0 to 90.0)" in from_weights.table(rows)[2]


def test_what_is_lost_and_who_is_ahead() -> None:
    rows = [
        {"network": "vgg", "seed": 0, "job": "trained", "test": 0.8, "macs": 2_000_000},
        smaller("shrink", 0.79, own=0.78, reference=0.77),
        smaller("l1-uniform", 0.80, val=0.70),  # better than ours, and validation does not know
        smaller("l1-global", 0.78, val=0.71),
        smaller("shrink", 0.7, 25, own=0.7, reference=None),
        {**smaller("l1-global", 0.9, 25), "error": "no ratio"},
    ]
    found = shrink_five.lost(rows)
    assert found["vgg", 50]["l1"] == found["vgg", 50]["l1-global"] == pytest.approx(2)
    assert set(found["vgg", 25]) == {"ships", "own"}
    assert shrink_five.table(rows)[2:] == [
        "| vgg | 2.0 | 80.0 | 50 % | +1.00 | +2.00 | +3.00 | +0.00 | +2.00 |",
        "| vgg | 2.0 | 80.0 | 25 % | +10.00 | +10.00 | - | - | - |",
    ]
    said = shrink_five.counted(rows)
    assert said[0].endswith(": vgg +1.00")
    assert [line.rpartition(": ")[2] for line in said[1:]] == [
        "1 of 1 rows",
        "0 of 1 rows",
        "1 of 1 rows",
        "1 of 1 rows",
    ]


@pytest.mark.parametrize("name", list(five.FIVE))
def test_each_of_the_five_networks_can_be_made_smaller_in_all_its_widths(name: str) -> None:
    network = five.FIVE[name](7, 3)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert 3e6 < macs(network, (3, 32, 32)) < 30e6
    last = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    assert list(converted(network, torch.zeros(2, 3, 32, 32)).fixed) == [last]
