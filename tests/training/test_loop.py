"""The training loop: learns, resumes to the bit, keeps its budget, follows its schedule, says when
a loss is not finite."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import Clock, batch, network, stream
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import EvaluationFailed, UserError
from archsmith.metrics.accuracy import evaluate
from archsmith.training import Recipe, TrainState, advance, load, save, start
from archsmith.training.loop import ema_decay, train_step

SGD = Recipe(lr=0.1, batch_size=16)
RECIPES = {
    "sgd": SGD,
    "adamw": Recipe(optimizer="adamw", lr=3e-3, weight_decay=0.05, batch_size=16),
    "everything": Recipe(
        lr=0.05,
        label_smoothing=0.1,
        class_balance=True,
        clip_norm=1.0,
        ema=0.95,
        zero_gamma=True,
        batch_size=16,
    ),
    "plain": Recipe(lr=0.05, momentum=0.0, ema=0.0, warmup=0.0, batch_size=16),
    "bf16": Recipe(lr=0.1, precision="bf16", batch_size=16),
}


def everything(state: TrainState) -> dict[str, Tensor]:
    """All tensors of a state."""
    found = {
        f"module.{k}": v
        for k, v in [*state.module.named_parameters(), *state.module.named_buffers()]
    }
    if state.ema is not None:
        found.update(
            {f"ema.{k}": v for k, v in [*state.ema.named_parameters(), *state.ema.named_buffers()]}
        )
    for i, p in enumerate(state.module.parameters()):
        found.update({f"optimizer.{i}.{k}": v for k, v in state.optimizer.state[p].items()})
    return {k: v.detach().clone() for k, v in found.items()}


def assert_same(a: TrainState, b: TrainState) -> None:
    first, second = everything(a), everything(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert (a.step, a.images, a.loss_sum, a.loss_count) == (
        b.step,
        b.images,
        b.loss_sum,
        b.loss_count,
    )


def begin(recipe: Recipe, seed: int = 5) -> TrainState:
    return start(network(), recipe, seed=seed, class_counts=[10, 20, 30, 40])


# -- learning --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_learns_under_every_recipe(name: str) -> None:
    state = advance(begin(RECIPES[name]), stream(), total_steps=60)
    result = evaluate(state.network, [batch(10_000, 400)])
    assert result["accuracy"] > 0.9
    assert state.step == 60 and state.images == 960


def test_one_sgd_step_follows_its_equation() -> None:
    recipe = Recipe(lr=0.5, momentum=0.9, weight_decay=0.1, ema=0.0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    weight, bias = net[1].weight.detach().clone(), net[1].bias.detach().clone()
    x, y = batch(0)
    loss = F.cross_entropy(net(x), y)
    gw, gb = torch.autograd.grad(loss, [net[1].weight, net[1].bias])
    state = start(net, recipe)
    returned = train_step(state, x, y, 0.5)
    decayed = gw + 0.1 * weight
    # Nesterov's first step: g + 0.9 g
    torch.testing.assert_close(net[1].weight, weight - 0.5 * 1.9 * decayed)
    torch.testing.assert_close(net[1].bias, bias - 0.5 * 1.9 * gb)  # vectors do not decay
    torch.testing.assert_close(returned, loss.detach())


def test_soft_labels_train_as_hard_ones_do() -> None:
    recipe = Recipe(lr=0.1, class_balance=False, label_smoothing=0.1)
    soft = ((x, F.one_hot(y, 4).float()) for x, y in stream())
    a = advance(start(network(), recipe), stream(), total_steps=5)
    b = advance(start(network(), recipe), soft, total_steps=5)
    for p, q in zip(a.module.parameters(), b.module.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_balanced_loss_weights_classes_by_inverse_frequency() -> None:
    state = start(network(), replace(SGD, class_balance=True), class_counts=[10, 30, 0, 60])
    assert state.class_weights is not None
    expected = torch.tensor([100 / 30, 100 / 90, 0.0, 100 / 180])
    torch.testing.assert_close(state.class_weights, expected)
    with pytest.raises(UserError, match="class_counts"):
        start(network(), replace(SGD, class_balance=True))


def test_average_follows_its_recursion_and_statistics_come_along() -> None:
    state = begin(replace(SGD, ema=0.8))
    expected = everything(state)
    for step in range(12):
        train_step(state, *batch(step), 0.05)
        keep = ema_decay(0.8, step)
        for name, tensor in [*state.module.named_parameters(), *state.module.named_buffers()]:
            old = expected[f"ema.{name}"]
            expected[f"ema.{name}"] = (
                keep * old + (1 - keep) * tensor if tensor.is_floating_point() else tensor.clone()
            )
    assert state.ema is not None
    for name, tensor in [*state.ema.named_parameters(), *state.ema.named_buffers()]:
        torch.testing.assert_close(tensor, expected[f"ema.{name}"], msg=name)
        assert not tensor.requires_grad
    assert ema_decay(0.8, 0) == 0.1 and ema_decay(0.8, 10**6) == 0.8


def test_clipping_bounds_the_gradient_of_a_step() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    before = [p.detach().clone() for p in net.parameters()]
    state = start(net, Recipe(lr=1.0, momentum=0.0, weight_decay=0.0, clip_norm=0.01, ema=0.0))
    train_step(state, *batch(0), 1.0)
    moved = math.sqrt(
        sum((p - q).pow(2).sum().item() for p, q in zip(net.parameters(), before, strict=True))
    )
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_zero_gamma_finds_residual_branches_only() -> None:
    net = network()
    start(net, replace(SGD, zero_gamma=True))
    assert net[3].norm.weight.abs().max() == 0
    assert net[3].inner.weight.min() == 1 and net[1].weight.min() == 1
    # one block's output is the next one's shortcut
    stacked = nn.Sequential(*network()[:4], network()[3], *network()[4:])
    start(stacked, replace(SGD, zero_gamma=True))
    assert stacked[3].norm.weight.abs().max() == 0 == stacked[4].norm.weight.abs().max()
    # the shortcut starts at a BatchNorm
    linear = nn.Sequential(nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8), *network()[3:])
    start(linear, replace(SGD, zero_gamma=True))
    assert linear[2].norm.weight.abs().max() == 0 and linear[1].weight.min() == 1
    given = network()
    start(given, replace(SGD, zero_gamma=True), fresh=False)
    assert given[3].norm.weight.min() == 1


def test_global_rng_and_thread_count_are_left_alone() -> None:
    state = torch.default_generator.get_state()
    threads = torch.get_num_threads()
    advance(begin(SGD), stream(), total_steps=3)
    assert torch.equal(state, torch.default_generator.get_state())
    assert threads == torch.get_num_threads()


def test_seed_decides_dropout() -> None:
    a, b, c = (advance(begin(SGD, seed), stream(), total_steps=3) for seed in (1, 1, 2))
    assert_same(a, b)
    assert not torch.equal(everything(a)["module.6.weight"], everything(c)["module.6.weight"])


# -- pausing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("pause", [1, 7, 11])
def test_resumed_training_equals_straight_training_to_the_bit(
    name: str, pause: int, tmp_path: Path
) -> None:
    recipe = RECIPES[name]
    straight = advance(begin(recipe), stream(), total_steps=12)
    paused = advance(begin(recipe), stream(), total_steps=12, until=pause / 12)
    assert paused.step == pause
    save(paused, tmp_path / "state.safetensors")
    resumed = load(tmp_path / "state.safetensors", network(seed=99))
    advance(resumed, stream(resumed.step), total_steps=12)
    assert_same(straight, resumed)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), max_size=5))
def test_any_pauses_change_nothing(pauses: list[float]) -> None:
    straight = advance(begin(SGD), stream(), total_steps=9)
    state = begin(SGD)
    for until in [*pauses, 1.0]:
        advance(state, stream(state.step), total_steps=9, until=until)
    assert_same(straight, state)


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny_training import network, stream
import torch
from archsmith.training import advance, load, save
torch.set_num_threads(int({threads}))
state = load({path!r}, network(seed=7))
save(advance(state, stream(state.step), total_steps=10), {path!r})
"""


