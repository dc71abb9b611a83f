"""--teacher: what a file's network is given and what is made of its answers; which files, and which
networks, are refused before anything is trained; who teaches in a run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from short_runs import Stop
from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.export import deployment_of, export_file
from archsmith.run.decisions import TAUGHT
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages import look, profile, teacher
from archsmith.stages.networks import best
from archsmith.stages.pipeline import carry_on, open_work
from archsmith.stages.requests import start
from archsmith.stages.teacher import FileNetwork, check, form_of
from archsmith.stages.work import Work
from archsmith.tasks import Classification

MEAN, STD = (0.4,), (0.25,)
SIDE, CLASSES = 8, 3


def network(outputs: int = CLASSES, channels: int = 1) -> nn.Module:
    """Told apart by the brightness of a half: it must be given the right pixels to be right."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, outputs),
    ).eval()


def images(count: int = 6, side: int = SIDE) -> Tensor:
    """Whole numbers of 0 to 255, so that bytes lose nothing."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 1, side, side), generator=generator).float()


def normalised(pixels: Tensor) -> Tensor:
    return (pixels / 255 - MEAN[0]) / STD[0]


def ours(path: Path, labels: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """As a run ships it: bytes in, probabilities out."""
    around = deployment_of(Classification(labels), MEAN, STD)
    shape, notes = (1, SIDE, SIDE), {"labels": list(labels)}
    return export_file(
        network(), path, path.suffix[1:], shape=shape, deployment=around, metadata=notes
    )


def program(
    path: Path, module: nn.Module, example: Tensor, sizes: dict[int, Any] | None = None
) -> Path:
    """Anybody's."""
    torch.export.save(torch.export.export(module, (example,), dynamic_shapes=(sizes,)), path)
    return path


def asked(path: Path, **changes: Any) -> FileNetwork:
    return FileNetwork(path, form_of(path), side=SIDE, **{"mean": MEAN, "std": STD, **changes})


FREE = {0: torch.export.Dim.DYNAMIC}


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_a_shipped_network_gets_pixels_and_gives_what_it_gave_in_training(
    tmp_path: Path, name: str
) -> None:
    path = ours(tmp_path / name)
    found = asked(path, answer="probabilities")(normalised(images()))
    expected = network()(normalised(images()))
    assert torch.allclose(found.softmax(1), expected.softmax(1), atol=1e-5)
    assert torch.allclose((found / 2).softmax(1), (expected / 2).softmax(1), atol=1e-5)
    assert form_of(path).labels == (("a", "b", "c") if name == "model.onnx" else ())


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_another_networks_file_gets_what_the_networks_get(tmp_path: Path, kind: str) -> None:
    path = export_file(network(), tmp_path / f"net.{kind}", kind, shape=(1, SIDE, SIDE))
    assert not form_of(path).pixels
    x = normalised(images())
    assert torch.allclose(asked(path)(x), network()(x), atol=1e-5)


def test_where_the_file_says_how_images_are_normalised_that_is_used(tmp_path: Path) -> None:
    path = program(tmp_path / "net.pt2", network(), torch.zeros(2, 1, SIDE, SIDE), FREE)
    form = replace(form_of(path), mean=(0.5,), std=(0.5,))
    found = FileNetwork(path, form, side=SIDE, mean=MEAN, std=STD)(normalised(images()))
    assert torch.allclose(found, network()((images() / 255 - 0.5) / 0.5), atol=1e-5)


