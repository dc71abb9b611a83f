"""What ships: the best by validation, the hand-made network among them; chance is no result; other
networks can be exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import call

from archsmith.api import Result
from archsmith.cli.runs import NO_RESULT
from archsmith.errors import Damaged, UserError
from archsmith.problem.budget import parse
from archsmith.run.records.finish import CurvePoint, TrainedNetwork
from archsmith.run.records.ship import Explained, Tested
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.space import Architecture
from archsmith.stages.networks import best
from archsmith.stages.requests import start, train
from archsmith.stages.ship import Checked, Contender, _better, verdict


def bars(path: Path, count: int = 120, noise: bool = False) -> Path:
    """Three classes of 8 x 8 images in colour: bars lying, standing, none; or labels that say
    nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 90, (count, 8, 8, 3)).astype(np.uint8), np.arange(count) % 3
    for image, label in zip(x, rng.permutation(y) if noise else y, strict=True):
        image[3:5, :] = 250 if label == 0 else image[3:5, :]
        image[:, 3:5] = 250 if label == 1 else image[:, 3:5]
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("ship")
    asked = request_from(
        data=str(bars(folder / "bars.npz")),
        budget="params<=20k",
        steps=60,
        time_s=None,
        trials=12,
        threads=1,
    )
    return start(asked, folder / "run")


def checked(arm: str, accuracy: float | None, violation: float = 0.0) -> Checked:
    trained = {"curve": (), "seconds": 1.0, "steps": 10, "progress": 1.0, "failed": None}
    contender = Contender(
        arm,
        arm,
        TrainedNetwork(val_measure=accuracy, **trained),
        Architecture({"a": 1}),
        torch.nn.Identity,
    )
    return Checked(contender, torch.nn.Identity(), [], violation)


@pytest.mark.parametrize(
    ("search", "reference", "ships"),
    [
        ((0.8, 0.0), (0.9, 0.0), "reference"),
        ((0.9, 0.0), (0.8, 0.0), "search"),
        ((0.9, 0.0), (0.9, 0.0), "search"),  # level
        ((0.8, 0.0), (0.9, 0.1), "search"),  # the budget comes first
        ((0.9, 0.2), (0.1, 0.0), "reference"),
        ((0.9, 0.3), (0.1, 0.2), "reference"),
        ((0.5, 0.0), (None, 0.0), "search"),
    ],
)
def test_the_better_by_validation_ships_among_those_that_keep_the_budget(
    search: Any, reference: Any, ships: str
) -> None:
    assert (
        _better(
            bounded("params<=3M"), checked("search", *search), checked("reference", *reference)
        ).contender.arm
        == ships
    )


@pytest.mark.parametrize(
    ("images", "search", "reference", "ships"),
    [
        # one point of 400 images says little
        (400, (0.82, [0.70, 0.80, 0.81]), (0.83, [0.72, 0.76, 0.77]), "search"),
        (400, (0.82, [0.70, 0.80, 0.81]), (0.83, [0.72, 0.82, 0.83]), "reference"),
        # eleven say enough
        (400, (0.72, [0.70, 0.80, 0.81]), (0.83, [0.72, 0.60, 0.60]), "reference"),
        (40_000, (0.82, [0.70, 0.80, 0.81]), (0.83, [0.72, 0.76, 0.77]), "reference"),
        (400, (0.82, []), (0.83, []), "reference"),
    ],
)
def test_what_one_look_cannot_tell_apart_goes_by_the_last_looks(
    images: int, search: Any, reference: Any, ships: str
) -> None:
    found = [
        replace(
            one,
            contender=replace(
                one.contender,
                trained=one.contender.trained.model_copy(update={"curve": points(curve)}),
            ),
        )
        for one, curve in (
            (checked("search", search[0]), search[1]),
            (checked("reference", reference[0]), reference[1]),
        )
    ]
    assert _better(bounded("params<=3M", images), *found).contender.arm == ships


def points(accuracies: list[float]) -> tuple[CurvePoint, ...]:
    """Looks at 70, 80 and 90 % of a training."""
    same: dict[str, Any] = {"step": 1, "seconds": 1.0, "train_loss": None, "lr": 0.1}
    return tuple(
        CurvePoint(progress=0.7 + 0.1 * i, val_measure=one, **same)
        for i, one in enumerate(accuracies)
    )