def test_resumed_in_another_process_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    straight = advance(begin(SGD), stream(), total_steps=10)
    advance(begin(SGD), stream(), total_steps=10, until=0.4, checkpoint=path)
    code = _CHILD.format(
        tests=str(Path(__file__).parents[1]), threads=torch.get_num_threads(), path=str(path)
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert_same(straight, load(path, network(seed=3)))


def test_history_is_the_same_after_a_crash_between_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    options: dict[str, Any] = {
        "total_steps": 20,
        "evaluate": lambda net: evaluate(net, [batch(77)]),
        "evaluate_every": 0.25,
    }
    straight = advance(begin(SGD), stream(), **options)

    def broken() -> Iterator[tuple[Tensor, Tensor]]:
        yield from itertools.islice(stream(), 13)
        raise ConnectionError("pulled the plug")

    with pytest.raises(ConnectionError):
        advance(begin(SGD), broken(), checkpoint=path, every=0.0, **options)
    resumed = load(path, network(seed=1))
    assert resumed.step == 13
    advance(resumed, stream(13), **options)
    assert_same(straight, resumed)
    strip = [
        [{k: v for k, v in point.items() if k != "seconds"} for point in s.history]
        for s in (straight, resumed)
    ]
    assert strip[0] == strip[1]
    assert [point["step"] for point in straight.history] == [5, 10, 15, 20]


# -- budgets ---------------------------------------------------------------------------------------


def ticking(
    clock: Clock, seconds: float, rates: list[float] | None = None, state: TrainState | None = None
) -> Iterator[Any]:
    for step in itertools.count():
        clock.time += seconds
        if state is not None and rates is not None:
            rates.append(state.optimizer.param_groups[0]["lr"])
        yield batch(step)


@pytest.mark.parametrize("step_seconds", [0.3, 1.0, 7.0])
def test_time_budget_is_overrun_by_less_than_one_step(step_seconds: float) -> None:
    clock = Clock()
    state = advance(begin(SGD), ticking(clock, step_seconds), total_seconds=10.0, now=clock)
    assert 10.0 <= state.seconds + 1e-9 < 10.0 + step_seconds
    assert state.step == math.ceil(10.0 / step_seconds - 1e-9)


def test_evaluation_and_saving_do_not_spend_the_budget(tmp_path: Path) -> None:
    clock = Clock()

    def slow(net: nn.Module) -> dict[str, float]:
        clock.time += 100.0
        return {"accuracy": 0.5}

    state = begin(SGD)
    advance(
        state,
        ticking(clock, 1.0),
        total_seconds=10.0,
        evaluate=slow,
        evaluate_every=0.5,
        now=clock,
        until=0.8,
    )
    assert state.step == 8 and state.seconds == pytest.approx(8.0)
    assert state.evaluation_seconds == pytest.approx(200.0)
    advance(
        state, ticking(clock, 1.0), total_seconds=10.0, evaluate=slow, evaluate_every=0.5, now=clock
    )
    assert state.step == 10 and [p["progress"] for p in state.history] == pytest.approx(
        [0.5, 0.8, 1.0]
    )


def test_time_mode_follows_the_schedule_whatever_the_speed() -> None:
    finals = []
    for step_seconds in (0.5, 2.0):
        clock, rates, state = Clock(), [], begin(SGD)
        advance(state, ticking(clock, step_seconds, rates, state), total_seconds=40.0, now=clock)
        finals.append(rates)
        assert rates[-1] < 0.02 * SGD.lr  # the rate of the last step but one: nearly 0
        assert max(rates[1:]) == pytest.approx(SGD.lr, rel=0.05)
    assert len(finals[0]) == 80 and len(finals[1]) == 20


def test_checkpoints_come_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saved = Clock(), []
    monkeypatch.setattr(
        "archsmith.training.loop.save", lambda state, path: saved.append(state.step)
    )
    advance(
        begin(SGD),
        ticking(clock, 1.0),
        total_steps=10,
        checkpoint=tmp_path / "x",
        every=4.0,
        now=clock,
    )
    assert saved == [4, 8, 10]


def test_progress_is_told_after_each_step() -> None:
    told: list[tuple[int, float]] = []
    advance(
        begin(SGD),
        stream(),
        total_steps=4,
        on_progress=lambda state, share: told.append((state.step, share)),
    )
    assert told == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]


