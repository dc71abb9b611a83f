"""Runs that begin with published weights: pixels as those know them in all that ships, the network
narrowed by hand beside it, killed and resumed, another budget after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from published import install, state_dict, uninstall
from short_runs import Stop

from archsmith.errors import UserError
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages import finish
from archsmith.stages.networks import best
from archsmith.stages.pipeline import carry_on, open_work
from archsmith.stages.requests import again, start

BUDGET = "macs<=10M"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures in colour of two classes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / label).mkdir()
        for i in range(30):
            pixels = rng.integers(0, 128, (40, 40, 3)) + 120 * (label == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


def made(photos: Path, out: Path, **changes: Any) -> Run:
    asked = {"data": str(photos), "budget": BUDGET, "steps": 4, "threads": 1, "size": 64}
    return start(request_from(**{**asked, **changes}), out)


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patched:
        install(tmp_path_factory.mktemp("site"), patched)
        yield patched


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory, patch: Any) -> Run:
    return made(photos, tmp_path_factory.mktemp("runs") / "run")


def test_it_begins_with_them_and_the_whole_narrowed_by_hand_stands_beside_it(run: Run) -> None:
    assert run.space == "efficientnet-lite0" and run.finished is not None
    assert all(net.costs["macs"] <= 10e6 for net in run.finished.networks.values())
    reference = run.finished.reference
    assert reference is not None and list(reference.networks) == ["efficientnet-lite0-thinned"]
    assert reference.best.costs["macs"] <= 10e6
    assert run.profiled is not None and "tensors taken from" in (run.profiled.init or "")


def test_pixels_are_scaled_as_the_weights_know_them_in_all_that_ships(run: Run) -> None:
    looked = run.looked
    assert looked is not None and looked.mean == pytest.approx((127 / 255,) * 3)
    shipped = json.loads((run.folder / "best" / "preprocess.json").read_text())
    assert shipped["normalization"]["mean"] == pytest.approx([127 / 255] * 3)
    assert shipped["normalization"]["std"] == pytest.approx([128 / 255] * 3)


def test_its_first_weights_are_the_published_ones_in_an_order_of_their_own(run: Run) -> None:
    work, given = open_work(run), state_dict()
    stem = work.model.state_dict()["stem.conv.weight"]
    assert torch.equal(stem, given["_conv_stem.weight"])  # of fixed width
    name = "stages.stage3.block1.expand.conv.weight"
    mine, theirs = work.model.state_dict()[name], given["_blocks.3._expand_conv.weight"]
    assert not torch.equal(mine, theirs)
    assert torch.equal(mine.flatten(1).sum(1).sort()[0], theirs.flatten(1).sum(1).sort()[0])


@pytest.mark.parametrize("stage", ["search", "reference"])
def test_killed_and_resumed_it_is_the_same(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    own = finish.train_finalists

    def stopped(entrants: Any, field: Any, *rest: Any) -> Any:
        if field.arm == stage:
            raise Stop
        return own(entrants, field, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(finish, "train_finalists", stopped)
        with pytest.raises(Stop):
            made(photos, tmp_path / "run")
    resumed = carry_on(Run.open(tmp_path / "run"))
    for one, other in zip(best(resumed).parameters(), best(run).parameters(), strict=True):
        assert torch.equal(one, other)


def test_another_budget_begins_with_them_too(run: Run, tmp_path: Path) -> None:
    new = again(run, "macs<=3M", tmp_path / "new", steps=2)
    assert new.space == run.space and new.finished is not None
    assert new.finished.best.costs["macs"] <= 3e6


def test_a_run_whose_weights_are_gone_says_so(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(finish, "train_finalists", lambda *_: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            made(photos, tmp_path / "run")
    stopped = Run.open(tmp_path / "run")
    file = Path(open_work(stopped).begins.weights or "")
    hidden = file.rename(file.with_suffix(".away"))
    try:
        with pytest.raises(UserError, match="no such file"):
            carry_on(Run.open(tmp_path / "run"))
    finally:
        hidden.rename(file)


def test_without_them_it_begins_from_nothing_and_says_how_to_get_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch)
    asked = {"space": "efficientnet-lite0", "method": "random", "reference": False}
    run = made(photos, tmp_path / "run", steps=1, trials=8, **asked)
    assert run.looked is not None
    assert any("archsmith[pretrained]" in note for note in run.looked.notes)
