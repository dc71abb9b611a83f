"""Before anything is trained: what fits, how it is said where that is rare, and hand-made networks
that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archsmith.errors import NothingFits
from archsmith.run.records import Profiled
from archsmith.run.request import request_from
from archsmith.stages import profile
from archsmith.stages.pipeline import open_work
from archsmith.stages.profiling import fitting_text
from archsmith.stages.requests import again, start


@pytest.mark.parametrize(
    ("share", "high", "found", "said"),
    [
        (0.0, 0.009, 4, "rare: none of 400 random networks fits"),
        (0.25, 0.3, 1, "0.25 of the space fits"),
        (0.0, 0.5, 1, "found 1"),
    ],
)
def test_no_share_is_called_zero_where_something_fits(
    share: float, high: float, found: int, said: str
) -> None:
    counted = {"share": share, "low": share / 2, "high": high, "draws": 400, "found": found}
    assert said in fitting_text(counted) and ("0 of the space") not in fitting_text(
        counted
    ).replace("0.25 of the space", "")
    bound = {"metric": "params", "op": "<=", "limit": 9, "unit": "", "text": "params<=9"}
    profiled = Profiled.from_json(
        {
            "space": "x",
            "space_size": "9",
            "decisions": 1,
            "metrics": {},
            "feasible_share": counted,
            "budget": [bound],
            "latency_table": None,
            "init": None,
            "references": None,
        },
        "made up",
    )
    assert ("rare, found" in profile.line(profiled)) == (share == 0)


def test_a_share_of_the_largest_network_is_said_with_what_it_comes_to() -> None:
    limit = {"metric": "macs", "op": "<=", "limit": 25.3e6, "unit": "", "text": "macs<=25.3M"}
    share = {"share": 0.5, "low": 0.4, "high": 0.6, "draws": 400}
    profiled = Profiled.from_json(
        {
            "space": "x",
            "space_size": "9",
            "decisions": 1,
            "metrics": {},
            "feasible_share": share,
            "budget": [{**limit, "share": 0.5}, {**limit, "metric": "params", "text": "params"}],
            "latency_table": None,
        },
        "made up",
    )
    assert profile.line(profiled) == (
        "9 networks, ; macs<=50% of the largest network's 50.6M: macs<=25.3M; 0.5 of the space fits"
    )


TINY = """
from torch import nn
from archsmith.elastic import Choice, Conv2d, Linear


def Net(classes, channels):
    width = Choice(1, 2, 4, name="width")
    stem = Conv2d(channels, width, 3, stride=2, padding=1), nn.ReLU()
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, classes))
"""


@pytest.mark.parametrize("time", [{"steps": 20, "time_s": None}, {"time_s": 8.0}])
def test_a_budget_below_every_hand_made_network_is_searched_all_the_same(
    tmp_path: Path, time: dict
) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz", x=rng.integers(0, 255, (90, 8, 8)).astype(np.uint8), y=np.arange(90) % 3
    )
    (tmp_path / "own.py").write_text(TINY)
    asked = {
        "data": str(tmp_path / "x.npz"),
        "space": f"{tmp_path / 'own.py'}:Net",
        "budget": "params<=60",
        "threads": 1,
        **time,
    }
    asked["trials"] = 8
    run = start(request_from(**asked), tmp_path / "run")
    profiled, finished, shipped = run.profiled, run.finished, run.shipped
    assert (
        profiled is not None
        and finished is not None
        and shipped is not None
        and profiled.references is not None
    )
    assert profiled.references.networks == () and ("no hand-made network") in (
        profiled.references.why or ""
    )
    assert "no hand-made reference" in profile.line(profiled)
    assert (
        finished.reference is None
        and shipped.network == "search"
        and run.record["status"] == "done"
    )
    if "steps" in time:  # `again` meets it as well
        new = again(run, "macs<=600", tmp_path / "new")
        assert new.record["status"] == "done" and (new.stage("finish") or {})["reference"] is None


# of TINY with width 4, one channel and three classes: 3 x 3 weights and a bias, a linear layer
_PARAMS, _MACS = 4 * 9 + 4 + 3 * 4 + 3, 4 * 4 * 4 * 9 + 3 * 4


def test_shares_of_the_largest_network_are_limits_of_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz", x=rng.integers(0, 255, (90, 8, 8)).astype(np.uint8), y=np.arange(90) % 3
    )
    (tmp_path / "own.py").write_text(TINY)
    asked = request_from(
        data=str(tmp_path / "x.npz"),
        space=f"{tmp_path / 'own.py'}:Net",
        budget="macs<=60%, params>=30%, latency>=1%",
        threads=1,
        steps=12,
        time_s=None,
        trials=8,
        reference=False,
    )
    run = start(asked, tmp_path / "run")
    profiled, shipped = run.profiled, run.shipped
    assert profiled is not None and shipped is not None
    *counted, timed = profiled.budget
    assert [(b.metric, b.op, b.limit, b.share) for b in counted] == [
        ("macs", "<=", pytest.approx(0.6 * _MACS), 0.6),
        ("params", ">=", pytest.approx(0.3 * _PARAMS), 0.3),
    ]
    assert (timed.metric, timed.unit, timed.share) == ("latency", "ms", 0.01) and timed.limit > 0
    *counts, latency = shipped.budget
    assert [(row.value, row.met, row.share) for row in counts] == [
        (_MACS / 2, True, 0.6),
        (2 * 9 + 2 + 3 * 2 + 3, True, 0.3),
    ]
    assert latency.limit == timed.limit and latency.met
    # from then on they are what they were, as times would be others
    monkeypatch.setattr("archsmith.stages.work.resolved", None)
    assert [limit.text for limit in open_work(run).limits] == [
        f"macs<=60% of the largest network's {_MACS}: macs<=352.8",
        f"params>=30% of the largest network's {_PARAMS}: params>=16.5",
        timed.as_limit.text,
    ]
    monkeypatch.undo()
    with pytest.raises(NothingFits, match="fits with macs<=147"):
        again(run, "macs<=10%", tmp_path / "new")
    assert not (tmp_path / "new").exists()
