"""training/losses.py: a loss of a user's own is what a step makes small, or is refused with what is
wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsmith.errors import UserError
from archsmith.training.loop import train_step
from archsmith.training.losses import check, own_loss
from archsmith.training.recipe import Recipe
from archsmith.training.state import start

LOSSES = """
import torch
from torch.nn import functional as F


def halved(outputs, labels):
    return 0.5 * F.cross_entropy(outputs, labels)


def as_usual(outputs, labels):
    return F.cross_entropy(outputs, labels)[None]


def of_each(outputs, labels):
    return F.cross_entropy(outputs, labels, reduction="none")


def number(outputs, labels):
    return F.cross_entropy(outputs, labels).item()


def counted(outputs, labels):
    return (outputs.argmax(1) != labels).float().mean()


def infinite(outputs, labels):
    return (outputs - outputs.detach()).log().sum()


def fails(outputs, labels):
    return outputs[:, 99].sum()


WEIGHT = 3.0


class Focal:
    pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(LOSSES)
    return tmp_path / "mine.py"


def stepped(recipe: Recipe) -> tuple[float, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    state = start(network, recipe, device=torch.device("cpu"))
    x, y = torch.randn(6, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = train_step(state, x, y, 0.1)
    return float(loss), network[1].weight.detach()


@pytest.mark.parametrize("stock", ["cross-entropy", "squared error"])
def test_it_is_what_a_step_makes_small(file: Path, stock: str) -> None:
    plain = Recipe(weight_decay=0.0, momentum=0.0, warmup=0.0)
    own = Recipe(
        weight_decay=0.0, momentum=0.0, warmup=0.0, loss=stock, own_loss=f"{file}:as_usual"
    )  # type: ignore[arg-type]
    half = Recipe(weight_decay=0.0, momentum=0.0, warmup=0.0, own_loss=f"{file}:halved")
    (usual, weight), (same, equal), (less, other) = map(stepped, (plain, own, half))
    assert usual == same and torch.equal(weight, equal)
    assert less == pytest.approx(usual / 2) and not torch.equal(weight, other)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("of_each", r"gives \(4,\); it must give one number"),
        ("number", "gives float; it must give one number"),
        ("counted", "does not depend on the outputs"),
        ("infinite", "must be finite"),
        ("fails", "IndexError"),
        ("WEIGHT", "is a float; give a function"),
        ("focal", "has no 'focal'"),
        ("Focal", "is a class; give a function"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(file: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(f"{file}:{name}", (4, 3), torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize("name", ["cross-entropy", "focal", "my_losses:focal", ""])
def test_a_name_alone_is_no_loss(name: str) -> None:
    with pytest.raises(UserError, match="my_losses.py:NAME"):
        check(name, (4, 3), torch.tensor([0, 1, 2, 0]))


def test_without_gradients_it_is_only_a_number(file: Path) -> None:
    outputs, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        found = own_loss(f"{file}:as_usual")(outputs, labels)
    assert found.shape == () and found == F.cross_entropy(outputs, labels)