def test_learning_curve_points() -> None:
    seen: list[bool] = []

    def watch(net: nn.Module) -> dict[str, Any]:
        seen.append(net.training)
        return {"accuracy": 0.5, "val_loss": 1.0, "per_class_recall": [1.0], "text": "x"}

    state = advance(begin(SGD), stream(), total_steps=10, evaluate=watch, evaluate_every=0.3)
    assert [p["step"] for p in state.history] == [3, 6, 9, 10]
    assert set(state.history[0]) == {
        "step",
        "seconds",
        "progress",
        "train_loss",
        "lr",
        "val_measure",
        "val_loss",
    }
    assert not any(seen) and state.module.training
    losses = [p["train_loss"] for p in state.history]
    assert losses[0] > losses[2] > 0
    again = advance(state, stream(10), total_steps=10, evaluate=watch)
    assert len(again.history) == 4  # nothing was trained: no second point


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"total_steps": 3, "total_seconds": 1.0},
        {"total_steps": 0},
        {"total_seconds": -1.0},
        {"total_seconds": math.inf},
    ],
)
def test_bad_budgets_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="total_steps|budget"):
        advance(begin(SGD), stream(), **bad)
    with pytest.raises(UserError, match="until"):
        advance(begin(SGD), stream(), total_steps=3, until=1.5)


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_named_by_its_step() -> None:
    def poisoned() -> Iterator[tuple[Tensor, Tensor]]:
        for step, (x, y) in enumerate(stream()):
            yield (x * math.nan if step == 6 else x), y

    with pytest.raises(EvaluationFailed, match="nan at step 6 "):
        advance(begin(SGD), poisoned(), total_steps=10)


