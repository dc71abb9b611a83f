"""The whole job on tiny images: what it leaves, resume after kill -9, damage, a user's own space,
the Python interface."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import archsmith
from archsmith.api import Result
from archsmith.data.decode import decode
from archsmith.elastic.resize import resize_in, without_resize
from archsmith.errors import Damaged, UserError
from archsmith.metrics.cost import macs, params, peak_memory
from archsmith.report.page import write
from archsmith.run.request import Request, request_from
from archsmith.run.store import STAGES, Run
from archsmith.spaces.reference import BY_HAND
from archsmith.stages.pipeline import carry_on
from archsmith.stages.requests import start
from archsmith.training import finalists

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "robustness" / "campaign.py"
sys.path.insert(0, str(SCRIPT.parent))
MAKE_IMAGES = runpy.run_path(str(SCRIPT))["make_images"]

OWN_SPACE = """
from torch import nn
from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Linear, Repeat


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = Conv2d(width, width, 3, padding="same", bias=False)
        self.norm = BatchNorm2d(width)

    def forward(self, x):
        return x + self.norm(self.conv(x)).relu()


class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        width = Choice(4, 6, 8, name="width")
        self.stem = Conv2d(channels, width, Choice(3, 5, name="kernel"), padding="same")
        self.body = Repeat(*(Block(width) for _ in range(3)), depth=Choice(1, 2, 3, name="depth"))
        self.head = Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))
