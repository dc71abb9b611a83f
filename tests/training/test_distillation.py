"""Learning from a teacher: what a step computes of labels, mixed labels and values, and that
training so is resumed to the bit, alone and shared among threads."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from tiny_training import batch, stream
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.training import Recipe, advance, load, save, start
from archsmith.training.distillation import TEMPERATURE, WEIGHT, Distillation, taught
from archsmith.training.state import TrainState
from archsmith.training.step import whole
from archsmith.training.threads import threaded

RECIPE = Recipe(lr=0.1, batch_size=16, ema=0.0, label_smoothing=0.1, warmup=0.0)


def network(seed: int = 0, outputs: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, outputs)
    )


def training(recipe: Recipe = RECIPE, outputs: int = 4) -> TrainState:
    return start(network(outputs=outputs), recipe, seed=3)


@pytest.mark.parametrize("labels", ["classes", "mixed up"])
def test_the_loss_is_half_that_of_the_labels_and_half_of_the_teachers_softened_probabilities(
    labels: str,
) -> None:
    teacher, state, (x, y) = network(7).eval(), training(), batch(0)
    if labels == "mixed up":
        hard = F.one_hot(y, 4).float()
        y = 0.3 * hard + 0.7 * hard.roll(1, 0)
    twin = copy.deepcopy(state.module)
    logits, soft = twin(x), (teacher(x) / TEMPERATURE).softmax(1)
    by_teacher = -(soft * (logits / TEMPERATURE).log_softmax(1)).sum(1).mean()
    expected = (1 - WEIGHT) * F.cross_entropy(logits, y, label_smoothing=0.1)
    expected = expected + WEIGHT * TEMPERATURE**2 * by_teacher
    expected.backward()
    loss = float(taught(teacher)(state, x, y, 0.0))
    assert loss == pytest.approx(float(expected.detach()), abs=1e-5)
    for own, other in zip(state.module.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(own.grad, other.grad, atol=1e-6)


def test_of_numbers_the_teachers_values_are_learned() -> None:
    recipe = Recipe(lr=0.1, batch_size=16, ema=0.0, loss="squared error")
    teacher, state, (x, _) = network(7, 2).eval(), training(recipe, 2), batch(0)
    y, outputs = torch.randn(len(x), 2), copy.deepcopy(state.module)(x)
    expected = 0.5 * F.mse_loss(outputs, y) + 0.5 * F.mse_loss(outputs, teacher(x))
    assert float(taught(teacher, weight=0.5)(state, x, y, 0.0)) == pytest.approx(
        float(expected.detach()), abs=1e-5
    )


def test_a_teacher_is_asked_in_evaluation_and_stays_as_it_is() -> None:
    teacher, state = network(7).train(), training()
    before = copy.deepcopy(teacher.state_dict())
    advance(state, stream(), total_steps=3, backward=taught(teacher))
    assert not teacher.training
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())


def test_with_no_weight_it_is_the_plain_step_and_with_all_the_labels_do_not_matter() -> None:
    (x, y), teacher = batch(0), network(7).eval()
    losses = [
        float(step(training(), x, labels, 0.0))
        for step, labels in (
            (taught(teacher, weight=0.0), y),
            (whole, y),
            (taught(teacher, weight=1.0), y),
            (taught(teacher, weight=1.0), y.roll(1)),
        )
    ]
    assert losses[0] == losses[1] != losses[2] == losses[3]


def test_a_resumed_training_is_the_undisturbed_one(tmp_path: Path) -> None:
    straight = training()
    advance(straight, stream(), total_steps=10, backward=taught(network(7)))
    half = training()
    advance(half, stream(), total_steps=10, until=0.4, backward=taught(network(7)))
    save(half, tmp_path / "half")
    resumed = load(tmp_path / "half", network(1))
    advance(resumed, stream(4), total_steps=10, backward=taught(network(7)))
    untaught = training()
    advance(untaught, stream(), total_steps=10)
    for own, other, plain in zip(
        straight.module.parameters(),
        resumed.module.parameters(),
        untaught.module.parameters(),
        strict=True,
    ):
        assert torch.equal(own, other) and not torch.equal(own, plain)


def test_threads_share_one_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsmith.training.threads.LEAST", 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    teacher, state, (x, y) = Uncopied(network(7)).eval(), training(), batch(0)
    with threaded(taught(teacher), state.module) as step:
        loss = float(step(state, x, y, 0.0))
    assert teacher.asked == 2
    assert loss == pytest.approx(float(taught(teacher)(training(), x, y, 0.0)), rel=0.2)


class Uncopied(nn.Module):
    """A network that may not be copied, and counts how often it is asked."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.asked = inner, 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return self.inner(x)

    def __deepcopy__(self, memo: object) -> Uncopied:
        raise AssertionError("copied")


def test_another_process_gets_the_teacher() -> None:
    teacher = network(7).eval()
    sent = pickle.loads(pickle.dumps(taught(teacher).learn))
    x, y = batch(0)
    assert float(sent(training(), x, y, [])) == float(taught(teacher)(training(), x, y, 0.0))
    assert isinstance(sent.distillation, Distillation)
