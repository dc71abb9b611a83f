"""DDPNAS as the main command runs it: rounds, record, resume at any point, networks for any budget,
a run after a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from made_runs import SHARED
from short_runs import SIZES, Stop, asked, searched, searched_on

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.methods.ddpnas import DDPNAS, groups, worth_of_options
from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace
from archsmith.metrics.cost import Costs
from archsmith.problem import Candidate, Trial, at_most
from archsmith.problem.budget import parse
from archsmith.run.records import Trained
from archsmith.run.store import Run
from archsmith.searchers.archive import Archive
from archsmith.searchers.categorical import Categorical
from archsmith.searchers.pruning import evaluations, proposals
from archsmith.space import Gate, SearchSpace
from archsmith.spaces import build, described
from archsmith.spaces.catalog.nasbench201 import NASBENCH201
from archsmith.stages.answers import generated
from archsmith.stages.pipeline import carry_on
from archsmith.stages.requests import again, start

QUICK: dict[str, Any] = {"steps": 120, "settings": {"rounds": 1, "rule": "half"}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("ddpnas")
    return start(asked("ddpnas", folder, **QUICK), folder / "run")


def test_every_round_is_trained_scored_and_pruned(finished: Run) -> None:
    train, trials = finished.stage("train") or {}, finished.archive.stage("train")
    assert len(trials) == evaluations(5, rounds=1) + 1 == 15
    assert [t.candidate.origin for t in trials] == ["dealt"] * 14 + ["survivor"]
    stages = train["distribution"]["stages"]
    assert [{len(alive) for alive in stage["alive"].values()} for stage in stages] == [
        {5},
        {4},
        {3},
        {2},
        {1},
    ]
    survivor, options = train["distribution"]["survivor"], train["distribution"]["options"]
    assert (
        survivor
        == dict(trials[-1].arch)
        == {n: options[n][alive[0]] for n, alive in stages[-1]["alive"].items()}
    )
    assert train["nodes"][0]["images"] == train["images"] > 0
    assert (finished.stage("search") or {})["shortlist"][0]["options"] == survivor
    assert finished.stage("ship")


class Interrupted:
    """A watch that ends the process at a certain tick of the training."""

    def __init__(self, ticks: int) -> None:
        self.left, self.stage = ticks, ""

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """Which stage it is."""
        self.stage = stage

    def tick(self, text: str, share: float | None) -> None:
        """Stops."""
        if self.stage == "train" and text.startswith("network"):
            self.left -= 1
            if self.left == 0:
                raise Stop

    def end(self, stage: str, text: str, seconds: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


@pytest.mark.parametrize("score", ["round", "turn"])
def test_a_run_killed_in_training_goes_on_as_if_it_had_not(score: str, tmp_path: Path) -> None:
    settings = {**QUICK["settings"], "score": score}
    straight = searched(
        asked("ddpnas", tmp_path, **{**QUICK, "settings": settings}), tmp_path / "straight"
    )
    broken = Run.create(tmp_path / "broken", straight.request)
    for ticks in (9, 17):
        with pytest.raises(Stop):
            carry_on(Run.open(broken.folder), Interrupted(ticks))
    resumed = searched_on(broken)
    for stage in ("train", "search"):
        assert resumed.archive.stage(stage) and [
            (t.arch, dict(t.metrics)) for t in resumed.archive.stage(stage)
        ] == [(t.arch, dict(t.metrics)) for t in straight.archive.stage(stage)]
    assert (resumed.stage("train") or {})["distribution"] == (straight.stage("train") or {})[
        "distribution"
    ]
    assert (resumed.stage("search") or {})["shortlist"] == (straight.stage("search") or {})[
        "shortlist"
    ]


def test_networks_for_any_budget_without_training(finished: Run) -> None:
    model = build(finished.request.space, 10, 1, 8)
    costs = Costs(model, (1, 8, 8), ("params", "macs"))
    rows = generated(finished, ["params<=12k", "params<=12k, macs<=200k", "macs<=1"], count=2)
    for row, limits in zip(
        rows[:2], ({"params": 12_000}, {"params": 12_000, "macs": 200_000}), strict=True
    ):
        assert row["networks"] and row["error"] is None
        for network in row["networks"]:
            exact = costs.exact(search_space(model).check(network["options"]))
            assert all(exact[name] == network[name] <= limit for name, limit in limits.items())
    assert not rows[2]["networks"] and "the nearest has macs=" in rows[2]["error"]


def test_networks_for_a_share_of_what_the_largest_costs(finished: Run) -> None:
    model = build(finished.request.space, 10, 1, 8)
    costs = Costs(model, (1, 8, 8), ("params", "macs"))
    most = max(costs(arch)["macs"] for arch in search_space(model).architectures())
    (row,) = generated(finished, ["macs<=40%"])
    assert row["networks"] and all(net["macs"] <= 0.4 * most for net in row["networks"])
    assert row["budget"].startswith("macs<=40% of the largest network's ")
    assert row["budget"].endswith(f": {parse(f'macs<={0.4 * most}')[0]}")


def test_cells_of_another_shape_without_training() -> None:
    distribution = Categorical(NASBENCH201)
    distribution.theta["edge0to3"] = [0.1, 0.1, 0.1, 0.6, 0.1]
    narrowed = {**SHARED["distribution"], "stages": [distribution.to_json()]}
    found = Trained(**{**SHARED, "distribution": narrowed})
    model, shape = build("nasbench201", 10, 3, 32, device="meta"), described("nasbench201").shape
    costs = Costs(model, (3, 32, 32), ("params", "macs"))
    job = Job(
        JobData(()),
        JobSpace(model, NASBENCH201, costs, name="nasbench201"),
        JobClock(),
        JobLog(Archive()),
    )
    for free in (0, 3):
        method = DDPNAS(height=1, free=free)
        archs = method.answer(job, found, limits=[at_most(costs, 60e6, name="macs")], count=3)
        for arch in archs:
            counts = shape(arch)
            assert (
                counts["height.cell"] <= 1
                and counts["free.cell"] == free
                and costs(arch)["macs"] <= 60e6
            )
        assert archs[0]["edge0to3"] == "nor_conv_3x3"


def test_a_run_after_a_run_takes_the_weights_over(finished: Run, tmp_path: Path) -> None:
    new = again(finished, "params<=12k", tmp_path / "new", steps=30)
    assert new.stage("train") == finished.stage("train")
    assert [t.arch for t in new.archive.stage("train")] == [
        t.arch for t in finished.archive.stage("train")
    ]
    assert (new.stage("look") or {})["split_ids"] == (finished.stage("look") or {})["split_ids"]
    shipped = new.stage("ship") or {}
    assert all(row["met"] for row in shipped["budget"]) and shipped["budget"][0]["value"] <= 12_000
    assert new.record["after"] == str(finished.folder)
    assert "train" not in new.seconds() or new.seconds()["train"] == 0


def test_what_it_cannot_do_is_told(finished: Run, tmp_path: Path) -> None:
    unfinished = Run.create(tmp_path / "unfinished", finished.request)
    with pytest.raises(UserError, match="has not finished 'look'"):
        generated(unfinished, ["params<=12k"])
    other = Run.create(
        tmp_path / "other", finished.request.model_copy(update={"method": "zico", "settings": {}})
    )
    with pytest.raises(UserError, match=r"searches anew.*ddpnas gives networks"):
        generated(other, ["params<=12k"])
    for settings, told in (
        ({"score": "never"}, "score 'never'"),
        ({"worth": "gold"}, "worth 'gold'"),
        ({"rule": "x"}, "rule 'x'"),
        ({"rounds": "many"}, "--set rounds=many: give a whole number"),
        ({"protect": 1}, "--set protect=1: give true or false"),
        ({"rounds": True}, "--set rounds=True: give a whole number"),
        ({"free": 2}, "height and free are of cells"),
    ):
        with pytest.raises(UserError, match=told):
            start(asked("ddpnas", tmp_path, settings=settings), tmp_path / "wrong")
        assert not (tmp_path / "wrong").exists()  # told before anything is begun
    with pytest.raises(
        UserError, match="what is trained already cannot be changed, only worth, height, free can"
    ):
        generated(finished, ["params<=12k"], settings={"rounds": 2})
    shutil.rmtree(tmp_path / "other")


def test_as_many_are_proposed_as_reckoned() -> None:
    space = SearchSpace({"a": (1, 2, 3), "b": ("none", "skip", "conv1", "conv3"), "c": (1,)})
    assert groups(space) == [["none", "skip"], ["conv1", "conv3"]]
    assert proposals(space, rounds=2) == 2 * (4 + 3 + 2) + 1
    assert proposals(space, rounds=2, warmup=3) == 3 * 4 + 2 * (4 + 3 + 2) + 1
    assert proposals(space, rounds=1, protected=groups(space)) == 4 + 3 + 1


def test_having_a_decision_is_worth_nothing_by_itself() -> None:
    conditions = {"width": ((Gate(("depth",), frozenset({(2,)})),),)}
    distribution = Categorical(SearchSpace({"depth": (1, 2), "width": (8, 16)}, conditions))
    distribution.theta = {"depth": [0.7, 0.3], "width": [0.9, 0.1]}
    assert worth_of_options(distribution, []) == {
        "depth": {1: 0.7, 2: 0.3},
        "width": {8: pytest.approx(0.4), 16: pytest.approx(-0.4)},
    }
    trials = [
        Trial(Candidate(distribution.space.check(arch)), losses=(loss,))
        for arch, loss in (
            ({"depth": 1}, -80.0),
            ({"depth": 2, "width": 8}, -60.0),
            ({"depth": 2, "width": 16}, -70.0),
        )
    ]
    assert worth_of_options(distribution, trials, "reward") == {
        "depth": {1: 80.0, 2: 65.0},
        "width": {8: -5.0, 16: 5.0},
    }


def test_sizes_some_of_which_exist_only_beside_others(tmp_path: Path) -> None:
    """Width, kernels, depth: the kernel of the second block is there in deep networks only; one
    option of each is left."""
    (tmp_path / "sizes.py").write_text(SIZES)
    request = asked(
        "ddpnas",
        tmp_path,
        space=f"{tmp_path / 'sizes.py'}:Net",
        steps=60,
        settings={"rounds": 2},
        budget="params<=900",
    )
    run = searched(request, tmp_path / "run")
    train = run.stage("train") or {}
    stages, survivor = train["distribution"]["stages"], train["distribution"]["survivor"]
    assert {name: len(alive) for name, alive in stages[0]["alive"].items()} == {
        "width": 3,
        "depth": 2,
        "kernel0": 2,
        "kernel1": 2,
    }
    assert all(len(alive) == 1 for alive in stages[-1]["alive"].values())
    assert ("kernel1" in survivor) == (survivor["depth"] == 2)
    assert all(trial.metrics["params"] <= 900 for trial in run.archive.stage("search"))
    rows = generated(run, ["params<=300", "params<=2k"])
    assert rows[0]["networks"][0]["params"] <= 300 and rows[1]["networks"][0]["params"] <= 2000
