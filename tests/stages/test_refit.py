"""--refit: what ships is trained once more on training and validation images, for as long as it
took to be best, and only that; resumed to the bit; kept as it was where that is no gain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from short_runs import SIZES, Stop

from archsmith.run.decisions import PLAN, REFITTING
from archsmith.run.records.finish import CurvePoint, Finalist
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages import refit
from archsmith.stages.networks import best
from archsmith.stages.pipeline import carry_on, open_work
from archsmith.stages.requests import start
from archsmith.training.checkpoint import read


def made(folder: Path, **changes: Any) -> Run:
    """A run of small networks on the digits, one of them by hand."""
    folder.mkdir(exist_ok=True)
    (folder / "sizes.py").write_text(SIZES)
    asked: dict[str, Any] = {
        "data": "digits",
        "space": f"{folder / 'sizes.py'}:Net",
        "steps": 40,
        "time_s": None,
        "trials": 8,
        "threads": 1,
        "refit": True,
        "reference": False,
    }
    return start(request_from(**{**asked, **changes}), folder / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made(tmp_path_factory.mktemp("refit"))


def test_the_winner_alone_is_trained_once_more_for_the_steps_of_its_best_look(run: Run) -> None:
    finished, looked = run.finished, run.looked
    assert finished is not None and looked is not None
    network = finished.best
    (again,) = [net.refit for net in finished.networks.values() if net.refit is not None]
    assert again is network.refit is not None and again.failed is None
    best_look = max(network.curve, key=lambda point: (point.val_measure, point.step))
    assert again.steps == best_look.step and again.look == pytest.approx(best_look.progress)
    assert again.images == sum(looked.counts.train) + sum(looked.counts.val)
    files = sorted(path.name for path in (run.folder / "checkpoints").glob("refit-*"))
    assert files == [f"refit-{finished.chosen}.safetensors"]


def test_it_is_what_ships_and_what_is_said_of_validation_is_from_before(run: Run) -> None:
    finished, shipped = run.finished, run.shipped
    assert finished is not None and shipped is not None and shipped.search is not None
    tensors, about = read(run.folder / "checkpoints" / f"refit-{finished.chosen}.safetensors")
    weights = best(run).state_dict()
    assert weights and all(torch.equal(tensors[f"ema.{n}"], t) for n, t in weights.items())
    assert about["step"] == finished.best.refit.steps  # type: ignore[union-attr]
    before, _ = read(run.folder / "checkpoints" / f"search-{finished.chosen}.safetensors")
    assert any(not torch.equal(before[f"ema.{n}"], t) for n, t in weights.items())
    assert shipped.refit and shipped.key == finished.chosen
    assert f"validation images as well, {shipped.test.accuracy:.2%}" in shipped.verdict
    assert shipped.verdict.startswith(f"test accuracy {shipped.search.test.accuracy:.2%}")
    card = (run.folder / "best" / "card.md").read_text()
    assert f"{100 * finished.best.val_measure:.2f} %" in card  # type: ignore[operator]
    assert "trained once more, on the validation images as well" in card
    page = (run.folder / "report.html").read_text()
    assert "trained once more, on the validation images as well" in page


def test_half_of_the_steps_of_a_race_of_one_are_kept_for_it(run: Run) -> None:
    finished = run.finished
    assert finished is not None
    assert finished.plan.search + finished.plan.refit == 40
    assert finished.plan.refit == pytest.approx(finished.best.steps, abs=2)


@pytest.mark.parametrize("dies_at", ["before it", "in it", "after it"])
def test_killed_and_resumed_it_is_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    with monkeypatch.context() as patch:
        if dies_at == "in it":
            batches, drawn = open_work(run).__class__.stream, [0]

            def dying(self: Any, *args: Any, validation: bool = False, **named: Any) -> Any:
                for batch in batches(self, *args, validation=validation, **named):
                    drawn[0] += validation
                    if drawn[0] == 6:
                        raise Stop
                    yield batch

            patch.setattr("archsmith.stages.work.Work.stream", dying)
        else:
            own = refit.alone

            def stopped(*args: Any) -> Any:
                if dies_at == "after it":
                    own(*args)
                raise Stop

            patch.setattr(refit, "alone", stopped)
        with pytest.raises(Stop):
            made(tmp_path / "killed")
    resumed = carry_on(Run.open(tmp_path / "killed" / "run"))
    assert resumed.finished is not None and run.finished is not None
    assert resumed.finished.best.refit is not None and run.finished.best.refit is not None
    assert resumed.finished.best.refit.steps == run.finished.best.refit.steps
    for one, other in zip(best(resumed).parameters(), best(run).parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_lost_checkpoint_is_trained_again_where_best_is_gone(run: Run, tmp_path: Path) -> None:
    copy = made(tmp_path / "copy")
    assert copy.finished is not None
    (copy.folder / "checkpoints" / f"refit-{copy.finished.chosen}.safetensors").unlink()
    for path in (copy.folder / "best").iterdir():
        path.unlink()
    (copy.folder / "best").rmdir()
    again = carry_on(Run.open(copy.folder))
    for one, other in zip(best(again).parameters(), best(run).parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_hand_made_network_is_trained_once_more_where_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "archsmith.stages.ship._better", lambda work, searched, rival: rival or searched
    )
    run = made(tmp_path / "hand", reference=True, budget="params<=20k", space="convnet", steps=90)
    finished, shipped = run.finished, run.shipped
    assert finished is not None and finished.reference is not None and shipped is not None
    assert shipped.network == "reference" and shipped.refit
    assert finished.reference.best.refit is not None
    assert all(net.refit is None for net in finished.networks.values())
    assert shipped.reference_test is not None
    assert f"{shipped.reference_test.accuracy:.2%}: " in shipped.verdict


@pytest.mark.parametrize("case", ["worse", "fails"])
def test_where_it_is_no_gain_the_network_ships_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    own = refit.alone

    def spoiled(*args: Any) -> Any:
        found = own(*args)
        return (
            replace(found, val_measure=0.01)
            if case == "worse"
            else replace(found, val_measure=None, failed="EvaluationFailed: nan")
        )

    monkeypatch.setattr(refit, "alone", spoiled)
    run = made(tmp_path / case)
    finished, shipped = run.finished, run.shipped
    assert finished is not None and shipped is not None and finished.best.refit is not None
    said = "1.00% on the validation images after" if case == "worse" else "nan"
    assert said in str(finished.best.refit.failed)
    assert not shipped.refit and "as well" not in shipped.verdict
    assert shipped.search is not None and shipped.test == shipped.search.test
    assert said in (run.folder / "events.jsonl").read_text()


def test_with_time_so_much_is_kept_and_used(tmp_path: Path) -> None:
    run = made(tmp_path / "timed", steps=None, time_s=20.0)
    finished, plan, refitting = run.finished, run.decided(PLAN), run.decided(REFITTING)
    assert finished is not None and plan is not None and refitting is not None
    assert plan.refit > 0 and finished.plan.refit == plan.refit and refitting.unit == "seconds"
    if refitting.length is None:  # a busy machine left none
        assert "too little time" in str(refitting.why)
        return
    again = finished.best.refit
    assert again is not None and again.steps > 0
    assert again.seconds == pytest.approx(refitting.length, rel=0.5)


def point(step: int, accuracy: float) -> CurvePoint:
    return CurvePoint(
        step=step,
        seconds=step / 10,
        progress=step / 100,
        train_loss=1.0,
        lr=0.1,
        val_measure=accuracy,
    )


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([], (90, 9.5, 1.0)),
        ([(10, 0.5), (50, 0.9), (100, 0.8)], (50, 5.0, 0.5)),
        ([(10, 0.9), (50, 0.9), (100, 0.8)], (50, 5.0, 0.5)),
        ([(10, 0.5), (100, 0.8)], (100, 10.0, 1.0)),
    ],
)
def test_the_best_look_is_the_latest_of_the_best(
    curve: list[tuple[int, float]], expected: tuple[int, float, float]
) -> None:
    network = Finalist(
        curve=tuple(point(*one) for one in curve),
        val_measure=0.9,
        seconds=9.5,
        steps=90,
        progress=1.0,
        failed=None,
        origin="search",
        options={},
    )
    assert refit._best_look(network) == pytest.approx(expected)
