"""What one training step computes: the gradients of a batch, for a network as it stands or for some
of an elastic one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.space import Architecture
from archsmith.training.losses import own_loss
from archsmith.training.state import TrainState

# Leaves the gradients of one batch in the weights; gives the loss. The last argument: the share of
# the budget spent.
Backward = Callable[[TrainState, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Step:
    """A Backward in two, so that several processes can share the work of a batch
    (`training.distributed`).

    `draw(state, share)`: the architectures it trains, none for a network that stands as it is; a
    matter of seed and step. `learn(state, x, y, drawn)` leaves the gradients of the mean loss over
    x in the weights and gives that loss, detached; it is picklable, and of `state` it knows
    weights, recipe and class weights only. `macs`: of one image in an architecture, for the ledger.
    """

    learn: Callable[[TrainState, Tensor, Tensor, Sequence[Architecture]], Tensor]
    draw: Callable[[TrainState, float], Sequence[Architecture]] = lambda state, share: ()
    macs: Callable[[Architecture], float] | None = None

    def __call__(self, state: TrainState, x: Tensor, y: Tensor, share: float) -> Tensor:
        """All of it in this process."""
        drawn = self.draw(state, share)
        loss = self.learn(state, x, y, drawn)
        self.count(state, len(x), drawn)
        return loss

    def count(self, state: TrainState, images: int, drawn: Sequence[Architecture]) -> None:
        """Enters a batch in the ledger."""
        state.passes += images * (len(drawn) or 1)
        if self.macs is not None:
            state.macs += 3.0 * images * sum(map(self.macs, drawn))


def forward(state: TrainState, x: Tensor, module: nn.Module | None = None) -> Tensor:
    """Logits (B, classes) in float32 of the network in training, or of another in its precision."""
    module = state.module if module is None else module
    if state.recipe.precision == "bf16":
        with torch.autocast(x.device.type, torch.bfloat16):
            return module(x).float()
    return module(x).float()


def loss_of(state: TrainState, logits: Tensor, y: Tensor) -> Tensor:
    """The recipe's loss: a user's own, or cross-entropy, y (B,) class indices or (B, classes)
    probabilities, or
    squared error, y like logits."""
    if state.recipe.own_loss:
        return own_loss(state.recipe.own_loss)(logits, y)
    if state.recipe.loss == "squared error":
        return F.mse_loss(logits, y)
    return F.cross_entropy(
        logits, y, weight=state.class_weights, label_smoothing=state.recipe.label_smoothing
    )


def _learn(state: TrainState, x: Tensor, y: Tensor, drawn: Sequence[Architecture]) -> Tensor:
    loss = loss_of(state, forward(state, x), y)
    loss.backward()
    return loss.detach()


whole = Step(_learn)  # the network as it stands
