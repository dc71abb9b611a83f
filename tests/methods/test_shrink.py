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
from archsmith.errors import UserError
from archsmith.methods.shrink import Shrink
from archsmith.run.records import Trained, Untrained
from archsmith.stages.requests import named_network

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


def shrunk(given: Path, out: Path, **asked: object) -> archsmith.api.Result:
    return archsmith.shrink(
        f"{given / 'net.py'}:Net",
        "digits",
        weights=given / "net.pt",
        out=out,
        threads=1,
        **{"budget": "macs<=50%", "steps": 40, **asked},  # type: ignore[arg-type]
    )


def test_all_versions_are_trained_together_and_the_best_within_the_budget_ships(
    given: Path, tmp_path: Path
) -> None:
    run = shrunk(given, tmp_path / "run")
    trained, finished = run.run.trained, run.run.finished
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
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shrunk(given, tmp_path / "run", steps=None, time=20)
    trained, searched = run.run.trained, run.run.searched
    assert isinstance(trained, Untrained) and "too few" in trained.why
    assert searched is not None and {one.origin for one in searched.shortlist} == {"thinned"}


@pytest.mark.parametrize(
    ("budget", "said"), [("macs<=900M", "keeps the budget as it is"), ("", "not said")]
)
def test_nothing_to_shrink_is_refused_and_leaves_no_run(
    given: Path, tmp_path: Path, budget: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        shrunk(given, tmp_path / "run", budget=budget)


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


@pytest.mark.parametrize("settings", [{"importance": "l2"}, {"rate": 0.0}])
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Shrink(**settings)  # type: ignore[arg-type]
