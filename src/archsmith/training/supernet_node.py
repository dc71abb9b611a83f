"""Training a node of a tree of supernets: its architectures in turn, on its own weights, from a
checkpoint on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archsmith.elastic.tree import Node
from archsmith.training.checkpoint import resumed_or_started
from archsmith.training.loop import advance, start
from archsmith.training.recipe import Recipe
from archsmith.training.samplers import uniform
from archsmith.training.shared_weights import shared_weights
from archsmith.training.state import TrainState
from archsmith.training.step import Backward


def train_node(
    node: Node,
    recipe: Recipe,
    stream: Callable[[int], Iterator[tuple[Tensor, Tensor]]],
    *,
    steps: int | None = None,
    seconds: float | None = None,
    backward: Backward | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    class_counts: Sequence[int] | None = None,
    checkpoint: Path | None = None,
    of: Mapping[str, Any] | None = None,
    on_progress: Callable[[TrainState, float], None] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> TrainState:
    """Trains the node's weights in place for `steps`, or for `seconds`, in all; what `checkpoint`
    holds is not trained again.

    `stream(step)`: endless batches x (B, C, H, W), y from that step on. `backward`: what a step
    computes, default `shared_weights(uniform(node.space))`, one random architecture. The optimizer
    and the learning rate's schedule are new, whatever the weights were inherited from. With
    `recipe.ema` the weights are the averaged ones afterwards. `node.trained` and `node.macs` are
    set to what went forward and back. A checkpoint that is torn, or not `of` this training, is put
    aside and told to `tell`. Raises EvaluationFailed where the loss is not finite.
    """
    whose = {**(of or {}), "node": node.name, "own seed": seed}
    begin = partial(
        start, node.model, recipe, seed=seed, device=device, class_counts=class_counts, of=whose
    )
    state = resumed_or_started(
        checkpoint, lambda: node.model, begin, device=device, tell=tell, of=whose
    )
    advance(
        state,
        stream(state.step),
        total_steps=steps,
        total_seconds=seconds,
        checkpoint=checkpoint,
        on_progress=on_progress,
        backward=backward or shared_weights(uniform(node.space)),
    )
    if state.ema is not None:
        node.model.load_state_dict(state.ema.state_dict())
    node.trained, node.macs = state.passes, state.macs
    return state
