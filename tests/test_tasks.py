"""Goals: their measures by their own formulas, their heads, and networks for each from data to
shipped files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from quick import few_bounds as few_bounds

from archsmith.data import batches, load, ordered
from archsmith.elastic.supernet import extract
from archsmith.errors import EvaluationFailed, UserError
from archsmith.export import export_file, ship
from archsmith.metrics.accuracy import explained
from archsmith.run.request import request_from
from archsmith.spaces import build
from archsmith.spaces.convnet import by_hand
from archsmith.stages.networks import best, export
from archsmith.stages.requests import start
from archsmith.tasks import Classification, Reconstruction, Regression, from_json, to_json

GOALS = [
    Classification(("a", "b")),
    Regression(("width", "height"), (3.0, -1.0), (2.0, 5.0)),
    Reconstruction(3, 30, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)),
]


@pytest.mark.parametrize("task", GOALS, ids=lambda task: task.kind)
def test_a_goal_survives_json(task):
    kept = json.loads(json.dumps(to_json(task)))
    assert from_json(kept) == task
    assert kept["task"] == task.kind and kept["measure"] == task.measure


def test_variance_explained_is_one_less_the_share_of_squares_left():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((400, 2))
    outputs = y + 0.5 * rng.standard_normal((400, 2))
    pieces = [
        (torch.tensor(outputs[i : i + 150]), torch.tensor(y[i : i + 150])) for i in (0, 150, 300)
    ]
    found, squares = explained(pieces)
    left, there = ((outputs - y) ** 2).sum(1), (y**2).sum(1)
    assert found["accuracy"] == pytest.approx(1 - left.sum() / there.sum())
    assert found["loss"] == pytest.approx(((outputs - y) ** 2).mean()) and found["n"] == 400
    assert squares.tolist() == pytest.approx(((outputs - y) ** 2).mean(0).tolist())
    drawn = [rng.integers(0, 400, 400) for _ in range(4000)]
    ratios = [1 - left[i].sum() / there[i].sum() for i in drawn]
    assert found["interval"] == pytest.approx(
        np.quantile(ratios, [0.025, 0.975]).tolist(), abs=0.01
    )


def test_nothing_better_than_the_mean_explains_nothing():
    y = torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    assert explained([(torch.zeros(50, 1), y)])[0]["accuracy"] == pytest.approx(0)
    with pytest.raises(EvaluationFailed, match="not finite"):
        explained([(torch.full((50, 1), torch.nan), y)])
    with pytest.raises(EvaluationFailed, match="no images"):
        explained([])


def test_errors_are_told_in_units():
    found = GOALS[1].judge([(torch.zeros(4, 2), torch.ones(4, 2))])
    assert found["rmse"] == pytest.approx({"width": 2.0, "height": 5.0})
    found = GOALS[2].judge([(torch.zeros(4, 3, 30, 30), torch.ones(4, 3, 30, 30))])
    mean = (0.2**2 + 0.25**2 + 0.3**2) / 3
    assert found["rmse"]["pixels"] == pytest.approx(mean**0.5)
    assert found["psnr"] == pytest.approx(-10 * np.log10(mean))


@pytest.mark.parametrize("size", [8, 28, 30, 32, 224])
def test_a_decoder_gives_images_of_the_size(size):
    task = Reconstruction(1, size, (0.5,), (0.5,))
    model = task.headed(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size * size, task.outputs))
    )
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 1, size, size)
    assert task.sizes[0] <= 7 and task.sizes[-1] == size
    assert task.outputs <= size * size / 4


def test_a_network_without_a_place_for_a_decoder_is_refused():
    with pytest.raises(UserError, match="cannot be given a decoder"):
        GOALS[2].headed(torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match="count itself"):
        GOALS[2].headed(build("zen", 10, 3, 32))


@pytest.mark.parametrize("space", ["mobilenet", "nasbench201", "darts-small", "vit-nano"])
def test_spaces_take_a_decoder(space):
    from random import Random

    from archsmith.elastic.supernet import search_space

    task = Reconstruction(3, 32, (0.5,) * 3, (0.2,) * 3)
    model = task.headed(build(space, task.outputs, 3, 32))
    plain = extract(
        model, search_space(model).sample(Random(0)), "fresh", torch.Generator().manual_seed(0)
    ).eval()
    assert plain(torch.zeros(2, 3, 32, 32)).shape == (2, 3, 32, 32)


# -- data ------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """120 grey squares of 12 pixels whose brightness is the value."""
    rng = np.random.default_rng(0)
    rows = ["path,brightness,target"]
    for i in range(120):
        value = float(rng.uniform(20, 230))
        noise = rng.normal(0, 8, (12, 12))
        Image.fromarray(np.clip(value + noise, 0, 255).astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,unused,{value / 10}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    return tmp_path


def test_regression_data(pictures):
    data = load(pictures / "list.csv", task="regression")
    assert (
        isinstance(data.task, Regression)
        and data.task.targets == ("target",)
        and data.classes == ()
    )
    x, y = next(batches(data.parts["train"], 16, data=data, seed=0, augment=None, device="cpu"))
    assert y.shape == (16, 1) and y.dtype == torch.float32
    every = torch.cat([y for _, y in ordered(data.parts["train"], 64, data, "cpu")])
    assert every.mean() == pytest.approx(0, abs=1e-6) and every.std(
        unbiased=False
    ) == pytest.approx(1, abs=1e-5)
    assert sum(data.facts["counts"]["train"]) == len(data.parts["train"])
    bright = x.mean(dim=(1, 2, 3))
    assert np.corrcoef(bright, y[:, 0])[0, 1] > 0.98
    streamed = load(
        pictures / "list.csv", task="regression", memory_limit_bytes=0, split=data.split.to_json()
    )
    other = next(
        batches(streamed.parts["train"], 16, data=streamed, seed=0, augment=None, device="cpu")
    )
    assert torch.equal(other[1], y)


def test_several_targets_from_arrays(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=rng.standard_normal((90, 3)))
    data = load(tmp_path / "a.npz", task="regression")
    assert data.task.outputs == 3 and data.parts["val"].values.shape[1] == 3
    np.savez(tmp_path / "b.npz", images=images)
    data = load(tmp_path / "b.npz", task="reconstruction")
    x, y = next(ordered(data.parts["val"], 8, data, "cpu"))
    assert torch.equal(x, y)


def test_reconstruction_needs_no_classes(pictures):
    data = load(pictures, task="reconstruction")
    assert isinstance(data.task, Reconstruction) and data.task.channels == 1
    assert sum(len(part) for part in data.parts.values()) == 120


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1.5", "two"], "not a number"),
        (["1", "1 2"], "same number"),
        (["3", "3"], "same value|the same target"),
        (["", ""], "empty"),
    ],
)
def test_bad_values_are_explained(tmp_path, labels, message):
    rows = ["path,target"]
    for i in range(40):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{labels[i % 2]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=message):
        load(tmp_path / "list.csv", task="regression")


def test_classification_says_how_to_ask_for_regression(pictures):
    with pytest.raises(UserError, match="--task regression"):
        load(pictures / "list.csv")


# -- shipped ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", GOALS[1:], ids=lambda task: task.kind)
def test_shipped_files_agree_and_answer_in_units(task, tmp_path):
    channels, size = 3, 30
    torch.manual_seed(0)
    network = task.headed(
        by_hand(task.outputs, channels, size, kind="inverted", depth=2, width=0.25, head=16)
    )
    network = extract(network, {}, "fresh", torch.Generator().manual_seed(0)).eval()
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    payload = ship(
        tmp_path / "best", network, shape=(channels, size, size), task=task, mean=mean, std=std
    )
    assert (
        payload["max_difference"].keys() == {"onnx", "picture.onnx", "pt2", "model.py"}
        and not payload["skipped"]
    )
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    done = subprocess.run(
        [sys.executable, tmp_path / "best" / "predict.py", tmp_path / "x.png", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (answer,) = json.loads(done.stdout)
    pixels = (
        torch.tensor(np.asarray(Image.open(tmp_path / "x.png"))).permute(2, 0, 1)[None].float()
        / 255
    )
    shape = (1, -1, 1, 1)
    with torch.no_grad():
        outputs = network(
            (pixels - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
        )[0]
    if isinstance(task, Regression):
        right = dict(
            zip(
                task.targets,
                (outputs * torch.tensor(task.std) + torch.tensor(task.mean)).tolist(),
                strict=True,
            )
        )
        assert answer["values"] == pytest.approx(right, abs=1e-3)
    else:
        again = np.asarray(Image.open(answer["again"]))
        right = (
            outputs * torch.tensor(task.std).view(-1, 1, 1) + torch.tensor(task.mean).view(-1, 1, 1)
        ).clamp(0, 1)
        assert np.abs(again - 255 * right.permute(1, 2, 0).numpy()).max() <= 1
        Path(answer["again"]).unlink()
        Path(answer["again"]).mkdir()  # it cannot be written
        command = [sys.executable, tmp_path / "best" / "predict.py", tmp_path / "x.png"]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (
            refused.returncode == 2
            and "x.png: " in refused.stderr
            and "Traceback" not in refused.stderr
        )


@pytest.mark.parametrize("task", ["regression", "reconstruction"])
def test_a_run_from_data_to_files(task, tmp_path):
    request = request_from(
        data="digits",
        task=task,
        steps=12,
        trials=8,
        time_s=None,
        budget="params<=20k",
        seed=1,
        reference=task == "regression",
    )
    run = start(request, tmp_path / "run")
    shipped = run.stage("ship")
    assert -1 < shipped["test"]["accuracy"] < 1 and shipped["verdict"].startswith(
        "test variance explained"
    )
    page = (run.folder / "report.html").read_text()
    assert (
        "test variance explained" in page
        and "classes apart" not in page
        and ("Root mean squared error") in page
    )
    network = best(run)
    assert network(torch.zeros(1, 1, 8, 8)).shape == (
        (1, 1) if task == "regression" else (1, 1, 8, 8)
    )
    assert export(run, tmp_path / "m.onnx").stat().st_size > 1000


def test_an_unknown_task_is_refused():
    with pytest.raises(UserError, match="classification"):
        request_from(data="digits", task="segmentation")


def test_one_file_answers_in_units(tmp_path):
    from archsmith.export import deployment_of

    task = GOALS[1]
    network = extract(
        by_hand(2, 3, 16, kind="inverted", depth=2, width=0.25, head=16),
        {},
        "fresh",
        torch.Generator().manual_seed(0),
    ).eval()
    around = deployment_of(task, (0.5,) * 3, (0.2,) * 3)
    path = export_file(network, tmp_path / "m.onnx", "onnx", shape=(3, 16, 16), deployment=around)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].name == "values"