def test_a_diverging_learning_rate_fails_instead_of_going_on() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    with pytest.raises(EvaluationFailed, match="smaller"):
        advance(start(net, Recipe(lr=900.0, warmup=0.0)), stream(), total_steps=200)


def test_a_stream_that_ends_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="ended at step 3"):
        advance(begin(SGD), itertools.islice(stream(), 3), total_steps=10)


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(UserError, match="no trainable parameters"):
        start(nn.Flatten(), SGD)


def test_images_grow_while_it_trains_and_pausing_changes_nothing() -> None:
    seen: list[int] = []

    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(4, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.shape[-1])
            return self.net(x)

    def trained(*pauses: float) -> dict[str, Tensor]:
        torch.manual_seed(0)
        state = start(Noting(), Recipe(lr=0.1, batch_size=4, grow=0.5), seed=3)
        x = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        for until in (*pauses, 1.0):
            advance(
                state,
                itertools.repeat((x, torch.tensor([0, 1, 2, 0]))),
                total_steps=20,
                until=until,
            )
        return state.network.state_dict()

    straight = trained()
    assert seen[0] == 8 and seen[-1] == 16 and seen == sorted(seen) and set(seen) == {8, 12, 16}
    paused = trained(0.3, 0.6)
    assert all(torch.equal(straight[name], paused[name]) for name in straight)