def bounded(budget: str, images: int = 1000) -> Any:
    """What `_better` asks of a run."""
    return SimpleNamespace(
        limits=parse(budget), images=SimpleNamespace(parts={"val": range(images)})
    )


def test_where_only_a_model_of_the_space_can_count_what_is_bounded_the_search_ships() -> None:
    work = bounded("layers<=14")
    assert (
        _better(work, checked("search", 0.1), checked("reference", 0.9)).contender.arm == "search"
    )
    assert _better(work, checked("search", 0.1), None).contender.arm == "search"


def result(accuracy: float, above: bool, half: float = 0.02) -> Tested:
    interval = (accuracy - half, accuracy + half)
    return Explained(
        accuracy=accuracy, loss=1.0, n=100, rmse={}, interval=interval, above=above, constant=0.1
    )


@pytest.mark.parametrize(
    ("test", "reference", "hand_made", "said", "never"),
    [
        (result(0.1, False), result(0.11, False), True, "This is no result", "tie"),
        (result(0.1, False), None, False, "This is no result", "no hand-made"),
        (result(0.11, False), result(0.12, True), True, "the search lost", "tie"),
        (result(0.9, True), result(0.91, True), True, "is what lies in best/", "no result"),
        (result(0.9, True), result(0.8, True), False, "the search won", "best/"),
        (result(0.9, True), result(0.11, False), False, "the search won", "no result"),
    ],
)
def test_chance_is_never_called_a_tie(
    test: Any, reference: Any, hand_made: bool, said: str, never: str
) -> None:
    text = verdict(test, reference, hand_made=hand_made)
    assert said in text and never not in text


def test_what_ships_is_named_the_same_everywhere(finished: Run) -> None:
    ship, finish = finished.stage("ship") or {}, finished.stage("finish") or {}
    accuracies = {
        "search": finish["networks"][ship["search"]["key"]]["val_measure"],
        "reference": finish["reference"]["networks"][finish["reference"]["chosen"]]["val_measure"],
    }
    assert ship["network"] == max(accuracies, key=lambda arm: (accuracies[arm], arm == "search"))
    other = ship["reference_test"] if ship["network"] == "reference" else ship["search"]["test"]
    assert (
        ship["test"] == other and Result(finished).summary()["test_accuracy"] == other["accuracy"]
    )
    kept = json.loads((finished.folder / "best" / "architecture.json").read_text())
    assert kept["options"] == json.loads(json.dumps(ship["architecture"]["options"]))
    page = (finished.folder / "report.html").read_text()
    assert ("so it is the one in best/" in page) == (ship["network"] == "reference")


@pytest.mark.parametrize("which", ["search", "reference", None])
def test_either_network_can_be_exported(finished: Run, tmp_path: Path, which: str | None) -> None:
    import onnxruntime

    path = Result(finished).export(tmp_path / "net.onnx", network=which)
    network = best(finished, which)
    assert onnxruntime.InferenceSession(str(path)).get_inputs()[0].type == "tensor(uint8)"
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_any_trained_network_can_be_exported_by_the_beginning_of_its_name(
    finished: Run, tmp_path: Path
) -> None:
    finish = finished.stage("finish") or {}
    for name in [*(key[:6] for key in finish["networks"]), *finish["reference"]["networks"]]:
        assert Result(finished).export(tmp_path / f"{name}.safetensors", network=name).exists()
    for wrong in ("zzz", "", "-"):
        with pytest.raises(UserError, match="there are search, reference"):
            Result(finished).export(tmp_path / "x.onnx", network=wrong)


def test_mistakes_are_kept_as_pictures(finished: Run) -> None:
    ship = finished.stage("ship") or {}
    wrong = sum(
        n for i, row in enumerate(ship["test"]["confusion"]) for j, n in enumerate(row) if i != j
    )
    assert len(ship["mistakes"]) == min(12, wrong)
    assert all(
        row["true"] != row["predicted"] and row["png"].startswith("iVBOR")
        for row in ship["mistakes"]
    )


