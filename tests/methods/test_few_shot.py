"""Methods that train shared weights, as the main command runs them: what they leave, equal cost,
resume, mistakes."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import torch
from short_runs import SIZES, asked, searched
from torch import nn

import archsmith
from archsmith.elastic.supernet import search_space
from archsmith.elastic.tree import Node
from archsmith.errors import UserError
from archsmith.methods import METHODS, estimated, method, settings_of
from archsmith.methods.estimated import chance
from archsmith.methods.few_shot import affordable
from archsmith.methods.gradient import _endless, _half
from archsmith.methods.protocol import Method, TooLittleTime
from archsmith.predictors.ranking import kendall
from archsmith.run.clock import SHARED_STEPS
from archsmith.run.store import Run
from archsmith.spaces import build
from archsmith.stages import look, supernet
from archsmith.stages.by_method import ByMethod
from archsmith.stages.pipeline import carry_on, open_work
from archsmith.stages.requests import start

MOST_FILES = 140  # of the package, by a few-shot search


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("few-shot")
    request = asked(
        "few-shot", folder, budget="params<=20k", settings={"split_on": "edge0to3", "leaves": 3}
    )
    return start(request, folder / "run")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"splits": 4}, "can be split into 1 parts"),
        ({"split_on": "edge7to9"}, "cannot split on 'edge7to9'"),
    ],
)
def test_a_split_that_cannot_be_is_told_before_anything_is_trained(
    settings: Any, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        start(asked("few-shot", tmp_path, settings=settings), tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_the_tree_is_trained_and_recorded(finished: Run) -> None:
    train = finished.stage("train") or {}
    names = [node["name"] for node in train["nodes"]]
    assert (
        names[0] == "root"
        and len(names) == 4
        and all(node["parent"] in ("root", None) for node in train["nodes"])
    )
    assert sorted(
        sum((n["options"].get("edge0to3", []) for n in train["nodes"][1:]), [])
    ) == sorted(["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"])
    steps = int(40 * SHARED_STEPS)
    assert train["images"] <= steps * 32 and all(node["images"] > 0 for node in train["nodes"])
    trust = train["trust"]
    assert len(trust["networks"]) == 8 and -1 <= trust["kendall"] <= 1 and 0 < trust["p"] <= 1


def test_the_search_is_on_estimates_and_random_search_stands_beside_it(finished: Run) -> None:
    search = finished.stage("search") or {}
    trials = list(finished.archive.stage("search"))
    assert len(trials) == len(list(finished.archive.stage("search-random"))) > 0
    assert all(
        {"shared_accuracy", "shared_loss"} <= t.metrics.keys() and t.metrics["params"] <= 20_000
        for t in trials
    )
    losses = {
        t.arch.key: t.metrics["shared_loss"]
        for s in ("search", "search-random")
        for t in finished.archive.stage(s)
    }
    listed = [losses[entry["key"]] for entry in search["shortlist"]]
    assert listed == sorted(losses.values())[: len(listed)]


def test_steps_are_shared_with_the_finish(finished: Run) -> None:
    finish = finished.stage("finish") or {}
    own = sum(network["steps"] for network in finish["networks"].values())
    assert own + int(40 * SHARED_STEPS) == pytest.approx(40, abs=6)
    assert (finished.stage("ship") or {})["test"]["accuracy"] > 0.2


def test_the_report_says_how_far_the_ranking_can_be_trusted(finished: Run) -> None:
    html = (finished.folder / "report.html").read_text()
    assert "trained by themselves" in html and "root" in html


def test_it_can_be_taken_up_after_the_training(finished: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    run = Run.open(copy)
    run.reopen("search", "finish", "ship")  # as if killed before the search was over
    carry_on(Run.open(copy))
    again = Run.open(copy)
    assert again.stage("search") == finished.stage("search")
    assert (again.stage("ship") or {})["test"] == (finished.stage("ship") or {})["test"]


def test_a_torn_checkpoint_is_trained_again(finished: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    run = Run.open(copy)
    run.reopen("search", "finish", "ship")  # as if killed before the search was over
    path = next((copy / "checkpoints").glob("shared-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-7])
    carry_on(Run.open(copy))
    assert path.with_suffix(".damaged").exists()
    assert (Run.open(copy).stage("search") or {})["shortlist"] == (finished.stage("search") or {})[
        "shortlist"
    ]


@pytest.mark.parametrize("method", ["one-shot", "gdas", "enas"])
def test_other_methods_that_train_shared_weights(method: str, tmp_path: Path) -> None:
    limit, space = (500_000, {"space": "nasbench201"}) if method == "one-shot" else (20_000, {})
    run = searched(asked(method, tmp_path, budget=f"params<={limit}", **space), tmp_path / "run")
    train, search = run.stage("train") or {}, run.stage("search") or {}
    assert [node["name"] for node in train["nodes"]] == ["root"] and search["shortlist"]
    assert all(t.metrics["params"] <= limit for t in run.archive.stage("search"))


def test_a_gradient_method_in_a_tree(tmp_path: Path) -> None:
    run = searched(
        asked("pc-darts", tmp_path, settings={"splits": 1, "split_on": "edge0to3", "leaves": 2}),
        tmp_path / "run",
    )
    assert len((run.stage("train") or {})["nodes"]) == 3
    origins = {t.candidate.origin for t in run.archive.stage("search")}
    assert origins == {"learned"} and (run.stage("search") or {})["searcher"] == "pc-darts"


def test_a_mobile_space_is_split_too(tmp_path: Path) -> None:
    request = asked(
        "few-shot",
        tmp_path,
        space="mobilenet",
        budget="params<=20k",
        settings={"split_on": "gradients", "leaves": 2},
    )
    run = searched(request, tmp_path / "run")
    assert len((run.stage("train") or {})["nodes"]) == 3
    assert all(t.metrics["params"] <= 20_000 for t in run.archive.stage("search"))


def test_too_little_time_still_gives_a_short_list(tmp_path: Path) -> None:
    request = asked(
        "few-shot", tmp_path, steps=None, time_s=6.0, trials=None, settings={"split_on": "edge0to3"}
    )
    run = searched(request, tmp_path / "run")
    assert len((run.stage("search") or {})["shortlist"]) >= 1
    skipped, search = run.stage("train") or {}, run.stage("search") or {}
    assert search["instead"] == skipped["why"]
    # nothing is looked at, built or timed for weights that no time is left for
    assert skipped["why"] == "training one network needs all of the time"
    assert run.decided("train/step_s") is None and run.decided("sharing/images") is None


def test_seconds_in_which_too_few_steps_fit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = {"train/step_s": 0.25}
    job: Any = SimpleNamespace(log=SimpleNamespace(decide=lambda name, make: decided[name]))
    sharing: Any = SimpleNamespace(seconds=10.0)
    with pytest.raises(TooLittleTime, match="10.0 s .* are 34 steps, with which"):
        estimated.affordable(job, sharing, nn.Identity())
    decided["train/step_s"] = 0.01
    estimated.affordable(job, sharing, nn.Identity())


def test_images_to_judge_by_are_not_trained_on(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", asked("few-shot", tmp_path))
    work = open_work(run)
    look.look(work)
    handed = supernet.sharing(work)
    x = torch.cat([x for x, _ in handed.held_out])
    y = torch.cat([y for _, y in handed.held_out])
    assert len(x) == min(1024, len(work.images.parts["train"]) // 10)
    counts = torch.bincount(y, minlength=10)
    assert int(counts.max() - counts.min()) <= 2
    trained, held_out = supernet._divided(work.images.parts["train"])
    assert not set(trained.ids) & set(held_out.ids)
    assert set(trained.ids) | set(held_out.ids) == set(work.images.parts["train"].ids)
    for part in ("val", "test"):
        assert not set(work.images.parts[part].ids) & set(held_out.ids)
    assert ByMethod(work).job().data.sharing is not None
    learned, judged = (_half(handed, which)[0] for which in (0, 1))
    assert len(learned) + len(judged) == len(x) and not any(
        (learned == image).flatten(1).all(1).any() for image in judged[:20]
    )
    first, second = (next(_endless(_half(handed, 0), 8, 0, step))[0] for step in (0, 1))
    stream = _endless(_half(handed, 0), 8, 0, 0)
    assert (
        torch.equal(next(stream)[0], first)
        and torch.equal(next(stream)[0], second)
        and not torch.equal(first, second)
    )


def test_a_split_is_looked_for_within_a_part_of_the_training() -> None:
    model = build("mobilenet", 4, 1, 8, device="meta")
    node = Node(search_space(model), model)
    many, rounds = affordable(node, 10**6, 0)
    assert rounds == 8 and len(many) > 10
    few, rounds = affordable(node, 30, 0)
    assert rounds == 2 and 2 <= len(few) < len(many)
    assert sum(len(node.space.options[name]) for name in few[:-1]) * rounds <= 30 or len(few) == 2


def test_settings_are_checked_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'splits'"):
        start(asked("few-shot", tmp_path, settings={"split": 2}), tmp_path / "run")
    with pytest.raises(UserError, match="it has none"):
        start(asked("zico", tmp_path, settings={"splits": 2}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="cannot split on 'edge7'"):
        start(asked("few-shot", tmp_path, settings={"split_on": "edge7"}), tmp_path / "run")
    for settings, told in (
        ({"sampling": "sandwitch"}, "did you mean 'sandwich'"),
        ({"distill": True}, "add sampling=sandwich"),
        ({"distill": "yes"}, "give true or false"),
        ({"splits": -1}, "splits=-1 must be 0 or more"),
    ):
        with pytest.raises(UserError, match=told):
            start(asked("few-shot", tmp_path, settings=settings), tmp_path / "wrong")
    with pytest.raises(UserError, match="splits=-1 must be 0 or more"):
        start(asked("darts", tmp_path, settings={"splits": -1}), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
    with pytest.raises(UserError, match="the options of 'edge0to1' have no order"):
        searched(
            asked("one-shot", tmp_path, settings={"sampling": "sandwich"}), tmp_path / "unordered"
        )


def test_every_method_can_be_found() -> None:
    for name in METHODS:
        assert isinstance(method(name, {}), Method)
        pruned = {
            "rounds",
            "rule",
            "temperature",
            "warmup",
            "protect",
            "score",
            "worth",
            "height",
            "free",
        }
        tree = {"splits", "split_on", "leaves", "inherit", "sampling", "distill"}
        known, own = (
            settings_of(name),
            {"ddpnas": pruned, "shrink": {"importance", "rate", "distill", "least_passes"}},
        )
        assert set(known) <= own.get(name, tree)
        assert all(setting.text and setting.kind for setting in known.values())


def test_chance() -> None:
    assert chance([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(1 / 24)
    assert chance([4, 3, 2, 1], [1, 2, 3, 4]) == 1.0
    assert chance(list(range(9)), list(range(9))) <= 0.01
    assert chance([1, 1, 1], [1, 2, 3]) == 1.0
    # ties on both sides, every order counted one by one
    estimates, truth = [1, 2, 2, 3, 5, 4], [0.2, 0.1, 0.4, 0.4, 0.9, 0.3]
    orders = [kendall(estimates, order) for order in itertools.permutations(truth)]
    as_high = sum(tau >= kendall(estimates, truth) - 1e-12 for tau in orders)
    assert chance(estimates, truth) == pytest.approx(as_high / len(orders))


@pytest.mark.parametrize("task", ["regression", "reconstruction"])
def test_shared_weights_learn_other_tasks(task: str, tmp_path: Path) -> None:
    run = searched(
        asked("few-shot", tmp_path, task=task, steps=24, settings={"leaves": 2}), tmp_path / "run"
    )
    trust = (run.stage("train") or {})["trust"]
    assert len(trust["networks"]) == 8 and all(row["estimate"] < 1 for row in trust["networks"])
    assert (run.stage("search") or {})["shortlist"]


@pytest.mark.parametrize("method", ["one-shot", "few-shot"])
def test_networks_of_many_sizes_share_weights_in_sandwiches(method: str, tmp_path: Path) -> None:
    """Width, kernel and depth: a step trains four networks, which counts as four; the tree is split
    on a width."""
    (tmp_path / "sizes.py").write_text(SIZES)
    settings = {"sampling": "sandwich", "distill": True} | (
        {"split_on": "width"} if method == "few-shot" else {}
    )
    request = asked(
        method,
        tmp_path,
        space=f"{tmp_path / 'sizes.py'}:Net",
        steps=60,
        settings=settings,
        budget="params<=900",
    )
    train = searched(request, tmp_path / "run").stage("train") or {}
    held = [node["options"].get("width") for node in train["nodes"]]
    assert held == ([None] if method == "one-shot" else [None, [4], [6], [8]])
    steps = int(60 * SHARED_STEPS)
    assert 0.6 * steps * 32 <= train["images"] <= steps * 32


def test_the_files_that_a_search_enters_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What somebody who follows `--method few-shot` to its short-list has to open: printed, and no
    more than it is now."""
    entered: set[str] = set()

    def seen(frame: FrameType, event: str, argument: object) -> None:
        entered.add(frame.f_code.co_filename)

    request = asked("few-shot", tmp_path, steps=12, settings={"split_on": "edge0to3", "leaves": 2})
    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        searched(request, tmp_path / "run")
    finally:
        sys.setprofile(before)
    own = {name for name in entered if str(Path(archsmith.__file__).parent) in name}
    rooms = Counter(
        Path(name).relative_to(Path(archsmith.__file__).parent).parts[0] for name in own
    )
    with capsys.disabled():
        sys.stdout.write(f"\nfew-shot enters {len(own)} files: {dict(rooms.most_common())}")
    assert 20 < len(own) <= MOST_FILES