def test_images_become_as_large_as_the_file_wants_and_its_own_size_where_it_takes_any(
    tmp_path: Path,
) -> None:
    fixed = program(tmp_path / "fixed.pt2", network(), torch.zeros(2, 1, 12, 12), FREE)
    x, half = normalised(images()), normalised(images(side=4))
    large = nn.functional.interpolate(
        x, (12, 12), mode="bilinear", antialias=True, align_corners=False
    )
    assert torch.allclose(asked(fixed)(x), network()(large), atol=1e-5)
    any_size = {axis: torch.export.Dim.DYNAMIC for axis in (0, 2, 3)}
    free = program(tmp_path / "free.pt2", network(), torch.zeros(2, 1, 12, 12), any_size)
    whole = nn.functional.interpolate(half, (SIDE, SIDE), mode="bilinear", align_corners=False)
    assert torch.allclose(asked(free)(half), network()(whole), atol=1e-5)
    assert torch.allclose(asked(free)(x), network()(x), atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_a_file_for_batches_of_one_size_is_asked_piece_by_piece(tmp_path: Path, count: int) -> None:
    path = program(tmp_path / "net.pt2", network(), torch.zeros(4, 1, SIDE, SIDE))
    x = normalised(images(count))
    assert form_of(path).batch == 4 and torch.allclose(asked(path)(x), network()(x), atol=1e-5)


def test_grey_images_are_colour_to_a_network_of_colour(tmp_path: Path) -> None:
    module = network(channels=3)
    path = program(tmp_path / "net.pt2", module, torch.zeros(2, 3, SIDE, SIDE), FREE)
    x = normalised(images())
    assert torch.allclose(asked(path)(x), module(x.expand(-1, 3, -1, -1)), atol=1e-5)


def test_outputs_in_another_order_and_values_in_units_are_put_right(tmp_path: Path) -> None:
    path = program(tmp_path / "net.pt2", network(), torch.zeros(2, 1, SIDE, SIDE), FREE)
    x = normalised(images())
    expected = network()(x)
    assert torch.allclose(asked(path, order=[2, 0, 1])(x), expected[:, [2, 0, 1]], atol=1e-5)
    units = ((1.0, 2.0, 3.0), (2.0, 4.0, 8.0))
    values = (expected - torch.tensor(units[0])) / torch.tensor(units[1])
    assert torch.allclose(asked(path, answer="values", units=units)(x), values, atol=1e-5)


def test_another_process_reads_the_file_itself(tmp_path: Path) -> None:
    teacher, x = asked(ours(tmp_path / "model.onnx")), normalised(images())
    expected = teacher(x)
    assert torch.equal(pickle.loads(pickle.dumps(teacher))(x), expected)


class Traced(nn.Module):
    """Made for one precision: what is cast in it must be float32."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner[1:](self.inner[0](x).to(torch.float64).float())  # type: ignore[index]


def test_a_program_that_knows_one_precision_alone_is_asked_in_it(tmp_path: Path) -> None:
    path = program(tmp_path / "net.pt2", Traced().eval(), torch.zeros(2, 1, SIDE, SIDE), FREE)
    x = normalised(images())
    with torch.autocast("cpu", torch.bfloat16):
        found = asked(path, exact=True)(x)
        with pytest.raises(RuntimeError):
            asked(path)(x)
    assert torch.allclose(found, network()(x), atol=1e-5)


# -- what is refused ------------------------------------------------------------------------------


def _weights(path: Path) -> None:
    torch.save(network().state_dict(), path)


def _script(path: Path) -> None:
    torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 1, SIDE, SIDE)), path)


def _pickled(path: Path) -> None:
    torch.save(network(), path)


def _two_inputs(path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    example = torch.zeros(2, 1, 4, 4)
    torch.export.save(torch.export.export(Two(), (example, example)), path)


REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no file": ("gone.onnx", lambda path: None, "no such file"),
    "a folder": ("folder.onnx", lambda path: path.mkdir(), "no such file"),
    "weights alone": ("net.pt", _weights, "no network that could be asked; .*torch.export.save"),
    "a pickled network": ("net.pth", _pickled, "no network that could be asked"),
    "safetensors": ("net.safetensors", lambda p: p.write_bytes(b"{}"), "no network that could"),
    "TorchScript": ("net.pt", _script, "TorchScript, which is not read; .*torch.export.save"),
    "text": ("net.txt", lambda path: path.write_text("hi"), "neither .onnx nor .pt2"),
    "a torn program": ("net.pt2", lambda path: path.write_bytes(b"PK\x03\x04"), "cannot be read"),
    "a torn model": ("net.onnx", lambda path: path.write_bytes(b"\x08\x07"), "cannot be read"),
    "nothing": ("net.onnx", lambda path: path.write_bytes(b""), "cannot be read"),
    "two inputs": ("net.pt2", _two_inputs, "2 inputs"),
    "vectors": (
        "net.pt2",
        lambda path: program(path, nn.Linear(4, 3), torch.zeros(2, 4), FREE),
        r"2 dimensions; it must be \(B, C, H, W\)",
    ),
    "five channels": (
        "net.pt2",
        lambda path: program(path, nn.Conv2d(5, 3, 1), torch.zeros(2, 5, 4, 4), FREE),
        "5 channels",
    ),
    "whole numbers": (
        "net.pt2",
        lambda path: program(path, nn.Flatten(), torch.zeros(2, 1, 4, 4, dtype=torch.int64), FREE),
        "int64; it must be float32 or uint8",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_network_is_refused_before_images_are_read(tmp_path: Path, case: str) -> None:
    name, make, said = REFUSED[case]
    make(tmp_path / name)
    request = request_from(data="nowhere", teacher=str(tmp_path / name), steps=4, time_s=None)
    with pytest.raises(UserError, match=f"--teacher .*{said}"):
        start(request, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nobody_teaches_reconstruction(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reconstruction"):
        check(request_from(data="digits", task="reconstruction", teacher="x.onnx"))


def data(folder: Path) -> Path:
    """Three classes of bars."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 120, (90, SIDE, SIDE), dtype=np.uint8), np.arange(90) % 3
    pixels[labels == 1, :, :4] += 130
    pixels[labels == 2, :4] += 130
    np.savez(folder / "bars.npz", images=pixels, labels=labels)
    return folder / "bars.npz"


def begun(folder: Path, teacher: Path, **changes: Any) -> Work:
    """A run that has looked at its images."""
    asked_for = {"data": str(data(folder)), "steps": 4, "time_s": None, "threads": 1}
    request = request_from(**{**asked_for, "teacher": str(teacher), **changes})
    work = open_work(Run.create(folder / "run", request))
    with work.run.locked():
        work.run.finish_stage("look", look.look(work))
    return work


class Noisy(nn.Module):
    """Exported in training: it answers by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.inner(x), 0.5, training=True)


class Infinite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3] / 0.0


EXAMPLE = torch.zeros(2, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("module", "example", "said"),
    [
        (network(4), EXAMPLE, r"gives \(4,\) for an image, and there are 3 classes"),
        (nn.Identity(), EXAMPLE, r"gives \(1, 8, 8\) for an image"),
        (Infinite(), EXAMPLE, "not finite"),
        (Noisy(), EXAMPLE, "by chance, as in training; export it again after network.eval"),
    ],
    ids=["classes", "images", "infinite", "in training"],
)
def test_a_network_that_cannot_teach_is_refused_and_leaves_no_run(
    tmp_path: Path, module: nn.Module, example: Tensor, said: str
) -> None:
    path = program(tmp_path / "net.pt2", module, example, FREE)
    asked_for = {"data": str(data(tmp_path)), "steps": 4, "time_s": None, "threads": 1}
    with pytest.raises(UserError, match=f"--teacher .*{said}"):
        start(request_from(**asked_for, teacher=str(path)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_how_it_is_asked_is_decided_and_said_once(tmp_path: Path) -> None:
    labels = ("2", "0", "1")
    work = begun(tmp_path, ours(tmp_path / "model.onnx", labels))
    with work.run.locked():
        profile.by_file(work)
        profile.by_file(work)
    decided = work.run.decided(TAUGHT)
    assert decided is not None and decided.by == "file" and decided.said is not None
    said = "pixels, which it normalises itself, it gives probabilities, its outputs put in our"
    assert said in decided.said
    events = (work.run.folder / "events.jsonl").read_text()
    assert events.count("model.onnx teaches") == 1
    step = work.step
    assert step.learn.distillation.teacher.order == [1, 2, 0]  # type: ignore[union-attr]


def test_a_teacher_that_is_another_file_by_now_is_refused(tmp_path: Path) -> None:
    path = ours(tmp_path / "model.onnx")
    work = begun(tmp_path, path)
    with work.run.locked():
        profile.by_file(work)
    ours(path, ("2", "1", "0"))
    with pytest.raises(UserError, match="is not the file that this run began with"):
        open_work(work.run).step  # noqa: B018


def test_both_arms_learn_from_the_same_teacher_and_the_report_says_so(tmp_path: Path) -> None:
    untaught, taught = (
        start(
            request_from(
                data=str(data(tmp_path)),
                budget="params<=20k",
                steps=6,
                time_s=None,
                threads=1,
                teacher=teacher,
            ),
            tmp_path / name,
        )
        for name, teacher in (("plain", None), ("taught", str(ours(tmp_path / "model.onnx"))))
    )
    assert untaught.finished is not None and taught.finished is not None
    assert untaught.finished.taught is None and "model.onnx" in str(taught.finished.taught)
    for key, network in taught.finished.networks.items():
        assert network.curve[-1].train_loss != untaught.finished.networks[key].curve[-1].train_loss
    ours_by_hand, theirs = taught.finished.reference, untaught.finished.reference
    assert ours_by_hand is not None and theirs is not None
    for name, rival in ours_by_hand.networks.items():
        assert rival.curve[-1].train_loss != theirs.networks[name].curve[-1].train_loss
    assert "learned from a teacher: model.onnx" in (taught.folder / "report.html").read_text()


def test_a_taught_run_killed_while_it_trains_and_resumed_is_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, images_of = ours(tmp_path / "model.onnx"), data(tmp_path)
    request = request_from(
        data=str(images_of),
        budget="params<=20k",
        steps=30,
        time_s=None,
        threads=1,
        reference=False,
        teacher=str(teacher),
    )
    straight = start(request, tmp_path / "straight")
    batches, drawn = Work.stream, [0]

    def dying(self: Work, *args: Any, **named: Any) -> Any:
        for batch in batches(self, *args, **named):
            drawn[0] += 1
            if drawn[0] == 25:
                raise Stop
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Work, "stream", dying)
        with pytest.raises(Stop):
            start(request, tmp_path / "killed")
    resumed = carry_on(Run.open(tmp_path / "killed"))
    assert straight.finished is not None and resumed.finished is not None
    assert resumed.finished.ranking == straight.finished.ranking
    for one, other in zip(best(resumed).parameters(), best(straight).parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("seen", "accuracy", "teaches"),
    [
        (0.63, 0.62, False),  # as good on other images: it has more to learn
        (0.91, 0.75, True),
        (0.80, 0.75, False),
        (0.99, 0.99, True),  # little is left to learn
        (0.94, 0.95, False),
        (1.0, 0.5, True),
        (0.9, None, False),
    ],
)
def test_only_a_network_that_was_trained_to_the_end_teaches(
    seen: float, accuracy: float | None, teaches: bool
) -> None:
    notes: list[str] = []
    decided: dict[str, Any] = {}
    work: Any = SimpleNamespace(
        run=SimpleNamespace(decide=lambda decision, make: decided.update(make())),
        plain=lambda arch: nn.Identity(),
        space=SimpleNamespace(extreme=lambda end: None),
        device="cpu",
        training_sample=lambda: iter(()),
        evaluated=lambda network, batches: {"accuracy": seen},
        note=notes.append,
    )
    teacher.by_original(work, accuracy)
    assert (decided.get("by") == "original") == teaches
    assert len(notes) == (accuracy is not None)
    assert accuracy is None or teaches or f"{seen:.2%} on training images" in notes[0]