"""


def bars(path: Path, count: int = 150) -> Path:
    """Three classes of 8 x 8 grey images, as the script makes them."""
    MAKE_IMAGES(path, count)
    return path


def asked(data: Path, **changes: Any) -> Request:
    settings: dict[str, Any] = {
        "data": str(data),
        "budget": "params<=20k, macs<=300k",
        "steps": 90,
        "time_s": None,
        "trials": 18,
        "threads": 1,
        "method": "zico",
    }
    return request_from(**{**settings, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    return start(asked(bars(folder / "bars.npz")), folder / "run")


def test_what_is_left_behind(finished: Run) -> None:
    folder = finished.folder
    assert {p.name for p in folder.iterdir()} >= {
        "run.json",
        "trials.sqlite",
        "events.jsonl",
        "report.html",
        "front.csv",
        "best",
    }
    assert [name for name in STAGES if finished.stage(name) is None] == []
    shipped = {p.name for p in (folder / "best").iterdir()}
    assert shipped == {
        "model.onnx",
        "picture.onnx",
        "model.pt2",
        "model.safetensors",
        "model.py",
        "predict.py",
        "architecture.json",
        "preprocess.json",
        "labels.json",
        "card.md",
    }
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    html = (folder / "report.html").read_text()
    assert f"{(finished.stage('ship') or {})['test']['accuracy']:.1%}".replace("%", "") in html
    with (folder / "front.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert rows and all(int(float(row["params"])) <= 20_000 for row in rows)


def test_the_budget_is_kept_in_every_trial(finished: Run) -> None:
    trials = list(finished.archive)
    assert {t.stage for t in trials} == {"screen", "search", "search-random", "finish"}
    assert all(t.metrics["params"] <= 20_000 and t.metrics["macs"] <= 300_000 for t in trials)
    assert all(row["met"] for row in (finished.stage("ship") or {})["budget"])


def test_it_learns_and_is_compared_at_equal_cost(finished: Run) -> None:
    finish, ship = finished.stage("finish") or {}, finished.stage("ship") or {}
    assert ship["test"]["accuracy"] > 0.6
    assert ship["reference_test"]["n"] == ship["test"]["n"] == 30
    own = sum(network["steps"] for network in finish["networks"].values())
    other = sum(network["steps"] for network in finish["reference"]["networks"].values())
    assert own == pytest.approx(90, abs=6) and other == pytest.approx(90, abs=6)
    # at least 95 % of what binds, nothing above a limit
    for network in finish["reference"]["networks"].values():
        shares = (network["params"] / 20_000, network["macs"] / 300_000)
        assert 0.95 <= max(shares) <= 1.0
    assert len(finish["reference"]["networks"]) == len(BY_HAND)


def test_the_model_in_python(finished: Run) -> None:
    model = Result(finished).best()
    assert not model.training
    assert all(
        type(leaf).__module__.startswith("torch.nn")
        for leaf in model.modules()
        if not list(leaf.children())
    )
    with torch.no_grad():
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    assert (
        Result(finished).front()
        and Result(finished).summary()["test_accuracy"]
        == (finished.stage("ship") or {})["test"]["accuracy"]
    )


def test_export_again(finished: Run, tmp_path: Path) -> None:
    for format in ("onnx", "safetensors"):
        assert Result(finished).export(tmp_path / f"m.{format}").stat().st_size > 1000
    with pytest.raises(UserError, match="formats are onnx"):
        Result(finished).export(tmp_path / "m.tflite")


def test_a_finished_run_can_be_opened_and_is_not_done_again(finished: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    before = (copy / "best" / "model.safetensors").read_bytes()
    count = len(Run.open(copy).archive)
    carry_on(Run.open(copy))
    assert (copy / "best" / "model.safetensors").read_bytes() == before and len(
        Run.open(copy).archive
    ) == count


def test_tampered_weights_are_refused(finished: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    path = copy / "best" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(Damaged, match="not the file that was shipped"):
        archsmith.open_run(copy).best()


@pytest.mark.parametrize(
    "name", ["labels.json", "preprocess.json", "architecture.json", "model.onnx"]
)
@pytest.mark.parametrize("network", [None, "search"])
def test_a_package_that_was_edited_is_noticed(
    finished: Run, tmp_path: Path, name: str, network: str | None
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    path = copy / "best" / name
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1) + b" ")
    with pytest.raises(
        Damaged, match=f"{name} is not the file that was shipped .*archsmith resume"
    ):
        archsmith.open_run(copy).export(tmp_path / "out.safetensors", network=network)
    assert not (tmp_path / "out.safetensors").exists()
    assert f"best/{name} is no longer the file that was shipped" in write(copy).read_text()


def test_notes_on_the_card_and_missing_files_are_no_harm(finished: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    (copy / "best" / "card.md").write_text("ours")
    (copy / "best" / "model.pt2").unlink()
    assert archsmith.open_run(copy).export(tmp_path / "out.safetensors").is_file()


def test_changed_data_is_refused_on_resume(finished: Run, tmp_path: Path) -> None:
    data = bars(tmp_path / "bars.npz")
    run = Run.create(tmp_path / "run", asked(data))
    with pytest.raises(Stop):
        carry_on(run, StopAfter("screen"))
    bars(data, 153)
    with pytest.raises(UserError, match="bars.npz|data"):
        carry_on(Run.open(run.folder))


class Stop(BaseException):
    """As if the process had been killed."""


class StopAfter:
    """A watch that ends the process once a stage is over."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """Nothing."""

    def tick(self, text: str, share: float | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def end(self, stage: str, text: str, seconds: float) -> None:
        """Stops."""
        if stage == self._stage:
            raise Stop


@pytest.mark.parametrize(
    "kinds", [("points", "random", "writes"), ("disk", "files", "together", "report")], ids=",".join
)
def test_whatever_disturbs_a_run_it_ends_as_an_undisturbed_one(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    words = [
        sys.executable,
        str(SCRIPT),
        "--short",
        "--only",
        ",".join(kinds),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    right = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()[1:]}
    assert right.keys() == set(kinds) and min(right.values()) > 0


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), ValueError("a bad number"), MemoryError("no more")],
)
def test_a_report_that_fails_never_fails_a_run(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shutil.copytree(finished.folder, tmp_path / "copy")
    run = Run.open(tmp_path / "copy")
    run.reopen("ship")

    def failing(folder: Path) -> None:
        raise error

    told: list[str] = []
    watch = StopAfter("")
    watch.note = told.append  # type: ignore[method-assign]
    monkeypatch.setattr("archsmith.report.page.write", failing)
    carry_on(Run.open(run.folder), watch)
    assert (
        Run.open(run.folder).record["status"] == "done"
        and str(error) in told[0]
        and "archsmith report" in told[0]
    )
    assert str(error).split("] ")[-1] in (run.folder / "events.jsonl").read_text()


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "labels.json"])
def test_what_is_lost_of_best_is_shipped_again_by_resume(
    finished: Run, tmp_path: Path, name: str
) -> None:
    shutil.copytree(finished.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "best" / name
    if name == "labels.json":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    for checkpoint in (tmp_path / "copy" / "checkpoints").glob(
        f"search-{(finished.stage('ship') or {})['key']}*"
    ):
        checkpoint.write_bytes(b"torn")
    run = carry_on(Run.open(tmp_path / "copy"))
    assert (run.folder / "best" / "model.safetensors").read_bytes() == (
        finished.folder / "best" / "model.safetensors"
    ).read_bytes()
    assert path.stat().st_size == (finished.folder / "best" / name).stat().st_size
    assert (run.stage("ship") or {})["test"] == (finished.stage("ship") or {})["test"]


@pytest.mark.parametrize(
    "at",
    [
        "archsmith.searchers.sqlite.SqliteArchive.extend",
        "archsmith.run.database.Store.insert",
        "archsmith.run.store.Run._save",
    ],
)
def test_another_budget_is_one_transaction(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    out = tmp_path / "again"
    with monkeypatch.context() as patch:
        # a killed process clears nothing
        patch.setattr("archsmith.run.claim.clear", lambda folder: None)
        patch.setattr(at, lambda *args: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            finished.another(out, finished.request, ("look",))
    assert (out / ".beginning").exists() and not (out / "run.json").exists()
    new = finished.another(out, finished.request, ("look",))
    assert new.stage("look") == finished.stage("look") and new.stage("profile") is None
    assert new.decided("split") is None and not (out / ".beginning").exists()


def test_export_writes_over_nothing_that_was_not_named(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(finished.folder, copy)
    foreign = tmp_path / "photos.safetensors"
    foreign.write_text("mine")
    with pytest.raises(UserError, match="there already; name it with --out"):
        Result(Run.open(copy)).export(format="safetensors")
    assert foreign.read_text() == "mine"
    assert Result(Run.open(copy)).export(foreign).stat().st_size > 1000  # it was named
    # the same again is no loss
    assert Result(Run.open(copy)).export(format="safetensors") == foreign
    foreign.unlink()
    monkeypatch.chdir(copy)
    assert (
        Result(Run.open(".")).export(format="safetensors") == foreign
        and not (copy / ".safetensors").exists()
    )


@pytest.mark.parametrize(
    ("path", "format", "said"),
    [
        ("photos/run.json", "onnx", "a file of the run itself"),
        ("photos/best/model.onnx", None, "a file of the run itself"),
        ("there", None, "is a folder"),
        ("model", None, "does not say the format"),
        ("model.pt2", "onnx", "ends in .pt2, the format asked for is onnx"),
        ("model.bin", None, "cannot export as 'bin'"),
    ],
)
def test_what_cannot_be_meant_is_not_exported(
    finished: Run, tmp_path: Path, path: str, format: Any, said: str
) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(finished.folder, copy)
    (tmp_path / "there").mkdir()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=said):
        Result(Run.open(copy)).export(tmp_path / path, format)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_a_full_disk_leaves_the_exported_file_as_it_was(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any
) -> None:
    path = tmp_path / f"m.{format}"
    path.write_text("earlier")

    def full(file: Any, data: bytes) -> None:
        file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("archsmith._internal.files.write_chunks", full)
    with pytest.raises(UserError, match="No space left"):
        Result(finished).export(path)
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_own_space_and_given_weights(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(OWN_SPACE)
    data = bars(tmp_path / "bars.npz")
    settings: dict[str, Any] = {
        "space": f"{tmp_path / 'net.py'}:Net",
        "budget": "params<=1500",
        "reference": False,
        "steps": 24,
    }
    first = start(asked(data, **settings), tmp_path / "first")
    shipped = first.stage("ship") or {}
    assert set(shipped["architecture"]["options"]) == {"width", "kernel", "depth"}

    from archsmith.spaces import build

    model = build(settings["space"], 3, 1, 8, device="cpu")
    torch.save(model.state_dict(), tmp_path / "given.pt")
    second = start(asked(data, **settings, init=str(tmp_path / "given.pt")), tmp_path / "second")
    assert (second.stage("ship") or {})["test"]["n"] == 30
    torch.save({"other": torch.zeros(3)}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="none of its tensors fits"):
        start(asked(data, **settings, init=str(tmp_path / "foreign.pt")), tmp_path / "third")


SIDES_SPACE = (
    OWN_SPACE.replace("Repeat\n", "Repeat, Resize\n", 1)
    .replace(
        "        self.stem =",
        "        self.resize = Resize(Choice(5, 6, 7, name='pixels'))\n        self.stem =",
    )
    .replace("self.stem(x)", "self.stem(self.resize(x))")
)


def pictures_of(images: np.ndarray, folder: Path) -> list[Path]:
    """As files, of which each pixel is 4 x 4 pixels."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image.repeat(4, 0).repeat(4, 1)).save(path)
    return paths


