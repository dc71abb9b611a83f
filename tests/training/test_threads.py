"""A batch shared among threads: the gradient of all of it, weights in common, and what is left as
it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic.supernet import search_space
from archsmith.errors import EvaluationFailed
from archsmith.spaces.convnet import convnet
from archsmith.training.loop import advance, start
from archsmith.training.recipe import Recipe
from archsmith.training.shared_weights import shared_weights
from archsmith.training.state import TrainState
from archsmith.training.step import whole
from archsmith.training.threads import LEAST, parts, threaded

RECIPE = Recipe(batch_size=64, lr=0.05)


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads for this test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def batch(count: int = 64, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, size, size, generator=generator), torch.randint(
        0, 4, (count,), generator=generator
    )


def begun(module: nn.Module, recipe: Recipe = RECIPE) -> TrainState:
    """With BatchNorm that does not look at the batch: then the gradient of parts is that of the
    whole."""
    state = start(module, recipe, class_counts=[5, 10, 20, 40])
    for layer in state.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    return state


def gradients(state: TrainState) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in state.module.parameters()]


@pytest.mark.parametrize("count", [32, 64, 65, 100])
def test_the_gradient_is_that_of_the_whole_batch(threads: int, count: int) -> None:
    one, other = begun(network()), begun(network())
    x, y = batch(count)
    expected = whole(one, x, y, 0.0)
    with threaded(whole, other.module) as step:
        assert step is not whole
        found = step(other, x, y, 0.0)
    assert found == pytest.approx(float(expected), rel=1e-5)
    for p, q in zip(gradients(one), gradients(other), strict=True):
        assert p is not None and q is not None and torch.allclose(p, q, atol=1e-6)
    assert (one.passes, other.passes) == (count, count)


def test_shared_weights_learn_as_they_do_in_one_piece(threads: int) -> None:
    """Each thread switches a network of its own to the architecture that was drawn."""
    model = convnet(4, 3, 16)
    space = search_space(model)
    twin = copy.deepcopy(model)
    states = [begun(m) for m in (model, twin)]
    step = shared_weights(lambda rng, share: [space.sample(Random(rng.random())) for _ in range(2)])
    x, y = batch(64, 16)
    expected = step(states[0], x, y, 0.0)
    with threaded(step, twin) as together:
        found = together(states[1], x, y, 0.0)
    assert found == pytest.approx(float(expected), rel=1e-4)
    for p, q in zip(*map(gradients, states), strict=True):
        assert (p is None) == (q is None)
        assert p is None or torch.allclose(p, q, atol=1e-5)


def test_what_is_frozen_stays_so(threads: int) -> None:
    module = network()
    module[0].weight.requires_grad_(False)
    state = begun(module)
    with threaded(whole, module) as step:
        step(state, *batch(), 0.0)
    assert module[0].weight.grad is None and module[5].weight.grad is not None


def test_a_step_of_the_optimizer_moves_the_weights_of_all_threads(threads: int) -> None:
    state, generator = begun(network()), torch.Generator().manual_seed(3)
    with threaded(whole, state.module) as step:
        for _ in range(3):  # the second and third would go astray if a thread had old weights
            x = torch.randn(64, 3, 8, 8, generator=generator)
            step(state, x, torch.zeros(64, dtype=torch.long), 0.0)
            state.optimizer.step()
            alone = begun(copy.deepcopy(state.module).requires_grad_(True))
            state.optimizer.zero_grad(set_to_none=True)
            alone.optimizer.zero_grad(set_to_none=True)
            expected = float(whole(alone, x, torch.zeros(64, dtype=torch.long), 0.0))
            assert float(step(state, x, torch.zeros(64, dtype=torch.long), 0.0)) == pytest.approx(
                expected, rel=1e-4
            )
            state.optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    ("images", "count", "found"),
    [(64, 2, 2), (64, 8, 4), (40, 4, 2), (31, 2, 1), (3, 4, 1), (256, 4, 4)],
)
def test_no_part_is_so_small_that_batchnorm_sees_nothing(
    images: int, count: int, found: int
) -> None:
    assert parts(images, count) == found
    assert found == 1 or images // found >= LEAST


def test_a_batch_too_small_is_computed_in_one_piece(threads: int) -> None:
    one, other = start(network(), RECIPE), start(network(), RECIPE)
    x, y = batch(2 * LEAST - 1)
    whole(one, x, y, 0.0)
    with threaded(whole, other.module) as step:
        step(other, x, y, 0.0)
    assert all(torch.equal(p, q) for p, q in zip(gradients(one), gradients(other), strict=True))  # type: ignore[arg-type]


def test_one_thread_shares_with_nobody() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threaded(whole, network()) as step:
            assert step is whole
    finally:
        torch.set_num_threads(before)


class Single(nn.Sequential):
    """A network that cannot be copied."""

    asked = 0

    def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
        self.asked += 1
        raise TypeError("there is one of me")


def test_a_network_that_cannot_be_copied_is_trained_in_one_piece(threads: int) -> None:
    state = start(Single(*network()), Recipe(batch_size=64, lr=0.05, ema=0.0))
    with threaded(whole, state.module) as step:
        assert all(float(step(state, *batch(), 0.0)) > 0 for _ in range(3))
    assert state.module.asked == 1  # not at every step
    assert state.module[5].weight.grad is not None


class Fails(nn.Module):
    """Cannot take the second part of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x[0].abs().sum()) == 0:
            raise ValueError("black")
        return x


def test_what_goes_wrong_in_a_thread_is_told(threads: int) -> None:
    state = start(nn.Sequential(Fails(), *network()), RECIPE)
    x, y = batch()
    x[-20:] = 0
    with threaded(whole, state.module) as step, pytest.raises(ValueError, match="black"):
        step(state, x.flip(0), y, 0.0)


def stream() -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    while True:
        y = torch.randint(0, 4, (64,), generator=generator)
        yield torch.randn(64, 3, 8, 8, generator=generator) * 0.5 + y.view(-1, 1, 1, 1) / 2, y


def test_a_training_by_time_learns_and_leaves_the_number_of_threads_as_it_was(threads: int) -> None:
    state, ticks = start(network(), RECIPE), iter(range(10_000))
    advance(
        state,
        stream(),
        total_seconds=120.0,
        now=lambda: float(next(ticks)),
        evaluate=lambda net: {},
        evaluate_every=0.5,
    )
    assert torch.get_num_threads() == threads
    assert state.history[-1]["train_loss"] < state.history[0]["train_loss"]


def test_with_steps_the_result_does_not_depend_on_the_threads(threads: int) -> None:
    states = [start(network(), RECIPE) for _ in range(2)]
    advance(states[0], stream(), total_steps=5)
    torch.set_num_threads(1)
    advance(states[1], stream(), total_steps=5)
    for p, q in zip(states[0].module.parameters(), states[1].module.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-5)  # BatchNorm in parts would be far from that


def test_a_loss_that_is_not_finite_ends_the_training(threads: int) -> None:
    state, ticks = start(network(), RECIPE), iter(range(10_000))
    spoilt = ((torch.where(x > 3, torch.nan, x), y) for x, y in stream())
    with pytest.raises(EvaluationFailed, match="step 0"):
        advance(state, spoilt, total_seconds=50.0, now=lambda: float(next(ticks)))
