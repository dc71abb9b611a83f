"""methods/shrink.py: a trained network made smaller: refused where there is nothing to shrink, all
versions trained together where there is time, made by hand where there is not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import archsmith
from archsmith.data import batches, load
from archsmith.errors import UserError
from archsmith.methods.protocol import TooLittleTime
from archsmith.methods.shrink import Shrink
from archsmith.run.records import Finished, Trained, Untrained
from archsmith.run.records.finish import TrainedNetwork
from archsmith.stages.requests import named_network
from archsmith.stages.work import Work

NETWORK = '''"""A plain network."""
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm, self.act = nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, x):
        return x + self.norm(self.two(self.act(self.one(x))))


class Net(nn.Sequential):
    def __init__(self, classes=10, channels=1):
        super().__init__(
            nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.Sequential(Block(16), Block(16)),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
        )
'''


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a plain network, and its weights beside it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NETWORK)
    names: dict[str, type[nn.Module]] = {}
    exec(NETWORK, names)
    torch.manual_seed(0)
    torch.save(names["Net"]().state_dict(), folder / "net.pt")
    return folder


USUAL: dict[str, Any] = {"data": "digits", "budget": "macs<=50%", "steps": 40, "trials": 8}


def shrunk(given: Path, out: Path, **asked: object) -> archsmith.api.Result:
    return archsmith.shrink(
        f"{given / 'net.py'}:Net",
        out=out,
        threads=1,
        **{**USUAL, "weights": given / "net.pt", **asked},  # type: ignore[arg-type]
    )


def test_all_versions_are_trained_together_and_the_best_within_the_budget_ships(
    given: Path, tmp_path: Path
) -> None:
    run = shrunk(given, tmp_path / "run")
    trained, finished = run.run.trained, run.run.finished
    # as it came it is no better than a constant
    assert finished is not None and finished.original is None and finished.taught is None
    assert isinstance(trained, Trained) and trained.images > 0 and not trained.trust.networks
    assert finished is not None and finished.reference is not None
    assert list(finished.reference.networks) == ["Net-thinned"]
    whole = run.stage("profile")["metrics"]["macs"]["max"]  # type: ignore[index]
    assert all(net.costs["macs"] <= whole / 2 for net in finished.networks.values())
    assert run.summary()["status"] == "done"
    assert all(
        type(m).__module__.startswith("torch.")
        for m in run.best().modules()
        if not list(m.children())
    )


def test_with_too_few_seconds_versions_made_by_hand_are_fine_tuned(
    given: Path, able: Path, tmp_path: Path
) -> None:
    run = shrunk(given, tmp_path / "run", weights=able, steps=None, time=7)
    trained, searched, finished = run.run.trained, run.run.searched, run.run.finished
    assert finished is not None and "begun with teaches" in str(finished.taught)
    assert isinstance(trained, Untrained) and "too short" in trained.why
    assert searched is not None and {one.origin for one in searched.shortlist} == {"thinned"}


@pytest.mark.parametrize("others", [True, False])
def test_a_version_made_by_hand_is_not_fine_tuned_twice(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    """Beside the thinned one another one; where there is no other, it alone has all of the time."""

    def late(method: Shrink, job: Any) -> None:
        raise TooLittleTime("too little time")

    monkeypatch.setattr(Shrink, "train", late)
    if not others:
        monkeypatch.setattr(Work, "parts_by_hand", lambda work, limits=(): (work.thinned(),))
    run = shrunk(given, tmp_path / "run", steps=20)
    finished, told = run.run.finished, (run.folder / "events.jsonl").read_text()
    assert finished is not None and isinstance(run.run.trained, Untrained)
    assert (finished.reference is not None) == (finished.plan.reference > 0) == others
    assert ("it is what the search trains" in told) == (not others)
    if finished.reference is not None:
        assert finished.best.costs != finished.reference.best.costs


@pytest.fixture(scope="module")
def able(given: Path) -> Path:
    """The same network, trained until it is better than the same answer always."""
    names: dict[str, type[nn.Module]] = {}
    exec(NETWORK, names)
    torch.manual_seed(0)
    network, digits = names["Net"](), load("digits")
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    stream = batches(digits.parts["train"], 64, data=digits, seed=0, augment=None, device="cpu")
    for _, (x, y) in zip(range(120), stream, strict=False):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    torch.save(network.state_dict(), given / "able.pt")
    return given / "able.pt"


def test_the_network_as_it_came_teaches_and_what_ships_is_trained_once_more_from_where_it_was(
    given: Path, able: Path, tmp_path: Path
) -> None:
    runs = [
        shrunk(given, tmp_path / str(distill), weights=able, refit=True, settings=settings)
        for distill, settings in ((True, {}), (False, {"distill": False}))
    ]
    taught, alone = (run.run.finished for run in runs)
    assert taught is not None and taught.original is not None and taught.reference is not None
    assert alone is not None and alone.original == taught.original and alone.reference is not None
    said = f"begun with teaches ({taught.original.val_measure:.2%}"
    for run, finished in zip(runs, (taught, alone), strict=True):
        assert (said in str(finished.taught)) == (finished is taught)
        assert (said in (run.folder / "events.jsonl").read_text()) == (finished is taught)
    key = next(iter(taught.networks.keys() & alone.networks.keys()))
    assert losses(taught.networks[key]) != losses(alone.networks[key])
    assert losses(taught.reference.best) != losses(alone.reference.best)
    (again,) = [one.refit for one in everything(taught) if one.refit is not None]
    # from fresh weights so few steps would come nowhere near it
    assert again.steps <= 20 and again.seen_accuracy is not None and again.seen_accuracy > 0.8


def losses(network: TrainedNetwork) -> list[float | None]:
    return [point.train_loss for point in network.curve]


def everything(finished: Finished) -> list[TrainedNetwork]:
    assert finished.reference is not None
    return [*finished.networks.values(), *finished.reference.networks.values()]


@pytest.mark.parametrize(
    ("budget", "said"), [("macs<=900M", "keeps the budget as it is"), ("", "not said")]
)
def test_nothing_to_shrink_is_refused_and_leaves_no_run(
    given: Path, tmp_path: Path, budget: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        shrunk(given, tmp_path / "run", budget=budget)


@pytest.mark.parametrize("lost", ["search", "reference"])
def test_a_lost_checkpoint_is_trained_again_from_the_same_weights_at_the_same_rate(
    given: Path, able: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr(
        "archsmith.stages.ship._better",
        lambda work, searched, rival: searched if lost == "search" else rival,
    )
    run = shrunk(given, tmp_path / "run", weights=able, steps=30)
    before = run.best().state_dict()
    for path in [*(run.folder / "checkpoints").glob(f"{lost}-*"), *(run.folder / "best").iterdir()]:
        path.unlink()
    (run.folder / "best").rmdir()
    after = archsmith.resume(run.folder).best().state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_own_loaders_and_an_own_loss_lead_to_a_plain_module(given: Path, tmp_path: Path) -> None:
    """What it says of a batch of the loader is what the run says of its test images."""
    (tmp_path / "losses.py").write_text(
        "from torch.nn import functional as F\n\n\n"
        "def focal(outputs, labels):\n"
        "    each = F.cross_entropy(outputs, labels, reduction='none')\n"
        "    return ((1 - (-each).exp()) ** 2 * each).mean()\n"
    )
    digits = load("digits")
    parts = {
        name: [(part.images(range(len(part))), part.labels)] for name, part in digits.parts.items()
    }
    runs = [
        shrunk(given, tmp_path / name, data=parts, steps=30, **options)
        for name, options in (
            ("own", {"loss": f"{tmp_path / 'losses.py'}:focal"}),
            ("usual", {}),
        )
    ]
    own, usual = (run.run.finished for run in runs)
    assert own is not None and usual is not None
    assert own.recipe["own_loss"].endswith("losses.py:focal") and not usual.recipe["own_loss"]
    first = [next(iter(one.networks.values())).curve[0].train_loss for one in (own, usual)]
    assert first[0] != first[1]
    assert Path(runs[0].run.request.data) == tmp_path / "own-data.npz"
    look, network = runs[0].stage("look"), runs[0].best()
    assert look is not None and look["counts"]["test"] and isinstance(network, nn.Module)
    x, y = parts["test"][0]
    images = (torch.as_tensor(x).float() / 255 - look["mean"][0]) / look["std"][0]
    with torch.no_grad():
        right = (network(images).argmax(1).numpy() == y).mean()
    assert right == pytest.approx(runs[0].run.shipped.test.accuracy)  # type: ignore[union-attr]


def of(given: Path, name: str) -> Any:
    """What the file defines, imported as a user's script does."""
    spec = importlib.util.spec_from_file_location("own_net", given / "net.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_net"] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def test_a_class_and_a_module_of_a_file_are_named_by_it(given: Path, tmp_path: Path) -> None:
    kind, said = of(given, "Net"), f"{given / 'net.py'}:Net"
    assert named_network(said, tmp_path / "run") == (said, None)
    assert named_network(kind, tmp_path / "run") == (said, None)
    module = kind()
    named, weights = named_network(module, tmp_path / "deep" / "run")
    assert named == said and weights is not None and weights.parent == tmp_path / "deep"
    kept = load_file(weights)
    assert all(torch.equal(kept[name], tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("of_what", ["other shapes", "without arguments", "no file"])
def test_a_module_that_cannot_be_made_again_is_refused(
    given: Path, tmp_path: Path, of_what: str
) -> None:
    class Mine(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)

    made: Any = {
        "other shapes": lambda: of(given, "Net")(classes=3),
        "without arguments": lambda: of(given, "Block")(4),
        "no file": Mine,
    }
    said = {"no file": "does not stand in a file"}.get(of_what, of_what)
    with pytest.raises(UserError, match=said):
        named_network(made[of_what](), tmp_path / "run")


@pytest.mark.parametrize("settings", [{"importance": "l2"}, {"rate": 0.0}, {"least_passes": -1.0}])
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Shrink(**settings)  # type: ignore[arg-type]


def test_what_was_handed_over_in_python_is_left_beside_no_refused_run(
    given: Path, tmp_path: Path
) -> None:
    digits, module = load("digits"), of(given, "Net")()
    parts = {
        name: [(part.images(range(len(part))), part.labels)] for name, part in digits.parts.items()
    }

    def asked(**changes: Any) -> None:
        archsmith.shrink(module, **{**USUAL, "data": parts, "out": tmp_path / "run", **changes})

    for changes in ({"budget": "macs<=900M"}, {"budget": ""}, {"loss": "no.py:loss"}):
        with pytest.raises(UserError):
            asked(**changes)
        assert list(tmp_path.iterdir()) == []
    # images of the user's own that bear that name are no file of the run
    own = tmp_path / "run-data.npz"
    own.write_text("no images")
    with pytest.raises(UserError):
        asked(data=own)
    assert own.read_text() == "no images" and list(tmp_path.iterdir()) == [own]
    # beside a run that is there they stay as they are
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for name in ("run-weights.safetensors", "run-data.npz"):
        (tmp_path / name).write_text("its own")
    with pytest.raises(UserError):
        asked()
    assert (tmp_path / "run-weights.safetensors").read_text() == "its own"
    assert (tmp_path / "run-data.npz").read_text() == "its own"