def test_an_own_space_whose_resolution_is_a_decision(tmp_path: Path) -> None:
    """Searched, trained, shipped at the side that was found; predict.py reads pictures at it."""
    (tmp_path / "net.py").write_text(SIDES_SPACE)
    run = start(
        asked(
            data := bars(tmp_path / "bars.npz"),
            space=f"{tmp_path / 'net.py'}:Net",
            budget="params<=1500, macs<=30k, memory<=8k",
            reference=False,
        ),
        tmp_path / "run",
    )
    shipped = run.stage("ship") or {}
    side = shipped["architecture"]["options"]["pixels"]
    assert side in (5, 6, 7) and not shipped["skipped"]
    assert max(shipped["max_difference"].values()) < 1e-4
    best = tmp_path / "run" / "best"
    said = json.loads((best / "preprocess.json").read_text("utf-8"))
    assert said["input"]["shape"] == ["batch", 1, side, side]

    network = Result(run).best()
    assert resize_in(network) is not None  # in PyTorch it takes images as they are
    alone, shape = without_resize(network, (1, 8, 8))
    measured = {row["metric"]: row["value"] for row in shipped["budget"]}
    assert measured == {
        "params": params(alone),
        "macs": macs(alone, shape),
        "memory": peak_memory(alone, shape),
    }

    paths = pictures_of(np.load(data)["images"][:6].reshape(6, 8, 8), tmp_path / "pictures")
    ran = subprocess.run(
        [sys.executable, best / "predict.py", "--json", "--top", "3", *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    looked = run.looked
    assert looked is not None
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (looked.mean, looked.std))
    pixels = torch.stack([torch.from_numpy(decode(path, 1, side).copy()) for path in paths])
    with torch.no_grad():
        wanted = network((pixels / 255 - mean) / std).softmax(-1)
    for row, answer in zip(wanted.tolist(), json.loads(ran.stdout), strict=True):
        found = {entry["label"]: entry["probability"] for entry in answer["top"]}
        assert [found[str(label)] for label in looked.classes] == pytest.approx(row, abs=1e-4)
    exported = Result(run).export(tmp_path / "again.onnx")
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [1, side, side]


def test_shared_weights_are_trained_with_each_network_at_its_own_resolution(
    tmp_path: Path,
) -> None:
    (tmp_path / "net.py").write_text(SIDES_SPACE)
    run = start(
        asked(
            bars(tmp_path / "bars.npz"),
            space=f"{tmp_path / 'net.py'}:Net",
            budget="params<=1500",
            method="one-shot",
            reference=False,
        ),
        tmp_path / "run",
    )
    options = [entry["options"]["pixels"] for entry in (run.stage("search") or {})["shortlist"]]
    assert set(options) <= {5, 6, 7} and (run.stage("ship") or {})["test"]["n"] == 30


def test_a_side_that_the_layers_cannot_take_is_told_before_anything_runs(tmp_path: Path) -> None:
    text = SIDES_SPACE.replace("Choice(5, 6, 7,", "Choice(2, 6, 7,").replace(
        'Choice(3, 5, name="kernel"), padding="same"', "3"
    )
    (tmp_path / "small.py").write_text(text)
    with pytest.raises(UserError, match=r"cannot take images of 2 pixels.*can take: 6, 7"):
        start(
            asked(bars(tmp_path / "bars.npz"), space=f"{tmp_path / 'small.py'}:Net", steps=24),
            tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("Conv2d(channels", "Conv2d(5", r"cannot take images of shape \(1, 8, 8\)"),
        (
            "Linear(width, classes",
            "Linear(width, classes + 1",
            r"gives \(2, 4\) for 2 images, "
            r"where",
        ),
    ],
)
def test_an_own_space_that_does_not_fit_the_data_is_told_before_anything_runs(
    wrong: str, right: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "misfit.py").write_text(OWN_SPACE.replace(wrong, right))
    with pytest.raises(UserError, match=told):
        start(
            asked(bars(tmp_path / "bars.npz"), space=f"{tmp_path / 'misfit.py'}:Net", steps=24),
            tmp_path / "run",
        )


