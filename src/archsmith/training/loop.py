"""The one training loop: `start` a network under a recipe, `advance` it to a share of its budget,
again and again.

Pausing and going on equals going straight: everything a step depends on is in TrainState (weights,
averages, buffers, optimizer, counters), in the batch (a function of seed and step) and in random
draws seeded by (seed, step).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.onednn import sound
from archsmith._internal.seeding import mix, seeded
from archsmith.errors import EvaluationFailed, UserError
from archsmith.training.checkpoint import save
from archsmith.training.distributed import process_count, spread
from archsmith.training.growing import resized
from archsmith.training.recipe import learning_rate
from archsmith.training.state import TrainState, start
from archsmith.training.step import Backward, whole
from archsmith.training.threads import threaded

__all__ = ["TrainState", "advance", "ema_decay", "progress_of", "start", "train_step"]

# on an accelerator the loss is read every so many steps: reading it waits for the device
_LOSSES_KEPT = 16
# of a point of the learning curve, where it is not val_ and what `evaluate` calls it
_OF_POINT = {"accuracy": "val_measure"}  # of some tasks it is R2, say


# -- one step ------------------------------------------------------------------------------------


def train_step(
    state: TrainState,
    x: Tensor,
    y: Tensor,
    lr: float,
    *,
    backward: Backward = whole,
    share: float = 0.0,
) -> Tensor:
    """One update from one batch: x (B, C, H, W), y (B,) class indices or (B, classes)
    probabilities; returns the loss, detached.

    A tensor that no gradient reaches is left alone: no decay, no momentum, no step counted.
    """
    recipe = state.recipe
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    with seeded(mix(state.seed, state.step), x.device), sound(state.module):
        loss = backward(state, x, y, share)
    if recipe.clip_norm > 0:
        nn.utils.clip_grad_norm_(state.module.parameters(), recipe.clip_norm, foreach=True)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.update_average(ema_decay(recipe.ema, state.step))
    state.step += 1
    state.images += len(x)
    return loss


def ema_decay(decay: float, step: int) -> float:
    """Decay after step number `step`: min(decay, (1 + step) / (10 + step)): early on the average
    spans a tenth of what there was.
    """
    return min(decay, (1.0 + step) / (10.0 + step))


# -- many steps ----------------------------------------------------------------------------------


def progress_of(state: TrainState, total_steps: int | None, total_seconds: float | None) -> float:
    """The share of the budget spent, 0..1: steps done or own training seconds."""
    if total_steps is not None:
        return min(1.0, state.step / total_steps)
    assert total_seconds is not None
    return min(1.0, state.seconds / total_seconds)


def advance(
    state: TrainState,
    stream: Iterator[tuple[Tensor, Tensor]],
    *,
    total_steps: int | None = None,
    total_seconds: float | None = None,
    until: float = 1.0,
    evaluate: Callable[[nn.Module], Mapping[str, Any]] | None = None,
    evaluate_every: float | None = None,
    on_progress: Callable[[TrainState, float], None] | None = None,
    checkpoint: Path | None = None,
    every: float = 30.0,
    now: Callable[[], float] = time.monotonic,
    backward: Backward = whole,
) -> TrainState:
    """Trains until the share `until` of the budget is spent, evaluates there, saves there; returns
    the same state.

    Give one budget: `total_steps`, or `total_seconds` of training's own time by the clock `now`
    (overrun by at most one step). The learning rate follows the share spent, so both budgets must
    stay the same from call to call. `stream` is endless and its first batch belongs to step
    `state.step`; exactly one batch is taken per step. `evaluate` sees the averaged network, at each
    further `evaluate_every` of the budget (e.g. 0.1) and at `until`; its numbers join `history` as
    "val_...", its "accuracy", which a task may measure otherwise, as "val_measure". `checkpoint`:
    written every `every` seconds of `now`, after each evaluation and at the end.
    `on_progress(state, share)` after each step. `backward`: what a step computes
    (`shared.sharing`: some of the networks that share the weights); where torchrun started several
    processes they share its work (`training.distributed`), under a budget of seconds threads do
    (`training.threads`).

    Raises EvaluationFailed, naming the step, where the loss is not finite; UserError for a bad
    budget or a stream that ends.
    """
    _check_budget(total_steps, total_seconds, until)
    stop_step = None if total_steps is None else math.ceil(until * total_steps - 1e-9)
    saved_at = now()
    losses: list[Tensor] = []
    share = progress_of(state, total_steps, total_seconds)
    with _shared_out(backward, state, timed=total_seconds is not None) as together:
        while (state.step < stop_step) if stop_step is not None else (share < until):
            began = now()
            x, y = _next(stream, state.step)
            middle = _middle(state, total_steps, total_seconds)
            x = resized(x, state.recipe, middle)
            losses.append(
                train_step(
                    state,
                    x,
                    y,
                    learning_rate(state.recipe, middle),
                    backward=together,
                    share=middle,
                )
            )
            if total_seconds is not None or x.device.type == "cpu" or len(losses) >= _LOSSES_KEPT:
                _read_losses(state, losses)
            state.seconds += now() - began
            before, share = share, progress_of(state, total_steps, total_seconds)
            if on_progress is not None:
                on_progress(state, share)
            due = evaluate_every and share < until and _crosses(before, share, evaluate_every)
            if evaluate is not None and due:
                _read_losses(state, losses)
                _evaluate(state, evaluate, share, now)
                saved_at = -math.inf
            if checkpoint is not None and now() - saved_at >= every:
                _read_losses(state, losses)
                saved_at = _save(state, checkpoint, now)
    _read_losses(state, losses)
    if evaluate is not None and not (state.history and state.history[-1]["step"] == state.step):
        _evaluate(state, evaluate, share, now)
    if checkpoint is not None:
        _save(state, checkpoint, now)
    return state


@contextmanager
def _shared_out(backward: Backward, state: TrainState, *, timed: bool) -> Iterator[Backward]:
    """The step with its work shared among processes, or threads; with steps the result must not
    depend on the latter."""
    if process_count() > 1 or not timed:
        yield spread(backward)
        return
    with threaded(backward, state.module) as together:
        yield together


def _check_budget(total_steps: int | None, total_seconds: float | None, until: float) -> None:
    if (total_steps is None) == (total_seconds is None):
        raise UserError(
            f"give either total_steps or total_seconds, not total_steps={total_steps!r} and "
            f"total_seconds={total_seconds!r}"
        )
    budget = total_steps if total_steps is not None else total_seconds
    if not budget > 0 or not math.isfinite(budget):  # type: ignore[operator, arg-type]
        raise UserError(f"the training budget is {budget!r}; it must be above 0")
    if not 0 <= until <= 1:
        raise UserError(f"until={until!r} is not a share of the budget between 0 and 1")


def _next(stream: Iterator[tuple[Tensor, Tensor]], step: int) -> tuple[Tensor, Tensor]:
    try:
        return next(stream)
    except StopIteration:
        raise UserError(
            f"the data stream ended at step {step}; training needs an endless one (see "
            f"archsmith.data.batches)"
        ) from None


def _middle(state: TrainState, total_steps: int | None, total_seconds: float | None) -> float:
    """The share spent in the middle of the coming step: neither the first step nor the last has
    learning rate 0."""
    if total_steps is not None:
        return (state.step + 0.5) / total_steps
    assert total_seconds is not None
    return (state.seconds + 0.5 * state.seconds / max(state.step, 1)) / total_seconds


def _crosses(before: float, share: float, every: float) -> bool:
    return math.floor(share / every + 1e-9) > math.floor(before / every + 1e-9)


def _read_losses(state: TrainState, losses: list[Tensor]) -> None:
    """Adds the kept losses to the running mean; a loss that is not finite ends the training, named
    by its step."""
    values = (
        [losses[0].item()] if len(losses) == 1 else torch.stack(losses).tolist() if losses else []
    )
    for position, value in enumerate(values):
        if not math.isfinite(value):
            step = state.step - len(losses) + position
            raise EvaluationFailed(
                f"the training loss became {value} at step {step} (learning rate up to "
                f"{state.recipe.lr:g}); try a smaller one"
            )
        state.loss_sum += value
    state.loss_count += len(values)
    losses.clear()


def _evaluate(
    state: TrainState,
    evaluate: Callable[[nn.Module], Mapping[str, Any]],
    share: float,
    now: Callable[[], float],
) -> None:
    began = now()
    network = state.network
    training = network.training
    network.eval()
    result = evaluate(network)
    network.train(training)
    point: dict[str, Any] = {"step": state.step, "seconds": state.seconds, "progress": share}
    point["train_loss"] = state.loss_sum / state.loss_count if state.loss_count else None
    point["lr"] = learning_rate(state.recipe, share)
    for name, value in result.items():
        if isinstance(value, int | float):
            plain = name if name.startswith("val_") else f"val_{name}"
            point[_OF_POINT.get(name, plain)] = value
    state.history.append(point)
    state.loss_sum, state.loss_count = 0.0, 0
    state.evaluation_seconds += now() - began


def _save(state: TrainState, path: Path, now: Callable[[], float]) -> float:
    began = now()
    save(state, path)
    ended = now()
    state.saving_seconds += ended - began
    return ended
