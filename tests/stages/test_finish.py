"""Finish: where no hand-made network is as small as the chosen one; what a network that is trained
further is bound by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from short_runs import SIZES
from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.problem.budget import parse
from archsmith.run.decisions import BEGUN_WITH, BegunWith
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages import finish
from archsmith.stages.finish import rate_for
from archsmith.stages.networks import best
from archsmith.stages.pipeline import open_work
from archsmith.stages.requests import start, train


def small(folder: Path, **changes: Any) -> Run:
    """A run in a space whose networks are all smaller than any hand-made one."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 120, (90, 8, 8), dtype=np.uint8), np.arange(90) % 3
    images[labels == 1, :, :4] += 130
    images[labels == 2, :4] += 130
    np.savez(folder / "bars.npz", images=images, labels=labels)
    (folder / "sizes.py").write_text(SIZES)
    asked: dict[str, Any] = {
        "data": str(folder / "bars.npz"),
        "steps": 4,
        "time_s": None,
        "trials": 8,
        "threads": 1,
    }
    space = f"{folder / 'sizes.py'}:Net"
    return start(request_from(**{**asked, "space": space, **changes}), folder / "run")


@pytest.mark.parametrize("budget", ["", "depth<=3", "params>=50"])
def test_a_network_smaller_than_every_hand_made_one_ships_without_a_reference(
    tmp_path: Path, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_fits(*_: object) -> None:
        raise UserError(
            "no MobileNet of (2, 3, 4) blocks a stage fits params<=100; relax it, or "
            "give --no-reference"
        )

    monkeypatch.setattr("archsmith.stages.finish.scaled", none_fits)
    run = small(tmp_path, budget=budget)
    finish, ship = run.stage("finish") or {}, run.stage("ship") or {}
    assert (
        run.record["status"] == "done"
        and finish["reference"] is None
        and ship["network"] == "search"
    )
    assert "no hand-made reference: no MobileNet" in (run.folder / "events.jsonl").read_text()
    with pytest.raises(UserError, match="trained no hand-made network"):
        best(run, "reference")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small(tmp_path_factory.mktemp("further"), budget="params<=20k")


@pytest.mark.parametrize("budget", ["", "params<=20k", "macs<=9M, depth<=9"])
def test_further_training_is_bound_by_what_was_asked_for_and_not_by_its_time(
    finished: Run, tmp_path: Path, budget: str
) -> None:
    run = finished.another(
        tmp_path / "new",
        request_from(**{**finished.request.model_dump(), "budget": budget}),
        ("look",),
    )
    run.decide(
        BEGUN_WITH,
        lambda: BegunWith(
            key="a",
            arm="search",
            options={},
            val_measure=0.5,
            above=True,
            origin="search",
            costs={},
            test=None,
        ),
    )
    timed = Run.open(run.folder).asking(
        request_from(**{**run.request.model_dump(), "time_s": 60.0, "steps": None})
    )
    assert open_work(timed).limits == parse(budget)


@pytest.mark.parametrize("which", ["search", "reference"])
def test_what_was_trained_further_is_called_what_it_is(
    finished: Run, tmp_path: Path, which: str
) -> None:
    new = train(finished, tmp_path / "new", which=which, steps=2)
    newer = [train(new, tmp_path / "newer", steps=2)] if which == "reference" else []
    for run in (new, *newer):
        ship = run.stage("ship") or {}
        assert ship["network"] == which and "before it was trained further" in ship["verdict"]
        assert ("This is no result" in ship["verdict"]) == (ship["warning"] is not None)
        assert (run.folder / "report.html").is_file()
        best(run, which)
        with pytest.raises(UserError, match="trained"):
            best(run, {"search": "reference", "reference": "search"}[which])


@pytest.mark.parametrize(
    ("passes", "rate"),
    [(None, 1.0), (0.5, 1 / 3), (10, 1 / 3), (20, 1 / 3), (25, 2 / 3), (30, 1.0), (500, 1.0)],
)
def test_the_learning_rate_is_smaller_where_images_are_seldom_seen_twice(
    passes: float | None, rate: float
) -> None:
    assert rate_for(passes) == pytest.approx(rate)


class Slow(nn.Module):
    """Takes so long for a batch and for each of its images, by a clock of its own."""

    def __init__(self, batch_s: float, image_s: float) -> None:
        super().__init__()
        self.clock, self.batches = 0.0, list[int]()
        self.batch_s, self.image_s = batch_s, image_s

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        self.clock += self.batch_s + self.image_s * len(x)
        return torch.zeros(len(x), 3)


@pytest.mark.parametrize(
    ("batch_s", "image_s", "batches", "found"),
    # what is fast is looked at in whole batches, as when it is judged; what is slow once
    [(0.01, 0.001, [32, 32, 256], 0.01 / 256 + 0.001), (0.0, 1.0, [32], 1.0)],
)
def test_how_long_looking_takes_is_reckoned_from_as_many_images_as_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch,
    batch_s: float,
    image_s: float,
    batches: list[int],
    found: float,
) -> None:
    network = Slow(batch_s, image_s)
    monkeypatch.setattr(finish.time, "monotonic", lambda: network.clock)
    assert finish._look_s(network, torch.zeros(256, 1, 8, 8)) == pytest.approx(found)
    assert network.batches == batches


@pytest.mark.parametrize(("referenced", "refit"), [(False, False), (True, False), (True, True)])
def test_looks_are_kept_for_each_network_that_may_ship(referenced: bool, refit: bool) -> None:
    work: Any = SimpleNamespace(
        device="cpu",
        validation_sample=lambda: iter([(torch.zeros(256, 1, 8, 8), None)]),
        sample_size=lambda image_s: None,
        limits=(),
        referenced=referenced,
        run=SimpleNamespace(request=SimpleNamespace(refit=refit)),
        images=SimpleNamespace(parts={"test": range(1000)}),
        slowdown=1.0,
    )
    network = Slow(0.0, 0.001)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish.time, "monotonic", lambda: network.clock)
        kept = finish._looks_seconds(work, network)
    assert kept == pytest.approx(1.25 * (1 + referenced + refit))
