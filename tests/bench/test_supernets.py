"""`archsmith bench supernets`: what it trains, estimates and writes; that it goes on; what
estimators are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call

from archsmith.bench import page
from archsmith.bench.setting import FREE, Setting, within
from archsmith.bench.supernets import compare, text
from archsmith.errors import UserError
from archsmith.spaces.catalog.nasbench201 import NASBENCH201

SMALL: dict[str, Any] = {
    "data": "digits",
    "benchmark": "toy",
    "sample": 12,
    "updates": 10,
    "batch": 8,
    "size": 8,
    "width": 4,
    "calibration": 32,
    "held_out": 32,
}
ESTIMATORS = (
    "one-shot",
    "longer",
    "few-shot:edge0to1",
    "few-shot:random+gradients:leaves=4:fresh",
    "few-shot:arbitrary:leaves=2",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("supernets")
    return compare(Setting(estimators=(*ESTIMATORS, FREE), **SMALL), out, workers=1), out


def test_every_estimator_has_a_row_and_equal_cost(found: tuple[dict[str, Any], Path]) -> None:
    scores = found[0]["scores"]
    assert set(scores) >= {
        *ESTIMATORS,
        *(f"{name} by accuracy" for name in ESTIMATORS),
        FREE,
        "params",
        "effective params",
    }
    assert scores["one-shot"]["updates"] == 10 and scores[FREE]["updates"] == 0
    assert f"{FREE} by accuracy" not in scores
    assert all(scores[name]["updates"] == pytest.approx(20, abs=4) for name in ESTIMATORS[1:])
    assert all(
        -1 <= row["kendall_all"] <= 1 and 0 <= row["top_found"] <= 1 for row in scores.values()
    )
    assert set(found[0]["differences"]) == set(ESTIMATORS[2:])
    assert all(len(d["seeds"]) == 1 for d in found[0]["differences"].values())


def test_splits_and_leaves_are_told(found: tuple[dict[str, Any], Path]) -> None:
    splits = found[0]["splits"]
    assert len(splits["few-shot:edge0to1, seed 0"]["root"]) == 5
    assert len(splits["few-shot:random+gradients:leaves=4:fresh, seed 0"]) == 3
    assert set(found[0]["leaves"]) == set(ESTIMATORS[2:])
    assert found[0]["calibration_across_leaves"]["few-shot:edge0to1"] >= 0
    assert "within the leaves of few-shot:edge0to1" in text(found[0])


def test_files_and_page(found: tuple[dict[str, Any], Path]) -> None:
    result, out = found
    assert json.loads((out / "table.json").read_text())["scores"] == json.loads(
        json.dumps(result["scores"])
    )
    assert (out / "table.csv").read_text().startswith("estimator,")
    page.write_supernets(result, out / "page.html")
    assert "Shared weights on toy" in (out / "page.html").read_text()


def test_what_is_there_is_not_done_again(found: tuple[dict[str, Any], Path]) -> None:
    result, out = found
    before = (out / "estimates.jsonl").read_text()
    again = compare(Setting(estimators=(*ESTIMATORS, FREE), **SMALL), out, workers=1)
    assert again["scores"] == result["scores"] and (out / "estimates.jsonl").read_text() == before
    with pytest.raises(UserError, match="another comparison"):
        compare(Setting(**{**SMALL, "updates": 11}), out, workers=1)


def test_lost_estimates_are_made_again_from_the_weights_that_are_kept(
    found: tuple[dict[str, Any], Path],
) -> None:
    result, out = found
    path = out / "estimates.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if '"few-shot:edge0to1"' not in line))
    again = compare(Setting(estimators=(*ESTIMATORS, FREE), **SMALL), out, workers=1)
    row, before = again["scores"]["few-shot:edge0to1"], result["scores"]["few-shot:edge0to1"]
    assert row["kendall_all"] == pytest.approx(before["kendall_all"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimators": ("two-shot",)}, "no estimator 'two-shot'"),
        ({"estimators": ("few-shot",)}, "no estimator 'few-shot'"),
        ({"estimators": ("few-shot:edge0to1:leaves=1",)}, "leaves=N"),
        ({"sampling": "unifrom"}, "did you mean 'uniform'"),
        ({"updates": 0}, "--updates 0"),
        ({"seeds": ()}, "--seeds"),
    ],
)
def test_mistakes_are_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Setting(**{**SMALL, **changes})


def test_restrictions() -> None:
    space = within(NASBENCH201, (("edge0to1", ("none", "skip_connect")), ("edge0to2", ("none",))))
    assert space.size == 2 * 5**4
    with pytest.raises(UserError, match="no decision 'edge1to1'"):
        within(NASBENCH201, (("edge1to1", ("none",)),))
    with pytest.raises(UserError, match="no option 'conv'"):
        within(NASBENCH201, (("edge0to1", ("conv",)),))


def test_an_unknown_split_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (
        *"bench supernets --data digits --benchmark toy --size 8 --width 4 --updates 2".split(),
    )
    more = (
        *"--sample 4 --calibration 16 --held-out 16 --workers 1 --out".split(),
        str(tmp_path / "a"),
    )
    code, _, err = call(capsys, monkeypatch, *words, *more, "--estimators", "few-shot:edge9to9")
    assert code == 2 and "cannot split on 'edge9to9'" in err and "Traceback" not in err
    code, _, err = call(capsys, monkeypatch, *words, *more, "--space", "nasbench21")
    assert code == 2 and "did you mean 'nasbench201'" in err
    code, _, err = call(capsys, monkeypatch, *words, *more, "--within", "edge0to1")
    assert code == 2 and "write decision=option|option" in err


def test_the_better_tenth_found() -> None:
    from archsmith.bench.judge import judge

    truth = np.arange(40.0)
    row = judge([truth], truth)
    assert row["top_found"] == 1.0 and row["best_of_ten"] == row["top_pick"] == 39.0
    row = judge([-truth], truth)
    assert row["top_found"] == 0.0 and row["best_of_ten"] == 9.0
