"""Learning from a teacher besides the labels: what it says of a batch, the loss that mixes both,
and the step of a network that stands as it is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.training.state import TrainState
from archsmith.training.step import Step, forward, loss_of

# Half of the loss each, and probabilities softened by 2: the setting that was measured (results
# teacher-free, teacher-paid).
WEIGHT, TEMPERATURE = 0.5, 2.0


@dataclass(frozen=True)
class Distillation:
    """Learn from a teacher's probabilities besides the labels: (1 - weight) * loss + weight *
    cross-entropy with them; of squared errors, with its values in place of probabilities.

    `teacher`: a fixed network, or "largest": the first architecture of each step, which itself
    learns from the labels alone and whose outputs count as given (in-place distillation; Yu and
    Huang, ICCV 2019). `temperature` softens both sides; the term is scaled by its square (Hinton,
    Vinyals and Dean, 2015).
    """

    teacher: nn.Module | Literal["largest"]
    weight: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or not self.temperature > 0:
            raise UserError(
                f"distillation: weight={self.weight!r} must lie in [0, 1], "
                f"temperature={self.temperature!r} above 0"
            )

    def __getstate__(self) -> dict[str, Any]:
        """For another process: a fixed teacher from the CPU."""
        own = dict(vars(self))
        if isinstance(self.teacher, nn.Module):
            own["teacher"] = copy.deepcopy(self.teacher).cpu()
        return own

    def __deepcopy__(self, memo: dict[int, Any]) -> Distillation:
        """Itself: a fixed teacher is nothing that a thread could change."""
        return self

    def given(self, state: TrainState, x: Tensor) -> Tensor | None:
        """What a fixed teacher makes of the batch, in the step's precision: outputs (B, ...) in
        float32, without gradients; None where there is none."""
        if not isinstance(self.teacher, nn.Module):
            return None
        teacher = _ready(self.teacher, x)
        with torch.inference_mode():
            outputs = forward(state, x, teacher)
        return outputs.clone()  # made in inference mode, it could be no part of a loss

    def mixed(
        self, state: TrainState, logits: Tensor, loss: Tensor, given: Tensor | None
    ) -> Tensor:
        """The loss of `logits` by the labels, `loss`, mixed with that by what the teacher gave;
        `loss` itself where it gave nothing."""
        if given is None:
            return loss
        return (1.0 - self.weight) * loss + self.weight * self._taught(state, logits, given)

    def _taught(self, state: TrainState, logits: Tensor, given: Tensor) -> Tensor:
        if state.recipe.loss == "squared error":
            return F.mse_loss(logits, given)
        heat = self.temperature
        return heat * heat * F.cross_entropy(logits / heat, (given / heat).softmax(1))


def _ready(teacher: nn.Module, x: Tensor) -> nn.Module:
    """On the device of the batch, in evaluation mode."""
    if teacher.training:
        teacher.eval()
    if any(t.device != x.device for t in chain(teacher.parameters(), teacher.buffers())):
        teacher.to(x.device)
    return teacher


def taught(teacher: nn.Module, *, weight: float = WEIGHT, temperature: float = TEMPERATURE) -> Step:
    """For `advance(backward=...)`: the network as it stands learns from labels - class indices,
    probabilities as mixup makes them, or values - and from what the teacher says of the same
    images.

    `teacher`: images (B, C, H, W) as the network gets them -> outputs like the network's. What it
    takes is part of the step, and so of the training's time.
    """
    return Step(_Taught(Distillation(teacher, weight, temperature)))


@dataclass(frozen=True)
class _Taught:
    """What a step computes."""

    distillation: Distillation

    def __call__(
        self, state: TrainState, x: Tensor, y: Tensor, drawn: Sequence[Architecture]
    ) -> Tensor:
        """The loss, detached."""
        given = self.distillation.given(state, x)
        logits = forward(state, x)
        loss = self.distillation.mixed(state, logits, loss_of(state, logits, y), given)
        loss.backward()
        return loss.detach()