@pytest.mark.parametrize(
    ("epochs", "changes"), [(3, {}), (2, {"training": {"lr": 0.05, "augment": "none", "batch": 8}})]
)
def test_a_network_is_trained_further_in_a_run_of_its_own(
    finished: Run, tmp_path: Path, epochs: int, changes: Any
) -> None:
    before = {
        p: p.read_bytes()
        for p in finished.folder.rglob("*")
        if p.is_file() and p.suffix not in (".lock", ".sqlite")
    }
    for which in ("search", "reference"):
        new = train(finished, tmp_path / which, which=which, epochs=epochs, **changes)
        finish, ship = new.stage("finish") or {}, new.stage("ship") or {}
        ((name, found),) = finish["networks"].items()
        images = sum((new.stage("look") or {})["counts"]["train"])
        assert (
            found["steps"] == -(-epochs * images // finish["recipe"]["batch_size"])
            and ship["key"] == name
        )
        assert found["val_measure"] >= found["before"] and found["kept"] == (
            found["after"] >= found["before"]
        )
        assert "before it was trained further" in ship["verdict"]
        again = train(new, tmp_path / f"{which}-2", epochs=1)  # and further
        assert (again.stage("ship") or {})["key"] == name
    assert all(path.read_bytes() == content for path, content in before.items())


def test_further_training_whose_checkpoint_is_lost_ends_with_the_same_network(
    finished: Run, tmp_path: Path
) -> None:
    from archsmith.stages.pipeline import carry_on

    new = train(finished, tmp_path / "new", which="reference", epochs=2)
    name = (new.stage("ship") or {})["key"]
    assert (new.stage("finish") or {})["networks"][name]["kept"]
    before = best(new).state_dict()
    (new.folder / "checkpoints" / f"further-{name}.safetensors").unlink()
    new.reopen("ship")
    carry_on(Run.open(new.folder))
    assert all(
        torch.equal(before[key], tensor)
        for key, tensor in best(Run.open(new.folder)).state_dict().items()
    )


def test_further_training_begins_with_the_weights_that_were_shipped_or_is_refused(
    finished: Run, tmp_path: Path
) -> None:
    new = train(finished, tmp_path / "new", epochs=1)
    weights = new.folder / "checkpoints" / "begun-with.safetensors"
    own = best(finished).state_dict()
    from safetensors.torch import load_file

    assert all(torch.equal(own[name], tensor) for name, tensor in load_file(weights).items())
    weights.write_bytes(weights.read_bytes()[:-9])
    new.reopen("finish", "ship")
    (
        new.folder / "checkpoints" / f"further-{(finished.stage('ship') or {})['key']}.safetensors"
    ).unlink()
    from archsmith.stages.pipeline import carry_on

    new._store.forget("decisions", lambda name: not name.startswith("further/"))
    with pytest.raises(Damaged, match="begun-with"):
        carry_on(Run.open(new.folder))


def test_a_run_at_chance_says_so_and_ends_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bars(tmp_path / "noise.npz", count=600, noise=True)
    words = (
        "search",
        str(data),
        *"--steps 6 --trials 8 --threads 1 --budget params<=20k --out".split(),
    )
    code, out, err = call(capsys, monkeypatch, *words, str(tmp_path / "run"))
    assert code == NO_RESULT == 3
    assert "No result" in err and "This is no result" in out and "tie" not in out
    assert "No result" in (tmp_path / "run" / "best" / "card.md").read_text()
    assert "No result" in (tmp_path / "run" / "report.html").read_text()
    code, out, _ = call(capsys, monkeypatch, "resume", str(tmp_path / "run"), "--json")
    assert code == NO_RESULT and "give it more --steps" in json.loads(out)["warning"]


@pytest.mark.parametrize(
    "words",
    [
        "--time 5m --steps 4".split(),
        [],
        ["--epochs", "0"],
        "--steps 4 --augment strnog".split(),
        "--steps 4 --lr -1".split(),
        "--steps 4 --network nothing".split(),
        ["--time", "soon"],
    ],
)
def test_wrong_words_for_further_training_leave_no_folder(
    finished: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    code, out, err = call(
        capsys, monkeypatch, "train", str(finished.folder), "--out", str(tmp_path / "new"), *words
    )
    assert code == 2 and not out and "Traceback" not in err and not (tmp_path / "new").exists()