def test_a_budget_nothing_can_meet_ends_before_training(tmp_path: Path) -> None:
    """And leaves no folder: the corrected command is taken."""
    with pytest.raises(UserError, match="relax"):
        start(asked(bars(tmp_path / "bars.npz"), budget="params<=100"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "from torch import nn\ndef Net(classes, channels): return nn.Sequential(nn.Flatten(), "
            "nn.LazyLinear(classes))",
            "declares no Choice, and cannot be made elastic",
        ),
        ("import sys\ndef Net(classes): sys.exit('no')", "sys.exit"),
        ("Other = 3", "Net"),
    ],
)
def test_a_space_that_is_refused_leaves_no_folder(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(UserError, match=said):
        start(
            asked(bars(tmp_path / "bars.npz"), space=f"{tmp_path / 'own.py'}:Net"), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_python_interface(tmp_path: Path) -> None:
    run = archsmith.search(
        bars(tmp_path / "bars.npz"),
        budget="params<=20k",
        out=tmp_path / "run",
        steps=20,
        trials=9,
        threads=1,
        method="random",
        reference=False,
    )
    assert run.summary()["status"] == "done" and (run.stage("screen") or {})["scored"] == 0
    with pytest.raises(TypeError, match="colour"):
        archsmith.search("digits", out=tmp_path / "x", colour="red")


def test_a_full_disk_loses_nothing(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsmith.training import checkpoint

    writes, write = [0], checkpoint.write_chunks

    def full(file: Any, data: bytes) -> None:
        writes[0] += 1
        if writes[0] == 4:
            file.write(data[:100])
            raise OSError(28, "No space left on device")
        write(file, data)

    monkeypatch.setattr(checkpoint, "write_chunks", full)
    with pytest.raises(UserError, match="No space left"):
        start(asked(bars(tmp_path / "bars.npz")), tmp_path / "run")
    run = carry_on(Run.open(tmp_path / "run"))
    assert (run.stage("ship") or {})["test"] == (finished.stage("ship") or {})["test"]
    assert [t.arch.key for t in run.archive] == [t.arch.key for t in finished.archive]


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from archsmith.cli.app import main
    from archsmith.training import loop

    def interrupted(*args: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_step", interrupted)
    words = [
        "search",
        str(bars(tmp_path / "bars.npz")),
        *"--steps 20 --trials 9 --threads 1 --budget params<=20k".split(),
    ]
    monkeypatch.setattr(sys, "argv", ["archsmith", *words, "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as end:
        main()
    assert (
        end.value.code == 130
        and (f"archsmith resume {tmp_path / 'run'}") in capsys.readouterr().err
    )
    assert Run.open(tmp_path / "run").record["status"] == "stopped"


def test_networks_that_fail_to_train_are_failed_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def failing(entrant: Any, *args: Any) -> Any:
        if entrant.name == failing.first:  # type: ignore[attr-defined]
            raise RuntimeError("it is the wrong shape")
        return resumed(entrant, *args)

    resumed = finalists._resumed
    monkeypatch.setattr(finalists, "_resumed", failing)
    request = asked(bars(tmp_path / "bars.npz"), reference=False, steps=24, trials=9)
    run = Run.create(tmp_path / "run", request)
    with pytest.raises(Stop):
        carry_on(run, StopAfter("search"))
    failing.first = (run.stage("search") or {})["shortlist"][0]["key"]  # type: ignore[attr-defined]
    carry_on(Run.open(run.folder))
    failed = [t for t in run.archive.stage("finish") if t.failed]
    assert len(failed) == 1 and failed[0].reason == "RuntimeError: it is the wrong shape"
    assert (run.stage("ship") or {})["key"] != failed[0].arch.key


@pytest.mark.parametrize("here", ["plain", "with,comma", "with[1]", "with *"])
@pytest.mark.parametrize(
    "written",
    ["{0}/*.parquet", "{0}/a.parquet,{0}/b.parquet", "{0}/a.parquet, {0}/b*", "{0}/[ab].parquet"],
)
def test_lists_and_patterns_lead_to_the_same_files_from_anywhere(
    here: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsmith.data.parquet import parquet_files
    from archsmith.stages.requests import absolute

    (tmp_path / here / "data").mkdir(parents=True)
    files = [tmp_path / here / "data" / name for name in ("a.parquet", "b.parquet")]
    for file in files:
        file.write_bytes(b"")
    monkeypatch.chdir(tmp_path / here)
    request = absolute(request_from(data=written.format("data")))
    monkeypatch.chdir("/")
    assert parquet_files(request.data) == files


@pytest.mark.parametrize("data", ["digits", "gone", "~nobody/x", "a\0b", "x" * 5000])
def test_what_is_no_path_is_left_for_the_reader_to_refuse(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsmith.data import load
    from archsmith.stages.requests import absolute

    monkeypatch.chdir(tmp_path)
    assert absolute(request_from(data=data)).data == data
    if data != "digits":
        with pytest.raises(UserError) as caught:
            load(data)
        assert "\0" not in str(caught.value) and len(str(caught.value)) < 900


@pytest.mark.parametrize("data", ["", " ", "\t\n"])
def test_no_data_is_refused(data: str) -> None:
    from archsmith.data import load

    with pytest.raises(UserError, match="DATA is empty"):
        load(data)


@pytest.mark.parametrize("out", ["images", "images/run", "images/a/deep/run"])
def test_a_run_is_never_made_among_its_own_images(tmp_path: Path, out: str) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match="lies in the folder of the images"):
        start(asked(tmp_path / "images"), tmp_path / out)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["a"]
